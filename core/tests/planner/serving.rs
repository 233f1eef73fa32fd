//! Who serves (design 4.1): the three rules, dry runs, the pattern on names.

use tagkeeper_core::model::{ContainerState, Note, Pattern, Reason};

use crate::host::{Host, every_state, pattern, telemetry};

#[test]
fn rule_1_the_local_container_serves_whatever_runs_beside_it() {
    let mut host = Host::with_head();
    host.image('b', &["remote:v2"]);
    host.run("k8s_v2", "remote:v2");
    host.run("telemetry", "local:latest");
    assert_eq!(host.serving().as_deref(), Some("telemetry"));
    host.minutes(20);
    assert_eq!(host.lineage(), ["v1=a"]);
}

#[test]
fn rule_1_only_running_is_running() {
    for state in every_state() {
        if state == ContainerState::Running {
            continue;
        }
        let mut host = Host::with_head();
        host.deploy('b', "v2");
        host.run("telemetry", "local:latest");
        host.set_state("telemetry", state.clone());
        assert_eq!(
            host.serving().as_deref(),
            Some("k8s_v2"),
            "{}",
            state.as_str()
        );
        host.set_state("k8s_v2", state.clone());
        assert_eq!(host.serving(), None, "{}", state.as_str());
    }
}

#[test]
fn rule_1_a_dry_run_stays_one_for_as_long_as_its_container_exists() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "local:v1"]);
    host.run("telemetry", "local:latest");
    host.minutes(11);
    host.image('d', &["remote:v1"]);
    host.run("k8s_v1", "remote:v1");
    host.pass();
    assert_eq!(host.memory().dry_runs.len(), 1);

    host.exit("telemetry", 0);
    host.minutes(20);
    assert_eq!(
        (host.serving(), host.pending()),
        (None, None),
        "the local container has stopped"
    );
    assert_note!(host, Note::OnlyDryRuns { .. });

    host.remove_container("telemetry");
    host.minutes(20);
    assert_eq!(
        (host.serving(), host.pending()),
        (None, None),
        "the local container is gone"
    );

    host.start("k8s_v1");
    host.minutes(20);
    assert_eq!(
        (host.serving(), host.pending()),
        (None, None),
        "a restart is no new container"
    );

    host.remove_container("k8s_v1");
    host.run("k8s_v1", "remote:v1");
    host.pass();
    assert_eq!(
        host.pending().as_deref(),
        Some("v1=d"),
        "a new container is awake"
    );
    assert!(host.memory().dry_runs.is_empty());
}

#[test]
fn rule_1_beside_a_stopped_local_container_the_same_version_is_a_dry_run() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "local:v1"]);
    host.run("telemetry", "local:latest");
    host.minutes(11);
    host.exit("telemetry", 0);
    host.image('d', &["remote:v1"]);
    host.run("k8s_v1", "remote:v1");
    host.minutes(20);
    assert_eq!((host.serving(), host.pending()), (None, None));
}

#[test]
fn rule_1_another_version_is_a_dry_run_only_while_the_local_container_runs() {
    let mut host = Host::with_head();
    host.remove_container("k8s_v1");
    host.run("telemetry", "local:latest");
    host.image('b', &["remote:v2"]);
    host.run("k8s_v2", "remote:v2");
    host.minutes(3);
    assert!(host.memory().dry_runs.is_empty());
    host.exit("telemetry", 0);
    host.pass();
    assert_eq!(host.pending().as_deref(), Some("v2=b"));
}

/// It is no dry run, and nothing but the note says why it does not soak. A pass inspects no
/// container that it does not need; `status` does.
#[test]
fn rule_1_an_upgrade_beside_the_local_container_waits_and_that_is_said() {
    let mut host = Host::local_head();
    host.workload().containers = vec![pattern("telemetry"), pattern("telemetry[0-9]")];
    host.run("telemetry0", "local:latest");
    host.deploy('d', "v1");
    assert_eq!(
        host.shown_notes(),
        [],
        "a dry run, before a pass has seen it"
    );
    host.deploy('b', "v2");
    host.minutes(30);
    assert_eq!(host.latest(), Some('a'));
    let expected = Note::WaitsForLocal {
        container: "k8s_v2".to_owned(),
        version: tagkeeper_core::model::Version::new("v2"),
        locals: vec!["telemetry0".to_owned(), "telemetry".to_owned()],
    };
    assert_eq!(host.shown_notes(), [expected]);
    assert_eq!(host.notes(), []);
    host.container("k8s_v2").interactive = true;
    assert_eq!(host.shown_notes(), [], "a shell of it waits for nothing");
    host.container("k8s_v2").interactive = false;
    host.exit("telemetry", 0);
    host.exit("telemetry0", 0);
    host.pass();
    assert_eq!(host.pending().as_deref(), Some("v2=b"));
    let waits = |note: &Note| matches!(note, Note::WaitsForLocal { .. });
    assert!(!host.shown_notes().iter().any(waits));
}

