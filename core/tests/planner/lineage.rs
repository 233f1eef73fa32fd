//! What a promotion records (design 4.4): the lineage, what it retires, what it strikes, and where
//! it is cut.

use tagkeeper_core::model::{EventKind, LocalFallback, NoFallback, Reason, Version};
use tagkeeper_core::planner::RollbackTarget;

use crate::host::{Host, MINUTE_MS, id};
use crate::rollback::roll_back_to;

#[test]
fn promoted_by_the_tag_of_the_round_before() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(10);
    host.pass_killed_after(1);
    assert_eq!(host.acted, ["tag b local:latest"]);
    assert_eq!(host.lineage(), ["v1=a"], "recorded in the next round");
    assert!(host.memory().pending.as_ref().unwrap().promoting);
    host.pass();
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn promoted_by_a_pass_that_died_after_the_tag_whether_or_not_it_still_serves() {
    for replaced in [false, true] {
        let mut host = Host::with_head();
        host.deploy('b', "v2");
        host.minutes(10);
        host.pass_killed_after(1);
        host.remove_container("k8s_v2");
        if replaced {
            host.deploy('c', "v3");
        }
        host.later(5);
        host.pass();
        assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
        assert!(host.known().failures.is_empty());
        assert_eq!(host.pending(), replaced.then(|| "v3=c".to_owned()));
    }
}

#[test]
fn not_promoted_when_the_pass_died_before_the_tag_and_it_serves_no_longer() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(10);
    host.pass_killed_after(0);
    assert!(host.memory().pending.as_ref().unwrap().promoting);
    host.exit("k8s_v2", 1);
    host.later(1);
    host.pass();
    assert_eq!(host.lineage(), ["v1=a"]);
    assert_eq!(
        host.disk(),
        ["local:latest=a", "remote:v1=a", "remote:v2=b"]
    );
}

#[test]
fn promoted_by_hand_only_when_it_has_soaked() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.tag('b', "local:latest");
    host.minutes(10);
    assert_eq!(host.lineage(), ["v1=a"]);
    host.pass();
    assert_eq!(
        (host.lineage(), host.acted.len()),
        (vec!["v2=b".to_owned(), "v1=a".to_owned()], 0)
    );

    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.tag('b', "local:latest");
    host.minutes(5);
    host.exit("k8s_v2", 1);
    host.minutes(20);
    assert_eq!(host.lineage(), ["v1=a"], "it failed, whatever latest names");
}

#[test]
fn a_promotion_that_replaced_nothing_retires_and_strikes_nothing() {
    let mut host = Host::new();
    host.image('a', &["local:latest"]);
    host.image('8', &["remote:v8"]);
    host.pass();
    host.image('9', &["remote:v9"]);
    host.later(1);
    host.run("telemetry", "local:latest");
    host.minutes(11);
    assert_eq!(host.lineage().len(), 1);
    assert!(host.retired().is_empty());
    assert!(host.memory().images[&id('8')].inherited);

    let mut host = Host::with_head();
    host.upgrade('b', "v2");
    host.memory_mut().lineage[1].rolled_out = false;
    host.untag("remote:v1");
    host.tag('a', "local:v1");
    host.image('9', &["remote:v0"]);
    host.pass();
    host.tag('a', "local:latest");
    host.minutes(12);
    assert!(
        host.disk().contains(&"local:latest=b".to_owned()),
        "put back"
    );
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert!(host.retired().is_empty());
}

/// Before the first promotion everything is inherited, also what was pulled while it soaked.
#[test]
fn what_arrives_during_the_first_soak_outlives_its_promotion() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "remote:v1"]);
    host.deploy('b', "v2");
    host.minutes(5);
    host.image('c', &["remote:v3"]);
    host.minutes(7);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert!(host.is_on_disk('c'), "{:?}", host.disk());
}

#[test]
fn retired_is_what_was_seen_before_the_promoted_image_or_inherited() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "remote:v1"]);
    host.run("k8s_v1", "remote:v1");
    host.image('b', &["remote:v2"]);
    host.image('7', &["remote:v7"]);
    host.minutes(12);
    host.image('8', &["remote:v8"]);
    host.minutes(1);
    host.deploy('c', "v3");
    host.minutes(1);
    host.image('9', &["remote:v9"]);
    host.minutes(9);
    host.pass();
    assert_eq!(host.lineage(), ["v3=c", "v1=a"]);
    let left = [
        "local:latest=c",
        "remote:v1=a",
        "remote:v3=c",
        "remote:v9=9",
    ];
    assert_eq!(host.disk(), left, "what was pulled since stays");
    assert!(
        host.memory()
            .images
            .values()
            .all(|sighting| !sighting.inherited)
    );

    let mut host = Host::new();
    host.image('a', &["local:latest", "remote:v1"]);
    host.image('7', &["remote:v7"]);
    host.deploy('b', "v2");
    host.minutes(11);
    assert_eq!(
        host.disk(),
        ["local:latest=b", "remote:v1=a", "remote:v2=b"],
        "inherited, though seen with it"
    );
}

