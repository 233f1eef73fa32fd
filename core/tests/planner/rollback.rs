//! What a person asks for (design 7): `rollback` and `accept`.

use tagkeeper_core::model::{
    Action, ActionKind, ContainerState, EventKind, ImageId, Note, Version, WorkloadName,
};
use tagkeeper_core::planner::{
    Refusal, RollbackPlan, RollbackTarget, accept, decide, rollback, rollback_actions,
    rollback_steps,
};

use crate::engine::Applied;
use crate::host::{Host, describe, digit, id, telemetry};

/// What the command does first: brings the state up to the host, then decides.
pub(crate) fn decided_for(host: &Host, what: RollbackTarget) -> Result<RollbackPlan, Refusal> {
    let mut copy = host.clone();
    let observed = copy.observe_for_rollback();
    let current = decide(&host.policy, &host.state, &observed).state;
    rollback(&host.policy, &current, &observed, &telemetry(), what)
}

pub(crate) fn decided(host: &Host) -> Result<RollbackPlan, Refusal> {
    decided_for(host, RollbackTarget::InPlay)
}

/// The command, killed after so many changes to the engine.
pub(crate) fn roll_back(host: &mut Host, changes: usize) -> Vec<String> {
    roll_back_to(host, RollbackTarget::InPlay, changes)
}

pub(crate) fn roll_back_to(host: &mut Host, what: RollbackTarget, changes: usize) -> Vec<String> {
    let plan = decided_for(host, what).unwrap();
    host.state = plan.state;
    host.witness_look();
    host.witness_latest();
    let target = plan.target.as_ref().map(|(_, image)| image);
    let mut acted = Vec::new();
    loop {
        let observed = host.observe_for_rollback();
        let actions = rollback_actions(&host.policy, &host.state, &observed, &telemetry(), target);
        if actions.is_empty() {
            return acted;
        }
        assert!(acted.len() < 100, "it does not come to an end: {acted:?}");
        for action in &actions {
            if acted.len() == changes {
                return acted;
            }
            match host.apply(action) {
                Applied::Done => {
                    if action.kind.moves_latest() {
                        host.memory_mut().latest_in_doubt = false;
                    }
                    acted.push(describe(&action.kind));
                }
                // The program says so and exits with 1; passes try it again.
                Applied::Refused(_) if !host.refuses.is_empty() => return acted,
                other => panic!("{action:?}: {other:?}"),
            }
        }
    }
}

fn rejected(host: &Host) -> Vec<String> {
    host.state
        .rejected_of(&telemetry())
        .map(|(image, r)| format!("{}={}", r.version, digit(image)))
        .collect()
}

fn described(steps: &[Action]) -> Vec<String> {
    steps.iter().map(|step| describe(&step.kind)).collect()
}

fn accepted(host: &Host, version: &str) -> Option<tagkeeper_core::model::State> {
    accept(&host.state, &telemetry(), &Version::new(version), |_| true)
}

#[test]
fn rollback_from_the_head_moves_latest_to_the_fallback() {
    let mut host = Host::with_fallback();
    host.exit("k8s_v2", 1);
    let plan = decided(&host).unwrap();
    assert_eq!(plan.target, Some((Version::new("v1"), id('a'))));
    assert_eq!(plan.rejected.as_str(), "v2");
    assert!(matches!(plan.event.kind, EventKind::RolledBack { .. }));
    assert_eq!(roll_back(&mut host, usize::MAX), ["tag a local:latest"]);
    assert_eq!(
        (host.lineage(), rejected(&host)),
        (vec!["v1=a".to_owned()], vec!["v2=b".to_owned()])
    );
    host.start("k8s_v2");
    host.minutes(30);
    assert_eq!(
        (host.pending(), host.lineage()),
        (None, vec!["v1=a".to_owned()])
    );
    assert!(host.disk().contains(&"local:latest=a".to_owned()));
}

