//! Recording: saves in a process under strace, and what they did to the state directory.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use tagkeeper::store::{StateDir, Store, state_document};
use tagkeeper_core::model::{
    Clock, EndedBy, Failure, ImageId, Moment, Outcome, State, Version, WorkloadName, WorkloadState,
};

use crate::disk::{Inode, Op};

/// A state file that no program has written.
pub(crate) const CORRUPT: &[u8] = b"{\"version\":1,";
/// Tells the process under strace what to play, and where.
const PLAY: &str = "TAGKEEPER_TEST_PLAY";
const SCRATCH: &str = "TAGKEEPER_TEST_SCRATCH";
/// The calls that change a directory or a file, or give a number to one.
const CALLS: &str = "trace=?open,openat,write,?writev,pwrite64,?pwritev,?pwritev2,ftruncate,fallocate,?unlink,unlinkat,?rename,\
    ?renameat,renameat2,fsync,fdatasync";

/// A state that differs from any other letter's all over, and takes so many bytes on the disk.
pub(crate) fn state(marker: char, bytes: usize) -> State {
    let with_text = |length: usize| {
        let failure = Failure {
            version: Version::new(marker.to_string().repeat(length + 1)),
            image: ImageId::new(marker.to_string()),
            outcome: Outcome::Withdrawn,
            attempts: 1,
            own_end: None,
            ended_by: EndedBy::Stopped,
            up_secs: 1,
            ended_ms: 1,
            at: marker.to_string(),
        };
        let workload = WorkloadState {
            since: Some(Moment {
                clock_ms: 1,
                at: marker.to_string(),
            }),
            failures: vec![failure],
            ..WorkloadState::default()
        };
        State {
            instance: "0123456789abcdef".to_owned(),
            clock: Clock {
                clock_ms: 1,
                monotonic_ms: 1,
            },
            workloads: [(WorkloadName::new("telemetry"), workload)].into(),
            ..State::default()
        }
    };
    let bare = state_document(&with_text(0)).unwrap().len();
    with_text(bytes.checked_sub(bare).unwrap())
}

/// Plays each of the runs in a process of its own, one after the other on the same directory, and
/// tells all they did to it. A run is arguments for strace, and words: `lock` takes the lock anew,
/// `a6000` saves state `a` of 6000 bytes, `corrupt` leaves a corrupt state on the disk, `aside`
/// sets it aside. `name` is the test's own, which is run again to play; then this returns none.
pub(crate) fn record(name: &str, runs: &[(&[&str], &str)]) -> Option<Vec<Op>> {
    if let (Some(words), Some(scratch)) = (env::var_os(PLAY), env::var_os(SCRATCH)) {
        play(words.to_str().unwrap(), Path::new(&scratch));
        return None;
    }
    let scratch = tempfile::tempdir().unwrap();
    let mut reader = Reader::new(scratch.path());
    fs::create_dir(&reader.dir).unwrap();
    for (strace, words) in runs {
        let trace = scratch.path().join("trace");
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-a", "1", "-xx", "-s", "1000000", "-e", CALLS]);
        command.args(*strace).arg("-o").arg(&trace);
        command.arg(env::current_exe().unwrap());
        command.args(["--exact", name, "--test-threads=1"]);
        command.env(PLAY, words).env(SCRATCH, scratch.path());
        let output = command.output();
        let output = output.unwrap_or_else(|e| panic!("this test needs 'strace': {e}"));
        let is_killed = strace.iter().any(|argument| argument.contains("KILL"));
        let is_as_meant = output.status.success() != is_killed;
        assert!(is_as_meant, "to be killed: {is_killed}: {output:?}");
        for line in whole_lines(&fs::read_to_string(&trace).unwrap()) {
            reader.read(&line);
        }
    }
    Some(reader.ops)
}

/// The lines of a trace, whole: strace splits that of a call during which another thread makes one.
fn whole_lines(trace: &str) -> Vec<String> {
    let mut unfinished: HashMap<&str, &str> = HashMap::new();
    let mut whole = Vec::new();
    for line in trace.lines() {
        let thread = line.split(' ').next().unwrap();
        if let Some((begin, _)) = line.split_once(" <unfinished ...>") {
            unfinished.insert(thread, begin);
        } else if let Some((_, end)) = line.split_once(" resumed>") {
            let begin = unfinished.remove(thread).unwrap();
            whole.push(format!("{begin}{end}"));
        } else {
            whole.push(line.to_owned());
        }
    }
    whole
}

/// In the process under strace. What begins and what has returned is written beside the directory,
/// and so is seen.
fn play(words: &str, scratch: &Path) {
    let dir = StateDir::new(scratch.join("dir"));
    let tell = |what: &str, marker: char| {
        fs::File::create(scratch.join(format!("{what}-{marker}"))).unwrap();
    };
    let mut lock = None;
    for word in words.split(' ') {
        match word {
            "corrupt" => {
                fs::write(dir.state_file(), CORRUPT).unwrap();
                let files = [dir.state_file(), dir.path().to_owned()];
                for file in files {
                    fs::File::open(file).unwrap().sync_all().unwrap();
                }
                tell("returned", '!');
            }
            "lock" => {
                drop(lock.take());
                lock = Some(dir.lock().unwrap());
            }
            "aside" => {
                tell("begins", '-');
                let lock = lock.as_mut().unwrap();
                lock.set_aside("2026-11-22T23:18:00Z").unwrap();
                tell("returned", '-');
            }
            save => {
                let (marker, bytes) = save.split_at(1);
                let marker = marker.chars().next().unwrap();
                let state = state(marker, bytes.parse().unwrap());
                tell("begins", marker);
                lock.as_mut().unwrap().save(&state).unwrap();
                tell("returned", marker);
            }
        }
    }
}

