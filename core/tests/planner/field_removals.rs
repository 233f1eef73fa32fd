//! Field cases 38 to 41: removals that the engine refuses.

use tagkeeper_core::model::{ContainerState, Note, Reason, WorkloadName};

use crate::host::{DAY_MINUTES, Host, MINUTE_MS, REMOTE};

/// A refusal is shown while the removal is called for.
#[test]
fn case_38_what_is_wanted_again_is_shown_as_refused_no_more() {
    let mut host = Host::with_fallback();
    host.image('9', &["remote:v0"]);
    host.minutes(1);
    host.retire('9');
    host.refuses
        .insert(format!("{REMOTE}:v0"), "busy".to_owned());
    host.minutes(1);
    assert_eq!(host.plan().refused.len(), 1);
    host.run("debug", "remote:v0");
    assert_eq!(host.plan().refused, []);
}

/// Of a container, people are told the name.
#[test]
fn case_38_a_container_is_called_by_its_name() {
    let mut host = Host::with_fallback();
    host.run("telemetry", "remote:v1");
    host.exit("telemetry", 0);
    let id = host.container("telemetry").id.clone();
    host.refuses.insert(id.clone(), "busy".to_owned());
    host.minutes(2);
    let refused = &host.plan().refused[0];
    assert_eq!((&*refused.target, &*refused.called), (&*id, "telemetry"));
}

#[test]
fn case_38_a_removal_that_is_refused_for_ever_is_tried_ever_more_seldom() {
    let mut host = Host::with_fallback();
    host.upgrade('c', "v3");
    host.image('9', &["remote:v0"]);
    host.minutes(1);
    host.retire('9');
    let target = format!("{REMOTE}:v0");
    host.refuses.insert(
        target.clone(),
        "image has dependent child images".to_owned(),
    );
    let mut tries = Vec::new();
    while host.minute() < 5 * DAY_MINUTES {
        host.pass();
        if !host.refused.is_empty() {
            tries.push(host.minute());
        }
        // A pass each minute of the first hours, and then each hour.
        host.later(if host.minute() < 180 { 1 } else { 60 });
    }
    let waits: Vec<u64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits[..5], [1, 2, 4, 8, 16], "{tries:?}");
    assert!(waits.iter().all(|wait| *wait <= DAY_MINUTES), "{tries:?}");
    assert!(tries.len() <= 15, "{tries:?}");
    let refused = host.plan().refused;
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].target, target);
    // It gives way, or the image leaves: nothing of it stays on record.
    host.refuses.clear();
    host.later(DAY_MINUTES);
    host.minutes(2);
    assert!(!host.is_on_disk('9'));
    assert!(host.memory().refused.is_empty());
}

/// Doubled often enough, the wait itself once came to nothing.
#[test]
fn case_38_a_removal_that_was_refused_for_months_waits_a_day() {
    let mut host = Host::with_fallback();
    for times in 1..=100 {
        let now = host.now();
        let memory = host.memory_mut();
        memory.note_refused("v0".to_owned(), "in use".to_owned(), &now);
        let wait_ms = memory.refused["v0"].retry_ms - now.ms();
        assert_eq!(memory.refused["v0"].times, times);
        if times > 11 {
            assert_eq!(wait_ms, DAY_MINUTES * MINUTE_MS, "refused {times} times");
        }
    }
}

/// A sibling: what is refused does not stop what is to be removed beside it.
#[test]
fn case_38_what_is_refused_stops_nothing_else() {
    let mut host = Host::with_fallback();
    host.refuses.insert(
        format!("{REMOTE}:v1"),
        "image has dependent child images".to_owned(),
    );
    host.upgrade('c', "v3");
    host.upgrade('d', "v4");
    assert!(host.is_on_disk('a'));
    assert!(!host.is_on_disk('b'));
    assert_eq!(host.lineage(), ["v4=d", "v3=c"]);
}

