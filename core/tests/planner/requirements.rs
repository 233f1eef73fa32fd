//! The requirements of design section 2, each a story under its number.

use tagkeeper_core::model::{ContainerState, Note};

use crate::host::{Host, MINUTE_MS};

#[test]
fn r1_tag_latest_once_the_new_version_has_run_for_ten_minutes() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    let began = host.uptime_ms;
    host.pass();
    for minute in 1..10 {
        host.uptime_ms = began + minute * MINUTE_MS;
        host.pass();
        assert!(
            host.disk().contains(&"local:latest=a".to_owned()),
            "too early, at minute {minute}"
        );
    }
    host.uptime_ms = began + 10 * MINUTE_MS - 1;
    host.pass();
    assert_eq!(
        host.disk(),
        ["local:latest=a", "remote:v1=a", "remote:v2=b"]
    );
    host.uptime_ms += 1;
    host.pass();
    assert_eq!(
        host.disk(),
        ["local:latest=b", "remote:v1=a", "remote:v2=b"]
    );
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert_eq!(host.told(), ["promoted"]);
}

#[test]
fn r1_an_upgrade_that_does_not_run_any_more_is_not_tagged() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(9);
    host.exit("k8s_v2", 1);
    host.minutes(30);
    assert_eq!(
        host.disk(),
        ["local:latest=a", "remote:v1=a", "remote:v2=b"]
    );
    assert_eq!(host.lineage(), ["v1=a"]);
    assert_eq!(host.pending(), None);
}

