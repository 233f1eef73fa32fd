//! Upgrades that failed (design 4.3): who is remembered, and why it ended.

use tagkeeper_core::model::{ContainerState, EventKind, Outcome, SoakTrouble, Waits};
use tagkeeper_core::planner::{FAILURES_KEPT, status};

use crate::host::{DAY_MINUTES, Host, MINUTE_MS, digit, telemetry};
use crate::rollback::decided;

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

/// `latest` was moved away and back by hand: what soaked in between is what was proven all the
/// time.
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
    assert_eq!((cause, *up_ms), (&SoakTrouble::Restarted, 3 * MINUTE_MS));
}

#[test]
fn a_failure_tells_what_a_person_asks() {
    let mut host = soaking();
    host.start("k8s_v2");
    host.minutes(2);
    host.exit("k8s_v2", 3);
    host.ran_secs = Some(77);
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
    assert!(host.told().is_empty());
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
    let mut told = Vec::new();
    for _ in 0..4 {
        host.minutes(1);
        told.extend(host.told());
        host.exit("k8s_v2", 1);
        host.minutes(1);
        told.extend(host.told());
        host.start("k8s_v2");
    }
    assert_eq!(host.known().failures.len(), 1);
    assert_eq!(host.known().failures[0].attempts, 4);
    assert_eq!(told, ["pending", "restarted", "failed"], "each once");
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

/// v3 ends a moment after its start, with this exit code, and no pass comes in between.
fn crashed(code: i64) -> Host {
    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    host.exit("k8s_v3", code);
    host
}

#[test]
fn a_crash_loop_that_no_pass_has_seen_run_has_failed_when_two_have_seen_it() {
    let mut host = crashed(3);
    host.minutes(1);
    assert!(host.told().is_empty(), "it does not run");
    assert_eq!(host.pending().as_deref(), Some("v3=c"));
    host.minutes(1);
    assert_eq!(host.told(), ["failed"]);
    let failure = &host.known().failures[0];
    assert_eq!(
        (failure.version.as_str(), failure.outcome),
        ("v3", Outcome::Failed)
    );
    assert_eq!(failure.own_end.as_ref().unwrap().exit_code, Some(3));
}

/// An upgrade of the local container by hand: it has run, and is no dry run beside itself.
#[test]
fn a_local_crash_loop_that_no_pass_has_seen_run_has_failed_as_well() {
    let mut host = Host::local_head();
    host.image('9', &["local:v9", "local:latest"]);
    host.remove_container("telemetry");
    host.run("telemetry", "local:latest");
    for _ in 0..2 {
        host.exit("telemetry", 3);
        host.minutes(1);
        host.start("telemetry");
    }
    let failed = host.known().failures.first().map(|f| f.version.as_str());
    assert_eq!(failed, Some("v9"));
    assert_eq!(host.known().counters.failures, 1);
    assert_eq!(
        host.plan().failing_in,
        ["telemetry"],
        "although it is latest"
    );
}

/// `latest` was moved away from the head, which is restarted for that, and so it soaks again. It is
/// proven, and no upgrade.
#[test]
fn a_head_that_soaks_again_and_ends_has_not_failed() {
    for code in [1, 143] {
        let mut host = Host::local_head();
        host.image('9', &["local:v9", "local:latest"]);
        host.minutes(3);
        assert_eq!(host.pending().as_deref(), Some("v1=a"));
        host.exit("telemetry", code);
        host.minutes(2);
        assert!(host.known().failures.is_empty(), "{code}");
        assert_eq!(host.known().counters.failures, 0, "{code}");
        assert!(!host.told().contains(&"failed"), "{code}");
    }
}

/// Once it is said, a container that stays as it is costs nothing, and a new attempt is no news.
#[test]
fn what_crashed_is_said_once() {
    let mut host = crashed(3);
    host.minutes(2);
    let state = host.state.clone();
    host.asked.clear();
    host.minutes(60);
    assert!(host.asked.is_empty(), "{:?}", host.asked);
    assert_eq!(host.state.workloads, state.workloads);
    host.roll_out("v3", "remote:v3");
    host.exit("k8s_v3", 3);
    host.minutes(5);
    assert!(host.told().is_empty());
    assert_eq!(host.known().counters.failures, 1);
}

#[test]
fn a_first_attempt_that_crashed_delays_the_soak_and_no_more() {
    let mut host = crashed(3);
    host.minutes(1);
    host.run("k8s_v3_1", "remote:v3");
    host.minutes(12);
    assert_eq!(host.lineage(), ["v3=c", "v2=b"]);
    assert!(host.known().failures.is_empty());
}

/// The orchestrator has taken it back within the minute, and what crashed is still there.
#[test]
fn what_crashed_and_was_taken_back_between_two_passes_has_failed() {
    let mut host = crashed(3);
    host.run("k8s_v2_again", "remote:v2");
    host.minutes(2);
    assert_eq!(host.told(), ["failed"]);
    assert_eq!(host.known().failures[0].version.as_str(), "v3");
    assert_eq!(host.latest(), Some('b'));
}

/// What others left behind is newer: a stopped container of the fallback, an attempt of a version
/// that was told to stop.
#[test]
fn a_newer_container_of_another_image_does_not_hide_what_crashed() {
    let newer: [fn(&mut Host); 2] = [
        |host| host.run("k8s_newer", "remote:v1"),
        |host| {
            host.image('d', &["remote:v4"]);
            host.run("k8s_newer", "remote:v4");
        },
    ];
    for run_newer in newer {
        let mut host = crashed(3);
        run_newer(&mut host);
        host.exit("k8s_newer", 0);
        host.minutes(2);
        assert_eq!(host.told(), ["failed"]);
        assert_eq!(host.known().failures[0].version.as_str(), "v3");
    }
}

/// Between its attempts nothing runs; the second look finds it so, and a third has to.
#[test]
fn what_ran_at_one_look_and_stays_down_has_failed() {
    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    host.minutes(1);
    host.exit("k8s_v3", 1);
    host.minutes(1);
    assert!(host.known().failures.is_empty());
    host.minutes(1);
    assert_eq!(host.told(), ["failed"]);
}

/// v3 had run for a while, and its containers are still there, stopped.
#[test]
fn a_crash_of_the_next_version_ends_the_upgrade_that_waits() {
    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    host.minutes(3);
    host.exit("k8s_v3", 0);
    host.image('d', &["remote:v4"]);
    host.run("k8s_v4", "remote:v4");
    host.exit("k8s_v4", 1);
    host.minutes(1);
    assert_eq!(host.pending().as_deref(), Some("v4=d"));
    host.minutes(1);
    let outcomes: Vec<_> = host
        .known()
        .failures
        .iter()
        .map(|f| (f.version.as_str(), f.outcome))
        .collect();
    assert_eq!(
        outcomes,
        [("v4", Outcome::Failed), ("v3", Outcome::Withdrawn)]
    );
}

/// The local container runs, and what the orchestrator starts beside it finds the port taken.
fn dry_run_that_crashed(reference: &str) -> Host {
    let mut host = Host::local_head();
    host.ask_ready();
    host.image('d', &[reference]);
    host.run("k8s_v1", reference);
    host.exit("k8s_v1", 1);
    host
}

#[test]
fn what_ended_otherwise_has_not_crashed() {
    type Story = (&'static str, fn() -> Host);
    let stories: [Story; 7] = [
        ("it was stopped", || crashed(143)),
        ("a shell in it", || {
            let mut host = crashed(1);
            host.container("k8s_v3").interactive = true;
            host
        }),
        ("it was created only", || {
            let mut host = crashed(1);
            host.set_state("k8s_v3", ContainerState::Created);
            host
        }),
        ("its next attempt is being created", || {
            let mut host = crashed(1);
            host.run("k8s_v3_1", "remote:v3");
            host.set_state("k8s_v3_1", ContainerState::Created);
            host
        }),
        ("a dry run", || dry_run_that_crashed("remote:v1")),
        ("perhaps a dry run", || dry_run_that_crashed("remote@d")),
        ("what a promotion retired", || {
            let mut host = crashed(1);
            host.retire('c');
            host
        }),
    ];
    for (what, story) in stories {
        let mut host = story();
        host.minutes(3);
        assert!(host.known().failures.is_empty(), "{what}");
        assert_eq!(host.pending(), None, "{what}");
    }
}

/// What crashed before the first pass saw it run is not about to soak, and when it is up again, it
/// has restarted: no other container has joined it.
#[test]
fn what_has_not_run_yet_waits_for_a_container_to_run() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.exit("k8s_v2", 1);
    host.pass();
    assert_eq!(host.pending().as_deref(), Some("v2=b"));
    let waits = |host: &Host| {
        let mut later = host.clone();
        later.uptime_ms += 1;
        let observed = later.observe();
        let shown = status(&host.policy, &host.state, &observed);
        shown.workloads[&telemetry()].pending.clone().unwrap().waits
    };
    assert_eq!(waits(&host), Some(Waits::Running));
    host.start("k8s_v2");
    host.pass();
    let causes: Vec<&SoakTrouble> = host
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Restarted { cause, .. } => Some(cause),
            _ => None,
        })
        .collect();
    assert_eq!(causes, [&SoakTrouble::Restarted]);
    assert_eq!(waits(&host), None);
}

