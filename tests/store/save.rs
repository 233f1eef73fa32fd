//! Saving: what is exchanged, whose the files are, what is never written over.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::Path;

use tagkeeper::store::{LoadError, StateDir, Store};
use tagkeeper_core::model::State;

use crate::support::{WALL, assert_refused, lock_again, run, saved, spare, stat, state, under};

#[test]
fn what_is_saved_is_loaded() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    let mut lock = dir.lock().unwrap();
    // Growing, shrinking and the same size: nothing of an earlier, longer state may remain.
    for (marker, bytes) in [
        ('a', 600),
        ('b', 9000),
        ('c', 700),
        ('d', 30_000),
        ('e', 5000),
        ('f', 5000),
    ] {
        let state = state(marker, bytes);
        lock.save(&state).unwrap();
        assert_eq!(saved(&dir), state, "{marker}");
    }
    let blank = State {
        instance: "0".to_owned(),
        ..State::default()
    };
    lock.save(&blank).unwrap();
    assert_eq!(saved(&dir), blank);
    assert!(
        fs::read_to_string(dir.state_file())
            .unwrap()
            .ends_with("}\n")
    );
}

#[test]
fn a_save_exchanges_the_state_and_its_spare() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    let mut lock = dir.lock().unwrap();
    let inodes = || (stat(dir.state_file()).ino(), stat(spare(&dir)).ino());
    lock.save(&state('a', 6000)).unwrap();
    let (first, second) = inodes();
    assert_ne!(first, second);
    lock.save(&state('b', 6000)).unwrap();
    assert_eq!(inodes(), (second, first));
    lock.save(&state('c', 6000)).unwrap();
    assert_eq!(inodes(), (first, second));
    for path in [dir.state_file(), spare(&dir)] {
        let allocated_bytes = stat(&path).blocks() * 512;
        assert!(
            allocated_bytes >= 12_000,
            "{}: {allocated_bytes}",
            path.display()
        );
    }
    let mut names: Vec<_> = fs::read_dir(temp.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    let wanted = [
        "lock",
        "rejected.json.spare",
        "state.json",
        "state.json.spare",
    ];
    assert_eq!(names, wanted);
}

#[test]
fn a_state_that_makes_no_sense_is_not_saved() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    let mut lock = dir.lock().unwrap();
    lock.save(&state('a', 600)).unwrap();
    let mut senseless = state('b', 600);
    senseless.clock.clock_ms = 0;
    assert_refused(&lock.save(&senseless).unwrap_err());
    assert_eq!(saved(&dir), state('a', 600));
}

#[test]
fn setting_aside_never_overwrites_an_earlier_one() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    let mut lock = dir.lock().unwrap();
    for (content, expected) in [("1", ""), ("2", "-2"), ("3", "-3")] {
        fs::write(dir.state_file(), content).unwrap();
        let path = lock.set_aside(WALL).unwrap();
        assert_eq!(
            path,
            temp.path()
                .join(format!("state.json.corrupt-20261122T231800Z{expected}"))
        );
        assert_eq!(dir.load().unwrap(), None);
    }
    for (content, suffix) in [("1", ""), ("2", "-2"), ("3", "-3")] {
        let path = temp
            .path()
            .join(format!("state.json.corrupt-20261122T231800Z{suffix}"));
        assert_eq!(fs::read_to_string(path).unwrap(), content);
    }
    let error = lock.set_aside(WALL).unwrap_err();
    let kind = error.downcast_ref().map(io::Error::kind);
    assert_eq!(kind, Some(io::ErrorKind::NotFound));
    // The fresh start that follows.
    lock.save(&State::default()).unwrap();
    assert!(!saved(&dir).instance.is_empty());
}

/// A save must not destroy what nobody has read: it is kept until it is set aside.
#[test]
fn what_could_not_be_read_is_not_saved_over() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    let mut lock = dir.lock().unwrap();
    for content in ["damaged", r#"{"version":9}"#] {
        fs::write(dir.state_file(), content).unwrap();
        for _ in 0..2 {
            let error = lock.save(&state('a', 600)).unwrap_err();
            assert!(error.is::<LoadError>(), "{error:?}");
        }
        assert_eq!(fs::read_to_string(dir.state_file()).unwrap(), content);
    }
    lock.set_aside(WALL).unwrap();
    lock.save(&state('a', 600)).unwrap();
    assert_eq!(saved(&dir), state('a', 600));
}

