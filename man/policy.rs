//! What is written about the keys of a policy, from the table that reads them: the policy that
//! ships, its JSON schema, and the sections of tagkeeper.toml(5). Each of those who include this
//! file writes a part of it.

#![allow(dead_code)]

use std::fmt::Write as _;

use roff::{Roff, bold, roman};
use serde_json::{Map, Value, json};
use tagkeeper::policy_file::{Kind, Least, Row, Section};

/// Where comments wrap.
const WIDTH: usize = 100;

const HEAD: &str = include_str!("policy.toml.in");

/// `[workload.telemetry]`: a heading that could be written so.
fn example_of(section: Section) -> String {
    section.heading().replace("NAME", "telemetry")
}

/// What a workload may set as well, explained in `[defaults]`.
fn shared() -> String {
    let rows: Vec<&str> = Row::of(Section::Defaults).map(|row| row.name).collect();
    let (last, others) = rows.split_last().unwrap_or((&"", &[]));
    format!(
        "A workload may also set {} and {last}, as in [defaults], for itself alone.",
        others.join(", ")
    )
}

/// The keys that are explained in a section.
fn own_rows(section: Section) -> impl Iterator<Item = &'static Row> {
    Row::of(section).filter(move |row| row.sections.first() == Some(&section))
}

fn value_of(row: &Row) -> &'static str {
    match row.default {
        // An empty list shows nothing.
        Some("[]") | None => row.example,
        Some(default) => default,
    }
}

/// `config/policy.toml`.
pub(crate) fn shipped() -> String {
    let mut out = HEAD.to_owned();
    let mut block = |words: &str, setting: &str| {
        let _ = write!(out, "\n{}{setting}", comment(words));
    };
    for section in Section::ALL {
        block(section.words(), &format!("#{}\n", example_of(section)));
        for row in own_rows(section) {
            block(row.words, &format!("#{} = {}\n", row.name, value_of(row)));
        }
        if section == Section::Workload {
            block(&shared(), "");
        }
    }
    out
}

/// The text as lines that begin with `# `.
fn comment(text: &str) -> String {
    let mut out = String::new();
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            out += &line;
            out.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line += word;
    }
    out + &line + "\n"
}

/// The sections of tagkeeper.toml(5).
pub(crate) fn sections() -> String {
    let mut text = String::new();
    for section in Section::ALL {
        let mut made = Roff::new();
        made.control("SH", [example_of(section).as_str()]);
        made.text([roman(section.words())]);
        for row in own_rows(section) {
            made.control("TP", []);
            made.text([bold(row.name), roman(format!(" = {}", value_of(row)))]);
            made.text([roman(row.words)]);
        }
        if section == Section::Workload {
            made.control("PP", []);
            made.text([roman(shared())]);
        }
        text += &made.to_roff();
    }
    text
}

/// `docs/schema/policy.schema.json`: one file of a policy.
pub(crate) fn schema() -> String {
    let mut properties = Map::new();
    for section in Section::ALL {
        let mut made = match section {
            Section::Workload => each_name(&json!({ "$ref": "#/definitions/workload" })),
            Section::Reject => {
                let row = own_rows(section).next();
                each_name(&row.map_or(Value::Null, |row| property(row, section)))
            }
            _ => table(section),
        };
        made["description"] = section.words().into();
        properties.insert(section.name().to_owned(), made);
    }
    let mut workload = table(Section::Workload);
    workload["required"] = json!(["repository"]);
    workload["dependencies"] = json!({ "ready_timeout": ["ready"] });
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "The policy of tagkeeper",
        "description": "One file of it: /etc/tagkeeper/policy.toml, or a drop-in below policy.d. `tagkeeper check` finds more: \
            workloads that share a name, a repository or a container, and settings that are valid but probably a mistake.",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "definitions": {
            "duration": {
                "description": "A number and a unit: 90s, 10m, 1h 30m, 2days. m is minutes and M is months.",
                "type": "string",
                "pattern": DURATION,
            },
            "command": {
                "description": "A program by its whole path, and its arguments. It is run without a shell.",
                "type": "array",
                "minItems": 1,
                "items": [{ "type": "string", "pattern": "^/[^\\u0000]*$" }],
                "additionalItems": { "type": "string", "pattern": "^[^\\u0000]*$" },
            },
            "repository": {
                "description": "A repository as the engine prints it, without tag and digest.",
                "type": "string",
                "maxLength": 255,
                "pattern": REPOSITORY,
            },
            "pattern": {
                "description": "A name, or a pattern: * matches any characters, ? one, [0-9] one of a set, [!0-9] one that is not in it.",
                "type": "string",
                "pattern": PATTERN,
            },
            "rejection": {
                "description": "A version, an image ID (sha256:...) or a repo digest (repository@sha256:...).",
                "type": "string",
                "pattern": REJECTION,
                "not": { "const": "latest" },
            },
            "workload": workload,
        },
    });
    format!("{schema:#}\n")
}

