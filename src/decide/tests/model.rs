//! A model host: images, containers, a clock, and passes over them. Stories read `local:v1` and `remote:v1` for names,
//! `'a'` for the image whose id is sixty-four times that digit.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::{
    Action, Decision, Event, EventKind, Inquiry, Plan, Reason, WorkloadPlan, decide, inquiries,
};
use crate::image::{ImageId, Reference, Repository};
use crate::policy::{EnginePolicy, Policy, Ready, Workload, WorkloadName};
use crate::state::{Now, Reading, State, WorkloadState};
use crate::world::{Container, ContainerId, Details, Image, Readiness, World};

use super::safety;

pub(super) const MINUTE_MS: u64 = 60_000;
pub(super) const DAY_MINUTES: u64 = 24 * 60;
const MAX_ROUNDS: usize = 6;

const LOCAL: &str = "docker-sonic-telemetry";
const REMOTE: &str = "registry.example:5000/docker-sonic-telemetry";

/// The id of an image, from one hexadecimal digit.
pub(super) fn id(digit: char) -> ImageId {
    ImageId::new(digit.to_string().repeat(64))
}

/// The digit of an id.
pub(super) fn digit(image: &ImageId) -> char {
    image.to_string().chars().last().unwrap()
}

/// A name: `local:v1`, `remote:v1`, `remote@a`, or any reference in full.
pub(super) fn name(text: &str) -> Reference {
    let text = match text.split_once('@') {
        Some((repository, digit)) if digit.len() == 1 => {
            format!("{repository}@sha256:{}", digit.repeat(64))
        }
        _ => text.to_owned(),
    };
    let repository = |short: &str, full: &str| {
        let rest = text
            .strip_prefix(short)
            .filter(|rest| rest.starts_with([':', '@']))?;
        Some(format!("{full}{rest}"))
    };
    let full = repository("local", LOCAL)
        .or_else(|| repository("remote", REMOTE))
        .unwrap_or(text.clone());
    Reference::parse(&full).unwrap()
}

/// The name as stories write it.
pub(super) fn short_name(reference: &Reference) -> String {
    let text = reference.to_string();
    let (repository, rest) = text.split_at(reference.repository().as_str().len());
    let repository = match repository {
        LOCAL => "local",
        REMOTE => "remote",
        other => other,
    };
    let rest = if reference.is_digest() {
        format!("@{}", &rest[rest.len() - 1..])
    } else {
        rest.to_owned()
    };
    format!("{repository}{rest}")
}

pub(super) fn repository(text: &str) -> Repository {
    Repository::parse(text).unwrap()
}

pub(super) fn telemetry() -> WorkloadName {
    WorkloadName::new("telemetry")
}

/// The host.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) policy: Policy,
    /// The state as it was last saved.
    pub(super) state: State,
    pub(super) images: Vec<Image>,
    pub(super) containers: Vec<Container>,
    pub(super) details: BTreeMap<ContainerId, Details>,
    /// What the `ready` commands would say; ready where nothing is written.
    pub(super) readiness: BTreeMap<WorkloadName, Readiness>,
    /// The size of the filesystem of the engine's data; none if it cannot be measured.
    pub(super) disk_bytes: Option<u64>,
    /// What is on it besides the images.
    pub(super) other_bytes: u64,
    /// Whether the disk's fullness may be asked for: until the first removal of a pass.
    pub(super) measures: bool,
    pub(super) uptime_ms: u64,
    /// Whether containers keep the reference they were created from when the tag has moved (Docker rewrites it).
    pub(super) keeps_references: bool,
    /// Whether the engine fails on every tag.
    pub(super) refuses_tags: bool,
    /// Of the last pass: events, questions, actions that changed the engine.
    pub(super) events: Vec<Event>,
    pub(super) asked: Vec<Inquiry>,
    pub(super) acted: Vec<String>,
    pub(super) saves: usize,
    pub(super) starts: u32,
}

impl Host {
    /// An empty host, with one workload in the policy.
    pub(super) fn new() -> Self {
        let mut workload = Workload::new("telemetry", repository(LOCAL));
        workload.remotes = vec![repository(REMOTE)];
        Self {
            policy: Policy {
                engine: EnginePolicy::default(),
                workloads: BTreeMap::from([(telemetry(), workload)]),
                ..Policy::default()
            },
            state: State::fresh(),
            images: Vec::new(),
            containers: Vec::new(),
            details: BTreeMap::new(),
            readiness: BTreeMap::new(),
            disk_bytes: Some(1000),
            other_bytes: 0,
            measures: true,
            uptime_ms: 0,
            keeps_references: false,
            refuses_tags: false,
            events: Vec::new(),
            asked: Vec::new(),
            acted: Vec::new(),
            saves: 0,
            starts: 0,
        }
    }

