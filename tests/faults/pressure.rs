//! Disk pressure, told of the whole program: what it asks, when, and what it makes of answers that
//! are none.

use serde_json::json;

use crate::host::{Host, Outcome};
use crate::scene::{POLICY, RIPE, assert_names, id, impatient, soaking};
use in_memory_engine::{Fault, Route};

const PRESSURE: &str = "pressure = \"1%\"\n";

/// v2 is promoted, and two images that nobody ran came along, `x` a minute before `y`.
fn idle_images(policy: &str) -> Host {
    let host = soaking(policy);
    host.pass_at(RIPE).expect_code(0);
    for (label, secs) in [("x", 1_000), ("y", 1_060)] {
        let name = format!("reg.example/app:{label}");
        host.engine().docker.image(label, &[&name]);
        host.pass_at(secs).expect_code(0);
    }
    host
}

/// The root of this machine, which is fuller than one per cent: what the program sees of it is as
/// real as it gets.
fn with_root(host: &Host) {
    host.engine().docker.root_dir = json!("/");
}

#[track_caller]
fn assert_pressed(outcome: &Outcome) {
    assert_eq!(
        (outcome.removals_of("app:x"), outcome.removals_of("app:y")),
        (1, 1),
        "{outcome:#?}"
    );
    for name in ["x", "y"] {
        let line = outcome
            .stderr
            .lines()
            .find(|line| line.contains(&format!("removed reg.example/app:{name} ")))
            .unwrap_or_else(|| panic!("{outcome:#?}"));
        assert!(
            line.contains("idle for ") && line.contains("% full, more than 1%)"),
            "{line}"
        );
    }
}

#[test]
fn on_a_full_disk_idle_images_go_with_the_figures_in_the_log() {
    let host = idle_images(&format!("{POLICY}{PRESSURE}"));
    with_root(&host);
    let plan = host.plan_at(1_700);
    let images = plan["workloads"]["app"]["images"].as_array().unwrap();
    let going: Vec<_> = images.iter().filter(|i| i["verdict"] == "remove").collect();
    assert_eq!(going.len(), 2, "{plan:#}");
    assert!(going.iter().all(|i| i["reason"] == "idle"), "{plan:#}");
    let note = plan["workloads"]["app"]["note"].as_str().unwrap();
    assert!(note.contains("% full, more than 1%"), "{note}");
    let status = host.run_at(1_700, &["status", "app"]).expect_code(0);
    assert!(status.stdout.contains("more than 1%"), "{status:#?}");

    let outcome = host.pass_at(1_700).expect_code(0);
    assert_eq!(outcome.count(Route::Info), 1, "asked once in a pass");
    assert_pressed(&outcome);
    assert_names(
        &host,
        &[
            ("app:latest", "v2"),
            ("reg.example/app:v1", "v1"),
            ("reg.example/app:v2", "v2"),
        ],
    );
    let quiet = host.pass_at(1_760).expect_code(0);
    assert_eq!(quiet.count(Route::Info), 0, "nothing is idle any more");
}

/// The pass that removes is the one in which the disk was too full.
#[test]
fn the_metrics_of_a_pass_that_made_room_have_the_disk_that_it_went_by() {
    let host = idle_images(&format!("{POLICY}{PRESSURE}"));
    let file = format!("{}/tagkeeper.prom", host.state_dir().display());
    host.set_policy(&format!(
        "{POLICY}{PRESSURE}[metrics]\ntextfile = \"{file}\"\n"
    ));
    with_root(&host);
    assert_pressed(&host.pass_at(1_700).expect_code(0));
    let metrics = std::fs::read_to_string(&file).expect("the pass wrote it");
    for name in [
        "tagkeeper_disk_used_bytes ",
        "tagkeeper_disk_available_bytes ",
    ] {
        assert!(metrics.contains(name), "{metrics}");
    }
}

#[test]
fn nothing_is_asked_while_pressure_is_off_or_nothing_could_go() {
    let off = idle_images(POLICY);
    with_root(&off);
    assert_eq!(off.pass_at(1_700).expect_code(0).count(Route::Info), 0);
    assert_eq!(off.id_of("reg.example/app:x"), id("x"));

    let fresh = soaking(&format!("{POLICY}{PRESSURE}"));
    fresh.pass_at(RIPE).expect_code(0);
    with_root(&fresh);
    fresh.engine().docker.image("x", &["reg.example/app:x"]);
    let outcome = fresh.pass_at(1_000).expect_code(0);
    assert_eq!(
        outcome.count(Route::Info),
        0,
        "it may just have been pulled"
    );
    assert_eq!(outcome.requests.len(), 2, "two lists: {outcome:#?}");
    let next = fresh.pass_at(1_060).expect_code(0);
    assert_eq!(next.removals_of("app:x"), 1, "{next:#?}");
}

