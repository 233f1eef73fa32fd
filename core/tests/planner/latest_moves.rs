//! Moves of `latest` (design 4.4): put back, restored, and the name that the image it leaves keeps.

use tagkeeper_core::model::{Note, Reason};

use crate::host::{DAY_MINUTES, Host, id};

/// It is not what is proven now, and was promoted all the same: both is shown.
#[test]
fn a_fallback_that_latest_was_moved_to_by_hand_keeps_its_date() {
    let mut host = Host::with_fallback();
    host.tag('a', "local:latest");
    let latest = host.plan().latest.unwrap();
    assert!(!latest.proven && latest.promoted_at.is_some(), "{latest:?}");
}

#[test]
fn a_latest_moved_by_hand_is_put_back_once_what_serves_has_soaked() {
    let mut host = Host::with_fallback();
    host.tag('a', "local:latest");
    host.minutes(9);
    assert_note!(host, Note::LatestMoved { .. });
    host.minutes(1);
    assert_eq!(
        host.disk(),
        ["local:latest=a", "remote:v1=a", "remote:v2=b"],
        "not at once"
    );
    host.pass();
    assert_eq!(host.acted, ["tag b local:latest"]);
    assert_eq!(host.told(), ["put back"]);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    host.minutes(3);
    assert_eq!((host.told(), host.acted.len()), (vec![], 0));
}

#[test]
fn a_latest_moved_by_hand_stays_while_nothing_serves() {
    let mut host = Host::with_fallback();
    host.exit("k8s_v2", 0);
    host.tag('a', "local:latest");
    host.minutes(30);
    assert!(host.disk().contains(&"local:latest=a".to_owned()));
}

#[test]
fn a_missing_latest_is_restored_at_once() {
    let mut host = Host::with_fallback();
    host.untag("local:latest");
    host.exit("k8s_v2", 0);
    host.pass();
    assert_eq!(host.acted, ["tag b local:latest"]);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn a_missing_latest_is_restored_while_another_upgrade_soaks() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(3);
    host.untag("local:latest");
    host.pass();
    assert_eq!(host.acted, ["tag a local:latest"]);
    assert_eq!(host.pending().as_deref(), Some("v2=b"));
}

#[test]
fn a_missing_latest_goes_to_what_has_just_soaked() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(10);
    host.untag("local:latest");
    host.pass();
    assert_eq!(host.acted, ["tag b local:latest"]);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn without_a_proven_head_a_missing_latest_stays_missing() {
    let mut host = Host::new();
    host.image('a', &["remote:v1"]);
    host.minutes(5);
    assert_eq!(host.disk(), ["remote:v1=a"]);
    assert_note!(host, Note::LatestMissing { .. });
}

#[test]
fn latest_of_a_rejected_image_goes_back_to_the_head() {
    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    host.tag('c', "local:latest");
    host.pass();
    host.reject_image('c', "v3");
    host.pass();
    assert_eq!(host.acted, ["tag b local:latest"]);
}

#[test]
fn the_image_that_latest_leaves_keeps_a_name() {
    // The names of v1 beside latest, what it is called afterwards.
    let table: &[(&[&str], &[&str])] = &[
        (&["remote:v1"], &["remote:v1=a"]),
        (&["elsewhere:x"], &["elsewhere:x=a", "local:v1=a"]),
        (&["remote@a"], &["local:v1=a", "remote@a=a"]),
        (&[], &["local:v1=a"]),
    ];
    for (names, expected) in table {
        let mut host = Host::with_head();
        host.untag("remote:v1");
        host.image('a', names);
        host.upgrade('b', "v2");
        let of_a: Vec<_> = host
            .disk()
            .into_iter()
            .filter(|line| line.ends_with("=a"))
            .collect();
        assert_eq!(of_a, *expected, "{names:?}");
    }
}