/// What a person is shown is what is then done, round by round.
#[test]
fn the_steps_that_are_foreseen_are_those_that_are_taken() {
    type Arrange = fn(&mut Host);
    let table: &[(&str, usize, Arrange)] = &[
        ("latest moves", 1, |host| host.exit("k8s_v2", 1)),
        ("the local container is stale", 2, |host| {
            host.remove_container("k8s_v2");
            host.run("telemetry", "local:latest");
            host.exit("telemetry", 0);
        }),
        ("and latest leaves an image without a name", 3, |host| {
            host.remove_container("k8s_v2");
            host.untag("remote:v2");
            host.run("telemetry", "local:latest");
            host.exit("telemetry", 0);
        }),
        ("latest stays: a pending upgrade is rejected", 0, |host| {
            host.deploy('c', "v3");
            host.pass();
        }),
        ("latest is gone", 1, |host| host.untag("local:latest")),
        (
            "latest was moved by hand, and moves all the same",
            2,
            |host| {
                host.image('9', &["local:latest"]);
                host.exit("k8s_v2", 1);
            },
        ),
        ("on hold, which a person overrides", 1, |host| {
            host.workload().hold = true;
        }),
    ];
    for (case, count, arrange) in table {
        let mut host = Host::with_fallback();
        arrange(&mut host);
        let plan = decided(&host).unwrap();
        let world = host.listed();
        let steps = rollback_steps(&host.policy, &plan, &world, &telemetry());
        let foreseen = described(&steps);
        assert_eq!(foreseen.len(), *count, "{case}: {foreseen:?}");
        assert_eq!(roll_back(&mut host, usize::MAX), foreseen, "{case}");
    }
}

#[test]
fn rollback_applies_r2_before_it_returns() {
    let mut host = Host::with_fallback();
    host.remove_container("k8s_v2");
    host.untag("remote:v2");
    host.run("telemetry", "local:latest");
    host.exit("telemetry", 0);
    let steps = ["tag b local:v2", "tag a local:latest", "rm telemetry"];
    assert_eq!(roll_back(&mut host, usize::MAX), steps);
    assert!(host.container_names().is_empty());
}

#[test]
fn rollback_with_an_upgrade_pending_rejects_that() {
    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    host.minutes(3);
    let plan = decided(&host).unwrap();
    assert_eq!((plan.target.as_ref(), plan.rejected.as_str()), (None, "v3"));
    assert_eq!(roll_back(&mut host, usize::MAX), [""; 0]);
    assert_eq!(
        (host.lineage(), host.pending()),
        (vec!["v2=b".to_owned(), "v1=a".to_owned()], None)
    );
    host.minutes(30);
    assert_eq!(
        (host.lineage(), rejected(&host)),
        (
            vec!["v2=b".to_owned(), "v1=a".to_owned()],
            vec!["v3=c".to_owned()]
        )
    );
    assert!(host.known().failures.is_empty(), "rejected, not failed");
    assert_note!(host, Note::RejectedServes { .. });
}

