//! Field cases 66 to 77: disks, states, persons.

use std::mem::take;

use tagkeeper_core::model::{
    ContainerState, LocalFallback, NoFallback, Note, Outcome, Reason, State, WorkloadName,
};
use tagkeeper_core::planner::{Refusal, RollbackTarget, image_reports, status};

use crate::host::{DAY_MINUTES, Host, MINUTE_MS, id, telemetry};
use crate::rollback::{decided, roll_back, roll_back_to};

#[test]
fn case_66_after_a_wipe_failed_upgrades_do_not_pile_up() {
    for shipped in [true, false] {
        let mut host = Host::with_fallback();
        host.workload().grace_ms = 60 * MINUTE_MS;
        host.take_disk();
        if shipped {
            host.image('f', &["local:latest"]);
        }
        host.minutes(2);
        for digit in "0123456789cd".chars() {
            host.deploy_in_vain(digit, &format!("w{digit}"));
            host.later(120);
            host.minutes(2);
        }
        assert!(host.images().len() <= 3, "{:?}", host.disk());
    }
}

/// A sibling: they crash so early that no pass sees one run.
#[test]
fn case_66_upgrades_that_crash_at_once_do_not_pile_up_either() {
    type End = fn(&mut Host, &str);
    let ends: [(&str, End); 3] = [
        ("exited", |host, pod| host.exit(pod, 1)),
        ("removed", |host, pod| host.exit(pod, 1)),
        ("restarting", |host, pod| {
            host.set_state(pod, ContainerState::Restarting);
        }),
    ];
    for (case, end) in ends {
        let mut host = Host::new();
        host.workload().grace_ms = 60 * MINUTE_MS;
        host.minutes(2);
        // Pulled, and never deployed: it was here before anything was proven.
        host.image('f', &["remote:unused"]);
        for digit in "0123456789cd".chars() {
            host.deploy(digit, &format!("w{digit}"));
            host.later(0);
            let pod = format!("k8s_w{digit}");
            end(&mut host, &pod);
            host.minutes(3);
            if case == "removed" {
                host.remove_container(&pod);
            }
            host.later(120);
            host.minutes(2);
        }
        assert!(host.images().len() <= 3, "{case}: {:?}", host.disk());
        assert!(host.is_on_disk('f'), "{case}");
    }
}

#[test]
fn case_67_what_appears_behind_an_empty_first_look_is_inherited() {
    let mut host = Host::new();
    host.minutes(1);
    host.image('a', &["local:latest", "local:v1"]);
    host.run("telemetry", "local:latest");
    host.image('8', &["local:v0"]);
    host.image('9', &["remote:v7"]);
    host.minutes(15);
    host.later(3 * DAY_MINUTES);
    host.minutes(5);
    assert_eq!(host.images().len(), 3, "{:?}", host.disk());
    assert_eq!(host.reason("local:v0"), Reason::Inherited);
}

#[test]
fn case_68_a_pass_without_workloads_costs_nothing() {
    let mut host = Host::with_fallback();
    host.run("debug", "remote:v1");
    host.exit("debug", 0);
    host.upgrade('c', "v3");
    assert_eq!(host.retired(), ['a']);
    let workloads = take(&mut host.policy.workloads);
    host.minutes(1);
    host.policy.workloads = workloads;
    host.minutes(1);
    assert_eq!(host.lineage(), ["v3=c", "v2=b"]);
    host.remove_container("debug");
    host.minutes(1);
    assert!(!host.is_on_disk('a'), "what was retired still leaves");
}

/// A sibling: the drop-in comes back within the grace period, on another disk, in a soak.
#[test]
fn case_68_a_soak_begins_again_after_the_drop_in_is_back() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(5);
    let workloads = take(&mut host.policy.workloads);
    host.minutes(1);
    host.start("k8s_v2");
    host.minutes(5);
    host.policy.workloads = workloads;
    host.minutes(10);
    assert_eq!(host.lineage(), ["v1=a"], "it restarted meanwhile");
    host.minutes(1);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

