//! Field cases 42 to 56: SONiC's flows.

use tagkeeper_core::model::{ContainerState, Note, Reason, WorkloadName};

use crate::host::{DAY_MINUTES, Host, MINUTE_MS, every_state, pattern, repository};

/// Shipped v1 has run for an hour; the orchestrator's v2 takes over.
fn taken_over() -> Host {
    let mut host = Host::local_head();
    host.exit("telemetry", 0);
    host.deploy('b', "v2");
    host
}

#[test]
fn case_42_tag_after_ten_minutes_and_remove_the_stopped_local_container() {
    let mut host = taken_over();
    host.minutes(11);
    assert_eq!(host.latest(), Some('b'));
    assert!(!host.has_container("telemetry"));
}

#[test]
fn case_42_the_local_container_is_gone_already() {
    let mut host = taken_over();
    host.remove_container("telemetry");
    host.minutes(11);
    assert_eq!(host.latest(), Some('b'));
}

#[test]
fn case_42_the_new_one_has_ended() {
    let mut host = taken_over();
    host.minutes(9);
    host.exit("k8s_v2", 1);
    host.minutes(30);
    assert_eq!(host.latest(), Some('a'));
    assert!(host.has_container("telemetry"));
}

#[test]
fn case_42_the_engine_errs_three_times() {
    let mut host = taken_over();
    host.minutes(10);
    host.refuses_tags = true;
    host.minutes(3);
    assert_eq!(host.latest(), Some('a'));
    assert!(host.has_container("telemetry"), "nothing is cleaned up");
    assert!(host.is_on_disk('a'));
    host.refuses_tags = false;
    host.minutes(1);
    assert_eq!(host.latest(), Some('b'));
    assert!(!host.has_container("telemetry"));
}

#[test]
fn case_42_the_local_one_still_runs() {
    let mut host = Host::local_head();
    host.deploy('b', "v2");
    host.minutes(30);
    assert_eq!(host.latest(), Some('a'));
    assert_eq!(host.serving().as_deref(), Some("telemetry"));
}

#[test]
fn case_42_clean_up_of_a_newer_failed_version() {
    let mut host = Host::with_fallback();
    host.deploy_in_vain('c', "v3");
    host.upgrade('b', "v2");
    host.later(DAY_MINUTES);
    host.minutes(2);
    assert_eq!(
        host.disk(),
        ["local:latest=b", "remote:v1=a", "remote:v2=b"]
    );
}

#[test]
fn case_42_clean_up_of_nothing() {
    let mut host = Host::new();
    host.image('b', &["remote:v2", "local:latest"]);
    host.run("k8s_v2", "remote:v2");
    host.minutes(12);
    assert_eq!(host.disk(), ["local:latest=b", "remote:v2=b"]);
}

#[test]
fn case_42_clean_up_with_errors_goes_on_with_the_rest() {
    let mut host = Host::with_fallback();
    host.image('8', &["remote:v0"]);
    host.image('9', &["remote:w0"]);
    host.minutes(1);
    host.fails
        .insert(crate::host::name("remote:v0").to_string());
    host.upgrade('c', "v3");
    assert!(host.is_on_disk('8') && !host.is_on_disk('9') && !host.is_on_disk('a'));
    host.fails.clear();
    host.minutes(1);
    assert!(!host.is_on_disk('8'));
}

#[test]
fn case_42_two_tags_of_one_id() {
    let mut host = Host::with_fallback();
    host.tag('a', "remote:v1-again");
    host.tag('b', "remote:v2-again");
    host.upgrade('c', "v3");
    assert_eq!(
        host.disk(),
        [
            "local:latest=c",
            "remote:v2-again=b",
            "remote:v2=b",
            "remote:v3=c"
        ]
    );
}

#[test]
fn case_42_r4_followed_by_r6() {
    let mut host = Host::local_head();
    host.image('d', &["remote:v1"]);
    host.run("k8s_v1", "remote:v1");
    host.minutes(3);
    host.exit("telemetry", 0);
    host.deploy('b', "v2");
    host.minutes(12);
    assert_eq!(
        host.disk(),
        ["local:latest=b", "remote:v1=a", "remote:v2=b"]
    );
    host.upgrade('c', "v3");
    assert_eq!(
        host.disk(),
        ["local:latest=c", "remote:v2=b", "remote:v3=c"]
    );
    host.upgrade('e', "v4");
    assert_eq!(
        host.disk(),
        ["local:latest=e", "remote:v3=c", "remote:v4=e"]
    );
}

#[test]
fn case_42_kube_goes_back_to_v2_after_v3_was_proven() {
    let mut host = Host::with_fallback();
    host.upgrade('c', "v3");
    host.upgrade('b', "v2");
    assert_eq!(host.lineage(), ["v2=b", "v3=c"]);
    assert_eq!(
        host.disk(),
        ["local:latest=b", "remote:v2=b", "remote:v3=c"]
    );
}

