//! What is written down of images for people, and that it stays small.

use tagkeeper_core::model::{HISTORY_KEPT, ImageHistory, RemovedBy};

use crate::host::{DAY_MINUTES, Host, digit, id};
use crate::rollback::roll_back;

fn past(host: &Host, image: char) -> &ImageHistory {
    let mut history = host.known().history.iter();
    let found = history.find(|past| past.image == id(image));
    found.unwrap_or_else(|| panic!("nothing of {image}: {:#?}", host.known().history))
}

fn at(minute: u64) -> String {
    format!("minute {minute}")
}

#[test]
fn the_life_of_an_image() {
    let mut host = Host::with_head();
    host.later(100);
    let arrived = host.minute();
    host.upgrade('b', "v2");
    let promoted = arrived + 10;
    let v2 = past(&host, 'b');
    assert_eq!(v2.version.as_str(), "v2");
    assert_eq!(v2.first_seen_at, Some(at(arrived)));
    assert_eq!(v2.promoted_at, Some(at(promoted)));
    assert_eq!(
        (&v2.replaced, &v2.retired, &v2.removed),
        (&None, &None, &None)
    );

    let v3_arrived = host.minute();
    host.upgrade('c', "v3");
    let replaced = past(&host, 'b').replaced.clone().unwrap();
    assert_eq!(
        (replaced.by.as_str(), replaced.at),
        ("v3", at(v3_arrived + 10))
    );

    let v4_arrived = host.minute();
    host.upgrade('d', "v4");
    let v2 = past(&host, 'b');
    let retired = v2.retired.clone().unwrap();
    assert_eq!(retired.by.unwrap().as_str(), "v4");
    let removed = v2.removed.clone().unwrap();
    assert_eq!(
        (removed.why, removed.at),
        (RemovedBy::Retired, at(v4_arrived + 10))
    );
}

#[test]
fn of_a_crowd_the_first_few() {
    let mut host = Host::new();
    for image in "0123456789abcdef".chars() {
        host.image(image, &[&format!("remote:v{image}")]);
    }
    host.pass();
    assert_eq!(host.known().history.len(), HISTORY_KEPT);
    assert_eq!(past(&host, '0').first_seen_at, Some(at(0)));
}

#[test]
fn why_an_image_left_the_disk() {
    type Arrange = fn(&mut Host);
    let table: &[(&str, RemovedBy, Arrange)] = &[
        ("its grace was over", RemovedBy::Idle, |host| {
            host.later(DAY_MINUTES + 1);
        }),
        ("somebody removed it", RemovedBy::Other, |host| {
            host.lose_image('9');
        }),
        ("a promotion made it obsolete", RemovedBy::Retired, |host| {
            host.upgrade('c', "v3");
        }),
    ];
    for (case, why, arrange) in table {
        let mut host = Host::with_fallback();
        host.image('9', &["remote:v9"]);
        host.pass();
        host.later(5);
        arrange(&mut host);
        host.pass();
        let gone = past(&host, '9');
        assert_eq!(gone.removed.as_ref().map(|r| r.why), Some(*why), "{case}");
        assert_eq!(
            gone.version.as_str(),
            "v9",
            "{case}: known, though it is gone"
        );
    }
}

#[test]
fn an_image_that_comes_back_is_there() {
    let mut host = Host::with_fallback();
    host.image('9', &["remote:v9"]);
    host.pass();
    host.lose_image('9');
    host.pass();
    assert!(past(&host, '9').removed.is_some());
    host.later(10);
    host.image('9', &["remote:v9"]);
    let again = host.minute();
    host.pass();
    let back = past(&host, '9');
    assert_eq!(
        (&back.removed, &back.first_seen_at),
        (&None, &Some(at(again)))
    );
}

#[test]
fn an_image_that_is_somebody_elses_now_has_not_left_the_disk() {
    let mut host = Host::with_fallback();
    host.image('9', &["remote:v9"]);
    host.pass();
    host.untag("remote:v9");
    host.image('9', &["elsewhere:v9"]);
    host.pass();
    assert!(!host.memory().images.contains_key(&id('9')));
    assert_eq!(past(&host, '9').removed, None);
}

#[test]
fn a_rollback_replaces_what_it_rejects() {
    let mut host = Host::with_fallback();
    roll_back(&mut host, usize::MAX);
    let replaced = past(&host, 'b').replaced.clone().unwrap();
    assert_eq!(replaced.by.as_str(), "v1");
}

#[test]
fn a_fallback_that_the_policy_drops_is_retired_by_nobody() {
    let mut host = Host::with_fallback();
    host.workload().fallbacks = 0;
    host.pass();
    let dropped = past(&host, 'a');
    assert_eq!(dropped.retired.as_ref().map(|r| &r.by), Some(&None));
    host.pass();
    assert!(past(&host, 'a').removed.is_some());
}

/// A state that grows with everything that ever happened would wear the flash that it lies on.
#[test]
fn it_stays_small_and_keeps_what_was_promoted() {
    let mut host = Host::with_fallback();
    for round in 0..40 {
        let image = char::from_digit(round % 16, 16).unwrap();
        if host.memory().images.contains_key(&id(image)) {
            continue;
        }
        host.image(image, &[&format!("remote:junk{round}")]);
        host.pass();
        host.later(DAY_MINUTES + 1);
        host.pass();
    }
    let history = &host.known().history;
    let promoted = history.iter().filter(|past| past.promoted_at.is_some());
    assert_eq!(
        promoted.map(|past| digit(&past.image)).collect::<String>(),
        "ab"
    );
    assert!(history.len() <= 2 + HISTORY_KEPT, "{}", history.len());
}

#[test]
fn an_idle_pass_writes_no_history() {
    let mut host = Host::with_fallback();
    host.minutes(3);
    let saves = host.saves;
    host.minutes(100);
    assert_eq!(host.saves, saves);
}

#[test]
fn what_soaks_again_is_not_obsolete_any_more() {
    let mut host = Host::with_fallback();
    host.image('9', &["remote:v9"]);
    host.run("debug", "remote:v9");
    host.exit("debug", 0);
    host.minutes(1);
    host.upgrade('c', "v3");
    assert!(past(&host, '9').retired.is_some());
    host.exit("k8s_v3", 0);
    host.start("debug");
    host.pass();
    assert_eq!(past(&host, '9').retired, None);
}

#[test]
fn an_image_that_left_is_remembered_by_the_version_that_it_failed_as() {
    let mut host = Host::with_head();
    for (image, version) in [('8', "v8"), ('9', "v9")] {
        host.deploy_in_vain(image, version);
    }
    host.remove_container("k8s_v8");
    host.known_mut().history.clear();
    host.lose_image('8');
    host.pass();
    assert_eq!(past(&host, '8').version.as_str(), "v8");
}