#[test]
fn a_name_that_is_taken_gives_way_to_the_short_digest() {
    let mut host = Host::with_head();
    host.untag("remote:v1");
    host.image('e', &["local:v1"]);
    host.upgrade('b', "v2");
    assert_eq!(host.meaning("local:sha256-aaaaaaaaaaaa"), Some('a'));
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn an_image_without_a_version_is_named_by_its_digest() {
    let mut host = Host::new();
    host.image('a', &["local:latest"]);
    host.run("telemetry", "local:latest");
    host.minutes(11);
    host.workload().local_fallback = tagkeeper_core::model::LocalFallback::Keep;
    host.exit("telemetry", 0);
    host.upgrade('b', "v2");
    assert_eq!(host.lineage(), ["v2=b", "sha256-aaaaaaaaaaaa=a"]);
    assert!(
        host.disk()
            .contains(&"local:sha256-aaaaaaaaaaaa=a".to_owned())
    );
}

/// (2) In whatever round that is seen, and before `latest` moves.
#[test]
fn a_missing_name_is_given_at_once() {
    let mut host = Host::with_head();
    host.untag("remote:v1");
    host.pass();
    assert_eq!(host.acted, ["tag a local:v1"]);

    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(10);
    host.untag("remote:v1");
    host.pass_killed_after(1);
    assert_eq!(host.acted, ["tag a local:v1"]);
    host.pass();
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert_eq!(host.disk(), ["local:latest=b", "local:v1=a", "remote:v2=b"]);
}

#[test]
fn a_restore_leaves_no_image_nameless_either() {
    let mut host = Host::with_fallback();
    host.image('c', &["local:latest"]);
    host.pass();
    host.reject_image('c', "v3");
    host.pass();
    assert_eq!(host.acted, ["tag c local:v3", "tag b local:latest"]);
    assert_eq!(host.reason("local:v3"), Reason::Grace);
}

/// A note says that `latest` was moved by hand: not of what soaks in its place, nor of
/// what is rejected.
#[test]
fn a_moved_latest_is_told_unless_it_soaks_or_is_rejected() {
    let told = |host: &Host| {
        let notes = host.notes();
        notes.iter().any(|n| matches!(n, Note::LatestMoved { .. }))
    };
    let mut host = Host::with_fallback();
    host.tag('a', "local:latest");
    assert!(told(&host), "a does not serve");
    host.remove_container("k8s_v2");
    host.run("k8s_v1", "remote:v1");
    host.pass();
    assert_eq!(host.pending().as_deref(), Some("v1=a"));
    assert!(!told(&host), "a soaks");
    host.image('9', &["remote:v9"]);
    host.reject_image('9', "v9");
    host.tag('9', "local:latest");
    assert!(!told(&host), "v9 is rejected");
}

/// Whatever the workloads' names: the round of all of them gives names first and takes images last
/// (design 4.6).
#[test]
fn a_round_gives_names_before_it_takes_anything() {
    let mut host = Host::with_fallback();
    host.add_workload("a", "docker-a", "registry.example:5000/docker-a");
    host.image('8', &["docker-a:v8"]);
    host.pass();
    let a = host.state.workloads.get_mut("a").unwrap();
    a.memory.retired.insert(id('8'));
    host.later(2 * DAY_MINUTES);
    host.untag("local:latest");
    let plan = host.look().plan;
    let order: Vec<&str> = plan.actions().iter().map(|(w, _)| w.as_str()).collect();
    assert_eq!(
        order.first(),
        Some(&"telemetry"),
        "the tag is first: {order:?}"
    );
    assert_eq!(order.last(), Some(&"a"), "the removal is last: {order:?}");
}

/// Each of the two names is the other one's reason not to give another.
#[test]
fn what_is_latest_of_two_workloads_keeps_a_name_when_both_move_on_in_one_round() {
    let mut host = Host::new();
    host.add_workload("gnmi", "docker-gnmi", "registry.example:5000/docker-gnmi");
    host.image('5', &["local:latest", "docker-gnmi:latest"]);
    host.image('a', &["remote:v1"]);
    host.image('7', &["docker-gnmi:v7"]);
    host.run("k8s_telemetry", "remote:v1");
    host.run("k8s_gnmi", "docker-gnmi:v7");
    host.minutes(10);
    assert_eq!(
        host.actions(),
        [
            "tag 5 docker-gnmi:sha256-555555555555",
            "tag 5 local:sha256-555555555555",
        ]
    );
    host.pass();
    assert_eq!(host.latest(), Some('a'));
    assert_eq!(host.meaning("docker-gnmi:latest"), Some('7'));
    assert!(host.is_on_disk('5'));
}
