//! Field cases 27 to 37: containers of others, and deployments under way.

use tagkeeper_core::model::{
    ContainerState, Detail, Health, Note, Outcome, Pattern, Reason, WorkloadName,
};

use crate::host::{DAY_MINUTES, Host, MINUTE_MS, pattern};

#[test]
fn case_27_a_strangers_stopped_container_is_never_removed() {
    for state in [
        ContainerState::Created,
        ContainerState::Exited,
        ContainerState::Dead,
    ] {
        let mut host = Host::with_head();
        host.image('9', &["other/thing:v1"]);
        host.run("telemetry", "other/thing:v1");
        host.set_state("telemetry", state);
        host.upgrade('b', "v2");
        host.upgrade('c', "v3");
        host.later(DAY_MINUTES);
        host.minutes(3);
        assert!(host.has_container("telemetry"));
        assert_note!(host, Note::ForeignLocal { .. });
    }
}

/// Siblings: what it was created from cannot be told, or its image has left the disk.
#[test]
fn case_27_nor_when_its_image_is_gone_or_its_reference_unknown() {
    for has_reference in [true, false] {
        let mut host = Host::with_head();
        host.docker().keeps_references = true;
        host.image('9', &["other/thing:v1"]);
        host.run("telemetry", "other/thing:v1");
        host.exit("telemetry", 0);
        host.lose_image('9');
        if !has_reference {
            host.hide_reference("telemetry");
        }
        host.upgrade('b', "v2");
        host.minutes(3);
        assert!(host.has_container("telemetry"));
    }
}

#[test]
fn case_27_while_a_strangers_container_runs_nothing_soaks() {
    let mut host = Host::with_head();
    host.image('9', &["other/thing:v1"]);
    host.run("telemetry", "other/thing:v1");
    host.deploy('b', "v2");
    host.minutes(30);
    assert_eq!(host.lineage(), ["v1=a"]);
    assert_note!(host, Note::ForeignLocal { .. });
    host.remove_container("telemetry");
    host.minutes(11);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn case_28_a_local_container_between_create_and_start_is_there_when_it_is_started() {
    let mut host = Host::with_fallback();
    host.remove_container("k8s_v2");
    host.image('c', &["remote:v3"]);
    host.create("telemetry", "remote:v3");
    host.pass();
    assert_eq!(host.acted, [""; 0]);
    assert_note!(host, Note::LocalStopped { .. });
    host.start("telemetry");
    host.later(1);
    host.minutes(11);
    assert_eq!(host.lineage(), ["v3=c", "v2=b"]);
}

#[test]
fn case_28_nor_is_it_removed_in_a_restart_while_it_soaks() {
    let mut host = Host::with_fallback();
    host.remove_container("k8s_v2");
    host.image('c', &["remote:v3"]);
    host.run("telemetry", "remote:v3");
    for _ in 0..5 {
        host.minutes(3);
        let is_told = |note: &Note| matches!(note, Note::LocalRuns { .. });
        assert!(!host.notes().iter().any(is_told), "{:?}", host.notes());
        host.exit("telemetry", 137);
        host.pass();
        assert!(host.has_container("telemetry"));
        host.later(1);
        host.start("telemetry");
    }
    host.minutes(11);
    assert_eq!(host.lineage(), ["v3=c", "v2=b"]);
    assert!(host.known().failures.is_empty());
}

/// (2) Two passes, a minute or more apart, that saw this incarnation stopped.
#[test]
fn r2_second_look() {
    let mut host = Host::with_fallback();
    host.image('c', &["remote:v3"]);
    host.create("telemetry", "remote:v3");
    host.pass();
    host.uptime_ms += MINUTE_MS - 1;
    host.pass();
    assert!(host.has_container("telemetry"), "a minute is not over");
    host.uptime_ms += 1;
    host.pass();
    assert!(!host.has_container("telemetry"));
    assert_eq!(host.acted, ["rm telemetry"]);

    let mut host = Host::with_fallback();
    host.image('c', &["remote:v3"]);
    host.create("telemetry", "remote:v3");
    for _ in 0..4 {
        host.minutes(1);
        host.start("telemetry");
        host.exit("telemetry", 0);
    }
    assert!(host.has_container("telemetry"), "another incarnation");
}

/// Two rounds of one pass are one look, however long they take.
#[test]
fn r2_second_look_is_another_pass() {
    let mut host = Host::with_fallback();
    host.image('c', &["remote:v3"]);
    host.image('d', &["local:d"]);
    host.create("telemetry", "remote:v3");
    host.retire('d');
    host.meanwhile(|host| host.uptime_ms += 2 * MINUTE_MS);
    host.pass();
    assert_eq!(host.acted, ["rmi local:d"], "and a second round");
    assert!(host.has_container("telemetry"));
    host.later(1);
    host.pass();
    assert!(!host.has_container("telemetry"));
}

/// The pass that promotes looks at the local container too: it has been stopped for long enough.
#[test]
fn r2_second_look_in_the_pass_of_a_promotion() {
    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    host.minutes(9);
    host.image('d', &["remote:v4"]);
    host.create("telemetry", "remote:v4");
    host.minutes(2);
    assert_eq!(host.lineage(), ["v3=c", "v2=b"]);
    assert!(
        host.acted.contains(&"rm telemetry".to_owned()),
        "{:?}",
        host.acted
    );
}

#[test]
fn case_29_an_interrupted_recreation_is_named_and_not_removed() {
    let mut host = Host::with_fallback();
    host.run("2c45_2c45_telemetry", "remote:v1");
    host.exit("2c45_2c45_telemetry", 0);
    host.upgrade('c', "v3");
    host.minutes(5);
    assert!(host.has_container("2c45_2c45_telemetry"));
    let detail = host.verdict("remote:v1").detail;
    let Detail::UsedBy { container, .. } = detail else {
        panic!("{detail:?}")
    };
    assert_eq!(&*container, "2c45_2c45_telemetry");
}

#[test]
fn case_30_a_local_upgrade_in_a_renamed_container_keeps_its_fallback() {
    let mut host = Host::local_head();
    host.remove_container("telemetry");
    host.image('b', &["local:v2"]);
    host.run("249662c6_telemetry", "local:v2");
    host.minutes(13);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert!(host.is_on_disk('a'));
}

/// v2 crash-loops over the proven v1: at each look it is down, or has just come up.
fn crash_loop(host: &mut Host, minutes: u64) {
    for minute in 0..minutes {
        if minute % 2 == 0 {
            host.exit("k8s_v2", 1);
        } else {
            host.start("k8s_v2");
        }
        host.minutes(1);
    }
}

#[test]
fn case_31_a_debug_shell_of_the_crashing_version_is_no_service() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(2);
    host.run_shell("lucid_curie", "remote:v2");
    crash_loop(&mut host, 30);
    assert_eq!(host.lineage(), ["v1=a"]);
    assert_eq!(host.latest(), Some('a'));
    assert!(host.is_on_disk('a'));
}