#[test]
fn case_39_a_removal_that_fails_is_tried_once_a_pass_and_others_go_on() {
    let mut host = Host::local_head();
    host.add_workload("gnmi", "docker-gnmi", "registry.example:5000/docker-gnmi");
    host.image('7', &["docker-gnmi:latest", "docker-gnmi:v7"]);
    host.run("gnmi", "docker-gnmi:latest");
    host.exit("telemetry", 0);
    let stale = host.container("telemetry").id.clone();
    host.fails.insert(stale);
    host.deploy('b', "v2");
    for _ in 0..30 {
        host.minutes(1);
        assert!(host.failed.len() <= 1, "{:?}", host.failed);
    }
    assert_eq!(host.lineage()[0], "v2=b");
    assert!(host.has_container("telemetry"));
    assert_eq!(host.lineage_of(&WorkloadName::new("gnmi")), ["v7=7"]);
    host.fails.clear();
    host.minutes(1);
    assert!(!host.has_container("telemetry"));
}

/// A sibling: the engine refuses it (409). Until the next try it is a container like any other: it
/// uses its image, and nothing is tried each minute.
#[test]
fn case_39_a_stale_container_whose_removal_is_put_off_keeps_its_image() {
    let mut host = Host::local_head();
    host.workload().fallbacks = 0;
    host.exit("telemetry", 0);
    let stale = host.container("telemetry").id.clone();
    host.refuses
        .insert(stale, "driver failed to remove root filesystem".to_owned());
    host.upgrade('b', "v2");
    let mut tries = 0;
    for _ in 0..60 {
        host.minutes(1);
        let is_tried = !host.refused.is_empty();
        assert!(is_tried || host.dropped.is_empty(), "{:?}", host.dropped);
        tries += host.refused.len();
    }
    assert!((1..=6).contains(&tries), "{tries} tries");
    assert_eq!(host.reason("local:v1"), Reason::InUse);
    host.refuses.clear();
    host.later(DAY_MINUTES);
    host.minutes(2);
    assert!(!host.has_container("telemetry") && !host.is_on_disk('a'));
}

#[test]
fn case_40_a_local_container_that_hangs_in_removal_is_left_alone() {
    let mut host = Host::local_head();
    host.set_state("telemetry", ContainerState::Removing);
    for (digit, version) in [('b', "v2"), ('c', "v3"), ('d', "v4")] {
        host.upgrade(digit, version);
        assert_note!(host, Note::LocalRuns { .. });
        host.later(7 * DAY_MINUTES);
    }
    host.minutes(2);
    assert_eq!(host.lineage(), ["v4=d", "v3=c"]);
    assert!(host.has_container("telemetry"));
    assert!(host.is_on_disk('a') && !host.is_on_disk('b'));
}

#[test]
fn case_41_a_digest_in_a_foreign_repository_stays_and_nothing_loops() {
    let mut host = Host::with_fallback();
    host.image('9', &["remote:v0", "remote@9", "elsewhere/app@9"]);
    host.minutes(1);
    host.upgrade('c', "v3");
    host.minutes(2);
    let of_nine: Vec<_> = host
        .disk()
        .into_iter()
        .filter(|line| line.ends_with("=9"))
        .collect();
    assert_eq!(of_nine, ["elsewhere/app@9=9"]);
    let saves = host.saves;
    host.later(2 * DAY_MINUTES);
    for _ in 0..30 {
        host.minutes(1);
        assert_eq!((host.acted.len(), host.dropped.len()), (0, 0));
    }
    assert_eq!(host.saves, saves);
}

/// A sibling: the digest of a foreign repository is all that another image is left with, by hand.
#[test]
fn case_41_the_same_of_an_idle_image() {
    let mut host = Host::with_fallback();
    host.image('9', &["remote@9", "elsewhere/app:v9"]);
    host.minutes(1);
    host.later(2 * DAY_MINUTES);
    host.minutes(3);
    assert_eq!(host.meaning("elsewhere/app:v9"), Some('9'));
    assert!(!host.disk().contains(&"remote@9=9".to_owned()));
    assert_eq!(host.acted, [""; 0]);
}
