//! Docker Swarm: one node, and a global service in the network of the host, as on a switch.

use anyhow::{Context, Result, bail, ensure};

use crate::beside::beside_an_engine;
use crate::deployed::{Deployed, Release};
use crate::engine::{DAY, HOUR, MINUTE};
use crate::story::{gives_way, service_starts, ships};

const EXAMPLE: &str = include_str!("../../config/examples/swarm.toml");
const FLEET_PAGE: &str = include_str!("../../docs/fleet.md");
/// The workload of the example.
const WORKLOAD: &str = "gateway";

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

/// How a service names what it deploys.
#[derive(Clone, Copy, Debug)]
enum Named {
    /// `repository:tag`, with `--no-resolve-image`.
    Tag,
    /// `repository:tag@digest`, which is what Swarm makes of a tag.
    TagAndDigest,
    /// `repository@digest`.
    Digest,
}

/// A host that is a node of a swarm.
struct Swarm {
    on: Deployed,
}

impl Swarm {
    /// A new swarm of this one node, that keeps so many tasks; and the example's policy, with these lines instead.
    fn new(story: &str, tasks_kept: &str, instead: &[&str]) -> Result<Self> {
        let on = Deployed::new(story)?;
        let swarm = Self { on };
        let pattern = format!("orchestrated = \"{}.*\"", swarm.service());
        let lines: Vec<&str> = [pattern.as_str()].iter().chain(instead).copied().collect();
        swarm.on.set_example(EXAMPLE, &lines)?;
        swarm.init(tasks_kept)?;
        Ok(swarm)
    }

    /// `docker` with these words.
    fn type_in(&self, words: &[String]) -> Result<()> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.docker(&words, &[])
    }

    fn init(&self, tasks_kept: &str) -> Result<()> {
        let address = [
            "--advertise-addr",
            "127.0.0.1",
            "--listen-addr",
            "127.0.0.1",
        ];
        let history = ["--task-history-limit", tasks_kept];
        self.docker(&["swarm", "init"], &[&address, &history])
    }

    fn service(&self) -> String {
        format!("edge_{}", self.on.host.container())
    }

    fn docker(&self, command: &[&str], args: &[&[&str]]) -> Result<()> {
        self.on.host.docker(&[command, &args.concat()].concat())?;
        Ok(())
    }

    fn image(&self, tag: &str, release: &Release, named: Named) -> String {
        let repository = self.on.host.name("remote");
        match named {
            // Swarm asks the registry for the digest itself.
            Named::Tag | Named::TagAndDigest => format!("{repository}:{tag}"),
            Named::Digest => format!("{repository}@{}", release.digest),
        }
    }

    fn resolving(named: Named) -> &'static [&'static str] {
        match named {
            Named::Tag => &["--no-resolve-image"],
            Named::TagAndDigest | Named::Digest => &[],
        }
    }

    /// The service is made, and its task runs this version.
    fn create_named(&self, tag: &str, release: &Release, named: Named) -> Result<()> {
        let (name, image) = (self.service(), self.image(tag, release, named));
        let options = [Self::resolving(named), &["--name", &name, &image]].concat();
        self.docker(&["service", "create"], &[&SERVICE, &options])?;
        self.runs(tag, release)
    }

    fn create(&self, tag: &str, release: &Release) -> Result<()> {
        self.create_named(tag, release, Named::TagAndDigest)
    }

    /// The service is told to run this version; what comes of it is another matter.
    fn deploy(&self, tag: &str, release: &Release, named: Named, options: &[&str]) -> Result<()> {
        let (name, image) = (self.service(), self.image(tag, release, named));
        let what = ["--detach", "--quiet", "--image", &image, &name];
        self.docker(
            &["service", "update"],
            &[Self::resolving(named), options, &what],
        )
    }

    /// The service is told to run this version, and does.
    fn update(&self, tag: &str, release: &Release) -> Result<()> {
        self.deploy(tag, release, Named::TagAndDigest, &[])?;
        self.runs(tag, release)
    }

    /// `docker service rollback`: what it ran before.
    fn roll_back(&self, tag: &str, release: &Release) -> Result<()> {
        let name = self.service();
        self.docker(&["service", "rollback"], &[&["--detach", "--quiet", &name]])?;
        self.runs(tag, release)
    }

    /// Waits until one task runs, and its image is this.
    fn runs(&self, tag: &str, release: &Release) -> Result<()> {
        self.runs_in(&self.service(), tag, release)
    }

    fn runs_in(&self, service: &str, tag: &str, release: &Release) -> Result<()> {
        self.on.until(&format!("{tag} runs"), || {
            let images = self.running_in(service)?;
            Ok(matches!(&images[..], [image] if *image == release.id))
        })
    }

    /// The images of the service's containers that run.
    fn running(&self) -> Result<Vec<String>> {
        self.running_in(&self.service())
    }

    fn running_in(&self, service: &str) -> Result<Vec<String>> {
        let label = format!("label=com.docker.swarm.service.name={service}");
        let list = [
            "ps",
            "--no-trunc",
            "--filter",
            &label,
            "--format",
            "{{.Names}}",
        ];
        let names = self.on.host.docker(&list)?;
        // One that is listed may be gone a moment later.
        Ok(names
            .lines()
            .filter_map(|name| self.on.host.image_of(name).ok())
            .collect())
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

    /// Waits until the engine has no container of a task that ended.
    fn dead_tasks_are_gone(&self) -> Result<()> {
        self.on.until("the dead tasks are gone", || {
            let label = format!("label=com.docker.swarm.service.name={}", self.service());
            let list = self
                .on
                .host
                .docker(&["ps", "--all", "--quiet", "--filter", &label])?;
            Ok(list.lines().count() == self.running()?.len())
        })
    }

    /// The node leaves the swarm, which takes its containers along.
    fn leave(&self) -> Result<()> {
        self.docker(&["swarm", "leave"], &[&["--force"]])?;
        self.on
            .until("no task runs", || Ok(self.running()?.is_empty()))
    }
}