/// What a number of an open file stands for.
#[derive(Clone, Copy)]
enum Open {
    Dir,
    File(Inode),
}

/// Reads a trace, knowing what is where.
struct Reader {
    dir: String,
    beside: String,
    live: HashMap<String, Inode>,
    open: HashMap<String, Open>,
    made: Inode,
    ops: Vec<Op>,
}

impl Reader {
    fn new(scratch: &Path) -> Self {
        let beside = scratch.to_str().unwrap().to_owned();
        Self {
            dir: format!("{beside}/dir"),
            beside,
            live: HashMap::new(),
            open: HashMap::new(),
            made: 0,
            ops: Vec::new(),
        }
    }

    /// One line: `1234  call(argument, ...) = result`. A call that failed, or was killed, has done
    /// nothing.
    fn read(&mut self, line: &str) {
        let Some((call, rest)) = line.split_once('(') else {
            return;
        };
        let Some((arguments, result)) = rest.rsplit_once(") = ") else {
            return;
        };
        let call = call.rsplit(' ').next().unwrap();
        if result.starts_with(['-', '?']) {
            return;
        }
        let arguments: Vec<String> = arguments.trim_end().split(", ").map(plain).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match (call, arguments.as_slice()) {
            ("openat", [at, name, flags, ..]) => self.opened(at, name, flags, &plain(result)),
            ("open", [name, flags, ..]) => self.opened("", name, flags, &plain(result)),
            ("fsync" | "fdatasync", [fd]) => {
                let synced = self.open.get(number(fd)).map(|open| match open {
                    Open::Dir => Op::SyncDir,
                    Open::File(inode) => Op::SyncFile(*inode),
                });
                self.ops.extend(synced);
            }
            ("renameat2" | "renameat", [_, from, _, to, flags @ ..]) => {
                self.renamed(
                    from,
                    to,
                    flags.first().is_some_and(|f| f.contains("EXCHANGE")),
                );
            }
            ("unlinkat", [_, name, _]) => {
                let removed = self.live.remove(*name);
                let change = removed.map(|_| Op::Names(vec![((*name).to_owned(), None)]));
                self.ops.extend(change);
            }
            (_, [fd, rest @ ..]) => {
                if let Some(Open::File(inode)) = self.open.get(number(fd)) {
                    self.ops.extend(change(call, *inode, rest));
                }
            }
            _ => {}
        }
    }

    fn opened(&mut self, at: &str, name: &str, flags: &str, result: &str) {
        let fd = number(result).to_owned();
        self.open.remove(&fd);
        if name == self.dir {
            self.open.insert(fd, Open::Dir);
            return;
        }
        let at_dir = at.ends_with(&format!("<{}>", self.dir));
        let below = name.strip_prefix(&format!("{}/", self.dir));
        if let Some(name) = below.or(at_dir.then_some(name)) {
            let inode = self
                .live
                .get(name)
                .copied()
                .unwrap_or_else(|| self.make(name));
            self.open.insert(fd, Open::File(inode));
            if flags.contains("O_TRUNC") {
                self.ops.push(Op::Cut(inode, 0));
            }
        } else if let Some((what, marker)) = name
            .strip_prefix(&format!("{}/", self.beside))
            .and_then(|name| name.split_once('-'))
        {
            let marker = marker.chars().next().unwrap();
            self.ops.push(match what {
                "begins" => Op::Begins(marker),
                _ => Op::Returned(marker),
            });
        }
    }

    fn make(&mut self, name: &str) -> Inode {
        self.made += 1;
        self.live.insert(name.to_owned(), self.made);
        self.ops
            .push(Op::Names(vec![(name.to_owned(), Some(self.made))]));
        self.made
    }

    fn renamed(&mut self, from: &str, to: &str, is_exchange: bool) {
        let moved = self.live.remove(from);
        let replaced = moved.and_then(|moved| self.live.insert(to.to_owned(), moved));
        let stays = replaced.filter(|_| is_exchange);
        if let Some(stays) = stays {
            self.live.insert(from.to_owned(), stays);
        }
        self.ops.push(Op::Names(vec![
            (to.to_owned(), moved),
            (from.to_owned(), stays),
        ]));
    }
}

/// What a call on an open file did to it.
fn change(call: &str, inode: Inode, arguments: &[&str]) -> Option<Op> {
    match (call, arguments) {
        ("write", [bytes, _]) => Some(Op::Write(inode, 0, bytes.as_bytes().to_vec())),
        ("pwrite64", [bytes, _, offset]) => {
            let offset = offset.parse().unwrap();
            Some(Op::Write(inode, offset, bytes.as_bytes().to_vec()))
        }
        ("ftruncate", [length]) => Some(Op::Cut(inode, length.parse().unwrap())),
        // It reserves, and changes nothing that can be read.
        ("fallocate", ["FALLOC_FL_KEEP_SIZE", ..]) => None,
        _ => panic!("{call} is not in the model"),
    }
}

/// The number in `7</a/file>`.
fn number(fd: &str) -> &str {
    fd.split('<').next().unwrap_or_default()
}

/// Text as strace prints it with `-xx`: without quotes, and `\x61` for each byte.
fn plain(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if let (b'\\', [b'x', digits @ ..]) = (first, after) {
            let digit = |at: usize| char::from(digits[at]).to_digit(16).unwrap();
            bytes.push(u8::try_from(digit(0) * 16 + digit(1)).unwrap());
            rest = &digits[2..];
        } else {
            bytes.extend(Some(*first).filter(|byte| *byte != b'"'));
            rest = after;
        }
    }
    String::from_utf8(bytes).expect("a state is UTF-8")
}
