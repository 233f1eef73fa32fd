//! `rollback`: a person rejects a version, and `latest` goes back (design 7).

mod in_play;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::disk::Recalled;
use super::subject::{Subject, subjects};
use super::{actions, disk, history, naming, ownership, preview, stale, version};
use crate::Gather;
use crate::model::{
    Action, Container, ContainerState, Event, EventKind, Image, ImageId, Memory, NoFallback,
    Observation, Policy, Rejected, State, TagPurpose, Version, WorkloadName,
};

use in_play::{in_play, named_latest, newest_beside_head};

pub(super) use in_play::{failing, unsettled};

/// What a rollback is to reject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollbackTarget {
    /// The unproven upgrade in play, if there is one; else the head.
    InPlay,
    /// What is latest, or was last (`--latest`).
    Latest,
}

/// What a rollback does. The rejection is saved first; then `latest` moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollbackPlan {
    /// The state with the rejection in it.
    pub state: State,
    /// The version that is rejected.
    pub rejected: Version,
    /// Its image.
    pub image: ImageId,
    /// What `accept` takes to lift the rejection and no other.
    pub undo: Version,
    /// What `latest` must name afterwards; none where it stays.
    pub target: Option<(Version, ImageId)>,
    /// What `latest` names now, if it stays.
    pub stays: Option<Version>,
    /// The containers of the rejected image that run on: tagkeeper never stops containers.
    pub keeps_running: Vec<String>,
    /// For the log.
    pub event: Event,
}

/// Why a rollback is refused. Nothing is changed then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The local container runs, and its service would start the old container again.
    LocalRuns {
        /// The workload.
        workload: WorkloadName,
        /// Its local containers that run.
        containers: Vec<String>,
        /// What would be rejected.
        rejected: Version,
        /// Once they are stopped, something else may be in play: it takes `--latest` to reject this
        /// one then.
        takes_latest: bool,
    },
    /// Nothing is proven, so there is nothing to go back from or to.
    NothingProven(WorkloadName),
    /// There is no proven version behind the head on the disk.
    NoFallback {
        /// The workload.
        workload: WorkloadName,
        /// The version that would be rejected.
        head: Version,
        /// The version behind it that is on the disk and rejected.
        rejected: Option<Version>,
    },
    /// What was deployed in place of the head is rejected already: the head is not at fault.
    RejectedAlready {
        /// The workload.
        workload: WorkloadName,
        /// The version that is rejected.
        rejected: Version,
        /// Whether the policy rejects it; else a rollback did.
        by_policy: bool,
        /// The head.
        head: Version,
    },
    /// What was decided is not what the person agreed to.
    Overtaken(WorkloadName),
}

/// What is rejected, and where `latest` has to go for it.
struct Choice {
    version: Version,
    image: ImageId,
    target: Option<(Version, ImageId)>,
}