#[test]
fn rollback_rejects_an_upgrade_that_no_pass_has_seen_yet() {
    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    roll_back(&mut host, usize::MAX);
    assert_eq!(rejected(&host), ["v3=c"]);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

/// Each attempt ends in less than a second, and no pass comes in one of them.
#[test]
fn rollback_rejects_a_crash_loop_that_no_pass_has_seen_run() {
    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    host.exit("k8s_v3", 3);
    host.minutes(3);
    assert_eq!(host.pending(), None);
    roll_back(&mut host, usize::MAX);
    assert_eq!(rejected(&host), ["v3=c"]);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert_eq!(host.latest(), Some('b'));
}

/// However the attempt ended or failed to begin: it was deployed last, and the head does not do the
/// work alone.
#[test]
fn rollback_rejects_what_was_deployed_last_where_the_head_does_not_serve() {
    type Attempt = (&'static str, fn(&mut Host));
    let attempts: [Attempt; 6] = [
        ("killed", |host| host.exit("k8s_v3", 137)),
        ("ended", |host| host.exit("k8s_v3", 0)),
        ("lost by the engine", |host| host.exit("k8s_v3", 255)),
        ("did not start", |host| {
            host.set_state("k8s_v3", ContainerState::Created);
        }),
        ("paused", |host| {
            host.set_state("k8s_v3", ContainerState::Paused);
        }),
        ("started beside the head", |host| {
            host.run("k8s_v2", "remote:v2");
            host.remove_container("k8s_v3");
            host.run("k8s_v3", "remote:v3");
        }),
    ];
    for (attempt, ends) in attempts {
        let mut host = Host::with_fallback();
        host.deploy('c', "v3");
        ends(&mut host);
        host.minutes(3);
        roll_back(&mut host, usize::MAX);
        assert_eq!(rejected(&host), ["v3=c"], "{attempt}");
        assert_eq!(host.lineage(), ["v2=b", "v1=a"], "{attempt}");
    }
}

/// What is down is the head's own container, and what others left behind was there before it.
#[test]
fn rollback_goes_back_from_a_head_that_is_down() {
    let mut host = Host::with_fallback();
    host.image('c', &["remote:v3"]);
    host.run("k8s_v3", "remote:v3");
    host.exit("k8s_v3", 0);
    host.remove_container("k8s_v2");
    host.run("k8s_v2", "remote:v2");
    host.exit("k8s_v2", 137);
    host.minutes(3);
    roll_back(&mut host, usize::MAX);
    assert_eq!(rejected(&host), ["v2=b"]);
}

/// v3 is still there, for tagkeeper stops nothing, and the command is typed again: v2 is not at
/// fault. A rollback from v2 itself is another matter: then one more goes back one more.
#[test]
fn rollback_typed_again_in_a_crash_loop_spares_the_head() {
    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    host.minutes(2);
    roll_back(&mut host, usize::MAX);
    for down in [false, true] {
        if down {
            host.exit("k8s_v3", 1);
        }
        host.minutes(1);
        let refused = decided(&host).unwrap_err();
        let by_rollback = matches!(
            refused,
            Refusal::RejectedAlready {
                by_policy: false,
                ..
            }
        );
        assert!(by_rollback, "{refused:?}");
    }
    let latest = decided_for(&host, RollbackTarget::Latest).unwrap();
    assert_eq!(latest.rejected.as_str(), "v2");
    host.remove_container("k8s_v3");
    assert_eq!(decided(&host).unwrap().rejected.as_str(), "v2");
}

#[test]
fn rollback_twice_goes_back_two() {
    let mut host = Host::with_fallback();
    host.workload().fallbacks = 2;
    host.upgrade('c', "v3");
    for rejects in ["v3", "v2"] {
        assert_eq!(decided(&host).unwrap().rejected.as_str(), rejects);
        roll_back(&mut host, usize::MAX);
        host.minutes(1);
    }
    assert_eq!(host.lineage(), ["v1=a"]);
}

/// A local upgrade, made by hand: its container has run, and is no dry run beside itself.
#[test]
fn rollback_rejects_a_local_upgrade_that_ends_at_once() {
    for code in [0, 3, 137] {
        let mut host = Host::with_fallback();
        host.remove_container("k8s_v2");
        host.image('9', &["local:v9", "local:latest"]);
        host.run("telemetry", "local:latest");
        host.exit("telemetry", code);
        host.pass();
        assert_eq!(
            roll_back(&mut host, usize::MAX),
            ["tag b local:latest", "rm telemetry"],
            "{code}"
        );
        assert_eq!(rejected(&host), ["v9=9"], "{code}");
        assert_eq!(host.lineage(), ["v2=b", "v1=a"], "{code}");
    }
}

/// An upgrade of the local service moves `latest` first, and whatever became of its container, the
/// version before it is the head. `sonic-installer` does so.
#[test]
fn rollback_goes_back_to_the_head_where_latest_was_moved_off_it() {
    type Story = (&'static str, fn(&mut Host));
    let stories: [Story; 5] = [
        ("it was stopped in its soak", |host| {
            host.run("telemetry", "local:latest");
            host.minutes(2);
            host.exit("telemetry", 143);
        }),
        ("its container is gone", |host| {
            host.run("telemetry", "local:latest");
            host.minutes(2);
            host.remove_container("telemetry");
        }),
        ("it failed, and its container is gone", |host| {
            host.run("telemetry", "local:latest");
            host.exit("telemetry", 3);
            host.minutes(2);
            assert_eq!(host.known().counters.failures, 1);
            host.remove_container("telemetry");
        }),
        ("no container of it was made", |_| {}),
        ("the head serves", |host| {
            host.run("k8s_v2", "remote:v2");
            host.run("telemetry", "local:latest");
            host.exit("telemetry", 3);
        }),
    ];
    for (story, play) in stories {
        for what in [RollbackTarget::InPlay, RollbackTarget::Latest] {
            let mut host = Host::with_fallback();
            host.remove_container("k8s_v2");
            host.image('9', &["local:v9", "local:latest"]);
            play(&mut host);
            host.minutes(1);
            let done = roll_back_to(&mut host, what, usize::MAX);
            assert_eq!(done[0], "tag b local:latest", "{story}, {what:?}");
            assert_eq!(rejected(&host), ["v9=9"], "{story}, {what:?}");
            assert_eq!(host.lineage(), ["v2=b", "v1=a"], "{story}, {what:?}");
            let left = host.container_names();
            assert!(!left.contains(&"telemetry".to_owned()), "{story}: {left:?}");
        }
    }
}

/// Loaded while the head still soaked: it is an upgrade all the same.
#[test]
fn rollback_rejects_an_upgrade_that_was_loaded_during_the_last_soak() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(5);
    host.image('9', &["local:v9"]);
    host.minutes(6);
    host.tag('9', "local:latest");
    host.remove_container("k8s_v2");
    host.run("telemetry", "local:latest");
    host.exit("telemetry", 137);
    host.minutes(2);
    assert_eq!(decided(&host).unwrap().rejected.as_str(), "v9");
}

#[test]
fn of_two_upgrades_that_were_tried_rollback_rejects_the_later_one() {
    let mut host = Host::with_fallback();
    for (digit, version) in [('c', "v3"), ('d', "v4")] {
        host.image(digit, &[&format!("remote:{version}")]);
        host.remove_container("k8s_v2");
        let name = format!("k8s_{version}");
        host.run(&name, &format!("remote:{version}"));
        host.minutes(1);
        host.exit(&name, 0);
    }
    host.run("k8s_v2", "remote:v2");
    host.minutes(1);
    assert_eq!(decided(&host).unwrap().rejected.as_str(), "v4");
}

/// Loaded before its turn, as fleets do it, perhaps tried in between; now it does not even start.
#[test]
fn rollback_rejects_what_was_loaded_during_the_last_soak_and_does_not_start() {
    for tried in [false, true] {
        let mut host = Host::with_head();
        host.deploy('b', "v2");
        host.minutes(2);
        host.image('c', &["remote:v3"]);
        if tried {
            host.roll_out("v3", "remote:v3");
            host.minutes(1);
            host.roll_out("v2", "remote:v2");
        }
        host.minutes(12);
        assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
        host.roll_out("v3", "remote:v3");
        host.set_state("k8s_v3", ContainerState::Created);
        host.minutes(2);
        assert_eq!(decided(&host).unwrap().rejected.as_str(), "v3", "{tried}");
    }
}

#[test]
fn rollback_goes_back_from_the_head_that_runs_beside_the_rest_of_an_attempt() {
    for state in [ContainerState::Created, ContainerState::Exited] {
        let mut host = Host::with_fallback();
        host.deploy('c', "v3");
        host.set_state("k8s_v3", state);
        host.run("k8s_v2", "remote:v2");
        host.minutes(3);
        roll_back(&mut host, usize::MAX);
        assert_eq!(rejected(&host), ["v2=b"]);
    }
}

/// What soaks again is proven: it is no unproven upgrade in play. The person follows the
/// orchestrator.
#[test]
fn rollback_where_the_orchestrator_has_gone_back_to_the_fallback_rejects_the_head() {
    let mut host = Host::with_fallback();
    host.deploy('a', "v1");
    host.minutes(3);
    assert_eq!(host.pending().as_deref(), Some("v1=a"));
    roll_back(&mut host, usize::MAX);
    assert_eq!(
        (host.lineage(), rejected(&host)),
        (vec!["v1=a".to_owned()], vec!["v2=b".to_owned()])
    );
    assert_eq!((host.latest(), host.pending()), (Some('a'), None));
}

/// A sibling: and the fallback crash-loops, whether or not a pass has seen it run. The head is not
/// at fault, and `latest` must not go to what crashes.
#[test]
fn rollback_where_the_fallback_that_is_deployed_again_crashes_rejects_that() {
    for seen in [true, false] {
        let mut host = Host::with_fallback();
        host.deploy('a', "v1");
        host.minutes(u64::from(seen));
        host.set_state("k8s_v1", ContainerState::Restarting);
        host.minutes(3);
        let failing = host.plan().failing.unwrap();
        assert_eq!(failing.version.as_str(), "v1", "{seen}");
        roll_back(&mut host, usize::MAX);
        assert_eq!(rejected(&host), ["v1=a"], "{seen}");
        assert_eq!(host.latest(), Some('b'), "{seen}");
    }
}

/// v3, the head, was pruned away with its container, and v2 took its place: status says so, and a
/// rollback from v2 does not call v3 a fallback that got lost.
#[test]
fn rollback_from_what_took_the_place_of_a_lost_head_forgets_that() {
    let mut host = Host::with_fallback();
    host.workload().fallbacks = 2;
    host.upgrade('c', "v3");
    host.remove_container("k8s_v3");
    host.lose_image('c');
    host.minutes(2);
    assert_eq!(host.latest(), Some('b'));
    assert_note!(host, Note::HeadLost { .. });
    roll_back_to(&mut host, RollbackTarget::Latest, usize::MAX);
    assert_eq!(host.lineage(), ["v1=a"]);
    host.minutes(1);
    assert!(
        !host
            .notes()
            .iter()
            .any(|note| matches!(note, Note::FallbackLost { .. }))
    );
}

/// `--latest` is about the head alone: what soaks beside it goes on.
#[test]
fn rollback_from_the_head_does_not_touch_the_soak_of_another_version() {
    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    host.minutes(6);
    roll_back_to(&mut host, RollbackTarget::Latest, usize::MAX);
    assert_eq!(rejected(&host), ["v2=b"]);
    assert_eq!(host.latest(), Some('a'));
    host.minutes(5);
    assert_eq!(host.lineage(), ["v3=c", "v1=a"]);
}

#[test]
fn rollback_while_the_head_itself_soaks_again_rejects_the_head() {
    let mut host = Host::with_fallback();
    host.tag('a', "local:latest");
    host.minutes(3);
    assert_eq!(host.pending().as_deref(), Some("v2=b"));
    assert_eq!(roll_back(&mut host, usize::MAX), [""; 0]);
    assert_eq!(
        (host.lineage(), rejected(&host)),
        (vec!["v1=a".to_owned()], vec!["v2=b".to_owned()])
    );
    assert_eq!(host.pending(), None);
}

#[test]
fn rollback_of_a_pending_image_that_latest_names_puts_latest_back() {
    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    host.tag('c', "local:latest");
    host.minutes(3);
    assert_eq!(roll_back(&mut host, usize::MAX), ["tag b local:latest"]);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

/// A shell of the head does no work: it neither stands in for the service nor hides what was
/// deployed. A pass does not inspect what is proven, a person's command does.
#[test]
fn a_debug_shell_of_the_head_does_not_get_the_head_rejected() {
    let deployed: [fn(&mut Host); 2] = [
        |host| host.create("k8s_v3", "remote:v3"),
        |host| {
            host.run("k8s_v3", "remote:v3");
            host.exit("k8s_v3", 137);
        },
    ];
    for deploy in deployed {
        for shell_runs in [true, false] {
            let mut host = Host::with_fallback();
            host.remove_container("k8s_v2");
            host.run_shell("debug", "remote:v2");
            host.image('c', &["remote:v3"]);
            deploy(&mut host);
            if !shell_runs {
                host.remove_container("debug");
                host.run_shell("debug", "remote:v2");
                host.exit("debug", 0);
            }
            host.minutes(2);
            let plan = decided(&host).unwrap();
            assert_eq!((plan.rejected.as_str(), plan.target), ("v3", None));
        }
    }
}

/// A sibling: a shell of what was never deployed, which its person has left.
#[test]
fn a_debug_shell_that_was_left_is_not_what_was_deployed_last() {
    let mut host = Host::with_fallback();
    host.exit("k8s_v2", 0);
    host.image('c', &["remote:v3"]);
    host.run_shell("debug", "remote:v3");
    host.exit("debug", 0);
    host.minutes(1);
    let plan = decided(&host).unwrap();
    assert_eq!(plan.rejected.as_str(), "v2");
}

#[test]
fn rollback_is_refused_while_the_local_container_runs() {
    let mut host = Host::with_fallback();
    host.run("telemetry", "local:latest");
    let refusal = decided(&host).unwrap_err();
    let expected = Refusal::LocalRuns {
        workload: telemetry(),
        containers: vec!["telemetry".to_owned()],
        rejected: Version::new("v2"),
        takes_latest: false,
    };
    assert_eq!(refusal, expected);

    // Without the local container it would be about v3, which waits beside it.
    let mut beside = host.clone();
    beside.image('c', &["remote:v3"]);
    beside.run("k8s_v3", "remote:v3");
    let refusal = decided(&beside).unwrap_err();
    assert!(
        matches!(refusal, Refusal::LocalRuns { takes_latest, .. } if takes_latest),
        "{refusal:?}"
    );

    // Each of them is in the way, and each is named: a person stops them all and comes back once.
    host.workload()
        .containers
        .push(crate::host::pattern("telemetry[0-9]"));
    host.run("telemetry0", "local:latest");
    let refusal = decided(&host).unwrap_err();
    let Refusal::LocalRuns { containers, .. } = refusal else {
        panic!("{refusal:?}")
    };
    assert_eq!(containers.len(), 2, "{containers:?}");
}

#[test]
fn rollback_is_refused_without_anything_to_go_back_to() {
    let host = Host::with_head();
    let expected = Refusal::NoFallback {
        workload: telemetry(),
        head: Version::new("v1"),
        rejected: None,
    };
    assert_eq!(decided(&host), Err(expected));

    let mut host = Host::with_fallback();
    host.lose_image('a');
    let expected = Refusal::NoFallback {
        workload: telemetry(),
        head: Version::new("v2"),
        rejected: None,
    };
    assert_eq!(
        decided(&host),
        Err(expected),
        "the fallback is off the disk"
    );

    let mut host = Host::new();
    host.image('a', &["local:latest"]);
    assert_eq!(decided(&host), Err(Refusal::NothingProven(telemetry())));
}

#[test]
fn rollback_of_a_first_upgrade_needs_no_head() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "remote:v1"]);
    host.deploy('b', "v2");
    host.minutes(2);
    roll_back(&mut host, usize::MAX);
    assert_eq!(rejected(&host), ["v2=b"]);
}

