//! Stage 7, actions (design 4.7): what a round does, with the guards of each action.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use super::names::remote_name;
use super::pins;
use super::stale::Stale;
use super::subject::Subject;
use super::upgrade::Upgrade;
use crate::model::{
    Action, ActionKind, Detail, Guard, ImageId, NameVerdict, Reason, Reference, TagPurpose, Verdict,
};

/// What the round of all workloads together says to one of them.
#[derive(Clone, Copy)]
pub(super) struct Round<'r> {
    /// The images that are needed by their ids: none may lose its last name.
    pub(super) claimed: &'r BTreeSet<ImageId>,
    /// The images that are not removed in this round.
    pub(super) deferred: &'r BTreeSet<ImageId>,
}

/// The round's actions, or those that a hold keeps from being done. In a round that gives names
/// nothing is removed: the next one sees the host as it then is.
pub(super) fn derive(
    subject: Subject<'_>,
    upgrade: &Upgrade<'_>,
    names: &[NameVerdict],
    round: Round<'_>,
) -> Vec<Action> {
    if !upgrade.tags.is_empty() {
        return upgrade.tags.clone();
    }
    let mut changes: Vec<&NameVerdict> = names
        .iter()
        .filter(|name| name.verdict() != Verdict::Keep)
        .collect();
    changes.sort_by(|a, b| a.by_name(b));
    let adoptions = changes.iter().filter_map(|name| adoption(name));
    let removals = changes
        .iter()
        .copied()
        .filter(|name| name.verdict() == Verdict::Remove && !round.deferred.contains(&name.image));
    let actions = adoptions
        .chain(pins::actions(subject, &upgrade.state.memory))
        .chain(stale_locals(&upgrade.stale))
        .chain(removals.filter_map(|name| removal(subject, name, round.claimed)));
    actions
        .filter(|action| !is_put_off(subject, upgrade, &action.kind))
        .collect()
}

fn is_put_off(subject: Subject<'_>, upgrade: &Upgrade<'_>, action: &ActionKind) -> bool {
    let target = action.removal_target();
    target.is_some_and(|target| subject.is_put_off(&upgrade.state.memory, &target))
}

fn adoption(name: &NameVerdict) -> Option<Action> {
    let Detail::MovesTo { image, .. } = &name.detail else {
        return None;
    };
    let reference = name.reference.clone()?;
    Some(Action {
        guards: vec![
            Guard::Means {
                reference: reference.clone(),
                image: Some(name.image.clone()),
            },
            Guard::Unused {
                image: name.image.clone(),
            },
        ],
        kind: ActionKind::Tag {
            image: image.clone(),
            reference,
            purpose: TagPurpose::Adopt,
        },
    })
}

/// R2.
pub(super) fn stale_locals<'u>(stale: &'u [Stale<'_>]) -> impl Iterator<Item = Action> + 'u {
    stale.iter().map(|stale| Action {
        kind: ActionKind::RemoveContainer {
            container: stale.container.name().into_owned(),
            id: stale.container.id.clone(),
            image: stale.image.clone(),
        },
        guards: vec![Guard::Stopped {
            container: stale.container.id.clone(),
            started_at: stale.started_at.clone(),
            image: stale.image.clone(),
        }],
    })
}

fn removal(
    subject: Subject<'_>,
    name: &NameVerdict,
    claimed: &BTreeSet<ImageId>,
) -> Option<Action> {
    let image = name.image.clone();
    let reason = name.reason;
    let kind = ActionKind::RemoveImage {
        reference: name.reference.clone(),
        image: image.clone(),
        reason,
    };
    let new_name = |local: &Reference| {
        let listed = subject.inventory.image(&image)?;
        remote_name(subject, listed, local.tag()?)
    };
    let guards = match &name.reference {
        None => vec![
            Guard::Nameless {
                image: image.clone(),
            },
            Guard::Unused { image },
        ],
        Some(reference) => vec![
            Guard::Means {
                reference: reference.clone(),
                image: Some(image.clone()),
            },
            match reason {
                Reason::Renamed => Guard::Means {
                    reference: new_name(reference)?.clone(),
                    image: Some(image),
                },
                _ => last_name_guard(image, reference, claimed),
            },
        ],
    };
    Some(Action { kind, guards })
}

/// An image that is needed by its id never loses its last tag; another one leaves the disk only
/// while nothing uses it.
fn last_name_guard(image: ImageId, reference: &Reference, claimed: &BTreeSet<ImageId>) -> Guard {
    let without = reference.clone();
    if claimed.contains(&image) {
        Guard::KeepsTag { image, without }
    } else {
        Guard::UnusedIfLast { image, without }
    }
}
