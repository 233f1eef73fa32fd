//! Field cases 1 to 7: tags that move.

use tagkeeper_core::model::{LocalFallback, Note, Reason};

use crate::host::{DAY_MINUTES, Host, digit, id};

/// The tag of a remote is pulled anew: another image, with a digest or without.
fn pull(host: &mut Host, digit: char, tag: &str, with_digest: bool) {
    host.image(digit, &[&format!("remote:{tag}")]);
    if with_digest {
        host.tag(digit, &format!("remote@{digit}"));
    }
}

/// The names of an image that a prune spares.
fn lasting_names(host: &Host, digit: char) -> usize {
    let names = host.disk();
    let of_image = names
        .iter()
        .filter(|line| line.ends_with(&format!("={digit}")));
    of_image
        .filter(|line| !line.contains('@') && !line.contains(":latest="))
        .count()
}

#[test]
fn case_01_the_third_build_under_one_tag_is_not_taken_for_the_first() {
    for dry_runs in [true, false] {
        for with_digest in [true, false] {
            let mut host = Host::shipped();
            host.workload().dry_runs = dry_runs;
            host.exit("telemetry", 0);
            for build in ['b', 'c'] {
                pull(&mut host, build, "stable", with_digest);
                host.pass();
                host.upgrade(build, "stable");
            }
            assert_eq!(host.lineage()[..2], ["stable=c", "stable=b"]);
            pull(&mut host, 'd', "stable", with_digest);
            host.minutes(3);
            assert_eq!(host.meaning("remote:stable"), Some('d'));
            assert!(host.is_on_disk('d'));
            assert_eq!(host.latest(), Some('c'));
            host.deploy('d', "stable");
            host.minutes(11);
            assert_eq!(host.lineage()[..2], ["stable=d", "stable=c"]);
            assert!(host.is_on_disk('c') && lasting_names(&host, 'c') > 0);
        }
    }
}

/// A sibling: the build is pulled, and a day goes by before it is deployed.
#[test]
fn case_01_a_pulled_build_has_its_grace_and_the_proven_ones_stay() {
    let mut host = Host::with_head();
    host.upgrade('b', "stable");
    pull(&mut host, 'c', "stable", true);
    host.later(2 * DAY_MINUTES);
    host.minutes(3);
    host.later(2 * DAY_MINUTES);
    host.minutes(3);
    assert_eq!(host.latest(), Some('b'));
    assert!(host.is_on_disk('a') && host.is_on_disk('b'));
    assert!(lasting_names(&host, 'b') > 0);
}

/// A sibling: the next build is pulled while this one soaks, and this one's soak begins again.
#[test]
fn case_01_a_build_that_was_pulled_during_a_soak_that_was_broken_off_stays() {
    let mut host = Host::with_head();
    pull(&mut host, 'b', "stable", false);
    host.upgrade('b', "stable");
    host.deploy_by_digest('c', "stable");
    host.minutes(2);
    pull(&mut host, 'd', "stable", false);
    host.minutes(2);
    host.image('9', &["remote:other"]);
    host.run("k8s_other", "remote:other");
    host.minutes(1);
    host.remove_container("k8s_other");
    host.minutes(12);
    assert_eq!(host.lineage()[..2], ["stable=c", "stable=b"]);
    assert_eq!(host.meaning("remote:stable"), Some('d'));
}

#[test]
fn case_02_the_same_label_of_another_image_is_promoted_without_dry_runs() {
    let mut host = Host::new();
    host.workload().dry_runs = false;
    host.image('a', &["local:latest", "local:stable"]);
    host.run("telemetry", "local:latest");
    host.minutes(12);
    host.exit("telemetry", 0);
    host.image('b', &["remote:stable"]);
    host.run("k8s_stable", "remote:stable");
    host.minutes(11);
    assert_eq!(host.lineage(), ["stable=b", "stable=a"]);
    assert!(!host.has_container("telemetry"), "R2");
}

#[test]
fn case_02_with_dry_runs_a_person_is_told_which_key_to_set() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "local:stable"]);
    host.run("telemetry", "local:latest");
    host.minutes(12);
    host.exit("telemetry", 0);
    host.minutes(1);
    host.image('b', &["remote:stable"]);
    host.run("k8s_stable", "remote:stable");
    host.minutes(30);
    assert_eq!(host.lineage(), ["stable=a"], "a dry run");
    assert_note!(host, Note::TagMoved { .. });
}