#[test]
fn rollback_works_on_hold() {
    let mut host = Host::with_fallback();
    host.exit("k8s_v2", 1);
    host.workload().hold = true;
    assert_eq!(roll_back(&mut host, usize::MAX), ["tag a local:latest"]);
    host.minutes(5);
    assert!(host.disk().contains(&"local:latest=a".to_owned()));
    assert_eq!(host.lineage(), ["v1=a"]);
}

#[test]
fn rollback_on_hold_applies_r2_and_restores_too() {
    let mut host = Host::with_fallback();
    host.remove_container("k8s_v2");
    host.run("telemetry", "local:latest");
    host.exit("telemetry", 0);
    host.workload().hold = true;
    assert_eq!(
        roll_back(&mut host, usize::MAX),
        ["tag a local:latest", "rm telemetry"]
    );

    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    host.tag('c', "local:latest");
    host.workload().hold = true;
    host.minutes(3);
    assert_eq!(roll_back(&mut host, usize::MAX), ["tag b local:latest"]);
}

#[test]
fn rollback_that_was_killed_is_finished_by_a_pass() {
    for changes in 0..=2 {
        let mut host = Host::with_fallback();
        host.remove_container("k8s_v2");
        host.run("telemetry", "local:latest");
        host.exit("telemetry", 0);
        roll_back(&mut host, changes);
        host.pass();
        assert!(
            host.disk().contains(&"local:latest=a".to_owned()),
            "killed after {changes}"
        );
        assert!(host.container_names().is_empty(), "killed after {changes}");
        assert_eq!(host.lineage(), ["v1=a"]);
    }
}

