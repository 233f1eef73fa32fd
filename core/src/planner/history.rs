//! What happened to images is written down for people. Nothing is decided from it, and an idle pass
//! writes nothing.

use crate::model::{
    HISTORY_KEPT, ImageHistory, ImageId, Removed, RemovedBy, Replaced, RetiredBy, Version,
    WorkloadState,
};

use super::subject::Subject;
use super::version;

fn note(
    subject: Subject<'_>,
    mut state: WorkloadState,
    id: &ImageId,
    change: impl FnOnce(&mut ImageHistory),
) -> WorkloadState {
    let version = version::known(subject, &state, id);
    state.note(id, || version, change);
    state
}

/// Images that have appeared. Of a crowd the first few: more would not be kept.
pub(super) fn arrivals(
    subject: Subject<'_>,
    state: WorkloadState,
    arrived: &[&ImageId],
) -> WorkloadState {
    arrived.iter().take(HISTORY_KEPT).fold(state, |state, id| {
        note(subject, state, id, |past| {
            past.first_seen_at = Some(subject.wall());
            past.retired = None;
            past.removed = None;
        })
    })
}

/// An image has become latest and the head of the lineage.
pub(super) fn promoted(subject: Subject<'_>, state: WorkloadState, id: &ImageId) -> WorkloadState {
    note(subject, state, id, |past| {
        past.promoted_at = Some(subject.wall());
        past.replaced = None;
        past.retired = None;
    })
}

/// `latest` has left an image.
pub(super) fn replaced(
    subject: Subject<'_>,
    state: WorkloadState,
    id: &ImageId,
    by: &Version,
) -> WorkloadState {
    note(subject, state, id, |past| {
        past.replaced = Some(Replaced {
            by: by.clone(),
            at: subject.wall(),
        });
    })
}

/// Images have become obsolete, by the promotion of a version if it was one.
pub(super) fn retired(
    subject: Subject<'_>,
    state: WorkloadState,
    images: &[ImageId],
    by: Option<&Version>,
) -> WorkloadState {
    images.iter().take(HISTORY_KEPT).fold(state, |state, id| {
        note(subject, state, id, |past| {
            past.retired = Some(RetiredBy {
                by: by.cloned(),
                at: subject.wall(),
            });
        })
    })
}

/// An obsolete image is needed again.
pub(super) fn needed_again(
    subject: Subject<'_>,
    state: WorkloadState,
    id: &ImageId,
) -> WorkloadState {
    note(subject, state, id, |past| past.retired = None)
}

/// Images that are not seen any more, with the times since when they were idle. Those that have
/// only foreign names now have not left the disk, and what the engine has confirmed, the pass has
/// written down already.
pub(super) fn departures(
    subject: Subject<'_>,
    state: WorkloadState,
    gone: &[(ImageId, Option<u64>)],
) -> WorkloadState {
    let is_noted = |id: &ImageId| state.past(id).is_some_and(|past| past.removed.is_some());
    let unnoted = gone
        .iter()
        .filter(|(id, _)| !subject.is_on_disk(id) && !is_noted(id));
    let unnoted: alloc::vec::Vec<_> = unnoted.take(HISTORY_KEPT).cloned().collect();
    unnoted
        .into_iter()
        .fold(state, |state, (id, idle_since_ms)| {
            let why = removed_by(subject, &state, &id, idle_since_ms);
            note(subject, state, &id, |past| {
                past.removed = Some(Removed {
                    why,
                    at: subject.wall(),
                });
            })
        })
}

fn removed_by(
    subject: Subject<'_>,
    state: &WorkloadState,
    id: &ImageId,
    idle_since_ms: Option<u64>,
) -> RemovedBy {
    let idle_ms = idle_since_ms.map_or(0, |since_ms| subject.lasted_ms(since_ms));
    if state.memory.retired.contains(id) {
        RemovedBy::Retired
    } else if idle_ms >= subject.policy.grace_ms {
        RemovedBy::Idle
    } else {
        RemovedBy::Other
    }
}
