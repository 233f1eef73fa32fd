//! Hold and reject from outside: a section that is pushed to a host, and taken away again (design
//! 6).

use crate::host::Host;
use crate::scene::{POLICY, RIPE, assert_names, assert_promoted, id, promoted, soaking};
use crate::shared::one_line;

const HOLD: &str = "[hold]\nworkloads = [\"a*\"]\nfor = \"2h\"\nreason = \"incident 4711\"\n";
const REJECT: &str = "[reject]\napp = [\"v2\"]\nelsewhere = [\"v9\"]\n";

/// What a command prints.
fn printed(host: &Host, secs: u64, args: &[&str]) -> String {
    host.run_at(secs, args).expect_code(0).stdout
}

/// The state file as text.
fn state(host: &Host) -> String {
    String::from_utf8(host.state_bytes().expect("there is a state")).expect("UTF-8")
}

/// A host whose clock and records are as they were: without what differs by when it was saved.
fn is_free_of_holds(host: &Host) -> bool {
    let state = state(host);
    !["held", "holds", "4711", "rejected_serves"]
        .iter()
        .any(|word| state.contains(word))
}

#[test]
fn a_hold_that_is_pushed_stops_all_of_it_says_why_and_leaves_no_trace() {
    let host = soaking(POLICY);
    assert!(is_free_of_holds(&host));
    let names = host.names();
    host.set_policy(&format!("{POLICY}{HOLD}"));
    let first = host.pass_at(RIPE).expect_code(0);
    assert_eq!(
        first.stderr,
        "app: on hold for 2h: incident 4711; no changes are made\n"
    );
    for secs in [RIPE + 60, RIPE + 3_600] {
        assert_eq!(host.pass_at(secs).expect_code(0).stderr, "", "said once");
    }
    assert_eq!(
        host.names(),
        names,
        "nothing was promoted, moved or removed"
    );
    assert!(host.has_container("app"), "nor a container");
    for args in [
        &["status"][..],
        &["status", "app"],
        &["plan"],
        &["status", "--format", "json"],
    ] {
        let text = printed(&host, RIPE + 3_601, args);
        assert!(text.contains("incident 4711"), "{args:?}: {text}");
    }
    host.set_policy(POLICY);
    let stderr = host.pass_at(RIPE + 3_660).expect_code(0).stderr;
    assert!(stderr.contains("app: no longer on hold\n"), "{stderr}");
    assert_promoted(&host);
    assert!(is_free_of_holds(&host), "{}", state(&host));
}

#[test]
fn a_hold_ends_by_its_own_time_and_says_so() {
    let host = soaking(POLICY);
    host.set_policy(&format!("{POLICY}{HOLD}"));
    host.pass_at(RIPE).expect_code(0);
    let stderr = host.pass_at(RIPE + 7_300).expect_code(0).stderr;
    assert!(stderr.contains("app: no longer on hold\n"), "{stderr}");
    assert_promoted(&host);
    assert_eq!(host.pass_at(RIPE + 7_360).expect_code(0).stderr, "");
}

#[test]
fn a_version_that_is_rejected_before_it_arrives_is_never_promoted_and_named() {
    let host = promoted();
    host.set_policy(&format!("{POLICY}{}", REJECT.replace("v2", "v3")));
    assert_eq!(host.pass_at(1_000).expect_code(0).stderr, "");
    {
        let docker = &mut host.engine().docker;
        docker.image("v3", &["reg.example/app:v3"]);
        docker.exit("k8s_app_1", 0);
        docker.run("k8s_app_2", "reg.example/app:v3");
    }
    let said = "v3 is running although it is rejected; the policy's [reject] names it";
    let first = host.pass_at(1_060).expect_code(0);
    assert_eq!(first.stderr, format!("warning: app: {said}\n"));
    for secs in [1_120, 1_700, 5_000] {
        let next = host.pass_at(secs).expect_code(0);
        assert_eq!((next.stderr.as_str(), next.mutations().len()), ("", 0));
    }
    assert_eq!(host.id_of("app:latest"), id("v2"));
    for args in [&["status", "app"][..], &["status", "--format", "json"]] {
        let text = one_line(&printed(&host, 5_001, args));
        assert!(text.contains(said), "{args:?}: {text}");
    }
    host.set_policy(POLICY);
    for secs in [5_060, 5_700] {
        host.pass_at(secs).expect_code(0);
    }
    assert_names(
        &host,
        &[
            ("app:latest", "v3"),
            ("reg.example/app:v2", "v2"),
            ("reg.example/app:v3", "v3"),
        ],
    );
    assert!(is_free_of_holds(&host), "{}", state(&host));
}

/// One file with both, beside a workload's own `hold`: neither refuses the policy.
#[test]
fn a_hold_a_rejection_and_the_workloads_own_hold_go_together() {
    let host = soaking(POLICY);
    let names = host.names();
    host.set_policy(&format!("{POLICY}hold = true\n{HOLD}{REJECT}"));
    host.pass_at(RIPE).expect_code(0);
    host.set_policy(&format!("{POLICY}hold = true\n{REJECT}"));
    let next = host.pass_at(RIPE + 60).expect_code(0);
    assert_eq!(next.stderr, "", "still on hold");
    host.set_policy(&format!("{POLICY}{REJECT}"));
    let stderr = host.pass_at(RIPE + 120).expect_code(0).stderr;
    assert!(stderr.contains("app: no longer on hold\n"), "{stderr}");
    assert_eq!(host.names(), names, "v2 is rejected, so v1 stays latest");
}
