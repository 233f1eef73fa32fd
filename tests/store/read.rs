//! Reading: what is there, told apart; and nothing changed by looking.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use tagkeeper::state::{LoadError, Loaded, StateDir};

use crate::support::{FIXTURE, run, saved, stat, state, touched, under};

fn corrupt(dir: &StateDir) -> String {
    match dir.load() {
        Err(LoadError::Corrupt { why }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_pinned_format_loads_and_saves_identically() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    fs::write(dir.state_file(), FIXTURE).unwrap();
    let state = saved(&dir);
    fs::remove_file(dir.state_file()).unwrap();
    dir.lock().unwrap().save(&state).unwrap();
    assert_eq!(fs::read_to_string(dir.state_file()).unwrap(), FIXTURE);
    assert_eq!(saved(&dir), state);
}

#[test]
fn no_file_and_no_directory_are_absent() {
    let temp = tempfile::tempdir().unwrap();
    for path in [temp.path().to_owned(), temp.path().join("a/b")] {
        assert_eq!(
            StateDir::new(&path).load().unwrap(),
            Loaded::Absent,
            "{}",
            path.display()
        );
    }
    assert!(!temp.path().join("a").exists());
}

#[test]
fn what_is_no_file_of_a_state_is_corrupt() {
    type Make = fn(&Path);
    let table: &[(&str, Make)] = &[
        ("not a regular file", |path| fs::create_dir(path).unwrap()),
        ("not a regular file", |path| {
            run("mkfifo", &[path.to_str().unwrap()]);
        }),
        ("cannot be read", |path| {
            symlink("state.json", path).unwrap();
        }),
        ("larger than 64 MiB", |path| {
            fs::File::create(path)
                .unwrap()
                .set_len((64 << 20) + 1)
                .unwrap();
        }),
        ("EOF", |path| fs::write(path, "").unwrap()),
    ];
    for (expected, make) in table {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::new(temp.path());
        make(&dir.state_file());
        let why = corrupt(&dir);
        assert!(why.contains(expected), "{expected}: {why}");
    }
}

#[test]
fn a_newer_state_is_told_and_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    fs::write(dir.state_file(), r#"{"version":9,"novelty":true}"#).unwrap();
    let before = (touched(temp.path()), touched(dir.state_file()));
    assert!(matches!(dir.load(), Err(LoadError::Newer { version: 9 })));
    assert_eq!((touched(temp.path()), touched(dir.state_file())), before);
}

#[test]
fn reading_changes_nothing_and_needs_no_lock() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    let mut lock = dir.lock().unwrap();
    lock.save(&state('a', 1000)).unwrap();
    for content in [None, Some("damaged")] {
        if let Some(content) = content {
            fs::write(dir.state_file(), content).unwrap();
        }
        let before = (touched(temp.path()), touched(dir.state_file()));
        assert_eq!(dir.load().is_ok(), content.is_none());
        assert_eq!((touched(temp.path()), touched(dir.state_file())), before);
    }
}

#[test]
fn a_file_that_may_not_be_read_is_no_damage() {
    // Root, but without the right to read what is another's.
    let wrapper = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    under(
        &wrapper,
        "read::a_file_that_may_not_be_read_is_no_damage",
        |scratch| {
            let dir = StateDir::new(scratch);
            fs::write(dir.state_file(), FIXTURE).unwrap();
            run("chmod", &["600", dir.state_file().to_str().unwrap()]);
            chown(dir.state_file(), Some(1234), None).unwrap();
            match dir.load() {
                Err(LoadError::Io(e)) => {
                    assert_eq!(e.io_error().kind(), std::io::ErrorKind::PermissionDenied);
                }
                other => panic!("{other:?}"),
            }
            assert!(stat(dir.state_file()).is_file());
        },
    );
}
