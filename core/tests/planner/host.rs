//! A model host: images, containers, a clock, and passes over them. Tests write `local:v1` and
//! `remote:v1` for names, and `'a'` for the image whose id is sixty-four times that digit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use in_memory_engine::Docker;
use tagkeeper_core::model::{
    Action, ActionKind, Clock, ContainerId, ContainerState, Details, Event, EventKind, ImageId,
    Memory, NameVerdict, Note, Now, Observation, Outcome, Pattern, Plan, Policy, Readiness,
    Reading, Reason, Reference, Repository, State, Workload, WorkloadName, WorkloadPlan,
    WorkloadState,
};
use tagkeeper_core::planner::{
    Decision, Query, Rounds, Services, decide, queries, rounds, service_queries, status,
};

use crate::engine::{Applied, Seen};
use crate::safety;
use crate::witness::Witness;

pub(crate) const MINUTE_MS: u64 = 60_000;
pub(crate) const DAY_MINUTES: u64 = 24 * 60;
/// More rounds in one pass are a bug (design 4.7).
const MAX_ROUNDS: usize = 8;

pub(crate) const LOCAL: &str = "docker-sonic-telemetry";
pub(crate) const REMOTE: &str = "registry.example:5000/docker-sonic-telemetry";

/// The id of an image, from one hexadecimal digit.
pub(crate) fn id(digit: char) -> ImageId {
    ImageId::new(digit.to_string().repeat(64))
}

/// The digit of an id.
pub(crate) fn digit(image: &ImageId) -> char {
    image.to_string().chars().last().unwrap()
}

/// A name: `local:v1`, `remote:v1`, `remote@a`, `remote:v1@a`, or any reference in full.
pub(crate) fn name(text: &str) -> Reference {
    let text = match text.split_once('@') {
        Some((named, digit)) if digit.len() == 1 => {
            format!("{named}@sha256:{}", digit.repeat(64))
        }
        _ => text.to_owned(),
    };
    let full = |short: &str, long: &str| {
        let rest = text
            .strip_prefix(short)
            .filter(|rest| rest.starts_with([':', '@']))?;
        Some(format!("{long}{rest}"))
    };
    let full = full("local", LOCAL)
        .or_else(|| full("remote", REMOTE))
        .unwrap_or(text.clone());
    Reference::parse(&full).unwrap()
}

/// The name as tests write it.
pub(crate) fn short_name(reference: &Reference) -> String {
    let text = reference.to_string();
    let (repository, rest) = text.split_at(reference.repository().as_str().len());
    let repository = match repository {
        LOCAL => "local",
        REMOTE => "remote",
        other => other,
    };
    let rest = match rest.split_once('@') {
        Some((tag, digest)) => format!("{tag}@{}", &digest[digest.len() - 1..]),
        None => rest.to_owned(),
    };
    format!("{repository}{rest}")
}

pub(crate) fn repository(text: &str) -> Repository {
    Repository::parse(text).unwrap()
}

pub(crate) fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

pub(crate) fn telemetry() -> WorkloadName {
    WorkloadName::new("telemetry")
}

/// Every state that a container can be in, and one that nobody knows.
pub(crate) fn every_state() -> [ContainerState; 9] {
    [
        ContainerState::Created,
        ContainerState::Running,
        ContainerState::Paused,
        ContainerState::Restarting,
        ContainerState::Exited,
        ContainerState::Removing,
        ContainerState::Dead,
        ContainerState::Stopping,
        ContainerState::Unknown("configured".into()),
    ]
}

/// Something that befalls a host.
type Change = dyn Fn(&mut Host) + Send + Sync;

