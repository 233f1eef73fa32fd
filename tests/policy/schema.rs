//! The JSON Schema of the policy, which editors complete and check by, held against the parser.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;
use tagkeeper::policy_file::{Diagnostic, Row, Section};

#[path = "../../man/policy.rs"]
mod about;

use super::{MISTAKES, WARNINGS, parse, read_case};

/// The mistakes that no schema can see: most take two places, or arithmetic.
const UNSEEN: [&str; 17] = [
    "a name and another workload's pattern",
    "two patterns that match one container, once for each pair of workloads",
    "equal patterns",
    "absurd duration",
    "soak below a second",
    "zero soak",
    "zero engine timeout",
    "timeout that rounds to zero",
    "zero ready timeout",
    "zero hook timeout",
    "fallbacks as a float",
    "repository twice in a workload",
    "two workloads, one repository",
    "two workloads, one remote",
    "a remote that is another's repository",
    "two workloads, one container",
    "a workload named as another's container",
];

fn text_of(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn published() -> Value {
    serde_json::from_str(&text_of("docs/schema/policy.schema.json")).unwrap()
}

struct Schema(Schemas, SchemaIndex);

impl Schema {
    fn load() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("policy.json", published()).unwrap();
        let index = compiler.compile("policy.json", &mut schemas);
        let index = index.unwrap_or_else(|e| panic!("no sound schema: {e:#}"));
        Self(schemas, index)
    }

    /// Why a policy is not what the schema says; none where it is.
    fn complaint(&self, policy: &toml::Table) -> Option<String> {
        let document = serde_json::to_value(policy).unwrap();
        let complaint = self.0.validate(&document, self.1).err()?;
        Some(format!("{complaint:#}\n{document:#}"))
    }
}

fn toml_of(text: &str) -> Option<toml::Table> {
    text.trim_start_matches('\u{feff}').parse().ok()
}

/// The policy as it ships, with every line that shows a setting in force.
fn shipped_in_full() -> String {
    let text = text_of("config/policy.toml");
    let is_setting = |line: &str| {
        let rest = line.strip_prefix('#').unwrap_or(" ");
        !rest.starts_with(' ') && !rest.is_empty()
    };
    let lines = text
        .lines()
        .map(|line| if is_setting(line) { &line[1..] } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

/// A file that is written from the table of keys.
fn assert_written(path: &str, wanted: &str) {
    if std::env::var_os("TAGKEEPER_WRITE").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(path), wanted).unwrap();
    }
    let command = "TAGKEEPER_WRITE=1 cargo test --test policy written";
    assert!(text_of(path) == wanted, "{path} is out of date: {command}");
}

#[test]
fn the_shipped_policy_is_written_from_the_table_of_keys() {
    assert_written("config/policy.toml", &about::shipped());
}

#[test]
fn the_schema_is_written_from_the_table_of_keys() {
    assert_written("docs/schema/policy.schema.json", &about::schema());
}

/// What is read, which unknown keys are answered with, is what the table explains: no key is
/// accepted and ignored, none is explained and refused.
#[test]
fn every_key_of_the_table_is_read_and_no_other() {
    for section in Section::ALL {
        let heading = section.heading();
        let refused = match section {
            // Its keys are names.
            Section::Reject => continue,
            Section::Workload => parse("[workload.a]\nrepository = \"a\"\nqqqqqqqq = 1"),
            _ => parse(&format!("{heading}\nqqqqqqqq = 1")),
        }
        .unwrap_err();
        let help = &refused.problems[0].help;
        let read: BTreeSet<&str> = help
            .strip_prefix("the keys here are ")
            .unwrap()
            .split(", ")
            .collect();
        let explained: BTreeSet<&str> = Row::of(section).map(|row| row.name).collect();
        assert_eq!(read, explained, "{heading}");
        for Row {
            name,
            example,
            default,
            words,
            ..
        } in Row::of(section)
        {
            for value in default.iter().chain([example]) {
                let text = format!("{heading}\n{name} = {value}\n").replace("NAME", "a");
                let refused = parse(&text).err();
                let about_it = |d: &&Diagnostic| d.message.contains(&format!("'{name}'"));
                let complaint = refused.iter().flat_map(|r| &r.problems).find(about_it);
                let is_alone = |d: &Diagnostic| d.message.ends_with("has no 'ready'");
                assert!(complaint.is_none_or(is_alone), "{}", complaint.unwrap());
            }
            assert!(words.ends_with('.'), "{name}");
        }
    }
}

