//! What the two lists do not say: which containers to inspect, which workload's `ready` command to
//! run, how full the disk is.
//!
//! An idle pass asks nothing (design 8). Pure: it names the questions, the program asks them.

use alloc::string::String;
use alloc::vec::Vec;

use super::serving::{Serving, WhyNone};
use super::subject::{Subject, subjects};
use super::{disk, each, eviction, ownership, records, rules, serving, stale, upgrade, version};
use crate::model::{
    Container, ContainerId, ImageId, Memory, Observation, Policy, State, Version, WorkloadName,
    WorkloadState,
};

/// A question that the decision has about the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Inspect this container.
    Inspect(ContainerId),
    /// Run the workload's `ready` command for its serving container (design 4.3).
    AskReady {
        /// The workload whose command it is.
        workload: WorkloadName,
        /// Id of the serving container; of several, of the newest.
        container: ContainerId,
        /// Its name.
        container_name: String,
        /// The image that it runs.
        image: ImageId,
        /// The version of that image.
        version: Version,
    },
    /// Measure the filesystem of the engine's data: something is idle, and would be removed if that
    /// were too full.
    MeasureDisk,
}

/// The questions that the observation has not answered yet. Empty on an idle host.
pub fn queries(policy: &Policy, state: &State, observed: &Observation) -> Vec<Query> {
    let recalled = disk::recall(policy, state, observed);
    let inventory = ownership::assign(policy, &recalled, observed);
    let subjects = subjects(policy, &recalled, &inventory);
    let mut open: Vec<Query> = Vec::new();
    for subject in &subjects {
        for query in of_workload(*subject, recalled.of(subject.name)) {
            // Two workloads may ask about one container, when it has gone over from one to the
            // other.
            if !open.contains(&query) {
                open.push(query);
            }
        }
    }
    // Asked last: until a container that serves is inspected, its image may look idle.
    let measures = observed.disk.is_none()
        && subjects.iter().any(|s| s.policy.pressure_percent.is_some())
        && !open.iter().any(|query| matches!(query, Query::Inspect(_)));
    if measures {
        let upgrades = each(&subjects, |s| {
            let known = recalled.of(s.name);
            let serving = serving::of(s, &known.memory);
            upgrade::advance(s, &records::update(s, known), known, &serving)
        });
        let verdicts = each(&subjects, |s| rules::judge(s, &upgrades[s.name]));
        if eviction::is_worth_asking(&subjects, &verdicts, &upgrades) {
            open.push(Query::MeasureDisk);
        }
    }
    open
}

/// Which containers are inspected to tell a service from a shell, besides those that [`queries`]
/// names: a pass asks that of what may become latest alone, for an idle pass asks nothing.
#[derive(Clone, Copy, Debug)]
pub enum Services<'a> {
    /// Those that run, of every workload: what a person is shown.
    Running,
    /// Those of one workload, in any state, and the local containers of which it is not known what
    /// they were created from: what a person rolls back by.
    Of(&'a WorkloadName),
}

/// The questions about services that the observation has not answered yet.
pub fn service_queries(
    policy: &Policy,
    state: &State,
    observed: &Observation,
    which: Services<'_>,
) -> Vec<Query> {
    let recalled = disk::recall(policy, state, observed);
    let inventory = ownership::assign(policy, &recalled, observed);
    let is_asked = |name: &WorkloadName, container: &Container| match which {
        Services::Running => container.is_running(),
        Services::Of(workload) => name == workload,
    };
    let mut open = Vec::new();
    for subject in subjects(policy, &recalled, &inventory) {
        let memory = recalled.memory(subject.name);
        let locals = subject.own.locals.iter().copied();
        let untold = locals.filter(|c| !stale::is_told(subject, memory, c));
        let services = serving::services(subject).chain(untold);
        let asked = services.filter(|c| is_asked(subject.name, c));
        let unknown = asked.filter(|c| serving::details(subject, c).is_none());
        open.extend(unknown.map(|c| Query::Inspect(c.id.clone())));
    }
    open
}

fn of_workload(subject: Subject<'_>, known: &WorkloadState) -> Vec<Query> {
    let memory = &known.memory;
    let serving = serving::of(subject, memory);
    let unproven = unproven(subject, known, &serving);
    let pending = memory
        .pending
        .iter()
        .filter(|p| !subject.is_proven(memory, &p.image));
    let ended = pending.flat_map(|pending| upgrade::ended_to_inspect(subject, pending));
    // Only where nothing is to be soaked: that comes before what has crashed.
    let crashed = unproven
        .is_empty()
        .then(|| upgrade::possible_crash(subject, known, &serving))
        .flatten();
    let stale = stale::to_inspect(subject, memory).filter(|_| !subject.is_held());
    let unknown = |c: &&Container| serving::details(subject, c).is_none();
    let to_inspect = unproven
        .iter()
        .copied()
        .chain(ended)
        .chain(crashed)
        .chain(stale)
        .filter(unknown);
    let mut open: Vec<Query> = to_inspect.map(|c| Query::Inspect(c.id.clone())).collect();
    if open.is_empty() {
        open.extend(readiness(subject, memory, &serving, !unproven.is_empty()));
    }
    open
}

/// The containers whose run counts, if one of them runs an image that is not proven, or an upgrade
/// is pending that they would take the place of: each must be inspected, to tell a service from a
/// shell and one incarnation from the next.
fn unproven<'a>(
    subject: Subject<'a>,
    known: &WorkloadState,
    serving: &Serving<'a>,
) -> Vec<&'a Container> {
    let running: Vec<&Container> = match serving {
        Serving::Local(group) => group.members.clone(),
        Serving::None(
            WhyNone::LocalsDiffer(..) | WhyNone::ForeignLocal(_) | WhyNone::Nameless(_),
        ) => Vec::new(),
        _ => serving::awake(subject, &known.memory),
    };
    let is_unproven = |c: &&Container| {
        c.image
            .as_ref()
            .is_some_and(|image| !subject.is_proven(&known.memory, image))
    };
    let may_replace = serving.is_orchestrated() && known.memory.pending.is_some();
    if may_replace || running.iter().any(is_unproven) {
        running
    } else {
        Vec::new()
    }
}

fn readiness(
    subject: Subject<'_>,
    memory: &Memory,
    serving: &Serving<'_>,
    soaks: bool,
) -> Option<Query> {
    if subject.policy.ready.is_none() || subject.readiness().is_some() {
        return None;
    }
    let version_of = |c: &Container| {
        c.image
            .as_ref()
            .map(|image| version::of(subject, memory, image, Some(c)))
    };
    let container = match serving {
        Serving::Local(group) | Serving::Orchestrated(group) => group.newest().filter(|_| soaks),
        // What cannot be told apart from a dry run: the command can.
        Serving::None(WhyNone::OnlyDryRuns(idle)) => {
            Some(*idle).filter(|c| version_of(c).is_some_and(|version| version.is_unknown()))
        }
        Serving::None(_) => None,
    }?;
    Some(Query::AskReady {
        workload: subject.name.clone(),
        container: container.id.clone(),
        container_name: container.name().into_owned(),
        image: container.image.clone()?,
        version: version_of(container)?,
    })
}