#[test]
fn case_42_the_pods_container_is_restarted_in_minute_eight() {
    let mut host = taken_over();
    host.minutes(8);
    host.deploy('b', "v2");
    host.minutes(10);
    assert_eq!(host.latest(), Some('a'));
    host.minutes(1);
    assert_eq!(host.latest(), Some('b'));
}

#[test]
fn case_43_after_a_reboot_without_kube_the_proven_version_runs() {
    let mut host = taken_over();
    host.minutes(12);
    host.remove_container("k8s_v2");
    host.reboot();
    host.minutes(2);
    assert!(!host.has_container("telemetry"));
    host.run("telemetry", "local:latest");
    host.minutes(15);
    let serving = host.plan().serving.unwrap();
    assert_eq!((serving.version.as_str(), serving.local), ("v2", true));
    assert_eq!(host.lineage()[0], "v2=b");

    for (digit, version) in [('c', "v3"), ('d', "v4")] {
        if host.has_container("telemetry") {
            host.exit("telemetry", 0);
        }
        host.deploy(digit, version);
        host.minutes(5);
        host.reboot();
        host.minutes(10);
        assert_ne!(host.latest(), Some(digit), "a reboot delays");
        host.minutes(1);
        assert_eq!(host.latest(), Some(digit));
        assert!(host.known().failures.is_empty(), "and fails nothing");
    }
    assert_eq!(host.lineage(), ["v4=d", "v3=c"]);
    assert_eq!(
        host.disk(),
        ["local:latest=d", "remote:v3=c", "remote:v4=d"]
    );
}

/// A sibling: nothing is started yet when the first pass after the reboot looks.
#[test]
fn case_43_a_pass_right_after_the_reboot_sees_stopped_containers() {
    for code in [0, 137, 143, 255] {
        let mut host = Host::with_head();
        host.deploy('b', "v2");
        host.minutes(5);
        host.reboot_stopped(code);
        host.minutes(2);
        assert!(host.known().failures.is_empty(), "exit {code}");
        assert_eq!(host.pending().as_deref(), Some("v2=b"), "exit {code}");
        host.start("k8s_v2");
        host.minutes(11);
        assert_eq!(host.lineage(), ["v2=b", "v1=a"], "exit {code}");
        assert!(host.known().failures.is_empty(), "exit {code}");
    }
}

/// A sibling: it is the local container that soaks, of a new version or of the fallback, and its
/// service is slow to start. R2 does not take it away meanwhile, or the service would go back to
/// latest.
#[test]
fn case_43_a_reboot_in_minute_five_only_delays_a_local_upgrade_too() {
    for (digit, version) in [('c', "v3"), ('a', "v1")] {
        let reference = format!("remote:{version}");
        let mut host = Host::with_fallback();
        host.remove_container("k8s_v2");
        host.image(digit, &[&reference]);
        host.run("telemetry", &reference);
        host.minutes(5);
        host.reboot_stopped(137);
        host.minutes(10);
        assert!(host.has_container("telemetry"), "{version}");
        assert_note!(host, Note::NotSoaking { .. });
        host.start("telemetry");
        host.minutes(11);
        assert_eq!(
            host.lineage(),
            [format!("{version}={digit}"), "v2=b".to_owned()]
        );
        assert!(host.known().failures.is_empty(), "{version}");
    }
}

/// It does once the upgrade is over: it failed, or another version works.
#[test]
fn case_43_what_is_left_of_a_local_upgrade_that_is_over_is_removed() {
    for fails in [true, false] {
        let mut host = Host::with_fallback();
        host.remove_container("k8s_v2");
        host.image('c', &["remote:v3"]);
        host.run("telemetry", "remote:v3");
        host.minutes(5);
        host.exit("telemetry", i64::from(fails));
        host.minutes(3);
        assert_eq!(host.has_container("telemetry"), !fails);
        host.run("k8s_v2", "remote:v2");
        host.minutes(3);
        assert!(!host.has_container("telemetry"));
        assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    }
}

#[test]
fn case_44_a_local_container_that_was_only_created_makes_no_dry_run() {
    let mut host = taken_over();
    host.minutes(12);
    host.create("telemetry", "local:latest");
    host.minutes(3);
    assert_eq!(host.serving().as_deref(), Some("k8s_v2"));
    host.deploy('c', "v3");
    host.minutes(12);
    assert_eq!(host.lineage()[0], "v3=c");
    assert!(!host.has_container("telemetry"));
}

