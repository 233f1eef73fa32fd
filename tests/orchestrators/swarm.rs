//! Docker Swarm: one node, and a global service in the network of the host, as on a switch.

use anyhow::{Context, Result, bail, ensure};

use crate::beside::beside_an_engine;
use crate::deployed::{Deployed, Release};
use crate::engine::Host;
use crate::orchestrator::{Does, Named, Orchestrator, Version};
use crate::stories::{played_by, upgrade_leaves_what_is_held};

const FLEET_PAGE: &str = include_str!("../../docs/fleet.md");

/// What every service is made with: any end of a task is followed by a new one, and an update that
/// fails is taken back.
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

    /// `docker` with these words. It reads a service before it changes it, and Swarm refuses the
    /// change if it wrote down in between how its own update goes: so it is asked again.
    fn docker(&self, command: &[&str], args: &[&[&str]]) -> Result<()> {
        let words = [command, &args.concat()].concat();
        self.on
            .until(&format!("Swarm takes {}", command.join(" ")), || match self
                .on
                .host
                .docker(&words)
            {
                Err(error) if format!("{error:#}").contains("update out of sequence") => Ok(false),
                said => said.map(|_| true),
            })
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

    /// `docker` with these words.
    fn type_in(&self, words: &[String]) -> Result<()> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.docker(&words, &[])
    }

    /// Waits until one task of a service runs, and its image is this.
    fn runs_in(&self, service: &str, tag: &str, release: &Release) -> Result<()> {
        self.on.until(&format!("{tag} runs"), || {
            let images = self.running_in(service)?;
            Ok(matches!(&images[..], [image] if *image == release.id))
        })
    }

    /// The images of a service's containers that run.
    fn running_in(&self, service: &str) -> Result<Vec<String>> {
        let label = format!("label=com.docker.swarm.service.name={service}");
        let list = ["ps", "--filter", &label, "--format", "{{.Names}}"];
        let names = self.on.host.docker(&list)?;
        // One that is listed may be gone a moment later.
        let images = names.lines().filter_map(|n| self.on.host.image_of(n).ok());
        Ok(images.collect())
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
        let options = ["--detach", "--quiet", &service];
        self.docker(&["service", "rollback"], &[&options])
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

/// The swarm ends before its engine does, or the engine would start new containers while the old
/// ones are removed.
impl Drop for Swarm {
    fn drop(&mut self) {
        drop(self.leave());
    }
}

played_by!(Swarm, "swarm");

/// A command of `docker`, word by word.
type Line = Vec<String>;

/// What docs/fleet.md has an operator type for Swarm, up to the gate and behind it; each line as
/// words, with the names of this host and the options of every service here.
fn typed_at_the_gate(swarm: &Swarm) -> Result<(Vec<Line>, Vec<Line>)> {
    let section = FLEET_PAGE.split_once("In Swarm,").context("Swarm")?.1;
    let block = section.split_once("```sh\n").context("a block")?.1;
    let block = block.split_once("\n```").context("its end")?.0;
    let (before, after) = block
        .split_once("ansible-playbook tagkeeper.fleet.rollout_gate")
        .context("the gate")?;
    let node = swarm.on.host.docker(&["node", "ls", "--quiet"])?;
    let service = swarm.service();
    let remote = swarm.on.host.name("remote");
    let word = |word: &str| match word {
        "switch-01" => node.clone(),
        "telemetry" => service.clone(),
        "telemetry-canary" => format!("{service}-canary"),
        _ => word.replace("registry.example/docker-sonic-telemetry", &remote),
    };
    let line = |line: &str| {
        let line = line.trim().strip_prefix("docker ")?;
        let words = line.split('#').next()?.split_whitespace();
        let mut words: Line = words.map(word).collect();
        // All but the mode, which the page has.
        let options = SERVICE.iter().filter(|o| !["--mode", "global"].contains(o));
        let options: Vec<&str> = match words.get(1)?.as_str() {
            "create" => options.copied().collect(),
            _ if words.first()? == "service" => vec!["--detach", "--quiet"],
            _ => Vec::new(),
        };
        words.splice(2..2, options.into_iter().map(str::to_owned));
        Some(words)
    };
    let lines = |text: &str| text.lines().filter_map(line).collect();
    Ok((lines(before), lines(after)))
}

#[test]
fn upgrade_waits_at_the_gate_of_the_fleet_page() -> Result<()> {
    let name = "swarm::upgrade_waits_at_the_gate_of_the_fleet_page";
    beside_an_engine(name, || {
        // The containers of both services.
        let swarm = Swarm::new("gate", &["orchestrated = \"edge_*\""])?;
        let on = &swarm.on;
        let v2 = on.publish("v2", "second")?;
        let v3 = on.publish("v3", "third")?;
        let (before, after) = typed_at_the_gate(&swarm)?;
        let [labels @ .., deploys] = &before[..] else {
            bail!("nothing is typed")
        };
        ensure!(
            labels.len() == 3 && after.len() == 1,
            "{before:?} {after:?}"
        );
        for line in labels {
            swarm.type_in(line)?;
        }
        let canary = format!("{}-canary", swarm.service());
        swarm.runs_in(&canary, "v2", &v2)?;

        swarm.type_in(deploys)?;
        swarm.runs_in(&canary, "v3", &v3)?;
        on.pass()?;
        let gate = ["wait", Swarm::WORKLOAD, "v3", "--timeout=1s"];
        let ran = on.tagkeeper(&gate)?;
        ensure!(ran.code == Some(3), "the gate is closed: {ran:#?}");
        on.soaks()?;
        let ran = on.tagkeeper(&gate)?;
        ensure!(ran.code == Some(0), "the gate is open: {ran:#?}");

        // The others get v3 as well: this node does once it is one of them.
        swarm.type_in(&after[0])?;
        ensure!(
            swarm.running_in(&swarm.service())?.is_empty(),
            "a canary is none of the others"
        );
        let mut label = labels[0].clone();
        for word in label.iter_mut().filter(|word| *word == "ring=canary") {
            "ring=one".clone_into(word);
        }
        swarm.type_in(&label)?;
        swarm.runs_in(&swarm.service(), "v3", &v3)?;
        on.until("it is no canary", || {
            Ok(swarm.running_in(&canary)?.is_empty())
        })
    })
}

#[test]
fn upgrade_leaves_what_a_dead_task_holds() -> Result<()> {
    beside_an_engine("swarm::upgrade_leaves_what_a_dead_task_holds", || {
        let swarm = Swarm::new("dead", &[])?;
        swarm.tasks_kept("5")?;
        upgrade_leaves_what_is_held(
            &swarm,
            || Ok(()),
            |v3| {
                swarm.tasks_kept("1")?;
                // A new limit is heeded when the next task ends.
                swarm.deploy_with(&Swarm::version("v3", v3, Does::Work), &["--force"])?;
                swarm.dead_containers_are_gone()
            },
        )
    })
}
