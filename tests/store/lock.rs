//! The lock: one holder, no traces.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use tagkeeper::deadline::Deadline;
use tagkeeper::store::{LockError, StateDir};
use tagkeeper_core::model::Reading;

use crate::support::{lock_again, run, stat, touched};

#[test]
fn one_holder_at_a_time() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    let lock = dir.lock().unwrap();
    assert!(matches!(
        StateDir::new(temp.path()).lock(),
        Err(LockError::Held)
    ));
    drop(lock);
    drop(lock_again(&dir));
}

#[test]
fn waiting_ends_when_the_holder_does() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    let lock = dir.lock().unwrap();
    let (send, got_it) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let clocks = || uptime(0);
            let lock = dir.lock_within(Deadline::after(&clocks, 1), &|| ());
            send.send(lock.is_ok()).unwrap();
        });
        assert!(
            got_it.recv_timeout(Duration::from_millis(100)).is_err(),
            "did not wait"
        );
        drop(lock);
        assert!(got_it.recv_timeout(Duration::from_secs(10)).unwrap());
    });
}

#[test]
fn waiting_ends_at_the_deadline_and_is_said_once() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    let lock = dir.lock().unwrap();
    let looks = Cell::new(0);
    let clocks = || {
        looks.set(looks.get() + 1);
        uptime(looks.get() * 10_000)
    };
    let said = Cell::new(0);
    let count = || said.set(said.get() + 1);
    let waited = dir.lock_within(Deadline::after(&clocks, 30_000), &count);
    assert!(matches!(waited, Err(LockError::Held)));
    assert_eq!((said.get(), looks.get()), (1, 4), "at 0, 10, 20 and 30 s");
    drop(lock);
    assert!(dir.lock_within(Deadline::after(&clocks, 0), &count).is_ok());
    assert_eq!(said.get(), 1, "nobody waits for a lock that is free");
}

fn uptime(monotonic_ms: u64) -> Reading {
    Reading {
        monotonic_ms,
        wall: String::new(),
    }
}

#[test]
fn taking_it_touches_no_time_stamp() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    drop(dir.lock().unwrap());
    let file = temp.path().join("lock");
    let all = || {
        (
            touched(temp.path()),
            touched(&file),
            stat(&file).atime_nsec(),
            stat(temp.path()).atime_nsec(),
        )
    };
    let before = all();
    // Longer than the tick of the kernel's file clock, so that a touch shows.
    std::thread::sleep(Duration::from_millis(20));
    drop(lock_again(&dir));
    let clocks = || uptime(0);
    drop(
        dir.lock_within(Deadline::after(&clocks, 1), &|| ())
            .unwrap(),
    );
    assert_eq!(all(), before);
}

#[test]
fn it_makes_the_directory_and_its_parents() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("a/b/c");
    let lock = StateDir::new(&path).lock().unwrap();
    assert!(matches!(StateDir::new(&path).lock(), Err(LockError::Held)));
    assert_eq!(stat(&path).permissions().mode() & 0o7777, 0o755);
    assert_eq!(stat(path.join("lock")).permissions().mode() & 0o7777, 0o600);
    drop(lock);
}

#[test]
fn a_directory_that_cannot_be_made_says_which() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below"), file.join("a/b")] {
        match StateDir::new(&path).lock() {
            Err(LockError::Io(error)) => {
                let told = format!("{error:#}");
                assert!(told.contains(file.to_str().unwrap()), "{told}");
                assert!(told.contains("Not a directory"), "{told}");
            }
            other => panic!("{}: {other:?}", path.display()),
        }
    }
}

/// A command that outlives the pass, such as a `ready` command's child, must not hold the next pass
/// up.
#[test]
fn programs_that_are_started_do_not_inherit_it() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    let lock = dir.lock().unwrap();
    let out = Command::new("ls")
        .args(["-l", "/proc/self/fd"])
        .output()
        .unwrap();
    let open = String::from_utf8(out.stdout).unwrap();
    assert!(open.contains("/proc/"), "nothing was listed: {open}");
    assert!(!open.contains(temp.path().to_str().unwrap()), "{open}");
    drop(lock);
}

/// In a directory of another user, root must not be led to make files elsewhere, or to wait for
/// ever.
#[test]
fn only_a_plain_file_is_locked() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    let target = temp.path().join("elsewhere");
    let file = temp.path().join("lock");
    symlink(&target, &file).unwrap();
    assert!(matches!(dir.lock(), Err(LockError::Io(_))));
    assert!(!target.exists());
    fs::remove_file(&file).unwrap();
    run("mkfifo", &[file.to_str().unwrap()]);
    assert!(matches!(dir.lock(), Err(LockError::Io(_))));
}
