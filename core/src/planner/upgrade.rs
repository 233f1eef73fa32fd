//! Stage 4, the upgrade (design 4.3, 4.4): it begins, its soak begins again, it waits, it ends, or
//! it is promoted.
//!
//! Steps of their own, each from values to a value: a committed promotion is recorded, the pending
//! upgrade is followed, what has soaked is promoted, `latest` is restored, images get the names
//! they need, and stale local containers are found.

mod ended;
mod ending;
mod soak;

use alloc::string::ToString;
use alloc::vec::Vec;

use super::serving::{Group, Serving, WhyNone};
use super::stale::{self, Stale};
use super::subject::Subject;
use super::{naming, promotion, serving, version};
use crate::model::{Action, EventKind, ImageId, Note, Pending, SoakTrouble, WorkloadState};

pub use ending::FAILURES_KEPT;

pub(super) use ended::{ended_to_inspect, loops, possible_crash};

use ended::Crash;
use ending::end;
use soak::{begin, go_on, wait, waits};

/// What becomes of a workload's upgrade in this round.
pub(super) struct Upgrade<'a> {
    /// The new state.
    pub(super) state: WorkloadState,
    pub(super) events: Vec<EventKind>,
    pub(super) notes: Vec<Note>,
    /// The names that are given in this round: that of `latest`, or first those that images need.
    /// While there is one, nothing of the workload is removed.
    pub(super) tags: Vec<Action>,
    /// The local containers that R2 removes in this round.
    pub(super) stale: Vec<Stale<'a>>,
}

/// Where the pending upgrade has come to.
struct Followed {
    state: WorkloadState,
    events: Vec<EventKind>,
    /// Why the candidate does not soak.
    trouble: Option<SoakTrouble>,
    /// The soak is over, and `latest` is to move to the candidate, as soon as no hold forbids it.
    due: bool,
}

/// Follows the upgrade through one round.
pub(super) fn advance<'a>(
    subject: Subject<'a>,
    records: &WorkloadState,
    recalled: &WorkloadState,
    serving: &Serving<'a>,
) -> Upgrade<'a> {
    let committed = record_committed(subject, records.clone());
    let followed = follow(subject, committed, recalled, serving);
    let soaked = promote_soaked(subject, followed, serving);
    let tags = naming::tags(subject, &soaked.state.memory, soaked.due);
    let Followed {
        mut state,
        mut events,
        trouble,
        ..
    } = soaked;
    let mut found = stale::find(subject, &state.memory, !tags.is_empty());
    // While its removal is put off, it uses its image like any other container.
    found.stale.retain(|stale| {
        let target = stale.container.id.to_string();
        !subject.is_put_off(&state.memory, &target)
    });
    let promoted_now = events
        .iter()
        .any(|e| matches!(e, EventKind::Promoted { .. }));
    if promoted_now {
        events.extend(found.running_events());
    }
    state.memory.stopped = found.stopped;
    events.extend(hold_events(subject, recalled, &state));
    events.extend(note_rejected(subject, &mut state, serving));
    let mut notes = found.notes;
    if let (Some(cause), Some(pending)) = (trouble, &state.memory.pending) {
        notes.push(Note::NotSoaking {
            version: pending.version.clone(),
            cause,
        });
    }
    Upgrade {
        events,
        notes,
        tags,
        stale: found.stale,
        state,
    }
}

/// A hold is said when it begins and when it ends.
fn hold_events(
    subject: Subject<'_>,
    recalled: &WorkloadState,
    state: &WorkloadState,
) -> Option<EventKind> {
    match (recalled.held_since_ms, state.held_since_ms) {
        (None, Some(_)) => subject.held.cloned().map(EventKind::Held),
        (Some(_), None) => Some(EventKind::Released),
        _ => None,
    }
}

/// That an image serves although it is rejected is said once, also in a crash loop: until another
/// one serves, or the rejection is lifted.
fn note_rejected(
    subject: Subject<'_>,
    state: &mut WorkloadState,
    serving: &Serving<'_>,
) -> Option<EventKind> {
    let memory = &state.memory;
    let known = state.rejected_serves.take();
    let Some(group) = serving.group() else {
        state.rejected_serves = known.filter(|image| subject.is_rejected(memory, image));
        return None;
    };
    if !subject.is_rejected(memory, group.image) {
        return None;
    }
    let event = EventKind::RejectedServes {
        version: version::of(subject, memory, group.image, group.newest()),
        image: group.image.clone(),
        lifted_by: subject.rejection_lifted_by(memory, group.image),
    };
    state.rejected_serves = Some(group.image.clone());
    (known.as_ref() != Some(group.image)).then_some(event)
}

/// A promotion that was committed to is recorded once `latest` names its image beyond doubt,
/// whether or not the candidate still serves; a look that does not find it so withdraws the note,
/// and so does a rejection while there is a head to go back to.
fn record_committed(subject: Subject<'_>, mut state: WorkloadState) -> Followed {
    let committed = state
        .memory
        .pending
        .as_ref()
        .filter(|pending| pending.promoting);
    let Some(pending) = committed else {
        return Followed::quiet(state);
    };
    let is_unwanted =
        subject.is_rejected(&state.memory, &pending.image) && subject.head(&state.memory).is_some();
    if subject.latest() != Some(&pending.image) || is_unwanted {
        if let Some(pending) = &mut state.memory.pending {
            pending.promoting = false;
        }
        return Followed::quiet(state);
    }
    if subject.is_held() || state.memory.latest_in_doubt {
        return Followed::quiet(state);
    }
    record(subject, Followed::quiet(state))
}

impl Followed {
    fn quiet(state: WorkloadState) -> Self {
        Self {
            state,
            events: Vec::new(),
            trouble: None,
            due: false,
        }
    }