/// The first look cannot tell when a container ended, nor that it was an upgrade.
#[test]
fn what_the_first_look_finds_ended_is_no_failed_upgrade() {
    // The local container of the version before, which ended with an error when it was told to
    // stop; and something old that somebody left.
    for (container, reference) in [("telemetry", "local:v1"), ("old", "remote:v1")] {
        let mut host = Host::new();
        host.image('a', &["local:v1", "remote:v1"]);
        host.image('b', &["local:latest", "remote:v2"]);
        host.run(container, reference);
        host.exit(container, 1);
        host.run("k8s_v2", "remote:v2");
        host.minutes(15);
        assert_eq!(host.lineage(), ["v2=b"]);
        assert!(host.known().failures.is_empty(), "{container}");
        host.remove_container(container);
        host.minutes(1);
        host.later(2 * DAY_MINUTES);
        host.minutes(2);
        assert!(host.is_on_disk('a'), "{container}: nothing has replaced it");
    }
}

#[test]
fn a_crash_loop_that_the_first_look_finds_has_failed() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "remote:v1"]);
    host.image('b', &["remote:v2"]);
    host.run("k8s_v2", "remote:v2");
    host.exit("k8s_v2", 1);
    host.set_state("k8s_v2", ContainerState::Restarting);
    host.minutes(3);
    assert_eq!(host.known().failures[0].outcome, Outcome::Failed);
    // So it is not kept as what may be all that ever worked here.
    host.remove_container("k8s_v2");
    host.minutes(1);
    host.later(2 * DAY_MINUTES);
    host.minutes(2);
    assert!(!host.is_on_disk('b'));
    assert_eq!(host.latest(), Some('a'));
}

