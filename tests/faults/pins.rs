//! Pins, told of the whole program: what it asks the engine for, when, and what it makes of an
//! engine that will not have it.

use serde_json::{Value, json};

use crate::host::{Host, Outcome};
use crate::scene::{POLICY, PROMOTED, RIPE, assert_names, id, soaking};
use crate::shared::deploy_v3;
use in_memory_engine::{Fault, Route, hex_id};

fn pinning() -> String {
    format!("{POLICY}pin = true\n")
}

fn pin_name(label: &str) -> String {
    format!("tagkeeper-pin-app-{}", &hex_id(label)[..12])
}

/// v2 is promoted over v1, which is pinned.
fn pinned() -> Host {
    let host = soaking(&pinning());
    host.engine().docker.image("v1", &[]);
    let volumes = vec!["/data".to_owned(), "/var/lib/app".to_owned()];
    let v1 = id("v1");
    host.engine().docker.images.get_mut(&v1).unwrap().volumes = volumes;
    let outcome = host.pass_at(RIPE).expect_code(0);
    assert_eq!(outcome.count(Route::CreateContainer), 1, "{outcome:#?}");
    assert!(host.has_container(&pin_name("v1")));
    host
}

fn created(outcome: &Outcome) -> Vec<&str> {
    let creations = outcome
        .requests
        .iter()
        .filter(|r| r.route == Route::CreateContainer);
    creations.map(|r| r.value("name")).collect()
}

#[test]
fn a_pin_is_never_started_has_no_network_and_makes_no_volume() {
    let host = soaking(&pinning());
    let v1 = id("v1");
    host.engine().docker.images.get_mut(&v1).unwrap().volumes = vec!["/data".to_owned()];
    let outcome = host.pass_at(RIPE).expect_code(0);
    let request = outcome
        .requests
        .iter()
        .find(|r| r.route == Route::CreateContainer)
        .unwrap();
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let instance = &body["Labels"]["tagkeeper.instance"];
    assert!(instance.is_string(), "whose pin it is: {body:#}");
    let wanted = json!({
        "Image": v1, "Entrypoint": ["tagkeeper-pin"], "Cmd": [],
        "Labels": {"tagkeeper.pin": "app", "tagkeeper.instance": instance}, "NetworkDisabled": true,
        "HostConfig": {
            "NetworkMode": "none", "RestartPolicy": {"Name": "no"},
            "Mounts": [{"Type": "tmpfs", "Target": "/data"}],
        },
    });
    assert_eq!(body, wanted);
    assert!(outcome.stderr.contains(&format!(
        "app: container {} pins the fallback's image {}\n",
        pin_name("v1"),
        &hex_id("v1")[..12]
    )));
    let mut engine = host.engine();
    let pin = engine.docker.container(&pin_name("v1"));
    assert_eq!(pin.state, "created");
    assert_eq!(pin.volumes, [""; 0]);
    assert!(pin.uses(&v1), "by id: the name may go on");
}

#[test]
fn an_idle_pass_with_a_pin_is_two_calls_and_no_write() {
    let host = pinned();
    let stamps = host.state_stamps();
    for secs in [2_000, 30_000_000] {
        let outcome = host.pass_at(secs).expect_code(0);
        assert_eq!(outcome.requests.len(), 2, "{outcome:#?}");
        assert_eq!(host.state_stamps(), stamps);
    }
    assert_names(&host, PROMOTED);
}

