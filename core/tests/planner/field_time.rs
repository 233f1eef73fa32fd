//! Field cases 59, 60 and 65: time within a pass, and what happens between a decision and its act.

use tagkeeper_core::model::{Health, TagPurpose};

use crate::host::{Host, MINUTE_MS};

#[test]
fn case_59_what_starts_behind_a_slow_removal_soaks_from_then_on() {
    let mut host = Host::with_fallback();
    host.workload().soak_ms = 6_000;
    host.image('9', &["remote:v0"]);
    host.pass();
    host.retire('9');
    host.action_ms = 4_000;
    host.later(1);
    host.meanwhile(|host| host.deploy('c', "v3"));
    let began = host.uptime_ms;
    host.pass();
    assert_eq!(host.acted, ["rmi remote:v0"]);
    assert_eq!(host.pending().as_deref(), Some("v3=c"));
    host.uptime_ms = began + 4_000 + 3_000;
    host.pass();
    assert_eq!(host.lineage(), ["v2=b", "v1=a"], "up for three seconds");
    host.uptime_ms = began + 4_000 + 6_000;
    host.pass();
    assert_eq!(host.lineage(), ["v3=c", "v2=b"]);
}

#[test]
fn a_soak_begins_when_the_first_look_ended_and_is_over_when_a_later_one_began() {
    let mut host = Host::with_head();
    host.look_ms = 5 * MINUTE_MS;
    host.deploy('b', "v2");
    let began = host.uptime_ms;
    host.pass();
    let soaks_from = host.memory().pending.as_ref().unwrap().soaking_since_ms;
    assert_eq!(soaks_from, Some(began + 5 * MINUTE_MS));
    host.uptime_ms = began + 15 * MINUTE_MS - 1;
    host.pass();
    assert_eq!(
        host.latest(),
        Some('a'),
        "one look lasted beyond the end of the soak"
    );
    host.pass();
    assert_eq!(host.latest(), Some('b'));
}

#[test]
fn grace_is_counted_from_the_end_of_one_look_to_the_beginning_of_another() {
    let mut host = Host::with_fallback();
    host.workload().grace_ms = 10 * MINUTE_MS;
    host.look_ms = MINUTE_MS;
    host.image('9', &["remote:v9"]);
    let began = host.uptime_ms;
    host.pass();
    host.uptime_ms = began + 11 * MINUTE_MS - 1;
    host.pass();
    assert!(host.is_on_disk('9'));
    host.pass();
    assert!(!host.is_on_disk('9'));
}

#[test]
fn case_60_what_ends_between_the_decision_and_the_act_is_not_promoted() {
    type Change = fn(&mut Host);
    let changes: [(&str, Change); 6] = [
        ("it ended", |host| host.exit("k8s_v2", 0)),
        ("it restarted", |host| host.start("k8s_v2")),
        ("it was removed", |host| host.remove_container("k8s_v2")),
        ("it is unhealthy", |host| {
            host.set_health("k8s_v2", Health::Unhealthy);
        }),
        ("latest was moved", |host| {
            host.image('9', &["local:latest"]);
        }),
        ("what latest leaves lost its other name", |host| {
            host.untag("remote:v1");
        }),
    ];
    for (case, change) in changes {
        let mut host = Host::with_head();
        host.deploy('b', "v2");
        host.minutes(10);
        host.meanwhile(change);
        host.pass();
        assert_eq!(host.dropped[0], "tag b local:latest", "{case}");
        assert_ne!(host.latest(), Some('b'), "{case}");
        assert_eq!(host.lineage(), ["v1=a"], "{case}");
        host.minutes(1);
        let promoting = host.memory().pending.as_ref().map(|p| p.promoting);
        assert_ne!(promoting, Some(true), "{case}");
    }
}

/// Siblings: each removal is asked about right before it, too.
#[test]
fn case_60_what_changes_between_the_decision_and_a_removal_drops_it() {
    type Change = fn(&mut Host);
    let changes: [(&str, Change); 4] = [
        ("a container uses it", |host| host.run("new", "remote:v0")),
        ("the name was pulled anew", |host| {
            host.image('8', &["remote:v0"]);
        }),
        ("somebody removed it", |host| host.lose_image('9')),
        ("it got another name", |host| {
            host.tag('9', "elsewhere:v0");
            host.run("new", "elsewhere:v0");
        }),
    ];
    for (case, change) in changes {
        let mut host = Host::with_fallback();
        host.image('9', &["remote:v0"]);
        host.pass();
        host.retire('9');
        host.meanwhile(change);
        host.later(1);
        host.pass();
        let meant = host.meaning("remote:v0");
        assert!(
            case == "it got another name" || host.dropped.contains(&"rmi remote:v0".to_owned()),
            "{case}: {:?}",
            host.acted
        );
        if case == "the name was pulled anew" {
            assert_eq!(meant, Some('8'));
        }
        assert!(
            host.is_on_disk('9')
                || case == "somebody removed it"
                || case == "the name was pulled anew",
            "{case}"
        );
    }
}

#[test]
fn case_60_a_stale_container_that_is_started_in_between_stays() {
    let mut host = Host::local_head();
    host.exit("telemetry", 0);
    host.deploy('b', "v2");
    host.minutes(10);
    host.pass_killed_after(1);
    assert_eq!(host.latest(), Some('b'));
    host.meanwhile(|host| host.start("telemetry"));
    host.later(1);
    host.pass();
    assert_eq!(host.dropped[0], "rm telemetry");
    assert!(host.has_container("telemetry"));
}

#[test]
fn the_move_of_latest_carries_its_guards() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(10);
    let plan = host.look().plan;
    let actions = plan.actions();
    let [(_, action)] = actions[..] else {
        panic!("{actions:?}")
    };
    let purpose = match &action.kind {
        tagkeeper_core::model::ActionKind::Tag { purpose, .. } => *purpose,
        other => panic!("{other:?}"),
    };
    assert_eq!(purpose, TagPurpose::Promote);
    assert_eq!(action.guards.len(), 3, "{:?}", action.guards);
}

#[test]
fn case_65_a_restart_of_the_engine_starts_the_soak_anew_and_fails_nothing() {
    for seen_down in [true, false] {
        let mut host = Host::with_head();
        host.deploy('b', "v2");
        host.minutes(5);
        host.exit("k8s_v2", 255);
        if seen_down {
            host.minutes(1);
        }
        host.start("k8s_v2");
        host.minutes(10);
        assert_eq!(host.lineage(), ["v1=a"]);
        host.minutes(1);
        assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
        assert!(host.known().failures.is_empty());
    }
}

#[test]
fn a_pass_in_which_nothing_may_be_asked_of_ready_begins_and_ends_no_soak() {
    let mut host = Host::with_head();
    host.ask_ready();
    host.deploy('b', "v2");
    host.minutes(10);
    let mut observed = host.observe();
    observed.readiness.clear();
    let decision = tagkeeper_core::planner::decide(&host.policy, &host.state, &observed);
    assert_eq!(decision.state.workloads, host.state.workloads);
    assert_eq!(
        decision.plan.workloads[&crate::host::telemetry()].actions,
        []
    );
}