/// Siblings: the shell is all that runs; it is there before the upgrade; beside the proven version.
#[test]
fn case_31_a_shell_alone_proves_nothing_either() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.run_shell("lucid_curie", "remote:v2");
    host.exit("k8s_v2", 1);
    host.minutes(30);
    assert_eq!(host.latest(), Some('a'));
    host.remove_container("k8s_v2");
    host.minutes(30);
    assert_eq!(host.latest(), Some('a'));

    let mut host = Host::with_fallback();
    host.run_shell("lucid_curie", "remote:v1");
    host.minutes(30);
    assert_eq!(host.serving().as_deref(), Some("k8s_v2"));
    host.deploy('c', "v3");
    host.minutes(11);
    assert_eq!(
        host.lineage(),
        ["v3=c", "v2=b"],
        "the shell is in no one's way"
    );
}

/// A sibling: of what is rejected; it hides nothing, and is not what a person is warned of.
#[test]
fn case_31_a_shell_of_what_is_rejected_is_no_service_either() {
    let mut host = Host::with_fallback();
    host.image('c', &["remote:v3"]);
    host.reject("v3");
    host.run_shell("debug", "remote:v3");
    host.minutes(2);
    assert_eq!(host.serving().as_deref(), Some("k8s_v2"));
    host.exit("k8s_v2", 1);
    host.minutes(2);
    assert!(
        !host.told().contains(&"rejected serves"),
        "{:?}",
        host.told()
    );
}