/// What lies there since before the upgrade is no news after a reboot either.
#[test]
fn after_a_reboot_an_older_crash_ends_no_soak() {
    let mut host = Host::with_head();
    host.image('b', &["remote:v2"]);
    host.run("job", "remote:v2");
    host.exit("job", 1);
    host.deploy('c', "v3");
    host.minutes(3);
    host.reboot_stopped(255);
    host.minutes(3);
    assert_eq!(host.pending().as_deref(), Some("v3=c"));
    host.start("k8s_v3");
    host.minutes(11);
    assert_eq!(host.lineage(), ["v3=c", "v1=a"]);
}

/// The container of v3 is still there when v1, which is older, is promoted once more.
#[test]
fn a_failure_that_is_settled_does_not_come_back() {
    let mut host = Host::with_fallback();
    host.deploy_in_vain('c', "v3");
    host.minutes(1);
    host.run("k8s_v1", "remote:v1");
    host.minutes(12);
    assert_eq!(host.lineage()[0], "v1=a");
    let settled = host.known().failures.clone();
    host.minutes(5);
    assert_eq!(host.known().failures, settled);
    assert_eq!(host.plan().failing, None);
}

/// Only so many failures are remembered, and the containers of all of them are left.
#[test]
fn more_failures_than_are_remembered_are_said_once_each() {
    let mut host = Host::with_head();
    for (n, digit) in ('b'..'i').enumerate() {
        let version = format!("v{}", n + 2);
        host.image(digit, &[&format!("remote:{version}")]);
        host.run(&format!("k8s_{version}"), &format!("remote:{version}"));
        host.exit(&format!("k8s_{version}"), 1);
        host.minutes(3);
    }
    let (saves, failed) = (host.saves, host.known().counters.failures);
    assert_eq!(failed, 7);
    for _ in 0..10 {
        host.minutes(1);
        assert_eq!(host.told(), [""; 0]);
    }
    assert_eq!(
        (host.saves, host.known().counters.failures),
        (saves, failed)
    );
}

#[test]
fn a_head_that_crash_loops_off_latest_is_not_written_each_minute() {
    let mut host = Host::with_fallback();
    host.exit("k8s_v2", 1);
    host.set_state("k8s_v2", ContainerState::Restarting);
    host.tag('a', "local:latest");
    host.minutes(3);
    let saves = host.saves;
    host.minutes(5);
    assert_eq!(host.saves, saves);
}

/// For a post-mortem: it is no attempt to run the version as a service.
#[test]
fn a_shell_of_a_failed_version_fails_nothing() {
    let mut host = Host::with_fallback();
    host.deploy_in_vain('c', "v3");
    host.roll_out("v2", "remote:v2");
    host.minutes(2);
    assert_eq!(host.plan().failing, None);
    host.run_shell("debug", "remote:v3");
    host.minutes(2);
    assert_eq!(host.plan().failing, None);
    assert_eq!(decided(&host).unwrap().rejected.as_str(), "v2");
}
