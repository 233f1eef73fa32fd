//! Events that wait for their hook. They are in the state, so that an event is saved with the
//! decision that it comes from, and a host where none waits reads and writes nothing for it. Pure.
//!
//! Whoever runs a hook has claimed the event before, under the lock and in a saved state: the
//! attempt is counted, and no other pass runs the hook until `retry_ms`. A hook that succeeds takes
//! its event out. So an idle pass writes nothing, a hook that fails costs a write for each attempt,
//! and a pass that is killed at any instruction repeats an attempt at worst.

use std::collections::BTreeSet;

use tagkeeper_core::model::{Event, Now, State, Undelivered, growing_wait_ms};

use super::{ALL_HOOKS_MS, command, spread_ms};
use crate::policy_file::Hooks;

/// The most events that wait. A host has a few a day.
const MOST: usize = 100;
/// How long an event waits.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const MINUTE_MS: u64 = 60 * 1000;
/// The first wait between two attempts, and the longest.
const FIRST_WAIT_MS: u64 = 2 * MINUTE_MS;
const LONGEST_WAIT_MS: u64 = 60 * MINUTE_MS;

/// What an attempt to deliver begins with.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Claimed {
    /// The events to run hooks for now.
    pub(crate) due: Vec<Undelivered>,
    /// Events whose day is over.
    pub(crate) expired: Vec<Undelivered>,
}

/// What became of events that were due, by their ids. What is in neither has failed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Notified {
    pub(crate) delivered: BTreeSet<String>,
    /// The hooks before them took all the time there was.
    pub(crate) left: BTreeSet<String>,
}

/// Puts events that hooks are to be notified of into the state, claimed for this pass. Each comes
/// with its id. Returns the new ones, and those that had to make room.
pub(crate) fn spool(
    state: &mut State,
    events: Vec<(String, Event)>,
    hooks: &Hooks,
    now: &Now,
) -> (Vec<Undelivered>, Vec<Undelivered>) {
    let new: Vec<_> = events
        .into_iter()
        .map(|(id, event)| Undelivered {
            id,
            since: now.moment(),
            attempts: 1,
            retry_ms: now.ms().saturating_add(wait_ms(hooks, 1)),
            event,
        })
        .collect();
    state.undelivered.extend(new.iter().cloned());
    let surplus = state.undelivered.len().saturating_sub(MOST);
    let dropped = state.undelivered.drain(..surplus).collect();
    (new, dropped)
}

/// Claims the events that are due, and takes out what is not to be delivered any more: its day is
/// over, or the policy has no hook for it.
pub(crate) fn claim(state: &mut State, hooks: &Hooks, now: &Now) -> Claimed {
    let mut claimed = Claimed::default();
    state.undelivered.retain_mut(|waiting| {
        if waiting.retry_ms > now.ms() {
            return true;
        }
        if command(hooks, &waiting.event).is_none() {
            return false;
        }
        if now.ms().saturating_sub(waiting.since.clock_ms) >= DAY_MS {
            claimed.expired.push(waiting.clone());
            return false;
        }
        waiting.attempts = waiting.attempts.saturating_add(1);
        waiting.retry_ms = now.ms().saturating_add(wait_ms(hooks, waiting.attempts));
        claimed.due.push(waiting.clone());
        true
    });
    claimed
}

/// Takes out what was delivered, and gives what no time was left for its attempt back: the next
/// pass runs it, ahead of what has failed and waits.
pub(crate) fn settle(state: &mut State, notified: &Notified) {
    state.undelivered.retain_mut(|waiting| {
        if notified.left.contains(&waiting.id) {
            waiting.attempts = waiting.attempts.saturating_sub(1);
            waiting.retry_ms = 0;
        }
        !notified.delivered.contains(&waiting.id)
    });
}