#[test]
fn r1_the_soak_is_the_policys() {
    let mut host = Host::with_head();
    host.workload().soak_ms = 3 * MINUTE_MS;
    host.deploy('b', "v2");
    host.minutes(3);
    assert_eq!(host.lineage(), ["v1=a"]);
    host.minutes(1);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

/// Local v1 stands stopped beside the orchestrator's v2.
fn host_with_stopped_local() -> Host {
    let mut host = Host::new();
    host.image('a', &["local:latest", "local:v1"]);
    host.run("telemetry", "local:latest");
    host.minutes(11);
    host.exit("telemetry", 0);
    host.image('b', &["remote:v2"]);
    host.run("k8s_v2", "remote:v2");
    host
}

#[test]
fn r2_the_stopped_local_container_goes_after_the_tag_has_moved() {
    for state in [
        ContainerState::Exited,
        ContainerState::Dead,
        ContainerState::Created,
    ] {
        let mut host = host_with_stopped_local();
        host.set_state("telemetry", state.clone());
        host.minutes(10);
        assert_eq!(host.container_names(), ["telemetry", "k8s_v2"]);
        host.pass();
        assert_eq!(
            host.acted[..2],
            ["tag b local:latest", "rm telemetry"],
            "{}",
            state.as_str()
        );
        assert_eq!(host.container_names(), ["k8s_v2"]);
    }
}

#[test]
fn r2_a_local_container_that_is_not_stopped_is_reported_and_looked_at_again() {
    for state in [
        ContainerState::Paused,
        ContainerState::Restarting,
        ContainerState::Removing,
        ContainerState::Stopping,
        ContainerState::Unknown("odd".into()),
    ] {
        let mut host = host_with_stopped_local();
        host.set_state("telemetry", state.clone());
        host.minutes(10);
        host.pass();
        assert_eq!(host.lineage()[0], "v2=b");
        assert!(host.told().contains(&"local runs"), "{:?}", host.events);
        assert_note!(host, Note::LocalRuns { .. });
        host.minutes(3);
        assert_eq!(host.container_names(), ["telemetry", "k8s_v2"]);
        host.exit("telemetry", 0);
        host.pass();
        assert_eq!(host.acted, ["rm telemetry", "rmi local:v1"]);
    }
}

#[test]
fn r2_a_running_local_container_is_never_removed() {
    let mut host = Host::with_fallback();
    host.run("telemetry", "remote:v1");
    host.minutes(5);
    assert_note!(host, Note::LocalRuns { .. });
    assert!(host.container_names().contains(&"telemetry".to_owned()));
}

#[test]
fn r2_the_stopped_local_container_of_latest_itself_stays() {
    let mut host = Host::with_fallback();
    host.run("telemetry", "local:latest");
    host.exit("telemetry", 0);
    host.minutes(3);
    assert!(host.container_names().contains(&"telemetry".to_owned()));
}

#[test]
fn r2_waits_while_latest_is_not_the_proven_head() {
    let mut host = Host::with_fallback();
    host.remove_container("k8s_v2");
    host.image('c', &["local:latest"]);
    host.run("telemetry", "remote:v1");
    host.exit("telemetry", 0);
    host.minutes(3);
    assert!(host.container_names().contains(&"telemetry".to_owned()));
}

#[test]
fn r3_a_promotion_leads_to_clean_up() {
    let mut host = Host::with_fallback();
    host.image('9', &["remote:v0"]);
    host.minutes(1);
    host.upgrade('c', "v3");
    assert_eq!(
        host.disk(),
        ["local:latest=c", "remote:v2=b", "remote:v3=c"]
    );
    assert_eq!(host.lineage(), ["v3=c", "v2=b"]);
}

#[test]
fn r3_as_many_fallbacks_as_the_policy_wants() {
    for (fallbacks, lineage) in [
        (0, &["v4=d"][..]),
        (1, &["v4=d", "v3=c"]),
        (2, &["v4=d", "v3=c", "v2=b"]),
        (9, &["v4=d", "v3=c", "v2=b", "v1=a"]),
    ] {
        let mut host = Host::with_head();
        host.workload().fallbacks = fallbacks;
        host.upgrade('b', "v2");
        host.upgrade('c', "v3");
        host.upgrade('d', "v4");
        assert_eq!(host.lineage(), lineage);
        assert_eq!(host.images().len(), lineage.len());
    }
}

#[test]
fn r8_a_pending_upgrade_lives_in_the_state() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(5);
    host.restart_tool();
    let pending = host.memory().pending.clone().unwrap();
    assert_eq!(pending.began.at, "minute 11");
    host.minutes(5);
    assert_eq!(host.lineage(), ["v1=a"]);
    host.minutes(1);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn r8_a_reboot_starts_the_soak_again_and_loses_nothing() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(9);
    host.reboot();
    host.minutes(10);
    assert_eq!(host.lineage(), ["v1=a"]);
    assert_eq!(host.memory().pending.as_ref().unwrap().restarts, 1);
    host.minutes(1);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn r9_the_circle() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "local:v1"]);
    host.run("telemetry", "local:latest");
    host.minutes(11);
    host.exit("telemetry", 0);
    host.image('b', &["remote:v2"]);
    host.run("k8s_v2", "remote:v2");
    host.minutes(11);
    host.remove_container("k8s_v2");
    host.minutes(2);
    assert_eq!(
        host.container_names(),
        [""; 0],
        "the service must create its container anew"
    );
    host.run("telemetry", "local:latest");
    host.minutes(30);
    let serving = host.plan().serving.unwrap();
    assert_eq!((serving.version.as_str(), serving.local), ("v2", true));
    assert_eq!(host.pending(), None);
}

#[test]
fn r10_only_images_of_named_repositories_are_touched() {
    let mut host = Host::with_fallback();
    let foreign = [
        "docker-sonic-telemetry-debug:v1",
        "other/docker-sonic-telemetry:v1",
        "registry.example/docker-sonic-telemetry:v1",
        "registry.example:5000/team/docker-sonic-telemetry:latest",
    ];
    for (digit, reference) in ['5', '6', '7', '8'].into_iter().zip(foreign) {
        host.image(digit, &[reference]);
    }
    host.image('4', &[]);
    host.later(3 * crate::host::DAY_MINUTES);
    host.upgrade('c', "v3");
    host.later(3 * crate::host::DAY_MINUTES);
    host.minutes(3);
    for reference in foreign {
        assert!(
            host.disk().iter().any(|line| line.starts_with(reference)),
            "{reference} is gone"
        );
        let judged = host
            .plan()
            .images
            .iter()
            .any(|j| j.reference.as_ref().unwrap().to_string() == reference);
        assert!(!judged, "{reference} is judged");
    }
    assert!(host.disk().contains(&"=4".to_owned()));
}