/// The swarm ends before its engine does, or the engine would start new containers while the old ones are removed.
impl Drop for Swarm {
    fn drop(&mut self) {
        drop(self.on.host.docker(&["swarm", "leave", "--force"]));
    }
}

/// Local v1 works, the same version idles beside it, and is no upgrade whatever becomes of the local container. Then v2 is one:
/// the v1 that worked is the fallback, and the one that never did is gone.
fn idles_beside_the_local_one(named: Named) -> Result<()> {
    let swarm = Swarm::new("dry", "1", &["dry_runs = true"])?;
    let on = &swarm.on;
    let [v1, v2] = [("v1", "idles"), ("v2", "works")].map(|(tag, text)| on.publish(tag, text));
    let (remote_v1, v2) = (v1?, v2?);
    let local_v1 = ships(&on.host, "v1")?;
    on.soaks()?;
    swarm.create_named("v1", &remote_v1, named)?;
    on.soaks()?;
    on.latest_is(&local_v1)?;
    on.holds(&[&local_v1, &remote_v1.id], &[])?;

    gives_way(&on.host)?;
    on.soaks()?;
    on.latest_is(&local_v1)
        .context("the local container has stopped; v1 still idles")?;
    on.holds(&[&local_v1, &remote_v1.id], &[])?;
    service_starts(&on.host)?;
    on.soaks()?;
    on.latest_is(&local_v1)?;
    ensure!(on.host.image_of(&on.host.container())? == local_v1);

    gives_way(&on.host)?;
    swarm.deploy("v2", &v2, named, &[])?;
    swarm.runs("v2", &v2)?;
    on.soaks()?;
    on.latest_is(&v2.id)?;
    swarm.dead_tasks_are_gone()?;
    on.pass()?;
    on.holds(&[&local_v1, &v2.id], &[&remote_v1.id])?;
    on.survives_a_prune(&local_v1)
}

