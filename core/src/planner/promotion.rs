//! Recording a promotion (design 4.4): the image is latest and the head of the lineage, and what it
//! made obsolete is retired.

use alloc::vec::Vec;

use super::ownership::OwnedImage;
use super::subject::Subject;
use super::{history, records};
use crate::model::{
    EventKind, ImageId, LineageEntry, LocalFallback, Memory, NoFallback, Pending, Version,
    WorkloadState,
};

/// The state after a promotion, and what to say.
pub(super) struct Promoted {
    pub(super) state: WorkloadState,
    pub(super) event: EventKind,
}

/// Records the promotion of what was pending, and retires what it replaced.
pub(super) fn record(subject: Subject<'_>, state: WorkloadState, promoted: &Pending) -> Promoted {
    let old = behind(subject, &state.memory, promoted);
    let old_head = old.first().cloned();
    let was_head = old_head
        .as_ref()
        .is_some_and(|head| head.image == promoted.image);
    let replaced = old_head.filter(|_| !was_head);
    let lineage = new_lineage(subject, &state.memory, promoted, old);
    let by = &promoted.version;

    let mut state = history::promoted(subject, state, &promoted.image);
    state.memory.lineage = lineage;
    state.memory.promoted_ms = Some(subject.until_ms());
    // The other disk is history once something is proven on this one (design 4.6).
    state.parked = None;
    if let Some(old) = &replaced {
        state = history::replaced(subject, state, &old.image, by);
        state = outsiders_retired(subject, state, promoted);
        let behind = state.memory.lineage.len();
        state = struck(subject, state, promoted);
        let is_struck = state.memory.lineage.len() < behind;
        state.memory.no_fallback = is_struck.then_some(NoFallback::Struck);
    }
    state = records::lineage_cut(subject, state, Some(by));
    let Memory {
        lineage, retired, ..
    } = &mut state.memory;
    retired.retain(|id| lineage.iter().all(|proven| proven.image != *id));
    let up_ms = subject.soaked_ms(promoted);
    let (version, image) = (by.clone(), promoted.image.clone());
    let event = if was_head {
        EventKind::Restored {
            version,
            image,
            up_ms,
        }
    } else {
        state.counters.promotions = state.counters.promotions.saturating_add(1);
        EventKind::Promoted {
            version,
            image,
            up_ms,
            replaced: replaced.map(|old| old.version),
            fallback: subject
                .usable_fallbacks(&state.memory)
                .next()
                .map(|f| f.version.clone()),
        }
    };
    Promoted { state, event }
}

/// What the new head comes before: the lineage on this disk, and where that has no other image, the
/// provisional fallback unless it is rejected or gone.
fn behind(subject: Subject<'_>, memory: &Memory, promoted: &Pending) -> Vec<LineageEntry> {
    let mut lineage: Vec<LineageEntry> = subject.lineage(memory).cloned().collect();
    if lineage.iter().all(|proven| proven.image == promoted.image) {
        let provisional = promoted.provisional_fallback.iter();
        let usable = |p: &&LineageEntry| {
            subject.is_on_disk(&p.image) && !subject.is_rejected(memory, &p.image)
        };
        lineage.extend(provisional.filter(usable).cloned());
    }
    lineage
}

fn new_lineage(
    subject: Subject<'_>,
    memory: &Memory,
    promoted: &Pending,
    old: Vec<LineageEntry>,
) -> Vec<LineageEntry> {
    let known = old.iter().find(|proven| proven.image == promoted.image);
    let record = memory.images.get(&promoted.image);
    let head = LineageEntry {
        version: promoted.version.clone(),
        image: promoted.image.clone(),
        rolled_out: record.is_some_and(|r| r.rolled_out) || known.is_some_and(|k| k.rolled_out),
        promoted_at: Some(subject.wall()),
    };
    let behind = old
        .into_iter()
        .filter(|proven| proven.image != promoted.image);
    core::iter::once(head).chain(behind).collect()
}

/// R3: what was there before this image is retired, and so are other builds of the versions behind
/// the head.
fn outsiders_retired(
    subject: Subject<'_>,
    mut state: WorkloadState,
    promoted: &Pending,
) -> WorkloadState {
    // An image that had none but foreign names for a while is recorded anew; its upgrade goes on.
    let promoted_seen_ms = state
        .memory
        .images
        .get(&promoted.image)
        .map_or(0, |record| {
            record.first_seen_ms.min(promoted.began.clock_ms)
        });
    let mut retired: Vec<ImageId> = Vec::new();
    for (id, record) in state.memory.images.iter() {
        if state.memory.proven(id).is_some() || state.memory.retired.contains(id) {
            continue;
        }
        let own = subject
            .inventory
            .place(id)
            .and_then(|place| subject.own.at(place));
        let twin_of = |at_head: bool| {
            let lineage = state.memory.lineage.iter().enumerate();
            let mut entries = lineage.filter(|(at, _)| (*at == 0) == at_head);
            subject.policy.dry_runs
                && own.is_some_and(|own| {
                    entries.any(|(_, entry)| has_tag(subject, own, &entry.version))
                })
        };
        // What arrived during the soak is nobody's past, though nothing was proven yet when it
        // came.
        let inherited = record.inherited && record.first_seen_ms <= promoted.began.clock_ms;
        let was_before = inherited || record.first_seen_ms < promoted_seen_ms;
        let before_upgrade = record.first_seen_ms < promoted.pass_ms;
        if (was_before || (before_upgrade && twin_of(false))) && !twin_of(true) {
            retired.push(id.clone());
        }
    }
    if state.memory.images.values().any(|record| record.inherited) {
        for record in state.memory.images.values_mut() {
            record.inherited = false;
        }
    }
    state = history::retired(subject, state, &retired, Some(&promoted.version));
    state.memory.retired.extend(retired);
    state
}

/// Whether an image has a version as a tag in one of the workload's repositories.
pub(super) fn has_tag(subject: Subject<'_>, own: &OwnedImage<'_>, version: &Version) -> bool {
    let mut tags = subject
        .own
        .refs(own)
        .iter()
        .filter(|r| !r.reference.is_digest());
    tags.any(|r| r.reference.tag() == Some(version.as_str()))
}

/// R5: what was proven here but never rolled out to this host is no fallback for what was. A
/// workload without remotes has no way to tell, and strikes nothing.
fn struck(subject: Subject<'_>, mut state: WorkloadState, promoted: &Pending) -> WorkloadState {
    let policy = subject.policy;
    let head_rolled_out = state
        .memory
        .lineage
        .first()
        .is_some_and(|head| head.rolled_out);
    let strikes = promoted.orchestrated
        && head_rolled_out
        && policy.dry_runs
        && policy.local_fallback == LocalFallback::Drop
        && !policy.remotes.is_empty();
    if !strikes {
        return state;
    }
    let lineage = core::mem::take(&mut state.memory.lineage);
    let (kept, never): (Vec<_>, Vec<_>) = lineage
        .into_iter()
        .enumerate()
        .partition(|(at, proven)| *at == 0 || proven.rolled_out);
    state.memory.lineage = kept.into_iter().map(|(_, proven)| proven).collect();
    let never: Vec<ImageId> = never.into_iter().map(|(_, proven)| proven.image).collect();
    state = history::retired(subject, state, &never, Some(&promoted.version));
    state.memory.retired.extend(never);
    state
}
