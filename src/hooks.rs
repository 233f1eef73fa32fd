//! Hooks: the commands that the policy names to be told of a promotion, a failed upgrade, a rollback.
//!
//! They are told after the state that records the event was saved, once what they are told of is over, and without the lock:
//! a hook may run `tagkeeper status`. Each event is told at most once; a pass that is killed before it gets here does not make
//! up for it. No hook stops or fails anything: what goes wrong with one is a warning in the log.

use crate::decide::{Event, EventKind};
use crate::notify;
use crate::policy::Hooks;
use crate::report;
use crate::runner::Errand;
use crate::state::{Now, Reading};

/// How long all the hooks of one pass may take together, in milliseconds. Those that are left then are not told: the next pass
/// must not wait for an endpoint that hangs.
const ALL_HOOKS_MS: u64 = 60 * 1000;

/// Whether there is a hook to tell of such an event.
pub(crate) fn concerns(hooks: &Hooks, event: &Event) -> bool {
    command(hooks, event).is_some()
}

fn command<'h>(hooks: &'h Hooks, event: &Event) -> Option<&'h Vec<String>> {
    match event.kind {
        EventKind::Promoted => hooks.promoted.as_ref(),
        EventKind::Failed => hooks.failed.as_ref(),
        EventKind::RolledBack => hooks.rolled_back.as_ref(),
        EventKind::Pending
        | EventKind::Restarted
        | EventKind::Retagged
        | EventKind::Removed
        | EventKind::Pinned
        | EventKind::Restored
        | EventKind::Deferred => None,
    }
}

/// Tells the hooks of each event, one after the other. `clocks` is what bounds them all.
pub(crate) fn tell(hooks: &Hooks, events: &[Event], now: &Now, clocks: &dyn Fn() -> Reading) {
    if events.is_empty() {
        return;
    }
    let began_ms = clocks().monotonic_ms;
    for (told, event) in events.iter().enumerate() {
        let Some(command) = command(hooks, event) else {
            continue;
        };
        if clocks().monotonic_ms.saturating_sub(began_ms) >= ALL_HOOKS_MS {
            let untold = events.len() - told;
            report::log::log_warning(
                None,
                &format!("hooks took more than a minute; {untold} events were not told"),
            );
            return;
        }
        notify::long_call(hooks.timeout_ms);
        let errand = Errand {
            command,
            environment: &[
                ("TAGKEEPER_EVENT", event.kind.as_str()),
                ("TAGKEEPER_WORKLOAD", event.workload.as_str()),
                (
                    "TAGKEEPER_VERSION",
                    event.version.as_ref().map_or("", |v| v.as_str()),
                ),
            ],
            input: report::json::event(event, now),
            timeout_ms: hooks.timeout_ms,
        };
        if let Err(why) = errand.run() {
            let kind = event.kind.as_str();
            let message = format!("the hook for '{kind}' failed: {why}");
            report::log::log_warning(Some(&event.workload), &message);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::policy::WorkloadName;
    use crate::state::Clock;

    /// A clock on which each look at it comes 25 seconds after the one before.
    fn slow() -> impl Fn() -> Reading {
        let looks = Cell::new(0);
        move || {
            looks.set(looks.get() + 1);
            Reading {
                monotonic_ms: looks.get() * 25_000,
                wall: "2026-11-22T23:00:00Z".to_owned(),
            }
        }
    }

    fn event(kind: EventKind) -> Event {
        Event {
            kind,
            workload: WorkloadName::new("app"),
            version: None,
            image: None,
            other: None,
            message: String::new(),
            warning: false,
        }
    }

    #[test]
    fn slow_hooks_hold_up_the_next_pass_for_a_minute_and_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let told = dir.path().join("told");
        let words = ["/bin/sh", "-c", "echo told >>$0"].map(str::to_owned);
        let command = [words.as_slice(), &[told.display().to_string()]].concat();
        let hooks = Hooks {
            failed: Some(command),
            ..Hooks::default()
        };
        let events = vec![event(EventKind::Failed); 6];
        let clocks = slow();
        let now = Clock::default().advance(&clocks());
        tell(&hooks, &events, &now, &clocks);
        let told = std::fs::read_to_string(told).unwrap();
        assert_eq!(told, "told\ntold\n", "at 25 s, at 50 s, and not at 75 s");
    }

    #[test]
    fn only_what_the_policy_names_concerns_a_hook() {
        let hooks = Hooks {
            promoted: Some(vec!["/x".to_owned()]),
            ..Hooks::default()
        };
        for (kind, expected) in [
            (EventKind::Promoted, true),
            (EventKind::Failed, false),
            (EventKind::RolledBack, false),
            (EventKind::Restored, false),
        ] {
            assert_eq!(concerns(&hooks, &event(kind)), expected, "{kind:?}");
        }
        assert!(!concerns(&Hooks::default(), &event(EventKind::Promoted)));
    }
}
