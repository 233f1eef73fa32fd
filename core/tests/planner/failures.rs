//! Upgrades that failed (design 4.3): who is remembered, and why it ended.

use tagkeeper_core::model::{ContainerState, EventKind, Outcome, RestartCause};
use tagkeeper_core::planner::FAILURES_KEPT;

use crate::host::{Host, MINUTE_MS, digit};

/// v2 soaks for three minutes.
fn soaking() -> Host {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(3);
    host
}

type Ending = (&'static str, Outcome, Option<i64>, fn(&mut Host));

fn endings() -> Vec<Ending> {
    vec![
        ("it ended by itself", Outcome::Failed, Some(1), |host| {
            host.exit("k8s_v2", 1);
        }),
        (
            "its restart policy loops",
            Outcome::Failed,
            Some(2),
            |host| {
                host.exit("k8s_v2", 2);
                host.set_state("k8s_v2", ContainerState::Restarting);
            },
        ),
        ("it was removed", Outcome::Withdrawn, None, |host| {
            host.remove_container("k8s_v2");
        }),
        ("it was replaced", Outcome::Withdrawn, None, |host| {
            host.deploy('c', "v3");
        }),
        (
            "it was stopped and replaced",
            Outcome::Withdrawn,
            None,
            |host| {
                host.exit("k8s_v2", 143);
                host.image('c', &["remote:v3"]);
                host.run("k8s_v3", "remote:v3");
            },
        ),
        ("killed and replaced", Outcome::Withdrawn, None, |host| {
            host.exit("k8s_v2", 137);
            host.image('c', &["remote:v3"]);
            host.run("k8s_v3", "remote:v3");
        }),
        (
            "it ended and was replaced",
            Outcome::Failed,
            Some(1),
            |host| {
                host.exit("k8s_v2", 1);
                host.image('c', &["remote:v3"]);
                host.run("k8s_v3", "remote:v3");
            },
        ),
        (
            "its image was removed by force",
            Outcome::Withdrawn,
            None,
            |host| {
                host.remove_container("k8s_v2");
                host.lose_image('b');
            },
        ),
    ]
}

#[test]
fn the_outcome_says_how_it_ended() {
    for (case, outcome, exit_code, ending) in endings() {
        let mut host = soaking();
        ending(&mut host);
        host.pass();
        let failure = &host.known().failures[0];
        let own_end = failure.own_end.as_ref();
        assert_eq!(failure.outcome, outcome, "{case}");
        assert_eq!(own_end.and_then(|end| end.exit_code), exit_code, "{case}");
        assert!(host.told().contains(&outcome.as_str()), "{case}");
        assert_ne!(host.pending().as_deref(), Some("v2=b"), "{case}");
    }
}

/// `latest` was moved away and back by hand: what soaked in between is what was proven all the time.
#[test]
fn what_is_proven_again_has_not_failed() {
    let mut host = Host::with_fallback();
    host.tag('a', "local:latest");
    host.minutes(3);
    assert_eq!(host.pending().as_deref(), Some("v2=b"));
    host.tag('b', "local:latest");
    host.pass();
    assert_eq!(host.pending(), None);
    assert!(host.known().failures.is_empty());
}

#[test]
fn a_restart_says_how_long_it_was_up() {
    let mut host = soaking();
    host.start("k8s_v2");
    host.pass();
    let EventKind::Restarted { cause, up_ms, .. } = &host.events[0].kind else {
        panic!("{:?}", host.events)
    };
    assert_eq!((cause, *up_ms), (&RestartCause::Restarted, 3 * MINUTE_MS));
}

#[test]
fn a_failure_tells_what_a_person_asks() {
    let mut host = soaking();
    host.start("k8s_v2");
    host.minutes(2);
    host.exit("k8s_v2", 3);
    host.details_of("k8s_v2").ran_secs = Some(77);
    host.pass();
    let failure = &host.known().failures[0];
    assert_eq!(
        (failure.version.as_str(), digit(&failure.image)),
        ("v2", 'b')
    );
    assert_eq!((failure.attempts, failure.up_secs), (2, 77));
    assert_eq!(failure.at, "minute 16");
}

#[test]
fn how_long_it_soaked_where_the_engine_does_not_say() {
    let mut host = soaking();
    host.remove_container("k8s_v2");
    host.pass();
    assert_eq!(host.known().failures[0].up_secs, 180);
}

#[test]
fn one_pass_is_no_failure_worth_keeping() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(1);
    host.exit("k8s_v2", 1);
    host.minutes(1);
    assert_eq!(host.pending(), None);
    assert!(host.known().failures.is_empty());
}