#[test]
fn rollback_that_was_killed_on_hold_is_finished_after_the_hold() {
    let mut host = Host::with_fallback();
    host.exit("k8s_v2", 1);
    host.workload().hold = true;
    roll_back(&mut host, 0);
    host.pass();
    assert!(host.disk().contains(&"local:latest=b".to_owned()));
    host.workload().hold = false;
    host.pass();
    assert!(host.disk().contains(&"local:latest=a".to_owned()));
}

#[test]
fn a_rejection_is_of_an_image_and_a_rebuilt_one_passes() {
    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    host.minutes(2);
    roll_back(&mut host, usize::MAX);
    host.deploy('d', "v3");
    host.minutes(11);
    assert_eq!(host.lineage(), ["v3=d", "v2=b"]);
}

#[test]
fn accept_lifts_every_rejection_of_the_version() {
    let mut host = Host::with_fallback();
    for digit in ['c', 'd'] {
        host.deploy(digit, "v3");
        host.minutes(2);
        roll_back(&mut host, usize::MAX);
    }
    assert_eq!(rejected(&host), ["v3=c", "v3=d"]);
    assert_eq!(accepted(&host, "v4"), None);
    let nobody = WorkloadName::new("nobody");
    assert_eq!(
        accept(&host.state, &nobody, &Version::new("v3"), |_| true),
        None
    );
    host.state = accepted(&host, "v3").unwrap();
    assert!(rejected(&host).is_empty());
    host.minutes(11);
    assert_eq!(host.lineage(), ["v3=d", "v2=b"]);
}

