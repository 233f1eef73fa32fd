//! Every format that was ever released can be read, for ever: a fixture of each, and what it says.
//!
//! A fixture is never changed once a release has written its format.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use tagkeeper::store::{StateDir, Store, state_document};
use tagkeeper_core::model::{
    Clock, ContainerId, Counters, End, EndedBy, Event, EventKind, Failure, ImageHistory,
    ImageRecord, ImageRecords, Incarnation, LineageEntry, Memory, Moment, NoFallback, Outcome,
    Pending, Reference, RefusedRemoval, Rejected, Removed, RemovedBy, Replaced, Repository,
    RetiredBy, State, Stopped, Undelivered, Version, WorkloadName, WorkloadState,
};

use crate::support::{
    FIXTURE_REJECTED, FIXTURE_V1, FIXTURE_V1_HISTORY, FIXTURE_V2, image, lock_again, saved,
    telemetry,
};

fn moment(clock_ms: u64, at: &str) -> Moment {
    Moment {
        clock_ms,
        at: at.to_owned(),
    }
}

fn entry(version: &str, digit: char, rolled_out: bool, promoted_at: Option<&str>) -> LineageEntry {
    LineageEntry {
        version: Version::new(version),
        image: image(digit),
        rolled_out,
        promoted_at: promoted_at.map(str::to_owned),
    }
}

fn container(first: char, digit: char) -> ContainerId {
    ContainerId::new(format!("{first}{}", digit.to_string().repeat(63)))
}

fn record(first_seen_ms: u64) -> ImageRecord {
    ImageRecord {
        first_seen_ms,
        idle_since_ms: None,
        inherited: false,
        rolled_out: false,
        times_pending: 0,
        rejected_by: None,
    }
}

fn pending_of_v1() -> Pending {
    Pending {
        version: Version::new("v3"),
        image: image('3'),
        members: vec![Incarnation {
            id: container('c', '3'),
            name: "k8s_telemetry_telemetry-4xk2p_sonic_0".to_owned(),
            started_at: "2026-11-22T23:10:00.123456789Z".to_owned(),
        }],
        ended: BTreeMap::new(),
        orchestrated: true,
        began: moment(89_700_000, "2026-11-22T23:10:30Z"),
        pass_ms: 89_700_000,
        soaking_since_ms: Some(89_760_000),
        restarts: 1,
        soaked: false,
        promoting: true,
        own_end: None,
        provisional_fallback: Some(entry("v0", '0', false, None)),
    }
}

fn images_of_v1() -> ImageRecords {
    let inherited = ImageRecord {
        inherited: true,
        ..record(60_000)
    };
    let head = ImageRecord {
        rolled_out: true,
        ..record(60_000)
    };
    let candidate = ImageRecord {
        times_pending: 2,
        ..record(89_640_000)
    };
    let idle = ImageRecord {
        idle_since_ms: Some(180_000),
        ..record(120_000)
    };
    let records = [('1', inherited), ('2', head), ('3', candidate), ('4', idle)];
    let records = records.into_iter();
    records.map(|(d, record)| (image(d), record)).collect()
}

fn failures_of_v1() -> Vec<Failure> {
    let failure = |version: &str, digit, outcome, own_end, ended_by, up_secs| Failure {
        version: Version::new(version),
        image: image(digit),
        outcome,
        attempts: 4,
        own_end,
        ended_by,
        up_secs,
        ended_ms: 0,
        at: "2026-11-22T12:00:00Z".to_owned(),
    };
    let end = End {
        exit_code: Some(1),
        ran_secs: 31,
    };
    vec![
        failure("v6", '6', Outcome::Failed, Some(end), EndedBy::Stopped, 31),
        failure("v7", '7', Outcome::Withdrawn, None, EndedBy::NotAlone, 40),
    ]
}