#[test]
fn case_45_the_fallback_is_the_image_that_worked() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "local:v1"]);
    host.create("telemetry", "local:latest");
    host.image('d', &["remote:v1"]);
    host.run("k8s_v1", "remote:v1");
    host.minutes(60);
    assert_eq!(host.latest(), Some('d'));
    host.upgrade('b', "v2");
    assert_eq!(host.lineage(), ["v2=b", "v1=d"]);
    assert_eq!(
        host.disk(),
        ["local:latest=b", "remote:v1=d", "remote:v2=b"]
    );
    assert!(!host.has_container("telemetry"));
}

#[test]
fn case_46_local_v1_ran_and_was_stopped_and_kubes_v1_starts() {
    let mut host = Host::local_head();
    host.exit("telemetry", 0);
    host.image('d', &["remote:v1"]);
    host.run("k8s_v1", "remote:v1");
    host.minutes(60);
    assert_eq!(host.latest(), Some('a'));
    assert_eq!(host.lineage(), ["v1=a"]);
    assert_note!(host, Note::OnlyDryRuns { .. });
}

/// Siblings: the local container is in any state when kube's v1 or v2 starts. What was only
/// created, or runs, is another story.
#[test]
fn case_46_a_local_container_that_has_run_makes_dry_runs_in_any_state() {
    let other = [ContainerState::Created, ContainerState::Running];
    for state in every_state().into_iter().filter(|s| !other.contains(s)) {
        let word = state.as_str().to_owned();
        let mut host = Host::local_head();
        host.set_state("telemetry", state.clone());
        host.deploy('d', "v1");
        host.minutes(14);
        assert_eq!(host.lineage(), ["v1=a"], "{word}");
        host.deploy('b', "v2");
        host.minutes(12);
        assert_eq!(host.latest(), Some('b'), "{word}");
        assert_eq!(
            host.lineage(),
            ["v2=b", "v1=a"],
            "v1 was rolled out, {word}"
        );
        assert_eq!(
            host.has_container("telemetry"),
            !state.is_stopped(),
            "{word}"
        );
    }
}

/// A sibling: while v2 soaks beside the dry run of v1, its container is restarted. A dry run serves
/// nothing: v2 waits.
#[test]
fn case_46_a_restart_beside_a_dry_run_is_no_end_of_the_upgrade() {
    for code in [0, 137, 143, 255] {
        let mut host = Host::local_head();
        host.exit("telemetry", 0);
        host.image('d', &["remote:v1"]);
        host.run("dry_v1", "remote:v1");
        host.minutes(2);
        host.deploy('b', "v2");
        host.minutes(5);
        host.exit("k8s_v2", code);
        host.minutes(2);
        assert_eq!(host.pending().as_deref(), Some("v2=b"), "exit {code}");
        host.start("k8s_v2");
        host.minutes(11);
        assert_eq!(host.lineage(), ["v2=b", "v1=a"], "exit {code}");
        assert!(host.known().failures.is_empty(), "exit {code}");
    }
}

/// The local containers of [`multi_asic`].
const LOCALS: [&str; 3] = ["telemetry", "telemetry0", "telemetry1"];

/// A local container for each ASIC beside the one without a number, all of v1.
fn multi_asic() -> Host {
    let mut host = Host::new();
    host.workload().containers = vec![pattern("telemetry"), pattern("telemetry[0-9]*")];
    host.image('a', &["local:latest", "local:v1", "remote:v1"]);
    for name in LOCALS {
        host.run(name, "local:latest");
    }
    host.minutes(12);
    assert_eq!(host.lineage(), ["v1=a"]);
    host
}

#[test]
fn case_47_every_local_container_is_stale_after_the_promotion() {
    let mut host = multi_asic();
    for name in LOCALS {
        host.exit(name, 0);
    }
    host.image('b', &["remote:v2"]);
    for name in ["k8s_0", "k8s_1", "k8s_2"] {
        host.run(name, "remote:v2");
    }
    host.minutes(12);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert_eq!(host.container_names(), ["k8s_0", "k8s_1", "k8s_2"]);
}

/// A sibling: one of them still runs v1.
#[test]
fn case_47_one_that_still_runs_is_reported_and_kept() {
    let mut host = multi_asic();
    for name in ["telemetry", "telemetry0"] {
        host.exit(name, 0);
    }
    host.image('b', &["remote:v2"]);
    host.run("k8s_0", "remote:v2");
    host.minutes(30);
    assert_eq!(host.lineage(), ["v1=a"], "a local container works");
    host.exit("telemetry1", 0);
    host.minutes(12);
    assert_eq!(host.container_names(), ["k8s_0"]);
}