/// A sibling: the image of the workload that is missing is shared with another one, which is
/// upgraded twice meanwhile.
#[test]
fn case_68_what_is_shared_with_a_missing_workload_stays() {
    let gnmi = WorkloadName::new("gnmi");
    let mut host = Host::new();
    host.add_workload("gnmi", "docker-gnmi", "registry.example:5000/docker-gnmi");
    host.image(
        'a',
        &[
            "local:latest",
            "remote:v1",
            "docker-gnmi:latest",
            "docker-gnmi:v1",
        ],
    );
    host.run("k8s_v1", "remote:v1");
    host.run("gnmi", "docker-gnmi:latest");
    host.minutes(12);
    let left = host.policy.workloads.remove(&gnmi).unwrap();
    host.remove_container("gnmi");
    host.upgrade('b', "v2");
    host.upgrade('c', "v3");
    host.later(3 * DAY_MINUTES);
    host.minutes(2);
    assert_eq!(host.meaning("remote:v1"), None);
    host.policy.workloads.insert(gnmi.clone(), left);
    host.minutes(2);
    assert_eq!(host.lineage_of(&gnmi), ["v1=a"]);
    assert_eq!(host.meaning("docker-gnmi:latest"), Some('a'));
    assert!(host.plan_of(&gnmi).latest.unwrap().proven);
}

#[test]
fn case_69_rejections_outlive_the_state() {
    let mut host = Host::with_fallback();
    roll_back(&mut host, usize::MAX);
    let rejected = host.state.rejected.clone();
    host.state = State {
        rejected,
        instance: "another".to_owned(),
        ..State::default()
    };
    host.minutes(30);
    assert_ne!(host.latest(), Some('b'));
    assert_eq!(host.pending(), None);
    assert!(!host.lineage().contains(&"v2=b".to_owned()));
}

#[test]
fn case_72_the_upgrade_in_play_is_what_a_rollback_rejects() {
    for down in [true, false] {
        let mut host = Host::with_fallback();
        host.deploy('c', "v3");
        for _ in 0..3 {
            host.minutes(2);
            host.exit("k8s_v3", 1);
            host.minutes(1);
            host.start("k8s_v3");
        }
        host.minutes(1);
        if down {
            host.exit("k8s_v3", 1);
            host.minutes(1);
        }
        roll_back(&mut host, usize::MAX);
        let rejected: Vec<_> = host.state.rejected_of(&telemetry()).collect();
        assert_eq!(rejected[0].0, &id('c'), "down: {down}");
        assert_eq!(host.latest(), Some('b'));
        assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
        host.minutes(30);
        assert_eq!(host.latest(), Some('b'));
    }
}

/// A sibling: one pass alone has seen it run.
#[test]
fn case_72_also_when_it_lives_too_short_for_an_entry() {
    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    host.minutes(1);
    host.exit("k8s_v3", 1);
    host.minutes(1);
    assert!(host.known().failures.is_empty());
    roll_back(&mut host, usize::MAX);
    assert_eq!(host.latest(), Some('b'));
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    // When the orchestrator has taken it back, the head is what is meant.
    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    host.minutes(1);
    host.exit("k8s_v3", 1);
    host.minutes(3);
    host.deploy('b', "v2");
    host.minutes(2);
    roll_back(&mut host, usize::MAX);
    assert_eq!(host.latest(), Some('a'));
}

#[test]
fn case_72_latest_goes_back_where_a_person_says_so() {
    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    host.minutes(3);
    host.exit("k8s_v3", 1);
    host.minutes(1);
    roll_back_to(&mut host, RollbackTarget::Latest, usize::MAX);
    assert_eq!(host.latest(), Some('a'));
    assert_eq!(host.lineage(), ["v1=a"]);
}