/// How long nothing else runs the hook after an attempt has been claimed: 2, 4, 8 ... minutes, at
/// most an hour. Longer than the attempt itself may take, so that no two passes run it at once.
fn wait_ms(hooks: &Hooks, attempts: u32) -> u64 {
    growing_wait_ms(FIRST_WAIT_MS, attempts.saturating_sub(1), LONGEST_WAIT_MS)
        .max(spread_ms(hooks).saturating_add(ALL_HOOKS_MS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tagkeeper_core::model::{Clock, EventKind, ImageId, Version, WorkloadName};

    fn at(secs: u64) -> Now {
        Now {
            clock: Clock {
                clock_ms: secs * 1000,
                monotonic_ms: 0,
            },
            wall: "2026-11-22T23:00:00Z".to_owned(),
        }
    }

    fn event(version: &str) -> Event {
        Event {
            workload: WorkloadName::new("app"),
            kind: EventKind::RolledBack {
                version: Version::new(version),
                image: ImageId::new("a"),
                to: None,
            },
        }
    }

    fn hooks() -> Hooks {
        Hooks {
            rolled_back: Some(vec!["/x".to_owned()]),
            ..Hooks::default()
        }
    }

    fn waiting(id: &str) -> State {
        let mut state = State::default();
        let events = vec![(id.to_owned(), event("v1"))];
        let (new, dropped) = spool(&mut state, events, &hooks(), &at(0));
        assert_eq!((&new, dropped), (&state.undelivered, Vec::new()));
        state
    }

    #[test]
    fn an_event_is_tried_again_after_growing_waits_for_a_day() {
        let mut state = waiting("one");
        let (mut tried, mut given_up) = (Vec::new(), Vec::new());
        for minute in 0..2_000 {
            let claimed = claim(&mut state, &hooks(), &at(minute * 60));
            tried.extend(claimed.due.iter().map(|_| minute));
            given_up.extend(claimed.expired.iter().map(|_| minute));
            assert!(claimed.due.iter().all(|waiting| waiting.id == "one"));
        }
        assert_eq!(tried[..7], [2, 6, 14, 30, 62, 122, 182], "{tried:?}");
        assert_eq!(tried.len(), 5 + 22, "hourly from then on: {tried:?}");
        assert_eq!(given_up, [1442]);
        assert_eq!(state.undelivered, []);
    }

    #[test]
    fn what_is_claimed_is_not_claimed_again_and_what_is_delivered_is_gone() {
        let mut state = waiting("one");
        assert_eq!(claim(&mut state, &hooks(), &at(60)), Claimed::default());
        let claimed = claim(&mut state, &hooks(), &at(120));
        assert_eq!(claimed.due, state.undelivered);
        assert_eq!(claim(&mut state, &hooks(), &at(121)), Claimed::default());
        let delivered = |id: &str| Notified {
            delivered: BTreeSet::from([id.to_owned()]),
            ..Notified::default()
        };
        settle(&mut state, &delivered("other"));
        assert_eq!(state.undelivered.len(), 1);
        settle(&mut state, &delivered("one"));
        assert_eq!(state.undelivered, []);
    }

    /// Hooks that hang take the minute of every pass in which they are due: what comes behind them
    /// must not be due with them each time.
    #[test]
    fn what_no_time_was_left_for_is_due_in_the_next_pass_and_what_hung_is_not() {
        let mut state = waiting("hangs");
        let events = vec![("behind".to_owned(), event("v1"))];
        spool(&mut state, events, &hooks(), &at(0));
        let left = Notified {
            left: BTreeSet::from(["behind".to_owned()]),
            ..Notified::default()
        };
        settle(&mut state, &left);
        let due = claim(&mut state, &hooks(), &at(60)).due;
        let ids: Vec<_> = due.iter().map(|waiting| &*waiting.id).collect();
        assert_eq!(ids, ["behind"]);
        assert_eq!(due[0].attempts, 1, "it was not tried");
        assert_eq!(claim(&mut state, &hooks(), &at(61)), Claimed::default());
    }

    #[test]
    fn an_event_without_a_hook_is_taken_out_and_not_reported() {
        let mut state = waiting("one");
        let claimed = claim(&mut state, &Hooks::default(), &at(120));
        assert_eq!(claimed, Claimed::default());
        assert_eq!(state.undelivered, []);
    }

    #[test]
    fn of_too_many_the_oldest_make_room() {
        let mut state = waiting("one");
        for n in 0..MOST {
            let events = vec![(n.to_string(), event("v2"))];
            let (_, dropped) = spool(&mut state, events, &hooks(), &at(1));
            let ids: Vec<_> = dropped.iter().map(|d| d.id.as_str()).collect();
            assert_eq!(ids, if n + 1 < MOST { vec![] } else { vec!["one"] });
        }
        assert_eq!(state.undelivered.len(), MOST);
    }

    #[test]
    fn no_second_pass_runs_a_hook_that_still_runs() {
        let spread = Hooks {
            spread_ms: 10 * MINUTE_MS,
            ..hooks()
        };
        assert_eq!(wait_ms(&spread, 1), 2 * MINUTE_MS, "of ten minutes one");
        assert!((1..80).all(|n| wait_ms(&spread, n) >= spread_ms(&spread) + ALL_HOOKS_MS));
    }

    #[test]
    fn the_state_file_keeps_what_waits_word_for_word() {
        let state = waiting("one");
        let text = serde_json::to_string(&state.undelivered).unwrap();
        assert_eq!(
            text,
            r#"[{"id":"one","since":{"clock_ms":0,"at":"2026-11-22T23:00:00Z"},"attempts":1,"retry_ms":120000,"event":{"workload":"app","kind":{"rolled-back":{"version":"v1","image":"a","to":null}}}}]"#
        );
        let read: Vec<Undelivered> = serde_json::from_str(&text).unwrap();
        assert_eq!(read, state.undelivered);
    }
}
