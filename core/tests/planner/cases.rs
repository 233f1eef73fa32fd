//! The requirements R4 to R7 of design section 2: what a promotion leaves on the disk, case by
//! case, and the dry run.

use tagkeeper_core::model::{LocalFallback, Reason};

use crate::host::{DAY_MINUTES, Host};

/// v1 ran locally; the orchestrator's dry run of v1 brought another image of that version; then v2
/// was rolled out.
fn host_of_case_1() -> Host {
    let mut host = Host::new();
    host.image('a', &["local:latest", "local:v1"]);
    host.run("telemetry", "local:latest");
    host.minutes(11);
    host.image('d', &["remote:v1", "remote@d"]);
    host.run("k8s_v1", "remote:v1");
    host.minutes(3);
    assert_eq!(host.lineage(), ["v1=a"]);
    host.exit("telemetry", 0);
    host.deploy('b', "v2");
    host.minutes(10);
    host
}

#[test]
fn r4_the_fallbacks_remote_name_moves_to_the_image_that_ran() {
    let mut host = host_of_case_1();
    let before = [
        "local:latest=a",
        "local:v1=a",
        "remote:v1=d",
        "remote:v2=b",
        "remote@d=d",
    ];
    assert_eq!(host.disk(), before);
    host.pass();
    assert_eq!(
        host.disk(),
        ["local:latest=b", "remote:v1=a", "remote:v2=b"]
    );
    let steps = [
        "tag b local:latest",
        "tag a remote:v1",
        "rm telemetry",
        "rmi local:v1",
        "rmi remote@d",
    ];
    assert_eq!(host.acted, steps);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert!(host.memory().lineage[1].rolled_out, "remote:v1 was seen");
}

#[test]
fn r4_a_dry_run_image_without_a_digest_is_removed_by_id() {
    let mut host = host_of_case_1();
    host.untag("remote@d");
    host.pass();
    assert_eq!(
        host.disk(),
        ["local:latest=b", "remote:v1=a", "remote:v2=b"]
    );
    assert!(host.acted.contains(&"rmi d".to_owned()), "{:?}", host.acted);
}

#[test]
fn r4_survives_being_killed_after_each_step() {
    for changes in 0..=5 {
        let mut host = host_of_case_1();
        host.pass_killed_after(changes);
        host.pass();
        host.pass();
        assert_eq!(
            host.disk(),
            ["local:latest=b", "remote:v1=a", "remote:v2=b"],
            "killed after {changes}"
        );
        assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    }
}

/// Imaged with v3, but the group runs v2, which the orchestrator brings.
fn host_of_case_2() -> Host {
    let mut host = Host::new();
    host.image('c', &["local:latest", "local:v3"]);
    host.run("telemetry", "local:latest");
    host.minutes(2);
    host.exit("telemetry", 0);
    host.image('b', &["remote:v2"]);
    host.run("k8s_v2", "remote:v2");
    host
}

#[test]
fn r5_a_local_version_that_was_never_rolled_out_is_no_fallback() {
    let mut host = host_of_case_2();
    host.minutes(11);
    assert_eq!(host.disk(), ["local:latest=b", "remote:v2=b"]);
    assert_eq!(host.lineage(), ["v2=b"]);
}

#[test]
fn r5_also_when_the_local_version_had_proved_itself() {
    let mut host = Host::new();
    host.image('c', &["local:latest", "local:v3"]);
    host.run("telemetry", "local:latest");
    host.minutes(12);
    assert_eq!(host.lineage(), ["v3=c"]);
    host.exit("telemetry", 0);
    host.deploy('b', "v2");
    host.minutes(11);
    assert_eq!(host.disk(), ["local:latest=b", "remote:v2=b"]);
}

#[test]
fn r5_keep_makes_it_a_fallback() {
    let mut host = host_of_case_2();
    host.workload().local_fallback = LocalFallback::Keep;
    host.minutes(11);
    assert_eq!(host.disk(), ["local:latest=b", "local:v3=c", "remote:v2=b"]);
    assert_eq!(host.lineage(), ["v2=b", "v3=c"]);
}

#[test]
fn r6_the_everyday_case() {
    let mut host = Host::with_fallback();
    host.upgrade('c', "v3");
    assert_eq!(
        host.disk(),
        ["local:latest=c", "remote:v2=b", "remote:v3=c"]
    );
    host.upgrade('d', "v4");
    assert_eq!(
        host.disk(),
        ["local:latest=d", "remote:v3=c", "remote:v4=d"]
    );
}

#[test]
fn r7_a_dry_run_is_not_promoted_and_its_image_is_kept() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "local:v1"]);
    host.run("telemetry", "local:latest");
    host.minutes(11);
    host.image('d', &["remote:v1"]);
    host.run("k8s_v1", "remote:v1");
    host.minutes(30);
    assert_eq!(host.pending(), None);
    assert!(host.plan().serving.unwrap().local);
    host.remove_container("k8s_v1");
    host.later(3 * DAY_MINUTES);
    host.minutes(2);
    assert_eq!(host.reason("remote:v1"), Reason::Twin);
    assert_eq!(host.disk(), ["local:latest=a", "local:v1=a", "remote:v1=d"]);
}