/// The host.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) policy: Policy,
    /// The state as it was last saved.
    pub(crate) state: State,
    pub(crate) docker: Docker,
    /// The same in the decision's words, until it changes.
    pub(crate) seen: OnceLock<Arc<Seen>>,
    /// The containers whose reference the list hides, whatever it means.
    pub(crate) hidden: BTreeSet<ContainerId>,
    /// What an inspect says how long an ended container ran.
    pub(crate) ran_secs: Option<u64>,
    /// What the `ready` commands would say; ready where nothing is written.
    pub(crate) readiness: BTreeMap<WorkloadName, Readiness>,
    /// The size of the filesystem of the engine's data; none if it cannot be measured.
    pub(crate) disk_bytes: Option<u64>,
    /// What is on it besides the images.
    pub(crate) other_bytes: u64,
    /// Whether the disk may be measured: until the first removal of a pass.
    pub(crate) measures: bool,
    pub(crate) uptime_ms: u64,
    /// The clock of the process that runs.
    clock: Clock,
    /// How long an observation takes.
    pub(crate) look_ms: u64,
    /// How long a change to the engine takes.
    pub(crate) action_ms: u64,
    /// Whether the engine fails on every tag.
    pub(crate) refuses_tags: bool,
    /// Removals that the engine answers with 409, by their targets.
    pub(crate) refuses: BTreeMap<String, String>,
    /// Removals that the engine answers with 500.
    pub(crate) fails: BTreeSet<String>,
    /// What happens on the host in the next pass that acts, and before which of its actions.
    pub(crate) comes_between: Option<(usize, Arc<Change>)>,
    /// Whether it has happened behind an action of the last pass, which cannot do that one again.
    pub(crate) is_disturbed: bool,
    /// Of the last pass: events, queries, actions by what came of them.
    pub(crate) events: Vec<Event>,
    pub(crate) asked: Vec<Query>,
    pub(crate) acted: Vec<String>,
    pub(crate) dropped: Vec<String>,
    pub(crate) refused: Vec<String>,
    pub(crate) failed: Vec<String>,
    pub(crate) saves: usize,
    pub(crate) witness: Witness,
}

impl Host {
    /// An empty host, with one workload in the policy.
    pub(crate) fn new() -> Self {
        let mut workload = Workload::new("telemetry", repository(LOCAL));
        workload.remotes = vec![repository(REMOTE)];
        Self {
            policy: Policy {
                workloads: BTreeMap::from([(telemetry(), workload)]),
                ..Policy::default()
            },
            state: State {
                instance: "this".to_owned(),
                ..State::default()
            },
            docker: Docker::default(),
            seen: OnceLock::new(),
            hidden: BTreeSet::new(),
            ran_secs: None,
            readiness: BTreeMap::new(),
            disk_bytes: Some(1000),
            other_bytes: 0,
            measures: true,
            uptime_ms: 0,
            clock: Clock::default(),
            look_ms: 0,
            action_ms: 0,
            refuses_tags: false,
            refuses: BTreeMap::new(),
            fails: BTreeSet::new(),
            comes_between: None,
            is_disturbed: false,
            events: Vec::new(),
            asked: Vec::new(),
            acted: Vec::new(),
            dropped: Vec::new(),
            refused: Vec::new(),
            failed: Vec::new(),
            saves: 0,
            witness: Witness::default(),
        }
    }

    /// v1 (`a`) is shipped: the local container runs it, and a pass has seen that.
    pub(crate) fn shipped() -> Self {
        let mut host = Self::new();
        host.image('a', &["local:latest", "local:v1"]);
        host.run("telemetry", "local:latest");
        host.minutes(1);
        host
    }

    /// v1 (`a`) is proven as the local container.
    pub(crate) fn local_head() -> Self {
        let mut host = Self::shipped();
        host.minutes(11);
        assert_eq!(host.lineage(), ["v1=a"]);
        host
    }

    /// v1 (`a`) is proven: it came from the orchestrator and serves.
    pub(crate) fn with_head() -> Self {
        let mut host = Self::new();
        host.image('a', &["local:latest", "remote:v1"]);
        host.run("k8s_v1", "remote:v1");
        host.minutes(11);
        assert_eq!(host.lineage(), ["v1=a"]);
        host
    }

    /// v2 (`b`) is proven and serves, v1 (`a`) is its fallback.
    pub(crate) fn with_fallback() -> Self {
        let mut host = Self::with_head();
        host.upgrade('b', "v2");
        assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
        host
    }

    /// The orchestrator replaces what it runs by this version, which soaks and is promoted.
    pub(crate) fn upgrade(&mut self, digit: char, version: &str) {
        self.deploy(digit, version);
        self.minutes(11);
        assert_eq!(
            self.lineage().first().map(String::as_str),
            Some(&*format!("{version}={digit}"))
        );
    }

