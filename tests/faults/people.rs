//! What people ask for: plan, hold, rollback, accept.

use std::os::unix::fs::PermissionsExt;
use std::thread::JoinHandle;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::host::{Host, Outcome};
use crate::scene::{POLICY, RIPE, assert_names, assert_promoted, id, promoted, soaking, upgrade};
use crate::shared::{deploy_v3, one_line};
use in_memory_engine::{Fault, Route};

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
    let then: Vec<String> = app["then"]
        .as_array()
        .expect("a list")
        .iter()
        .flat_map(|round| round.as_array().expect("a list"))
        .map(|action| format!("{} {}", action["action"], action["reference"]).replace('"', ""))
        .collect();
    assert_eq!(
        then,
        [
            "remove-container null",
            "remove-image reg.example/app:old-a",
            "remove-image reg.example/app:old-b",
        ],
        "every removal beforehand (field case 76)"
    );
    let text = host.run_at(RIPE, &["plan"]).expect_code(0).stdout;
    let last = "1 tag to move, 1 container to remove, 2 images to remove (up to 2.0 MB). Nothing \
                has been changed; run `tagkeeper reconcile` to apply.";
    assert!(one_line(&text).ends_with(last), "{text}");
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
    for only_in_plan in ["actions", "held_actions", "then"] {
        assert!(app.remove(only_in_plan).is_some(), "{only_in_plan}");
    }
    assert_eq!(keys(&status), keys(&plan));
}

/// The clean-up that a first promotion brings does not come as a surprise.
#[test]
fn on_a_fresh_host_plan_says_what_the_first_promotion_removes() {
    let host = soaking(POLICY);
    let text = host.run_at(300, &["plan"]).expect_code(0).stdout;
    assert!(
        text.contains("after the first promotion: 2 images (2.0 MB) will be removed"),
        "{text}"
    );
    assert!(text.ends_with("0 tags to move, 0 images to remove. Nothing to apply.\n"));
    let due = host.run_at(RIPE, &["plan"]).expect_code(0).stdout;
    assert!(!due.contains("after the first promotion"), "{due}");
}

/// No pass has promoted yet, so `status` does not say that it is proven (field case 76).
#[test]
fn status_shows_no_decision_that_no_pass_has_made() {
    let host = soaking(POLICY);
    let status = host
        .run_at(2 * RIPE, &["status", "--format", "json"])
        .expect_code(0)
        .json();
    let app = &status["workloads"]["app"];
    assert_eq!(app["latest"]["proven"], false, "{app:#}");
    assert_eq!(app["pending"]["version"], "v2", "{app:#}");
    let text = host.run_at(2 * RIPE, &["status"]).expect_code(0).stdout;
    assert!(text.contains("100 %, v2 awaits the next"), "{text}");
}

