//! The points at which a run can be killed, and the killing.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process};

use crate::host::{Host, in_a_host_up_for, with_bare_environment};
use in_memory_engine::Moment;

/// System calls that make, write, sync, rename or remove a file, under their names on every
/// architecture.
const CHANGING: &str = "openat,?mkdir,mkdirat,write,?writev,pwrite64,?pwritev,?pwritev2,ftruncate,fallocate,fchmod,fchown,\
    ?unlink,unlinkat,?rename,?renameat,renameat2,fsync,fdatasync";
/// What the state directory may hold in these stories, itself included.
const FILES: [&str; 6] = [
    "",
    "lock",
    "state.json",
    "state.json.spare",
    "rejected.json",
    "rejected.json.spare",
];
/// Where a run is killed.
#[derive(Clone, Debug)]
pub(crate) enum Point {
    /// At the nth request to the engine, counted from one.
    Request(usize, Moment),
    /// At the nth call of this name on the state directory, counted from one.
    Syscall(String, usize, Moment),
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(nth, moment) => write!(f, "{moment:?} request {nth}"),
            Self::Syscall(name, nth, moment) => write!(f, "{moment:?} {name} {nth}"),
        }
    }
}

/// Every point of a run, which is made here once, unbroken, to find them. It ends with this code.
pub(crate) fn points_of(host: &Host, secs: u64, args: &[&str], code: i32) -> Vec<Point> {
    host.engine().take_log();
    let mut child = spawn(host, secs, args, &["-e", &format!("trace={CHANGING}")]);
    let trace = read_all(&mut child);
    let status = child.wait().expect("it is our child");
    assert_eq!(status.code(), Some(code), "strace works here: {trace}");
    let requests = host.engine().take_log().len();
    let both = [Moment::Before, Moment::After];
    let mut points: Vec<Point> = (1..=requests)
        .flat_map(|nth| both.map(|moment| Point::Request(nth, moment)))
        .collect();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for line in trace.lines() {
        let Some((name, rest)) = line.split_once('(').filter(|(name, _)| is_name(name)) else {
            continue;
        };
        let nth = seen.entry(name).or_default();
        *nth += 1;
        if name != "openat" || rest.contains("O_CREAT") {
            points.extend(both.map(|moment| Point::Syscall(name.to_owned(), *nth, moment)));
        }
    }
    points
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Runs the program and kills it at this point; fails when it does not come there.
pub(crate) fn run_killed(host: &Host, secs: u64, args: &[&str], point: &Point) {
    let mut child = match point {
        Point::Request(nth, moment) => killed_at_request(host, secs, args, *nth, *moment),
        Point::Syscall(name, nth, moment) => {
            killed_at_syscall(host, secs, args, name, *nth, *moment)
        }
    };
    let output = read_all(&mut child);
    let status = child.wait().expect("it is our child");
    assert_eq!(
        status.signal(),
        Some(Signal::KILL.as_raw()),
        "{args:?} was not killed {point}: {status}\n{output}"
    );
}

/// The engine kills the program, and is silent from then on.
fn killed_at_request(host: &Host, secs: u64, args: &[&str], nth: usize, moment: Moment) -> Child {
    let (send_pid, pid) = mpsc::channel();
    let mut seen = 0;
    host.engine().watch(move |at, _, _| {
        if at == moment {
            seen += 1;
        }
        let is_there = at == moment && seen == nth;
        if is_there {
            let pid = pid.recv().expect("the program was started");
            kill_process(pid, Signal::KILL).expect("it waits for its answer");
        }
        !is_there
    });
    let child = spawn(host, secs, args, &[]);
    send_pid
        .send(Pid::from_child(&child))
        .expect("the engine goes on");
    child
}

/// strace sends a signal where the call begins. Before: it kills, and the kernel never comes to the
/// call. After: it stops the program once the call is done, and the test kills it.
fn killed_at_syscall(
    host: &Host,
    secs: u64,
    args: &[&str],
    name: &str,
    nth: usize,
    moment: Moment,
) -> Child {
    let fate = match moment {
        Moment::Before => "KILL",
        Moment::After => "STOP",
    };
    let inject = format!("inject={name}:signal={fate}:when={nth}");
    let trace = format!("trace={CHANGING}");
    let mut child = spawn(host, secs, args, &["-e", &trace, "-e", &inject]);
    if moment == Moment::After {
        let stderr = child.stderr.as_mut().expect("piped");
        let has_stopped = BufReader::new(stderr)
            .lines()
            .any(|line| line.is_ok_and(|line| line.contains("stopped by SIGSTOP")));
        assert!(has_stopped, "{args:?} did not come to {name} {nth}");
        child.kill().expect("it is our child, and stopped");
    }
    child
}

/// Starts the program; under strace, if that is given arguments. The child is the program itself,
/// whatever started it.
fn spawn(host: &Host, secs: u64, args: &[&str], strace: &[&str]) -> Child {
    let mut words: Vec<OsString> = Vec::new();
    if !strace.is_empty() {
        // -D: the program is our child, and strace its tracer only.
        words.extend(["strace", "-D", "-y"].map(OsString::from));
        for file in FILES {
            words.push("-P".into());
            words.push(
                host.state_dir()
                    .join(file)
                    .components()
                    .collect::<std::path::PathBuf>()
                    .into(),
            );
        }
        words.extend(strace.iter().map(OsString::from));
    }
    words.extend(in_a_host_up_for(secs).map(OsString::from));
    words.push(env!("CARGO_BIN_EXE_tagkeeper").into());
    words.extend(args.iter().map(OsString::from));
    for (option, path) in [
        ("--policy", host.path("policy.toml")),
        ("--state-dir", host.state_dir()),
        ("--socket", host.path("docker.sock")),
    ] {
        words.extend([option.into(), path.into()]);
    }
    let mut command = Command::new(&words[0]);
    with_bare_environment(&mut command)
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
        .spawn()
        .unwrap_or_else(|e| panic!("this test needs {:?}: {e}", words[0]))
}

fn read_all(child: &mut Child) -> String {
    let mut text = String::new();
    let stderr = child.stderr.as_mut().expect("piped");
    stderr.read_to_string(&mut text).expect("UTF-8");
    text
}
