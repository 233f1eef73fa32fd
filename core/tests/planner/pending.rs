//! The pending upgrade (design 4.3): it begins, starts again, and is asked whether it is ready.

use tagkeeper_core::model::{
    ContainerId, ContainerState, EndedBy, Health, Incarnation, Moment, Note, Outcome, Readiness,
};
use tagkeeper_core::planner::{Query, decide};

use crate::host::{Host, MINUTE_MS, digit, id, telemetry};

#[test]
fn it_begins_with_everything_written_down() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.later(3);
    host.pass();
    let container = host.container("k8s_v2");
    let member = Incarnation {
        id: ContainerId::new(&container.id),
        name: "k8s_v2".to_owned(),
        started_at: container.started_at.clone(),
    };
    let moment = Moment {
        clock_ms: 14 * MINUTE_MS,
        at: "minute 14".to_owned(),
    };
    let pending = host.memory().pending.clone().unwrap();
    assert_eq!(
        (pending.version.as_str(), digit(&pending.image)),
        ("v2", 'b')
    );
    assert_eq!(pending.members, [member]);
    assert_eq!(
        (pending.began, pending.soaking_since_ms),
        (moment, Some(14 * MINUTE_MS))
    );
    assert_eq!(
        (pending.orchestrated, pending.soaked, pending.restarts),
        (true, false, 0)
    );
    assert_eq!(host.told(), ["pending"]);
}

#[test]
fn what_is_proven_is_not_pending() {
    let mut host = Host::with_head();
    host.minutes(20);
    assert_eq!(host.pending(), None);
    host.untag("local:latest");
    host.run("k8s_other", "remote:v1");
    host.pass();
    assert_eq!(
        (host.pending(), host.acted.clone()),
        (None, vec!["tag a local:latest".to_owned()])
    );
}

#[test]
fn a_first_run_proves_nothing_by_itself() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "local:v1"]);
    host.run("telemetry", "local:latest");
    host.minutes(10);
    assert_eq!(host.lineage(), [""; 0]);
    host.pass();
    assert_eq!(host.lineage(), ["v1=a"]);
    assert_eq!(host.acted, [""; 0]);
}

#[test]
fn the_provisional_fallback_is_what_is_latest_while_no_lineage_is_on_disk() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "local:v1"]);
    host.deploy('b', "v2");
    host.pass();
    let provisional_fallback = host
        .memory()
        .pending
        .clone()
        .unwrap()
        .provisional_fallback
        .unwrap();
    assert_eq!(
        (
            provisional_fallback.version.as_str(),
            digit(&provisional_fallback.image)
        ),
        ("v1", 'a')
    );
    assert!(!provisional_fallback.rolled_out);
    assert_eq!(provisional_fallback.promoted_at, None);

    host.image('d', &["remote:v1"]);
    host.pass();
    assert!(
        host.memory()
            .pending
            .clone()
            .unwrap()
            .provisional_fallback
            .unwrap()
            .rolled_out,
        "seen later"
    );
    host.lose_image('d');
    host.pass();
    assert!(
        host.memory()
            .pending
            .clone()
            .unwrap()
            .provisional_fallback
            .unwrap()
            .rolled_out,
        "and never unset"
    );
}

/// Or its dry run would have another version as soon as it is on record, and be none any more.
#[test]
fn the_provisional_fallback_has_the_version_that_runs() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "remote:stable", "remote:v1"]);
    host.image('b', &["local:v1"]);
    host.run("telemetry", "local:v1");
    host.set_state("telemetry", ContainerState::Paused);
    host.run("k8s_1", "remote:v1");
    host.image('c', &["remote:v2"]);
    host.run("k8s_2", "remote:v2");
    host.minutes(3);
    assert_eq!(host.pending().as_deref(), Some("v2=c"));
    assert_eq!(host.told(), [""; 0], "in the third pass");
    host.run_one_off("one_off", "remote:stable");
    host.minutes(3);
    assert_eq!(host.told(), [""; 0], "beside a one-off container");
}

#[test]
fn there_is_no_provisional_fallback_beside_a_lineage_or_for_itself() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.pass();
    assert_eq!(
        host.memory().pending.clone().unwrap().provisional_fallback,
        None,
        "there is a lineage"
    );

    let mut host = Host::new();
    host.image('a', &["local:latest"]);
    host.run("telemetry", "local:latest");
    host.pass();
    assert_eq!(
        host.memory().pending.clone().unwrap().provisional_fallback,
        None,
        "it cannot stand in for itself"
    );
}

