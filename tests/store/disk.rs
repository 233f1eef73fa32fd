//! Disks that are full or may not be written.

use std::fs;
use std::io;
use std::path::Path;

use rustix::io::Errno;
use tagkeeper::store::{LockError, StateDir, Store};
use tagkeeper_core::model::State;

use crate::support::{
    MOUNTS, fill, mount_ext4, mount_tmpfs, rejection, run, saved, spare, state, under,
};

fn is_disk_full(error: &anyhow::Error) -> bool {
    let errno = error.downcast_ref().and_then(Errno::from_io_error);
    matches!(errno, Some(Errno::NOSPC | Errno::DQUOT))
}

/// The story of a full disk: saves go on, within what is reserved; without a reserve they fail and
/// the state stays.
fn survives_a_full_disk(mount: &Path) {
    let dir = StateDir::new(mount.join("state"));
    let mut lock = dir.lock().unwrap();
    lock.save(&state('a', 6000)).unwrap();
    fill(mount);

    // The same size, growing into the slack (of 12 KiB), shrinking, and growing again.
    for (marker, bytes) in ('b'..='z').zip([
        6000, 6000, 6500, 8000, 8100, 11_000, 11_900, 11_900, 6000, 6000, 11_900,
    ]) {
        let state = state(marker, bytes);
        lock.save(&state)
            .unwrap_or_else(|e| panic!("{marker}, {bytes} bytes: {e:?}"));
        assert_eq!(saved(&dir), state, "{marker}");
    }

    // Beyond the reserve there is no room. The state stays, and so does the ability to save.
    let last = saved(&dir);
    let error = lock.save(&state('A', 200_000)).unwrap_err();
    assert!(is_disk_full(&error), "{error:?}");
    assert_eq!(saved(&dir), last);
    lock.save(&state('B', 6000)).unwrap();
    assert_eq!(saved(&dir), state('B', 6000));

    // No spare and no room.
    fs::remove_file(spare(&dir)).unwrap();
    fill(mount);
    let error = lock.save(&state('C', 6000)).unwrap_err();
    assert!(is_disk_full(&error), "{error:?}");
    assert_eq!(saved(&dir), state('B', 6000));

    // Removals make room.
    for entry in fs::read_dir(mount).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("filler")
        {
            fs::remove_file(path).unwrap();
        }
    }
    lock.save(&state('D', 6000)).unwrap();
    assert_eq!(saved(&dir), state('D', 6000));
}

#[test]
fn a_full_ext4_stops_no_save() {
    under(MOUNTS, "disk::a_full_ext4_stops_no_save", |scratch| {
        survives_a_full_disk(&mount_ext4(scratch));
    });
}

#[test]
fn a_full_tmpfs_stops_no_save() {
    under(MOUNTS, "disk::a_full_tmpfs_stops_no_save", |scratch| {
        survives_a_full_disk(&mount_tmpfs(scratch));
    });
}

#[test]
fn a_full_disk_has_room_for_a_first_rollback() {
    under(
        MOUNTS,
        "disk::a_full_disk_has_room_for_a_first_rollback",
        |scratch| {
            let mount = mount_ext4(scratch);
            let dir = StateDir::new(mount.join("state"));
            let mut lock = dir.lock().unwrap();
            lock.save(&state('a', 6000)).unwrap();
            fill(&mount);
            lock.save_rejected(&rejection('2')).unwrap();
            lock.save(&state('b', 6000)).unwrap();
            let expected = State {
                rejected: rejection('2'),
                ..state('b', 6000)
            };
            assert_eq!(saved(&dir), expected);
        },
    );
}

#[test]
fn a_read_only_disk_gives_no_lock_and_keeps_the_state() {
    under(
        MOUNTS,
        "disk::a_read_only_disk_gives_no_lock_and_keeps_the_state",
        |scratch| {
            let mount = mount_tmpfs(scratch);
            let dir = StateDir::new(mount.join("state"));
            dir.lock().unwrap().save(&state('a', 6000)).unwrap();
            run("mount", &["-o", "remount,ro", mount.to_str().unwrap()]);
            match dir.lock() {
                Err(LockError::Io(e)) => {
                    let kind = e.downcast_ref().map(io::Error::kind);
                    assert_eq!(kind, Some(io::ErrorKind::ReadOnlyFilesystem));
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(saved(&dir), state('a', 6000));
        },
    );
}

#[test]
fn a_directory_that_may_not_be_changed_keeps_the_state() {
    under(
        MOUNTS,
        "disk::a_directory_that_may_not_be_changed_keeps_the_state",
        |scratch| {
            let mount = mount_ext4(scratch);
            let dir = StateDir::new(mount.join("state"));
            let mut lock = dir.lock().unwrap();
            lock.save(&state('a', 6000)).unwrap();
            run("chattr", &["+i", dir.path().to_str().unwrap()]);
            let error = lock.save(&state('b', 6000)).unwrap_err();
            assert!(!is_disk_full(&error), "{error:?}");
            assert_eq!(saved(&dir), state('a', 6000));
            assert!(lock.set_aside("2026-11-22T23:18:00Z").is_err());
            assert_eq!(saved(&dir), state('a', 6000));
            run("chattr", &["-i", dir.path().to_str().unwrap()]);
            lock.save(&state('b', 6000)).unwrap();
            assert_eq!(saved(&dir), state('b', 6000));
        },
    );
}
