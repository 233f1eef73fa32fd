//! Docker Swarm: one node, and a global service in the network of the host, as on a switch.

use anyhow::Result;

use crate::beside::beside_an_engine;
use crate::deployed::Deployed;
use crate::engine::{DAY, Host};
use crate::orchestrator::{Does, Named, Orchestrator, Version};
use crate::stories::played_by;

/// What every service is made with: any end of a task is followed by a new one, and an update that fails is taken back.
const SERVICE: [&str; 22] = [
    "--detach",
    "--quiet",
    "--mode",
    "global",
    "--network",
    "host",
    "--restart-condition",
    "any",
    "--restart-delay",
    "1s",
    "--stop-grace-period",
    "1s",
    "--update-order",
    "stop-first",
    "--update-failure-action",
    "rollback",
    "--update-monitor",
    "2s",
    "--rollback-order",
    "stop-first",
    "--rollback-monitor",
    "1s",
];
/// A version with these arguments ends as soon as it has started.
const CRASHES: [&str; 2] = ["--args", "sh -c 'exit 3'"];

/// A host that is a node of a swarm. Of the tasks that ended, none is kept.
struct Swarm {
    on: Deployed,
}

impl Swarm {
    fn service(&self) -> String {
        format!("edge_{}", self.on.host.container())
    }

    fn docker(&self, command: &[&str], args: &[&[&str]]) -> Result<()> {
        self.on.host.docker(&[command, &args.concat()].concat())?;
        Ok(())
    }

    /// The service is made or updated to run this version.
    fn deploy_with(&self, version: &Version<'_>, options: &[&str]) -> Result<()> {
        let (service, host) = (self.service(), &self.on.host);
        let named = Version {
            // Swarm asks the registry for the digest itself.
            named: match version.named {
                Named::Tag | Named::TagAndDigest => Named::Tag,
                Named::Digest => Named::Digest,
            },
            ..*version
        };
        let image = named.image(host);
        let resolving: &[&str] = match version.named {
            Named::Tag => &["--no-resolve-image"],
            Named::TagAndDigest | Named::Digest => &[],
        };
        let does: &[&str] = match version.does {
            Does::Work => &[],
            Does::Crash => &CRASHES,
            Does::CrashLoop => &[
                CRASHES[0],
                CRASHES[1],
                "--update-failure-action",
                "continue",
            ],
        };
        let filter = format!("name={service}");
        let services = host.docker(&["service", "ls", "--quiet", "--filter", &filter])?;
        if services.is_empty() {
            let what = ["--name", &service, &image];
            return self.docker(&["service", "create"], &[&SERVICE, resolving, &what]);
        }
        let what = ["--detach", "--quiet", "--image", &image, &service];
        self.docker(&["service", "update"], &[resolving, does, options, &what])
    }

    /// What Swarm says of the last update.
    fn update_state(&self) -> Result<String> {
        let format = "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}";
        let service = self.service();
        self.on
            .host
            .docker(&["service", "inspect", "--format", format, &service])
    }

    fn tasks_kept(&self, limit: &str) -> Result<()> {
        self.docker(&["swarm", "update"], &[&["--task-history-limit", limit]])
    }
}

impl Orchestrator for Swarm {
    const EXAMPLE: &'static str = include_str!("../../config/examples/swarm.toml");
    const WORKLOAD: &'static str = "gateway";
    const NAMED: Named = Named::TagAndDigest;

    fn containers(host: &Host) -> String {
        format!("edge_{}.", host.container())
    }

    fn on_host(on: Deployed) -> Result<Self> {
        let swarm = Self { on };
        swarm.join()?;
        Ok(swarm)
    }

    fn on(&self) -> &Deployed {
        &self.on
    }

    fn deploy(&self, version: &Version<'_>) -> Result<()> {
        self.deploy_with(version, &[])
    }

    fn deploy_start_first(&self, version: &Version<'_>) -> Result<()> {
        self.deploy_with(version, &["--update-order", "start-first"])
    }

    /// `docker service rollback`: what it ran before.
    fn roll_back(&self, _to: &Version<'_>) -> Result<()> {
        let service = self.service();
        self.docker(
            &["service", "rollback"],
            &[&["--detach", "--quiet", &service]],
        )
    }

    fn recover(&self, _to: &Version<'_>) -> Result<()> {
        self.on.until("Swarm has rolled back", || {
            Ok(self.update_state()? == "rollback_completed")
        })
    }

    fn remove_service(&self) -> Result<()> {
        self.docker(&["service", "rm"], &[&[&self.service()]])
    }

    /// The node leaves the swarm, which takes its containers along.
    fn leave(&self) -> Result<()> {
        self.docker(&["swarm", "leave"], &[&["--force"]])
    }

    /// A new swarm of this one node.
    fn join(&self) -> Result<()> {
        let address = [
            "--advertise-addr",
            "127.0.0.1",
            "--listen-addr",
            "127.0.0.1",
        ];
        let history = ["--task-history-limit", "1"];
        self.docker(&["swarm", "init"], &[&address, &history])
    }
}

/// The swarm ends before its engine does, or the engine would start new containers while the old ones are removed.
impl Drop for Swarm {
    fn drop(&mut self) {
        drop(self.leave());
    }
}

played_by!(Swarm, "swarm");

#[test]
fn upgrade_leaves_what_a_dead_task_holds() -> Result<()> {
    beside_an_engine("swarm::upgrade_leaves_what_a_dead_task_holds", || {
        let swarm = Swarm::new("dead", &[])?;
        swarm.tasks_kept("5")?;
        let on = &swarm.on;
        let releases = ["v1", "v2", "v3"].map(|tag| on.publish(tag, tag));
        let [v1, v2, v3] = releases;
        let (v1, v2, v3) = (v1?, v2?, v3?);
        for (tag, release) in [("v1", &v1), ("v2", &v2), ("v3", &v3)] {
            swarm.update(tag, release)?;
            on.soaks()?;
            on.latest_is(&release.id)?;
        }
        on.later(3 * DAY);
        on.pass()?;
        on.holds(&[&v1.id, &v2.id, &v3.id], &[])?;

        swarm.tasks_kept("1")?;
        // A new limit is heeded when the next task ends.
        swarm.deploy_with(&Swarm::version("v3", &v3, Does::Work), &["--force"])?;
        swarm.dead_containers_are_gone()?;
        on.pass()?;
        on.latest_is(&v3.id)?;
        on.holds(&[&v2.id, &v3.id], &[&v1.id])
    })
}
