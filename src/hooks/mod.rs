//! Hooks: the commands that the policy names to be notified of a promotion, a failed upgrade, a
//! rollback.
//!
//! They run after the state that records the event was saved, at the end of the pass, and without
//! the lock: a hook may run `tagkeeper status`. An event waits in the state until its hook succeeds
//! or a day is over ([`outbox`]), so it may come twice and has an id. No hook stops or fails
//! anything: what goes wrong with one is a warning in the log.

pub(crate) mod outbox;

use std::time::Duration;

use tagkeeper_core::Gather;
use tagkeeper_core::model::{Event, EventKind, Outcome, Reading, Undelivered};

use crate::deadline::Deadline;
use crate::notify as systemd;
use crate::policy_file::Hooks;
use crate::process::{self, Ending, Finished, Invocation};
use crate::random;
use crate::report;

use outbox::Notified;

/// How long all the hooks of one pass may take together, in milliseconds. The next pass must not
/// wait for an endpoint that hangs; it runs those that are left.
const ALL_HOOKS_MS: u64 = 60 * 1000;
/// The longest wait before them, in milliseconds, whatever the policy says.
const LONGEST_SPREAD_MS: u64 = 60 * 1000;

/// Whether there is a hook to notify of such an event.
pub(crate) fn concerns(hooks: &Hooks, event: &Event) -> bool {
    command(hooks, event).is_some()
}

fn command<'h>(hooks: &'h Hooks, event: &Event) -> Option<&'h Vec<String>> {
    match event.kind {
        EventKind::Promoted { .. } => hooks.promoted.as_ref(),
        EventKind::Ended {
            outcome: Outcome::Failed,
            ..
        } => hooks.failed.as_ref(),
        EventKind::RolledBack { .. } => hooks.rolled_back.as_ref(),
        EventKind::Pending { .. }
        | EventKind::Restarted { .. }
        | EventKind::Ended { .. }
        | EventKind::Restored { .. }
        | EventKind::LocalRuns { .. }
        | EventKind::Held(_)
        | EventKind::Released
        | EventKind::OtherDisk
        | EventKind::DiskBack
        | EventKind::RejectedServes { .. }
        | EventKind::Done { .. }
        | EventKind::Dropped { .. }
        | EventKind::Refused { .. } => None,
    }
}

/// The longest random wait before hooks, in milliseconds.
fn spread_ms(hooks: &Hooks) -> u64 {
    hooks.spread_ms.min(LONGEST_SPREAD_MS)
}

/// Waits for a random part of the policy's `spread`, so that the hosts of a fleet do not all post
/// in one second. Nothing is locked.
pub(crate) fn wait(hooks: &Hooks) {
    // Without a random number there is no wait.
    let wait_ms = random::up_to(spread_ms(hooks)).unwrap_or_default();
    if wait_ms > 0 {
        systemd::long_call(wait_ms);
        std::thread::sleep(Duration::from_millis(wait_ms));
    }
}

/// Notifies the hooks of each event, one after the other, so that they come in the order of the
/// events.
pub(crate) fn notify(
    hooks: &Hooks,
    events: &[Undelivered],
    clocks: &dyn Fn() -> Reading,
) -> Notified {
    let mut notified = Notified::default();
    let deadline = Deadline::after(clocks, ALL_HOOKS_MS);
    for (done, waiting) in events.iter().enumerate() {
        let Some(command) = command(hooks, &waiting.event) else {
            continue;
        };
        let left_ms = deadline.remaining_ms();
        if left_ms == 0 {
            let left = events.iter().skip(done);
            notified.left = left.map(|waiting| waiting.id.clone()).gather();
            let left = report::words::count(notified.left.len(), "event");
            let message = format!("hooks took more than a minute; {left} will be sent later");
            report::log::log_warning(None, &message);
            break;
        }
        systemd::long_call(hooks.timeout_ms.min(left_ms));
        let invocation = invocation(hooks, command, waiting);
        for finished in process::run_all(std::slice::from_ref(&invocation), deadline) {
            match complaint(&finished, &invocation) {
                None => {
                    notified.delivered.insert(waiting.id.clone());
                }
                Some(why) => warn_of_failure(waiting, &why),
            }
        }
    }
    notified
}

fn warn_of_failure(waiting: &Undelivered, why: &str) {
    let kind = report::words::event_word(&waiting.event.kind);
    let message = format!("the hook for '{kind}' failed: {why}");
    report::log::log_warning(Some(&waiting.event.workload), &message);
}

/// Says which events are given up, and why.
pub(crate) fn warn_of_lost(events: &[Undelivered], why: &str) {
    for lost in events {
        let kind = report::words::event_word(&lost.event.kind);
        let message = format!("'{kind}' of {} was not delivered: {why}", lost.since.at);
        report::log::log_warning(Some(&lost.event.workload), &message);
    }
}

