//! Programs that will not behave, and the caller that goes on all the same.

use std::fs;
use std::path::Path;

use super::*;
use tagkeeper_core::model::Reading;

/// The machine's own clock: what is waited for here is real.
#[expect(clippy::disallowed_methods, reason = "the clock of these tests")]
fn clocks() -> Reading {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let ms = now.tv_sec * 1000 + now.tv_nsec / 1_000_000;
    Reading {
        monotonic_ms: u64::try_from(ms).unwrap(),
        wall: String::new(),
    }
}

fn words(command: &[&str]) -> Vec<String> {
    command.iter().map(|word| (*word).to_owned()).collect()
}

fn sh(script: &str) -> Vec<String> {
    words(&["/bin/sh", "-c", script])
}

fn python(script: &str) -> Vec<String> {
    words(&["python3", "-c", script])
}

fn invocation(command: &[String], timeout_ms: u64) -> Invocation<'_> {
    Invocation {
        command,
        environment: vec![("WORD", "tagkeeper".to_owned())],
        input: String::new(),
        timeout_ms,
    }
}

/// Runs them with the same timeout in a budget of this; the answers, and how long it took.
fn run_for(commands: &[Vec<String>], timeout_ms: u64, budget_ms: u64) -> (Vec<Finished>, u64) {
    let began_ms = clocks().monotonic_ms;
    let invocations: Vec<_> = commands.iter().map(|c| invocation(c, timeout_ms)).collect();
    let finished = run_all(&invocations, Deadline::after(&clocks, budget_ms));
    (finished, clocks().monotonic_ms - began_ms)
}

/// Long after a program that ends by itself has done so, however busy the machine is.
const PLENTY_MS: u64 = 20_000;
/// Long enough to start in, short of the 30 seconds for which the programs here hang.
const LATE_MS: u64 = 1_000;

fn run(command: &[String]) -> (Finished, u64) {
    run_within(command, PLENTY_MS)
}

fn run_within(command: &[String], timeout_ms: u64) -> (Finished, u64) {
    let (mut finished, took_ms) = run_for(&[command.to_vec()], timeout_ms, 60_000);
    (finished.remove(0), took_ms)
}

fn exit_code(finished: &Finished) -> Option<i32> {
    match &finished.ending {
        Ending::Exited(status) => status.code(),
        Ending::TimedOut | Ending::Failed(_) | Ending::OutOfTime => None,
    }
}

#[test]
fn what_it_says_and_how_it_ended() {
    for (script, code, output) in [
        ("true", 0, ""),
        ("echo to $WORD; echo and >&2; exit 3", 3, "to tagkeeper and"),
        (
            r"printf 'a\033[31m\000b\r\n\n\t c\342\200\256d\342\200\213e\377'",
            0,
            "a[31mb cde\u{fffd}",
        ),
        ("cat", 0, ""),
    ] {
        let (finished, _) = run(&sh(script));
        assert_eq!(
            (exit_code(&finished), finished.output.as_str()),
            (Some(code), output),
            "{script}"
        );
    }
    let (finished, _) = run(&sh(
        "i=0; while [ $i -lt 999 ]; do i=$((i+1)); echo line $i; done; exit 1",
    ));
    assert_eq!(finished.output.chars().count(), SHOWN_OUTPUT);
    assert!(finished.output.starts_with('…') && finished.output.ends_with("line 998 line 999"));
}

#[test]
fn what_is_said_of_an_ending() {
    let command = sh("echo why; exit 3");
    let asked = invocation(&command, 10_000);
    let said = |ending| {
        let output = "why".to_owned();
        Finished { ending, output }.complaint(&asked)
    };
    let (finished, _) = run(&command);
    assert_eq!(
        finished.complaint(&asked).unwrap(),
        "'/bin/sh': exit status: 3: why"
    );
    assert_eq!(
        said(Ending::TimedOut).unwrap(),
        "'/bin/sh' did not end within 10s: why"
    );
    assert_eq!(
        said(Ending::OutOfTime).unwrap(),
        "no time was left for '/bin/sh': why"
    );
    let missing = words(&["/nowhere/at/all"]);
    let (finished, _) = run(&missing);
    let complaint = finished.complaint(&invocation(&missing, 1)).unwrap();
    assert_eq!(
        complaint,
        "failed to run '/nowhere/at/all': No such file or directory (os error 2)"
    );
}