/// An upgrade that failed before the last promotion is in no one's way.
#[test]
fn case_72_an_old_failure_is_not_in_play() {
    let mut host = Host::with_head();
    host.deploy('c', "v3");
    host.minutes(3);
    host.exit("k8s_v3", 1);
    host.minutes(1);
    host.container("k8s_v3").names = vec!["leftover".to_owned()];
    host.upgrade('b', "v2");
    host.exit("k8s_v2", 0);
    roll_back(&mut host, usize::MAX);
    assert_eq!(host.latest(), Some('a'), "v2 is what is rejected");
}

#[test]
fn case_73_a_tag_that_fails_is_done_by_the_next_pass() {
    let mut host = Host::with_fallback();
    host.exit("k8s_v2", 1);
    roll_back(&mut host, 0);
    host.refuses_tags = true;
    host.minutes(1);
    assert_eq!(host.latest(), Some('b'));
    host.refuses_tags = false;
    host.minutes(1);
    assert_eq!(host.latest(), Some('a'));
}

#[test]
fn case_74_a_later_replacement_does_not_overwrite_how_it_ended() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    for _ in 0..5 {
        host.minutes(2);
        host.exit("k8s_v2", 3);
        host.minutes(1);
        host.start("k8s_v2");
    }
    host.minutes(2);
    host.deploy('a', "v1");
    host.minutes(2);
    let failure = &host.known().failures[0];
    let own_end = failure.own_end.as_ref().unwrap();
    assert_eq!(
        (failure.outcome, own_end.exit_code),
        (Outcome::Failed, Some(3))
    );
    assert_eq!(host.known().failures.len(), 1);
}

#[test]
fn case_74_a_container_that_lives_for_ninety_seconds_is_one_failure_an_hour() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    let began = host.uptime_ms;
    let mut failed = 0;
    let mut starts_ms = began;
    let mut is_up = true;
    for _ in 0..60 {
        // It is up for ninety seconds and down for thirty.
        let since_ms = (host.uptime_ms - began) % 120_000;
        if since_ms < 90_000 && (!is_up || host.uptime_ms - starts_ms >= 120_000) {
            host.start("k8s_v2");
            starts_ms = host.uptime_ms - since_ms;
            is_up = true;
        } else if since_ms >= 90_000 && is_up {
            host.exit("k8s_v2", 1);
            is_up = false;
        }
        host.pass();
        failed += host.told().iter().filter(|told| **told == "failed").count();
        host.uptime_ms += 50_000;
    }
    assert_eq!(failed, 1);
    assert_eq!(host.known().counters.failures, 1);
    assert_eq!(host.lineage(), ["v1=a"]);
}

/// A sibling: it is promoted in the end.
#[test]
fn case_74_a_failure_of_what_was_promoted_since_is_over() {
    let mut host = Host::with_head();
    host.deploy_in_vain('b', "v2");
    assert!(host.told().contains(&"failed"));
    host.start("k8s_v2");
    host.minutes(12);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    host.exit("k8s_v2", 0);
    roll_back(&mut host, usize::MAX);
    assert_eq!(
        host.latest(),
        Some('a'),
        "what it was before is not in play"
    );
}

#[test]
fn case_75_on_hold_a_replaced_upgrade_has_not_failed() {
    let mut host = Host::with_head();
    host.workload().hold = true;
    host.deploy('b', "v2");
    host.minutes(120);
    host.deploy('c', "v3");
    host.minutes(2);
    assert_eq!(host.known().failures[0].outcome, Outcome::Superseded);
    assert_eq!(host.known().counters.failures, 0);
}

/// A sibling: nothing replaces it, it crashes, and its pod is deleted within the minute.
#[test]
fn case_75_on_hold_an_upgrade_that_crashes_after_its_soak_has_failed() {
    let mut host = Host::with_head();
    host.workload().hold = true;
    host.deploy('b', "v2");
    host.minutes(120);
    host.exit("k8s_v2", 1);
    host.minutes(1);
    assert_eq!(host.told(), ["failed"]);
    host.remove_container("k8s_v2");
    host.minutes(2);
    assert_eq!(host.known().failures[0].outcome, Outcome::Failed);
    assert_eq!(host.known().counters.failures, 1);
}

