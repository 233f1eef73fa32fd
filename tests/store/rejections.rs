//! `rejected.json`: what a person said. No fault of anything else loses it, and nothing is done
//! without it.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

use tagkeeper::store::{LoadError, StateDir, Store};
use tagkeeper_core::model::{State, WorkloadName};

use crate::support::{
    FIXTURE_REJECTED, FIXTURE_V1, assert_refused, everything, image, json, lock_again, proven,
    rejection, saved, stat, state, telemetry, touched, under,
};

#[test]
fn rejections_are_loaded_into_the_state() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    let mut lock = dir.lock().unwrap();
    lock.save(&state('a', 600)).unwrap();
    for rejected in [rejection('2'), rejection('3'), [].into()] {
        lock.save_rejected(&rejected).unwrap();
        let expected = State {
            rejected,
            ..state('a', 600)
        };
        assert_eq!(saved(&dir), expected);
        assert_eq!(lock.load().unwrap(), Some(expected));
    }
}

#[test]
fn no_pass_writes_them() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    let mut lock = dir.lock().unwrap();
    lock.save_rejected(&rejection('2')).unwrap();
    let before = touched(dir.rejected_file());
    for rejected in [rejection('2'), [].into(), rejection('5')] {
        let mut state = state('a', 600);
        state.rejected = rejected;
        lock.save(&state).unwrap();
    }
    assert_eq!(touched(dir.rejected_file()), before);
    assert_eq!(saved(&dir).rejected, rejection('2'));
    assert!(json(dir.state_file()).get("rejected").is_none());
}

/// It holds a person's word: without it a rejected version would be promoted a soak later.
#[test]
fn corrupt_rejections_fail_the_pass_and_stay_where_they_are() {
    for content in [
        "",
        "junk",
        "{}",
        r#"{"version":1,"rejected":{}}"#,
        &FIXTURE_REJECTED.replacen("v5", "v6", 1),
        &FIXTURE_REJECTED[..FIXTURE_REJECTED.len() / 2],
    ] {
        for state_file in [None, Some("valid"), Some("junk")] {
            let temp = tempfile::tempdir().unwrap();
            let dir = StateDir::new(temp.path());
            let mut lock = dir.lock().unwrap();
            match state_file {
                Some("valid") => lock.save(&state('a', 600)).unwrap(),
                Some(junk) => fs::write(dir.state_file(), junk).unwrap(),
                None => {}
            }
            fs::write(dir.rejected_file(), content).unwrap();
            let before = everything(temp.path());
            for loaded in [dir.load(), lock.load()] {
                match loaded {
                    Err(error @ LoadError::Rejections { .. }) => {
                        let path = dir.rejected_file();
                        let start = format!("failed to read '{}': ", path.display());
                        assert!(error.to_string().starts_with(&start), "{error}");
                        assert!(error.help().is_some());
                    }
                    other => panic!("{state_file:?} {content}: {other:?}"),
                }
            }
            let unread = |done: anyhow::Result<()>| done.unwrap_err().is::<LoadError>();
            assert!(unread(lock.save(&state('b', 600))));
            assert!(unread(lock.save_rejected(&rejection('2'))));
            assert_eq!(everything(temp.path()), before);
        }
    }
}

#[test]
fn newer_rejections_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    fs::write(dir.rejected_file(), r#"{"version":2,"new":true}"#).unwrap();
    match dir.load() {
        Err(LoadError::Newer {
            path,
            version: 2,
            known: 1,
        }) => assert_eq!(path, dir.rejected_file()),
        other => panic!("{other:?}"),
    }
}

