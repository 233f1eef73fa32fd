//! What the program prints for programs, held against the JSON Schemas that are published for it
//! (docs/schema).

use std::fs;
use std::path::Path;

use boon::{Compiler, Schemas};
use serde_json::{Value, json};

use crate::host::Host;
use crate::scene::{POLICY, RIPE, promoted, soaking};

/// One way to spoil a document.
type Break = fn(&mut Value);

/// The published schema of a command, as it is written.
fn published(command: &str) -> Value {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schema/{command}.schema.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The schema with every object closed: a field that nobody documented shows.
fn closed(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(object) => {
            if object.contains_key("properties") && !object.contains_key("additionalProperties") {
                object.insert("additionalProperties".to_owned(), false.into());
            }
            object
                .values_mut()
                .for_each(|value| *value = closed(value.take()));
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|value| *value = closed(value.take())),
        _ => {}
    }
    schema
}

/// Why a document is not what the schema says; none where it is.
fn complaint(schema: &Value, document: &Value) -> Option<String> {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.enable_format_assertions();
    compiler
        .add_resource("schema.json", schema.clone())
        .expect("an address");
    let index = compiler
        .compile("schema.json", &mut schemas)
        .unwrap_or_else(|e| panic!("not a valid schema: {e:#}"));
    let complaint = schemas.validate(document, index).err()?;
    Some(format!("{complaint:#}\n{document:#}"))
}

/// A document is what its schema says, with no field that nobody documented.
#[track_caller]
pub(crate) fn assert_published(name: &str, document: &Value) {
    assert_eq!(
        complaint(&closed(published(name)), document),
        None,
        "{name}"
    );
}

#[track_caller]
fn assert_as_published(host: &Host, secs: u64, args: &[&str]) -> Value {
    let outcome = host.run_at(secs, &[args, &["--format", "json"]].concat());
    let document = outcome.json();
    assert_published(args[0], &document);
    document
}

/// A host with all there is to tell: an upgrade that failed, one that is being soaked, one that was
/// rejected, a fallback.
fn eventful() -> Host {
    let host = promoted();
    let rolls_out = |from: &str, to: &str| {
        let name = format!("reg.example/app:{to}");
        let docker = &mut host.engine().docker;
        docker.image(to, &[&name]);
        docker.drop_container(&format!("k8s_app_{from}"));
        docker.run(&format!("k8s_app_{to}"), &name);
    };
    rolls_out("1", "v3");
    host.pass_at(800).expect_code(0);
    host.pass_at(860).expect_code(0);
    host.engine().docker.exit("k8s_app_v3", 1);
    host.pass_at(920).expect_code(0);
    {
        // What the orchestrator keeps of it for its logs.
        let docker = &mut host.engine().docker;
        docker.run("k8s_app_v3_before", "reg.example/app:v3");
        docker.exit("k8s_app_v3_before", 1);
    }
    rolls_out("v3", "v4");
    host.run_at(930, &["rollback", "app", "--yes"])
        .expect_code(0);
    rolls_out("v4", "v5");
    host.engine().docker.image("v9", &["reg.example/app:v9"]);
    host.set_policy(&format!("{POLICY}[reject]\napp = [\"v9\"]\n"));
    host.pass_at(1_000).expect_code(0);
    host
}

#[test]
fn what_is_printed_is_what_the_schemas_say() {
    let fresh = Host::new(POLICY);
    let held = soaking(&format!("{POLICY}hold = true\n"));
    let none = Host::new("");
    let damaged = soaking(POLICY);
    fs::write(damaged.state_file(), "{").expect("writable");
    for (host, secs) in [
        (fresh, 5),
        (soaking(POLICY), RIPE),
        (promoted(), 700),
        (eventful(), 1_010),
        (held, RIPE),
        (none, 5),
        (damaged, 5),
    ] {
        let plan = assert_as_published(&host, secs, &["plan"]);
        let status = assert_as_published(&host, secs, &["status"]);
        explain_every_image(&host, secs, &plan);
        assert_eq!(
            plan["workloads"].is_object(),
            status["workloads"].is_object()
        );
    }
}

/// Each image that the plan names, on the disk or not.
fn explain_every_image(host: &Host, secs: u64, plan: &Value) {
    for workload in plan["workloads"].as_object().expect("an object").values() {
        for list in ["images", "failures", "rejected"] {
            for image in workload[list].as_array().expect("a list") {
                let id = image["image"].as_str().expect("an id");
                let told = assert_as_published(host, secs, &["explain", id]);
                assert_eq!(told["stories"][0]["image"], id);
            }
        }
    }
}