/// Siblings: the hold comes between the save of a promotion and its act, or between the act and its
/// record.
#[test]
fn case_75_a_hold_in_the_middle_of_a_promotion() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(10);
    host.pass_killed_after(0);
    host.workload().hold = true;
    host.later(1);
    host.minutes(3);
    host.deploy('c', "v3");
    host.minutes(12);
    assert_eq!(host.latest(), Some('a'));
    host.workload().hold = false;
    host.minutes(2);
    assert_eq!(host.lineage(), ["v3=c", "v1=a"]);

    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(10);
    host.pass_killed_after(1);
    host.workload().hold = true;
    host.later(1);
    host.deploy('c', "v3");
    host.minutes(12);
    assert_eq!(host.lineage(), ["v1=a"]);
    host.workload().hold = false;
    host.minutes(2);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    host.minutes(10);
    assert_eq!(host.lineage(), ["v3=c", "v2=b"]);
}

#[test]
fn case_75_an_idle_image_on_hold_is_shown_and_kept() {
    let mut host = Host::with_fallback();
    host.image('9', &["remote:v9"]);
    host.pass();
    host.later(DAY_MINUTES);
    host.workload().hold = true;
    let plan = host.plan();
    let idle = plan.images.iter().find(|v| v.image == id('9')).unwrap();
    assert_eq!(idle.reason, Reason::Idle);
    assert!(plan.held.is_some() && plan.actions.is_empty());
    host.minutes(3);
    assert!(host.is_on_disk('9'));
}

#[test]
fn case_76_plan_names_every_removal_of_the_pass_beforehand() {
    let mut host = Host::with_fallback();
    for digit in "0123456789".chars() {
        let names = ["x", "y", "z"].map(|tag| format!("remote:{tag}{digit}"));
        host.image(digit, &[&names[0], &names[1], &names[2]]);
    }
    host.minutes(1);
    host.deploy('c', "v3");
    host.minutes(10);
    let preview = host.preview();
    let foreseen: Vec<String> = preview.into_iter().flatten().collect();
    assert_eq!(foreseen.len(), 1 + 30 + 1);
    host.pass();
    assert_eq!(host.acted, foreseen);
}

/// A sibling: R4, with a stale local container and a name to give first.
#[test]
fn case_76_plan_shows_all_rounds_of_r4() {
    let mut host = Host::local_head();
    host.image('d', &["remote:v1", "remote@d"]);
    host.run("k8s_v1", "remote:v1");
    host.minutes(3);
    host.exit("telemetry", 0);
    host.deploy('b', "v2");
    host.minutes(10);
    let preview = host.preview();
    host.pass();
    assert_eq!(host.acted, preview.concat());
}

#[test]
fn case_76_status_says_nothing_that_no_pass_has_decided() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(5);
    host.later(20);
    let observed = host.clone().observe();
    let plan = status(&host.policy, &host.state, &observed);
    let shown = &plan.workloads[&telemetry()];
    assert_eq!(shown.head.as_ref().unwrap().version.as_str(), "v1");
    assert!(shown.pending.is_some());
    assert!(shown.latest.as_ref().unwrap().proven, "v1 is");
    assert!(shown.actions.is_empty());
    host.tag('b', "local:latest");
    let observed = host.clone().observe();
    let plan = status(&host.policy, &host.state, &observed);
    let shown = &plan.workloads[&telemetry()];
    assert!(!shown.latest.as_ref().unwrap().proven, "v2 is not");
}

#[test]
fn case_77_an_image_of_others_has_no_report() {
    let mut host = Host::with_fallback();
    host.image('9', &["nginx:v1"]);
    host.pass();
    let reports = image_reports(&host.policy, &host.look(), &host.now());
    assert!(reports.iter().all(|report| report.image != id('9')));
}

