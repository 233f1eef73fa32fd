//! What people ask for: plan, hold, rollback, accept.

use crate::host::Host;
use crate::requests::Route;
use crate::scene::{POLICY, RIPE, assert_names, assert_promoted, id, promoted, soaking, upgrade};

#[test]
fn plan_shows_what_the_next_pass_does_and_changes_nothing() {
    let host = soaking(POLICY);
    let stamps = host.state_stamps();
    let plan = host.plan_at(RIPE);
    assert_eq!(host.state_stamps(), stamps);
    assert_eq!(host.id_of("app:latest"), id("v1"), "it was not acted on");
    let app = &plan["workloads"]["app"];
    assert_eq!(plan["schema"], 1);
    assert_eq!(
        app["actions"],
        serde_json::json!([{"action": "tag", "image": id("v2"), "reference": "app:latest"}])
    );
    assert_eq!(app["latest"]["image"], id("v1"));
    assert_eq!(
        (&app["serving"]["container"], &app["serving"]["local"]),
        (&"k8s_app_1".into(), &false.into())
    );
    assert_eq!(
        (&app["pending"]["version"], &app["pending"]["soak_secs"]),
        (&"v2".into(), &600.into())
    );
    assert_eq!(
        app["images"].as_array().map(Vec::len),
        Some(5),
        "a verdict for each name: {app:#}"
    );
    host.pass_at(RIPE).expect_code(0);
    assert_promoted(&host);
}

#[test]
fn status_has_the_fields_of_plan_without_the_actions() {
    let host = soaking(POLICY);
    let mut plan = host.plan_at(RIPE);
    let status = host
        .run_at(RIPE, &["status", "--format", "json"])
        .expect_code(0)
        .json();
    let keys = |value: &serde_json::Value| -> Vec<String> {
        value["workloads"]["app"]
            .as_object()
            .map(|o| o.keys().cloned().collect())
            .unwrap_or_default()
    };
    let app = plan["workloads"]["app"].as_object_mut();
    let app = app.expect("an object");
    assert!(app.remove("actions").is_some() && app.remove("then").is_some());
    assert_eq!(keys(&status), keys(&plan));
}

#[test]
fn before_the_soak_is_over_plan_has_nothing_to_do() {
    let host = soaking(POLICY);
    let plan = host.plan_at(300);
    let app = &plan["workloads"]["app"];
    assert_eq!(app["actions"], serde_json::json!([]));
    let up = app["pending"]["up_secs"].as_u64().expect("a number");
    // Give or take the time that either run took to start.
    assert!((295..400).contains(&up), "{app:#}");
}

#[test]
fn hold_looks_and_does_not_touch() {
    let host = soaking(&format!("{POLICY}hold = true\n"));
    let names = host.names();
    for secs in [RIPE, 5_000, 500_000] {
        assert_eq!(host.pass_at(secs).expect_code(0).mutations(), [""; 0]);
    }
    let plan = host.plan_at(500_005);
    let app = &plan["workloads"]["app"];
    assert_eq!(app["pending"]["version"], "v2", "observed and shown");
    let reasons = app["images"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|i| i["reason"].as_str().unwrap_or_default());
    assert!(reasons.into_iter().all(|r| r == "held"), "{app:#}");
    assert_eq!(host.names(), names);
    host.set_policy(POLICY);
    host.pass_at(500_010).expect_code(0);
    assert_promoted(&host);
}

#[test]
fn a_rollback_moves_latest_back_and_what_it_rejected_is_not_promoted_again() {
    let host = promoted();
    host.run_at(1_000, &["rollback", "app", "--yes"])
        .expect_code(0);
    assert_eq!(host.id_of("app:latest"), id("v1"));
    // v2 goes on running, however long.
    for secs in [1_100, 5_000, 50_000] {
        host.pass_at(secs).expect_code(0);
        assert_eq!(host.id_of("app:latest"), id("v1"), "at {secs} s");
    }
    assert_eq!(
        host.id_of("reg.example/app:v2"),
        id("v2"),
        "what a container uses stays"
    );
}

#[test]
fn accept_lifts_a_rejection() {
    let host = promoted();
    host.run_at(1_000, &["rollback", "app", "--yes"])
        .expect_code(0);
    host.pass_at(2_000).expect_code(0);
    host.run_at(3_000, &["accept", "app", "v2"]).expect_code(0);
    host.pass_at(3_100).expect_code(0);
    host.pass_at(3_200).expect_code(0);
    assert_eq!(
        host.id_of("app:latest"),
        id("v1"),
        "it has to prove itself again"
    );
    host.pass_at(3_100 + RIPE).expect_code(0);
    assert_eq!(host.id_of("app:latest"), id("v2"));
}

#[test]
fn a_rollback_takes_the_stale_local_container_along() {
    let host = promoted();
    host.engine().docker.run("app", "app:latest");
    host.engine().docker.exit("app", 0);
    host.run_at(1_000, &["rollback", "app", "--yes"])
        .expect_code(0);
    assert!(
        !host.has_container("app"),
        "the service would have started v2 again"
    );
    assert_eq!(host.id_of("app:latest"), id("v1"));
}

