//! Random hosts and random stories. What must hold of every decision stands in [`super::safety`]; the model checks it
//! in each round, so a property here is mostly a way to get somewhere.

use std::mem::take;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::policy::LocalFallback;
use crate::world::{ContainerState, Health, Readiness};

use super::model::{Host, MINUTE_MS, name, repository, telemetry};
use super::pin_promises::pin_name;

const DIGITS: [char; 5] = ['a', 'b', 'c', 'd', 'e'];
const NAMES: [&str; 14] = [
    "local:latest",
    "local:v1",
    "local:v2",
    "local:v3",
    "remote:v1",
    "remote:v2",
    "remote:v3",
    "remote:latest",
    "mirror.example/docker-sonic-telemetry:v1",
    "docker-gnmi:latest",
    "docker-gnmi:v1",
    "registry.example:5000/docker-gnmi:v2",
    "elsewhere:v1",
    "elsewhere:latest",
];
const CONTAINERS: [&str; 5] = ["telemetry", "gnmi", "k8s_1", "k8s_2", "debug"];
const STATES: [ContainerState; 5] = [
    ContainerState::Created,
    ContainerState::Paused,
    ContainerState::Restarting,
    ContainerState::Exited,
    ContainerState::Dead,
];
const FRESH: [char; 7] = ['3', '4', '5', '6', '7', '8', '9'];
const FRESH_NAMES: [&str; 8] = [
    "remote:v7",
    "remote:v8",
    "remote:v9",
    "local:v2",
    "local:v9",
    "docker-gnmi:v8",
    "docker-gnmi:v9",
    "elsewhere:v9",
];
const LIMITS: [Option<u8>; 5] = [None, Some(1), Some(50), Some(85), Some(99)];
const WAITS: [u64; 6] = [1, 2, 5, 9, 11, 30 * 60];