/// (2) `[hold]`: one drop-in for a fleet, which comes and goes.
#[test]
fn a_hold_section_holds_until_it_is_gone_or_over() {
    let mut host = Host::with_head();
    host.hold_all(Some(30 * MINUTE_MS));
    host.deploy('b', "v2");
    host.minutes(29);
    assert_eq!(host.lineage(), ["v1=a"]);
    assert!(host.plan().held.is_some());
    host.minutes(3);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    // The same section still lies there: it is over, also after a reboot.
    host.reboot();
    host.minutes(1);
    assert_eq!(host.plan().held, None);
    // Without a time, until it is gone.
    host.policy.holds.clear();
    host.hold_all(None);
    host.deploy('c', "v3");
    host.later(3 * DAY_MINUTES);
    host.minutes(30);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    host.policy.holds.clear();
    host.minutes(1);
    assert_eq!(host.lineage(), ["v3=c", "v2=b"]);
    assert!(host.state.holds.is_empty());
}

#[test]
fn a_hold_section_that_comes_back_counts_anew() {
    let mut host = Host::with_head();
    host.hold_all(Some(30 * MINUTE_MS));
    host.minutes(40);
    assert_eq!(host.plan().held, None);
    host.policy.holds.clear();
    host.minutes(1);
    host.hold_all(Some(30 * MINUTE_MS));
    host.minutes(1);
    assert!(host.plan().held.is_some());
}

/// (2) `[reject]`: versions, image ids and repo digests, whether or not the image has arrived.
#[test]
fn what_the_policy_rejects_is_never_promoted() {
    let entries = [
        "v2".to_owned(),
        id('b').to_string(),
        "b".repeat(64),
        format!("sha256:{}", "b".repeat(64)),
        "b".repeat(12),
        format!("sha256:{}", "b".repeat(12)),
        "d".repeat(64),
        format!("sha256:{}", "d".repeat(12)),
        crate::host::name("remote@d").to_string(),
        crate::host::name("remote:v1@d").to_string(),
    ];
    for entry in entries {
        let mut host = Host::with_head();
        host.reject(&entry);
        host.image('b', &["remote:v2", "remote@d"]);
        host.deploy('b', "v2");
        host.minutes(30);
        assert_eq!(host.lineage(), ["v1=a"], "{entry}");
        assert_eq!(host.pending(), None, "{entry}");
        host.policy.rejections.clear();
        host.minutes(11);
        assert_eq!(host.lineage(), ["v2=b", "v1=a"], "{entry}");
    }
}

/// A sibling: what has no version is called by its digest in short form, as `status` shows it.
#[test]
fn what_the_policy_rejects_by_its_short_digest_is_never_promoted() {
    let mut host = Host::with_head();
    host.image('b', &["remote@d"]);
    host.roll_out("2", "remote@d");
    host.minutes(1);
    let shown = host.memory().pending.clone().unwrap().version;
    host.reject(shown.as_str());
    host.minutes(30);
    assert_eq!(
        (host.lineage(), host.pending()),
        (vec!["v1=a".to_owned()], None)
    );
    host.policy.rejections.clear();
    host.reject(&"d".repeat(12));
    host.minutes(30);
    assert_eq!(
        (host.lineage(), host.pending()),
        (vec!["v1=a".to_owned()], None)
    );
}

/// A sibling: eleven digits are a version that nothing has, and so is another repository's digest.
#[test]
fn what_the_policy_rejects_by_less_than_an_id_is_a_version() {
    let others = [
        "b".repeat(11),
        format!("elsewhere@sha256:{}", "b".repeat(64)),
    ];
    for entry in others {
        let mut host = Host::with_head();
        host.reject(&entry);
        host.image('b', &["remote:v2", "remote@b"]);
        host.upgrade('b', "v2");
    }
}

/// A sibling: the version is known from its container alone, because the image was pulled by
/// digest.
#[test]
fn what_the_policy_rejects_by_version_is_rejected_by_digest_too() {
    let mut host = Host::with_head();
    host.reject("v2");
    host.deploy_by_digest('b', "v2");
    host.minutes(30);
    assert_eq!(host.lineage(), ["v1=a"]);
    assert_eq!(host.latest(), Some('a'));
}

