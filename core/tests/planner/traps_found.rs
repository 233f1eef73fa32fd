//! The second half of the traps of design 3: those that were found in the first edition.

use tagkeeper_core::model::{ContainerState, Guard, Note, Reason};

use crate::host::{DAY_MINUTES, Host, MINUTE_MS, id};
use crate::rollback::roll_back;

#[test]
fn trap_a_tag_moves_and_the_fresh_image_is_taken_for_the_fallbacks_version() {
    let mut host = Host::local_head();
    host.exit("telemetry", 0);
    host.image('b', &["remote:v2"]);
    host.image('a', &["remote:v1"]);
    host.upgrade('b', "v2");
    host.tag('a', "local:v1");
    // A rebuilt v1 arrives after the promotion, under the fallback's name.
    host.image('d', &["remote:v1"]);
    host.minutes(3);
    assert_eq!(host.meaning("remote:v1"), Some('d'));
    assert_eq!(host.reason("remote:v1"), Reason::Grace);
    assert_eq!(host.meaning("local:v1"), Some('a'));
}

#[test]
fn trap_the_next_build_is_a_dry_run_for_ever() {
    for (dry_runs, latest) in [(true, 'a'), (false, 'b')] {
        let mut host = Host::local_head();
        host.workload().dry_runs = dry_runs;
        host.exit("telemetry", 0);
        host.image('b', &["remote:v1"]);
        host.run("k8s_v1", "remote:v1");
        host.minutes(30);
        assert_eq!(host.latest(), Some(latest), "dry_runs = {dry_runs}");
    }
}

#[test]
fn trap_name_tag_and_digest_is_evidence_of_roll_out() {
    let mut host = Host::local_head();
    host.image('d', &["remote@d"]);
    host.run("k8s_v1", "remote:v1@d");
    host.pass();
    assert!(host.memory().lineage[0].rolled_out);
}

#[test]
fn trap_a_container_without_an_image_is_no_ones() {
    let mut host = Host::local_head();
    host.container("telemetry").image = None;
    host.minutes(2);
    assert_eq!(host.serving(), None);
    assert!(host.has_container("telemetry"));
    assert_eq!(host.lineage(), ["v1=a"]);
}

#[test]
fn trap_the_local_container_in_a_docker_restart() {
    let mut host = Host::with_fallback();
    host.image('c', &["local:v3"]);
    host.run("telemetry", "local:v3");
    host.minutes(2);
    host.exit("telemetry", 143);
    host.pass();
    assert!(host.has_container("telemetry"));
    assert_eq!(host.acted, [""; 0]);
}

#[test]
fn trap_a_strangers_stopped_container_bears_the_local_name() {
    let mut host = Host::local_head();
    host.remove_container("telemetry");
    host.image('9', &["other/thing:v1"]);
    host.run("telemetry", "other/thing:v1");
    host.exit("telemetry", 0);
    host.deploy('b', "v2");
    host.minutes(15);
    assert_eq!(host.latest(), Some('b'), "it is in no one's way");
    assert!(host.has_container("telemetry"));
    assert_note!(host, Note::ForeignLocal { .. });
}

#[test]
fn trap_it_died_while_the_other_ready_commands_ran() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(10);
    let action = host.look().plan.actions()[0].1.clone();
    let is_running = |g: &Guard| matches!(g, Guard::Running { .. });
    assert!(action.guards.iter().any(is_running));
    host.meanwhile(|host| host.set_state("k8s_v2", ContainerState::Dead));
    host.pass();
    assert_eq!(host.latest(), Some('a'));
}

#[test]
fn trap_a_pass_of_five_minutes_shortens_no_soak() {
    let mut host = Host::with_head();
    host.look_ms = 5 * MINUTE_MS;
    host.deploy('b', "v2");
    let deployed = host.uptime_ms;
    while host.latest() != Some('b') {
        host.pass();
    }
    assert!(host.uptime_ms >= deployed + 10 * MINUTE_MS + 5 * MINUTE_MS);
}

#[test]
fn trap_a_refused_removal_is_not_tried_every_minute() {
    let mut host = Host::with_fallback();
    host.run("debug", "remote:v1");
    host.exit("debug", 0);
    host.upgrade('c', "v3");
    host.remove_container("debug");
    let target = crate::host::name("remote:v1").to_string();
    host.refuses.insert(target, "conflict".to_owned());
    let mut tries = 0;
    for _ in 0..60 {
        host.minutes(1);
        tries += host.refused.len();
    }
    assert!((4..=7).contains(&tries), "{tries}");
}

#[test]
fn trap_rollback_in_a_crash_loop_rejects_the_bad_version() {
    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    host.minutes(3);
    host.exit("k8s_v3", 1);
    host.minutes(1);
    assert_eq!(host.pending(), None, "it is down at this second");
    roll_back(&mut host, usize::MAX);
    assert_eq!(host.latest(), Some('b'));
    assert!(
        host.state
            .rejected
            .values()
            .all(|r| r.contains_key(&id('c')))
    );
}

#[test]
fn trap_another_disk_is_another_memory() {
    let mut host = Host::with_fallback();
    let known = host.memory().clone();
    let disk = host.take_disk();
    host.image('7', &["local:latest"]);
    host.minutes(3);
    assert_note!(host, Note::OtherDisk);
    assert_eq!(host.lineage(), [""; 0]);
    host.put_disk(disk);
    host.minutes(1);
    assert_eq!(host.memory().lineage, known.lineage);
}

/// The first promotion on the other disk drops what was known of the old one.
#[test]
fn trap_another_disk_for_good() {
    let mut host = Host::with_fallback();
    host.take_disk();
    host.image('7', &["local:latest", "local:v7"]);
    host.run("telemetry", "local:latest");
    host.minutes(12);
    assert_eq!(host.lineage(), ["v7=7"]);
    assert!(host.known().parked.is_none());
}

/// However the names that an image could get are taken, it gets one: without, latest never moves.
#[test]
fn a_name_is_found_when_version_and_short_digest_are_taken() {
    let mut host = Host::with_head();
    host.untag("remote:v1");
    host.image('8', &["local:v1", "local:sha256-aaaaaaaaaaaa"]);
    host.deploy('b', "v2");
    host.minutes(12);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    let full = format!("local:sha256-{}", "a".repeat(64));
    assert_eq!(host.meaning(&full), Some('a'));
}

/// What is idle has its grace over a day in which the workload was not in the policy.
#[test]
fn a_day_without_the_workload_does_not_count_as_idle() {
    let mut host = Host::with_fallback();
    host.image('9', &["remote:v9"]);
    host.minutes(1);
    let workloads = std::mem::take(&mut host.policy.workloads);
    host.minutes(1);
    host.later(DAY_MINUTES - 5);
    host.policy.workloads = workloads;
    host.minutes(1);
    host.later(10);
    host.minutes(1);
    assert!(host.is_on_disk('9'));
}