/// Something that happens to a host between two passes.
#[derive(Clone, Debug)]
enum Happening {
    Tag(char, &'static str),
    Pull(char, &'static str),
    Untag(&'static str),
    Lose(char),
    Run(&'static str, &'static str),
    Start(&'static str),
    State(&'static str, ContainerState),
    Remove(&'static str),
    Health(&'static str, bool),
    Ready(bool),
    Hold(bool),
    Fallbacks(usize),
    Keep(bool),
    Mirror(bool),
    SecondWorkload(bool),
    Leave(bool),
    RollBack,
    Accept,
    Unmount,
    Mount,
    Reboot,
    Wait(u64),
    PassKilledAfter(usize),
    RefuseTags(bool),
    /// What else is on a disk of a thousand bytes; images have one byte each.
    Fill(u64),
    Measurable(bool),
    Pressure(Option<u8>),
    Pin(bool),
    /// Somebody's container, of an image, by the name of the workload's pin on another (or the same), with the label or without.
    Forge(&'static str, char, bool),
    /// All containers that do not run go.
    PruneContainers,
}

/// v2 over v1, which ran locally, and a dry-run image of v1.
fn with_local_fallback() -> Host {
    let mut host = Host::new();
    host.image('a', &["local:latest", "local:v1"]);
    host.run("telemetry", "local:latest");
    host.image('d', &["remote:v1", "remote@d"]);
    host.run("k8s_1", "remote:v1");
    host.minutes(11);
    host.exit("telemetry", 0);
    host.remove_container("k8s_1");
    host.image('b', &["remote:v2"]);
    host.run("k8s_2", "remote:v2");
    host.minutes(9);
    host
}

fn pick<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(all)
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening as H;
    let often = prop_oneof![
        (pick(&DIGITS), pick(&NAMES)).prop_map(|(d, n)| H::Tag(d, n)),
        (pick(&DIGITS), pick(&NAMES)).prop_map(|(d, n)| H::Pull(d, n)),
        (pick(&CONTAINERS), pick(&NAMES)).prop_map(|(c, n)| H::Run(c, n)),
        (pick(&CONTAINERS), pick(&STATES)).prop_map(|(c, s)| H::State(c, s)),
        pick(&CONTAINERS).prop_map(H::Remove),
        pick(&WAITS).prop_map(H::Wait),
    ];
    let sometimes = prop_oneof![
        pick(&NAMES).prop_map(H::Untag),
        pick(&DIGITS).prop_map(H::Lose),
        pick(&CONTAINERS).prop_map(H::Start),
        (pick(&CONTAINERS), any::<bool>()).prop_map(|(c, h)| H::Health(c, h)),
        any::<bool>().prop_map(H::Ready),
        any::<bool>().prop_map(H::Hold),
        (0..3_usize).prop_map(H::Fallbacks),
        Just(H::RollBack),
        prop_oneof![Just(0), 845..860_u64, Just(1000)].prop_map(H::Fill),
        (0..4_usize).prop_map(H::PassKilledAfter),
    ];
    let seldom = prop_oneof![
        any::<bool>().prop_map(H::Keep),
        any::<bool>().prop_map(H::Mirror),
        any::<bool>().prop_map(H::SecondWorkload),
        any::<bool>().prop_map(H::Leave),
        any::<bool>().prop_map(H::RefuseTags),
        any::<bool>().prop_map(H::Measurable),
        any::<bool>().prop_map(H::Pin),
        (pick(&NAMES), pick(&DIGITS), any::<bool>()).prop_map(|(n, d, l)| H::Forge(n, d, l)),
        Just(H::PruneContainers),
        pick(&[None, Some(1), Some(85), Some(99)]).prop_map(H::Pressure),
        Just(H::Accept),
        Just(H::Unmount),
        Just(H::Mount),
        Just(H::Reboot),
    ];
    prop_oneof![6 => often, 2 => sometimes, 1 => seldom]
}

/// A host on which things happen.
struct Story {
    host: Host,
    /// What an unmounted data disk holds.
    away: Option<Box<Host>>,
    /// The policy with all of its workloads.
    left: bool,
}

impl Story {
    fn new(beginning: usize) -> Self {
        let mut host = match beginning {
            0 => Host::new(),
            1 => Host::with_head(),
            2 => Host::with_fallback(),
            _ => with_local_fallback(),
        };
        host.workload().soak_ms = 2 * MINUTE_MS;
        host.workload().pressure_percent = Some(85);
        host.workload().pin = true;
        Self {
            host,
            away: None,
            left: false,
        }
    }

    fn exists(&self, container: &str) -> bool {
        self.host.container_names().iter().any(|n| n == container)
    }

    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Tag(digit, text) => self.host.tag(*digit, text),
            Happening::Pull(digit, text) => {
                self.host.image(*digit, &[text]);
                let repository = name(text).repository().to_string();
                self.host.tag(*digit, &format!("{repository}@{digit}"));
            }
            Happening::Untag(text) => self.host.untag(text),
            Happening::Lose(digit) => self.host.lose_image(*digit),
            Happening::Run(container, text) => self.run(container, text),
            Happening::Start(container) if self.exists(container) => self.host.start(container),
            Happening::State(container, state) if self.exists(container) => {
                self.host.set_state(container, *state);
            }
            Happening::Remove(container) => self.host.remove_container(container),
            Happening::Health(container, healthy) if self.exists(container) => {
                let health = if *healthy {
                    Health::Healthy
                } else {
                    Health::Unhealthy
                };
                self.host.set_health(container, health);
            }
            Happening::Start(_) | Happening::State(..) | Happening::Health(..) => {}
            Happening::Wait(minutes) => self.host.later(*minutes),
            Happening::PassKilledAfter(changes) => self.host.pass_killed_after(*changes),
            Happening::RefuseTags(refuses) => self.host.refuses_tags = *refuses,
            Happening::Reboot => self.host.reboot(),
            Happening::Forge(text, digit, labelled) => self.forge(text, *digit, *labelled),
            Happening::PruneContainers => {
                let runs = |c: &crate::world::Container| c.state == ContainerState::Running;
                self.host.containers.retain(runs);
            }
            Happening::Fill(bytes) => self.host.other_bytes = *bytes,
            Happening::Measurable(can) => self.host.disk_bytes = can.then_some(1000),
            Happening::Unmount | Happening::Mount => {
                self.toggle_disk(matches!(happening, Happening::Mount));
            }
            other => self.govern(other),
        }
    }

    fn run(&mut self, container: &str, text: &str) {
        let reference = name(text);
        if self
            .host
            .images
            .iter()
            .any(|image| image.references.contains(&reference))
        {
            self.host.remove_container(container);
            self.host.run(container, text);
        }
    }

    fn forge(&mut self, text: &str, digit: char, labelled: bool) {
        let name = pin_name("telemetry", digit);
        self.run(&name, text);
        if self.exists(&name) {
            let forged = self.host.container(&name);
            forged.pin = labelled.then(|| "telemetry".to_owned());
            forged.state = ContainerState::Exited;
        }
    }

    fn toggle_disk(&mut self, mount: bool) {
        if mount {
            if let Some(away) = self.away.take() {
                self.host.images = away.images;
                self.host.containers = away.containers;
            }
        } else if self.away.is_none() {
            self.away = Some(Box::new(self.host.clone()));
            self.host.images = Vec::new();
            self.host.containers = Vec::new();
        }
    }

    /// What the operator does.
    fn govern(&mut self, happening: &Happening) {
        if let Happening::SecondWorkload(wanted) = happening {
            if *wanted {
                self.host
                    .add_workload("gnmi", "docker-gnmi", "registry.example:5000/docker-gnmi");
            } else {
                self.host.policy.workloads.remove("gnmi");
            }
            return;
        }
        if let Happening::Leave(leaves) = happening {
            if self.left != *leaves {
                let rest = take(&mut self.host.policy.workloads);
                self.host.policy.workloads = if *leaves {
                    rest
                } else {
                    Host::new().policy.workloads
                };
                if *leaves {
                    self.host.policy.workloads.remove("telemetry");
                }
                self.left = *leaves;
            }
            return;
        }
        if self.left || !self.host.state.workloads.contains_key(&telemetry()) {
            return;
        }
        match happening {
            Happening::Ready(ready) => {
                self.host.ask_ready();
                let answer = if *ready {
                    Readiness::Ready
                } else {
                    Readiness::NotReady("no".to_owned())
                };
                self.host.readiness.insert(telemetry(), answer);
            }
            Happening::Hold(hold) => self.host.workload().hold = *hold,
            Happening::Pin(pin) => self.host.workload().pin = *pin,
            Happening::Pressure(percent) => self.host.workload().pressure_percent = *percent,
            Happening::Fallbacks(fallbacks) => self.host.workload().fallbacks = *fallbacks,
            Happening::Keep(keep) => {
                let kept = if *keep {
                    LocalFallback::Keep
                } else {
                    LocalFallback::Drop
                };
                self.host.workload().local_fallback = kept;
            }
            Happening::Mirror(mirror) => {
                let remotes = &mut self.host.workload().remotes;
                remotes.truncate(1);
                if *mirror {
                    remotes.push(repository("mirror.example/docker-sonic-telemetry"));
                }
            }
            Happening::RollBack => self.roll_back(),
            Happening::Accept => self.host.known_mut().rejected.clear(),
            _ => {}
        }
    }

    fn roll_back(&mut self) {
        let host = &mut self.host;
        let world = host.observe();
        let now = host.now();
        let current = crate::decide::decide(&host.policy, &host.state, &world, &now).state;
        if let Ok(plan) =
            crate::decide::rollback(&host.policy, &current, &world, &now, &telemetry())
        {
            host.state = plan.state;
            let target = plan.target.as_ref().map(|(_, image)| image);
            for action in crate::decide::rollback_actions(
                &host.policy,
                &host.state,
                &world,
                &now,
                &telemetry(),
                target,
            ) {
                host.apply(&action);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_story_breaks_a_promise(beginning in 0..4_usize, happenings in vec((happening(), any::<bool>()), 1..60)) {
        let mut story = Story::new(beginning);
        for (happening, pass) in &happenings {
            story.happen(happening);
            if *pass {
                story.host.later(1);
                story.host.pass();
            }
        }
        story.host.later(1);
        story.host.pass();
    }

    /// Two workloads, each with its own limit, and images that nobody or somebody runs, of any age and size.
    #[test]
    fn no_full_disk_breaks_a_promise(
        images in vec((pick(&FRESH), pick(&FRESH_NAMES), 1..300_u64, 0..90_u64, 0..8_u32), 1..9),
        used_bytes in 0..1500_u64,
        limits in (pick(&LIMITS), pick(&LIMITS)),
    ) {
        let mut host = Host::with_fallback();
        host.add_workload("gnmi", "docker-gnmi", "registry.example:5000/docker-gnmi");
        host.pass();
        for (digit, text, size_bytes, minutes, happens) in images {
            host.sized_image(digit, size_bytes, &[text]);
            host.pass();
            match happens {
                0 => host.run(&format!("of_{digit}"), text),
                1 => host.remove_container(&format!("of_{digit}")),
                _ => {}
            }
            host.later(minutes);
        }
        host.pass();
        for (workload, limit) in [("telemetry", limits.0), ("gnmi", limits.1)] {
            host.policy.workloads.get_mut(workload).unwrap().pressure_percent = limit;
        }
        for _ in 0..3 {
            let held: u64 = host.images.iter().map(|image| image.size_bytes).sum();
            host.other_bytes = used_bytes.saturating_sub(held);
            host.pass();
            host.later(5);
        }
    }
}