/// Decides a rollback from a state that is up to date with the observation (a decision's).
///
/// # Errors
/// The refusal: nothing is to be changed.
pub fn rollback(
    policy: &Policy,
    state: &State,
    observed: &Observation,
    name: &WorkloadName,
    what: RollbackTarget,
) -> Result<RollbackPlan, Refusal> {
    let recalled = disk::recall(policy, state, observed);
    let inventory = ownership::assign(policy, &recalled, observed);
    let subjects = subjects(policy, &recalled, &inventory);
    let nothing_proven = || Refusal::NothingProven(name.clone());
    let subject = *subjects
        .iter()
        .find(|s| s.name == name)
        .ok_or_else(nothing_proven)?;
    let memory = recalled.memory(name);
    let choice = choose(subject, &recalled, what)?;
    let runs_rejected = |c: &&&Container| c.is_running() && c.uses(&choice.image);
    let running_locals = subject.own.locals.iter().filter(|c| c.is_running());
    let in_the_way = running_locals.filter(|c| choice.target.is_some() || runs_rejected(c));
    let containers: Vec<String> = in_the_way.map(|c| c.name().into_owned()).collect();
    if !containers.is_empty() {
        let mut orchestrated = subject.own.orchestrated.iter();
        return Err(Refusal::LocalRuns {
            workload: name.clone(),
            containers,
            takes_latest: what == RollbackTarget::Latest
                || (subject.is_head(memory, &choice.image)
                    && orchestrated.any(|c| !c.uses(&choice.image))),
            rejected: choice.version,
        });
    }
    // A local one that is paused, or between two attempts, is not in the way, and runs on.
    let goes_on = |c: &&Container| {
        let is_up = matches!(
            c.state,
            ContainerState::Running | ContainerState::Paused | ContainerState::Restarting
        );
        is_up && c.uses(&choice.image)
    };
    let keeps_running = subject.own.containers().filter(goes_on);
    let keeps_running = keeps_running.map(|c| c.name().into_owned()).collect();
    let stays = subject.own.latest.filter(|_| choice.target.is_none());
    let state = rejected_state(subject, state, &recalled, &choice);
    let all = state.rejected_of(name).map(|(_, rejected)| rejected);
    Ok(RollbackPlan {
        undo: Rejected::lifted_by(&choice.version, &choice.image, all),
        state,
        stays: stays.map(|image| version::of_image(subject, memory, image)),
        keeps_running,
        event: Event {
            workload: name.clone(),
            kind: EventKind::RolledBack {
                version: choice.version.clone(),
                image: choice.image.clone(),
                to: choice.target.as_ref().map(|(to, _)| to.clone()),
            },
        },
        rejected: choice.version,
        image: choice.image,
        target: choice.target,
    })
}

/// What is to be rejected: the upgrade in play, or the head.
fn choose(
    subject: Subject<'_>,
    recalled: &Recalled,
    what: RollbackTarget,
) -> Result<Choice, Refusal> {
    let memory = recalled.memory(subject.name);
    let upgrade = match what {
        RollbackTarget::InPlay => in_play(subject, recalled.of(subject.name)),
        RollbackTarget::Latest => named_latest(subject, memory),
    };
    if let Some((version, image)) = upgrade {
        return leave(subject, memory, version, image);
    }
    if what == RollbackTarget::InPlay {
        at_fault(subject, memory)?;
    }
    back_one(subject, memory)
}

/// An error where the head is not at fault: where what was deployed in its place is rejected
/// already, by the policy, or by a rollback that left `latest` where it was. The orchestrator has
/// not heard of it yet.
fn at_fault(subject: Subject<'_>, memory: &Memory) -> Result<(), Refusal> {
    let Some((head, newest, image)) = newest_beside_head(subject, memory) else {
        return Ok(());
    };
    let by_policy = subject.is_rejected_by_policy(memory, image);
    let by_rollback = subject.rejected.and_then(|rejected| rejected.get(image));
    if !by_policy && by_rollback.is_none_or(|rejected| rejected.proven.is_some()) {
        return Ok(());
    }
    Err(Refusal::RejectedAlready {
        workload: subject.name.clone(),
        rejected: version::of(subject, memory, image, Some(newest)),
        by_policy,
        head: head.version.clone(),
    })
}

/// The upgrade in play is rejected: `latest` stays, unless it names that very image.
fn leave(
    subject: Subject<'_>,
    memory: &Memory,
    version: Version,
    image: ImageId,
) -> Result<Choice, Refusal> {
    let names_it = subject.latest().is_none_or(|latest| *latest == image);
    let head = subject.restorable(memory);
    let target = match head.filter(|_| names_it) {
        Some(head) => Some((head.version.clone(), head.image.clone())),
        None if names_it => return Err(Refusal::NothingProven(subject.name.clone())),
        None => None,
    };
    Ok(Choice {
        version,
        image,
        target,
    })
}

/// The head is rejected, and `latest` goes back one entry.
fn back_one(subject: Subject<'_>, memory: &Memory) -> Result<Choice, Refusal> {
    let head = subject.head(memory);
    let head = head.ok_or_else(|| Refusal::NothingProven(subject.name.clone()))?;
    let next = subject
        .usable_fallbacks(memory)
        .next()
        .ok_or_else(|| Refusal::NoFallback {
            workload: subject.name.clone(),
            head: head.version.clone(),
            rejected: subject.fallbacks(memory).next().map(|p| p.version.clone()),
        })?;
    Ok(Choice {
        version: head.version.clone(),
        image: head.image.clone(),
        target: Some((next.version.clone(), next.image.clone())),
    })
}