fn history_of_v1() -> ImageHistory {
    ImageHistory {
        image: image('6'),
        version: Version::new("v6"),
        names: Vec::new(),
        first_seen_at: Some("2026-11-22T09:00:00Z".to_owned()),
        promoted_at: Some("2026-11-22T09:10:00Z".to_owned()),
        replaced: Some(Replaced {
            by: Version::new("v2"),
            at: "2026-11-22T10:00:00Z".to_owned(),
        }),
        retired: Some(RetiredBy {
            by: Some(Version::new("v2")),
            at: "2026-11-22T10:00:00Z".to_owned(),
        }),
        removed: Some(Removed {
            why: RemovedBy::Other,
            at: "2026-11-22T10:01:00Z".to_owned(),
        }),
    }
}

/// What both fixtures say of `telemetry`, as far as format 1 had a place for it.
fn telemetry_of_v1() -> WorkloadState {
    let parse = |name: &str| Repository::parse(name).unwrap();
    WorkloadState {
        since: Some(moment(60_000, "2026-11-21T22:18:00Z")),
        left_ms: None,
        held_since_ms: Some(89_900_000),
        held_at: None,
        rejected_serves: None,
        repositories: BTreeSet::from([
            parse("docker-sonic-telemetry"),
            parse("registry.example:5000/docker-sonic-telemetry"),
        ]),
        memory: Memory {
            lineage: vec![
                entry("v2", '2', true, Some("2026-11-22T10:00:00Z")),
                entry("v1", '1', false, None),
            ],
            // When that was, format 1 did not say: all that failed before is settled.
            promoted_ms: Some(90_000_000),
            pending: Some(pending_of_v1()),
            retired: BTreeSet::from([image('4')]),
            images: images_of_v1(),
            dry_runs: BTreeSet::from([container('d', '1')]),
            ..Memory::default()
        },
        parked: None,
        failures: failures_of_v1(),
        history: vec![history_of_v1()],
        counters: Counters {
            promotions: 2,
            failures: 3,
            restarts: 4,
            rollbacks: 5,
            removals: 6,
            reclaimed_bytes: 7_000_000_000,
        },
    }
}

fn clock() -> Clock {
    Clock {
        clock_ms: 90_000_000,
        monotonic_ms: 3_600_000,
    }
}

fn departed() -> WorkloadState {
    WorkloadState {
        left_ms: Some(90_000_000),
        memory: Memory {
            lineage: vec![entry("v9", '9', true, Some("2026-11-01T08:00:00Z"))],
            promoted_ms: Some(90_000_000),
            ..Memory::default()
        },
        ..WorkloadState::default()
    }
}

fn rejected(version: &str, at: &str) -> Rejected {
    Rejected {
        version: Version::new(version),
        at: at.to_owned(),
        digests: BTreeSet::new(),
        proven: None,
    }
}

#[test]
fn format_1_is_carried_over() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    fs::write(dir.state_file(), FIXTURE_V1_HISTORY).unwrap();
    let mut loaded = saved(&dir);
    let unready = loaded.workloads.remove(&WorkloadName::new("unready"));
    let expected = State {
        clock: clock(),
        workloads: [
            (WorkloadName::new("departed"), departed()),
            (telemetry(), telemetry_of_v1()),
        ]
        .into(),
        rejected: [
            (
                WorkloadName::new("departed"),
                [(image('8'), rejected("v8", "2026-11-02T08:00:00Z"))].into(),
            ),
            (
                telemetry(),
                [(image('5'), rejected("v5", "2026-11-22T11:00:00Z"))].into(),
            ),
        ]
        .into(),
        ..State::default()
    };
    assert_eq!(loaded, expected);
    let pending = unready.unwrap().memory.pending.unwrap();
    assert_eq!(pending.soaking_since_ms, None);
    assert!(!pending.promoting && !pending.orchestrated);
    // The first one that was pinned had no history.
    fs::write(dir.state_file(), FIXTURE_V1).unwrap();
    let first = saved(&dir).workloads.remove(&telemetry()).unwrap();
    assert_eq!(first.failures, telemetry_of_v1().failures[..1]);
    assert_eq!(first.history, []);
}