/// `rollback` saves the rejection first. Killed before it saved the state, it has still rejected.
#[test]
fn a_rejection_wins_over_the_lineage_that_was_saved_before() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    let mut lock = dir.lock().unwrap();
    let mut state = state('a', 600);
    let memory = &mut state.workloads.get_mut(&telemetry()).unwrap().memory;
    memory.lineage = vec![proven('2'), proven('1')];
    lock.save(&state).unwrap();
    lock.save_rejected(&rejection('2')).unwrap();
    drop(lock);

    let loaded = saved(&dir);
    assert_eq!(loaded.workloads[&telemetry()].memory.lineage, [proven('1')]);
    let rejected = &loaded.rejected[&telemetry()][&image('2')];
    assert_eq!(rejected.proven, Some(proven('2')), "for `accept`");
    let mut lock = lock_again(&dir);
    lock.load().unwrap();
    let dropped: Vec<_> = lock.dropped().iter().map(|d| d.image.clone()).collect();
    assert_eq!(dropped, [image('2')]);
    assert!(lock.is_outdated());
    // And what contradicts a rejection that the caller knows of is a bug.
    state.rejected = rejection('2');
    assert_refused(&lock.save(&state).unwrap_err());
}

#[test]
fn their_files_are_the_directorys_owners_and_exchanged() {
    let wrapper = ["sh", "-c", r#"umask 077; exec "$0" "$@""#];
    let name = "rejections::their_files_are_the_directorys_owners_and_exchanged";
    under(&wrapper, name, |scratch| {
        let dir = StateDir::new(scratch);
        chown(scratch, Some(1234), Some(1235)).unwrap();
        let mut lock = dir.lock().unwrap();
        let mut inodes = Vec::new();
        for digit in ['1', '2', '3'] {
            lock.save_rejected(&rejection(digit)).unwrap();
            for path in [dir.rejected_file(), scratch.join("rejected.json.spare")] {
                let meta = stat(path);
                let is = (meta.uid(), meta.gid(), meta.mode() & 0o7777);
                assert_eq!(is, (1234, 1235, 0o644), "{digit}");
            }
            inodes.push(stat(dir.rejected_file()).ino());
        }
        assert_ne!(inodes[0], inodes[1]);
        assert_eq!(inodes[0], inodes[2]);
    });
}

#[test]
fn a_rejection_is_synced_before_and_after_its_exchange() {
    let calls = "pwrite64,write,rename,renameat,renameat2,fsync,fdatasync";
    let strace = format!(
        r#"exec strace -f -y -e trace={calls} -o "$TAGKEEPER_TEST_SCRATCH/trace" "$0" "$@""#
    );
    let name = "rejections::a_rejection_is_synced_before_and_after_its_exchange";
    let scratch = under(&["sh", "-c", &strace], name, |scratch| {
        let mut lock = StateDir::new(scratch.join("dir")).lock().unwrap();
        lock.save_rejected(&rejection('1')).unwrap();
        lock.save_rejected(&rejection('2')).unwrap();
    });
    let Some(scratch) = scratch else { return };
    let trace = fs::read_to_string(scratch.path().join("trace")).unwrap();
    let steps: Vec<_> = trace
        .lines()
        .filter(|line| line.contains("/dir"))
        .filter_map(|line| line.split_once('(')?.0.rsplit(' ').next())
        .collect();
    let expected = ["pwrite64", "fsync", "renameat2", "fsync"];
    assert!(steps.ends_with(&expected), "{trace}");
}

/// A state of edition 1 with its rejections: `v5` of telemetry, and `v8` of a workload that has
/// left the policy.
fn edition_1() -> (tempfile::TempDir, StateDir) {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    fs::write(dir.state_file(), FIXTURE_V1).unwrap();
    (temp, dir)
}

fn names_of_edition_1(state: &State) -> Vec<(WorkloadName, String)> {
    let all = state.rejected.iter();
    all.flat_map(|(name, images)| {
        let versions = images.values().map(|r| r.version.as_str().to_owned());
        versions.map(|version| (name.clone(), version))
    })
    .collect()
}

fn both() -> Vec<(WorkloadName, String)> {
    vec![
        (WorkloadName::new("departed"), "v8".to_owned()),
        (telemetry(), "v5".to_owned()),
    ]
}

#[test]
fn rejections_of_edition_1_hold_and_are_carried_over_once() {
    let (_temp, dir) = edition_1();
    let loaded = saved(&dir);
    assert_eq!(names_of_edition_1(&loaded), both());
    assert!(!dir.rejected_file().exists(), "reading writes nothing");

    let mut lock = dir.lock().unwrap();
    lock.load().unwrap();
    // As they were loaded, whatever the state of the caller says.
    let mut forgetful = loaded.clone();
    forgetful.rejected.clear();
    lock.save(&forgetful).unwrap();
    assert_eq!(json(dir.state_file())["version"], 2);
    assert_eq!(names_of_edition_1(&saved(&dir)), both());
    let before = touched(dir.rejected_file());
    lock.save(&forgetful).unwrap();
    assert_eq!(touched(dir.rejected_file()), before, "once");
}

/// The order of the two files: a kill in between must leave the rejections in one of them at least.
#[test]
fn rejections_of_edition_1_are_written_before_its_state_is_replaced() {
    let strace =
        r#"exec strace -f -y -e trace=renameat2 -o "$TAGKEEPER_TEST_SCRATCH/trace" "$0" "$@""#;
    let name = "rejections::rejections_of_edition_1_are_written_before_its_state_is_replaced";
    let scratch = under(&["sh", "-c", strace], name, |scratch| {
        let dir = StateDir::new(scratch);
        fs::write(dir.state_file(), FIXTURE_V1).unwrap();
        let mut lock = dir.lock().unwrap();
        let Some(state) = lock.load().unwrap() else {
            panic!("no state")
        };
        lock.save(&state).unwrap();
    });
    let Some(scratch) = scratch else { return };
    let trace = fs::read_to_string(scratch.path().join("trace")).unwrap();
    let at = |name: &str| trace.find(&format!("\"{name}\", RENAME_EXCHANGE"));
    assert!(at("rejected.json").is_some(), "{trace}");
    assert!(at("rejected.json") < at("state.json"), "{trace}");
}

/// Killed between the two files: both say the same, and the next load goes on.
#[test]
fn a_carry_over_that_was_cut_short_goes_on() {
    let (temp, dir) = edition_1();
    let mut lock = dir.lock().unwrap();
    let Some(state) = lock.load().unwrap() else {
        panic!("no state")
    };
    lock.save(&state).unwrap();
    fs::write(dir.state_file(), FIXTURE_V1).unwrap();
    let before = touched(dir.rejected_file());
    lock.load().unwrap();
    assert_eq!(names_of_edition_1(&saved(&dir)), both());
    lock.save(&state).unwrap();
    assert_eq!(touched(dir.rejected_file()), before, "it says it already");
    assert!(temp.path().join("state.json").exists());
}

/// What `accept` lifts must not be found in the state of edition 1 again.
#[test]
fn an_accept_over_a_state_of_edition_1_is_not_undone() {
    let (_temp, dir) = edition_1();
    let mut lock = dir.lock().unwrap();
    let Some(mut state) = lock.load().unwrap() else {
        panic!("no state")
    };
    state.rejected.remove(&telemetry());
    lock.save_rejected(&state.rejected).unwrap();
    drop(lock);
    assert_eq!(names_of_edition_1(&saved(&dir)), both()[..1]);
    assert_eq!(json(dir.state_file())["version"], 2);
    // All else was carried over.
    assert_eq!(saved(&dir).workloads, state.workloads);
}

/// The first thing that happens after the upgrade is a `rollback` of the head.
#[test]
fn a_rollback_over_a_state_of_edition_1_rejects_the_head() {
    let (_temp, dir) = edition_1();
    let mut lock = dir.lock().unwrap();
    let Some(mut state) = lock.load().unwrap() else {
        panic!("no state")
    };
    let head = state.workloads[&telemetry()].memory.lineage[0].clone();
    let mut said = rejection('2');
    assert_eq!(head.image, image('2'));
    let more = said.remove(&telemetry()).unwrap();
    state.rejected.get_mut(&telemetry()).unwrap().extend(more);
    lock.save_rejected(&state.rejected).unwrap();
    let loaded = saved(&dir);
    assert_eq!(loaded.rejected[&telemetry()].len(), 2);
    let lineage = &loaded.workloads[&telemetry()].memory.lineage;
    assert!(lineage.iter().all(|proven| proven.image != head.image));
}
