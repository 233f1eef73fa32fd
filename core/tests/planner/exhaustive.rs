//! Every history of a small host, up to a depth: one workload, its shipped version, two that the
//! orchestrator deploys, a tag that moves, one local and two orchestrated containers. Each world is
//! held to the promises ([`crate::safety`]) and outcomes ([`crate::outcomes`]) on the way to it.
//!
//! `make exhaustive` goes deeper.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use stateright::{Checker, Model, Property};

use crate::host::{Host, MINUTE_MS};

/// How deep `make test` goes.
const DEPTH: usize = 4;
const SOAK_MINUTES: u64 = 2;
const GRACE_MINUTES: u64 = 4;
/// Ages that are further apart than this mean the same.
const LONGEST_GAP_MS: u64 = (GRACE_MINUTES + 1) * MINUTE_MS;
/// Of the state: what is written down for people alone.
const FOR_PEOPLE: [&str; 12] = [
    "at",
    "attempts",
    "began_at",
    "counters",
    "ended_ms",
    "history",
    "own_end",
    "promoted_at",
    "restarts",
    "up_secs",
    "wall",
    "monotonic_ms",
];

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A minute, and a pass.
    Pass,
    /// The soak without a pass, and a pass.
    PassAfterSoak,
    /// The grace period without a pass, and a pass.
    PassAfterGrace,
    /// A minute, and a pass that is killed between its save and what it would do.
    PassKilledBeforeActing,
    /// A minute, and a pass that is killed behind its first change.
    PassKilledAfterOneChange,
    /// The orchestrator pulls the version that was shipped, and runs it.
    DryRun,
    /// The orchestrator runs v2 in place of what it ran.
    Upgrade,
    /// It pulls the next build of `stable`, and runs that in place of what it ran.
    UpgradeStable,
    /// It pulls another build of `v2`.
    Rebuild,
    Crash,
    Restart,
    OrchestratorLeaves,
    StopLocal,
    StartLocal,
    RemoveLocal,
    /// The local service creates its container anew.
    CreateLocal,
    /// A person moves `latest` to v2.
    TagByHand,
    Reboot,
}

use Step as S;

const STEPS: [Step; 18] = [
    S::Pass,
    S::PassAfterSoak,
    S::PassAfterGrace,
    S::PassKilledBeforeActing,
    S::PassKilledAfterOneChange,
    S::DryRun,
    S::Upgrade,
    S::UpgradeStable,
    S::Rebuild,
    S::Crash,
    S::Restart,
    S::OrchestratorLeaves,
    S::StopLocal,
    S::StartLocal,
    S::RemoveLocal,
    S::CreateLocal,
    S::TagByHand,
    S::Reboot,
];

/// The host after some history: a step from another one, taken again when it is needed, since
/// millions of hosts would not fit into memory.
#[derive(Clone)]
struct World {
    from: Arc<Host>,
    step: Option<Step>,
    /// How many steps it is from the first one.
    depth: usize,
    /// What the host is, whenever it came to be so and whatever its containers are called.
    key: u64,
    /// What was promised and is not so.
    violation: Option<String>,
}

impl World {
    fn first(host: Host) -> Self {
        Self {
            key: key(&host),
            from: Arc::new(host),
            step: None,
            depth: 0,
            violation: None,
        }
    }

    fn after(&self, Taken { from, step }: Taken) -> Self {
        let mut host = Host::clone(&from);
        let taken = catch_unwind(AssertUnwindSafe(|| take(&mut host, step)));
        Self {
            from,
            step: Some(step),
            depth: self.depth + 1,
            key: key(&host),
            violation: taken.err().map(|panic| {
                let said = panic.downcast_ref::<String>();
                said.cloned().unwrap_or_default()
            }),
        }
    }

    fn host(&self) -> Host {
        let mut host = Host::clone(&self.from);
        if let Some(step) = self.step {
            take(&mut host, step);
        }
        host
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.key, &self.violation).hash(state);
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        (self.key, &self.violation) == (other.key, &other.violation)
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "after {:?}", self.step)
    }
}

/// The shipped version runs as the local container, and no pass has been there yet.
fn shipped() -> Host {
    let mut host = Host::new();
    let workload = host.workload();
    workload.soak_ms = SOAK_MINUTES * MINUTE_MS;
    workload.grace_ms = GRACE_MINUTES * MINUTE_MS;
    host.image('a', &["local:latest", "local:v1"]);
    host.run("telemetry", "local:latest");
    host
}