#[test]
fn case_47_local_containers_of_different_images_soak_nothing() {
    let mut host = multi_asic();
    host.image('b', &["local:v2"]);
    host.remove_container("telemetry0");
    host.run("telemetry0", "local:v2");
    host.minutes(30);
    assert_eq!(host.lineage(), ["v1=a"]);
    assert_note!(host, Note::LocalsDiffer { .. });
    for name in ["telemetry", "telemetry1"] {
        host.remove_container(name);
        host.run(name, "local:v2");
    }
    host.minutes(12);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

/// A sibling of case 45: three were created and never started; or one of them has run.
#[test]
fn case_47_what_was_only_created_makes_no_dry_run_three_times_over() {
    for has_run in [false, true] {
        let mut host = Host::new();
        host.workload().containers = vec![pattern("telemetry"), pattern("telemetry[0-9]*")];
        host.image('a', &["local:latest", "local:v1"]);
        for name in LOCALS {
            host.create(name, "local:latest");
        }
        if has_run {
            host.start("telemetry1");
            host.exit("telemetry1", 0);
        }
        host.image('d', &["remote:v1"]);
        host.run("k8s_v1", "remote:v1");
        host.minutes(13);
        let wanted = if has_run { 'a' } else { 'd' };
        assert_eq!(host.latest(), Some(wanted));
        assert_eq!(host.containers().len(), if has_run { 4 } else { 1 });
    }
}

/// A sibling: they are created together and started one after the other.
#[test]
fn case_47_one_that_is_started_minutes_later_is_there_when_it_is_started() {
    let mut host = multi_asic();
    host.image('b', &["local:v2"]);
    for name in LOCALS {
        host.remove_container(name);
        host.create(name, "local:v2");
        host.hide_reference(name);
    }
    for name in LOCALS {
        host.start(name);
        host.minutes(4);
    }
    host.minutes(7);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert_eq!(host.container_names().len(), 3);
}

/// (4.3) One of three crash-loops under systemd: the same container, down at most looks.
#[test]
fn case_47_a_crash_looping_sibling_keeps_the_others_from_soaking() {
    let mut host = multi_asic();
    host.image('b', &["local:v2"]);
    for name in LOCALS {
        host.remove_container(name);
        host.run(name, "local:v2");
    }
    for _ in 0..30 {
        host.start("telemetry0");
        host.exit("telemetry0", 1);
        host.minutes(1);
    }
    assert_eq!(host.lineage(), ["v1=a"]);
    host.start("telemetry0");
    host.minutes(11);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn case_48_a_sibling_that_the_policy_does_not_name_takes_nothing_from_v1() {
    let mut host = Host::new();
    host.workload().containers = vec![pattern("bgp0")];
    host.image('a', &["local:latest", "local:v1"]);
    host.run("bgp0", "local:latest");
    host.run("bgp1", "local:latest");
    host.minutes(12);
    host.image('b', &["local:v2", "local:latest"]);
    host.remove_container("bgp1");
    host.run("bgp1", "local:latest");
    host.minutes(30);
    assert!(host.is_on_disk('a'));
    assert_eq!(host.lineage(), ["v1=a"]);
    host.remove_container("bgp0");
    host.minutes(15);
    host.run("bgp0", "local:v2");
    host.minutes(30);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"], "v1 is the fallback");
    assert!(host.is_on_disk('a'));
}

#[test]
fn case_49_a_service_that_starts_another_tag_keeps_its_container_and_the_name() {
    for rolled_out in [true, false] {
        let mut host = Host::new();
        host.image('a', &["local:latest", "local:1.0.0"]);
        if rolled_out {
            host.image('a', &["remote:1.0.0"]);
        }
        host.run("telemetry", "local:1.0.0");
        host.minutes(12);
        assert_note!(host, Note::LocalTag { .. });
        host.exit("telemetry", 0);
        for (digit, version) in [('b', "2.0.0"), ('c', "3.0.0"), ('d', "4.0.0")] {
            host.deploy(digit, version);
            host.minutes(13);
            assert_eq!(host.latest(), Some(digit));
            assert!(host.has_container("telemetry"), "{version}");
            assert_eq!(host.meaning("local:1.0.0"), Some('a'), "{version}");
            assert_note!(host, Note::LocalTag { .. });
        }
    }
}

/// A sibling: a rebuild takes that tag, and the engine's list hides what the container was created
/// from. Its service starts the rebuild next.
#[test]
fn case_49_a_service_that_starts_a_tag_which_moves_keeps_its_container_and_the_name() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "local:1.0.0"]);
    host.run("telemetry", "local:1.0.0");
    host.minutes(12);
    host.exit("telemetry", 0);
    host.deploy('b', "2.0.0");
    host.minutes(13);
    assert_eq!(host.latest(), Some('b'));
    host.image('e', &["local:1.0.0"]);
    host.minutes(1);
    host.asked.clear();
    host.minutes(3);
    assert!(host.asked.is_empty(), "asked once: {:?}", host.asked);
    host.later(3 * DAY_MINUTES);
    host.minutes(3);
    assert!(host.has_container("telemetry"));
    assert_eq!(host.meaning("local:1.0.0"), Some('e'));
    assert_note!(host, Note::LocalTag { .. });
    // A container of latest is removed as ever, although that name has moved on as well.
    host.remove_container("telemetry");
    host.run("telemetry", "local:latest");
    host.exit("telemetry", 0);
    host.deploy('c', "3.0.0");
    host.minutes(13);
    assert_eq!(host.latest(), Some('c'));
    assert!(!host.has_container("telemetry"));
}