/// A name that another has taken since it was loaded: a rename would put a directory into the
/// spare's place for good.
#[test]
fn only_a_regular_file_is_replaced() {
    type Plant = fn(&Path);
    let table: &[Plant] = &[
        |path| fs::create_dir(path).unwrap(),
        |path| symlink("elsewhere", path).unwrap(),
        |path| run("mkfifo", &[path.to_str().unwrap()]),
    ];
    for plant in table {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::new(temp.path());
        let mut lock = dir.lock().unwrap();
        lock.save(&state('a', 600)).unwrap();
        fs::remove_file(dir.state_file()).unwrap();
        plant(&dir.state_file());
        let error = lock.save(&state('b', 600)).unwrap_err();
        assert!(error.is::<io::Error>(), "{error:?}");
        assert!(!stat(dir.state_file()).is_file());
        assert!(stat(spare(&dir)).is_file());
        match dir.load() {
            Err(LoadError::NotRegular { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The pins of a memory carry its name, so it has one from the first save on, and keeps it.
#[test]
fn a_state_without_an_instance_gets_one_that_stays() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    let mut lock = dir.lock().unwrap();
    let nameless = State {
        instance: String::new(),
        ..state('a', 600)
    };
    lock.save(&nameless).unwrap();
    let first = saved(&dir).instance;
    assert_eq!(first.len(), 16, "{first}");
    lock.save(&nameless).unwrap();
    assert_eq!(saved(&dir).instance, first, "by the same holder");
    assert_eq!(lock.instance().unwrap(), first);
    drop(lock);
    let mut lock = lock_again(&dir);
    assert_eq!(lock.instance().unwrap(), first, "by the next holder");
    lock.save(&state('a', 600)).unwrap();
    assert_eq!(saved(&dir), state('a', 600), "the caller's");
    fs::write(dir.state_file(), "damaged").unwrap();
    lock.set_aside(WALL).unwrap();
    assert_ne!(lock.instance().unwrap(), first, "another memory");
}

/// A snapshot by hard links, or a link to a file elsewhere, must not be written through.
#[test]
fn a_spare_that_is_also_somebody_elses_is_replaced() {
    type Plant = fn(&Path, &Path);
    let table: &[(&str, Plant)] = &[
        ("hard link", |spare, theirs| {
            fs::hard_link(theirs, spare).unwrap();
        }),
        ("symbolic link", |spare, theirs| {
            symlink(theirs, spare).unwrap();
        }),
        ("fifo", |spare, _| run("mkfifo", &[spare.to_str().unwrap()])),
    ];
    for (name, plant) in table {
        let temp = tempfile::tempdir().unwrap();
        let (dir, theirs) = (StateDir::new(temp.path()), temp.path().join("theirs"));
        let mut lock = dir.lock().unwrap();
        lock.save(&state('a', 600)).unwrap();
        fs::write(&theirs, "backup").unwrap();
        fs::remove_file(spare(&dir)).unwrap();
        plant(&spare(&dir), &theirs);
        lock.save(&state('b', 600)).unwrap();
        assert_eq!(saved(&dir), state('b', 600), "{name}");
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "backup", "{name}");
        assert!(stat(dir.state_file()).is_file(), "{name}");
    }
}

/// Owner, group and mode of the lock, the state and the spare.
fn owners(dir: &StateDir) -> [(u32, u32, u32); 3] {
    [dir.path().join("lock"), dir.state_file(), spare(dir)].map(|path| {
        let meta = stat(path);
        (meta.uid(), meta.gid(), meta.mode() & 0o7777)
    })
}

/// What [`owners`] finds when all is right: anybody may read the state, and only the owner may hold
/// the lock.
fn owned_by(uid: u32, gid: u32) -> [(u32, u32, u32); 3] {
    [(uid, gid, 0o600), (uid, gid, 0o644), (uid, gid, 0o644)]
}

#[test]
fn the_files_are_the_directorys_owners() {
    let wrapper = ["sh", "-c", r#"umask 077; exec "$0" "$@""#];
    under(
        &wrapper,
        "save::the_files_are_the_directorys_owners",
        |scratch| {
            let dir = StateDir::new(scratch);
            chown(scratch, Some(1234), Some(1235)).unwrap();
            let mut lock = dir.lock().unwrap();
            for marker in ['a', 'b'] {
                lock.save(&state(marker, 600)).unwrap();
                assert_eq!(owners(&dir), owned_by(1234, 1235), "{marker}");
            }
        },
    );
}

#[test]
fn without_the_right_to_give_files_away_a_save_still_succeeds() {
    let name = "save::without_the_right_to_give_files_away_a_save_still_succeeds";
    let without =
        r#"chown 1234 "$TAGKEEPER_TEST_SCRATCH"; exec setpriv --bounding-set=-chown "$0" "$@""#;
    under(&["sh", "-c", without], name, |scratch| {
        let dir = StateDir::new(scratch);
        let mut lock = dir.lock().unwrap();
        lock.save(&state('a', 600)).unwrap();
        lock.save(&state('b', 600)).unwrap();
        assert_eq!(saved(&dir), state('b', 600));
        assert_eq!((stat(scratch).uid(), owners(&dir)), (1234, owned_by(0, 0)));
    });
}

/// What a command left behind that could not give its files away does not stop the directory's
/// owner.
#[test]
fn a_spare_that_may_not_be_opened_is_replaced() {
    let wrapper = ["setpriv", "--bounding-set=-dac_override"];
    under(
        &wrapper,
        "save::a_spare_that_may_not_be_opened_is_replaced",
        |scratch| {
            let dir = StateDir::new(scratch);
            let mut lock = dir.lock().unwrap();
            lock.save(&state('a', 600)).unwrap();
            chown(spare(&dir), Some(1234), Some(1234)).unwrap();
            assert!(
                fs::OpenOptions::new()
                    .write(true)
                    .open(spare(&dir))
                    .is_err(),
                "root is too mighty here"
            );
            lock.save(&state('b', 600)).unwrap();
            assert_eq!(saved(&dir), state('b', 600));
            assert_eq!(owners(&dir), owned_by(0, 0));
        },
    );
}

/// What is written, in which order (the list in `src/store/save.rs`): nothing else shows that a
/// power cut is survived until it comes.
#[test]
fn a_save_is_synced_before_and_after_the_exchange() {
    let calls = "pwrite64,write,ftruncate,fallocate,fchmod,fchown,unlinkat,rename,renameat,renameat2,fsync,fdatasync";
    let strace = format!(
        r#"exec strace -f -y -e trace={calls} -o "$TAGKEEPER_TEST_SCRATCH/trace" "$0" "$@""#
    );
    let name = "save::a_save_is_synced_before_and_after_the_exchange";
    let scratch = under(&["sh", "-c", &strace], name, |scratch| {
        let dir = StateDir::new(scratch.join("dir"));
        dir.lock().unwrap().save(&state('a', 6000)).unwrap();
        let mut lock = lock_again(&dir);
        lock.save(&state('b', 6000)).unwrap();
        lock.save(&state('c', 6000)).unwrap();
    });
    let Some(scratch) = scratch else { return };
    let trace = fs::read_to_string(scratch.path().join("trace")).unwrap();
    let steps: Vec<_> = trace.lines().filter_map(step).collect();
    let save = [
        "pwrite64 spare",
        "fsync spare",
        "renameat2 exchange",
        "fsync dir",
    ];
    let expected = [&["fsync dir"], save.as_slice(), save.as_slice()].concat();
    let last = steps
        .len()
        .checked_sub(expected.len())
        .map(|from| &steps[from..]);
    assert_eq!(last.unwrap_or_default(), expected, "{trace}");
}

/// A line of the trace in words; none for what is not about the state directory.
fn step(line: &str) -> Option<String> {
    let (call, rest) = line.split_once('(')?;
    let call = call.rsplit(' ').next()?;
    let target = match rest {
        _ if rest.contains("RENAME_EXCHANGE") => "exchange",
        _ if rest.contains("/dir/state.json.spare>") => "spare",
        _ if rest.contains("/dir/state.json>") => "state",
        _ if rest.contains("/dir>") => "dir",
        _ => return None,
    };
    Some(format!("{call} {target}"))
}

/// What the next pass would set aside as too large is not written in the first place.
#[test]
fn a_state_that_is_too_large_to_be_loaded_is_not_saved() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    let mut lock = dir.lock().unwrap();
    lock.save(&state('a', 1000)).unwrap();
    let error = lock.save(&state('b', 65 << 20)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "refused to save a state that makes no sense: it is larger than 64 MiB"
    );
    assert_eq!(saved(&dir), state('a', 1000));
}
