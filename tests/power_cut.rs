//! The power cut: whatever part of the recorded writes has reached the disk, the state is an old or
//! a new one, whole (design 5.1). A save that has returned is never taken back.
//!
//! `record` runs saves under strace and turns what they did into operations; `disk` is a model of a
//! disk that holds any part of the operations that were not synced; here every disk that a cut can
//! leave is loaded and judged.
#![cfg(test)]

#[path = "power_cut/disk.rs"]
mod disk;
#[path = "power_cut/record.rs"]
mod record;

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{self, Write};

use tagkeeper::store::{LoadError, StateDir, Store};
use tempfile::TempDir;

use disk::{Disk, Op, Volatile};
use record::{CORRUPT, record, state};

const STATE_FILE: &str = "state.json";

/// What a disk turns out to hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Absent,
    /// The state that begins with this letter, whole.
    State(char),
    /// The file that was corrupt from the beginning, as it was.
    Corrupt,
    /// Anything else.
    Torn(String),
}

/// A directory to put what a disk holds into, and what was found in the state files so far.
struct Bench {
    temp: TempDir,
    seen: HashMap<Option<Vec<u8>>, Seen>,
}

impl Bench {
    fn new() -> Self {
        Self {
            temp: tempfile::tempdir().unwrap(),
            seen: HashMap::new(),
        }
    }

    /// Loads what a disk holds under the state's name.
    fn look(&mut self, disk: &Disk) -> Seen {
        let bytes = disk.file(STATE_FILE).map(<[u8]>::to_vec);
        if let Some(seen) = self.seen.get(&bytes) {
            return seen.clone();
        }
        let dir = StateDir::new(self.temp.path().join("looked at"));
        let _ = fs::remove_dir_all(dir.path());
        fs::create_dir(dir.path()).unwrap();
        if let Some(bytes) = &bytes {
            fs::write(dir.state_file(), bytes).unwrap();
        }
        let seen = judge(&dir, bytes.as_deref());
        self.seen.insert(bytes, seen.clone());
        seen
    }

    /// Whether the next save after the cut does what it should, whatever lies about.
    fn can_go_on(&self, disk: &Disk) -> bool {
        let dir = StateDir::new(self.temp.path().join("gone on"));
        let _ = fs::remove_dir_all(dir.path());
        fs::create_dir(dir.path()).unwrap();
        for (name, content) in disk.all() {
            fs::write(dir.path().join(name), content).unwrap();
        }
        let next = state('z', 2000);
        let mut lock = dir.lock().unwrap();
        // As a pass does: what cannot be read is set aside first.
        if lock.load().is_err() {
            lock.set_aside("2026-01-01T00:00:00Z").unwrap();
        }
        lock.save(&next).unwrap();
        matches!(dir.load(), Ok(Some(found)) if found == next)
    }
}

fn judge(dir: &StateDir, bytes: Option<&[u8]>) -> Seen {
    match dir.load() {
        Ok(None) => Seen::Absent,
        Ok(Some(found)) => {
            let workload = found.workloads.values().next();
            let marker = workload.and_then(|w| w.failures.first()?.at.chars().next());
            // The letter and the size tell the whole state: is it that one?
            match marker.zip(bytes) {
                Some((marker, bytes)) if found == state(marker, bytes.len()) => Seen::State(marker),
                _ => Seen::Torn("a mixture was accepted".to_owned()),
            }
        }
        Err(LoadError::Corrupt { .. }) if bytes == Some(CORRUPT) => Seen::Corrupt,
        Err(error) => Seen::Torn(error.to_string()),
    }
}

/// What one recording came to.
#[derive(Debug, Default)]
struct Verdict {
    cuts: usize,
    disks: usize,
    /// What must not be: after which operation, and what was seen.
    wrong: BTreeSet<(usize, Seen)>,
}

/// Cuts the power after each of the operations, and looks at every disk that this may leave. Where
/// a corrupt state was left in the beginning, the cuts begin with it, and it must stay on the disk
/// under one name or another.
fn cut_everywhere(ops: &[Op]) -> Verdict {
    let mut bench = Bench::new();
    let mut volatile = Volatile::default();
    let mut allowed = BTreeSet::from([Seen::Absent]);
    let mut verdict = Verdict::default();
    let corrupt_at = ops.iter().position(|op| *op == Op::Returned('!'));
    for (at, op) in ops.iter().enumerate() {
        match op {
            Op::Begins(marker) => {
                allowed.insert(seen_of(*marker));
            }
            Op::Returned(marker) => allowed = BTreeSet::from([seen_of(*marker)]),
            other => volatile.apply(other),
        }
        if corrupt_at.is_some_and(|corrupt_at| at < corrupt_at) {
            continue;
        }
        verdict.cuts += 1;
        for disk in volatile.disks(STATE_FILE) {
            verdict.disks += 1;
            let seen = bench.look(&disk);
            let is_lost = corrupt_at.is_some() && !disk.holds(CORRUPT);
            if is_lost || !allowed.contains(&seen) {
                verdict.wrong.insert((at, seen));
            }
        }
        for disk in volatile.disks_as_synced() {
            if !bench.can_go_on(&disk) {
                let stuck = Seen::Torn("the next save is not what is loaded".to_owned());
                verdict.wrong.insert((at, stuck));
            }
        }
    }
    verdict
}