    /// The orchestrator pulls a version and runs it in place of what it ran.
    pub(crate) fn deploy(&mut self, digit: char, version: &str) {
        let reference = format!("remote:{version}");
        self.image(digit, &[&reference]);
        self.roll_out(version, &reference);
    }

    /// The same by `remote:VERSION@DIGEST`: the image gets no tag.
    pub(crate) fn deploy_by_digest(&mut self, digit: char, version: &str) {
        self.image(digit, &[&format!("remote@{digit}")]);
        self.roll_out(version, &format!("remote:{version}@{digit}"));
    }

    pub(crate) fn roll_out(&mut self, version: &str, reference: &str) {
        for old in self.container_names() {
            if old.starts_with("k8s_") {
                self.remove_container(&old);
            }
        }
        self.run(&format!("k8s_{version}"), reference);
    }

    /// The orchestrator deploys a version that is up for three minutes, and ends with an error.
    pub(crate) fn deploy_in_vain(&mut self, digit: char, version: &str) {
        self.deploy(digit, version);
        self.minutes(3);
        self.exit(&format!("k8s_{version}"), 1);
        self.pass();
    }

    pub(crate) fn workload(&mut self) -> &mut Workload {
        self.policy.workloads.get_mut(&telemetry()).unwrap()
    }

    /// Another workload, with its remote.
    pub(crate) fn add_workload(&mut self, name: &str, local: &str, remote: &str) {
        let mut workload = Workload::new(name, repository(local));
        workload.remotes = vec![repository(remote)];
        self.policy
            .workloads
            .insert(WorkloadName::new(name), workload);
    }

    pub(crate) fn ask_ready(&mut self) {
        self.workload().ready = Some(tagkeeper_core::model::Ready {
            command: vec!["/bin/true".to_owned()],
            timeout_ms: 1000,
        });
    }

    pub(crate) fn not_ready(&mut self, why: &str) {
        let answer = Readiness::NotReady(why.to_owned());
        self.readiness.insert(telemetry(), answer);
    }

    /// A `[hold]` section for every workload.
    pub(crate) fn hold_all(&mut self, for_ms: Option<u64>) {
        self.policy.holds.push(tagkeeper_core::model::Hold {
            workloads: vec![pattern("*")],
            for_ms,
            reason: Some("incident 4711".to_owned()),
        });
    }

    /// A `[reject]` entry.
    pub(crate) fn reject(&mut self, text: &str) {
        let entry = tagkeeper_core::model::Rejection::new(text);
        let rejections = self.policy.rejections.entry(telemetry()).or_default();
        rejections.push(entry);
    }

    /// A rejection as `rollback` writes it.
    pub(crate) fn reject_image(&mut self, digit: char, version: &str) {
        let rejected = tagkeeper_core::model::Rejected {
            version: tagkeeper_core::model::Version::new(version),
            at: String::new(),
            digests: BTreeSet::new(),
            proven: None,
        };
        let of_workload = self.state.rejected.entry(telemetry()).or_default();
        of_workload.insert(id(digit), rejected);
    }

    /// An image that a promotion made obsolete, in a story that begins behind it.
    pub(crate) fn retire(&mut self, digit: char) {
        self.memory_mut().retired.insert(id(digit));
        self.witness.was_proven.insert(id(digit));
    }

    pub(crate) fn minute(&self) -> u64 {
        self.uptime_ms / MINUTE_MS
    }

    /// Time passes without a pass.
    pub(crate) fn later(&mut self, minutes: u64) {
        self.witness();
        self.uptime_ms += minutes * MINUTE_MS;
    }

    /// As many passes as minutes, as the timer runs them: the first right away.
    pub(crate) fn minutes(&mut self, passes: u64) {
        for _ in 0..passes {
            let next_ms = self.uptime_ms + MINUTE_MS;
            self.pass();
            self.uptime_ms = self.uptime_ms.max(next_ms);
        }
    }

    pub(crate) fn now(&self) -> Now {
        self.state.clock.advance(&self.reading())
    }

    fn reading(&self) -> Reading {
        Reading {
            monotonic_ms: self.uptime_ms,
            wall: format!("minute {}", self.minute()),
        }
    }

    /// The present in a process: each of its readings goes on from the one before.
    pub(crate) fn tick(&mut self) -> Now {
        let now = self.clock.advance(&self.reading());
        self.clock = now.clock;
        now
    }