/// Edition 1 had a sentence for what ended an upgrade.
#[test]
fn what_ended_an_upgrade_is_carried_over() {
    for (reason, ended_by) in [
        ("removed", EndedBy::Removed),
        ("replaced", EndedBy::Replaced),
        ("several images at once", EndedBy::NotAlone),
        ("paused", EndedBy::Stopped),
    ] {
        let text = FIXTURE_V1_HISTORY.replace("several images at once", reason);
        let state = tagkeeper::store::parse_state(text.as_bytes()).unwrap();
        let withdrawn = &state.workloads[&telemetry()].failures[1];
        assert_eq!(withdrawn.outcome, Outcome::Withdrawn, "{reason}");
        assert_eq!(withdrawn.ended_by, ended_by, "{reason}");
    }
}

#[test]
fn what_was_carried_over_is_the_same_after_a_save() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    fs::write(dir.state_file(), FIXTURE_V1_HISTORY).unwrap();
    let mut lock = dir.lock().unwrap();
    let Some(mut state) = lock.load().unwrap() else {
        panic!("no state")
    };
    assert!(lock.is_outdated());
    lock.save(&state).unwrap();
    assert!(!lock.is_outdated());
    let again = saved(&dir);
    assert_eq!(again.instance.len(), 16);
    state.instance.clone_from(&again.instance);
    assert_eq!(again, state);
    // And nothing of format 1 is taken for a field of a later version.
    let written = fs::read(dir.state_file()).unwrap();
    assert_eq!(written, state_document(&state).unwrap());
}

/// Format 1 had no field that edition 1 did not know, and no checksum: an unknown one is damage.
#[test]
fn one_wrong_thing_in_format_1_makes_it_corrupt() {
    let table = [
        ("\"lineage\"", "\"linage\"", "unknown field `linage`"),
        (
            "\"first_seen_ms\"",
            "\"seen_ms\"",
            "unknown field `seen_ms`",
        ),
        ("\"soaked\": true", "\"soaked\": 1", "invalid type"),
        ("\"restarts\": 1", "\"restarts\": -1", "invalid value"),
        ("\"docker-sonic-telemetry\"", "\"UPPER\"", "upper-case"),
        (
            "\"clock_ms\": 90000000",
            "\"clock_ms\": 1",
            "ahead of the clock",
        ),
        (
            "\"version\": 1",
            "\"x\": 1, \"version\": 1",
            "unknown field `x`",
        ),
    ];
    for (good, bad, expected) in table {
        let text = FIXTURE_V1.replacen(good, bad, 1);
        let why = tagkeeper::store::parse_state(text.as_bytes()).unwrap_err();
        assert!(why.to_string().contains(expected), "{bad}: {why}");
    }
}

/// One event of each kind that a hook can be notified of.
fn undelivered() -> Vec<Undelivered> {
    let (version, image) = (Version::new("v3"), image('3'));
    let kinds = [
        EventKind::Promoted {
            version: version.clone(),
            image: image.clone(),
            up_ms: 600_000,
            replaced: Some(Version::new("v2")),
            fallback: None,
        },
        EventKind::Ended {
            version: version.clone(),
            image: image.clone(),
            outcome: Outcome::Failed,
            own_end: None,
            ended_by: EndedBy::Removed,
            up_secs: 4,
        },
        EventKind::RolledBack {
            version,
            image,
            to: Some(Version::new("v2")),
        },
    ];
    let wait = |kind| Undelivered {
        id: "00112233445566778899aabbccddeeff".to_owned(),
        since: Moment {
            clock_ms: 89_000_000,
            at: "2026-11-22T23:00:00Z".to_owned(),
        },
        attempts: 2,
        retry_ms: 90_120_000,
        event: Event {
            workload: telemetry(),
            kind,
        },
    };
    kinds.into_iter().map(wait).collect()
}

