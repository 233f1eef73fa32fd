//! The two decisions that a person asks for: `rollback` and `accept` (design 7).

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::{Recalled, actions, stale};
use super::{Subject, disk, history, naming, ownership, preview, serving, subjects, version};
use crate::Gather;
use crate::model::{
    Action, Container, ContainerState, Event, EventKind, Failure, Image, ImageId, ImageRecord,
    LineageEntry, Memory, NoFallback, Observation, Policy, Rejected, State, TagPurpose, Version,
    WorkloadName, WorkloadState,
};

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

/// The unproven upgrade in play: the pending image; one that failed since the last promotion and
/// still has a container or serves; what `latest` names, if that is not proven; what was tried
/// since the last promotion and still has a container; or what was deployed last, where the head
/// does not do the work alone.
fn in_play(subject: Subject<'_>, recalled: &Recalled) -> Option<(Version, ImageId)> {
    let known = recalled.of(subject.name);
    let memory = &known.memory;
    let pending = memory.pending.as_ref();
    let unproven = pending.filter(|p| memory.proven(&p.image).is_none());
    if let Some(pending) = unproven {
        return Some((pending.version.clone(), pending.image.clone()));
    }
    match failing(subject, known) {
        Some(failed) => Some((failed.version.clone(), failed.image.clone())),
        None => named_latest(subject, memory)
            .or_else(|| tried(subject, memory))
            .or_else(|| deployed_last(subject, known)),
    }
}

/// What `latest` was moved to by hand, and what is proven by nothing: a local upgrade, whatever its
/// container did. What a rollback goes back to is the head then.
fn named_latest(subject: Subject<'_>, memory: &Memory) -> Option<(Version, ImageId)> {
    let image = subject.own.latest?;
    let is_upgrade =
        is_undecided(subject, memory, &image.id) && subject.restorable(memory).is_some();
    is_upgrade.then(|| (version::of_image(subject, memory, image), image.id.clone()))
}

/// What is to be rejected: the upgrade in play, or the head.
fn choose(
    subject: Subject<'_>,
    recalled: &Recalled,
    what: RollbackTarget,
) -> Result<Choice, Refusal> {
    let memory = recalled.memory(subject.name);
    let upgrade = match what {
        RollbackTarget::InPlay => in_play(subject, recalled),
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

/// Where the head does not do the work alone: the head, the newest container that could, and its
/// image.
fn newest_beside_head<'a, 'm>(
    subject: Subject<'a>,
    memory: &'m Memory,
) -> Option<(&'m LineageEntry, &'a Container, &'a ImageId)> {
    let head = subject.head(memory)?;
    let serving = serving::of(subject, memory);
    let serves = serving.group().map(|group| group.image);
    if serves == Some(&head.image) {
        return None;
    }
    let newest = serving::newest(serving::could_serve(subject))?;
    Some((head, newest, newest.image.as_ref()?))
}

/// In place of the head, which does not serve: the image of the newest container that could, if it
/// could become latest and was not retired. No pass needs to have seen it run: it may be killed at
/// once, not start at all, or run beside the head.
fn deployed_last(subject: Subject<'_>, known: &WorkloadState) -> Option<(Version, ImageId)> {
    let memory = &known.memory;
    let (_, newest, image) = newest_beside_head(subject, memory)?;
    let is_upgrade = memory.images.contains_key(image)
        && is_undecided(subject, memory, image)
        && !memory.retired.contains(image)
        && !serving::is_dry_run(subject, memory, newest)
        && !serving::idles_beside_local(subject, memory, newest);
    is_upgrade.then(|| {
        (
            version::of(subject, memory, image, Some(newest)),
            image.clone(),
        )
    })
}

/// An image that has arrived since the last promotion, was pending, and still has a container; of
/// which there is no entry among the failures, because a single pass has seen it so. Of several,
/// the one with the newest container.
fn tried(subject: Subject<'_>, memory: &Memory) -> Option<(Version, ImageId)> {
    let is_new = |record: &ImageRecord| {
        let promoted_ms = memory.promoted_ms;
        promoted_ms.is_none_or(|promoted_ms| record.first_seen_ms > promoted_ms)
    };
    let is_tried = |id: &ImageId| {
        let record = memory.images.get(id);
        record.is_some_and(|record| record.times_pending > 0 && is_new(record))
            && is_undecided(subject, memory, id)
    };
    let tried = serving::could_serve(subject).filter(|c| c.image.as_ref().is_some_and(is_tried));
    let newest = serving::newest(tried)?;
    let image = newest.image.as_ref()?;
    let version = version::of(subject, memory, image, Some(newest));
    Some((version, image.clone()))
}

/// Whether an image is neither proven nor rejected.
fn is_undecided(subject: Subject<'_>, memory: &Memory, id: &ImageId) -> bool {
    memory.proven(id).is_none() && !subject.is_rejected(memory, id)
}

/// The upgrade that failed since the last promotion and still has a container or serves.
pub(super) fn failing<'k>(subject: Subject<'k>, known: &'k WorkloadState) -> Option<&'k Failure> {
    let has_container = |id: &ImageId| serving::could_serve(subject).any(|c| c.uses(id));
    unsettled(subject, known).find(|failure| has_container(&failure.image))
}

/// The upgrades that failed, to a fallback too, were not rejected for it, and after which nothing
/// was promoted.
pub(super) fn unsettled<'k>(
    subject: Subject<'k>,
    known: &'k WorkloadState,
) -> impl Iterator<Item = &'k Failure> {
    let memory = &known.memory;
    known.failed_since_promotion().filter(move |failure| {
        !subject.is_head(memory, &failure.image) && !subject.is_rejected(memory, &failure.image)
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

/// Lifts the rejections of a version, or of the image that it is the id of. What was proven and is
/// still on the disk goes back into the lineage, behind the head. None if there is no such
/// rejection.
pub fn accept(
    state: &State,
    name: &WorkloadName,
    wanted: &Version,
    is_on_disk: impl Fn(&ImageId) -> bool,
) -> Option<State> {
    let mut accepted = state.clone();
    let rejected = accepted.rejected.get_mut(name)?;
    let before = rejected.len();
    let mut proven = Vec::new();
    rejected.retain(|image, rejection| {
        let lifted = wanted.names(&rejection.version, image);
        if lifted {
            proven.extend(rejection.proven.clone());
        }
        !lifted
    });
    if rejected.len() == before {
        return None;
    }
    if rejected.is_empty() {
        accepted.rejected.remove(name);
    }
    if let Some(known) = accepted.workloads.get_mut(name) {
        let still = accepted.rejected.get(name);
        let is_lifted = |image: &mut ImageId| !still.is_some_and(|r| r.contains_key(image));
        known.rejected_serves.take_if(is_lifted);
        let memory = &mut known.memory;
        for entry in proven {
            if is_on_disk(&entry.image)
                && !memory.lineage.is_empty()
                && memory.proven(&entry.image).is_none()
            {
                memory.retired.remove(&entry.image);
                // An entry that was lost from the disk is not the head.
                let head = memory.lineage.iter().position(|p| is_on_disk(&p.image));
                memory.lineage.insert(head.unwrap_or_default() + 1, entry);
            }
        }
    }
    Some(accepted)
}