#[test]
fn rule_1_the_same_image_is_the_same_version_under_any_tag() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "remote:v1", "remote:v1-hotfix"]);
    host.run("telemetry", "local:latest");
    host.run("k8s_v1", "remote:v1-hotfix");
    host.minutes(2);
    host.exit("telemetry", 0);
    host.minutes(20);
    assert_eq!((host.serving(), host.lineage()), (None, Vec::new()));
}

#[test]
fn rule_1_the_same_image_is_the_same_version_before_anything_is_written_down() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "remote:v1", "remote:v1-hotfix"]);
    host.run("telemetry", "local:latest");
    host.exit("telemetry", 0);
    host.run("k8s_v1", "remote:v1-hotfix");
    host.pass();
    assert_eq!((host.serving(), host.pending()), (None, None));
}

#[test]
fn rule_2_the_newest_container_of_the_one_image_serves() {
    let mut host = Host::with_head();
    host.run("k8s_new", "remote:v1");
    host.run("k8s_newer", "remote:v1");
    assert_eq!(host.serving().as_deref(), Some("k8s_newer"));
    host.container("k8s_v1").created_secs = 2_000_000_000;
    assert_eq!(host.serving().as_deref(), Some("k8s_v1"));
    host.container("k8s_newer").created_secs = 2_000_000_000;
    assert_eq!(
        host.serving().as_deref(),
        Some("k8s_v1"),
        "equal: the smaller id"
    );
    host.docker().containers.reverse();
    assert_eq!(host.serving().as_deref(), Some("k8s_v1"), "in any order");
    host.exit("k8s_v1", 0);
    assert_eq!(host.serving().as_deref(), Some("k8s_newer"));
}

#[test]
fn rule_2_dry_runs_do_not_count_as_another_image() {
    let mut host = Host::with_head();
    host.remove_container("k8s_v1");
    host.run("telemetry", "local:latest");
    host.run("k8s_dry", "remote:v1");
    host.pass();
    host.exit("telemetry", 0);
    host.image('b', &["remote:v2"]);
    host.run("k8s_v2", "remote:v2");
    assert_eq!(host.serving().as_deref(), Some("k8s_v2"));
}

#[test]
fn rule_2_the_pattern_narrows_who_is_looked_at() {
    let mut host = Host::with_head();
    host.image('9', &["remote:v0"]);
    host.run("debug", "remote:v0");
    assert_eq!(host.serving(), None);
    host.workload().orchestrated = Some(Pattern::parse("k8s_*").unwrap());
    assert_eq!(host.serving().as_deref(), Some("k8s_v1"));
    host.container("k8s_v1")
        .names
        .insert(0, "an-alias".to_owned());
    assert_eq!(
        host.serving().as_deref(),
        Some("an-alias"),
        "any of its names"
    );
    host.workload().orchestrated = Some(Pattern::parse("pod_*").unwrap());
    assert_eq!(host.serving(), None);
    assert_eq!(
        host.reason("remote:v0"),
        Reason::InUse,
        "any container keeps its image"
    );
    host.run("telemetry", "local:latest");
    assert_eq!(
        host.serving().as_deref(),
        Some("telemetry"),
        "the local container needs no pattern"
    );
}

#[test]
fn rule_3_with_several_images_nobody_serves_and_nothing_soaks() {
    let mut host = Host::with_head();
    host.image('b', &["remote:v2"]);
    host.run("k8s_v2", "remote:v2");
    host.minutes(20);
    assert_eq!((host.serving(), host.pending()), (None, None));
    assert_note!(host, Note::SeveralImages { .. });
    host.remove_container("k8s_v1");
    host.minutes(11);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn rule_3_with_nothing_running_nobody_serves() {
    let mut host = Host::with_head();
    host.exit("k8s_v1", 0);
    assert_eq!(host.serving(), None);
    assert!(
        host.notes().iter().any(|n| matches!(n, Note::NothingRuns)),
        "{:?}",
        host.plan().notes
    );
    assert!(host.state.workloads.contains_key(&telemetry()));
    host.set_state("k8s_v1", ContainerState::Restarting);
    assert_note!(host, Note::Loops { .. });
}
