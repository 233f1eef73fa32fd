//! Clocks that are wrong by years (design 5.2).
//!
//! Host uptime is moved by a time namespace. Wall time cannot be moved for one process; what shows
//! that it decides nothing is that every wall time the program meets (those in its state, the
//! engine's dates) may be any, and the story is the same.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{ChildStderr, Command, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tagkeeper::cli::Cli;
use tagkeeper::commands::Clocks;
use tagkeeper::exit::Exit;
use tagkeeper_core::model::Reading;

use crate::beside::again;
use crate::host::{Host, with_bare_environment};
use crate::scene::{POLICY, RIPE, assert_promoted, id, promoted, soaking};

const YEAR: u64 = 365 * 24 * 60 * 60;
/// Dates that an engine or an earlier pass may have met on a host without a battery, or in the
/// hands of a bad NTP server.
const DATES: [&str; 5] = [
    "1970-01-01T00:00:00Z",
    "2106-02-07T06:28:16Z",
    "9999-12-31T23:59:59.999999999Z",
    "0001-01-01T00:00:01Z",
    "yesterday",
];

/// Rewrites every wall time in the state, and the checksum over what is behind its own line.
fn step_wall_clock(host: &Host, date: &str) {
    let bytes = host.state_bytes().expect("there is a state");
    let text = String::from_utf8(bytes).expect("UTF-8");
    let stepped: Vec<String> = text.lines().map(|line| stepped(line, date)).collect();
    let covered = stepped[3..].join("\n") + "\n";
    assert!(covered.contains(date), "it holds wall times");
    let checksum = crc32fast::hash(covered.as_bytes());
    let head = format!("{{\n  \"version\": 2,\n  \"checksum\": \"crc32:{checksum:08x}\",\n");
    fs::write(host.state_file(), head + &covered).expect("writable");
}