#[test]
fn what_the_policy_rejects_while_it_soaks_is_not_promoted() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(5);
    host.reject("v2");
    host.minutes(30);
    assert_eq!(
        (host.lineage(), host.pending()),
        (vec!["v1=a".to_owned()], None)
    );
    assert!(host.known().failures.is_empty(), "rejected, not failed");
}

/// A sibling: the pass that moved `latest` died before it recorded the promotion.
#[test]
fn what_the_policy_rejects_between_the_tag_and_its_record_is_not_promoted() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(10);
    host.pass_killed_after(1);
    assert_eq!(host.latest(), Some('b'));
    host.reject("v2");
    host.later(1);
    host.minutes(2);
    assert_eq!(host.lineage(), ["v1=a"]);
    assert_eq!(host.latest(), Some('a'));
    // Where there is nothing to go back to, the promotion stands, and what was latest before is its
    // fallback.
    let mut host = Host::shipped();
    host.exit("telemetry", 0);
    host.deploy('b', "v2");
    host.minutes(10);
    host.pass_killed_after(1);
    host.reject("v2");
    host.later(1);
    host.workload().local_fallback = LocalFallback::Keep;
    host.minutes(2);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

/// "From now on": what was proven before stays what it is.
#[test]
fn what_the_policy_rejects_after_it_was_proven_stays() {
    let mut host = Host::with_fallback();
    host.reject("v2");
    host.reject("v1");
    host.minutes(15);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert_eq!(host.latest(), Some('b'));
    // A person who pushed it expects something else, and is told.
    assert_note!(host, Note::HeadNamedByPolicy { .. });
    host.policy.rejections.clear();
    host.reject("v1");
    assert!(host.notes().is_empty(), "{:?}", host.notes());
}

/// A sibling: it stays on the disk, and never becomes latest again, neither by the orchestrator nor
/// by `rollback`.
#[test]
fn a_fallback_that_the_policy_rejects_is_not_promoted_again() {
    let mut host = Host::with_fallback();
    host.reject("v1");
    host.remove_container("k8s_v2");
    host.run("k8s_v1", "remote:v1");
    host.minutes(30);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert_eq!(host.latest(), Some('b'));
    assert!(host.is_on_disk('a'));

    let mut host = Host::with_fallback();
    host.reject("v1");
    let refused = decided(&host).unwrap_err();
    let rejects_v1 =
        matches!(&refused, Refusal::NoFallback { rejected: Some(v1), .. } if v1.as_str() == "v1");
    assert!(rejects_v1, "{refused:?}");
}

/// What serves is rejected by the policy, and v1 stays latest.
#[track_caller]
fn assert_stays_rejected(host: &mut Host) {
    host.minutes(15);
    assert_eq!((host.latest(), host.pending()), (Some('a'), None));
    assert_note!(
        host,
        Note::RejectedServes {
            lifted_by: None,
            ..
        }
    );
}

/// What was proven before stays for as long as `latest` is on it: what comes back is promoted as
/// little as what comes for the first time, "whether or not the image has arrived".
#[test]
fn what_the_policy_rejects_is_not_promoted_when_it_comes_back() {
    let mut host = Host::with_fallback();
    host.reject("v2");
    host.remove_container("k8s_v2");
    host.lose_image('b');
    host.minutes(2);
    assert_eq!(host.latest(), Some('a'));
    host.deploy('b', "v2");
    assert_stays_rejected(&mut host);
}

/// A sibling: a person took `latest` from it.
#[test]
fn what_the_policy_rejects_is_not_put_back() {
    let mut host = Host::with_fallback();
    host.reject("v2");
    host.tag('a', "local:latest");
    host.minutes(15);
    assert_eq!((host.latest(), host.pending()), (Some('a'), None));
}