/// The first container with such a name that runs, or does not.
fn first(host: &mut Host, prefix: &str, is_running: bool) -> Option<String> {
    let mut names = host.container_names().into_iter();
    names.find(|name| {
        name.starts_with(prefix) && (host.container(name).state == "running") == is_running
    })
}

fn running(host: &mut Host, prefix: &str) -> Option<String> {
    first(host, prefix, true)
}

fn stopped(host: &mut Host, prefix: &str) -> Option<String> {
    first(host, prefix, false)
}

fn can(host: &Host, step: Step) -> bool {
    let mut host = host.clone();
    match step {
        S::Crash => running(&mut host, "k8s_").is_some(),
        S::Restart => stopped(&mut host, "k8s_").is_some(),
        S::OrchestratorLeaves => host.container_names().iter().any(|n| n.starts_with("k8s_")),
        S::StopLocal => running(&mut host, "telemetry").is_some(),
        S::StartLocal => stopped(&mut host, "telemetry").is_some(),
        S::RemoveLocal => host.has_container("telemetry"),
        S::CreateLocal => !host.has_container("telemetry") && host.latest().is_some(),
        S::TagByHand => host.is_on_disk('b') && host.latest() != Some('b'),
        S::Rebuild => !host.is_on_disk('e'),
        _ => true,
    }
}

fn take(host: &mut Host, step: Step) {
    match step {
        S::Pass => pass_after(host, 1),
        S::PassAfterSoak => pass_after(host, SOAK_MINUTES),
        S::PassAfterGrace => pass_after(host, GRACE_MINUTES + 1),
        S::PassKilledBeforeActing => {
            host.later(1);
            host.pass_killed_after(0);
        }
        S::PassKilledAfterOneChange => {
            host.later(1);
            host.pass_killed_after(1);
        }
        S::DryRun => host.deploy('d', "v1"),
        S::Upgrade => host.deploy('b', "v2"),
        S::UpgradeStable => {
            let next = match host.meaning("remote:stable") {
                Some('c') => 'f',
                _ => 'c',
            };
            host.deploy(next, "stable");
        }
        S::Rebuild => host.image('e', &["remote:v2"]),
        S::Crash => {
            let container = running(host, "k8s_").unwrap();
            host.exit(&container, 1);
        }
        S::Restart => {
            let container = stopped(host, "k8s_").unwrap();
            host.start(&container);
        }
        S::OrchestratorLeaves => {
            for container in host.container_names() {
                if container.starts_with("k8s_") {
                    host.remove_container(&container);
                }
            }
        }
        S::StopLocal => host.exit("telemetry", 0),
        S::StartLocal => host.start("telemetry"),
        S::RemoveLocal => host.remove_container("telemetry"),
        S::CreateLocal => host.run("telemetry", "local:latest"),
        S::TagByHand => host.tag('b', "local:latest"),
        S::Reboot => host.reboot(),
    }
}

fn pass_after(host: &mut Host, minutes: u64) {
    host.later(minutes);
    host.pass();
}

/// All that the future of a host depends on: times as ages, and names of containers and their
/// incarnations by the order in which they appear.
fn key(host: &Host) -> u64 {
    let state = aged(&host.state, host.now().ms());
    let witness = aged(&host.witness, host.witness.lived_ms);
    let mut names = Names::default();
    let mut out = String::new();
    for container in host.containers() {
        let details = host.details().get(&container.id);
        let started_at = details.map(|d| names.short(&d.started_at));
        let id = names.short(&container.id.to_string());
        let _ = write!(
            out,
            "{:?} {:?} {:?} {} {id} {started_at:?} {:?};",
            container.names,
            container.image,
            container.reference.as_ref().map(ToString::to_string),
            container.state.as_str(),
            details.and_then(|d| d.exit_code),
        );
    }
    let (state, witness) = (names.renamed(&state), names.renamed(&witness));
    let _ = write!(out, "{:?};{state};{witness}", host.disk());
    let mut hasher = DefaultHasher::new();
    out.hash(&mut hasher);
    hasher.finish()
}

