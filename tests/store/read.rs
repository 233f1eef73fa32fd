//! Reading: what is there, told apart; and nothing changed by looking.

use std::fs;
use std::os::unix::fs::chown;

use tagkeeper::store::{LoadError, StateDir, Store};

use crate::support::{FIXTURE_V2, run, stat, state, touched, under};

#[test]
fn no_file_and_no_directory_are_absent() {
    let temp = tempfile::tempdir().unwrap();
    for path in [temp.path().to_owned(), temp.path().join("a/b")] {
        assert_eq!(
            StateDir::new(&path).load().unwrap(),
            None,
            "{}",
            path.display()
        );
    }
    assert!(!temp.path().join("a").exists());
}

#[test]
fn a_newer_state_is_told_and_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    fs::write(dir.state_file(), r#"{"version":9,"novelty":true}"#).unwrap();
    let before = (touched(temp.path()), touched(dir.state_file()));
    assert!(matches!(
        dir.load(),
        Err(LoadError::Newer { version: 9, .. })
    ));
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
            fs::write(dir.state_file(), FIXTURE_V2).unwrap();
            run("chmod", &["600", dir.state_file().to_str().unwrap()]);
            chown(dir.state_file(), Some(1234), None).unwrap();
            match dir.load() {
                Err(LoadError::Io { error, .. }) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
                }
                other => panic!("{other:?}"),
            }
            assert!(stat(dir.state_file()).is_file());
        },
    );
}