    /// A process begins, and goes on from the clock that was saved.
    fn begin(&mut self) -> u64 {
        self.clock = self.state.clock;
        self.tick().ms()
    }

    /// The observation, with the answers to what the decision asks, in a pass of its own.
    pub(crate) fn observe(&mut self) -> Observation {
        let pass_ms = self.begin();
        self.observe_in(pass_ms)
    }

    /// The same with what `rollback` asks besides.
    pub(crate) fn observe_for_rollback(&mut self) -> Observation {
        self.observe_services(Services::Of(&telemetry()))
    }

    /// What `status` tells a person.
    pub(crate) fn shown_notes(&self) -> Vec<Note> {
        let observed = self.clone().observe_services(Services::Running);
        let plan = status(&self.policy, &self.state, &observed);
        plan.workloads[&telemetry()].notes.clone()
    }

    fn observe_services(&mut self, services: Services<'_>) -> Observation {
        let mut observed = self.observe();
        for query in service_queries(&self.policy, &self.state, &observed, services) {
            self.answer(&mut observed, &query);
        }
        observed
    }

    fn observe_in(&mut self, pass_ms: u64) -> Observation {
        let from = self.tick();
        let mut observed = Observation {
            pass_ms,
            until: from.clone(),
            from,
            ..self.listed()
        };
        loop {
            let mut open = queries(&self.policy, &self.state, &observed);
            open.retain(|query| self.measures || *query != Query::MeasureDisk);
            if open.is_empty() {
                break;
            }
            for query in &open {
                assert!(!is_answered(&observed, query), "asked again: {query:?}");
                self.answer(&mut observed, query);
            }
            self.asked.extend(open);
        }
        self.witness();
        self.uptime_ms += self.look_ms;
        observed.until = self.tick();
        observed
    }

    fn answer(&self, observed: &mut Observation, query: &Query) {
        match query {
            Query::Inspect(container) => {
                let details = Details {
                    ran_secs: self.ran_secs,
                    ..self.details()[container].clone()
                };
                observed.details.insert(container.clone(), details);
            }
            Query::AskReady { workload, .. } => {
                let known = self.readiness.get(workload).cloned();
                let answer = known.unwrap_or(Readiness::Ready);
                observed.readiness.insert(workload.clone(), answer);
            }
            Query::MeasureDisk => observed.disk = Some(self.disk_now()),
        }
    }

    /// What `plan` would show now.
    pub(crate) fn look(&self) -> Decision {
        let mut copy = self.clone();
        copy.measures = true;
        let observed = copy.observe();
        decide(&self.policy, &self.state, &observed)
    }

    /// This happens in the next pass that acts, between its first save and the actions.
    pub(crate) fn meanwhile(&mut self, change: impl Fn(&mut Self) + Send + Sync + 'static) {
        self.meanwhile_after(0, change);
    }

    /// This happens in the next pass that acts so often, right before its next action.
    pub(crate) fn meanwhile_after(
        &mut self,
        actions: usize,
        change: impl Fn(&mut Self) + Send + Sync + 'static,
    ) {
        self.comes_between = Some((actions, Arc::new(change)));
    }

    /// One pass at the present moment: rounds until nothing is left to do.
    pub(crate) fn pass(&mut self) {
        self.pass_killed_after(usize::MAX);
    }