    /// v1 (`a`) is proven: it came from the orchestrator and serves.
    pub(super) fn with_head() -> Self {
        let mut host = Self::new();
        host.image('a', &["local:latest", "remote:v1"]);
        host.run("k8s_v1", "remote:v1");
        host.minutes(11);
        assert_eq!(host.lineage(), ["v1=a"]);
        host
    }

    /// v2 (`b`) is proven and serves, v1 (`a`) is its fallback.
    pub(super) fn with_fallback() -> Self {
        let mut host = Self::with_head();
        host.upgrade('b', "v2");
        assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
        host
    }

    /// The orchestrator replaces what it runs by this version, which soaks and is promoted.
    pub(super) fn upgrade(&mut self, digit: char, version: &str) {
        self.deploy(digit, version);
        self.minutes(11);
        assert_eq!(
            self.lineage().first().map(String::as_str),
            Some(&*format!("{version}={digit}"))
        );
    }

    /// The orchestrator pulls a version and runs it in place of what it ran.
    pub(super) fn deploy(&mut self, digit: char, version: &str) {
        let reference = format!("remote:{version}");
        self.image(digit, &[&reference]);
        for old in self
            .container_names()
            .iter()
            .filter(|n| n.starts_with("k8s_"))
        {
            self.remove_container(old);
        }
        self.run(&format!("k8s_{version}"), &reference);
    }

    /// The orchestrator deploys a version that is up for three minutes, and ends with an error.
    pub(super) fn deploy_in_vain(&mut self, digit: char, version: &str) {
        self.deploy(digit, version);
        self.minutes(3);
        self.exit(&format!("k8s_{version}"), 1);
        self.pass();
    }

    pub(super) fn workload(&mut self) -> &mut Workload {
        self.policy.workloads.get_mut(&telemetry()).unwrap()
    }

    /// A second workload, with its remote.
    pub(super) fn add_workload(&mut self, name: &str, local: &str, remote: &str) {
        let mut workload = Workload::new(name, repository(local));
        workload.remotes = vec![repository(remote)];
        self.policy
            .workloads
            .insert(WorkloadName::new(name), workload);
    }

    pub(super) fn ask_ready(&mut self) {
        self.workload().ready = Some(Ready {
            command: vec!["/bin/true".to_owned()],
            timeout_ms: 1000,
        });
    }

    pub(super) fn minute(&self) -> u64 {
        self.uptime_ms / MINUTE_MS
    }

    /// Time goes by, and nobody looks.
    pub(super) fn later(&mut self, minutes: u64) {
        self.uptime_ms += minutes * MINUTE_MS;
    }

    /// As many passes as minutes, as the timer runs them: the first right away.
    pub(super) fn minutes(&mut self, passes: u64) {
        for _ in 0..passes {
            self.pass();
            self.later(1);
        }
    }

    pub(super) fn now(&self) -> Now {
        self.state.clock.advance(&Reading {
            monotonic_ms: self.uptime_ms,
            wall: format!("minute {}", self.minute()),
        })
    }

    /// The world, with the answers to what the decision asks.
    pub(super) fn observe(&mut self) -> World {
        let mut world = self.listed();
        loop {
            let mut open = inquiries(&self.policy, &self.state, &world, &self.now());
            open.retain(|inquiry| self.measures || *inquiry != Inquiry::MeasureDisk);
            if open.is_empty() {
                return world;
            }
            for inquiry in &open {
                assert!(!is_answered(&world, inquiry), "asked again: {inquiry:?}");
                match inquiry {
                    Inquiry::Inspect(container) => {
                        world
                            .details
                            .insert(container.clone(), self.details[container].clone());
                    }
                    Inquiry::AskReady { workload, .. } => {
                        let answer = self
                            .readiness
                            .get(workload)
                            .cloned()
                            .unwrap_or(Readiness::Ready);
                        world.readiness.insert(workload.clone(), answer);
                    }
                    Inquiry::MeasureDisk => world.disk = Some(self.disk_now()),
                }
            }
            self.asked.extend(open);
        }
    }

    /// What `plan` would show now.
    pub(super) fn look(&self) -> Decision {
        let mut copy = self.clone();
        copy.measures = true;
        let world = copy.observe();
        decide(&self.policy, &self.state, &world, &self.now())
    }

    /// One pass at the present moment: rounds until nothing is left to do.
    pub(super) fn pass(&mut self) {
        self.pass_killed_after(usize::MAX);
    }