#[test]
fn a_rollback_asks_nothing_of_the_disk() {
    let host = idle_images(&format!("{POLICY}{PRESSURE}"));
    with_root(&host);
    let outcome = host
        .run_at(1_700, &["rollback", "app", "--yes"])
        .expect_code(0);
    assert_eq!(outcome.count(Route::Info), 0, "{outcome:#?}");
    assert_eq!(host.id_of("reg.example/app:x"), id("x"));
}

/// Nothing is known of the disk, so nothing goes for it; all else goes on, and people can see why.
#[track_caller]
fn assert_unmeasured(host: &Host, why: &str) {
    let plan = host.plan_at(1_700);
    let note = plan["workloads"]["app"]["note"].as_str().unwrap();
    assert!(
        note.contains("the disk could not be measured") && note.contains(why),
        "{why}: {note}"
    );
    let outcome = host.pass_at(1_700).expect_code(0);
    assert_eq!(outcome.mutations(), [""; 0], "{why}");
    assert_eq!(outcome.stderr, "", "{why}: a line each minute, for ever");
    for name in ["x", "y"] {
        assert_eq!(host.id_of(&format!("reg.example/app:{name}")), id(name));
    }
    let later = host.pass_at(1_060 + 86_400).expect_code(0);
    assert_eq!(later.removals_of("app:x"), 1, "a day is a day: {later:#?}");
}

#[test]
fn an_engine_that_names_no_directory_presses_nothing() {
    for (root, why) in [
        (json!(null), "does not say where its data is"),
        (json!(""), "does not say where its data is"),
        (json!("var/lib/docker"), "does not say where its data is"),
        (json!("/nowhere/docker"), "'/nowhere/docker'"),
        (json!(17), "ask where the data is"),
        (json!("/proc"), "does not say how large it is"),
    ] {
        let host = idle_images(&format!("{POLICY}{PRESSURE}"));
        host.engine().docker.root_dir = root;
        assert_unmeasured(&host, why);
    }
}

#[test]
fn an_engine_that_fails_to_say_presses_nothing() {
    for (fault, why) in [
        (Fault::Status(500, "info is broken"), "info is broken"),
        (Fault::Status(404, "page not found"), "page not found"),
        (Fault::Body("[]"), "ask where the data is"),
        (Fault::Truncated, "ask where the data is"),
        (Fault::StalledHeaders, "did not answer within 1s"),
        (Fault::Closed, "ask where the data is"),
    ] {
        let host = idle_images(&format!("{}{PRESSURE}", impatient()));
        with_root(&host);
        host.engine().fail(Route::Info, fault);
        assert_unmeasured(&host, why);
    }
}

/// The removals of a round are the last thing that a measurement decides: what they freed, and
/// when, is for the next pass.
#[test]
fn a_removal_that_fails_is_not_made_up_for_in_the_same_pass() {
    let host = idle_images(&format!("{POLICY}{PRESSURE}"));
    with_root(&host);
    host.engine().fail_about(
        Route::RemoveImage,
        "app:x",
        Fault::Status(500, "device busy"),
    );
    let outcome = host.pass_at(1_700).expect_code(1);
    assert_eq!(
        (outcome.removals_of("app:x"), outcome.count(Route::Info)),
        (1, 1),
        "{outcome:#?}"
    );
    host.engine().heal();
    host.pass_at(1_760).expect_code(0);
    assert_eq!(host.id_of("reg.example/app:x"), "");
}

/// The move of a tag frees nothing: the look at the disk still tells how full it is.
#[test]
fn the_disk_is_looked_at_after_a_promotion_in_the_same_pass() {
    let host = idle_images(&format!("{POLICY}{PRESSURE}"));
    host.engine().docker.drop_container("k8s_app_1");
    host.engine().docker.image("v3", &["reg.example/app:v3"]);
    host.engine().docker.run("k8s_app_2", "reg.example/app:v3");
    host.pass_at(1_100).expect_code(0);
    // It came after v3, so that no promotion makes it obsolete.
    host.engine().docker.image("z", &["reg.example/app:z"]);
    host.pass_at(1_160).expect_code(0);
    with_root(&host);
    let outcome = host.pass_at(1_100 + RIPE).expect_code(0);
    assert_eq!(host.id_of("app:latest"), id("v3"), "{outcome:#?}");
    assert_eq!(outcome.removals_of("app:z"), 1, "{outcome:#?}");
}
