//! The two decisions that a person asks for: `rollback` and `accept` (design section 7). Pure.

use std::fmt;

use crate::image::{ImageId, Version};
use crate::policy::{Policy, Workload, WorkloadName};
use crate::state::{Now, Rejected, State};
use crate::world::World;

use super::case::Case;
use super::event::{Event, EventKind};
use super::plan::{Action, TagPurpose};
use super::scene::Scene;
use super::serving::is_running;

/// What a rollback comes to. The state is saved first; then `latest` moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollbackPlan {
    /// The state with the rejection in it.
    pub state: State,
    /// The version that is rejected.
    pub rejected: Version,
    /// Its image.
    pub image: ImageId,
    /// The image that `latest` must name afterwards; none where `latest` stays.
    pub target: Option<(Version, ImageId)>,
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
        /// Its local container.
        container: String,
    },
    /// Nothing is proven, so there is nothing to go back from.
    NothingProven(WorkloadName),
    /// There is no proven version behind the head on the disk.
    NoFallback {
        /// The workload.
        workload: WorkloadName,
        /// The version that would be rejected.
        head: Version,
    },
    /// What was decided is not what the person agreed to.
    Overtaken(WorkloadName),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LocalRuns {
                workload,
                container,
            } => write!(
                f,
                "the local container '{container}' is running, and its service would start the old container again; \
                 nothing was changed. Stop the service, roll back, start the service:\n  \
                 systemctl stop {container}.service\n  tagkeeper rollback {workload}\n  \
                 systemctl start {container}.service"
            ),
            Self::NothingProven(workload) => {
                write!(
                    f,
                    "nothing is proven for '{workload}' yet, so there is nothing to roll back; nothing was changed. `tagkeeper status` says what is pending"
                )
            }
            Self::Overtaken(workload) => write!(
                f,
                "what there is to roll back of '{workload}' has changed since you were asked; nothing was changed. \
                 Look again:\n  tagkeeper rollback {workload}"
            ),
            Self::NoFallback { workload, head } => write!(
                f,
                "there is no proven version behind {head} on the disk to roll '{workload}' back to; nothing was changed. \
                 `tagkeeper status` says what is there"
            ),
        }
    }
}

impl std::error::Error for Refusal {}

/// Decides a rollback from a state that is up to date with the world (a decision's), so that an upgrade which no pass
/// has seen yet is what gets rejected, and not the proven head.
pub fn rollback(
    policy: &Policy,
    state: &State,
    world: &World,
    now: &Now,
    name: &WorkloadName,
) -> Result<RollbackPlan, Refusal> {
    let nothing_proven = || Refusal::NothingProven(name.clone());
    let scene = Scene::new(policy, state, world);
    let (key, workload) = policy
        .workloads
        .get_key_value(name)
        .ok_or_else(nothing_proven)?;
    let known = state.workloads.get(name).cloned().unwrap_or_default();
    let mut case = Case::new(key, workload, known, &scene, now).ok_or_else(nothing_proven)?;
    if case.cast.local.is_some_and(is_running) {
        return Err(Refusal::LocalRuns {
            workload: name.clone(),
            container: workload.container.clone(),
        });
    }

    let head = case.head().cloned();
    let unproven = case
        .state
        .pending
        .take_if(|p| head.as_ref().is_none_or(|head| head.image != p.image));
    let (version, image, target) = match (unproven, head) {
        (Some(pending), _) => (pending.version, pending.image, None),
        (None, None) => return Err(nothing_proven()),
        (None, Some(head)) => {
            let next = case
                .fallbacks()
                .next()
                .map(|next| (next.version.clone(), next.image.clone()));
            let target = next.ok_or_else(|| Refusal::NoFallback {
                workload: name.clone(),
                head: head.version.clone(),
            })?;
            case.state.pending = None;
            (head.version, head.image, Some(target))
        }
    };
    case.state.lineage.retain(|proven| proven.image != image);
    case.state.rejected.insert(
        image.clone(),
        Rejected {
            version: version.clone(),
            at: now.wall.clone(),
        },
    );

    case.count(|tally| &mut tally.rollbacks);
    if let Some((to, _)) = &target {
        case.note_replaced(&image, to);
    }

    let event = rolled_back(name, &version, image.clone(), target.as_ref());
    let mut decided = State {
        clock: now.clock,
        ..state.clone()
    };
    decided.workloads.insert(name.clone(), case.state);
    Ok(RollbackPlan {
        state: decided,
        rejected: version,
        image,
        target,
        event,
    })
}