#[test]
fn a_rollback_refuses_while_the_local_container_runs() {
    let host = promoted();
    host.engine().docker.run("app", "app:latest");
    let state = host.state_bytes();
    let outcome = host.run_at(1_000, &["rollback", "app", "--yes"]);
    assert_ne!(outcome.code, 0, "{outcome:#?}");
    assert_eq!(outcome.mutations(), [""; 0]);
    assert_eq!(host.state_bytes(), state);
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(
        said.contains("stop") && said.contains("rollback app"),
        "it says what to type: {said}"
    );
}

#[test]
fn a_rollback_of_a_pending_upgrade_rejects_that_and_leaves_latest() {
    let host = soaking(POLICY);
    host.run_at(300, &["rollback", "app", "--yes"])
        .expect_code(0);
    for secs in [RIPE, 2 * RIPE, 5 * RIPE] {
        host.pass_at(secs).expect_code(0);
        assert_eq!(host.id_of("app:latest"), id("v1"), "at {secs} s");
    }
    host.run_at(10_000, &["accept", "app", "v2"]).expect_code(0);
    host.pass_at(10_005).expect_code(0);
    host.pass_at(10_005 + RIPE).expect_code(0);
    assert_eq!(
        host.id_of("app:latest"),
        id("v2"),
        "the rejection was all that kept it"
    );
}

#[test]
fn a_rollback_without_a_fallback_changes_nothing() {
    let host = promoted();
    host.run_at(1_000, &["rollback", "app", "--yes"])
        .expect_code(0);
    host.pass_at(1_010).expect_code(0);
    let (state, names) = (host.state_bytes(), host.names());
    let outcome = host
        .run_at(1_020, &["rollback", "app", "--yes"])
        .expect_code(1);
    assert_eq!(outcome.mutations(), [""; 0], "v1 is all that is left");
    assert_eq!((host.state_bytes(), host.names()), (state, names));
}

#[test]
fn a_rollback_works_on_hold() {
    let host = promoted();
    host.set_policy(&format!("{POLICY}hold = true\n"));
    host.run_at(1_000, &["rollback", "app", "--yes"])
        .expect_code(0);
    assert_eq!(host.id_of("app:latest"), id("v1"), "a person asked");
}

#[test]
fn a_pass_finishes_a_rollback_that_was_cut_short() {
    let host = promoted();
    host.engine().docker.run("app", "app:latest");
    host.engine().docker.exit("app", 0);
    host.engine().fail(
        Route::Tag,
        crate::fake::Fault::Status(500, "read-only file system"),
    );
    let outcome = host
        .run_at(1_000, &["rollback", "app", "--yes"])
        .expect_code(1);
    assert!(outcome.count(Route::Tag) > 0);
    host.engine().heal();
    host.pass_at(1_010).expect_code(0);
    assert_eq!(
        host.id_of("app:latest"),
        id("v1"),
        "the rejection was saved first"
    );
    assert!(!host.has_container("app"));
}

#[test]
fn a_workload_that_is_not_in_the_policy_cannot_be_rolled_back() {
    let host = promoted();
    let (state, names) = (host.state_bytes(), host.names());
    for args in [
        ["rollback", "nonesuch"].as_slice(),
        &["accept", "nonesuch", "v2"],
    ] {
        let outcome = host.run_at(1_000, args);
        assert!(
            outcome.code != 0 && outcome.stderr.contains("nonesuch"),
            "{outcome:#?}"
        );
        assert_eq!(outcome.mutations(), [""; 0]);
    }
    assert_eq!((host.state_bytes(), host.names()), (state, names));
    assert_names(&host, crate::scene::PROMOTED);
}

#[test]
fn init_needs_no_policy_and_changes_nothing() {
    let host = Host::new("this is no policy");
    upgrade(&mut host.engine().docker);
    let stamps = host.state_stamps();
    let first = host.run_at(0, &["init"]).expect_code(0);
    assert_eq!(
        (first.requests.len(), first.mutations().len()),
        (2, 0),
        "{first:#?}"
    );
    assert_eq!(first.stderr, "");
    assert_eq!(host.state_stamps(), stamps);
    host.set_policy(&first.stdout);
    let checked = host
        .run_at(0, &["check", "--format", "json"])
        .expect_code(0);
    assert_eq!(checked.json()["workloads"], serde_json::json!(["app"]));
    host.pass_at(0).expect_code(0);
    host.pass_at(RIPE).expect_code(0);
    assert_promoted(&host);
}

#[test]
fn init_where_there_is_nothing_prints_a_skeleton_and_says_so() {
    let host = Host::new("");
    let first = host.run_at(0, &["init"]).expect_code(0);
    assert!(first.stdout.contains("#[workload.NAME]"), "{first:#?}");
    assert!(first.stderr.contains("looks like a workload"), "{first:#?}");
    let gone = host.run_on(&host.path("no.sock"), 0, &["init"]);
    assert_eq!((gone.code, gone.stdout.as_str()), (69, ""), "{gone:#?}");
}