/// A sibling: a fallback that is rejected is none, and the plan says so.
#[test]
fn a_fallback_that_the_policy_rejects_is_missing() {
    let mut host = Host::with_head();
    host.reject("v1");
    host.minutes(1);
    assert_eq!(host.latest(), Some('a'), "what is latest stays");
    host.upgrade('b', "v2");
    host.minutes(2);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert_eq!(host.plan().no_fallback, Some(NoFallback::Rejected));
    host.policy.rejections.clear();
    assert_eq!(host.plan().no_fallback, None);
}

/// A sibling: `rollback` passes it over, and what it goes back to is the head.
#[test]
fn a_rollback_past_a_fallback_that_the_policy_rejects_goes_all_the_way() {
    let mut host = Host::with_fallback();
    host.workload().fallbacks = 2;
    host.upgrade('c', "v3");
    host.reject("v2");
    host.exit("k8s_v3", 1);
    host.run("telemetry", "local:latest");
    host.exit("telemetry", 1);
    let done = roll_back_to(&mut host, RollbackTarget::Latest, usize::MAX);
    assert_eq!(done, ["tag a local:latest", "rm telemetry"]);
    assert_eq!(host.lineage(), ["v1=a", "v2=b"]);
    host.remove_container("k8s_v3");
    host.run("k8s_v2", "remote:v2");
    host.minutes(15);
    assert_eq!(host.latest(), Some('a'), "v2 is not promoted again");
}

/// A sibling: the head leaves the disk. What is behind it does not become the head for that.
#[test]
fn a_fallback_that_the_policy_rejects_is_not_restored_in_place_of_a_lost_head() {
    let mut host = Host::with_fallback();
    host.reject("v1");
    host.remove_container("k8s_v2");
    host.lose_image('b');
    host.minutes(3);
    assert_eq!(host.latest(), None);
    let missing = |note: &Note| {
        matches!(
            note,
            Note::LatestMissing {
                restored: false,
                ..
            }
        )
    };
    assert!(host.notes().iter().any(missing), "{:?}", host.notes());
    host.policy.rejections.clear();
    host.minutes(1);
    assert_eq!(host.latest(), Some('a'));
}

/// A sibling: while it still runs, a rollback does not take the good version for the bad one.
#[test]
fn a_rollback_while_a_rejected_version_runs_rejects_nothing_else() {
    for runs in [true, false] {
        let mut host = Host::with_fallback();
        host.reject("v3");
        host.deploy('c', "v3");
        host.minutes(3);
        if !runs {
            host.exit("k8s_v3", 1);
        }
        let refused = decided(&host).unwrap_err();
        let by_policy = matches!(
            refused,
            Refusal::RejectedAlready {
                by_policy: true,
                ..
            }
        );
        assert!(by_policy, "{refused:?}");
        let done = roll_back_to(&mut host, RollbackTarget::Latest, usize::MAX);
        assert_eq!(done, ["tag a local:latest"], "a person may ask for it");
    }
}