#[test]
fn one_pass_is_one_pass_however_many_rounds_it_has() {
    let mut host = Host::with_fallback();
    host.image('9', &["remote:v0"]);
    host.pass();
    host.retire('9');
    host.deploy('c', "v3");
    host.pass();
    assert_eq!(host.acted, ["rmi remote:v0"], "a second round");
    host.later(1);
    host.exit("k8s_v3", 1);
    host.pass();
    assert!(host.known().failures.is_empty());
}

#[test]
fn one_pass_is_one_pass_also_when_the_image_has_gone() {
    for (passes, failures) in [(1, 0), (2, 1)] {
        let mut host = Host::with_head();
        host.deploy('b', "v2");
        host.minutes(passes);
        host.remove_container("k8s_v2");
        host.lose_image('b');
        host.pass();
        assert_eq!(host.known().failures.len(), failures, "after {passes}");
    }
}

#[test]
fn a_loop_of_crashes_is_one_entry_however_briefly_each_is_up() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    for _ in 0..4 {
        host.minutes(1);
        host.exit("k8s_v2", 1);
        host.minutes(1);
        host.start("k8s_v2");
    }
    assert_eq!(host.known().failures.len(), 1);
    assert_eq!(
        host.known().failures[0].attempts,
        3,
        "the first was seen but once"
    );
}

#[test]
fn the_last_few_images_newest_first() {
    let mut host = Host::with_head();
    let digits = ['2', '3', '4', '5', '6', '7', '8'];
    for digit in digits {
        host.deploy(digit, &format!("v{digit}"));
        host.minutes(2);
    }
    host.deploy('3', "v3");
    host.minutes(2);
    host.remove_container("k8s_v3");
    host.pass();
    let failed: Vec<_> = host
        .known()
        .failures
        .iter()
        .map(|f| digit(&f.image))
        .collect();
    assert_eq!(failed, ['3', '8', '7', '6', '5']);
    assert_eq!(failed.len(), FAILURES_KEPT);
}

#[test]
fn a_failure_retires_nothing() {
    let mut host = soaking();
    host.exit("k8s_v2", 1);
    host.minutes(3);
    assert!(host.retired().is_empty());
    assert_eq!(
        host.disk(),
        ["local:latest=a", "remote:v1=a", "remote:v2=b"]
    );
}

#[test]
fn going_back_to_what_is_proven_ends_the_upgrade() {
    let mut host = soaking();
    host.deploy('a', "v1");
    host.pass();
    assert_eq!(host.pending(), None);
    assert_eq!(host.known().failures[0].outcome, Outcome::Withdrawn);
}

/// It comes back as a new image, so one pass alone has seen it pending this time.
#[test]
fn what_was_withdrawn_and_fails_when_it_is_back_is_said_and_counted_alike() {
    let mut host = soaking();
    host.remove_container("k8s_v2");
    host.lose_image('b');
    host.minutes(2);
    assert_eq!(host.known().failures[0].outcome, Outcome::Withdrawn);
    host.deploy('b', "v2");
    host.minutes(1);
    host.exit("k8s_v2", 1);
    host.minutes(1);
    assert_eq!(host.told(), ["failed"]);
    assert_eq!(host.known().failures[0].outcome, Outcome::Failed);
    assert_eq!(host.known().counters.failures, 1);
}