    /// A pass that dies after so many changes to the engine; with none, right after the first save.
    pub(super) fn pass_killed_after(&mut self, changes: usize) {
        self.events.clear();
        self.asked.clear();
        self.acted.clear();
        self.measures = true;
        let now = self.now();
        let mut tried = BTreeSet::new();
        for _ in 0..MAX_ROUNDS {
            let world = self.observe();
            let decision = decide(&self.policy, &self.state, &world, &now);
            safety::check(&self.policy, &self.state, &world, &now, &decision);
            if decision.save {
                self.state = decision.state;
                self.saves += 1;
            }
            self.events.extend(decision.events);
            let mut quiet = true;
            for (workload, action) in decision.plan.actions() {
                if self.acted.len() >= changes {
                    return;
                }
                if tried.insert((workload.clone(), action.clone())) {
                    quiet = false;
                    self.measures &= !matches!(action, Action::RemoveImage { .. });
                    if self.apply(action) {
                        self.acted.push(describe(action));
                    }
                    if self.acted.len() >= changes {
                        return;
                    }
                }
            }
            if quiet {
                return;
            }
        }
        panic!("no rest within {MAX_ROUNDS} rounds: {:?}", self.acted);
    }

    pub(super) fn plan(&self) -> WorkloadPlan {
        let mut plan = self.look().plan;
        plan.sort_by_names();
        let Plan { mut workloads, .. } = plan;
        workloads.remove(&telemetry()).unwrap()
    }

    /// What a pass would do next.
    pub(super) fn actions(&self) -> Vec<String> {
        self.look()
            .plan
            .actions()
            .into_iter()
            .map(|(_, action)| describe(action))
            .collect()
    }

    /// The one reason that a name has now.
    pub(super) fn reason(&self, text: &str) -> Reason {
        let reference = name(text);
        let plan = self.look().plan;
        let all: Vec<_> = plan
            .workloads
            .values()
            .flat_map(|w| &w.images)
            .filter(|judgement| judgement.reference.as_ref() == Some(&reference))
            .collect();
        let [judgement] = all[..] else {
            panic!("{} verdicts for {text}", all.len())
        };
        assert_eq!(judgement.verdict(), judgement.reason.verdict());
        judgement.reason
    }

    pub(super) fn known(&self) -> &WorkloadState {
        &self.state.workloads[&telemetry()]
    }

    pub(super) fn known_mut(&mut self) -> &mut WorkloadState {
        self.state.workloads.get_mut(&telemetry()).unwrap()
    }

    /// Who serves now, by name.
    pub(super) fn serving(&self) -> Option<String> {
        self.plan().serving.map(|serving| serving.container)
    }

    /// The lineage as `version=digit`.
    pub(super) fn lineage(&self) -> Vec<String> {
        let Some(known) = self.state.workloads.get(&telemetry()) else {
            return Vec::new();
        };
        known
            .lineage
            .iter()
            .map(|p| format!("{}={}", p.version, digit(&p.image)))
            .collect()
    }

    /// The pending upgrade as `version=digit`.
    pub(super) fn pending(&self) -> Option<String> {
        let pending = self.known().pending.as_ref()?;
        Some(format!("{}={}", pending.version, digit(&pending.image)))
    }

    pub(super) fn retired(&self) -> Vec<char> {
        self.known().retired.iter().map(digit).collect()
    }

    /// How the kinds of the last pass's events read.
    pub(super) fn told(&self) -> Vec<EventKind> {
        self.events.iter().map(|event| event.kind).collect()
    }
}

fn is_answered(world: &World, inquiry: &Inquiry) -> bool {
    match inquiry {
        Inquiry::Inspect(container) => world.details.contains_key(container),
        Inquiry::AskReady { workload, .. } => world.readiness.contains_key(workload),
        Inquiry::MeasureDisk => world.disk.is_some(),
    }
}

/// An action as stories write it.
pub(super) fn describe(action: &Action) -> String {
    match action {
        Action::Tag {
            image, reference, ..
        } => format!("tag {} {}", digit(image), short_name(reference)),
        Action::CreatePin { container, .. } => format!("pin {container}"),
        Action::RemovePin { container, .. } => format!("unpin {container}"),
        Action::RemoveContainer { container, .. } => format!("rm {container}"),
        Action::RemoveImage {
            reference: Some(reference),
            ..
        } => format!("rmi {}", short_name(reference)),
        Action::RemoveImage {
            reference: None,
            image,
            ..
        } => format!("rmi {}", digit(image)),
    }
}