fn invocation<'a>(hooks: &Hooks, command: &'a [String], waiting: &Undelivered) -> Invocation<'a> {
    let event = &waiting.event;
    let (version, _) = report::log::concerned(&event.kind);
    let kind = report::words::event_word(&event.kind);
    Invocation {
        command,
        environment: vec![
            ("TAGKEEPER_EVENT", kind.to_owned()),
            ("TAGKEEPER_EVENT_ID", waiting.id.clone()),
            ("TAGKEEPER_WORKLOAD", event.workload.as_str().to_owned()),
            ("TAGKEEPER_VERSION", version.unwrap_or_default()),
        ],
        input: report::json::event(waiting),
        timeout_ms: hooks.timeout_ms,
    }
}

fn complaint(finished: &Finished, invocation: &Invocation<'_>) -> Option<String> {
    let complaint = finished.complaint(invocation)?;
    if matches!(finished.ending, Ending::OutOfTime) {
        return Some(format!("the minute for all hooks was over: {complaint}"));
    }
    Some(complaint)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use tagkeeper_core::model::{End, EndedBy, ImageId, Moment, Version, WorkloadName};

    /// A clock on which each hook that writes a line there takes 25 seconds.
    fn slow(told: &Path) -> impl Fn() -> Reading {
        let told = told.to_owned();
        move || Reading {
            monotonic_ms: 25_000 * lines(&told),
            wall: "2026-11-22T23:00:00Z".to_owned(),
        }
    }

    fn lines(file: &Path) -> u64 {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        u64::try_from(text.lines().count()).unwrap()
    }

    fn event(kind: EventKind) -> Event {
        Event {
            workload: WorkloadName::new("app"),
            kind,
        }
    }

    fn waiting(id: u32) -> Undelivered {
        Undelivered {
            id: id.to_string(),
            since: Moment {
                clock_ms: 0,
                at: "2026-11-22T23:00:00Z".to_owned(),
            },
            attempts: 1,
            retry_ms: 0,
            event: event(failed()),
        }
    }

    fn failed() -> EventKind {
        EventKind::Ended {
            version: Version::new("v2"),
            image: ImageId::new("a"),
            outcome: Outcome::Failed,
            own_end: Some(End {
                exit_code: Some(1),
                ran_secs: 3,
            }),
            ended_by: EndedBy::Stopped,
            up_secs: 3,
        }
    }

    fn withdrawn() -> EventKind {
        EventKind::Ended {
            version: Version::new("v2"),
            image: ImageId::new("a"),
            outcome: Outcome::Withdrawn,
            own_end: None,
            ended_by: EndedBy::Stopped,
            up_secs: 3,
        }
    }

    fn promoted() -> EventKind {
        EventKind::Promoted {
            version: Version::new("v2"),
            image: ImageId::new("a"),
            up_ms: 3000,
            replaced: None,
            fallback: None,
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
            // On this clock, each hook takes longer than the default.
            timeout_ms: 30_000,
            ..Hooks::default()
        };
        let events: Vec<_> = (0..6).map(waiting).collect();
        let clocks = slow(&told);
        let Notified { delivered, left } = notify(&hooks, &events, &clocks);
        assert_eq!(lines(&told), 3, "at 0 s, at 25 s, at 50 s, and not at 75 s");
        // The minute may be over before the third has been seen to end.
        let sure = ["0", "1"].map(str::to_owned).into();
        assert!(delivered.is_superset(&sure), "{delivered:?}");
        assert!(delivered.len() <= 3, "{delivered:?}");
        assert_eq!(left, ["3", "4", "5"].map(str::to_owned).into());
    }

    #[test]
    fn a_hook_that_sleeps_for_five_minutes_is_killed_after_one() {
        let dir = tempfile::tempdir().unwrap();
        let begun = dir.path().join("begun");
        let words = ["/bin/sh", "-c", "echo $$ >$0; echo; exec sleep 300"].map(str::to_owned);
        let hooks = Hooks {
            failed: Some([words.as_slice(), &[begun.display().to_string()]].concat()),
            timeout_ms: 600_000,
            ..Hooks::default()
        };
        // The minute is over as soon as the hook runs; what it prints makes the runner look at the
        // clock.
        let file = begun.clone();
        let clocks = move || Reading {
            monotonic_ms: 60_001 * lines(&file),
            wall: "2026-11-22T23:00:00Z".to_owned(),
        };
        let notified = notify(&hooks, &[waiting(0), waiting(1)], &clocks);
        let left = ["1"].map(str::to_owned).into();
        let expected = Notified {
            left,
            ..Notified::default()
        };
        assert_eq!(notified, expected);
        let pid = std::fs::read_to_string(&begun).unwrap();
        assert!(
            !Path::new("/proc").join(pid.trim()).exists(),
            "the first, and no second"
        );
    }

    #[test]
    fn only_what_the_policy_names_concerns_a_hook() {
        let hooks = Hooks {
            promoted: Some(vec!["/x".to_owned()]),
            ..Hooks::default()
        };
        for (kind, expected) in [(promoted(), true), (failed(), false), (withdrawn(), false)] {
            assert_eq!(concerns(&hooks, &event(kind.clone())), expected, "{kind:?}");
        }
        assert!(!concerns(&Hooks::default(), &event(promoted())));
    }
}