/// A sibling: a shell of the proven version takes nobody's place, so the upgrade that is stopped
/// waits as it would without the shell.
#[test]
fn case_31_a_shell_of_what_is_proven_withdraws_no_upgrade() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(3);
    host.run_shell("debug", "remote:v1");
    host.exit("k8s_v2", 137);
    host.minutes(2);
    assert_eq!(host.pending().as_deref(), Some("v2=b"));
    assert!(
        host.known().failures.is_empty(),
        "{:?}",
        host.known().failures
    );
    host.start("k8s_v2");
    host.minutes(11);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn case_32_a_one_off_container_of_compose_is_no_service() {
    let mut host = Host::local_head();
    host.exit("telemetry", 0);
    host.image('b', &["remote:v2"]);
    host.run_one_off("project_telemetry_run_1", "remote:v2");
    host.minutes(30);
    assert_eq!(host.lineage(), ["v1=a"]);
    assert_eq!(host.latest(), Some('a'));
    assert_eq!(host.reason("remote:v2"), Reason::InUse);
}

/// A sibling: Compose is the local service, and a pattern fits the names of its commands, too.
#[test]
fn case_32_a_one_off_container_under_a_local_name_is_no_service_either() {
    let mut host = Host::local_head();
    host.workload().containers = vec![pattern("telemetry*")];
    host.exit("telemetry", 0);
    host.image('b', &["remote:v2"]);
    host.run_one_off("telemetry-run-ab12", "remote:v2");
    host.minutes(30);
    assert_eq!(
        (host.latest(), host.lineage()),
        (Some('a'), vec!["v1=a".to_owned()])
    );
    host.exit("telemetry-run-ab12", 0);
    host.minutes(5);
    let left = host.container_names();
    assert!(left.contains(&"telemetry-run-ab12".to_owned()), "{left:?}");
}

#[test]
fn case_33_a_sibling_that_fails_between_the_looks_starts_the_soak_again() {
    // A new container each minute, never seen running.
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    for minute in 0..30 {
        let name = format!("sibling_{minute}");
        host.run(&name, "remote:v2");
        host.exit(&name, 1);
        host.minutes(1);
        host.remove_container(&name);
    }
    assert_eq!(host.lineage(), ["v1=a"], "a new container each minute");

    // The same one, which is up at each look, another time.
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.run("sibling", "remote:v2");
    for _ in 0..30 {
        host.minutes(1);
        host.start("sibling");
    }
    assert_eq!(host.lineage(), ["v1=a"], "up at each look");

    // The same one, which waits for its next start at each look.
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.run("sibling", "remote:v2");
    host.exit("sibling", 1);
    host.set_state("sibling", ContainerState::Restarting);
    host.minutes(30);
    assert_eq!(host.lineage(), ["v1=a"], "restarting at each look");
}

/// A member that was stopped or removed does not start the soak again (4.3).
#[test]
fn case_33_a_member_that_is_stopped_or_removed_interrupts_nothing() {
    type End = fn(&mut Host);
    let ends: [(&str, End); 5] = [
        ("removed", |host| host.remove_container("second")),
        ("exit 0", |host| host.exit("second", 0)),
        ("killed", |host| host.exit("second", 137)),
        ("terminated", |host| host.exit("second", 143)),
        ("being removed", |host| {
            host.set_state("second", ContainerState::Removing);
        }),
    ];
    for (case, end) in ends {
        let mut host = Host::with_head();
        host.deploy('b', "v2");
        host.run("second", "remote:v2");
        host.minutes(5);
        end(&mut host);
        host.minutes(5);
        assert_eq!(host.lineage(), ["v1=a"], "{case}");
        host.minutes(1);
        assert_eq!(host.lineage(), ["v2=b", "v1=a"], "{case}");
        assert_eq!(host.known().counters.restarts, 0, "{case}");
    }
}