#[test]
fn case_03_a_failed_build_under_the_tag_of_the_proven_one_leaves_after_its_grace() {
    let mut host = Host::with_head();
    host.upgrade('b', "stable");
    host.deploy_in_vain('c', "stable");
    host.remove_container("k8s_stable");
    host.minutes(2);
    assert_eq!(
        host.reason("remote:stable"),
        Reason::Grace,
        "no twin: it ran"
    );
    host.later(DAY_MINUTES);
    host.minutes(2);
    assert!(!host.is_on_disk('c'));
    assert_eq!(host.latest(), Some('b'));
    assert!(lasting_names(&host, 'b') > 0);
}

#[test]
fn case_04_a_remote_latest_that_moves_leaves_latest_and_one_fallback() {
    for with_digest in [true, false] {
        let mut host = Host::shipped();
        host.exit("telemetry", 0);
        for build in ['b', 'c', 'd'] {
            pull(&mut host, build, "latest", with_digest);
            host.deploy(build, "latest");
            host.minutes(12);
            assert_eq!(host.latest(), Some(build), "digests: {with_digest}");
        }
        host.minutes(2);
        assert_eq!(host.images().len(), 2, "{:?}", host.disk());
        for build in ['c', 'd'] {
            assert!(lasting_names(&host, build) > 0, "{:?}", host.disk());
        }
    }
}

#[test]
fn case_05_a_rebuild_of_the_fallbacks_version_keeps_its_name() {
    for pulled_in_soak in [true, false] {
        let mut host = Host::shipped();
        host.workload().local_fallback = LocalFallback::Keep;
        host.exit("telemetry", 0);
        host.deploy('b', "v2");
        host.minutes(5);
        if pulled_in_soak {
            host.image('d', &["remote:v1"]);
        }
        host.minutes(7);
        assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
        host.image('d', &["remote:v1"]);
        host.minutes(3);
        assert_eq!(host.meaning("remote:v1"), Some('d'));
        host.deploy('d', "v1");
        host.minutes(11);
        assert_eq!(host.lineage(), ["v1=d", "v2=b"]);
        assert_eq!(host.meaning("remote:v1"), Some('d'));
        assert!(!host.is_on_disk('a'));
    }
}

/// A sibling: the rebuild was pulled before the upgrade, as for a dry run. Then R4 cannot tell.
#[test]
fn case_05_a_rebuild_in_use_keeps_its_name() {
    let mut host = Host::shipped();
    host.minutes(11);
    host.image('d', &["remote:v1"]);
    host.run("debug", "remote:v1");
    host.exit("debug", 0);
    host.minutes(2);
    host.exit("telemetry", 0);
    host.deploy('b', "v2");
    host.minutes(13);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert_eq!(host.meaning("remote:v1"), Some('d'), "a container uses it");
    host.remove_container("debug");
    host.minutes(2);
    assert_eq!(host.meaning("remote:v1"), Some('a'));
    assert!(!host.is_on_disk('d'));
}

/// A sibling: while the first build of v2 soaks, a second is pulled and deployed, and then a third,
/// which is not.
#[test]
fn case_05_rebuilds_of_the_version_that_soaks() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(4);
    host.image('e', &["remote:v2"]);
    host.minutes(2);
    assert_eq!(host.pending().as_deref(), Some("v2=b"));
    host.deploy('e', "v2");
    host.minutes(5);
    host.image('f', &["remote:v2"]);
    host.minutes(9);
    assert_eq!(host.lineage(), ["v2=e", "v1=a"]);
    assert_eq!(host.meaning("local:v2"), Some('e'));
    host.later(2 * DAY_MINUTES);
    host.minutes(2);
    assert!(!host.is_on_disk('b'));
    assert_eq!(host.meaning("remote:v2"), Some('f'));
    host.deploy('f', "v2");
    host.minutes(12);
    assert_eq!(host.lineage(), ["v2=f", "v2=e"]);
    assert_eq!(host.disk(), ["local:latest=f", "local:v2=e", "remote:v2=f"]);
}