/// A sibling: the service starts a digest, or `latest` of one.
#[test]
fn case_49_a_service_that_starts_a_digest_keeps_its_container_and_image() {
    for started in ["local@a", "local:latest@a"] {
        let mut host = Host::new();
        host.image('a', &["local:latest", "local:1.0.0", "local@a"]);
        host.run("telemetry", started);
        host.minutes(12);
        host.exit("telemetry", 0);
        for (digit, version) in [('b', "2.0.0"), ('c', "3.0.0")] {
            host.deploy(digit, version);
            host.minutes(13);
            assert_eq!(host.latest(), Some(digit), "{started}");
            assert!(host.has_container("telemetry"), "{started}");
            assert!(host.is_on_disk('a'), "{started}");
            assert_note!(host, Note::LocalTag { .. });
        }
    }
}

#[test]
fn case_50_without_dry_runs_a_pod_of_the_local_version_serves_when_it_takes_over() {
    for same_image in [true, false] {
        let mut host = Host::local_head();
        host.workload().dry_runs = false;
        let digit = if same_image { 'a' } else { 'd' };
        host.image(digit, &["remote:v1"]);
        host.run("k8s_v1", "remote:v1");
        host.minutes(3);
        host.exit("telemetry", 0);
        host.pass();
        assert_eq!(host.serving().as_deref(), Some("k8s_v1"));
        host.later(1);
        host.minutes(11);
        assert_eq!(host.latest(), Some(digit));
    }
}

#[test]
fn case_51_docker_in_memory_brings_back_the_shipped_image_at_each_boot() {
    let mut host = Host::shipped();
    let boot = |host: &mut Host| {
        host.take_disk();
        host.uptime_ms = 0;
        host.pass();
        host.image('a', &["local:latest", "local:v1"]);
        host.run("telemetry", "local:latest");
        host.minutes(3);
    };
    host.minutes(12);
    for _ in 0..3 {
        boot(&mut host);
        assert_eq!(host.latest(), Some('a'));
        host.exit("telemetry", 0);
        for (digit, version) in [('b', "v2"), ('c', "v3")] {
            host.deploy(digit, version);
            host.minutes(12);
            assert_eq!(host.latest(), Some(digit));
        }
        assert_eq!(host.lineage(), ["v3=c", "v2=b"]);
        assert_eq!(
            host.disk(),
            ["local:latest=c", "remote:v2=b", "remote:v3=c"]
        );
    }
}

#[test]
fn case_51_secure_boot_takes_the_state_and_leaves_the_images() {
    let mut host = Host::with_fallback();
    let before = host.disk();
    host.state = tagkeeper_core::model::State {
        instance: "another".to_owned(),
        ..Default::default()
    };
    host.later(7 * DAY_MINUTES);
    host.minutes(12);
    assert_eq!(host.disk(), before);
    host.upgrade('c', "v3");
    assert_eq!(
        host.disk(),
        ["local:latest=c", "remote:v2=b", "remote:v3=c"]
    );
}

#[test]
fn case_51_another_system_image_and_back() {
    let mut host = Host::with_fallback();
    let before = host.disk();
    let first = host.take_disk();
    host.image('7', &["local:latest", "local:v7"]);
    host.run("telemetry", "local:latest");
    host.reboot();
    host.minutes(5);
    host.later(2 * DAY_MINUTES);
    let second = host.take_disk();
    host.put_disk(first);
    host.reboot();
    host.minutes(3);
    assert_eq!(host.disk(), before);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert_eq!(host.latest(), Some('b'));
    let first = host.take_disk();
    host.put_disk(second);
    host.reboot();
    host.minutes(12);
    assert!(host.is_on_disk('7'));
    host.put_disk(first);
    host.reboot();
    host.minutes(12);
    assert_eq!(host.disk(), before, "nothing of the first disk has left it");
    host.upgrade('c', "v3");
    assert_eq!(host.latest(), Some('c'));
    assert!(host.is_on_disk('b'));
}