/// Each of these held up the caller of a simpler runner, or outlived its timeout.
#[test]
fn nothing_that_a_program_does_holds_up_its_caller() {
    let dir = tempfile::tempdir().unwrap();
    let into_our_group = format!(
        "import os, time; os.setpgid(0, {}); time.sleep(30)",
        own_group()
    );
    for (name, command) in [
        ("sleeps", sh("exec sleep 30")),
        ("its child sleeps", sh("sleep 30; true")),
        (
            "ignores signals",
            sh("trap '' TERM INT HUP; while :; do sleep 1; done"),
        ),
        ("stops itself", sh("kill -STOP $$")),
        ("joins the caller's group", python(&into_our_group)),
        (
            "leads a session",
            python("import os, time\nif os.fork():\n time.sleep(30)\nos.setsid(); time.sleep(3)"),
        ),
        ("writes without end", sh("exec yes")),
        ("closes its output", sh("exec >&- 2>&- 3>&-; sleep 30")),
    ] {
        let pid_file = dir.path().join("pid");
        let _ = fs::remove_file(&pid_file);
        let (finished, took_ms) = run_within(&command, LATE_MS);
        assert!(
            matches!(finished.ending, Ending::TimedOut),
            "{name}: {finished:?}"
        );
        assert!(
            (LATE_MS..PLENTY_MS).contains(&took_ms),
            "{name}: {took_ms} ms"
        );
        assert!(finished.output.chars().count() <= SHOWN_OUTPUT, "{name}");
    }
}

fn own_group() -> i32 {
    rustix::process::getpgrp().as_raw_nonzero().get()
}

/// Whether a process runs. One that nobody has reaped yet does not.
fn runs(pid_file: &Path) -> bool {
    let pid = fs::read_to_string(pid_file).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !(stat.is_empty() || stat.contains(") Z "))
}

#[test]
fn what_is_late_is_dead_when_its_caller_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (own, childs) = (dir.path().join("own"), dir.path().join("child"));
    let (own_path, childs_path) = (own.display(), childs.display());
    let moved = format!(
        "import os, time\nopen('{own_path}', 'w').write(str(os.getpid()))\nos.setpgid(0, {})\ntime.sleep(30)",
        own_group()
    );
    let parent = format!("echo $$ >{own_path}; sleep 30 & echo $! >{childs_path}; wait");
    run_within(&python(&moved), 2 * LATE_MS);
    assert!(!runs(&own), "it left its group");
    run_within(&sh(&parent), LATE_MS);
    assert!(!runs(&own));
    // Killed as well, but nobody's here to wait for.
    let late = Deadline::after(&clocks, PLENTY_MS);
    while runs(&childs) && late.remaining_ms() > 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!runs(&childs));
}

#[test]
fn output_that_a_grandchild_keeps_open_is_not_waited_for() {
    let (finished, took_ms) = run(&sh("echo done; sleep 30 & exit 4"));
    assert_eq!(
        (exit_code(&finished), finished.output.as_str()),
        (Some(4), "done")
    );
    assert!(took_ms < PLENTY_MS, "{took_ms} ms");
    // Nor read for ever.
    let (finished, took_ms) = run(&sh("yes & sleep 0.1; kill -STOP $!; exit 5"));
    assert_eq!(exit_code(&finished), Some(5));
    assert!(took_ms < PLENTY_MS, "{took_ms} ms");
}