#[test]
fn case_06_what_is_retired_loses_all_of_its_names() {
    for deployed_as in ["number", "edge"] {
        let mut host = Host::new();
        let release = |host: &mut Host, digit: char, number: u32| {
            let tags = [
                format!("remote:1.{number}"),
                format!("remote:rc-{number}"),
                "remote:edge".to_owned(),
            ];
            host.image(digit, &[&tags[0], &tags[1], &tags[2]]);
            if number == 1 {
                host.tag(digit, "local:latest");
            }
            let tag = if deployed_as == "edge" {
                "edge".to_owned()
            } else {
                format!("1.{number}")
            };
            host.deploy(digit, &tag);
            host.minutes(13);
        };
        for (digit, number) in [('a', 1), ('b', 2), ('c', 3)] {
            release(&mut host, digit, number);
        }
        let mut disk = host.disk();
        disk.retain(|line| !line.starts_with("local:") || line.starts_with("local:latest"));
        assert_eq!(
            disk,
            [
                "local:latest=c",
                "remote:1.2=b",
                "remote:1.3=c",
                "remote:edge=c",
                "remote:rc-2=b",
                "remote:rc-3=c"
            ],
            "{deployed_as}"
        );
    }
}

#[test]
fn case_07_a_fallback_whose_name_was_pulled_anew_gets_another() {
    for forced in [false, true] {
        let mut host = Host::with_fallback();
        host.image('d', &["remote:v1"]);
        if forced {
            host.tag('d', "local:v1");
        }
        host.minutes(2);
        assert!(lasting_names(&host, 'a') > 0, "{:?}", host.disk());
        // `docker image prune` takes what has no name.
        host.prune_images();
        assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
        assert!(host.images().iter().any(|image| image.id == id('a')));
        assert_eq!(host.meaning("remote:v1"), Some('d'), "it stays what it is");
    }
}

/// A sibling: the head loses its name while it serves.
#[test]
fn case_07_the_head_gets_a_name_beside_latest_too() {
    let mut host = Host::with_fallback();
    host.image('d', &["remote:v2"]);
    host.minutes(2);
    assert_eq!(host.meaning("local:v2"), Some('b'));
    assert_eq!(host.latest(), Some('b'));
}

/// A sibling: every version of the lineage is pulled anew, under its remote and its local name.
#[test]
fn case_07_a_lineage_whose_names_are_all_taken() {
    let mut host = Host::with_fallback();
    host.workload().fallbacks = 2;
    host.upgrade('c', "v3");
    for (digit, version) in [('7', "v1"), ('8', "v2"), ('9', "v3")] {
        host.image(
            digit,
            &[&format!("remote:{version}"), &format!("local:{version}")],
        );
    }
    host.minutes(2);
    for digit in ['a', 'b', 'c'] {
        assert!(lasting_names(&host, digit) > 0, "{:?}", host.disk());
    }
    host.upgrade('d', "v4");
    host.minutes(2);
    assert_eq!(host.lineage(), ["v4=d", "v3=c", "v2=b"]);
    let mut left: Vec<char> = host.images().iter().map(|i| digit(&i.id)).collect();
    left.sort_unstable();
    assert_eq!(left, ['b', 'c', 'd'], "{:?}", host.disk());
}

/// The next release is the same image under another tag.
#[test]
fn a_version_of_the_image_that_is_latest_already_changes_nothing() {
    let mut host = Host::with_fallback();
    host.deploy('b', "v3");
    host.minutes(13);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert_eq!(host.pending(), None);
    host.upgrade('c', "v4");
    host.minutes(2);
    assert_eq!(host.lineage(), ["v4=c", "v2=b"]);
    assert_eq!(host.meaning("remote:v3"), Some('b'));
    assert!(!host.is_on_disk('a'));
}

/// Found by a random history: in its last minute, while the next version is pulled, the upgrade
/// loses its tag. Its image has none but a foreign name for one round, and is forgotten; it is no
/// newcomer for all that, which the next version would have been there before.
#[test]
fn what_came_during_the_soak_is_not_before_an_upgrade_that_lost_its_name() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.tag('b', "mirror.example/app:v2");
    host.minutes(10);
    host.look_ms = 1000;
    host.untag("remote:v2");
    host.image('c', &["remote:v3"]);
    host.minutes(2);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert_eq!(host.meaning("remote:v3"), Some('c'), "{:?}", host.disk());
}