#[test]
fn a_restart_starts_the_soak_again_and_keeps_the_provisional_fallback() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "remote:v1"]);
    host.deploy('b', "v2");
    host.minutes(9);
    host.start("k8s_v2");
    host.image('9', &["local:latest"]);
    host.pass();
    assert_eq!(host.told(), ["restarted"]);
    let pending = host.memory().pending.clone().unwrap();
    assert_eq!((pending.restarts, pending.began.clock_ms), (1, 0));
    assert_eq!(pending.soaking_since_ms, Some(9 * MINUTE_MS));
    assert_eq!(digit(&pending.provisional_fallback.unwrap().image), 'a');
    host.minutes(10);
    assert_eq!(host.lineage(), [""; 0]);
    host.pass();
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn another_container_of_the_same_image_is_a_restart_too() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(9);
    host.deploy('b', "v2");
    host.minutes(10);
    assert_eq!(host.lineage(), ["v1=a"]);
    let pending = host.memory().pending.clone().unwrap();
    assert_eq!(
        (pending.restarts, pending.members[0].id.clone()),
        (1, host.container_id("k8s_v2"))
    );
    host.pass();
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert!(host.known().failures.is_empty());
}

#[test]
fn a_restart_by_the_other_side_changes_whose_upgrade_it_is() {
    let mut host = Host::with_head();
    host.remove_container("k8s_v1");
    host.image('b', &["remote:v2"]);
    host.run("telemetry", "remote:v2");
    host.pass();
    assert!(!host.memory().pending.as_ref().unwrap().orchestrated);
    host.remove_container("telemetry");
    host.run("k8s_v2", "remote:v2");
    host.pass();
    let pending = host.memory().pending.clone().unwrap();
    assert_eq!(
        (pending.orchestrated, pending.members[0].name.as_str()),
        (true, "k8s_v2")
    );
}

#[test]
fn an_image_that_becomes_pending_is_no_longer_retired() {
    let mut host = Host::with_fallback();
    host.run("debug", "remote:v1");
    host.exit("debug", 0);
    host.upgrade('c', "v3");
    assert_eq!(host.retired(), ['a']);
    host.deploy('a', "v1");
    host.pass();
    assert_eq!(
        (host.pending().as_deref(), host.retired()),
        (Some("v1=a"), Vec::new())
    );
    host.remove_container("k8s_v1");
    host.remove_container("debug");
    host.minutes(3);
    assert!(
        host.disk().contains(&"remote:v1=a".to_owned()),
        "it has its grace again"
    );
}

#[test]
fn an_unhealthy_container_does_not_soak() {
    for trouble in [Health::Unhealthy, Health::Starting] {
        let mut host = Host::with_head();
        host.deploy('b', "v2");
        host.set_health("k8s_v2", Health::Healthy);
        host.minutes(9);
        host.set_health("k8s_v2", trouble);
        host.pass();
        assert_eq!(host.told(), ["restarted"]);
        assert_eq!(host.plan().pending.unwrap().up_ms, 0);
        host.minutes(20);
        assert_eq!(host.told(), [""; 0], "told once");
        assert_eq!(host.lineage(), ["v1=a"], "{trouble:?}");
        host.set_health("k8s_v2", Health::Healthy);
        host.minutes(10);
        assert_eq!(host.lineage(), ["v1=a"], "{trouble:?}");
        host.pass();
        assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    }
}