/// A tag that moves: of two builds under it, one is wanted after all.
#[test]
fn accept_by_an_id_lifts_the_rejection_of_that_build_alone() {
    let mut host = Host::with_fallback();
    for digit in ['c', 'd'] {
        host.deploy(digit, "v3");
        host.minutes(2);
        roll_back(&mut host, usize::MAX);
    }
    let short = id('d').short();
    assert_eq!(accepted(&host, &short[..11]), None, "too short for an id");
    for by_id in [short, id('d').to_string()] {
        host.state = accepted(&host, &by_id).unwrap_or(host.state);
        assert_eq!(rejected(&host), ["v3=c"], "{by_id}");
    }
}

#[test]
fn rollback_decides_no_removal_of_images() {
    let mut host = Host::with_fallback();
    host.exit("k8s_v2", 1);
    let plan = decided(&host).unwrap();
    let world = host.listed();
    let target = plan.target.as_ref().map(|(_, image)| image);
    let actions = rollback_actions(&host.policy, &plan.state, &world, &telemetry(), target);
    assert!(
        actions
            .iter()
            .all(|action| !matches!(action.kind, ActionKind::RemoveImage { .. }))
    );
    host.image('9', &["remote:v0"]);
    let nobody = WorkloadName::new("nobody");
    assert_eq!(
        rollback_actions(&host.policy, &plan.state, &world, &nobody, None),
        []
    );
}