#[test]
fn what_since_one_pass_with_the_promoted_image_is_not_older_and_stays() {
    let mut host = Host::with_head();
    host.image('9', &["remote:v9"]);
    host.upgrade('b', "v2");
    assert_eq!(host.reason("remote:v9"), Reason::Grace);
    assert!(host.retired().is_empty());
}

#[test]
fn the_provisional_fallback_becomes_the_fallback_only_without_a_lineage() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "remote:v1"]);
    host.deploy('b', "v2");
    host.minutes(11);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert_eq!(host.memory().lineage[1].promoted_at, None);

    let mut host = Host::new();
    host.image('a', &["local:latest", "remote:v1"]);
    host.deploy('b', "v2");
    host.minutes(5);
    host.lose_image('a');
    host.minutes(6);
    assert_eq!(host.lineage(), ["v2=b"], "it is gone");
}

#[test]
fn a_rejected_provisional_fallback_is_no_fallback() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "remote:v1"]);
    host.deploy('b', "v2");
    host.minutes(5);
    host.reject_image('a', "v1");
    host.minutes(6);
    assert_eq!(host.lineage(), ["v2=b"]);
}

#[test]
fn rolling_back_by_rollout_is_an_upgrade_like_any_other() {
    let mut host = Host::with_fallback();
    host.upgrade('a', "v1");
    assert_eq!(host.lineage(), ["v1=a", "v2=b"]);
    assert_eq!(
        host.disk(),
        ["local:latest=a", "remote:v1=a", "remote:v2=b"]
    );
}

#[test]
fn entries_off_the_disk_are_skipped_until_the_next_promotion() {
    let mut host = Host::with_fallback();
    host.workload().fallbacks = 2;
    host.upgrade('c', "v3");
    assert_eq!(host.lineage(), ["v3=c", "v2=b", "v1=a"]);
    host.lose_image('b');
    host.minutes(3);
    assert_eq!(host.lineage(), ["v3=c", "v2=b", "v1=a"]);
    assert_eq!(
        host.plan()
            .fallbacks
            .iter()
            .map(|p| p.version.as_str())
            .collect::<Vec<_>>(),
        ["v1"]
    );
    host.upgrade('d', "v4");
    assert_eq!(host.lineage(), ["v4=d", "v3=c", "v1=a"]);
}