    /// A pass that dies after so many changes to the engine; with none, right after the first
    /// save.
    pub(crate) fn pass_killed_after(&mut self, changes: usize) {
        self.events.clear();
        self.asked.clear();
        for log in [
            &mut self.acted,
            &mut self.dropped,
            &mut self.refused,
            &mut self.failed,
        ] {
            log.clear();
        }
        self.measures = true;
        self.is_disturbed = false;
        self.witness.is_pressed = false;
        let pass_ms = self.begin();
        self.witness();
        self.witness.pass_began_ms = self.witness.lived_ms;
        let mut tried = BTreeSet::new();
        for _ in 0..MAX_ROUNDS {
            let observed = self.observe_in(pass_ms);
            let decision = decide(&self.policy, &self.state, &observed);
            safety::check(&self.policy, &self.state, &observed, &decision);
            if decision.save {
                self.state = decision.state;
                self.saves += 1;
            }
            self.witness_pass();
            self.events.extend(decision.events);
            let is_new = |tried: &mut BTreeSet<_>, (name, action): &(&WorkloadName, &Action)| {
                tried.insert(((*name).clone(), action.kind.clone()))
            };
            let actions: Vec<(WorkloadName, Action)> = decision
                .plan
                .actions()
                .into_iter()
                .filter(|action| is_new(&mut tried, action))
                .map(|(name, action)| (name.clone(), action.clone()))
                .collect();
            if actions.is_empty() {
                self.judge_names_at_rest();
                return;
            }
            for (workload, action) in &actions {
                if self.acted.len() >= changes {
                    return;
                }
                let in_turn = |(after, _): &mut (usize, _)| self.acted.len() >= *after;
                if let Some((_, change)) = self.comes_between.take_if(in_turn) {
                    self.is_disturbed = !self.acted.is_empty();
                    change(self);
                }
                self.act(workload, action);
            }
            if self.acted.len() >= changes {
                return;
            }
        }
        panic!("no rest within {MAX_ROUNDS} rounds: {:?}", self.acted);
    }

    fn act(&mut self, workload: &WorkloadName, action: &Action) {
        self.measures &= !matches!(action.kind, ActionKind::RemoveImage { .. });
        self.witness();
        self.uptime_ms += self.action_ms;
        let said = describe(&action.kind);
        let had_latest = self.has_latest(workload);
        let before = self.clone();
        let applied = self.apply(action);
        if applied == Applied::Done {
            before.judge(workload, action);
            self.witness_action(workload, action, &before);
        }
        assert!(
            self.has_latest(workload) || !had_latest,
            "{said}: latest is gone"
        );
        if action.kind.moves_latest() {
            let known = self.state.workloads.get_mut(workload).unwrap();
            match applied {
                Applied::Done => known.memory.latest_in_doubt = false,
                Applied::Failed => known.memory.latest_in_doubt = true,
                Applied::Dropped | Applied::Refused(_) => {}
            }
        }
        match applied {
            Applied::Done => self.acted.push(said),
            Applied::Dropped => self.dropped.push(said),
            Applied::Failed => self.failed.push(said),
            Applied::Refused(reason) => {
                self.refused.push(said);
                self.note_refused(workload, &action.kind, reason);
            }
        }
    }

    /// What `plan` shows to the end of the rounds.
    pub(crate) fn preview(&self) -> Vec<Vec<String>> {
        let mut copy = self.clone();
        let observed = copy.observe();
        let Rounds { first, later, .. } = rounds(&self.policy, &self.state, &observed);
        let first: Vec<String> = first
            .plan
            .actions()
            .into_iter()
            .map(|(_, action)| describe(&action.kind))
            .collect();
        let later = later.iter().map(|round| {
            let actions = round.actions.iter();
            actions.map(|(_, action)| describe(&action.kind)).collect()
        });
        std::iter::once(first).chain(later).collect()
    }

    pub(crate) fn plan_of(&self, workload: &WorkloadName) -> WorkloadPlan {
        let mut plan = self.look().plan;
        plan.sort_by_names();
        let Plan { mut workloads, .. } = plan;
        workloads.remove(workload).unwrap()
    }

    pub(crate) fn plan(&self) -> WorkloadPlan {
        self.plan_of(&telemetry())
    }

    pub(crate) fn notes(&self) -> Vec<Note> {
        self.plan().notes
    }

    /// What a pass would do next.
    pub(crate) fn actions(&self) -> Vec<String> {
        let plan = self.look().plan;
        let actions = plan.actions().into_iter();
        actions.map(|(_, action)| describe(&action.kind)).collect()
    }

    /// What the hold keeps from being done.
    pub(crate) fn held_actions(&self) -> Vec<String> {
        let held_actions = self.plan().held_actions;
        held_actions.iter().map(|a| describe(&a.kind)).collect()
    }

    /// The verdict on a name.
    pub(crate) fn verdict(&self, text: &str) -> NameVerdict {
        let reference = name(text);
        let plan = self.look().plan;
        let all: Vec<_> = plan
            .workloads
            .values()
            .flat_map(|w| &w.images)
            .filter(|verdict| verdict.reference.as_ref() == Some(&reference))
            .collect();
        let [verdict] = all[..] else {
            panic!("{} verdicts for {text}", all.len())
        };
        verdict.clone()
    }

