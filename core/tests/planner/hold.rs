//! Hold (design 4.5): it stops all of it, and time on hold does not count.

use tagkeeper_core::model::{HeldBy, Note, Reason};

use crate::host::{DAY_MINUTES, Host, MINUTE_MS, id, pattern};

#[test]
fn hold_neither_tags_nor_records_a_promotion() {
    let mut host = Host::with_head();
    host.workload().hold = true;
    host.deploy('b', "v2");
    host.minutes(30);
    assert_eq!(
        (host.lineage(), host.pending().as_deref()),
        (vec!["v1=a".to_owned()], Some("v2=b"))
    );
    assert!(
        host.plan().pending.unwrap().up_ms >= 30 * MINUTE_MS,
        "observed and shown"
    );
    let pending = host.memory().pending.as_ref().unwrap();
    assert_eq!((pending.soaked, pending.promoting), (true, false));
    host.tag('b', "local:latest");
    host.minutes(3);
    assert_eq!(host.lineage(), ["v1=a"]);
    host.workload().hold = false;
    host.pass();
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

/// A section that ends does not end the workload's own hold.
#[test]
fn a_hold_of_both_kinds_has_no_end_to_show() {
    let mut host = Host::with_head();
    host.hold_all(Some(20 * MINUTE_MS));
    let left_ms = |host: &Host| match host.plan().held {
        Some(HeldBy::Section { left_ms, .. }) => left_ms,
        other => panic!("{other:?}"),
    };
    assert!(left_ms(&host).is_some());
    host.workload().hold = true;
    assert_eq!(left_ms(&host), None);
    host.minutes(30);
    assert_eq!(host.plan().held, Some(HeldBy::Workload));
}

#[test]
fn hold_keeps_a_promotion_that_was_committed_until_it_can_be_recorded() {
    for serves in [true, false] {
        let mut host = Host::with_head();
        host.deploy('b', "v2");
        host.minutes(10);
        host.pass_killed_after(1);
        host.workload().hold = true;
        if serves {
            host.start("k8s_v2");
        } else {
            host.remove_container("k8s_v2");
        }
        host.minutes(5);
        assert_eq!(
            (host.lineage(), host.pending().as_deref()),
            (vec!["v1=a".to_owned()], Some("v2=b"))
        );
        assert!(host.known().failures.is_empty());
        host.workload().hold = false;
        host.pass();
        assert_eq!(host.lineage(), ["v2=b", "v1=a"], "serves: {serves}");
    }
}

#[test]
fn hold_follows_failures() {
    let mut host = Host::with_head();
    host.workload().hold = true;
    host.deploy_in_vain('b', "v2");
    assert_eq!((host.pending(), host.known().failures.len()), (None, 1));
}

#[test]
fn hold_removes_moves_and_restores_nothing() {
    let mut host = Host::with_fallback();
    host.image('9', &["remote:v0"]);
    host.pass();
    host.retire('9');
    host.tag('a', "local:v1");
    host.run("telemetry", "remote:v1");
    host.exit("telemetry", 0);
    host.untag("local:latest");
    host.workload().hold = true;
    host.workload().fallbacks = 0;
    host.later(3 * DAY_MINUTES);
    host.minutes(3);
    assert_eq!(
        host.disk(),
        ["local:v1=a", "remote:v0=9", "remote:v1=a", "remote:v2=b"]
    );
    assert_eq!(host.container_names(), ["k8s_v2", "telemetry"]);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"], "nor is the lineage cut");
}

/// What a hold keeps from being done is in the plan (design 4.5): what to do with `latest` and
/// containers as well as with images.
#[test]
fn a_hold_shows_what_would_be_done_without_it() {
    let mut soaked = Host::with_head();
    soaked.workload().hold = true;
    soaked.deploy('b', "v2");
    soaked.minutes(9);
    assert_eq!(soaked.held_actions(), [""; 0]);
    soaked.minutes(2);
    assert_eq!(soaked.held_actions(), ["tag b local:latest"]);

    let mut lost = Host::with_fallback();
    lost.workload().hold = true;
    lost.untag("local:latest");
    assert_eq!(lost.held_actions(), ["tag b local:latest"]);

    let mut stale = Host::with_fallback();
    stale.workload().hold = true;
    stale.run("telemetry", "remote:v1");
    stale.exit("telemetry", 0);
    assert_eq!(stale.held_actions(), ["rm telemetry"]);

    let mut retired = Host::with_fallback();
    retired.image('9', &["remote:v0"]);
    retired.pass();
    retired.retire('9');
    retired.workload().hold = true;
    assert_eq!(retired.held_actions(), ["rmi remote:v0"]);

    for host in [&mut soaked, &mut lost, &mut stale, &mut retired] {
        assert_eq!(host.actions(), [""; 0]);
        host.workload().hold = false;
        let done = host.actions();
        host.workload().hold = true;
        assert_eq!(host.held_actions(), done, "the same without the hold");
    }
}

#[test]
fn time_on_hold_does_not_count_as_idle() {
    let mut host = Host::with_fallback();
    host.image('c', &["remote:v3"]);
    host.pass();
    host.later(DAY_MINUTES - 10);
    host.workload().hold = true;
    host.pass();
    host.later(5 * DAY_MINUTES);
    host.pass();
    host.later(5 * DAY_MINUTES);
    host.workload().hold = false;
    assert_eq!(host.reason("remote:v3"), Reason::Grace);
    host.pass();
    host.later(9);
    assert_eq!(host.reason("remote:v3"), Reason::Grace);
    host.later(1);
    assert_eq!(host.reason("remote:v3"), Reason::Idle);
}

#[test]
fn what_becomes_idle_on_hold_is_idle_from_the_end_of_the_hold() {
    let mut host = Host::with_fallback();
    host.workload().hold = true;
    host.pass();
    host.later(1000);
    host.image('c', &["remote:v3"]);
    host.pass();
    host.later(1000);
    host.workload().hold = false;
    host.pass();
    assert_eq!(
        host.memory().images[&id('c')].idle_since_ms,
        Some(host.uptime_ms)
    );
    host.later(DAY_MINUTES - 1);
    assert_eq!(host.reason("remote:v3"), Reason::Grace);
    host.later(1);
    assert_eq!(host.reason("remote:v3"), Reason::Idle);
}

#[test]
fn a_hold_says_so() {
    let mut host = Host::with_head();
    host.workload().hold = true;
    assert_eq!(host.plan().held, Some(HeldBy::Workload));
    assert_eq!(host.notes()[0], Note::Held(HeldBy::Workload));
}

/// What R2 would remove stays on hold, and uses its image.
#[test]
fn a_stale_local_container_on_hold_uses_its_image() {
    let mut host = Host::with_fallback();
    host.run("telemetry", "local:latest");
    host.exit("telemetry", 0);
    host.container("telemetry").image = Some(id('a').to_string());
    host.workload().hold = true;
    host.pass();
    assert_eq!(host.memory().images[&id('a')].idle_since_ms, None);
}

#[test]
fn a_section_holds_whom_it_names() {
    let mut host = Host::with_head();
    host.hold_all(None);
    host.policy.holds[0].workloads = vec![pattern("gnmi"), pattern("tele")];
    host.deploy('b', "v2");
    host.minutes(12);
    assert_eq!(host.latest(), Some('b'));
}

#[test]
fn each_section_has_a_time_of_its_own() {
    let mut host = Host::with_head();
    host.hold_all(Some(60 * MINUTE_MS));
    host.policy.holds[0].workloads = vec![pattern("gnmi")];
    host.minutes(1);
    host.later(50);
    host.hold_all(Some(30 * MINUTE_MS));
    host.deploy('b', "v2");
    host.minutes(25);
    assert_eq!(host.latest(), Some('a'), "it holds for 30 minutes from now");
    host.minutes(10);
    assert_eq!(host.latest(), Some('b'));
}

/// How long it has lasted survives a reboot, but for an hour.
#[test]
fn a_hold_that_is_to_end_ages_over_reboots() {
    let mut host = Host::with_head();
    host.hold_all(Some(2 * 60 * MINUTE_MS));
    host.minutes(1);
    for _ in 0..2 {
        host.minutes(80);
        host.reboot();
    }
    host.minutes(2);
    assert_eq!(host.plan().held, None);
}
