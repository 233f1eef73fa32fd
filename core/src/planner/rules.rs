//! Stage 5, verdicts (design 4.5): one verdict and one reason for each image of a workload. The
//! first row that fits wins.

use alloc::vec::Vec;

use super::ownership::OwnedImage;
use super::promotion::has_tag;
use super::stale;
use super::subject::Subject;
use super::upgrade::Upgrade;
use crate::model::{
    Container, Detail, Image, ImageId, ImageRecord, Memory, Reason, Version, WorkloadState,
};

/// What a workload says of one of its images.
#[derive(Clone)]
pub(super) struct ImageVerdict<'a> {
    pub(super) image: &'a ImageId,
    pub(super) place: usize,
    pub(super) size_bytes: u64,
    pub(super) reason: Reason,
    pub(super) detail: Detail,
}

/// Judges every image of the workload.
pub(super) fn judge<'a>(subject: Subject<'a>, upgrade: &Upgrade<'a>) -> Vec<ImageVerdict<'a>> {
    let judged = |own: &'a OwnedImage<'a>| {
        let (reason, detail) = verdict(subject, upgrade, own);
        ImageVerdict {
            image: &own.image.id,
            place: own.place,
            size_bytes: own.image.size_bytes,
            reason,
            detail,
        }
    };
    subject.own.images.iter().map(judged).collect()
}

/// The table of design 4.5, row by row.
fn verdict<'a>(
    subject: Subject<'a>,
    upgrade: &Upgrade<'a>,
    own: &OwnedImage<'a>,
) -> (Reason, Detail) {
    let memory = &upgrade.state.memory;
    let id = &own.image.id;
    let pending = memory.pending.as_ref();
    let provisional = pending.and_then(|p| p.provisional_fallback.as_ref());
    let record = memory.images.get(id);
    if subject.latest() == Some(id) {
        return (Reason::Latest, Detail::None);
    }
    if pending.is_some_and(|p| p.image == *id) {
        return (Reason::Pending, Detail::None);
    }
    if let Some(proven) = memory.proven(id) {
        return (Reason::Fallback, Detail::Proven(proven.version.clone()));
    }
    if let Some(provisional) = provisional.filter(|p| p.image == *id) {
        return (
            Reason::Fallback,
            Detail::Provisional(provisional.version.clone()),
        );
    }
    let used = used_by(subject, upgrade, own.place);
    if let Some(detail) = used.or_else(|| started_next(subject, memory, own.image)) {
        return (Reason::InUse, detail);
    }
    let retired = memory.retired.contains(id);
    let was_pending = record.is_some_and(|r| r.times_pending > 0);
    let is_twin = || {
        let head = subject.head(memory).map(|head| &head.version);
        let upgrade = [pending.map(|p| &p.version), provisional.map(|p| &p.version)];
        let mut kept = head.into_iter().chain(upgrade.into_iter().flatten());
        kept.any(|version: &Version| has_tag(subject, own, version))
    };
    if subject.policy.dry_runs && !retired && !was_pending && is_twin() {
        return (Reason::Twin, Detail::None);
    }
    if retired {
        return (Reason::Retired, Detail::None);
    }
    if record.is_some_and(|r| is_inherited(&upgrade.state, id, r)) {
        return (Reason::Inherited, Detail::None);
    }
    let idle_ms = idle_ms(subject, upgrade, id);
    let grace_ms = subject.policy.grace_ms;
    let detail = Detail::Idle {
        idle_ms,
        grace_ms,
        cut_short: None,
    };
    // An image that no saved pass has seen has all of its grace.
    if record.is_none() || idle_ms < grace_ms {
        (Reason::Grace, detail)
    } else {
        (Reason::Idle, detail)
    }
}

/// Whether an image was here before anything was proven, and is not what an upgrade was tried with.
/// What the first pass found may be all that ever worked here: it must have failed.
fn is_inherited(state: &WorkloadState, id: &ImageId, record: &ImageRecord) -> bool {
    let was_tried = record.times_pending > 0;
    record.inherited && (!was_tried || (state.has_found_first(record) && !state.has_failed(id)))
}

/// The containers, in any state, that use an image; those that R2 removes in this round aside.
fn used_by(subject: Subject<'_>, upgrade: &Upgrade<'_>, place: usize) -> Option<Detail> {
    let is_removed = |c: &Container| upgrade.stale.iter().any(|stale| stale.container.id == c.id);
    let mut users = subject.inventory.users(place).filter(|c| !is_removed(c));
    let first = users.next()?;
    Some(Detail::UsedBy {
        container: first.name().into(),
        state: first.state.clone(),
        others: users.count(),
    })
}

/// The local container whose service starts a name of the image other than `latest`: it would start
/// this one next, though the name has come to it from another image.
fn started_next(subject: Subject<'_>, memory: &Memory, image: &Image) -> Option<Detail> {
    let starts_it = |c: &&&Container| {
        let name = stale::other_name(subject, memory, c);
        name.is_some_and(|name| image.references.contains(name))
    };
    let local = subject.own.locals.iter().find(starts_it)?;
    Some(Detail::UsedBy {
        container: local.name().into(),
        state: local.state.clone(),
        others: 0,
    })
}

/// How long an image has certainly been idle, in milliseconds; nothing while it is in use. Time on
/// hold does not count.
pub(super) fn idle_ms(subject: Subject<'_>, upgrade: &Upgrade<'_>, id: &ImageId) -> u64 {
    let record = upgrade.state.memory.images.get(id);
    let Some(since_ms) = record.and_then(|r| r.idle_since_ms) else {
        return 0;
    };
    match upgrade.state.held_since_ms {
        Some(held_ms) => held_ms.saturating_sub(since_ms),
        None => subject.lasted_ms(since_ms),
    }
}