fn rejected_state(
    subject: Subject<'_>,
    state: &State,
    recalled: &Recalled,
    choice: &Choice,
) -> State {
    let name = subject.name;
    let mut known = recalled.of(name).clone();
    let (proven, _) = known.memory.take_rejected(|id| *id == choice.image);
    known.counters.rollbacks = known.counters.rollbacks.saturating_add(1);
    if let Some((to, image)) = &choice.target {
        // What soaks beside the two goes on; a promotion that it was committed to does not.
        known.memory.pending.take_if(|p| p.image == *image);
        if let Some(pending) = &mut known.memory.pending {
            pending.promoting = false;
        }
        // What was passed over, because the policy rejects it, stays behind what latest goes back
        // to. What was lost from the disk is no fallback of that.
        let lineage = &mut known.memory.lineage;
        if let Some(at) = lineage.iter().position(|p| p.image == *image) {
            let head = lineage.remove(at);
            let behind = lineage.split_off(at);
            lineage.retain(|passed| subject.is_on_disk(&passed.image));
            lineage.insert(0, head);
            lineage.extend(behind);
        }
        known = history::replaced(subject, known, &choice.image, to);
        known.memory.no_fallback = Some(NoFallback::Rejected);
    }
    let mut decided = state.clone();
    decided.clock = subject.observed().until.clock;
    decided.workloads.insert(name.clone(), known);
    let image = subject.inventory.image(&choice.image);
    let digests = image.into_iter().flat_map(Image::digests);
    let rejected = Rejected {
        version: choice.version.clone(),
        at: subject.wall(),
        digests: digests.map(ToOwned::to_owned).gather(),
        proven: proven.into_iter().next(),
    };
    let of_workload = decided.rejected.entry(name.clone()).or_default();
    of_workload.insert(choice.image.clone(), rejected);
    decided
}

/// What is left to do for a rollback on the host as it is: `latest` moves to its target; then R2
/// applies. It works on hold, because a person decided.
pub fn rollback_actions(
    policy: &Policy,
    state: &State,
    observed: &Observation,
    name: &WorkloadName,
    target: Option<&ImageId>,
) -> Vec<Action> {
    let mut recalled = disk::recall(policy, state, observed);
    recalled.held.remove(name);
    let inventory = ownership::assign(policy, &recalled, observed);
    let subjects = subjects(policy, &recalled, &inventory);
    let Some(subject) = subjects.iter().find(|s| s.name == name).copied() else {
        return Vec::new();
    };
    let memory = recalled.memory(name);
    let target = target.filter(|t| subject.latest() != Some(*t) && subject.is_on_disk(t));
    let tags = match target {
        Some(target) => {
            let names = naming::missing(subject, memory, true);
            if names.is_empty() {
                vec![naming::move_latest(
                    subject,
                    memory,
                    target.clone(),
                    TagPurpose::Restore,
                )]
            } else {
                names
            }
        }
        None => naming::tags(subject, memory, false),
    };
    if !tags.is_empty() {
        return tags;
    }
    let found = stale::find(subject, memory, false);
    actions::stale_locals(&found.stale).collect()
}

/// Everything that a rollback does, in its order, if nothing comes in between: the rounds of
/// [`rollback_actions`], each on the host as the one before leaves it. It ends, because no action
/// comes twice.
pub fn rollback_steps(
    policy: &Policy,
    plan: &RollbackPlan,
    observed: &Observation,
    name: &WorkloadName,
) -> Vec<Action> {
    let mut host = observed.clone();
    let mut state = plan.state.clone();
    let target = plan.target.as_ref().map(|(_, image)| image);
    let mut steps: Vec<Action> = Vec::new();
    loop {
        let known = steps.len();
        for action in rollback_actions(policy, &state, &host, name, target) {
            if steps.iter().all(|step| step.kind != action.kind) {
                preview::apply_action(&mut host, name, &action.kind, &state.instance);
                preview::confirm(&mut state, name, &action.kind);
                steps.push(action);
            }
        }
        if steps.len() == known {
            return steps;
        }
    }
}