    /// The same with another state.
    fn with(self, state: WorkloadState) -> Self {
        Self { state, ..self }
    }
}

/// Records the promotion of the pending upgrade.
fn record(subject: Subject<'_>, mut followed: Followed) -> Followed {
    let Some(pending) = followed.state.memory.pending.take() else {
        return followed;
    };
    let promoted = promotion::record(subject, followed.state, &pending);
    followed.events.push(promoted.event);
    Followed {
        state: promoted.state,
        trouble: None,
        ..followed
    }
}

/// The serving group, if its image is to be soaked: the workload's own, not rejected, not proven,
/// and each container inspected.
fn candidate<'s, 'a>(
    subject: Subject<'_>,
    state: &WorkloadState,
    serving: &'s Serving<'a>,
) -> Option<&'s Group<'a>> {
    let inspected = |group: &&Group<'_>| {
        group
            .members
            .iter()
            .all(|c| serving::details(subject, c).is_some())
    };
    let group = serving
        .group()
        .filter(|g| is_upgradable(subject, state, g.image));
    group.filter(inspected)
}

/// Whether an image could become latest.
pub(super) fn is_upgradable(subject: Subject<'_>, state: &WorkloadState, image: &ImageId) -> bool {
    subject.is_own(image)
        && !subject.is_rejected(&state.memory, image)
        && !subject.is_proven(&state.memory, image)
}

/// Brings the pending upgrade up to the observation.
fn follow(
    subject: Subject<'_>,
    committed: Followed,
    recalled: &WorkloadState,
    serving: &Serving<'_>,
) -> Followed {
    let Followed {
        mut state, events, ..
    } = committed;
    let so_far = Followed {
        events,
        ..Followed::quiet(WorkloadState::default())
    };
    let next = next(subject, &state, serving);
    let is_unclear = matches!(serving, Serving::None(WhyNone::Nameless(_)));
    let pending = state.memory.pending.take();
    match (pending, next) {
        // On hold, a committed promotion waits to be recorded; and a look in which roles cannot be
        // told changes nothing.
        (pending, _) if is_unclear || pending.as_ref().is_some_and(|p| p.promoting) => {
            state.memory.pending = pending;
            so_far.with(state)
        }
        (None, None) => so_far.with(state),
        (None, Some(next)) => begin(subject, so_far.with(state), next, serving, None),
        (Some(pending), Some(Next::Candidate(group))) if pending.image == *group.image => {
            go_on(subject, so_far.with(state), pending, group, serving)
        }
        (Some(pending), next) => {
            let is_replaced = next.is_some_and(|next| replaces(subject, &pending, &next));
            let waits = waits(subject, &state, &pending, serving);
            if let Some(cause) = waits.filter(|_| !is_replaced) {
                return wait(subject, so_far.with(state), pending, cause);
            }
            let provisional = pending.provisional_fallback.clone();
            let ended = end(subject, so_far.with(state), recalled, &pending, serving);
            match self::next(subject, &ended.state, serving) {
                Some(next) => begin(subject, ended, next, serving, provisional),
                None => ended,
            }
        }
    }
}

/// Whether another upgrade has come in the pending one's place: it serves, or it crashed and came
/// later. After a reboot both may lie there, and the older one is no news.
fn replaces(subject: Subject<'_>, pending: &Pending, next: &Next<'_, '_>) -> bool {
    let came_later = |crash: &Crash<'_>| {
        let mut own = ended::containers_of(subject, &pending.image);
        own.all(|c| serving::by_age(crash.container, c).is_lt())
    };
    pending.image != *next.image()
        && match next {
            Next::Candidate(_) => true,
            Next::Crash(crash) => came_later(crash),
        }
}

/// What an upgrade would begin with.
enum Next<'s, 'a> {
    /// The group that serves.
    Candidate(&'s Group<'a>),
    /// What crashed before a pass saw it run.
    Crash(Crash<'a>),
}

impl<'a> Next<'_, 'a> {
    fn image(&self) -> &'a ImageId {
        match self {
            Self::Candidate(group) => group.image,
            Self::Crash(crash) => crash.image,
        }
    }
}

fn next<'s, 'a>(
    subject: Subject<'a>,
    state: &WorkloadState,
    serving: &'s Serving<'a>,
) -> Option<Next<'s, 'a>> {
    let candidate = candidate(subject, state, serving).map(Next::Candidate);
    candidate.or_else(|| ended::crash(subject, state, serving).map(Next::Crash))
}

/// What has soaked is promoted: recorded if `latest` names it already, by hand; else committed to,
/// to be saved before the one engine call that moves `latest`, in a round that finds the names
/// given that the move needs. Only what serves at this look is promoted.
fn promote_soaked(subject: Subject<'_>, mut followed: Followed, serving: &Serving<'_>) -> Followed {
    let Some(pending) = followed.state.memory.pending.clone() else {
        return followed;
    };
    let serves = serving.group().is_some_and(|g| *g.image == pending.image);
    let over = serves
        && pending.soaking_since_ms.is_some()
        && subject.soaked_ms(&pending) >= subject.policy.soak_ms
        && !subject.is_unasked()
        && followed.trouble.is_none();
    if !over || pending.promoting {
        return followed;
    }
    let is_latest = subject.latest() == Some(&pending.image);
    if subject.is_held() {
        if let Some(pending) = &mut followed.state.memory.pending {
            pending.soaked = true;
        }
        return Followed {
            due: !is_latest,
            ..followed
        };
    }
    if is_latest {
        return record(subject, followed);
    }
    let names_given = naming::may_leave_latest(subject, &followed.state.memory);
    if let Some(pending) = &mut followed.state.memory.pending {
        pending.promoting = names_given;
    }
    Followed {
        due: true,
        ..followed
    }
}