/// What the memory of a workload has a place for beside what a state of edition 1 says.
fn fill(memory: &mut Memory) {
    memory.first_look_ms = Some(60_000);
    memory.promoted_ms = Some(70_000_000);
    memory.latest_in_doubt = true;
    memory.spent = BTreeSet::from([container('e', '4')]);
    let created_from = Reference::parse("docker-sonic-telemetry:v2").ok();
    memory.created_from = [(container('e', '2'), created_from)].into();
    let idle = ImageRecord {
        idle_since_ms: Some(180_000),
        rejected_by: Some("v0".to_owned()),
        ..record(120_000)
    };
    memory.images.insert(image('4'), idle);
    memory.no_fallback = Some(NoFallback::Struck);
    let stopped = Stopped {
        started_at: "2026-11-22T22:00:00Z".to_owned(),
        since_ms: 89_000_000,
    };
    memory.stopped = [(container('e', '2'), stopped)].into();
    let refused = RefusedRemoval {
        reason: "conflict: unable to remove repository reference".to_owned(),
        times: 3,
        retry_ms: 90_240_000,
        at: "2026-11-22T23:00:00Z".to_owned(),
    };
    memory.refused = [("docker-sonic-telemetry:v0".to_owned(), refused)].into();
    let pending = memory.pending.as_mut().unwrap();
    pending.ended = BTreeMap::from([(container('e', '3'), String::new())]);
    pending.pass_ms = 89_699_000;
    pending.soaked = true;
    pending.own_end = Some(End {
        exit_code: None,
        ran_secs: 12,
    });
}

/// Everything filled in that the state has a place for.
fn full() -> State {
    let mut departed = departed();
    departed.memory.promoted_ms = None;
    let mut workload = telemetry_of_v1();
    workload.parked = Some(Box::new(Memory {
        lineage: vec![entry("v0", '0', true, None)],
        promoted_ms: Some(60_000),
        ..Memory::default()
    }));
    workload.held_at = Some("2026-11-22T23:15:00Z".to_owned());
    workload.rejected_serves = Some(image('5'));
    workload.failures[0].ended_ms = 80_000_000;
    workload.failures[1].outcome = Outcome::Superseded;
    workload.failures[1].ended_by = EndedBy::Stopped;
    fill(&mut workload.memory);
    State {
        instance: "0123456789abcdef".to_owned(),
        clock: clock(),
        holds: [("telemetry for 3600000ms maintenance".to_owned(), 89_900_000)].into(),
        workloads: [
            (WorkloadName::new("departed"), departed),
            (telemetry(), workload),
        ]
        .into(),
        undelivered: undelivered(),
        rejected: [(
            telemetry(),
            [(
                image('5'),
                Rejected {
                    digests: BTreeSet::new(),
                    proven: Some(entry("v5", '5', true, Some("2026-11-22T10:30:00Z"))),
                    ..rejected("v5", "2026-11-22T11:00:00Z")
                },
            )]
            .into(),
        )]
        .into(),
    }
}

#[test]
fn format_2_says_what_it_said_and_is_written_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path());
    fs::write(dir.state_file(), FIXTURE_V2).unwrap();
    fs::write(dir.rejected_file(), FIXTURE_REJECTED).unwrap();
    assert_eq!(saved(&dir), full());

    let fresh = StateDir::new(temp.path().join("fresh"));
    let mut lock = lock_again(&fresh);
    lock.save_rejected(&full().rejected).unwrap();
    lock.save(&full()).unwrap();
    let read = |path| fs::read_to_string(path).unwrap();
    assert_eq!(read(fresh.state_file()), FIXTURE_V2);
    assert_eq!(read(fresh.rejected_file()), FIXTURE_REJECTED);
    assert_eq!(state_document(&full()).unwrap(), FIXTURE_V2.as_bytes());
}