#[test]
fn a_fallback_that_something_else_removed_is_named() {
    let host = promoted();
    host.engine().docker.remove_image("reg.example/app:v1");
    host.pass_at(700).expect_code(0);
    let overview = host.run_at(710, &["status"]).expect_code(0).stdout;
    assert!(overview.contains("v1 lost"), "{overview}");
    let details = host.run_at(710, &["status", "app"]).expect_code(0).stdout;
    assert!(
        details.contains("the fallback v1 is not on the disk any more"),
        "{details}"
    );
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
    let images = app["images"].as_array().expect("a list");
    assert!(images.iter().all(|image| image["held"] == true), "{app:#}");
    let has_reason = |reason: &str| images.iter().any(|image| image["reason"] == reason);
    assert!(has_reason("pending"), "the real verdicts: {app:#}");
    assert_eq!(app["actions"], serde_json::json!([]));
    assert_eq!(app["held_actions"][0]["action"], "tag", "{app:#}");
    assert_eq!(app["held_actions"][0]["reference"], "app:latest");
    let text = host.run_at(500_006, &["plan"]).expect_code(0).stdout;
    let without = text.split("without the hold:").nth(1).unwrap_or_default();
    assert!(
        without.contains("v2 has soaked: it becomes latest"),
        "{text}"
    );
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

/// The version was proven: only the engine knows whether it can be a fallback again.
#[test]
fn accept_needs_the_engine_where_a_fallback_is_at_stake() {
    let host = promoted();
    host.run_at(1_000, &["rollback", "app", "--yes"])
        .expect_code(0);
    host.engine()
        .fail(Route::ListImages, Fault::Status(500, "no disk"));
    let refused = host.run_at(1_100, &["accept", "app", "v2"]).expect_code(69);
    assert!(
        refused.stderr.contains("nothing was changed"),
        "{refused:#?}"
    );
    host.engine().heal();
    let accepted = host.run_at(1_200, &["accept", "app", "v2"]).expect_code(0);
    assert!(
        accepted.stdout.contains("is a fallback again"),
        "{accepted:#?}"
    );
}

/// v2 was rolled back, and v3 came after it and is latest; v1 is its fallback.
fn rolled_back_and_upgraded() -> Host {
    let host = promoted();
    host.run_at(1_000, &["rollback", "app", "--yes"])
        .expect_code(0);
    {
        let docker = &mut host.engine().docker;
        docker.exit("k8s_app_1", 0);
        docker.image("v3", &["reg.example/app:v3"]);
        docker.run("k8s_app_2", "reg.example/app:v3");
    }
    host.pass_at(1_100).expect_code(0);
    host.pass_at(1_100 + RIPE).expect_code(0);
    host
}

/// What is lost from the disk takes no place.
#[test]
fn accept_tells_no_cost_that_there_is_not() {
    let host = rolled_back_and_upgraded();
    {
        let docker = &mut host.engine().docker;
        docker.exit("k8s_app_2", 0);
        docker.drop_container("k8s_app_2");
        docker.images.remove(&id("v3"));
    }
    host.pass_at(1_200 + RIPE).expect_code(0);
    let accepted = host.run_at(1_300 + RIPE, &["accept", "app", "v2"]);
    let said = accepted.expect_code(0).stdout;
    assert!(said.ends_with("and is a fallback again\n"), "{said}");
    host.pass_at(1_400 + RIPE).expect_code(0);
    let names = host.names();
    assert!(names.contains_key("reg.example/app:v1"), "{names:?}");
    assert!(names.contains_key("reg.example/app:v2"), "{names:?}");
}

/// A fallback has come in meanwhile, and the policy keeps one: a person is told which one goes.
#[test]
fn accept_says_which_fallback_it_costs() {
    let host = rolled_back_and_upgraded();
    let accepted = host.run_at(1_200 + RIPE, &["accept", "app", "v2"]);
    assert!(
        accepted.expect_code(0).stdout.contains(
            "is a fallback again; v1 is one fallback more than the policy keeps, and is removed by the next pass"
        )
    );
    host.pass_at(1_300 + RIPE).expect_code(0);
    let names = host.names();
    assert!(names.contains_key("reg.example/app:v2"), "{names:?}");
    assert!(!names.contains_key("reg.example/app:v1"), "{names:?}");
}

/// The policy names it as well: `accept` lifts what a rollback said, and says what is left.
#[test]
fn accept_promises_nothing_that_the_policy_rejects() {
    let host = promoted();
    host.run_at(1_000, &["rollback", "app", "--yes"])
        .expect_code(0);
    host.set_policy(&format!("{POLICY}[reject]\napp = [\"v2\"]\n"));
    let accepted = host.run_at(1_200, &["accept", "app", "v2"]).expect_code(0);
    assert!(
        accepted
            .stdout
            .contains("[reject] in the policy names it still"),
        "{accepted:#?}"
    );
    assert!(
        !accepted.stdout.contains("may be promoted"),
        "{accepted:#?}"
    );
}

/// The tag of v2 moves to another build, which is deployed.
fn deploy_v2_again(host: &Host) {
    let docker = &mut host.engine().docker;
    docker.image("again", &["reg.example/app:v2"]);
    docker.drop_container("k8s_app_1");
    docker.run("k8s_app_2", "reg.example/app:v2");
}

/// A tag that has moved: the version that is accepted was proven as another image.
#[test]
fn accept_promises_no_fallback_that_was_never_proven() {
    let host = promoted();
    deploy_v2_again(&host);
    host.pass_at(1_000).expect_code(0);
    let rolled_back = host.run_at(1_100, &["rollback", "app", "--yes"]);
    let said = rolled_back.expect_code(0).stdout;
    let older = "app: v2 is rejected; latest is an earlier build of it.";
    assert!(said.starts_with(older), "{said}");
    let accepted = host.run_at(1_200, &["accept", "app", "v2"]).expect_code(0);
    assert!(accepted.stdout.contains("will soak"), "{accepted:#?}");
}

/// A tag that moves: two builds of v2 are rejected, and one of them is good after all.
#[test]
fn of_two_rejected_builds_of_a_version_one_is_accepted_by_its_id() {
    let host = promoted();
    host.run_at(1_000, &["rollback", "app", "--yes"])
        .expect_code(0);
    deploy_v2_again(&host);
    let [first, again] = ["v2", "again"].map(|build| id(build)["sha256:".len()..][..12].to_owned());
    let lifts_again = format!("tagkeeper accept app {again}");
    host.pass_at(1_100).expect_code(0);
    let question = host.run_at(1_150, &["rollback", "app"]).expect_code(1);
    let asked = one_line(&question.stderr);
    assert!(asked.contains(&lifts_again), "{asked}");
    host.run_at(1_200, &["rollback", "app", "--yes"])
        .expect_code(0);
    let said = host.pass_at(1_250).expect_code(0);
    assert!(said.stderr.contains(&lifts_again), "{said:#?}");
    let history = host
        .run_at(1_260, &["explain", "app", &again])
        .expect_code(0);
    let history = one_line(&history.stdout);
    assert!(history.contains(&lifts_again), "{history}");
    let status = || {
        let printed = host.run_at(1_300, &["status", "app"]).expect_code(0);
        one_line(&printed.stdout)
    };
    let page = status();
    for build in [&first, &again] {
        let line = format!("v2 ({build})");
        let lift = format!("`tagkeeper accept app {build}`");
        assert!(page.contains(&line) && page.contains(&lift), "{page}");
    }

    let unknown = host.run_at(1_300, &["accept", "app", "v3"]).expect_code(1);
    let each = format!("v2 ({again})");
    assert!(unknown.stderr.contains(&each), "{unknown:#?}");
    let accepted = host.run_at(1_400, &["accept", "app", &again]);
    let said = format!("app: v2 ({again}) may be promoted again; it will soak");
    assert!(accepted.expect_code(0).stdout.starts_with(&said));
    let page = status();
    assert!(page.contains("`tagkeeper accept app v2`"), "{page}");
    assert!(!page.contains(&format!("accept app {again}")), "{page}");
}

/// What is printed to type does what was asked for.
#[test]
fn a_refused_rollback_of_latest_says_how_to_roll_latest_back() {
    let host = promoted();
    host.engine().docker.run("app", "app:latest");
    let refused = host.run_at(1_000, &["rollback", "app", "--latest", "--yes"]);
    assert!(
        refused.stderr.contains("tagkeeper rollback app --latest"),
        "{refused:#?}"
    );
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

/// What the engine refused is on record as after a pass: said once, tried again later.
#[test]
fn a_rollback_notes_what_the_engine_refused() {
    let host = promoted();
    host.engine().docker.run("app", "app:latest");
    host.engine().docker.exit("app", 0);
    host.engine()
        .fail(Route::RemoveContainer, Fault::Status(409, "busy"));
    let rolled_back = host
        .run_at(1_000, &["rollback", "app", "--yes"])
        .expect_code(0);
    assert!(rolled_back.stderr.contains("busy"), "{rolled_back:#?}");
    assert!(
        rolled_back.stdout.contains("not everything could be done"),
        "{rolled_back:#?}"
    );
    let pass = host.pass_at(1_030).expect_code(0);
    assert_eq!(pass.count(Route::RemoveContainer), 0, "{pass:#?}");
    assert!(!pass.stderr.contains("busy"), "{pass:#?}");
}

/// The rejection stands, whatever comes after it: that is no fault of the engine, and nothing that
/// "nothing was changed" could be said of.
#[test]
fn a_rollback_that_cannot_note_a_refusal_has_failed() {
    let host = promoted();
    host.engine().docker.image("v3", &["reg.example/app:v3"]);
    host.engine().docker.run("app", "reg.example/app:v3");
    host.pass_at(1_000).expect_code(0);
    host.engine().docker.exit("app", 1);
    let spare = host.path("state/state.json.spare");
    host.engine()
        .fail(Route::RemoveContainer, Fault::Status(409, "busy"));
    host.engine().before(Route::InspectContainer, 1, move |_| {
        std::fs::remove_file(&spare).expect("a save made it");
        std::fs::create_dir(&spare).expect("writable");
    });
    let failed = host
        .run_at(1_060, &["rollback", "app", "--yes"])
        .expect_code(1);
    assert!(
        !failed.stderr.contains("nothing was changed"),
        "{failed:#?}"
    );
    let rejected = std::fs::read_to_string(host.path("state/rejected.json"));
    assert!(rejected.expect("readable").contains("v3"));
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
    host.engine()
        .fail(Route::Tag, Fault::Status(500, "read-only file system"));
    let outcome = host
        .run_at(1_000, &["rollback", "app", "--yes"])
        .expect_code(1);
    assert!(outcome.count(Route::Tag) > 0);
    assert!(
        outcome.stdout.contains("latest is still v2, not v1"),
        "it claims nothing (field case 73): {outcome:#?}"
    );
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

/// Field case 72: what is rejected does not depend on the second.
#[test]
fn a_rollback_rejects_the_upgrade_in_a_crash_loop_while_it_is_down() {
    let host = promoted();
    deploy_v3(&mut host.engine().docker);
    for secs in [700, 760, 820] {
        host.pass_at(secs).expect_code(0);
        host.engine().docker.exit("k8s_app_3", 3);
        host.pass_at(secs + 30).expect_code(0);
        host.engine().docker.start("k8s_app_3");
    }
    host.pass_at(880).expect_code(0);
    host.engine().docker.exit("k8s_app_3", 3);
    let screen = host.run_at(890, &["status"]).expect_code(0).stdout;
    assert!(screen.contains("! app"), "{screen}");
    assert!(screen.contains("FAILING"), "{screen}");
    let details = host.run_at(890, &["status", "app"]).expect_code(0).stdout;
    assert!(details.contains("docker logs k8s_app_3"), "{details}");
    let done = host
        .run_at(891, &["rollback", "app", "--yes"])
        .expect_code(0)
        .stdout;
    assert!(done.contains("v3 is rejected; latest is v2"), "{done}");
    assert_eq!(host.id_of("app:latest"), id("v2"));
}

#[test]
fn wait_ends_with_what_became_of_the_upgrade() {
    let host = soaking(POLICY);
    let wait = |secs, args: &[&str]| host.run_at(secs, &[&["wait", "app"], args].concat());
    let late = wait(5, &["--timeout", "1s"]).expect_code(3);
    assert!(late.stderr.contains("v2 is not latest yet"), "{late:#?}");
    wait(5, &["v2", "--timeout", "0s"]).expect_code(3);
    host.pass_at(RIPE).expect_code(0);
    let done = wait(RIPE + 5, &["v2"]).expect_code(0);
    assert_eq!(done.stdout, "app: v2 is proven and is latest\n");
    let idle = wait(RIPE + 5, &[]).expect_code(0);
    assert_eq!(idle.stdout, "app: nothing is pending\n");
    host.run_at(RIPE + 10, &["rollback", "app", "--yes"])
        .expect_code(0);
    let rejected = wait(RIPE + 15, &["v2"]).expect_code(1);
    assert!(rejected.stderr.contains("it is rejected"), "{rejected:#?}");
    assert_eq!(rejected.requests.len(), 0, "it asks the engine nothing");
    host.run_at(0, &["wait", "nonesuch"]).expect_code(2);
}

/// A rollback saves what became of its own workload: of the others the next pass tells.
#[test]
fn a_rollback_says_nothing_of_other_workloads() {
    let host = promoted();
    host.set_policy(&format!("{POLICY}\n[workload.web]\nrepository = \"web\"\n"));
    host.engine().docker.image("w1", &["web:latest", "web:w1"]);
    host.engine().docker.run("web", "web:latest");
    let done = host
        .run_at(RIPE + 10, &["rollback", "app", "--yes"])
        .expect_code(0);
    assert!(!done.stderr.contains("web"), "{done:#?}");
    let pass = host.pass_at(RIPE + 20).expect_code(0);
    assert!(pass.stderr.contains("web: w1 is running"), "{pass:#?}");
}

/// The service has ended, and so has a newer shell of another version, of which no pass had reason
/// to ask.
#[test]
fn a_rollback_is_of_what_served_not_of_a_shell() {
    for state in ["exited", "created"] {
        let host = promoted();
        let mut engine = host.engine();
        let docker = &mut engine.docker;
        docker.exit("k8s_app_1", 0);
        docker.image("v3", &["reg.example/app:v3"]);
        let shell = docker.create("debug", "reg.example/app:v3");
        shell.interactive = true;
        shell.state = state.to_owned();
        drop(engine);
        let done = host.run_at(RIPE + 62, &["rollback", "app", "--yes"]);
        let said = done.expect_code(0).stdout;
        assert!(
            said.contains("v2 is rejected; latest is v1"),
            "{state}: {said}"
        );
    }
}

/// An idle pass asks nothing of a container; a person is told what is a service.
#[test]
fn status_tells_a_shell_from_the_service() {
    let host = promoted();
    host.engine().docker.run("debug", "reg.example/app:v2");
    let running = || {
        let details = host.run_at(RIPE + 61, &["status", "app"]).expect_code(0);
        let mut lines = details.stdout.lines();
        let line = lines.find(|line| line.trim_start().starts_with("running"));
        line.expect("a line for what runs").to_owned()
    };
    assert!(running().contains("debug"), "{}", running());
    host.engine().docker.container("debug").interactive = true;
    assert!(!running().contains("debug"), "{}", running());
    let idle = host.pass_at(RIPE + 61).expect_code(0);
    assert_eq!(idle.count(Route::InspectContainer), 0, "{idle:#?}");
}

/// A `wait` for the version that has begun: it has opened the state that it goes by first.
fn waiting(host: &Host, secs: u64, version: &str) -> JoinHandle<Outcome> {
    let opened = inotify::init(CreateFlags::CLOEXEC).expect("a watch");
    let state = host.path("state/state.json");
    inotify::add_watch(&opened, state, WatchFlags::OPEN).expect("a watch");
    let mut wait = host.command_on(&host.path("docker.sock"), secs, &["wait", "app", version]);
    let waiting = std::thread::spawn(move || crate::host::finish(&mut wait));
    rustix::io::read(&opened, &mut [0; 64]).expect("it opens the state");
    waiting
}

/// Each attempt is over before a pass comes: the upgrade has failed all the same, for whoever waits
/// and for who looks.
#[test]
fn what_crashes_between_the_passes_fails_the_wait() {
    let host = promoted();
    deploy_v3(&mut host.engine().docker);
    host.engine().docker.exit("k8s_app_3", 3);
    host.pass_at(700).expect_code(0);
    let details = host.run_at(701, &["status", "app"]).expect_code(0).stdout;
    assert!(details.contains("in k8s_app_3"), "{details}");
    let waiting = waiting(&host, 702, "v3");
    host.pass_at(760).expect_code(0);
    let failed = waiting.join().expect("it ends").expect_code(1);
    assert!(failed.stderr.contains("exited (3)"), "{failed:#?}");
    let screen = host.run_at(762, &["status"]).expect_code(0).stdout;
    assert!(screen.contains("FAILING  exited (3)"), "{screen}");
    // Whoever asks later is given the time for another attempt, and then told of this one.
    let later = host.run_at(763, &["wait", "app", "v3", "--timeout=1s"]);
    let why = "exited (3), before the wait began";
    assert!(later.expect_code(1).stderr.contains(why));
}

/// What becomes of the state meanwhile is no failure of the upgrade, which is what pipelines take 1
/// for; nor is that the verdict cannot be printed.
#[test]
fn wait_fails_for_nothing_but_the_upgrade() {
    let host = soaking(POLICY);
    let state = host.state_bytes().expect("a pass wrote it");
    let path = host.state_file();
    let waiting = waiting(&host, RIPE, "v2");
    for broken in [Some("{"), None] {
        match broken {
            Some(text) => std::fs::write(&path, text).expect("writable"),
            None => std::fs::remove_file(&path).expect("it is there"),
        }
        std::thread::sleep(std::time::Duration::from_millis(1500));
    }
    assert!(!waiting.is_finished());
    std::fs::write(&path, state).expect("writable");
    host.pass_at(RIPE).expect_code(0);
    waiting.join().expect("it ends").expect_code(0);

    let mut wait = host.command_on(&host.path("docker.sock"), RIPE, &["wait", "app", "v2"]);
    let full = std::fs::File::options().write(true).open("/dev/full");
    wait.stdout(full.expect("Linux has it"));
    assert_eq!(wait.status().expect("it runs").code(), Some(0));
}

/// A pass that sets the state aside has the rejections alone until it saves.
#[test]
fn a_state_that_is_set_aside_fails_no_wait() {
    let host = promoted();
    host.run_at(RIPE + 10, &["rollback", "app", "--yes"])
        .expect_code(0);
    deploy_v3(&mut host.engine().docker);
    host.pass_at(RIPE + 20).expect_code(0);
    let waiting = waiting(&host, RIPE + 20, "v3");
    let state = host.state_bytes().expect("a pass wrote it");
    std::fs::remove_file(host.state_file()).expect("it is there");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(!waiting.is_finished());
    std::fs::write(host.state_file(), state).expect("writable");
    host.pass_at(2 * RIPE + 20).expect_code(0);
    waiting.join().expect("it ends").expect_code(0);
}

/// A wait sees what a pass writes while it lasts.
#[test]
fn wait_ends_when_a_pass_promotes() {
    let host = soaking(POLICY);
    let waiting = waiting(&host, RIPE, "v2");
    host.pass_at(RIPE).expect_code(0);
    let done = waiting.join().expect("it ends").expect_code(0);
    assert_eq!(done.stdout, "app: v2 is proven and is latest\n");
}

/// How the last pass ended is kept where a reboot forgets it, and `status` says so first.
#[test]
fn status_says_when_the_last_pass_ended_and_how() {
    let host = soaking(POLICY);
    let runtime = host.path("run");
    std::fs::create_dir(&runtime).expect("writable");
    let run = |secs: u64, args: &[&str]| {
        let mut command = host.command_on(&host.path("docker.sock"), secs, args);
        crate::host::finish(command.env("RUNTIME_DIRECTORY", &runtime))
    };
    let first_line = |secs: u64| {
        let screen = run(secs, &["status"]).expect_code(0).stdout;
        screen.lines().next().unwrap_or_default().to_owned()
    };
    let unknown = first_line(5);
    assert!(unknown.starts_with("no pass on record"), "{unknown}");
    run(10, &["reconcile"]).expect_code(0);
    let line = first_line(20);
    assert!(
        line.starts_with("last pass 1") && line.contains(" s ago, ok"),
        "{line}"
    );
    let stopped = first_line(1_000);
    assert!(stopped.contains("PASSES HAVE STOPPED"), "{stopped}");

    host.engine()
        .fail(Route::ListImages, Fault::Status(500, "no disk"));
    run(1_010, &["reconcile"]).expect_code(69);
    host.engine().heal();
    let failed = first_line(1_020);
    assert!(failed.contains("FAILED, exit code 69"), "{failed}");
    let json = run(1_020, &["status", "--format", "json"]).expect_code(0);
    let last_pass = &json.json()["last_pass"];
    assert_eq!(last_pass["exit_code"], 69, "{last_pass:#}");
    let error = last_pass["error"].as_str().unwrap_or_default();
    assert!(error.contains("no disk"), "{last_pass:#}");

    // A refused policy fills a screen; here it is one line, and the first of its errors.
    host.set_policy(&format!("{POLICY}sok = \"1m\"\ngrac = \"1h\"\n"));
    run(1_030, &["reconcile"]).expect_code(78);
    host.set_policy(POLICY);
    let screen = run(1_031, &["status"]).expect_code(0).stdout;
    let screen = one_line(&screen);
    let said = "FAILED, exit code 78: the policy is refused: unknown key 'sok' in ";
    assert!(screen.contains(said), "{screen}");
    let rest = "and 1 more error; see `tagkeeper check`";
    assert!(screen.contains(rest) && !screen.contains('^'), "{screen}");
}

#[test]
fn what_allows_a_rejected_version_again_can_be_typed() {
    let host = promoted();
    host.run_at(1_000, &["rollback", "app", "--yes"])
        .expect_code(0);
    let said = "v2 is running although it is rejected; `tagkeeper accept app v2` allows it again";
    let pass = host.pass_at(1_060).expect_code(0);
    assert_eq!(pass.stderr, format!("warning: app: {said}\n"));
    for args in [
        &["status", "app"][..],
        &["plan"],
        &["status", "--format", "json"],
    ] {
        let text = one_line(&host.run_at(1_070, args).expect_code(0).stdout);
        assert!(text.contains(said), "{args:?}: {text}");
    }
    host.run_at(1_080, &["accept", "app", "v2"]).expect_code(0);
}

/// The unit makes the directory. A pass by hand may come before its first.
#[test]
fn a_pass_by_hand_is_on_record_where_the_service_has_never_run() {
    let host = soaking(POLICY);
    let runtime = host.path("run");
    let run = |secs: u64, args: &[&str]| {
        let mut command = host.command_on(&host.path("docker.sock"), secs, args);
        crate::host::finish(command.env("RUNTIME_DIRECTORY", &runtime))
    };
    run(5, &["status"]).expect_code(0);
    assert!(!runtime.exists(), "who only looks makes nothing");
    run(10, &["reconcile"]).expect_code(0);
    let status = run(20, &["status"]).expect_code(0);
    assert!(status.stdout.starts_with("last pass 1"), "{status:#?}");
    let mode = std::fs::metadata(&runtime)
        .expect("it is there")
        .permissions();
    assert_eq!(
        mode.mode() & 0o777,
        0o755,
        "`status` may be anyone's command"
    );

    // A policy that is refused ends the pass before anything else.
    std::fs::remove_dir_all(&runtime).expect("ours");
    host.set_policy("nonsense");
    run(30, &["reconcile"]).expect_code(78);
    let refused = run(40, &["status"]).expect_code(78);
    assert!(
        refused.stdout.contains("FAILED, exit code 78"),
        "{refused:#?}"
    );
}

/// The file has one place: only the metrics file has another name to give it.
#[test]
fn what_is_in_the_way_of_the_last_pass_is_to_be_removed() {
    let host = soaking(POLICY);
    let runtime = host.path("run");
    std::fs::create_dir_all(runtime.join("last-pass.json")).expect("writable");
    let mut command = host.command_on(&host.path("docker.sock"), 10, &["reconcile"]);
    let pass = crate::host::finish(command.env("RUNTIME_DIRECTORY", &runtime)).expect_code(0);
    let said = "last-pass.json': it is a directory, not a regular file; remove it\n";
    assert!(pass.stderr.ends_with(said), "{}", pass.stderr);
}

/// With the engine away, an operator still wants to know since when, and whether passes go on.
#[test]
fn status_says_when_the_last_pass_ended_whatever_is_wrong() {
    let host = soaking(POLICY);
    let runtime = host.path("run");
    std::fs::create_dir(&runtime).expect("writable");
    let run = |socket: &str, secs: u64, args: &[&str]| {
        let mut command = host.command_on(&host.path(socket), secs, args);
        crate::host::finish(command.env("RUNTIME_DIRECTORY", &runtime))
    };
    run("docker.sock", 10, &["reconcile"]).expect_code(0);
    let away = run("away.sock", 70, &["status"]).expect_code(69);
    assert_eq!(away.stdout, "last pass 1 min ago, ok\n");
    let error = "error: failed to list the images at '";
    assert!(away.stderr.starts_with(error), "{away:#?}");

    // A pass has met the same error: it is not printed twice.
    run("away.sock", 80, &["reconcile"]).expect_code(69);
    let away = run("away.sock", 81, &["status", "app"]).expect_code(69);
    let failed = "last pass 1 s ago FAILED, exit code 69\n";
    assert_eq!(away.stdout, failed);
    assert!(away.stderr.starts_with(error), "{away:#?}");
    assert_eq!(away.stderr.lines().count(), 1, "{away:#?}");

    // Nor is it printed twice that the policy is refused, or a state of a later version.
    host.set_policy("nonsense");
    let refused = run("docker.sock", 90, &["status"]).expect_code(78);
    assert!(
        refused.stdout.starts_with("last pass 10 s ago FAILED"),
        "{refused:#?}"
    );
    host.set_policy(POLICY);
    let file = host.state_dir().join("state.json");
    std::fs::write(&file, "{\"version\": 1000}").expect("writable");
    let refused = run("docker.sock", 91, &["status"]).expect_code(78);
    assert!(
        refused.stdout.starts_with("last pass 11 s ago FAILED"),
        "{refused:#?}"
    );

    // A pass went on without a state that it could not read: why is known.
    std::fs::write(&file, "{").expect("writable");
    run("docker.sock", 92, &["reconcile"]).expect_code(1);
    let started_anew = run("docker.sock", 93, &["status"]).expect_code(0).stdout;
    let started_anew = one_line(&started_anew);
    let said = "last pass 1 s ago FAILED, exit code 1: the state cannot be read; it is kept as '";
    assert!(started_anew.starts_with(said), "{started_anew}");

    // plan is about the next pass, and JSON is whole or not there.
    for args in [&["plan"][..], &["status", "--format", "json"]] {
        let away = run("away.sock", 82, args).expect_code(69);
        assert_eq!(away.stdout, "", "{args:?}");
    }
}

/// A slip in --state-dir must not look like a host on which nothing is proven.
#[test]
fn a_state_directory_that_is_named_and_not_there_is_no_fresh_host() {
    let host = soaking(POLICY);
    let note = "note: there is no directory '";
    let shown = |args: &[&str]| {
        let shown = host.run_at(5, args).expect_code(0).stdout;
        one_line(&shown)
    };
    for args in [["status"], ["plan"]] {
        assert!(!shown(&args).contains(note), "{args:?}");
    }
    std::fs::rename(host.state_dir(), host.path("elsewhere")).expect("writable");
    for args in [["status"], ["plan"]] {
        assert!(shown(&args).contains(note), "{}", shown(&args));
    }
    // A gate does not open on it, and nothing makes it.
    for args in [
        &["wait", "app"][..],
        &["rollback", "app", "--yes"],
        &["accept", "app", "v2"],
    ] {
        let closed = host.run_at(5, args).expect_code(1);
        assert!(
            closed.stderr.contains("there is no directory '"),
            "{closed:#?}"
        );
        assert!(!host.state_dir().exists(), "{args:?}");
    }
}