/// A line of the state, with another date if it holds a wall time.
fn stepped(line: &str, date: &str) -> String {
    match line.split_once(": ") {
        Some((key, value)) if ["\"at\"", "\"promoted_at\""].contains(&key.trim()) => {
            let comma = if value.ends_with(',') { "," } else { "" };
            format!("{key}: \"{date}\"{comma}")
        }
        _ => line.to_owned(),
    }
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

/// Uptime that is years further: they have passed. Uptime that is less: a reboot, and only what is
/// up since then counts.
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
    // The machine's own uptime is added in all of them, so the fall is one of sixty years whatever
    // it is. The container kept its incarnation, as on an engine that restores what runs; all of
    // the new uptime counts for it.
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

const WAITS: &str = "waiting for the lock: another pass is running";
/// A host that has been up for long: were its uptime counted twice, everything on it would be old.
const UP: u64 = 200 * 24 * 60 * 60;

/// The lock, held by this test; dropping it sets it free.
fn hold_lock(host: &Host) -> File {
    let lock = File::open(host.path("state/lock")).expect("a pass has made it");
    flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("it is free");
    lock
}

/// Starts a command that finds the lock held, and returns once it has said that it waits. Its own
/// process, without a wrapper that would be stopped in its place.
fn waiting(host: &Host, secs: u64, args: &[&str]) -> (std::process::Child, BufReader<ChildStderr>) {
    let whole = host.command_on(&host.path("docker.sock"), secs, args);
    let words: Vec<_> = whole
        .get_args()
        .skip_while(|word| *word != "unshare")
        .collect();
    let mut command = Command::new(words[0]);
    with_bare_environment(&mut command)
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("unshare is installed");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = String::new();
    stderr.read_line(&mut said).expect("UTF-8");
    assert_eq!(said.trim_end(), WAITS);
    (child, stderr)
}

/// `accept` waits, is stopped, a pass comes first and saves, `accept` goes on: what it knew of the
/// clock must not be older than what the pass has saved, or all of the uptime would count once
/// more.
#[test]
fn a_command_that_waited_for_the_lock_reads_the_clock_after_that() {
    let host = promoted();
    host.run_at(UP, &["rollback", "app", "--yes"])
        .expect_code(0);
    let lock = hold_lock(&host);
    let (mut accept, _stderr) = waiting(&host, UP, &["accept", "app", "v2"]);
    let pid = Pid::from_raw(i32::try_from(accept.id()).expect("small")).expect("not 0");
    kill_process(pid, Signal::STOP).expect("it runs");
    drop(lock);
    host.engine().docker.image("v3", &["reg.example/app:v3"]);
    // On the same clock, and so a moment later.
    host.pass_at(UP).expect_code(0);
    let (before_ms, _) = saved_clock(&host);
    kill_process(pid, Signal::CONT).expect("it is there");
    assert!(accept.wait().expect("it ends").success());
    let (after_ms, _) = saved_clock(&host);
    let passed_ms = after_ms - before_ms;
    assert!(passed_ms < 60_000, "{passed_ms} ms within a moment");
    host.pass_at(UP + 60).expect_code(0);
    let v3 = host.id_of("reg.example/app:v3");
    assert_eq!(v3, id("v3"), "it is a minute old");
}

#[test]
fn a_rollback_waits_for_the_lock_with_a_word_and_goes_on() {
    let host = promoted();
    let lock = hold_lock(&host);
    let (mut rollback, _stderr) = waiting(&host, UP, &["rollback", "app", "--yes"]);
    assert_eq!(host.id_of("app:latest"), id("v2"), "it waits");
    drop(lock);
    assert!(rollback.wait().expect("it ends").success());
    assert_eq!(host.id_of("app:latest"), id("v1"));
}

/// The program itself, in this process and on a clock of the test.
fn run_here(host: &Host, args: &[&str], clocks: &Clocks) -> Exit {
    let file = |name: &str| host.path(name).display().to_string();
    let options = [
        "--policy".to_owned(),
        file("policy.toml"),
        "--state-dir".to_owned(),
        file("state"),
        "--socket".to_owned(),
        file("docker.sock"),
    ];
    let words = ["tagkeeper"].iter().chain(args);
    let words = words.map(|word| (*word).to_owned());
    let cli = Cli::parse_from(words.chain(options));
    tagkeeper::commands::run(&cli, clocks)
}

fn at(monotonic_ms: u64) -> Reading {
    Reading {
        monotonic_ms,
        wall: "2026-11-22T23:00:00Z".to_owned(),
    }
}

/// A pass that was stalled between the clock and the lock would save an uptime that is older than
/// another pass's; one that noted its end behind the lock would write over another pass's note.
#[test]
fn a_pass_reads_the_clock_while_it_has_the_lock_and_never_without() -> Result<()> {
    // In a process of its own: the runtime directory is the process's.
    if std::env::var_os("RUNTIME_DIRECTORY").is_none() {
        let name = "clock::a_pass_reads_the_clock_while_it_has_the_lock_and_never_without";
        return again(with_bare_environment(&mut Command::new("env")), name);
    }
    let host = promoted();
    let looks = Rc::new(Cell::new((0, 0)));
    let (lock, counted) = (host.path("state/lock"), looks.clone());
    let clocks = move || {
        let lock = File::open(&lock).expect("it is there");
        // A program that another test starts has this process's files for a moment, the lock among
        // them.
        let is_free = (0..50).any(|_| {
            let taken = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
            if !taken {
                thread::sleep(Duration::from_millis(1));
            }
            taken
        });
        let (held, free) = counted.get();
        counted.set(if is_free {
            (held, free + 1)
        } else {
            (held + 1, free)
        });
        at(1_000_000_000)
    };
    assert_eq!(run_here(&host, &["reconcile"], &clocks), Exit::Done);
    let (held, free) = looks.get();
    assert!(
        held > 0 && free == 0,
        "{held} looks with it, {free} without"
    );
    Ok(())
}

#[test]
fn who_waits_for_the_lock_gives_up_after_half_a_minute() {
    for args in [
        ["rollback", "app", "--yes"].as_slice(),
        &["accept", "app", "v1"],
    ] {
        let host = promoted();
        let _lock = hold_lock(&host);
        let looks = Rc::new(Cell::new(0));
        let counted = looks.clone();
        let clocks = move || {
            counted.set(counted.get() + 1);
            at(counted.get() * 10_000)
        };
        assert_eq!(run_here(&host, args, &clocks), Exit::Locked, "{args:?}");
        assert_eq!(looks.get(), 4, "at 0, 10, 20 and 30 s");
        assert_eq!(host.id_of("app:latest"), id("v2"));
    }
}
