//! Clocks that are wrong by years (design 5.2).
//!
//! Host uptime is moved by a time namespace. Wall time cannot be moved for one process; what shows that it decides
//! nothing is that every wall time the program meets (those in its state, the engine's dates) may be any, and the story
//! is the same.

use std::fs;

use serde_json::Value;

use crate::host::Host;
use crate::scene::{POLICY, RIPE, assert_promoted, soaking};

const YEAR: u64 = 365 * 24 * 60 * 60;
/// Dates that an engine or an earlier pass may have met on a host without a battery, or in the hands of a bad NTP server.
const DATES: [&str; 5] = [
    "1970-01-01T00:00:00Z",
    "2106-02-07T06:28:16Z",
    "9999-12-31T23:59:59.999999999Z",
    "0001-01-01T00:00:01Z",
    "yesterday",
];

/// Rewrites every wall time in a state.
fn step_wall_times(value: &mut Value, date: &str) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                match key.as_str() {
                    "at" | "promoted_at" => *field = date.into(),
                    _ => step_wall_times(field, date),
                }
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| step_wall_times(item, date)),
        _ => {}
    }
}

fn step_wall_clock(host: &Host, date: &str) {
    let bytes = host.state_bytes().expect("there is a state");
    let mut state: Value = serde_json::from_slice(&bytes).expect("JSON");
    step_wall_times(&mut state, date);
    assert!(state.to_string().contains(date), "it holds wall times");
    fs::write(host.state_file(), state.to_string()).expect("writable");
}

#[test]
fn a_wall_clock_that_was_stepped_by_years_shortens_and_lengthens_no_soak() {
    for date in DATES {
        let host = soaking(POLICY);
        step_wall_clock(&host, date);
        let early = host.pass_at(RIPE - 11).expect_code(0);
        assert_eq!(early.mutations(), [""; 0], "{date}: not before its time");
        step_wall_clock(&host, date);
        host.pass_at(RIPE).expect_code(0);
        assert_promoted(&host);
        step_wall_clock(&host, date);
        let later = host.pass_at(RIPE + YEAR / 2).expect_code(0);
        assert_eq!(later.mutations(), [""; 0], "{date}: nor is anything old");
        for view in ["plan", "status"] {
            host.run_at(RIPE + YEAR / 2, &[view]).expect_code(0);
        }
    }
}

#[test]
fn an_engine_whose_dates_are_off_by_years_changes_no_soak() {
    for date in DATES {
        let host = soaking(POLICY);
        {
            let docker = &mut host.engine().docker;
            docker.container("k8s_app_1").started_at = date.into();
            docker.container("k8s_app_1").created_secs = i64::MIN;
            docker.container("app").created_secs = i64::MAX;
        }
        // Another `StartedAt`, be it earlier, is another incarnation.
        let stepped = host.pass_at(RIPE).expect_code(0);
        assert_eq!(stepped.mutations(), [""; 0], "{date}");
        let early = host.pass_at(2 * RIPE - 11).expect_code(0);
        assert_eq!(early.mutations(), [""; 0], "{date}");
        host.pass_at(2 * RIPE).expect_code(0);
        assert_promoted(&host);
    }
}

#[test]
fn a_failure_is_told_whatever_the_dates_are() {
    for date in DATES {
        let host = soaking(POLICY);
        host.engine().docker.container("k8s_app_1").started_at = date.into();
        host.pass_at(100).expect_code(0);
        host.pass_at(200).expect_code(0);
        host.engine().docker.exit("k8s_app_1", 3);
        host.pass_at(300).expect_code(0);
        let plan = host.plan_at(300);
        let failure = &plan["workloads"]["app"]["failures"][0];
        assert_eq!(failure["reason"], "exited (3)", "{date}: {plan:#}");
    }
}

/// Uptime that is years further: they have passed. Uptime that is less: a reboot, and only what is up since then counts.
#[test]
fn uptime_that_leaps_by_years_counts_once_and_one_that_falls_counts_anew() {
    let host = soaking(POLICY);
    host.pass_at(300).expect_code(0);
    host.pass_at(60 * YEAR).expect_code(0);
    assert_promoted(&host);

    let host = Host::new(POLICY);
    crate::scene::upgrade(&mut host.engine().docker);
    host.pass_at(60 * YEAR).expect_code(0);
    let (before_ms, _) = saved_clock(&host);
    // The machine's own uptime is added in all of them, so the fall is one of sixty years whatever it is. The container
    // kept its incarnation, as on an engine that restores what runs; all of the new uptime counts for it.
    host.pass_at(0).expect_code(0);
    host.pass_at(RIPE).expect_code(0);
    assert_promoted(&host);
    let (after_ms, monotonic_ms) = saved_clock(&host);
    assert_eq!(after_ms - before_ms, monotonic_ms, "no less and no more");
}

/// The clock and the monotonic time of the last save, in milliseconds.
fn saved_clock(host: &Host) -> (u64, u64) {
    let state: Value = serde_json::from_slice(&host.state_bytes().expect("a state")).expect("JSON");
    let number = |key: &str| state["clock"][key].as_u64().expect("a number");
    (number("clock_ms"), number("monotonic_ms"))
}
