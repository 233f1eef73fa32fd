//! The end of an upgrade that was not promoted: failed, withdrawn or superseded, and what is
//! written down of it.

use super::Followed;
use super::ended::{containers_of, ended_since, own_end};
use super::soak::is_later_pass;
use crate::model::{Container, End, EndedBy, EventKind, Failure, Outcome, Pending, WorkloadState};
use crate::planner::serving::{Serving, WhyNone};
use crate::planner::subject::Subject;

/// Failures that are remembered of one workload: the last few images (design 4.3).
pub const FAILURES_KEPT: usize = 5;

/// The pending upgrade's image is no candidate any more.
pub(super) fn end(
    subject: Subject<'_>,
    before: Followed,
    recalled: &WorkloadState,
    pending: &Pending,
    serving: &Serving<'_>,
) -> Followed {
    let Followed {
        state, mut events, ..
    } = before;
    // The head soaks again where `latest` was taken from it: no upgrade has ended.
    if subject.is_head(&state.memory, &pending.image)
        || subject.is_rejected(&state.memory, &pending.image)
    {
        return Followed {
            state,
            events,
            trouble: None,
            due: false,
        };
    }
    let ending = ending(subject, pending, serving);
    let (state, is_news) = failure_recorded(subject, state, recalled, pending, &ending);
    if is_news {
        events.push(EventKind::Ended {
            version: pending.version.clone(),
            image: pending.image.clone(),
            outcome: ending.outcome,
            own_end: ending.own_end,
            ended_by: ending.ended_by,
            up_secs: ending.up_secs,
        });
    }
    Followed {
        state,
        events,
        trouble: None,
        due: false,
    }
}

/// How an upgrade ended that was not promoted.
struct Ending {
    outcome: Outcome,
    /// The last end of its containers by themselves.
    own_end: Option<End>,
    ended_by: EndedBy,
    /// How long the last attempt stayed up, in seconds.
    up_secs: u64,
}

fn ending(subject: Subject<'_>, pending: &Pending, serving: &Serving<'_>) -> Ending {
    let mut ends = ended_since(subject, pending).filter_map(|c| own_end(subject, c));
    let fresh = ends.next();
    // What had soaked on hold and is replaced may end with any code when it is told to.
    let has_crashed = fresh.is_some() && serving.group().is_none();
    let own_end = fresh.or_else(|| pending.own_end.clone());
    let outcome = if pending.soaked && !has_crashed {
        Outcome::Superseded
    } else if own_end.is_some() {
        Outcome::Failed
    } else {
        Outcome::Withdrawn
    };
    Ending {
        outcome,
        ended_by: ended_by(subject, pending, serving),
        up_secs: own_end
            .as_ref()
            .map_or_else(|| subject.soaked_ms(pending) / 1000, |end| end.ran_secs),
        own_end,
    }
}

/// Writes down what at least two passes have seen pending, and tells whether that is news: a
/// failure is said once, with its entry; later attempts only raise a number.
fn failure_recorded(
    subject: Subject<'_>,
    mut state: WorkloadState,
    recalled: &WorkloadState,
    pending: &Pending,
    ending: &Ending,
) -> (WorkloadState, bool) {
    let records = recalled.memory.images.get(&pending.image);
    let seen_twice = records
        .into_iter()
        .chain(state.memory.images.get(&pending.image))
        .any(|record| record.times_pending >= 2)
        || crashes_still(subject, pending);
    let known = state.failures.iter().position(|f| f.image == pending.image);
    let before = known.map(|at| state.failures.remove(at));
    let was_failed = before
        .as_ref()
        .is_some_and(|f| f.outcome == Outcome::Failed);
    let failed = ending.outcome == Outcome::Failed;
    if !seen_twice && before.is_none() {
        return (state, !failed);
    }
    let attempts = before.as_ref().map_or(0, |f| f.attempts);
    let failure = Failure {
        version: pending.version.clone(),
        image: pending.image.clone(),
        outcome: if was_failed {
            Outcome::Failed
        } else {
            ending.outcome
        },
        attempts: attempts.saturating_add(pending.restarts).saturating_add(1),
        // A later "replaced" never overwrites how it ended by itself.
        own_end: ending
            .own_end
            .clone()
            .or_else(|| before.and_then(|f| f.own_end)),
        ended_by: ending.ended_by,
        up_secs: ending.up_secs,
        ended_ms: subject.until_ms(),
        at: subject.wall(),
    };
    state.failures.insert(0, failure);
    state.failures.truncate(FAILURES_KEPT);
    let ended = containers_of(subject, &pending.image).filter(|c| c.state.has_ended());
    state.memory.spent.extend(ended.map(|c| c.id.clone()));
    if failed && !was_failed {
        state.counters.failures = state.counters.failures.saturating_add(1);
    }
    (state, !was_failed)
}

/// Whether a second pass finds what the first one did: containers that have ended, and none that
/// runs.
fn crashes_still(subject: Subject<'_>, pending: &Pending) -> bool {
    let mut left = containers_of(subject, &pending.image);
    !pending.has_run() && is_later_pass(subject, pending) && left.next().is_some()
}

fn ended_by(subject: Subject<'_>, pending: &Pending, serving: &Serving<'_>) -> EndedBy {
    let is_beside_another = matches!(
        serving,
        Serving::None(
            WhyNone::SeveralImages(..) | WhyNone::LocalsDiffer(..) | WhyNone::ForeignLocal(_)
        )
    );
    let runs = || containers_of(subject, &pending.image).any(Container::is_running);
    if serving.group().is_some() {
        EndedBy::Replaced
    } else if is_beside_another && runs() {
        EndedBy::NotAlone
    } else if containers_of(subject, &pending.image).next().is_none() {
        EndedBy::Removed
    } else {
        EndedBy::Stopped
    }
}
