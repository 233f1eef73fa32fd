//! The interface, whole: what a program may rely on.

use serde_json::{Value, json};

use super::*;
use crate::policy::{Source, Survey, parse_policy, survey};
use crate::report::sample::{self, busy, quiet};

fn preface() -> Preface {
    Preface::new("/etc/tagkeeper/policy.toml")
}

fn whole(digit: char) -> String {
    sample::id(digit).to_string()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What a workload with everything to tell looks like: the interface.
fn busy_json() -> Value {
    let name = |tag: &str| format!("docker-sonic-telemetry:{tag}");
    let remote = |tag: &str| format!("registry.example/docker-sonic-telemetry:{tag}");
    let image = |reference: Value, digit: char, verdict: &str, reason: &str, detail: &str| {
        json!({
            "reference": reference, "image": whole(digit), "size_bytes": 120_400_000,
            "verdict": verdict, "reason": reason, "detail": detail,
        })
    };
    json!({"schema": 1, "workloads": {"telemetry": {
        "latest": {
            "version": "v2", "image": whole('b'), "proven": true, "promoted_at": "2026-11-22T23:10:00Z",
        },
        "fallbacks": [{"version": "v1", "image": whole('a')}],
        "serving": {
            "container": "k8s_telemetry_x", "id": "7".repeat(64), "image": whole('c'), "version": "v3",
            "local": false,
        },
        "note": "a note that is long enough to need a second line, to show how it goes on there; second note",
        "pending": {
            "version": "v3", "image": whole('c'), "container": "k8s_telemetry_x", "id": "7".repeat(64),
            "up_secs": 252, "soak_secs": 600, "restarts": 1,
        },
        "failures": [{
            "version": "v9", "image": whole('9'), "attempts": 4, "up_secs": 31, "reason": "exited (1)",
            "at": "2026-11-22T23:05:00Z",
        }],
        "rejected": [{"version": "v8", "image": whole('8'), "at": "2026-11-22T23:06:00Z"}],
        "since": "2026-11-22T23:00:00Z",
        "tally": {
            "promotions": 12, "failures": 3, "restarts": 7, "rollbacks": 1, "removals": 20,
            "bytes_won_back": 1_204_000_000,
        },
        "hold": false,
        "images": [
            image(Value::Null, 'f', "remove", "retired", "made obsolete by a promotion"),
            image(name("latest").into(), 'b', "keep", "latest", "what the local service runs"),
            image(name("v1").into(), 'a', "remove", "renamed", "the fallback has its remote name"),
            image(remote("v1").into(), 'e', "retag", "adopt", "moves to aaaaaaaaaaaa, which really ran as v1"),
            image(remote("v3").into(), 'c', "keep", "pending", "being soaked"),
        ],
        "leaving_bytes": 240_800_000,
        "actions": [
            {"action": "tag", "image": whole('a'), "reference": remote("v1")},
            {"action": "remove-container", "container": "telemetry", "id": "6".repeat(64)},
            {"action": "remove-image", "reference": null, "image": whole('f')},
            {"action": "remove-image", "reference": name("v1"), "image": whole('a')},
        ],
    }}})
}

#[test]
fn plan_of_a_busy_workload() {
    assert_eq!(
        parsed(&plan(&sample::plan(busy()), &preface())),
        busy_json()
    );
}

#[test]
fn plan_of_a_fresh_workload() {
    let fresh = WorkloadPlan {
        latest: None,
        since: None,
        hold: true,
        ..quiet("v1")
    };
    assert_eq!(
        parsed(&plan(&sample::plan(fresh), &preface())),
        json!({"schema": 1, "workloads": {"telemetry": {
            "latest": null, "fallbacks": [], "serving": null, "note": null, "pending": null, "failures": [],
            "rejected": [], "since": null, "tally": {
                "promotions": 0, "failures": 0, "restarts": 0, "rollbacks": 0, "removals": 0, "bytes_won_back": 0,
            }, "hold": true, "images": [], "leaving_bytes": 0, "actions": [],
        }}})
    );
}

#[test]
fn latest_that_was_never_promoted() {
    let mut stand_in = quiet("v1");
    if let Some(latest) = &mut stand_in.latest {
        latest.promoted_at = None;
        latest.proven = false;
    }
    let shown = parsed(&status(&sample::plan(stand_in), &preface()));
    assert_eq!(
        shown["workloads"]["telemetry"]["latest"],
        json!({"version": "v1", "image": whole('b'), "proven": false, "promoted_at": null})
    );
}

#[test]
fn status_is_the_plan_without_actions() {
    let mut expected = busy_json();
    let telemetry = expected["workloads"]["telemetry"].as_object_mut().unwrap();
    assert!(telemetry.remove("actions").is_some());
    assert_eq!(parsed(&status(&sample::plan(busy()), &preface())), expected);
}

#[test]
fn no_workload() {
    let empty = decide::Plan::default();
    for text in [plan(&empty, &preface()), status(&empty, &preface())] {
        assert_eq!(parsed(&text), json!({"schema": 1, "workloads": {}}));
    }
}

#[test]
fn what_concerns_all_is_a_note_of_its_own() {
    let notes = vec![
        "the state is corrupt".to_owned(),
        "this is a fresh start".to_owned(),
    ];
    let preface = Preface { notes, ..preface() };
    assert_eq!(
        parsed(&status(&decide::Plan::default(), &preface)),
        json!({"schema": 1, "note": "the state is corrupt; this is a fresh start", "workloads": {}})
    );
}

#[test]
fn printed_for_people_too() {
    for text in [
        plan(&sample::plan(busy()), &preface()),
        super::refused(&refused("[workload.app]\nsok = 1\n")),
    ] {
        assert!(text.starts_with("{\n  \"schema\": 1,\n"), "{text}");
        assert!(text.ends_with("\n}\n"), "{text}");
    }
}

#[test]
fn check_of_a_sound_policy() {
    let text = "[workload.app]\nrepository = \"app\"\nremotes = [\"r/app\"]\nfallbacks = 0\n";
    let Survey {
        policy, warnings, ..
    } = survey(&[source(text)]).unwrap();
    let shown = parsed(&check(&policy, &warnings, None));
    let warning = json!({
        "file": "policy.toml", "line": 4, "column": 13, "key": "workload.app.fallbacks",
        "what": warnings[0].what, "mend": warnings[0].mend,
    });
    assert_eq!(
        shown,
        json!({"schema": 1, "ok": true, "workloads": ["app"], "errors": [], "warnings": [warning]})
    );
    let unseen = anyhow::anyhow!("nothing listens");
    let shown = parsed(&check(&policy, &[], Some(&unseen)));
    let warning = &shown["warnings"][0];
    assert_eq!(
        (&shown["ok"], &warning["file"]),
        (&json!(true), &Value::Null)
    );
    let what = warning["what"].as_str().unwrap();
    assert!(what.ends_with(": nothing listens"), "{what}");
}

fn source(text: &str) -> Source {
    Source {
        label: "policy.toml".to_owned(),
        text: text.to_owned(),
    }
}

fn refused(text: &str) -> Refused {
    parse_policy(&[source(text)]).unwrap_err()
}

#[test]
fn check_of_a_refused_policy() {
    let refused = refused("[workload.app]\nrepository = \"app\"\nsok = \"10m\"\n");
    let shown = parsed(&super::refused(&refused));
    let error = &shown["errors"][0];
    assert_eq!(shown["ok"], false);
    assert_eq!(error["file"], "policy.toml");
    assert_eq!((&error["line"], &error["column"]), (&json!(3), &json!(1)));
    assert_eq!(error["key"], "workload.app.sok");
    assert!(error["what"].as_str().unwrap().contains("'sok'"), "{error}");
    assert!(
        error["mend"].as_str().unwrap().contains("'soak'"),
        "{error}"
    );
}

#[test]
fn check_where_there_is_no_policy() {
    let missing = Refused {
        problems: vec![Problem::Missing {
            looked_at: vec!["/etc/x.toml".into()],
        }],
    };
    let shown = parsed(&super::refused(&missing));
    assert_eq!(shown["errors"][0]["line"], Value::Null);
    assert!(
        shown["errors"][0]["what"]
            .as_str()
            .unwrap()
            .contains("/etc/x.toml")
    );
}