#[test]
fn the_head_is_the_first_entry_on_the_disk() {
    let mut host = Host::with_fallback();
    host.remove_container("k8s_v2");
    host.lose_image('b');
    host.pass();
    assert_eq!(host.acted, ["tag a local:latest"]);
    assert!(host.plan().latest.unwrap().proven);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn a_cut_retires_nothing_that_is_being_soaked() {
    let mut host = Host::with_fallback();
    host.deploy('a', "v1");
    host.minutes(3);
    host.workload().fallbacks = 0;
    host.minutes(1);
    assert_eq!(host.pending().as_deref(), Some("v1=a"));
    assert_eq!(
        (host.lineage(), host.retired()),
        (vec!["v2=b".to_owned()], vec![])
    );
    host.remove_container("k8s_v1");
    host.minutes(2);
    assert_eq!(host.reason("remote:v1"), Reason::Grace);
}

#[test]
fn a_policy_edit_cuts_the_lineage_at_once() {
    let mut host = Host::with_fallback();
    host.workload().fallbacks = 0;
    host.pass();
    assert_eq!(
        (host.lineage(), host.acted.clone()),
        (vec!["v2=b".to_owned()], vec!["rmi remote:v1".to_owned()])
    );

    let mut host = Host::with_fallback();
    host.workload().fallbacks = 2;
    host.upgrade('c', "v3");
    host.lose_image('b');
    host.workload().fallbacks = 1;
    host.pass();
    assert_eq!(
        host.lineage(),
        ["v3=c", "v2=b", "v1=a"],
        "what is off the disk does not count"
    );
}

/// v1 was proven as a local container; the orchestrator brings v2.
fn local_head(extra: &[&str]) -> Host {
    let mut host = Host::new();
    host.image('a', &["local:latest", "local:v1"]);
    host.image('a', extra);
    host.run("telemetry", "local:latest");
    host.minutes(12);
    host.exit("telemetry", 0);
    host
}

#[test]
fn rolled_out_is_what_the_orchestrator_deployed_or_held() {
    let table: &[(&[&str], bool)] = &[
        (&[], false),
        (&["remote:v1"], true),
        (&["remote:something"], true),
        (&["remote@a"], true),
        (&["elsewhere:v1"], false),
    ];
    for (extra, rolled_out) in table {
        let mut host = local_head(extra);
        assert_eq!(
            host.memory().lineage[0].rolled_out,
            *rolled_out,
            "{extra:?}"
        );
        host.upgrade('b', "v2");
        assert_eq!(
            host.lineage().len(),
            if *rolled_out { 2 } else { 1 },
            "{extra:?}"
        );
    }
}

#[test]
fn rolled_out_by_a_remote_tag_seen_in_any_pass_and_never_unset() {
    let mut host = local_head(&[]);
    host.image('d', &["remote:v1"]);
    host.pass();
    host.lose_image('d');
    host.minutes(2);
    assert!(host.memory().lineage[0].rolled_out);
    host.upgrade('b', "v2");
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn latest_of_a_remote_says_nothing_about_a_version() {
    let mut host = local_head(&[]);
    host.image('d', &["remote:latest"]);
    host.minutes(2);
    assert!(!host.memory().lineage[0].rolled_out);
}

#[test]
fn struck_only_by_an_orchestrated_promotion_with_remotes_and_drop() {
    let mut host = local_head(&[]);
    host.workload().local_fallback = LocalFallback::Keep;
    host.upgrade('b', "v2");
    assert_eq!(host.lineage(), ["v2=b", "v1=a"], "keep");

    let mut host = local_head(&[]);
    host.image('b', &["local:v2"]);
    host.remove_container("telemetry");
    host.run("telemetry", "local:v2");
    host.minutes(11);
    assert_eq!(
        host.lineage(),
        ["v2=b", "v1=a"],
        "promoted from the local container"
    );

    let mut host = local_head(&[]);
    host.workload().remotes.clear();
    host.image('b', &["local:v2"]);
    host.run("k8s_v2", "local:v2");
    host.minutes(11);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"], "no remotes");

    let mut host = local_head(&[]);
    host.upgrade('b', "v2");
    assert_eq!(host.lineage(), ["v2=b"], "struck");
    assert!(!host.images().iter().any(|image| image.id == id('a')));
}

#[test]
fn striking_makes_room_for_an_older_fallback() {
    let mut host = Host::with_head();
    host.remove_container("k8s_v1");
    host.image('e', &["local:v9"]);
    host.run("telemetry", "local:v9");
    host.minutes(11);
    assert_eq!(host.lineage(), ["v9=e", "v1=a"]);
    host.exit("telemetry", 0);
    host.upgrade('b', "v2");
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn a_promotion_says_what_it_replaced() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(10);
    host.pass();
    let promoted = EventKind::Promoted {
        version: Version::new("v2"),
        image: id('b'),
        up_ms: 10 * MINUTE_MS,
        replaced: Some(Version::new("v1")),
        fallback: Some(Version::new("v1")),
    };
    let kinds: Vec<_> = host.events.iter().map(|event| event.kind.clone()).collect();
    assert_eq!(kinds, [promoted]);
    assert_eq!(
        host.memory().lineage[0].promoted_at.as_deref(),
        Some("minute 21")
    );
    assert_eq!(host.uptime_ms, 21 * MINUTE_MS);
}

/// Why there is no fallback, on a host that has come to that; and that the next upgrade ends it.
#[test]
fn a_missing_fallback_has_a_reason() {
    let mut first = Host::with_head();
    let mut struck = local_head(&[]);
    struck.upgrade('b', "v2");
    let mut lost = Host::with_fallback();
    lost.lose_image('a');
    lost.pass();
    let mut rejected = Host::with_fallback();
    rejected.exit("k8s_v2", 1);
    roll_back_to(&mut rejected, RollbackTarget::Latest, usize::MAX);
    rejected.witness.has_rejections = true;
    rejected.remove_container("k8s_v2");
    rejected.run("k8s_v1", "remote:v1");
    rejected.pass();
    for (host, why) in [
        (&mut first, NoFallback::First),
        (&mut struck, NoFallback::Struck),
        (&mut lost, NoFallback::Lost),
        (&mut rejected, NoFallback::Rejected),
    ] {
        assert_eq!(host.plan().no_fallback, Some(why));
        host.workload().fallbacks = 0;
        assert_eq!(host.plan().no_fallback, None, "none is wanted");
        host.workload().fallbacks = 1;
        host.upgrade('c', "v3");
        assert_eq!(host.plan().no_fallback, None, "{why:?}");
    }
    assert_eq!(Host::with_fallback().plan().no_fallback, None);
}