#[test]
fn a_container_that_is_not_ready_does_not_soak() {
    let mut host = Host::with_head();
    host.ask_ready();
    host.deploy('b', "v2");
    host.readiness
        .insert(telemetry(), Readiness::NotReady("exit 1".to_owned()));
    host.minutes(20);
    assert_eq!(host.lineage(), ["v1=a"]);
    assert_note!(host, Note::NotSoaking { .. });
    host.readiness.clear();
    host.minutes(10);
    assert_eq!(host.lineage(), ["v1=a"]);
    host.pass();
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn readiness_that_was_not_asked_is_no_yes() {
    let mut host = Host::with_head();
    host.ask_ready();
    host.deploy('b', "v2");
    host.readiness
        .insert(telemetry(), Readiness::NotReady("exit 1".to_owned()));
    host.minutes(5);
    let mut world = host.observe();
    world.readiness.clear();
    let unasked = decide(&host.policy, &host.state, &world).state;
    assert_eq!(
        unasked.workloads, host.state.workloads,
        "the soak does not begin"
    );

    host.readiness.clear();
    host.minutes(10);
    assert_eq!(host.lineage(), ["v1=a"]);
    let mut world = host.observe();
    world.readiness.clear();
    let unasked = decide(&host.policy, &host.state, &world);
    let workload = &unasked.plan.workloads[&telemetry()];
    assert_eq!(workload.actions, []);
    assert!(
        !unasked.state.workloads[&telemetry()]
            .memory
            .pending
            .as_ref()
            .unwrap()
            .soaked,
        "nor is it over"
    );
    assert!(
        workload.pending.as_ref().unwrap().up_ms >= 10 * MINUTE_MS,
        "but it goes on"
    );
    host.pass();
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn a_note_that_the_soak_is_over_is_taken_back() {
    for trouble in ["unhealthy", "restarted", "not ready"] {
        let mut host = Host::with_head();
        host.ask_ready();
        host.deploy('b', "v2");
        host.minutes(10);
        host.refuses_tags = true;
        host.pass();
        assert!(host.memory().pending.as_ref().unwrap().promoting);
        match trouble {
            "unhealthy" => host.set_health("k8s_v2", Health::Unhealthy),
            "restarted" => host.start("k8s_v2"),
            _ => drop(
                host.readiness
                    .insert(telemetry(), Readiness::NotReady("late".to_owned())),
            ),
        }
        host.refuses_tags = false;
        host.later(1);
        host.pass();
        assert!(
            !host.memory().pending.as_ref().unwrap().promoting,
            "{trouble}"
        );
        assert_eq!(host.lineage(), ["v1=a"], "{trouble}");
        assert!(
            host.disk().contains(&"local:latest=a".to_owned()),
            "{trouble}"
        );
    }
}

#[test]
fn ready_is_asked_only_while_an_upgrade_soaks_and_with_what_it_needs_to_know() {
    let mut host = Host::with_head();
    host.ask_ready();
    host.minutes(3);
    assert_eq!(host.asked, []);
    host.deploy('b', "v2");
    host.pass();
    let container = host.container_id("k8s_v2");
    let expected = [
        Query::Inspect(container.clone()),
        Query::AskReady {
            workload: telemetry(),
            container,
            container_name: "k8s_v2".to_owned(),
            image: id('b'),
            version: tagkeeper_core::model::Version::new("v2"),
        },
    ];
    assert_eq!(host.asked, expected);
    host.minutes(11);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    host.pass();
    assert_eq!(host.asked, []);
}

#[test]
fn a_container_that_was_not_inspected_is_not_taken_to_serve() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    let world = host.listed();
    let decision = decide(&host.policy, &host.state, &world);
    assert_eq!(decision.state.workloads[&telemetry()].memory.pending, None);
}

/// (2) The upgrade waits while its containers exist: nothing failed.
#[test]
fn a_pause_starts_the_soak_again() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(9);
    host.set_state("k8s_v2", ContainerState::Paused);
    host.minutes(1);
    let pending = host.memory().pending.clone().unwrap();
    assert_eq!(pending.soaking_since_ms, None);
    assert_eq!(host.told(), ["restarted"]);
    host.set_state("k8s_v2", ContainerState::Running);
    host.minutes(10);
    assert_eq!(host.lineage(), ["v1=a"]);
    host.pass();
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert!(host.known().failures.is_empty());
}

/// What still runs has not stopped: another image beside it is why it no longer serves.
#[test]
fn an_upgrade_that_is_not_alone_any_more_says_so() {
    let beside: [fn(&mut Host); 2] = [
        |host| host.run("k8s_v1", "remote:v1"),
        |host| {
            host.image('9', &["other:v1"]);
            host.run("telemetry", "other:v1");
        },
    ];
    for runs_beside in beside {
        let mut host = Host::with_head();
        host.deploy('b', "v2");
        host.minutes(5);
        runs_beside(&mut host);
        host.minutes(1);
        let failure = &host.known().failures[0];
        let ended = (failure.outcome, failure.ended_by);
        assert_eq!(ended, (Outcome::Withdrawn, EndedBy::NotAlone));
    }
}