#[test]
fn plan_and_status_show_the_pin() {
    let host = soaking(&pinning());
    host.engine()
        .fail(Route::CreateContainer, Fault::Status(500, "no space left"));
    let outcome = host.pass_at(RIPE).expect_code(1);
    assert!(
        outcome
            .stderr
            .contains("failed to create container tagkeeper-pin")
            && outcome.stderr.contains("no space left"),
        "{outcome:#?}"
    );
    assert_names(&host, PROMOTED);
    host.engine().heal();
    let plan = host.plan_at(RIPE + 5);
    let app = &plan["workloads"]["app"];
    let creation =
        json!({"action": "create-container", "container": pin_name("v1"), "image": id("v1")});
    assert_eq!(app["actions"], json!([creation]));
    assert_eq!(
        app["fallbacks"],
        json!([{"version": "v1", "image": id("v1")}])
    );
    let shown = host.run_at(RIPE + 5, &["plan"]).expect_code(0);
    assert!(
        shown.stdout.contains("+ pin    pin") && shown.stdout.contains("1 pin to create"),
        "{}",
        shown.stdout
    );
    host.pass_at(RIPE + 5).expect_code(0);
    let status = host.run_at(RIPE + 6, &["status", "app"]).expect_code(0);
    assert!(status.stdout.contains("pinned"), "{}", status.stdout);
    let app = &host.plan_at(RIPE + 6)["workloads"]["app"];
    assert_eq!(app["fallbacks"][0]["pin"], json!(pin_name("v1")));
}

#[test]
fn the_next_promotion_moves_it() {
    let host = pinned();
    deploy_v3(&mut host.engine().docker);
    host.pass_at(1_000).expect_code(0);
    let outcome = host.pass_at(1_000 + RIPE).expect_code(0);
    let changes: Vec<String> = outcome
        .mutations()
        .iter()
        .map(|m| m.split(['?', ' ']).nth(1).unwrap_or_default().to_owned())
        .collect();
    let v1_pin = changes
        .iter()
        .position(|c| c.starts_with("/containers/") && !c.ends_with("create"));
    let (made, removed) = (
        changes.iter().position(|c| c == "/containers/create"),
        changes
            .iter()
            .position(|c| c == "/images/reg.example/app:v1"),
    );
    assert!(
        made < v1_pin && v1_pin < removed && made.is_some(),
        "{changes:#?}"
    );
    assert!(host.has_container(&pin_name("v2")) && !host.has_container(&pin_name("v1")));
    assert_names(
        &host,
        &[
            ("app:latest", "v3"),
            ("reg.example/app:v2", "v2"),
            ("reg.example/app:v3", "v3"),
        ],
    );
}

#[test]
fn a_name_that_is_taken_is_reported_and_nobody_elses_container_is_touched() {
    let host = soaking(&pinning());
    host.engine()
        .docker
        .run(&pin_name("v1"), "reg.example/app:v2");
    host.engine().docker.exit(&pin_name("v1"), 0);
    let outcome = host.pass_at(RIPE).expect_code(0);
    assert_eq!(created(&outcome), [""; 0]);
    let note = host.plan_at(RIPE + 5)["workloads"]["app"]["note"].clone();
    assert!(note.as_str().unwrap().contains("is not pinned"), "{note}");
    assert!(host.has_container(&pin_name("v1")));
    assert_names(&host, PROMOTED);
}

#[test]
fn a_name_that_is_taken_between_look_and_act_is_no_failure() {
    let host = soaking(&pinning());
    host.engine().before(Route::CreateContainer, 1, |e| {
        e.docker.run(&pin_name("v1"), "reg.example/app:v2");
    });
    let outcome = host.pass_at(RIPE).expect_code(0);
    assert_eq!(created(&outcome), [pin_name("v1")]);
    assert!(outcome.stderr.contains("did not pin image"), "{outcome:#?}");
    assert!(host.has_container(&pin_name("v1")));
}

#[test]
fn an_image_that_is_gone_between_look_and_act_is_no_failure() {
    for route in [Route::InspectImage, Route::CreateContainer] {
        let host = soaking(&pinning());
        host.pass_at(RIPE).expect_code(0);
        host.engine().docker.drop_container(&pin_name("v1"));
        host.engine().before(route, 1, |e| {
            e.docker.images.remove(&id("v1"));
        });
        let outcome = host.pass_at(RIPE + 60).expect_code(0);
        assert!(
            outcome.stderr.contains("is gone"),
            "{route:?}: {outcome:#?}"
        );
        assert!(!host.has_container(&pin_name("v1")));
    }
}