fn rolled_back(
    name: &WorkloadName,
    version: &Version,
    image: ImageId,
    target: Option<&(Version, ImageId)>,
) -> Event {
    let message = match target {
        Some((to, _)) => format!("rolled back from {version} to {to}; {version} is rejected"),
        None => format!("{version} is rejected; latest stays"),
    };
    Event {
        kind: EventKind::RolledBack,
        workload: name.clone(),
        version: Some(version.clone()),
        image: Some(image),
        other: target.map(|(to, _)| to.clone()),
        message,
        warning: false,
    }
}

/// What is left to do for a rollback in the world as it is: `latest` moves to its target; then R2 applies. It works on
/// hold, because a person asked.
pub fn rollback_actions(
    policy: &Policy,
    state: &State,
    world: &World,
    now: &Now,
    name: &WorkloadName,
    target: Option<&ImageId>,
) -> Vec<Action> {
    let scene = Scene::new(policy, state, world);
    let Some((key, workload)) = policy.workloads.get_key_value(name) else {
        return Vec::new();
    };
    let released = Workload {
        hold: false,
        ..workload.clone()
    };
    let known = state.workloads.get(name).cloned().unwrap_or_default();
    let Some(mut case) = Case::new(key, &released, known, &scene, now) else {
        return Vec::new();
    };
    match target {
        Some(target) if case.latest_id() != Some(target) && case.is_on_disk(target) => {
            case.latest_move = case.move_latest(target, TagPurpose::Restore);
        }
        Some(_) | None => case.restore_latest(),
    }
    if case.latest_move.is_empty() {
        case.find_stale_local();
        return case.container_removal().into_iter().collect();
    }
    case.latest_move
}

/// Everything that a rollback does, in its order, if nothing comes in between: the rounds of [`rollback_actions`], each
/// in the world as it is after the one before. It ends, because no action comes twice.
pub fn rollback_steps(
    policy: &Policy,
    plan: &RollbackPlan,
    world: &World,
    now: &Now,
    name: &WorkloadName,
) -> Vec<Action> {
    let mut world = world.clone();
    let target = plan.target.as_ref().map(|(_, image)| image);
    let mut steps: Vec<Action> = Vec::new();
    loop {
        let next = rollback_actions(policy, &plan.state, &world, now, name, target);
        let known = steps.len();
        for action in next {
            if !steps.contains(&action) {
                carry_out(&mut world, &action);
                steps.push(action);
            }
        }
        if steps.len() == known {
            return steps;
        }
    }
}

/// The world once an action of a rollback has succeeded.
fn carry_out(world: &mut World, action: &Action) {
    match action {
        Action::Tag {
            image, reference, ..
        } => {
            for listed in &mut world.images {
                listed.references.retain(|name| name != reference);
                if listed.id == *image {
                    listed.references.push(reference.clone());
                }
            }
        }
        Action::RemoveContainer { id, .. } => world.containers.retain(|c| c.id != *id),
        // A rollback removes no image, and leaves pins to the next pass.
        Action::CreatePin { .. } | Action::RemovePin { .. } | Action::RemoveImage { .. } => {}
    }
}

/// Lifts the rejections of a version. None if there are none.
pub fn accept(state: &State, now: &Now, name: &WorkloadName, version: &Version) -> Option<State> {
    let mut accepted = State {
        clock: now.clock,
        ..state.clone()
    };
    let rejected = &mut accepted.workloads.get_mut(name)?.rejected;
    let before = rejected.len();
    rejected.retain(|_, rejection| rejection.version != *version);
    (rejected.len() < before).then_some(accepted)
}