#[test]
fn much_output_neither_blocks_nor_costs_memory() {
    let command = sh("head -c 50000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 6");
    let (mut finished, _) = run_for(&[command], 20_000, 20_000);
    let finished = finished.remove(0);
    assert_eq!(exit_code(&finished), Some(6), "{finished:?}");
    assert!(
        finished.output.ends_with("x the end"),
        "{}",
        finished.output
    );
    let mut kept = Vec::new();
    let zeros = fs::File::open("/dev/zero").unwrap();
    for _ in 0..100 {
        assert!(read_some(zeros.as_fd(), &mut kept));
        assert!(kept.len() <= KEPT_OUTPUT && kept.capacity() <= 2 * READ_SIZE + KEPT_OUTPUT);
    }
}

#[test]
fn input_is_written_to_who_reads_and_kept_from_who_does_not() {
    let input = "a line of input\n".repeat(20_000);
    let commands = [
        sh("wc -c"),
        sh("sleep 0.2; wc -c"),
        sh("exit 7"),
        sh("exec sleep 30"),
    ];
    let invocations: Vec<_> = commands
        .iter()
        .map(|command| Invocation {
            input: input.clone(),
            ..invocation(command, 1_000)
        })
        .collect();
    let finished = run_all(&invocations, Deadline::after(&clocks, 60_000));
    let length = input.len().to_string();
    assert_eq!(finished[0].output, length);
    assert_eq!(finished[1].output, length);
    assert_eq!(exit_code(&finished[2]), Some(7));
    assert!(
        matches!(finished[3].ending, Ending::TimedOut),
        "{finished:?}"
    );
}

#[test]
fn many_run_at_the_same_time_and_answer_in_order() {
    let commands: Vec<_> = (0..40)
        .map(|n| sh(&format!("sleep 0.5; exit {n}")))
        .collect();
    let (finished, took_ms) = run_for(&commands, 10_000, 60_000);
    let codes: Vec<_> = finished.iter().map(|f| exit_code(f).unwrap()).collect();
    assert_eq!(codes, (0..40).collect::<Vec<_>>());
    assert!(took_ms < 15_000, "{took_ms} ms, and not 20 s");
}

#[test]
fn the_deadline_of_all_is_nobodys_own_timeout() {
    let quick = sh("exit 0");
    let slow = sh("exec sleep 30");
    let invocations = [
        invocation(&quick, 60_000),
        invocation(&slow, 300),
        invocation(&slow, 60_000),
    ];
    let finished = run_all(&invocations, Deadline::after(&clocks, 3_000));
    assert_eq!(exit_code(&finished[0]), Some(0));
    assert!(
        matches!(finished[1].ending, Ending::TimedOut),
        "{finished:?}"
    );
    assert!(
        matches!(finished[2].ending, Ending::OutOfTime),
        "{finished:?}"
    );
    // More than run at the same time: the last ones are never started.
    let crowd = vec![slow; AT_ONCE + 3];
    let (finished, took_ms) = run_for(&crowd, 60_000, 300);
    assert!(
        finished
            .iter()
            .all(|f| matches!(f.ending, Ending::OutOfTime))
    );
    assert!(took_ms < PLENTY_MS, "{took_ms} ms");
    let (finished, _) = run_for(&[quick], 60_000, 0);
    assert!(matches!(finished[0].ending, Ending::OutOfTime));
}

/// As on a kernel before 5.3.
#[test]
fn without_a_pidfd_it_is_the_same() {
    let commands = [sh("sleep 0.1; exit 3"), sh("exec sleep 30")];
    let invocations: Vec<_> = commands.iter().map(|c| invocation(c, 400)).collect();
    let began_ms = clocks().monotonic_ms;
    let finished = run_watched(&invocations, Deadline::after(&clocks, 60_000), |_| None);
    let took_ms = clocks().monotonic_ms - began_ms;
    assert_eq!(exit_code(&finished[0]), Some(3));
    assert!(
        matches!(finished[1].ending, Ending::TimedOut),
        "{finished:?}"
    );
    assert!((400..PLENTY_MS).contains(&took_ms), "{took_ms} ms");
}