#[test]
fn dry_run_by_tag_promotes_nothing() -> Result<()> {
    let name = "swarm::dry_run_by_tag_promotes_nothing";
    beside_an_engine(name, || idles_beside_the_local_one(Named::Tag))
}

#[test]
fn dry_run_by_tag_and_digest_promotes_nothing() -> Result<()> {
    let name = "swarm::dry_run_by_tag_and_digest_promotes_nothing";
    beside_an_engine(name, || idles_beside_the_local_one(Named::TagAndDigest))
}

#[test]
fn dry_run_by_digest_promotes_nothing() -> Result<()> {
    let name = "swarm::dry_run_by_digest_promotes_nothing";
    beside_an_engine(name, || idles_beside_the_local_one(Named::Digest))
}

#[test]
fn upgrade_is_promoted_and_cleaned_up() -> Result<()> {
    beside_an_engine("swarm::upgrade_is_promoted_and_cleaned_up", || {
        let swarm = Swarm::new("upgrade", "1", &[])?;
        let on = &swarm.on;
        let v2 = on.publish("v2", "second")?;
        let v3 = on.publish("v3", "third")?;
        let v1 = ships(&on.host, "v1")?;
        on.soaks()?;
        gives_way(&on.host)?;
        swarm.create("v2", &v2)?;
        on.pass()?;
        on.latest_is(&v1).context("v2 soaks")?;
        on.soaks()?;
        on.latest_is(&v2.id)?;
        ensure!(on.host.state(&on.host.container())?.is_none(), "R2");
        on.holds(&[&v1, &v2.id], &[])?;
        on.survives_a_prune(&v1)?;

        // Both run for a moment, and nothing can be told then.
        swarm.deploy(
            "v3",
            &v3,
            Named::TagAndDigest,
            &["--update-order", "start-first"],
        )?;
        swarm.runs("v3", &v3)?;
        swarm.dead_tasks_are_gone()?;
        on.soaks()?;
        on.latest_is(&v3.id)?;
        on.holds(&[&v2.id, &v3.id], &[&v1])?;
        on.survives_a_prune(&v2.id)
    })
}

/// A command of `docker`, word by word.
type Line = Vec<String>;

/// What docs/fleet.md has an operator type for Swarm, up to the gate and behind it; each line as words, with the names of this
/// host and the options of every service here.
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
        let swarm = Swarm::new("gate", "1", &["orchestrated = \"edge_*\""])?;
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
        let gate = ["wait", WORKLOAD, "v3", "--timeout=1s"];
        let ran = on.tagkeeper(&gate)?;
        ensure!(ran.code == Some(3), "the gate is closed: {ran:#?}");
        on.soaks()?;
        let ran = on.tagkeeper(&gate)?;
        ensure!(ran.code == Some(0), "the gate is open: {ran:#?}");

        // The others get v3 as well: this node does once it is one of them.
        swarm.type_in(&after[0])?;
        ensure!(
            swarm.running()?.is_empty(),
            "a canary is none of the others"
        );
        let mut label = labels[0].clone();
        for word in label.iter_mut().filter(|word| *word == "ring=canary") {
            "ring=one".clone_into(word);
        }
        swarm.type_in(&label)?;
        swarm.runs("v3", &v3)?;
        on.until("it is no canary", || {
            Ok(swarm.running_in(&canary)?.is_empty())
        })
    })
}