/// A version is a tag of the workload's own repositories. What others call the image says nothing
/// about it (R10).
#[test]
fn what_the_policy_rejects_is_not_looked_for_in_foreign_names() {
    let mut host = Host::with_head();
    host.reject("v3");
    host.image('b', &["remote:v2", "elsewhere:v3"]);
    host.run("k8s_v2", "remote:v2");
    host.remove_container("k8s_v1");
    host.minutes(30);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

/// The state that a host ends in, and what it would say of each name.
fn shown(host: &Host) -> String {
    let plan = host.plan();
    let verdicts = plan
        .images
        .iter()
        .map(|v| (v.reference.clone(), v.reason))
        .collect::<Vec<_>>();
    format!(
        "{:?} {:?} {:?} {:?} {verdicts:?} {:?}",
        host.disk(),
        host.lineage(),
        host.pending(),
        host.latest(),
        host.known().failures,
    )
}

/// (2) A version that the policy rejected before its image arrived, and one that `rollback`
/// rejected: the same at each step.
#[test]
fn what_was_rejected_before_it_arrived_behaves_like_what_rollback_rejected() {
    type Step = (&'static str, fn(&mut Host));
    let steps: [Step; 7] = [
        ("pulled", |host| {
            host.image('b', &["remote:v2"]);
            host.minutes(2);
        }),
        ("deployed", |host| {
            host.deploy('b', "v2");
            host.minutes(30);
        }),
        ("named latest by hand", |host| {
            host.tag('b', "local:latest");
            host.minutes(30);
        }),
        ("named back", |host| {
            host.tag('a', "local:latest");
            host.minutes(2);
        }),
        ("crashed", |host| {
            host.exit("k8s_v2", 3);
            host.minutes(30);
        }),
        ("withdrawn", |host| {
            host.remove_container("k8s_v2");
            host.minutes(2);
        }),
        ("a day idle", |host| {
            host.later(DAY_MINUTES);
            host.minutes(2);
        }),
    ];
    let (mut by_policy, mut by_rollback) = (Host::with_head(), Host::with_head());
    by_policy.reject("v2");
    by_rollback.reject_image('b', "v2");
    by_rollback.witness.has_rejections = true;
    for (step, act) in steps {
        act(&mut by_policy);
        act(&mut by_rollback);
        assert_eq!(shown(&by_policy), shown(&by_rollback), "{step}");
        assert_eq!(by_policy.told(), by_rollback.told(), "{step}");
        assert_eq!(by_policy.lineage(), ["v1=a"], "{step}");
    }
    assert!(!by_policy.disk().contains(&"remote:v2=b".to_owned()));
}

/// (2) One line in the journal when it begins to serve, not one each minute, and none is left
/// behind.
#[test]
fn that_a_rejected_version_runs_is_said_once() {
    let mut host = Host::with_head();
    host.reject("v2");
    host.deploy('b', "v2");
    host.minutes(1);
    assert_eq!(host.told(), ["rejected serves"]);
    host.minutes(5);
    assert_eq!(host.told(), [""; 0]);
    host.policy.rejections.clear();
    host.minutes(1);
    assert_eq!(host.known().rejected_serves, None);
    assert_eq!(host.pending().as_deref(), Some("v2=b"));
    assert_eq!(host.told(), ["pending"]);
}

/// A sibling: it was rolled back because it crash-loops, and goes on doing so.
#[test]
fn that_a_rejected_version_crash_loops_is_said_once_and_not_written_each_minute() {
    let mut host = Host::with_head();
    host.reject("v2");
    host.deploy('b', "v2");
    host.minutes(1);
    let saves = host.saves;
    for _ in 0..20 {
        host.exit("k8s_v2", 1);
        host.minutes(1);
        host.start("k8s_v2");
        host.minutes(1);
        assert_eq!(host.told(), [""; 0]);
    }
    assert_eq!(host.saves, saves);
    host.deploy('a', "v1");
    host.minutes(1);
    host.deploy('b', "v2");
    host.minutes(1);
    assert_eq!(host.told(), ["rejected serves"], "deployed anew");
}

/// What serves is rejected by its version, and then loses the name: the tag moves to a rebuild, a
/// prune takes it, or it had moved before the policy said anything.
#[test]
fn a_rejection_by_version_holds_when_the_name_is_gone() {
    let loses_its_name: [fn(&mut Host); 2] = [
        |host| host.image('c', &["remote:v2"]),
        |host| {
            host.tag('b', "local:old");
            host.untag("remote:v2");
        },
    ];
    for lose in loses_its_name {
        let mut host = Host::with_head();
        host.reject("v2");
        host.deploy('b', "v2");
        host.minutes(3);
        lose(&mut host);
        assert_stays_rejected(&mut host);
        host.policy.rejections.clear();
        host.minutes(12);
        assert_eq!(
            host.latest(),
            Some('b'),
            "it holds for as long as it stands"
        );
    }
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(3);
    host.image('c', &["remote:v2"]);
    host.minutes(1);
    host.reject("v2");
    assert_stays_rejected(&mut host);
}
