//! The names that images must have, and the moves of `latest` (design 4.4).
//!
//! Each image of the lineage has a tag other than `latest`, and so does the one that `latest` is
//! about to leave: without one it is at the mercy of every prune. `latest` moves only in a round
//! that finds it so.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::subject::Subject;
use super::version;
use crate::model::{
    Action, ActionKind, Guard, Image, ImageId, LATEST, Memory, Reference, TagPurpose, Version,
};

/// The names that are given in this round: those that are missing, or else the one move of
/// `latest`. `due` says that the pending upgrade is to be promoted.
pub(super) fn tags(subject: Subject<'_>, memory: &Memory, due: bool) -> Vec<Action> {
    let target = target(subject, memory, due);
    let missing = missing(subject, memory, target.is_some());
    if !missing.is_empty() {
        return missing;
    }
    // On hold nothing is committed to: the move is shown, and not made.
    let is_committed = subject.is_held() || memory.pending.as_ref().is_some_and(|p| p.promoting);
    let may_move = |target: &(ImageId, TagPurpose)| target.1 == TagPurpose::Restore || is_committed;
    let moves = target.filter(may_move);
    moves.map_or_else(Vec::new, |(image, purpose)| {
        vec![move_latest(subject, memory, image, purpose)]
    })
}

/// Where `latest` is to move to.
fn target(subject: Subject<'_>, memory: &Memory, due: bool) -> Option<(ImageId, TagPurpose)> {
    let in_doubt = |image: &ImageId| memory.latest_in_doubt && subject.latest() == Some(image);
    let pending = memory.pending.as_ref();
    if let Some(pending) = pending.filter(|p| due || (p.promoting && in_doubt(&p.image))) {
        return Some((pending.image.clone(), TagPurpose::Promote));
    }
    // It is missing altogether or names a rejected image: something else took the name, or a
    // rollback was killed halfway.
    let lost = subject
        .latest()
        .is_none_or(|latest| subject.is_rejected(memory, latest));
    let head = subject.restorable(memory)?;
    let is_there = subject.latest() == Some(&head.image);
    let moves = (lost && !is_there) || in_doubt(&head.image);
    moves.then(|| (head.image.clone(), TagPurpose::Restore))
}

/// Whether the image that `latest` names has the other name that it needs once `latest` leaves it,
/// and so has the lineage.
pub(super) fn may_leave_latest(subject: Subject<'_>, memory: &Memory) -> bool {
    needing_names(subject, memory, true).is_empty()
}

/// The images that need a name and have none.
fn needing_names<'a>(subject: Subject<'a>, memory: &Memory, leaves: bool) -> Vec<&'a Image> {
    let left_behind = subject.own.latest.filter(|_| leaves);
    let lineage = subject
        .lineage(memory)
        .filter_map(|p| subject.inventory.image(&p.image));
    let mut needing: Vec<&Image> = Vec::new();
    for image in lineage.chain(left_behind) {
        let is_new = needing.iter().all(|known| known.id != image.id);
        if is_new && !has_lasting_name(subject, image) {
            needing.push(image);
        }
    }
    needing
}

fn has_lasting_name(subject: Subject<'_>, image: &Image) -> bool {
    let mut tags = image.tags().filter(|tag| tag.version_tag().is_some());
    tags.any(|tag| subject.policy.owns(tag))
}

/// The names that images need: those of the lineage, and with `leaves` also the one that `latest`
/// is about to leave.
pub(super) fn missing(subject: Subject<'_>, memory: &Memory, leaves: bool) -> Vec<Action> {
    let mut taken: Vec<Reference> = Vec::new();
    let mut actions = Vec::new();
    for image in needing_names(subject, memory, leaves) {
        let is_free = |version: &Version| {
            let name = subject.policy.repository.with_tag(version.as_str());
            let parses = Reference::parse(&name.to_string()).is_ok();
            let is_free = version.as_str() != LATEST && parses && !taken.contains(&name);
            (is_free && subject.own.named(&name).is_none()).then_some(name)
        };
        let by_version = is_free(&version::of_image(subject, memory, image));
        let in_full = || Version::new(image.id.to_string().replace(':', "-"));
        let name = by_version
            .or_else(|| is_free(&image.id.short_version()))
            .or_else(|| is_free(&in_full()));
        if let Some(reference) = name {
            taken.push(reference.clone());
            actions.push(Action {
                guards: vec![Guard::Means {
                    reference: reference.clone(),
                    image: None,
                }],
                kind: ActionKind::Tag {
                    image: image.id.clone(),
                    reference,
                    purpose: TagPurpose::KeepName,
                },
            });
        }
    }
    actions
}

/// The one engine call that moves `latest`, or gives it once more to the image that has it.
pub(super) fn move_latest(
    subject: Subject<'_>,
    memory: &Memory,
    image: ImageId,
    purpose: TagPurpose,
) -> Action {
    let reference = subject.policy.repository.latest();
    let mut guards = vec![Guard::Means {
        reference: reference.clone(),
        image: subject.latest().cloned(),
    }];
    let is_move = subject.latest() != Some(&image);
    let left = subject.latest().filter(|_| is_move);
    guards.extend(left.map(|left| Guard::KeepsTag {
        image: left.clone(),
        without: reference.clone(),
    }));
    let pending = memory
        .pending
        .as_ref()
        .filter(|_| purpose == TagPurpose::Promote && is_move);
    guards.extend(pending.map(|pending| Guard::Running {
        image: image.clone(),
        members: pending.members.clone(),
    }));
    Action {
        kind: ActionKind::Tag {
            image,
            reference,
            purpose,
        },
        guards,
    }
}