#[test]
fn an_eventful_host_fills_in_every_field() {
    let host = eventful();
    let plan = assert_as_published(&host, 1_010, &["plan"]);
    let app = plan["workloads"]["app"].as_object().expect("an object");
    for (name, value) in app {
        let is_empty = value.is_null() || *value == json!([]);
        // Nothing is due on this host, on hold, or refused by the engine.
        let may_be_empty = [
            "note",
            "actions",
            "held_actions",
            "then",
            "hold_reason",
            "refused",
        ];
        assert!(
            !is_empty || may_be_empty.contains(&name.as_str()),
            "{name}: {plan:#}"
        );
    }
}

#[test]
fn the_schemas_refuse_what_the_interface_is_not() {
    let valid = assert_as_published(&eventful(), 1_010, &["plan"]);
    let schema = published("plan");
    let breaks: &[(&str, Break)] = &[
        ("a later version", |d| d["schema"] = 2.into()),
        ("no workloads", |d| d["workloads"] = Value::Null),
        ("half an image id", |d| {
            d["workloads"]["app"]["latest"]["image"] = "sha256:0".into();
        }),
        ("negative size", |d| {
            d["workloads"]["app"]["images"][0]["size_bytes"] = (-1).into();
        }),
        ("unknown verdict", |d| {
            d["workloads"]["app"]["images"][0]["verdict"] = "burn".into();
        }),
        ("no time", |d| {
            d["workloads"]["app"]["failures"][0]["at"] = "yesterday".into();
        }),
        ("unknown action", |d| {
            d["workloads"]["app"]["actions"] = json!([{"action": "prune"}]);
        }),
    ];
    for (name, break_it) in breaks {
        let mut document = valid.clone();
        break_it(&mut document);
        assert!(complaint(&schema, &document).is_some(), "{name}");
    }
    // A field that a later program adds is no offence to a reader.
    let mut document = valid;
    document["workloads"]["app"]["added"] = 1.into();
    assert_eq!(complaint(&schema, &document), None);
    assert!(complaint(&closed(schema), &document).is_some());
}

/// The fields of a workload in `plan` that `status` has not.
const ONLY_IN_PLAN: [&str; 3] = ["actions", "held_actions", "then"];

#[test]
fn status_has_the_schema_of_plan_without_the_actions() {
    let [mut plan, mut status] = ["plan", "status"].map(published);
    for schema in [&mut plan, &mut status] {
        let top = schema.as_object_mut().expect("an object");
        assert!(top.remove("title").is_some() && top.remove("description").is_some());
    }
    let departed = plan["properties"].as_object_mut().expect("an object");
    assert!(departed.remove("departed").is_some());
    let last_pass = status["properties"].as_object_mut().expect("an object");
    assert!(last_pass.remove("last_pass").is_some());
    let required = status["required"].as_array_mut().expect("a list");
    required.retain(|key| key != "last_pass");
    let defs = status["$defs"].as_object_mut().expect("an object");
    assert!(defs.remove("last_pass").is_some());
    let defs = plan["$defs"].as_object_mut().expect("an object");
    assert!(defs.remove("action").is_some());
    let workload = defs["workload"].as_object_mut().expect("an object");
    workload["required"]
        .as_array_mut()
        .expect("a list")
        .retain(|key| !ONLY_IN_PLAN.iter().any(|only| key == only));
    let properties = workload["properties"].as_object_mut().expect("an object");
    for only_in_plan in ONLY_IN_PLAN {
        assert!(properties.remove(only_in_plan).is_some(), "{only_in_plan}");
    }
    assert_eq!(plan, status);
}

#[test]
fn what_check_prints_is_what_its_schema_says() {
    let odd = format!("{POLICY}fallbacks = 0\n");
    let refused = format!("{POLICY}sok = 1\n");
    for (policy, errors, warnings) in [("", 0, 0), (POLICY, 0, 1), (&odd, 0, 2), (&refused, 1, 0)] {
        let shown = assert_as_published(&Host::new(policy), 5, &["check"]);
        assert_eq!(
            shown["errors"].as_array().map(Vec::len),
            Some(errors),
            "{shown:#}"
        );
        assert_eq!(
            shown["warnings"].as_array().map(Vec::len),
            Some(warnings),
            "{shown:#}"
        );
    }
    let nowhere = Host::new(POLICY);
    fs::remove_file(nowhere.path("policy.toml")).expect("ours");
    assert_as_published(&nowhere, 5, &["check"]);
}