#[test]
fn upgrade_leaves_what_a_dead_task_holds() -> Result<()> {
    beside_an_engine("swarm::upgrade_leaves_what_a_dead_task_holds", || {
        let swarm = Swarm::new("dead", "5", &[])?;
        let on = &swarm.on;
        let releases = ["v1", "v2", "v3"].map(|tag| on.publish(tag, tag));
        let [v1, v2, v3] = releases;
        let (v1, v2, v3) = (v1?, v2?, v3?);
        swarm.create("v1", &v1)?;
        on.soaks()?;
        on.latest_is(&v1.id)?;
        for (tag, release) in [("v2", &v2), ("v3", &v3)] {
            swarm.update(tag, release)?;
            on.soaks()?;
            on.latest_is(&release.id)?;
        }
        on.later(3 * DAY);
        on.pass()?;
        on.holds(&[&v1.id, &v2.id, &v3.id], &[])?;

        swarm.tasks_kept("1")?;
        // A new limit is heeded when the next task ends.
        swarm.deploy("v3", &v3, Named::TagAndDigest, &["--force"])?;
        swarm.dead_tasks_are_gone()?;
        on.pass()?;
        on.latest_is(&v3.id)?;
        on.holds(&[&v2.id, &v3.id], &[&v1.id])
    })
}

#[test]
fn crash_is_rolled_back_by_swarm() -> Result<()> {
    beside_an_engine("swarm::crash_is_rolled_back_by_swarm", || {
        let swarm = Swarm::new("crash", "1", &[])?;
        let on = &swarm.on;
        let v2 = on.publish("v2", "second")?;
        let v3 = on.publish("v3", "crashes")?;
        let v1 = ships(&on.host, "v1")?;
        on.soaks()?;
        gives_way(&on.host)?;
        swarm.create("v2", &v2)?;
        on.soaks()?;
        on.latest_is(&v2.id)?;

        swarm.deploy("v3", &v3, Named::TagAndDigest, &CRASHES)?;
        on.until("Swarm has rolled back", || {
            Ok(swarm.update_state()? == "rollback_completed")
        })?;
        swarm.runs("v2", &v2)?;
        on.latest_is(&v2.id)?;
        on.holds(&[&v1, &v2.id, &v3.id], &[])?;
        on.soaks()?;
        on.latest_is(&v2.id)?;
        on.holds(&[&v1, &v2.id, &v3.id], &[])?;

        swarm.dead_tasks_are_gone()?;
        on.pass()?;
        on.later(DAY + HOUR);
        on.pass()?;
        on.latest_is(&v2.id)?;
        on.holds(&[&v1, &v2.id], &[&v3.id])?;
        on.survives_a_prune(&v1)
    })
}

#[test]
fn rollback_while_swarm_still_deploys_the_bad_version() -> Result<()> {
    let name = "swarm::rollback_while_swarm_still_deploys_the_bad_version";
    beside_an_engine(name, || {
        let swarm = Swarm::new("person", "1", &[])?;
        let on = &swarm.on;
        let v2 = on.publish("v2", "second")?;
        let v3 = on.publish("v3", "crashes")?;
        let v4 = on.publish("v4", "runs, and does nothing useful")?;
        let v1 = ships(&on.host, "v1")?;
        on.soaks()?;
        gives_way(&on.host)?;
        swarm.create("v2", &v2)?;
        on.soaks()?;

        // In a crash loop: v3 was never latest, and is not what latest goes back from.
        let loops = [&["--update-failure-action", "continue"], &CRASHES[..]].concat();
        swarm.deploy("v3", &v3, Named::TagAndDigest, &loops)?;
        on.until("v3 has crashed", || {
            let ended = ["ps", "--all", "--quiet", "--filter", "exited=3"];
            Ok(!on.host.docker(&ended)?.is_empty())
        })?;
        on.passes(2 * MINUTE)?;
        let ran = on.tagkeeper(&["rollback", "--yes", WORKLOAD])?;
        ensure!(ran.code == Some(0), "{ran:#?}");
        on.latest_is(&v2.id)?;
        on.soaks()?;
        on.latest_is(&v2.id)?;
        on.holds(&[&v1, &v2.id], &[])?;
        swarm.roll_back("v2", &v2)?;
        on.soaks()?;
        on.latest_is(&v2.id)?;
        on.holds(&[&v1, &v2.id], &[])?;

        // Promoted, and bad all the same. Swarm goes on with it for an hour.
        swarm.update("v4", &v4)?;
        on.soaks()?;
        on.latest_is(&v4.id)?;
        let ran = on.tagkeeper(&["rollback", "--yes", WORKLOAD])?;
        ensure!(ran.code == Some(0), "{ran:#?}");
        on.latest_is(&v2.id)?;
        on.passes(HOUR)?;
        on.latest_is(&v2.id)?;
        ensure!(
            swarm.running()? == [v4.id.as_str()],
            "nobody stops its task"
        );
        swarm.roll_back("v2", &v2)?;
        swarm.dead_tasks_are_gone()?;
        on.soaks()?;
        on.later(DAY + HOUR);
        on.pass()?;
        on.latest_is(&v2.id)?;
        on.holds(&[&v2.id], &[&v3.id, &v4.id])?;
        on.survives_a_prune(&v2.id)
    })
}