/// A sibling: the other system image is shipped with v7, and the orchestrator takes over with a
/// version that the first one knows. What was latest here is its fallback, and not an image that
/// nobody needs.
#[test]
fn case_51_a_version_that_comes_back_keeps_what_was_latest_on_this_disk() {
    let mut host = Host::with_fallback();
    host.take_disk();
    host.reboot();
    host.image('7', &["local:latest", "local:v7"]);
    host.run("telemetry", "local:latest");
    host.minutes(5);
    host.exit("telemetry", 0);
    host.deploy('b', "v2");
    host.minutes(5);
    assert_eq!(host.reason("local:v7"), Reason::Latest);
    host.minutes(8);
    assert_eq!(host.lineage(), ["v2=b", "v7=7"]);
    host.later(7 * DAY_MINUTES);
    host.minutes(3);
    assert!(host.is_on_disk('7'));
    host.upgrade('c', "v3");
    assert_eq!(
        host.disk(),
        ["local:latest=c", "remote:v2=b", "remote:v3=c"]
    );
}

/// `sonic-installer upgrade-docker`, a pass after each of its steps.
#[test]
fn case_52_an_upgrade_by_hand_step_by_step() {
    type Step = fn(&mut Host);
    let steps: [(&str, Step); 5] = [
        ("systemctl stop", |host| host.exit("telemetry", 0)),
        ("docker rm", |host| host.remove_container("telemetry")),
        ("docker load", |host| host.image('b', &["local:latest"])),
        ("docker tag", |host| host.tag('b', "local:v2")),
        ("systemctl start", |host| {
            host.run("telemetry", "local:latest");
        }),
    ];
    for named in [true, false] {
        for passes in [1, 3] {
            let mut host = Host::new();
            host.image('a', &["local:latest"]);
            if named {
                host.tag('a', "local:v1");
            }
            host.run("telemetry", "local:latest");
            host.minutes(12);
            for (step, change) in steps {
                change(&mut host);
                host.minutes(passes);
                assert!(host.is_on_disk('a'), "{step}");
                // `docker image prune` between any two of them.
                host.prune_images();
            }
            host.minutes(12);
            assert_eq!(host.latest(), Some('b'));
            assert_eq!(host.lineage().len(), 2, "{:?}", host.lineage());
            assert!(host.is_on_disk('a'));
            assert!(host.has_container("telemetry"));
        }
    }
}

/// A sibling: by hand before the shipped version has soaked. It was withdrawn and did not fail, and
/// nothing else ever worked here.
#[test]
fn case_52_an_upgrade_by_hand_before_anything_is_proven_leaves_the_shipped_version() {
    for works in [true, false] {
        let mut host = Host::shipped();
        host.minutes(3);
        host.image('b', &["local:latest", "local:v2"]);
        host.remove_container("telemetry");
        host.run("telemetry", "local:latest");
        host.minutes(3);
        if !works {
            host.exit("telemetry", 1);
        }
        host.minutes(12);
        host.later(2 * DAY_MINUTES);
        host.minutes(3);
        assert!(host.is_on_disk('a'), "v2 works: {works}");
    }
}

#[test]
fn case_53_the_switchs_own_daemon_tags_and_cleans_beside_tagkeeper() {
    for daemon_first in [true, false] {
        let mut host = taken_over();
        let mut before = vec!['a', 'b'];
        for (digit, version) in [('b', "v2"), ('c', "v3"), ('d', "v4")] {
            host.deploy(digit, version);
            host.minutes(10);
            if !daemon_first {
                host.pass();
            }
            host.tag(digit, "local:latest");
            host.remove_container("telemetry");
            // It removes all versions but the last two.
            before.push(digit);
            let keep = [digit, before[before.len() - 2]];
            for image in host.images().to_vec() {
                let image = crate::host::digit(&image.id);
                if !keep.contains(&image) {
                    host.lose_image(image);
                }
            }
            host.minutes(2);
            assert_eq!(host.latest(), Some(digit));
        }
        assert_eq!(host.lineage(), ["v4=d", "v3=c"], "{daemon_first}");
        assert_eq!(
            host.disk(),
            ["local:latest=d", "remote:v3=c", "remote:v4=d"]
        );
    }
}

#[test]
fn case_55_images_of_other_features_with_names_alike_are_untouched() {
    let mut host = Host::with_fallback();
    let alike = [
        "docker-sonic-telemetry-dbg:v1",
        "docker-sonic-telemetry-dbg:latest",
        "docker-sonic-telemetr:v1",
        "xdocker-sonic-telemetry:v1",
        "sonic-telemetry:latest",
        "docker-sonic:v1",
        "telemetry:v1",
        "team/docker-sonic-telemetry:v1",
        "docker-sonic-telemetry/x:v1",
        "registry.example/docker-sonic-telemetry:v1",
        "registry.example:5001/docker-sonic-telemetry:v1",
        "registry.example:5000/docker-sonic-telemetry2:v1",
        "registry.example:5000/x/docker-sonic-telemetry:v1",
        "registry.example:5000/docker-sonic-telemetry/x:v1",
        "xregistry.example:5000/docker-sonic-telemetry:v1",
        "docker.io/library/telemetry:v2",
        "localhost/docker-sonic-telemetry:v1",
        "docker-syncd:v1",
        "docker-syncd:latest",
        "docker-teamd:v1",
        "docker-lldp:v1",
        "docker-lldp:latest",
    ];
    for (digit, reference) in "0123456789".chars().cycle().zip(alike) {
        host.image(digit, &[reference]);
    }
    host.upgrade('c', "v3");
    host.upgrade('d', "v4");
    host.later(30 * DAY_MINUTES);
    host.minutes(3);
    let disk = host.disk();
    for reference in alike {
        let named = crate::host::short_name(&crate::host::name(reference));
        assert!(
            disk.iter()
                .any(|line| line.starts_with(&format!("{named}="))),
            "{reference} is gone: {disk:?}"
        );
    }
}