/// What was written down at the time that the state is saved with must not be ahead of its clock.
#[test]
fn a_persons_decision_brings_the_clock_along() {
    let mut host = Host::with_fallback();
    host.exit("k8s_v2", 1);
    host.later(7);
    let now = host.now();
    let plan = decided(&host).unwrap();
    assert_eq!(plan.state.clock, now.clock);
}

/// Where the head was lost from the disk, what is accepted comes behind the entry that is there.
#[test]
fn accept_puts_nothing_before_what_is_on_the_disk() {
    let mut host = Host::with_fallback();
    host.workload().fallbacks = 2;
    host.upgrade('c', "v3");
    roll_back_to(&mut host, RollbackTarget::Latest, usize::MAX);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    host.roll_out("v1", "remote:v1");
    host.minutes(1);
    host.tag('a', "local:latest");
    host.lose_image('b');
    host.minutes(2);
    let is_on_disk = |image: &ImageId| host.is_on_disk(digit(image));
    let accepted = accept(&host.state, &telemetry(), &Version::new("v3"), is_on_disk).unwrap();
    let lineage = &accepted.workloads[&telemetry()].memory.lineage;
    let versions: Vec<_> = lineage.iter().map(|p| p.version.as_str()).collect();
    assert_eq!(versions, ["v2", "v1", "v3"]);
}
