//! Which upgrade a rollback is about: the unproven one in play (design 7).

use crate::model::{
    Container, Failure, ImageId, ImageRecord, LineageEntry, Memory, Version, WorkloadState,
};

use crate::planner::subject::Subject;
use crate::planner::{serving, version};

/// What a rollback rejects, and its version.
type InPlay = (Version, ImageId);

/// The unproven upgrade in play: the first of these that exists.
pub(super) fn in_play(subject: Subject<'_>, known: &WorkloadState) -> Option<InPlay> {
    let memory = &known.memory;
    soaking(memory)
        .or_else(|| failed(subject, known))
        .or_else(|| named_latest(subject, memory))
        .or_else(|| tried(subject, memory))
        .or_else(|| deployed_last(subject, memory))
}

/// The pending image, unless it is a fallback that soaks again: then the orchestrator has gone back
/// by itself.
fn soaking(memory: &Memory) -> Option<InPlay> {
    let pending = memory.pending.as_ref()?;
    let is_unproven = memory.proven(&pending.image).is_none();
    is_unproven.then(|| (pending.version.clone(), pending.image.clone()))
}

fn failed(subject: Subject<'_>, known: &WorkloadState) -> Option<InPlay> {
    let failure = failing(subject, known)?;
    Some((failure.version.clone(), failure.image.clone()))
}

/// What `latest` was moved to by hand, and what is proven by nothing: a local upgrade, whatever its
/// container did. What a rollback goes back to is the head then.
pub(super) fn named_latest(subject: Subject<'_>, memory: &Memory) -> Option<InPlay> {
    let image = subject.own.latest?;
    let is_upgrade =
        is_undecided(subject, memory, &image.id) && subject.restorable(memory).is_some();
    is_upgrade.then(|| (version::of_image(subject, memory, image), image.id.clone()))
}

/// An image that has arrived since the last promotion, was pending, and still has a container; of
/// which there is no entry among the failures, because a single pass has seen it so. Of several,
/// the one with the newest container.
fn tried(subject: Subject<'_>, memory: &Memory) -> Option<InPlay> {
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

/// In place of the head, which does not serve: the image of the newest container that could, if it
/// could become latest and was not retired. No pass needs to have seen it run: it may be killed at
/// once, not start at all, or run beside the head.
fn deployed_last(subject: Subject<'_>, memory: &Memory) -> Option<InPlay> {
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

/// Where the head does not do the work alone: the head, the newest container that could, and its
/// image.
pub(super) fn newest_beside_head<'a, 'm>(
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

/// Whether an image is neither proven nor rejected.
fn is_undecided(subject: Subject<'_>, memory: &Memory, id: &ImageId) -> bool {
    memory.proven(id).is_none() && !subject.is_rejected(memory, id)
}

/// The upgrade that failed since the last promotion and still has a container or serves.
pub(in crate::planner) fn failing<'k>(
    subject: Subject<'k>,
    known: &'k WorkloadState,
) -> Option<&'k Failure> {
    let has_container = |id: &ImageId| serving::could_serve(subject).any(|c| c.uses(id));
    unsettled(subject, known).find(|failure| has_container(&failure.image))
}

/// The upgrades that failed, to a fallback too, were not rejected for it, and after which nothing
/// was promoted.
pub(in crate::planner) fn unsettled<'k>(
    subject: Subject<'k>,
    known: &'k WorkloadState,
) -> impl Iterator<Item = &'k Failure> {
    let memory = &known.memory;
    known.failed_since_promotion().filter(move |failure| {
        !subject.is_head(memory, &failure.image) && !subject.is_rejected(memory, &failure.image)
    })
}
