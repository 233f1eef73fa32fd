//! The traps of design section 3: each row that the decision answers for is a story of a tool that
//! fell into it.

use tagkeeper_core::model::{Health, Readiness, Reason, State};
use tagkeeper_core::planner::decide;

use crate::host::{DAY_MINUTES, Host, MINUTE_MS, id, telemetry};
use crate::rollback::roll_back;

#[test]
fn trap_a_container_that_restarts_is_not_one_that_has_run_for_ten_minutes() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    for _ in 0..9 {
        host.minutes(9);
        host.start("k8s_v2");
    }
    assert_eq!(host.lineage(), ["v1=a"]);
    assert!(host.disk().contains(&"local:latest=a".to_owned()));
    assert_eq!(host.plan().pending.unwrap().restarts, 9);
}

#[test]
fn trap_the_soak_is_kept_across_restarts_of_the_tool() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    for _ in 0..11 {
        host.restart_tool();
        host.minutes(1);
    }
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn trap_wall_clocks_jump_and_nothing_comes_of_it() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(5);
    let world = host.observe();
    let decided = |wall: &str| {
        let mut world = world.clone();
        world.from.wall = wall.to_owned();
        world.until.wall = wall.to_owned();
        decide(&host.policy, &host.state, &world)
    };
    assert_eq!(
        decided("1970-01-01T00:00:00Z"),
        decided("2106-02-07T06:28:15Z")
    );
    assert_eq!(decided("").plan.workloads[&telemetry()].actions, []);
}

#[test]
fn trap_a_reboot_does_not_make_the_soak_longer_or_shorter_than_it_was() {
    let mut host = Host::with_head();
    host.later(500);
    host.deploy('b', "v2");
    host.minutes(2);
    host.reboot();
    host.later(8);
    host.minutes(10);
    assert_eq!(host.lineage(), ["v1=a"]);
    host.minutes(1);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn trap_a_crash_between_two_steps_never_loses_the_fallback() {
    for changes in 0..6 {
        let mut host = Host::with_fallback();
        host.untag("remote:v1");
        host.untag("remote:v2");
        host.tag('a', "local:v1");
        host.image('d', &["remote:v1"]);
        host.minutes(1);
        host.deploy('c', "v3");
        host.minutes(10);
        host.pass_killed_after(changes);
        host.minutes(2);
        assert_eq!(host.lineage(), ["v3=c", "v2=b"], "killed after {changes}");
        assert_eq!(
            host.disk(),
            ["local:latest=c", "local:v2=b", "remote:v3=c"],
            "killed after {changes}"
        );
    }
}

#[test]
fn trap_clean_up_judges_every_reference() {
    let mut host = Host::with_fallback();
    host.image('7', &["local:first-and-in-use"]);
    host.run("debug", "local:first-and-in-use");
    host.exit("debug", 0);
    host.image('8', &["local:v0", "remote:v0"]);
    host.image('9', &["remote:v9", "elsewhere:v9"]);
    host.minutes(1);
    host.upgrade('c', "v3");
    let left = [
        "elsewhere:v9=9",
        "local:first-and-in-use=7",
        "local:latest=c",
        "remote:v2=b",
        "remote:v3=c",
    ];
    assert_eq!(host.disk(), left);
}

#[test]
fn trap_what_a_container_uses_is_kept() {
    let mut host = Host::with_fallback();
    host.run("debug", "remote:v1");
    host.exit("debug", 1);
    host.upgrade('c', "v3");
    host.later(30 * DAY_MINUTES);
    host.minutes(3);
    assert!(host.disk().contains(&"remote:v1=a".to_owned()));
}

#[test]
fn trap_a_container_that_does_not_run_is_no_success() {
    let mut host = Host::with_head();
    host.image('9', &["remote:v0"]);
    host.deploy('b', "v2");
    host.minutes(5);
    host.exit("k8s_v2", 0);
    host.minutes(30);
    assert!(host.retired().is_empty());
    assert_eq!(host.acted, [""; 0]);
    assert_eq!(
        host.disk(),
        [
            "local:latest=a",
            "remote:v0=9",
            "remote:v1=a",
            "remote:v2=b"
        ]
    );
}

#[test]
fn trap_a_freshly_pulled_image_outlives_a_promotion() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(5);
    host.image('c', &["remote:v3"]);
    host.minutes(6);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert_eq!(host.reason("remote:v3"), Reason::Grace);
}

