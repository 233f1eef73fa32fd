//! Files that are damaged, that are no files, and disks that fail: told apart, and nothing lost by
//! it.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use tagkeeper::store::{LoadError, StateDir, Store};
use tagkeeper_core::model::State;

use crate::support::{
    FIXTURE_V2, WALL, everything, lock_again, rejection, run, saved, state, under,
};

fn corrupt(dir: &StateDir) -> String {
    match dir.load() {
        Err(LoadError::Corrupt { why }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_is_no_state_is_corrupt_and_says_why() {
    let rest = r#""clock":{"clock_ms":1,"monotonic_ms":1},"workloads":{}"#;
    let table = [
        ("EOF", String::new()),
        ("expected value", "\0\0\0\0".to_owned()),
        ("its checksum is crc32:", FIXTURE_V2[..900].to_owned()),
        ("expected value", "version = 2".to_owned()),
        ("invalid length", "[]".to_owned()),
        ("missing field `version`", format!("{{{rest}}}")),
        ("invalid type", format!(r#"{{"version":"1",{rest}}}"#)),
        ("invalid value", format!(r#"{{"version":-1,{rest}}}"#)),
        ("format version 0", format!(r#"{{"version":0,{rest}}}"#)),
        ("no checksum", format!(r#"{{"version":2,{rest}}}"#)),
        (
            "no checksum",
            format!("{{\n  \"version\": 2,\n  {rest}\n}}\n"),
        ),
    ];
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    for (expected, text) in table {
        fs::write(dir.state_file(), &text).unwrap();
        let why = corrupt(&dir);
        assert!(why.contains(expected), "{text}: {why}");
    }
    fs::write(dir.state_file(), b"{\"version\":2,\xff}").unwrap();
    assert!(corrupt(&dir).contains("not UTF-8"));
    let file = fs::File::create(dir.state_file()).unwrap();
    file.set_len((64 << 20) + 1).unwrap();
    assert_eq!(corrupt(&dir), "larger than 64 MiB");
}

/// JSON is as good with another digit as with the right one.
#[test]
fn a_digit_that_changes_is_set_aside_and_a_fresh_start_follows() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    let at = FIXTURE_V2.find("\"restarts\": 1").unwrap();
    for damaged in [
        FIXTURE_V2.replacen("\"restarts\": 1", "\"restarts\": 2", 1),
        FIXTURE_V2.replacen("\"promoting\": true", "\"promoting\": null", 1),
        // The number of the first format, which had no checksum.
        FIXTURE_V2.replacen("\"version\": 2", "\"version\": 1", 1),
        FIXTURE_V2[..at].to_owned(),
    ] {
        fs::write(dir.state_file(), &damaged).unwrap();
        corrupt(&dir);
        let mut lock = lock_again(&dir);
        assert!(matches!(lock.load(), Err(LoadError::Corrupt { .. })));
        let kept = lock.set_aside(WALL).unwrap();
        assert_eq!(fs::read_to_string(kept).unwrap(), damaged);
        assert_eq!(lock.load().unwrap(), None);
    }
}

/// Field case 69: what a person rejected outlives the state.
#[test]
fn a_state_of_junk_costs_no_rejection() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    let mut lock = dir.lock().unwrap();
    lock.save(&state('a', 600)).unwrap();
    lock.save_rejected(&rejection('2')).unwrap();
    fs::write(dir.state_file(), "junk").unwrap();
    assert!(matches!(lock.load(), Err(LoadError::Corrupt { .. })));
    lock.set_aside(WALL).unwrap();
    let expected = State {
        rejected: rejection('2'),
        ..State::default()
    };
    assert_eq!(lock.load().unwrap(), Some(expected.clone()));
    lock.save(&expected).unwrap();
    assert_eq!(saved(&dir).rejected, rejection('2'));
}

/// Field case 83: no hang, nothing behind it opened, nothing moved.
#[test]
fn what_is_no_regular_file_is_neither_opened_nor_moved() {
    type Make = fn(&Path);
    let table: &[(&str, Make)] = &[
        ("a directory", |path| fs::create_dir(path).unwrap()),
        ("a named pipe", |path| {
            run("mkfifo", &[path.to_str().unwrap()]);
        }),
        ("a symbolic link", |path| symlink("target", path).unwrap()),
        ("a symbolic link", |path| {
            symlink(path.file_name().unwrap(), path).unwrap();
        }),
        ("a socket", |path| drop(UnixListener::bind(path).unwrap())),
        ("a device", |path| {
            run("mknod", &[path.to_str().unwrap(), "c", "1", "3"]);
        }),
    ];
    for name in ["state.json", "rejected.json"] {
        for (expected, make) in table {
            let temp = tempfile::tempdir().unwrap();
            let dir = StateDir::new(temp.path());
            let mut lock = dir.lock().unwrap();
            fs::write(temp.path().join("target"), FIXTURE_V2).unwrap();
            make(&temp.path().join(name));
            let before = everything(temp.path());
            for loaded in [dir.load(), lock.load()] {
                match loaded {
                    Err(error @ LoadError::NotRegular { .. }) => {
                        let told = error.to_string();
                        let path = temp.path().join(name);
                        assert_eq!(
                            told,
                            format!("failed to read '{}': it is {expected}", path.display())
                        );
                        assert!(error.help().unwrap().starts_with("move '"));
                    }
                    other => panic!("{name}, {expected}: {other:?}"),
                }
            }
            assert!(lock.save(&state('a', 600)).is_err(), "{name}, {expected}");
            assert!(lock.save_rejected(&rejection('2')).is_err());
            assert_eq!(everything(temp.path()), before, "{name}, {expected}");
        }
    }
}

/// Runs a test where every read of a file in the state directory fails in the way that is given to
/// strace.
fn with_failing_reads(name: &str, file: &str, when: &str, test: fn(&StateDir)) {
    let strace = format!(
        r#"exec strace -f -qq -o /dev/null -P "$TAGKEEPER_TEST_SCRATCH/dir/{file}" -e trace=read,readv,pread64 -e inject=read,readv,pread64:error=EIO:when={when} "$0" "$@""#
    );
    // Made by the process outside, whose reads do not fail.
    under(
        &[
            "sh",
            "-c",
            &format!(r#"mkdir -p "$TAGKEEPER_TEST_SCRATCH/dir"; {strace}"#),
        ],
        name,
        |scratch| {
            let dir = StateDir::new(scratch.join("dir"));
            fs::write(dir.state_file(), FIXTURE_V2).unwrap();
            test(&dir);
        },
    );
}

/// Field case 70.
#[test]
fn one_read_that_fails_costs_nothing() {
    let name = "damage::one_read_that_fails_costs_nothing";
    with_failing_reads(name, "state.json", "1..2", |dir| {
        assert!(fs::read(dir.state_file()).is_err(), "the injection works");
        assert!(matches!(dir.load(), Ok(Some(_))));
    });
}

#[test]
fn a_disk_that_does_not_read_is_no_damage() {
    let name = "damage::a_disk_that_does_not_read_is_no_damage";
    with_failing_reads(name, "state.json", "1+", |dir| {
        let mut lock = dir.lock().unwrap();
        for loaded in [dir.load(), lock.load()] {
            match loaded {
                Err(LoadError::Io { error, .. }) => {
                    assert_eq!(error.raw_os_error(), Some(5), "{error}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(lock.save(&state('a', 600)).is_err());
        let names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 2, "lock and state.json: {names:?}");
    });
}