#[test]
fn case_34_an_init_container_that_waits_is_not_the_service() {
    let mut host = Host::with_head();
    host.workload().orchestrated = Some(pattern("k8s_telemetry_*"));
    host.remove_container("k8s_v1");
    host.image('b', &["remote:v2"]);
    host.run("k8s_init_telemetry", "remote:v2");
    host.minutes(60);
    assert_eq!(host.lineage(), ["v1=a"]);
    assert_eq!(host.reason("remote:v2"), Reason::InUse);
    host.remove_container("k8s_init_telemetry");
    host.run("k8s_telemetry_0", "remote:v2");
    host.minutes(11);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn case_35_forty_times_ten_containers_are_one_failure() {
    for removed in [true, false] {
        let mut host = Host::with_head();
        host.image('b', &["remote:v2"]);
        host.remove_container("k8s_v1");
        let mut failed = 0;
        for round in 0..40 {
            let names: Vec<String> = (0..10).map(|n| format!("k8s_{round}_{n}")).collect();
            for name in &names {
                host.run(name, "remote:v2");
            }
            host.minutes(1);
            failed += host.told().iter().filter(|told| **told == "failed").count();
            assert!(host.asked.len() <= 20, "{} queries", host.asked.len());
            for name in &names {
                host.exit(name, 1);
            }
            host.minutes(1);
            failed += host.told().iter().filter(|told| **told == "failed").count();
            assert!(host.asked.len() <= 20, "{} queries", host.asked.len());
            if removed {
                for name in &names {
                    host.remove_container(name);
                }
            }
        }
        assert_eq!(failed, 1, "said once");
        assert_eq!(host.known().failures.len(), 1);
        assert_eq!(host.known().counters.failures, 1);
        assert_eq!(host.lineage(), ["v1=a"]);
    }
}

#[test]
fn case_36_two_workloads_share_an_image_and_patterns_tell_them_apart() {
    let gnmi = WorkloadName::new("gnmi");
    let mut host = Host::new();
    host.add_workload("gnmi", "docker-gnmi", "registry.example:5000/docker-gnmi");
    host.workload().orchestrated = Some(pattern("k8s_telemetry_*"));
    let workload = host.policy.workloads.get_mut(&gnmi).unwrap();
    workload.orchestrated = Some(Pattern::parse("k8s_gnmi_*").unwrap());
    host.image('a', &["remote:v1", "registry.example:5000/docker-gnmi:v1"]);
    for name in ["k8s_telemetry_0", "k8s_gnmi_0"] {
        host.run(name, "remote:v1");
        host.hide_reference(name);
    }
    host.minutes(12);
    assert_eq!(host.lineage(), ["v1=a"]);
    assert_eq!(host.lineage_of(&gnmi), ["v1=a"]);
    // An upgrade of one of them leaves the other's image alone.
    host.image('b', &["remote:v2"]);
    host.remove_container("k8s_telemetry_0");
    host.run("k8s_telemetry_1", "remote:v2");
    host.minutes(12);
    host.image('c', &["remote:v3"]);
    host.remove_container("k8s_telemetry_1");
    host.run("k8s_telemetry_2", "remote:v3");
    host.minutes(13);
    assert_eq!(host.lineage(), ["v3=c", "v2=b"]);
    assert_eq!(host.lineage_of(&gnmi), ["v1=a"]);
    assert!(host.is_on_disk('a'));
}

/// A sibling: the two share every image, each under its own names, and go the same way; then one
/// goes on alone.
#[test]
fn case_36_two_workloads_share_every_image_for_a_while() {
    let gnmi = WorkloadName::new("gnmi");
    let remote = "registry.example:5000/docker-gnmi";
    let mut host = Host::new();
    host.add_workload("gnmi", "docker-gnmi", remote);
    let local = [
        "local:latest",
        "local:v1",
        "docker-gnmi:latest",
        "docker-gnmi:v1",
    ];
    host.image('a', &local);
    host.run("telemetry", "local:latest");
    host.run("gnmi", "docker-gnmi:latest");
    host.minutes(12);
    for name in ["telemetry", "gnmi"] {
        host.exit(name, 0);
    }
    for (digit, version) in [('b', "v2"), ('c', "v3"), ('d', "v4")] {
        host.deploy(digit, version);
        let reference = format!("{remote}:{version}");
        host.image(digit, &[&reference]);
        host.remove_container("pod_gnmi");
        host.run("pod_gnmi", &reference);
        host.minutes(13);
    }
    assert_eq!(host.lineage(), ["v4=d", "v3=c"]);
    assert_eq!(host.lineage_of(&gnmi), ["v4=d", "v3=c"]);
    assert_eq!(host.images().len(), 2, "{:?}", host.disk());
    host.upgrade('e', "v5");
    host.upgrade('f', "v6");
    host.minutes(2);
    assert_eq!(host.lineage(), ["v6=f", "v5=e"]);
    assert_eq!(host.lineage_of(&gnmi), ["v4=d", "v3=c"]);
    assert_eq!(host.images().len(), 4, "{:?}", host.disk());
}

/// A sibling: what one has rejected by its id comes back under the other's names alone. It is that
/// one's, and goes when that one needs it no longer.
#[test]
fn case_36_a_rejection_takes_no_image_from_the_workload_that_names_it() {
    let gnmi = WorkloadName::new("gnmi");
    let remote = "registry.example:5000/docker-gnmi";
    let mut host = Host::with_fallback();
    host.add_workload("gnmi", "docker-gnmi", remote);
    host.reject_image('c', "v3");
    for (digit, version) in [('7', "v2"), ('c', "v3"), ('d', "v4"), ('e', "v5")] {
        let reference = format!("{remote}:{version}");
        host.image(digit, &[&reference]);
        host.remove_container("pod_gnmi");
        host.run("pod_gnmi", &reference);
        host.hide_reference("pod_gnmi");
        host.minutes(13);
    }
    assert_eq!(host.lineage_of(&gnmi), ["v5=e", "v4=d"]);
    assert!(!host.is_on_disk('c'));
}

#[test]
fn case_36_without_patterns_nothing_is_guessed() {
    let gnmi = WorkloadName::new("gnmi");
    let mut host = Host::new();
    host.add_workload("gnmi", "docker-gnmi", "registry.example:5000/docker-gnmi");
    host.image('a', &["remote:v1", "registry.example:5000/docker-gnmi:v1"]);
    host.run("shared", "remote:v1");
    host.hide_reference("shared");
    host.minutes(15);
    assert_eq!(host.lineage(), [""; 0]);
    assert_eq!(host.lineage_of(&gnmi), [""; 0]);
}

#[test]
fn case_37_a_container_that_is_never_healthy_is_said_and_not_written_each_minute() {
    for health in [Health::Unhealthy, Health::Starting] {
        let mut host = Host::with_head();
        host.deploy('b', "v2");
        host.set_health("k8s_v2", health);
        host.minutes(3);
        let saves = host.saves;
        host.minutes(120);
        assert_eq!(host.saves, saves);
        assert_eq!(host.lineage(), ["v1=a"]);
        assert_note!(host, Note::NotSoaking { .. });
    }
}

/// A sibling: of two containers one becomes healthy late, and the other one ill.
#[test]
fn case_37_a_group_is_as_healthy_as_each_of_its_members() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.run("second", "remote:v2");
    host.set_health("k8s_v2", Health::Healthy);
    host.set_health("second", Health::Starting);
    host.minutes(5);
    host.set_health("second", Health::Healthy);
    host.minutes(10);
    host.set_health("k8s_v2", Health::Unhealthy);
    host.minutes(1);
    assert_eq!(host.lineage(), ["v1=a"], "at the last look");
    host.remove_container("k8s_v2");
    host.minutes(10);
    assert_eq!(host.lineage(), ["v1=a"]);
    host.minutes(1);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

/// A sibling: the reason why it is not ready has the time of day in it.
#[test]
fn case_37_nor_when_the_reason_is_another_one_each_minute() {
    let mut host = Host::with_head();
    host.ask_ready();
    host.deploy('b', "v2");
    host.not_ready("first");
    host.minutes(3);
    let saves = host.saves;
    for minute in 0..60 {
        host.not_ready(&format!("not ready at {minute}"));
        host.minutes(1);
    }
    assert_eq!(host.saves, saves);
}

/// What an hour of passes says.
fn told_in_an_hour(host: &mut Host) -> Vec<&'static str> {
    let mut told = Vec::new();
    for _ in 0..60 {
        host.minutes(1);
        told.extend(host.told());
    }
    told
}

/// Whoever reads the journal learns why an upgrade does not soak, from its first minute on, and
/// once.
#[test]
fn case_37_what_is_not_ready_from_the_start_is_said_once() {
    let mut host = Host::with_head();
    host.ask_ready();
    host.not_ready("frozen");
    host.deploy('b', "v2");
    assert_eq!(told_in_an_hour(&mut host), ["pending", "restarted"]);

    host.readiness.clear();
    host.minutes(5);
    host.not_ready("frozen");
    host.start("k8s_v2");
    assert_eq!(
        told_in_an_hour(&mut host),
        ["restarted", "restarted"],
        "it was restarted, and is not ready"
    );
    host.start("k8s_v2");
    assert_eq!(
        told_in_an_hour(&mut host),
        ["restarted"],
        "it was not ready before"
    );
}

/// What the outcome of a crash loop with a shell beside it is.
#[test]
fn a_crash_loop_beside_a_shell_is_a_failure_of_the_service() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(3);
    host.run_shell("lucid_curie", "remote:v2");
    host.exit("k8s_v2", 1);
    host.minutes(2);
    assert_eq!(host.pending(), None);
    assert_eq!(host.known().failures[0].outcome, Outcome::Failed);
}
