//! What the next pass would do to the end of its rounds (design 7, `plan`): each round is decided
//! on the host as the one before leaves it.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::{Decision, decide};
use crate::Gather;
use crate::model::{
    Action, ActionKind, Container, ContainerState, ImageId, Observation, PinLabel, Policy, State,
    WorkloadName,
};

/// A pass that needs more rounds than this is going in circles, which is a bug (design 4.7).
pub const MAX_ROUNDS: usize = 8;

/// One round of the next pass.
#[derive(Clone, Debug)]
pub struct PlannedRound {
    /// What it does, by workload.
    pub actions: Vec<(WorkloadName, Action)>,
}

/// The next pass, if each of its actions succeeds.
#[derive(Clone, Debug)]
pub struct Rounds {
    /// What its first look leads to.
    pub first: Decision,
    /// The rounds behind the first one.
    pub later: Vec<PlannedRound>,
    /// The images that have left the disk after it.
    pub leaving: BTreeSet<ImageId>,
}

/// What the next pass does, round by round.
pub fn rounds(policy: &Policy, state: &State, observed: &Observation) -> Rounds {
    let first = decide(policy, state, observed);
    let mut tried: BTreeSet<(WorkloadName, ActionKind)> = BTreeSet::new();
    let mut host = observed.clone();
    let mut later = Vec::new();
    let mut decision = first.clone();
    for _ in 0..MAX_ROUNDS {
        let actions: Vec<(WorkloadName, Action)> = decision
            .plan
            .actions()
            .into_iter()
            .filter(|(name, action)| tried.insert(((*name).clone(), action.kind.clone())))
            .map(|(name, action)| (name.clone(), action.clone()))
            .collect();
        if actions.is_empty() {
            break;
        }
        for (workload, action) in &actions {
            apply_action(&mut host, workload, &action.kind, &decision.state.instance);
            confirm(&mut decision.state, workload, &action.kind);
        }
        // A pass measures the disk until its first removal: what that frees shows later.
        let removes = |action: &Action| matches!(action.kind, ActionKind::RemoveImage { .. });
        if actions.iter().any(|(_, action)| removes(action)) {
            host.disk = None;
        }
        later.push(PlannedRound { actions });
        decision = decide(policy, &decision.state, &host);
    }
    if !later.is_empty() {
        later.remove(0);
    }
    let stays: BTreeSet<&ImageId> = host.images.iter().map(|image| &image.id).gather();
    let images = observed.images.iter().map(|image| &image.id);
    let leaving = images.filter(|id| !stays.contains(id)).cloned().gather();
    Rounds {
        first,
        later,
        leaving,
    }
}

/// The state once the engine has confirmed an action.
pub(super) fn confirm(state: &mut State, workload: &WorkloadName, action: &ActionKind) {
    if let Some(known) = state.workloads.get_mut(workload) {
        known.memory.latest_in_doubt &= !action.moves_latest();
    }
}

/// The host once an action has succeeded.
pub(super) fn apply_action(
    host: &mut Observation,
    workload: &WorkloadName,
    action: &ActionKind,
    instance: &str,
) {
    match action {
        ActionKind::Tag {
            image, reference, ..
        } => {
            for listed in &mut host.images {
                listed.references.retain(|name| name != reference);
                if listed.id == *image {
                    listed.references.push(reference.clone());
                }
            }
        }
        ActionKind::RemoveContainer { id, .. } | ActionKind::RemovePin { id, .. } => {
            host.containers.retain(|c| c.id != *id);
        }
        ActionKind::RemoveImage {
            reference, image, ..
        } => {
            let has_tag = |listed: &crate::model::Image| listed.tags().next().is_some();
            for listed in host.images.iter_mut().filter(|listed| listed.id == *image) {
                let Some(reference) = reference else { continue };
                listed.references.retain(|name| name != reference);
                // A digest is removed with the last tag of its repository.
                let repository = reference.repository();
                let last = !listed.tags().any(|tag| tag.repository() == repository);
                listed
                    .references
                    .retain(|name| !(last && name.repository() == repository));
            }
            let is_gone = |listed: &crate::model::Image| {
                listed.id == *image
                    && (reference.is_none()
                        || (!has_tag(listed)
                            && listed.references.is_empty()
                            && listed.unparsed_names == 0))
            };
            host.images.retain(|listed| !is_gone(listed));
        }
        ActionKind::CreatePin { container, image } => host.containers.push(Container {
            id: crate::model::ContainerId::new(container),
            names: alloc::vec![container.clone()],
            image: Some(image.clone()),
            reference: None,
            state: ContainerState::Created,
            exit_code: None,
            created_secs: 0,
            one_off: false,
            pin: Some(PinLabel {
                workload: alloc::string::ToString::to_string(workload),
                instance: Some(instance.into()),
            }),
        }),
    }
}