#[test]
fn case_56_a_debug_builds_names_stay_and_three_names_can_be_said() {
    let mut host = Host::new();
    let bgp = WorkloadName::new("bgp");
    host.policy.workloads.clear();
    host.add_workload("bgp", "docker-fpm-frr", "registry.example/sonic-bgp");
    host.policy.workloads.get_mut(&bgp).unwrap().containers = vec![pattern("frr")];
    host.image('a', &["docker-fpm-frr:latest", "docker-fpm-frr:v1"]);
    host.image('9', &["docker-fpm-frr-dbg:latest", "docker-fpm-frr-dbg:v1"]);
    host.run("frr", "docker-fpm-frr:latest");
    host.minutes(12);
    assert_eq!(host.lineage_of(&bgp), ["v1=a"]);
    host.exit("frr", 0);
    for (digit, version) in [('b', "v2"), ('c', "v3")] {
        let reference = format!("registry.example/sonic-bgp:{version}");
        host.image(digit, &[&reference]);
        host.remove_container("pod");
        host.run("pod", &reference);
        host.minutes(12);
    }
    assert_eq!(host.lineage_of(&bgp), ["v3=c", "v2=b"]);
    assert_eq!(
        host.disk(),
        [
            "docker-fpm-frr-dbg:latest=9",
            "docker-fpm-frr-dbg:v1=9",
            "docker-fpm-frr:latest=c",
            "registry.example/sonic-bgp:v2=b",
            "registry.example/sonic-bgp:v3=c"
        ]
    );
}

/// A sibling of case 49: of two local containers one was created from latest, the other one from a
/// version.
#[test]
fn case_49_beside_one_of_latest() {
    let mut host = Host::new();
    host.workload().containers = vec![pattern("telemetry"), pattern("telemetry[0-9]*")];
    host.image('a', &["local:latest", "local:1.0.0", "remote:1.0.0"]);
    host.run("telemetry", "local:latest");
    host.run("telemetry0", "local:1.0.0");
    host.minutes(12);
    for name in ["telemetry", "telemetry0"] {
        host.exit(name, 0);
    }
    for (digit, version) in [('b', "2.0.0"), ('c', "3.0.0")] {
        host.upgrade(digit, version);
        host.minutes(2);
        assert!(!host.has_container("telemetry") && host.has_container("telemetry0"));
        assert_eq!(host.meaning("local:1.0.0"), Some('a'));
    }
    host.remove_container("telemetry0");
    host.minutes(2);
    assert!(!host.is_on_disk('a'));
}

/// A sibling of case 56: the debug build is the same image, under a name more.
#[test]
fn case_56_a_foreign_name_of_a_retired_image_stays() {
    let mut host = Host::with_fallback();
    host.tag('a', "docker-sonic-telemetry-dbg:v1");
    host.upgrade('c', "v3");
    host.minutes(2);
    assert_eq!(host.meaning("docker-sonic-telemetry-dbg:v1"), Some('a'));
    assert_eq!(host.meaning("remote:v1"), None);
    host.workload().remotes = vec![repository("registry.example:5000/docker-sonic-telemetry")];
    host.minutes(2);
    assert_eq!(host.reason("remote:v2"), Reason::Fallback);
}

/// A local container that never was removed by anything is looked at whatever its state says.
#[test]
fn a_local_container_in_any_stopped_state_of_a_retired_image_is_stale() {
    for state in [
        ContainerState::Created,
        ContainerState::Exited,
        ContainerState::Dead,
    ] {
        let mut host = taken_over();
        host.set_state("telemetry", state);
        host.minutes(12);
        assert!(!host.has_container("telemetry"));
    }
}