#[test]
fn gone_and_the_local_service_runs_the_promoted_version() -> Result<()> {
    let name = "swarm::gone_and_the_local_service_runs_the_promoted_version";
    beside_an_engine(name, || {
        let swarm = Swarm::new("gone", "5", &[])?;
        let on = &swarm.on;
        let local = on.host.container();
        let v2 = on.publish("v2", "second")?;
        let v3 = on.publish("v3", "third")?;
        let v1 = ships(&on.host, "v1")?;
        on.soaks()?;
        gives_way(&on.host)?;
        swarm.create("v2", &v2)?;
        on.soaks()?;

        swarm.leave()?;
        service_starts(&on.host)?;
        ensure!(on.host.image_of(&local)? == v2.id, "v2 is what worked last");
        on.soaks()?;
        on.later(3 * DAY);
        on.soaks()?;
        on.latest_is(&v2.id)?;
        on.holds(&[&v1, &v2.id], &[])?;
        ensure!(on.host.state(&local)?.as_deref() == Some("running"));

        // The node joins another swarm. That one has its service removed.
        swarm.init("5")?;
        gives_way(&on.host)?;
        swarm.create("v3", &v3)?;
        on.soaks()?;
        on.latest_is(&v3.id)?;
        swarm.docker(&["service", "rm"], &[&[&swarm.service()]])?;
        on.until("no task runs", || Ok(swarm.running()?.is_empty()))?;
        service_starts(&on.host)?;
        ensure!(on.host.image_of(&local)? == v3.id, "v3 is what worked last");
        on.soaks()?;
        on.latest_is(&v3.id)?;
        on.holds(&[&v2.id, &v3.id], &[&v1])
    })
}

#[test]
fn moving_tag_over_three_releases() -> Result<()> {
    beside_an_engine("swarm::moving_tag_over_three_releases", || {
        let swarm = Swarm::new("moving", "1", &[])?;
        let on = &swarm.on;
        let shipped = ships(&on.host, "stable")?;
        on.soaks()?;
        gives_way(&on.host)?;
        let mut proven = vec![shipped];
        for build in ["first", "second", "third"] {
            let release = on.publish("stable", build)?;
            if proven.len() == 1 {
                swarm.create("stable", &release)?;
            } else {
                swarm.update("stable", &release)?;
            }
            on.pass()?;
            on.latest_is(&proven[proven.len() - 1])
                .context("it soaks")?;
            on.soaks()?;
            on.latest_is(&release.id)?;
            proven.push(release.id);
            swarm.dead_tasks_are_gone()?;
            on.pass()?;
            let (older, kept) = proven.split_at(proven.len() - 2);
            let (kept, older): (Vec<&str>, Vec<&str>) = (
                kept.iter().map(String::as_str).collect(),
                older.iter().map(String::as_str).collect(),
            );
            on.holds(&kept, &older)?;
            on.survives_a_prune(kept[0])?;
        }
        Ok(())
    })
}