#[test]
fn the_schema_takes_what_the_parser_takes() {
    let schema = Schema::load();
    let mut texts = vec![
        text_of("config/policy.toml"),
        shipped_in_full(),
        text_of("fuzz/seeds/policy/full.toml").split("---").next().unwrap().to_owned(),
        r#"workload.app = { repository = "app", grace = " 1 h 30min5.5 s", ready = ["/bin/x", ""] }"#.to_owned(),
        r#"[workload."a.b"]
           repository = "localhost/x"
           remotes = ["Host/a", "r.example:5000/a__b/c--d", "docker.io/library/x"]"#
            .to_owned(),
    ];
    for entry in
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples")).unwrap()
    {
        texts.push(fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    texts.extend(
        WARNINGS
            .split("\n=== ")
            .skip(1)
            .map(|case| read_case(case).0),
    );
    assert!(texts.len() > 12, "{}", texts.len());
    for text in texts {
        if let Err(refused) = parse(&text) {
            panic!("{text}\n{refused}");
        }
        let policy = toml_of(&text).unwrap_or_else(|| panic!("no TOML: {text}"));
        assert_eq!(schema.complaint(&policy), None);
    }
}

/// The shipped policy teaches every key there is.
#[test]
fn the_shipped_policy_shows_every_key() {
    let text = shipped_in_full();
    let policy = parse(&text).unwrap();
    assert_eq!(policy.policy.workloads.len(), 1);
    for section in Section::ALL {
        for Row { name, .. } in Row::of(section) {
            assert!(text.contains(&format!("\n{name} = ")), "{section:?} {name}");
        }
    }
}

#[test]
fn the_schema_sees_every_mistake_that_a_schema_can_see() {
    let schema = Schema::load();
    let mut unseen = BTreeSet::new();
    let mut seen = 0;
    for case in MISTAKES.split("\n=== ").skip(1) {
        let name = case.lines().next().unwrap_or_default();
        let Some(policy) = toml_of(&read_case(case).0) else {
            continue;
        };
        if schema.complaint(&policy).is_some() {
            seen += 1;
        } else {
            unseen.insert(name);
        }
    }
    let expected = BTreeSet::from(UNSEEN);
    assert_eq!(unseen, expected);
    assert!(seen > 40, "{seen}");
}

/// No key can be added to the parser, or taken away, without the schema.
#[test]
fn the_schema_has_the_keys_of_the_parser() {
    let schema = published();
    let keys_at = |pointer: &str| -> BTreeSet<String> {
        let properties = schema.pointer(pointer).and_then(Value::as_object);
        let properties = properties.unwrap_or_else(|| panic!("{pointer} is not there"));
        properties.keys().cloned().collect()
    };
    let mut sections = BTreeSet::new();
    for section in Section::ALL {
        let name = section.name();
        sections.insert(name.to_owned());
        let pointer = match section {
            Section::Reject => continue,
            Section::Workload => format!("/definitions/{name}/properties"),
            _ => format!("/properties/{name}/properties"),
        };
        let wanted = Row::of(section).map(|row| row.name.to_owned()).collect();
        assert_eq!(keys_at(&pointer), wanted, "{section:?}");
        for Row { name, .. } in Row::of(section) {
            let described = schema.pointer(&format!("{pointer}/{name}/description"));
            assert!(described.is_some(), "{section:?} {name} has no description");
        }
    }
    assert_eq!(keys_at("/properties"), sections);
}