/// The letter of a step in the recording: `!` leaves a corrupt state, `-` sets it aside, and others
/// save.
fn seen_of(marker: char) -> Seen {
    match marker {
        '!' => Seen::Corrupt,
        '-' => Seen::Absent,
        saved => Seen::State(saved),
    }
}

/// Judges a recording, and tells how much that was.
fn survives(name: &str, ops: &[Op], at_least: usize) {
    let verdict = cut_everywhere(ops);
    // Past the harness, which would keep it to itself when all is well.
    let _ = writeln!(
        io::stdout(),
        "\npower cuts: {name}\nfigure: {} cuts, {} disks",
        verdict.cuts,
        verdict.disks
    );
    if let Some((at, seen)) = verdict.wrong.first() {
        let so_far = ops[..=*at].iter().map(|op| format!("{op:?}\n"));
        panic!("{seen:?} after\n{}", so_far.collect::<String>());
    }
    assert!(verdict.disks >= at_least, "{verdict:?}");
}

/// The first save, the same size, less, more, more than what is reserved; then the same by another
/// lock holder.
const SIZES: &str = "lock a6000 b6000 c900 d14000 e30000 lock f6000 g900";

#[test]
fn saves_of_any_size_survive() {
    let Some(ops) = record("saves_of_any_size_survive", &[(&[], SIZES)]) else {
        return;
    };
    survives("saves", &ops, 60);
}

#[test]
fn saves_survive_where_files_cannot_be_exchanged() {
    let refuse: &[&str] = &["-e", "inject=renameat2:error=EINVAL"];
    let name = "saves_survive_where_files_cannot_be_exchanged";
    let Some(ops) = record(name, &[(refuse, SIZES)]) else {
        return;
    };
    survives("saves without an exchange", &ops, 90);
}

/// The fifth fsync is the directory's, after the second save's exchange.
const KILLED: &[&str] = &["-e", "inject=fsync:signal=KILL:when=5"];

#[test]
fn a_save_after_a_killed_one_survives() {
    let runs = [(KILLED, "lock a6000 b6000"), (&[], "lock c9000 d9000")];
    let Some(ops) = record("a_save_after_a_killed_one_survives", &runs) else {
        return;
    };
    survives("a save after a killed one", &ops, 40);

    // What the first sync of a lock holder is for: without it the model shows the damage.
    let killed = ops.iter().position(|op| *op == Op::Begins('c')).unwrap();
    let first_sync = ops[killed..].iter().position(|op| *op == Op::SyncDir);
    let mut without = ops.clone();
    without.remove(killed + first_sync.unwrap());
    let wrong = cut_everywhere(&without).wrong;
    assert!(
        wrong.iter().any(|(_, seen)| matches!(seen, Seen::Torn(_))),
        "{wrong:?}"
    );
}

#[test]
fn a_corrupt_state_is_never_lost() {
    let name = "a_corrupt_state_is_never_lost";
    let Some(ops) = record(name, &[(&[], "corrupt lock aside a6000 b6000")]) else {
        return;
    };
    survives("a corrupt state is set aside", &ops, 30);
}

/// The model finds the damage that each kind of sync is there to prevent.
#[test]
fn without_a_sync_the_model_shows_the_damage() {
    let name = "without_a_sync_the_model_shows_the_damage";
    let Some(ops) = record(name, &[(&[], "lock a6000 b6000")]) else {
        return;
    };
    let without = |drop: fn(&Op) -> bool| {
        let kept: Vec<Op> = ops.iter().filter(|op| !drop(op)).cloned().collect();
        assert!(kept.len() < ops.len(), "there was nothing to drop");
        cut_everywhere(&kept).wrong
    };
    let no_file_sync = without(|op| matches!(op, Op::SyncFile(_)));
    assert!(
        no_file_sync
            .iter()
            .any(|(_, seen)| matches!(seen, Seen::Torn(_))),
        "without the sync of the file a state is torn"
    );
    let no_dir_sync = without(|op| *op == Op::SyncDir);
    assert!(
        no_dir_sync
            .iter()
            .any(|(_, seen)| matches!(seen, Seen::State(_) | Seen::Absent)),
        "without the sync of the directory a save that returned is taken back"
    );
}