/// A sibling of R4: the orchestrator goes back to v1 and pulls its own build of it again.
#[test]
fn r4_then_back_to_the_orchestrators_own_build() {
    let mut host = Host::local_head();
    host.image('d', &["remote:v1"]);
    host.run("k8s_v1", "remote:v1");
    host.minutes(3);
    host.exit("telemetry", 0);
    host.deploy('b', "v2");
    host.minutes(12);
    assert_eq!(host.meaning("remote:v1"), Some('a'));
    host.deploy('d', "v1");
    host.minutes(5);
    assert!(host.is_on_disk('a'), "until it is proven");
    assert_eq!(host.meaning("local:v1"), Some('a'));
    host.minutes(8);
    assert_eq!(host.lineage(), ["v1=d", "v2=b"]);
    assert_eq!(
        host.disk(),
        ["local:latest=d", "remote:v1=d", "remote:v2=b"]
    );
}

/// R4 by a pass that dies after any of its steps, with any number of fallbacks, pinned or not; then
/// the host reboots, on hold for half an hour or not.
#[test]
fn r4_is_finished_after_a_kill_and_a_reboot() {
    for (fallbacks, pin, is_held) in [
        (0, false, false),
        (0, true, true),
        (1, false, true),
        (1, true, false),
        (2, true, true),
    ] {
        for changes in 0..8 {
            let mut host = Host::local_head();
            host.workload().fallbacks = fallbacks;
            host.workload().pin = pin;
            host.image('d', &["remote:v1", "remote@d"]);
            host.run("k8s_v1", "remote:v1");
            host.minutes(3);
            host.exit("telemetry", 0);
            host.deploy('b', "v2");
            host.minutes(10);
            host.pass_killed_after(changes);
            if is_held {
                host.hold_all(Some(30 * MINUTE_MS));
            }
            host.reboot();
            host.minutes(if is_held { 45 } else { 13 });
            let mut wanted = vec!["local:latest=b", "remote:v1=a", "remote:v2=b"];
            if fallbacks == 0 {
                wanted.remove(1);
            }
            assert_eq!(host.disk(), wanted, "{fallbacks} {pin} {changes}");
            assert!(!host.has_container("telemetry"));
        }
    }
}

/// The state is lost anywhere in R4. Nothing is lost, and the next upgrade is as ever.
#[test]
fn r4_after_a_lost_state() {
    for minute in [3, 10, 14] {
        let mut host = Host::local_head();
        host.image('d', &["remote:v1"]);
        host.run("k8s_v1", "remote:v1");
        host.minutes(3);
        host.exit("telemetry", 0);
        host.deploy('b', "v2");
        host.minutes(minute);
        host.state = tagkeeper_core::model::State {
            instance: "another".to_owned(),
            ..Default::default()
        };
        host.reboot();
        host.minutes(13);
        assert_eq!(
            host.disk(),
            ["local:latest=b", "remote:v1=a", "remote:v2=b"],
            "{minute}"
        );
        host.upgrade('c', "v3");
        assert_eq!(host.lineage(), ["v3=c", "v2=b"], "{minute}");
        assert_eq!(
            host.disk(),
            ["local:latest=c", "remote:v2=b", "remote:v3=c"],
            "{minute}"
        );
    }
}

/// A sibling of R9: the orchestrator comes and goes ten times, with a version or none in between.
#[test]
fn r9_the_circle_goes_round() {
    let mut host = Host::local_head();
    for (round, digit) in "bcdef0123".chars().enumerate() {
        if host.has_container("telemetry") {
            host.exit("telemetry", 0);
        }
        host.deploy(digit, &format!("v{}", round + 2));
        host.minutes(13);
        assert_eq!(host.latest(), Some(digit));
        assert!(host.images().len() <= 2, "{:?}", host.disk());
        let pod = format!("k8s_v{}", round + 2);
        host.remove_container(&pod);
        host.minutes(2);
        assert!(!host.has_container("telemetry"));
        host.run("telemetry", "local:latest");
        host.minutes(3);
        assert!(host.plan().serving.unwrap().local);
        // It comes back with the version that runs: a dry run.
        host.run(&pod, &format!("remote:v{}", round + 2));
        host.minutes(15);
        assert_eq!(host.latest(), Some(digit));
        assert_eq!(host.pending(), None);
    }
    assert!(host.known().failures.is_empty());
}

/// A rollback with several local containers applies R2 to each.
#[test]
fn case_47_a_rollback_removes_every_stale_local_container() {
    let mut host = multi_asic();
    for name in LOCALS {
        host.remove_container(name);
    }
    host.image('b', &["local:v2", "local:latest"]);
    for name in LOCALS {
        host.run(name, "local:latest");
    }
    host.minutes(12);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    for name in LOCALS {
        host.exit(name, 1);
    }
    let steps = crate::rollback::roll_back(&mut host, usize::MAX);
    assert_eq!(
        steps,
        [
            "tag a local:latest",
            "rm telemetry",
            "rm telemetry0",
            "rm telemetry1"
        ]
    );
    host.minutes(2);
    assert_eq!(host.latest(), Some('a'));
    assert!(host.container_names().is_empty());
}