#[test]
fn trap_failed_upgrades_do_not_pile_up() {
    let mut host = Host::with_head();
    for digit in ['4', '5', '6', '7'] {
        host.deploy(digit, &format!("v{digit}"));
        host.minutes(3);
        host.exit(&format!("k8s_v{digit}"), 1);
        host.minutes(2);
    }
    host.deploy('a', "v1");
    host.pass();
    host.later(DAY_MINUTES);
    host.minutes(2);
    assert_eq!(host.disk(), ["local:latest=a", "remote:v1=a"]);
    assert_eq!(host.lineage(), ["v1=a"]);
}

#[test]
fn trap_two_upgrades_inside_one_soak_leave_the_fallback_alone() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(5);
    host.deploy('c', "v3");
    host.minutes(11);
    assert_eq!(host.lineage(), ["v3=c", "v1=a"]);
    assert_eq!(
        host.disk(),
        ["local:latest=c", "remote:v1=a", "remote:v3=c"]
    );
}

#[test]
fn trap_what_was_rolled_back_is_not_promoted_again() {
    let mut host = Host::with_fallback();
    roll_back(&mut host, 0);
    host.minutes(60);
    assert_eq!(
        (host.lineage(), host.pending()),
        (vec!["v1=a".to_owned()], None)
    );
    assert!(host.disk().contains(&"local:latest=a".to_owned()));
}

#[test]
fn trap_a_fresh_state_deletes_nothing() {
    let mut host = Host::with_fallback();
    host.image('9', &["remote:v0", "remote@9"]);
    host.minutes(1);
    host.state = State {
        instance: "this".to_owned(),
        ..State::default()
    };
    let before = host.disk();
    host.later(100 * DAY_MINUTES);
    host.minutes(20);
    assert_eq!(host.disk(), before);
    assert_eq!(
        host.lineage(),
        ["v2=b"],
        "what serves has proved itself anew"
    );
}

#[test]
fn trap_every_image_has_a_reason_that_plan_prints_and_the_pass_acts_on() {
    let mut host = Host::with_fallback();
    host.workload().fallbacks = 0;
    let plan = host.plan();
    let removed: Vec<_> = plan
        .images
        .iter()
        .filter(|j| j.reason == Reason::Retired)
        .collect();
    assert_eq!(removed.len(), 1);
    let planned = host.actions();
    host.pass();
    assert_eq!(host.acted, planned);
}

#[test]
fn trap_a_frozen_container_that_is_up_does_not_pass() {
    let mut host = Host::with_head();
    host.ask_ready();
    host.readiness.insert(
        telemetry(),
        Readiness::NotReady("waits for leave to work".to_owned()),
    );
    host.deploy('b', "v2");
    host.minutes(60);
    assert_eq!(host.lineage(), ["v1=a"]);

    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.set_health("k8s_v2", Health::Unhealthy);
    host.minutes(60);
    assert_eq!(host.lineage(), ["v1=a"]);
}

#[test]
fn trap_what_ran_dry_does_not_pass_when_the_local_container_stops() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "local:v1"]);
    host.run("telemetry", "local:latest");
    host.image('d', &["remote:v1"]);
    host.run("k8s_v1", "remote:v1");
    host.minutes(20);
    host.remove_container("telemetry");
    host.minutes(60);
    assert_eq!(host.lineage(), ["v1=a"]);
    assert!(host.disk().contains(&"local:latest=a".to_owned()));
}

#[test]
fn trap_a_debug_shell_is_not_the_running_version() {
    let mut host = Host::with_fallback();
    host.run("debug", "remote:v1");
    host.minutes(60);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert!(host.disk().contains(&"local:latest=b".to_owned()));
}

#[test]
fn trap_pruning_nameless_images_does_not_take_the_fallback() {
    let mut host = Host::with_head();
    host.untag("remote:v1");
    host.deploy('b', "v2");
    for _ in 0..15 {
        host.minutes(1);
        host.prune_images();
    }
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert!(host.images().iter().any(|image| image.id == id('a')));
}

#[test]
fn trap_a_data_disk_that_is_not_mounted_yet() {
    let mut host = Host::with_fallback();
    let disk = host.take_disk();
    host.reboot();
    host.minutes(30);
    host.put_disk(disk);
    host.minutes(30);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert_eq!(
        host.disk(),
        ["local:latest=b", "remote:v1=a", "remote:v2=b"]
    );
}

#[test]
fn trap_a_host_that_was_asleep_or_off_has_not_soaked() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(2);
    host.uptime_ms = MINUTE_MS;
    host.start("k8s_v2");
    host.minutes(10);
    assert_eq!(host.lineage(), ["v1=a"]);
}