const DURATION: &str = "^\\s*(?:[0-9][0-9\\s]*(?:\\.[0-9]+)?\\s*(?:nanos|nsec|ns|usec|us|µs|millis|msec|ms|seconds|second|secs|sec|s|minutes|minute|mins|min|m|hours|hour|hrs|hr|h|days|day|d|weeks|week|wks|wk|w|months|month|M|years|year|yrs|yr|y)\\s*)+$";
const REPOSITORY: &str = "^(?:(?:[A-Za-z0-9][A-Za-z0-9.-]*|\\[[0-9A-Fa-f:.]+\\])(?::[0-9]+)?/)?[a-z0-9]+(?:(?:\\.|__?|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\\.|__?|-+)[a-z0-9]+)*)*$";
/// No name has any other character, so that a pattern with one matches nothing; but sets may have
/// them, beside others.
const PATTERN: &str = "^(?:[A-Za-z0-9_.*?-]|\\[!?[^/][^\\]]*\\])+$";
const REJECTION: &str = "^(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|(?:[^@\\s]+@)?sha(?:256:[0-9A-Fa-f]{64}|384:[0-9A-Fa-f]{96}|512:[0-9A-Fa-f]{128}))$";

/// A section whose keys are fixed.
fn table(section: Section) -> Value {
    let rows = Row::of(section);
    let properties: Map<String, Value> = rows
        .map(|row| (row.name.to_owned(), property(row, section)))
        .collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// A section whose keys are names of workloads.
fn each_name(value: &Value) -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "patternProperties": { "^[A-Za-z0-9][A-Za-z0-9_.-]*$": value },
    })
}

fn property(row: &Row, section: Section) -> Value {
    let mut made = value_schema(row.kind);
    made["description"] = row.words.into();
    // What a workload does not set is as [defaults] say.
    if row.sections.first() == Some(&section) {
        if let Some(default) = row.default.and_then(|text| serde_json::from_str(text).ok()) {
            made["default"] = default;
        }
    }
    made
}

fn value_schema(kind: Kind) -> Value {
    let one_or_more = |definition: &str| {
        let one = json!({ "$ref": format!("#/definitions/{definition}") });
        json!({ "anyOf": [one, { "type": "array", "minItems": 1, "items": one }] })
    };
    let defined =
        |definition: &str| json!({ "allOf": [{ "$ref": format!("#/definitions/{definition}") }] });
    match kind {
        Kind::Duration(Least::Second | Least::Millisecond | Least::Zero) => defined("duration"),
        Kind::Count { max } => json!({ "type": "integer", "minimum": 0, "maximum": max }),
        Kind::Percentage => {
            json!({ "type": "string", "pattern": "^0*(?:[1-9]|[1-9][0-9]|100)%$" })
        }
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Repository => defined("repository"),
        Kind::Repositories => json!({
            "type": "array",
            "uniqueItems": true,
            "items": { "$ref": "#/definitions/repository" },
        }),
        Kind::Pattern => defined("pattern"),
        Kind::Patterns => one_or_more("pattern"),
        Kind::Text => {
            json!({ "type": "string", "pattern": "^[^\\u0000-\\u001f\\u007f]*[^\\s\\u0000-\\u001f\\u007f][^\\u0000-\\u001f\\u007f]*$" })
        }
        Kind::Command => defined("command"),
        Kind::Socket => json!({ "type": "string", "pattern": "^(?:unix://)?/[^\\u0000]*$" }),
        Kind::MetricsFile => {
            json!({ "type": "string", "pattern": "^/(?:[^\\u0000]*/)?[^/\\u0000]+\\.prom$" })
        }
        Kind::Rejections => one_or_more("rejection"),
    }
}