/// A value with its times as ages.
fn aged(value: &impl Serialize, now_ms: u64) -> Value {
    let mut value = serde_json::to_value(value).unwrap();
    let mut times = BTreeSet::from([now_ms]);
    visit_times(&mut value, &mut |time| {
        times.insert(*time);
    });
    let age_of = ages(&times);
    visit_times(&mut value, &mut |time| *time = age_of[time]);
    value
}

/// How long ago each of some times was, where gaps are cut to the longest that makes a difference.
fn ages(times: &BTreeSet<u64>) -> BTreeMap<u64, u64> {
    let mut ages = BTreeMap::new();
    let mut age = 0;
    let mut newer = times.last().copied().unwrap_or_default();
    for time in times.iter().rev() {
        age += (newer - time).min(LONGEST_GAP_MS);
        newer = *time;
        ages.insert(*time, age);
    }
    ages
}

fn visit_times(value: &mut Value, visit: &mut impl FnMut(&mut u64)) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !FOR_PEOPLE.contains(&name.as_str()));
            for (name, field) in fields {
                match field.as_u64().filter(|_| name.ends_with("_ms")) {
                    Some(mut time) => {
                        visit(&mut time);
                        *field = time.into();
                    }
                    None => visit_times(field, visit),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| visit_times(item, visit)),
        _ => {}
    }
}

/// Ids of containers and starts, in the order in which they appear.
#[derive(Default)]
struct Names(BTreeMap<String, usize>);

impl Names {
    fn short(&mut self, text: &str) -> String {
        let next = self.0.len();
        let number = *self.0.entry(text.to_owned()).or_insert(next);
        format!("#{number}")
    }

    fn renamed(&mut self, value: &Value) -> String {
        let is_name = |text: &str| {
            text.starts_with("2026-") || (text.len() == 64 && text.starts_with("00000"))
        };
        match value {
            Value::Object(fields) => {
                let mut out = String::from("{");
                for (name, field) in fields {
                    let name = if is_name(name) {
                        self.short(name)
                    } else {
                        name.clone()
                    };
                    let _ = write!(out, "{name}:{},", self.renamed(field));
                }
                out + "}"
            }
            Value::Array(items) => {
                items
                    .iter()
                    .fold("[".to_owned(), |out, item| out + &self.renamed(item) + ",")
                    + "]"
            }
            Value::String(text) if is_name(text) => self.short(text),
            other => other.to_string(),
        }
    }
}

/// A step, and the host that it is taken on.
#[derive(Clone)]
struct Taken {
    step: Step,
    from: Arc<Host>,
}

impl PartialEq for Taken {
    fn eq(&self, other: &Self) -> bool {
        self.step == other.step
    }
}

impl std::fmt::Debug for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.step.fmt(f)
    }
}

struct SmallWorld {
    depth: usize,
}

impl Model for SmallWorld {
    type State = World;
    type Action = Taken;

    fn init_states(&self) -> Vec<World> {
        vec![World::first(shipped())]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Taken>) {
        if world.violation.is_none() && world.depth < self.depth {
            let host = Arc::new(world.host());
            let possible = STEPS.into_iter().filter(|step| can(&host, *step));
            steps.extend(possible.map(|step| Taken {
                step,
                from: Arc::clone(&host),
            }));
        }
    }

    fn next_state(&self, world: &World, taken: Taken) -> Option<World> {
        Some(world.after(taken)).filter(|next| next != world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("as promised", |_, world: &World| {
            world.violation.is_none()
        })]
    }
}

#[test]
fn no_small_world_breaks_a_promise() {
    let wanted = std::env::var("EXHAUSTIVE_DEPTH");
    let depth = wanted.map_or(DEPTH, |depth| depth.parse().unwrap());
    // With several threads a world may first be reached by a detour, and not be gone on from.
    let explored = SmallWorld { depth }.checker().threads(1).spawn_bfs().join();
    println!(
        "\nfigure: {} worlds, {} steps, up to {} deep, no promise broken",
        explored.unique_state_count(),
        explored.state_count(),
        explored.max_depth() - 1,
    );
    if let Some(path) = explored.discovery("as promised") {
        let last = path.last_state().violation.clone().unwrap_or_default();
        panic!("{:?}: {last}", path.into_actions());
    }
}