    /// The one reason that a name has now.
    pub(crate) fn reason(&self, text: &str) -> Reason {
        self.verdict(text).reason
    }

    pub(crate) fn known(&self) -> &WorkloadState {
        &self.state.workloads[&telemetry()]
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.known().memory
    }

    pub(crate) fn known_mut(&mut self) -> &mut WorkloadState {
        self.state.workloads.get_mut(&telemetry()).unwrap()
    }

    pub(crate) fn memory_mut(&mut self) -> &mut Memory {
        &mut self.known_mut().memory
    }

    /// Which containers serve now, by name; of several, the newest.
    pub(crate) fn serving(&self) -> Option<String> {
        let serving = self.plan().serving?;
        serving.members.first().map(|m| m.container.clone())
    }

    /// The lineage as `version=digit`.
    pub(crate) fn lineage_of(&self, workload: &WorkloadName) -> Vec<String> {
        let Some(known) = self.state.workloads.get(workload) else {
            return Vec::new();
        };
        let lineage = known.memory.lineage.iter();
        lineage
            .map(|p| format!("{}={}", p.version, digit(&p.image)))
            .collect()
    }

    pub(crate) fn lineage(&self) -> Vec<String> {
        self.lineage_of(&telemetry())
    }

    /// The pending upgrade as `version=digit`.
    pub(crate) fn pending(&self) -> Option<String> {
        let pending = self.memory().pending.as_ref()?;
        Some(format!("{}={}", pending.version, digit(&pending.image)))
    }

    pub(crate) fn retired(&self) -> Vec<char> {
        self.memory().retired.iter().map(digit).collect()
    }

    /// What `repository:latest` names.
    pub(crate) fn latest(&self) -> Option<char> {
        self.meaning("local:latest")
    }

    /// The kinds of the last pass's events.
    pub(crate) fn told(&self) -> Vec<&'static str> {
        self.events.iter().map(|event| word(&event.kind)).collect()
    }

    /// Saves and reads the state again, as the file has it.
    pub(crate) fn restart_tool(&mut self) {
        let text = serde_json::to_string(&self.state).unwrap();
        let rejected = std::mem::take(&mut self.state.rejected);
        self.state = serde_json::from_str(&text).unwrap();
        self.state.rejected = rejected;
    }
}

fn word(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Pending { .. } => "pending",
        EventKind::Restarted { .. } => "restarted",
        EventKind::Ended { outcome, .. } => match outcome {
            Outcome::Failed => "failed",
            Outcome::Withdrawn => "withdrawn",
            Outcome::Superseded => "superseded",
        },
        EventKind::Promoted { .. } => "promoted",
        EventKind::Restored { .. } => "put back",
        EventKind::LocalRuns { .. } => "local runs",
        EventKind::RolledBack { .. } => "rolled back",
        EventKind::Done { .. } => "done",
        EventKind::Dropped { .. } => "dropped",
        EventKind::Refused { .. } => "refused",
        EventKind::Held(_) => "held",
        EventKind::Released => "released",
        EventKind::OtherDisk => "other disk",
        EventKind::DiskBack => "disk back",
        EventKind::RejectedServes { .. } => "rejected serves",
    }
}

fn is_answered(observed: &Observation, query: &Query) -> bool {
    match query {
        Query::Inspect(container) => observed.details.contains_key(container),
        Query::AskReady { workload, .. } => observed.readiness.contains_key(workload),
        Query::MeasureDisk => observed.disk.is_some(),
    }
}

/// An action as tests write it.
pub(crate) fn describe(action: &ActionKind) -> String {
    match action {
        ActionKind::Tag {
            image, reference, ..
        } => format!("tag {} {}", digit(image), short_name(reference)),
        ActionKind::CreatePin { container, .. } => format!("pin {container}"),
        ActionKind::RemovePin { container, .. } => format!("unpin {container}"),
        ActionKind::RemoveContainer { container, .. } => format!("rm {container}"),
        ActionKind::RemoveImage {
            reference: Some(reference),
            ..
        } => format!("rmi {}", short_name(reference)),
        ActionKind::RemoveImage {
            reference: None,
            image,
            ..
        } => format!("rmi {}", digit(image)),
    }
}