/// The engine made the pin, and the answer was lost: the next pass finds it and makes no other.
#[test]
fn a_pin_whose_making_was_not_answered_is_found_by_the_next_pass() {
    let host = soaking(&pinning());
    host.engine().fail(Route::CreateContainer, Fault::Closed);
    host.pass_at(RIPE).expect_code(1);
    assert!(host.has_container(&pin_name("v1")));
    host.engine().heal();
    let next = host.pass_at(RIPE + 5).expect_code(0);
    assert_eq!(next.mutations(), [""; 0]);
}

#[test]
fn switched_off_it_goes_and_the_images_stay() {
    let host = pinned();
    host.set_policy(POLICY);
    let plan = host.plan_at(1_000);
    assert_eq!(plan["departed"], Value::Null, "{plan:#}");
    assert_pin_goes(&host, 1_000);
}

/// A drop-in may be missing for a pass: the pin of a workload that left the policy waits for a day.
#[test]
fn out_of_the_policy_it_goes_a_day_later_and_the_images_stay() {
    const A_DAY: u64 = 24 * 60 * 60;
    let host = pinned();
    host.set_policy(&POLICY.replace("app", "other"));
    let waiting = host.pass_at(1_000).expect_code(0);
    assert_eq!(waiting.mutations(), [""; 0]);
    assert!(host.has_container(&pin_name("v1")));
    let plan = host.plan_at(1_000 + A_DAY);
    let removal = &plan["departed"]["app"][0];
    assert_eq!(removal["container"], pin_name("v1"), "{plan:#}");
    assert_pin_goes(&host, 1_000 + A_DAY);
}

#[track_caller]
fn assert_pin_goes(host: &Host, secs: u64) {
    let shown = host.run_at(secs, &["plan"]).expect_code(0).stdout;
    assert!(shown.contains("1 pin to remove"), "{shown}");
    let outcome = host.pass_at(secs).expect_code(0);
    assert_eq!(outcome.mutations().len(), 1, "{outcome:#?}");
    assert!(!host.has_container(&pin_name("v1")));
    assert_names(host, PROMOTED);
    let quiet = host.pass_at(secs + 60).expect_code(0);
    assert_eq!(quiet.mutations(), [""; 0]);
}

#[test]
fn a_pin_that_cannot_be_removed_keeps_its_image_and_is_tried_again() {
    let host = pinned();
    host.set_policy(&format!("{POLICY}fallbacks = 0\n"));
    host.engine()
        .fail(Route::RemoveContainer, Fault::Status(500, "device busy"));
    let outcome = host.pass_at(1_000).expect_code(1);
    assert_eq!(host.id_of("reg.example/app:v1"), id("v1"), "{outcome:#?}");
    // A pin is no reason to leave an image alone: the engine was asked, and refused.
    assert_eq!(outcome.removals_of("app:v1"), 1, "{outcome:#?}");
    host.engine().heal();
    host.pass_at(1_060).expect_code(0);
    assert!(!host.has_container(&pin_name("v1")));
    assert_eq!(host.id_of("reg.example/app:v1"), "");
}

#[test]
fn a_pin_that_was_started_at_the_last_moment_stays() {
    let host = pinned();
    host.set_policy(POLICY);
    host.engine().after_lists(|e| {
        "running".clone_into(&mut e.docker.container(&pin_name("v1")).state);
    });
    let outcome = host.pass_at(1_000).expect_code(0);
    assert_eq!(outcome.mutations(), [""; 0], "{outcome:#?}");
    assert!(host.has_container(&pin_name("v1")));
}

#[test]
fn on_hold_it_is_neither_made_nor_removed() {
    let host = pinned();
    host.set_policy(&format!("{POLICY}hold = true\n"));
    host.pass_at(1_000).expect_code(0);
    assert!(host.has_container(&pin_name("v1")));
    host.set_policy(&format!("{}hold = true\n", pinning()));
    host.engine().docker.drop_container(&pin_name("v1"));
    host.pass_at(1_060).expect_code(0);
    assert!(!host.has_container(&pin_name("v1")));
}
