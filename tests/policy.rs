//! The policy: every kind of mistake is named with its place and its mend; files merge and mask as the design says.

#![cfg(test)]

#[path = "policy/files.rs"]
mod files;
#[path = "policy/property.rs"]
mod property;
#[path = "policy/schema.rs"]
mod schema;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tagkeeper::image::Repository;
use tagkeeper::policy::{
    Diagnostic, EnginePolicy, Glob, Hooks, LocalFallback, Policy, Ready, Refused, Source, Workload,
    parse_policy, survey,
};

const FILE: &str = "policy.toml";

fn parse(text: &str) -> Result<Policy, Refused> {
    parse_policy(&[source(FILE, text)])
}

fn source(label: &str, text: &str) -> Source {
    Source {
        label: label.to_owned(),
        text: text.to_owned(),
    }
}

fn repository(name: &str) -> Repository {
    Repository::parse(name).unwrap()
}

const MISTAKES: &str = include_str!("policy/mistakes.txt");
const ODDITIES: &str = include_str!("policy/oddities.txt");

/// An error as `mistakes.txt` has it: line, column, length, "key: what" and mend.
type Mistake = (usize, usize, usize, String, String);

/// The policy of a case of `mistakes.txt`, and the errors that it has.
fn read_case(case: &str) -> (String, Vec<Mistake>) {
    let mut text = String::new();
    let mut expected: Vec<Mistake> = Vec::new();
    for line in case.lines().skip(1) {
        let marks = line.trim_start();
        if let Some(mend) = line.strip_prefix("=> ") {
            mend.clone_into(&mut expected.last_mut().unwrap().4);
        } else if marks.starts_with('^') {
            let (marks, what) = marks.split_once(' ').unwrap();
            let column = line.len() - line.trim_start().len() + 1;
            let at_line = text.lines().count();
            expected.push((at_line, column, marks.len(), what.to_owned(), String::new()));
        } else {
            text += line;
            text.push('\n');
        }
    }
    (text, expected)
}

/// The cases of a table for which something else was found than it says, and how many cases there are.
fn compare(table: &str, find: impl Fn(&str) -> Vec<Diagnostic>) -> (String, usize) {
    let mut wrong = String::new();
    let mut cases = 0;
    for case in table.split("\n=== ").skip(1) {
        cases += 1;
        let (text, expected) = read_case(case);
        let found: Vec<Mistake> = find(&text)
            .into_iter()
            .map(|d| {
                let what = format!("{}: {}", d.key.as_deref().unwrap_or("-"), d.what);
                (d.place.line, d.place.column, d.length, what, d.mend)
            })
            .collect();
        if expected.is_empty() || found != expected {
            writeln!(wrong, "== {case}\nexpected {expected:#?}\nfound {found:#?}").unwrap();
        }
    }
    (wrong, cases)
}

#[test]
fn every_mistake_is_named_with_its_place_and_its_mend() {
    let (wrong, cases) = compare(MISTAKES, |text| match parse(text) {
        Ok(_) => Vec::new(),
        Err(refused) => refused.diagnostics().cloned().collect(),
    });
    assert!(wrong.is_empty(), "{wrong}");
    assert!(cases > 70, "only {cases} cases were read");
}

#[test]
fn what_is_odd_is_named_with_its_place_and_its_mend() {
    let (wrong, cases) = compare(ODDITIES, |text| {
        let warnings = survey(&[source(FILE, text)]).unwrap().warnings;
        for warning in &warnings {
            assert!(warning.to_string().starts_with("warning: "), "{warning}");
        }
        warnings
    });
    assert!(wrong.is_empty(), "{wrong}");
    assert!(cases > 8, "only {cases} cases were read");
}

/// Whether a program runs, and what an engine has, only the host knows.
#[test]
fn what_only_the_host_knows_is_odd_where_it_was_written() {
    let text = "[workload.app]\nrepository = \"local-host/app\"\nremotes = [\"r/app\"]\nready = [\"/bin/reddy\", \"x\"]\n";
    let survey = survey(&[source(FILE, text)]).unwrap();
    assert!(survey.warnings.is_empty());
    let missing =
        |path: &Path| (path == Path::new("/bin/reddy")).then(|| "does not exist".to_owned());
    let of_programs = survey.of_programs(missing);
    assert_eq!(
        (of_programs[0].place.line, of_programs[0].place.column),
        (4, 10)
    );
    assert!(
        of_programs[0].what.contains("'/bin/reddy', does not exist"),
        "{}",
        of_programs[0]
    );
    assert!(survey.of_programs(|_| None).is_empty());

    let hooked = source(FILE, "[hooks]\nfailed = [\"/bin/reddy\"]\n");
    let hook = &crate::survey(&[hooked]).unwrap().of_programs(missing)[0];
    assert_eq!((hook.place.line, hook.place.column), (2, 11), "{hook}");
    assert_eq!(hook.what, "the hook 'failed', '/bin/reddy', does not exist");

    for (present, mend) in [
        (
            &["localhost/app", "other"][..],
            "did you mean \"localhost/app\"?",
        ),
        (
            &["nothing-near"],
            "write it as the engine prints it, or wait for its first image",
        ),
        (
            &[],
            "write it as the engine prints it, or wait for its first image",
        ),
    ] {
        let present = present.iter().map(|name| repository(name)).collect();
        let found = survey.of_repositories(&present);
        assert_eq!(
            (
                found[0].place.line,
                found[0].place.column,
                found[0].mend.as_str()
            ),
            (2, 14, mend)
        );
    }
    let present = [repository("local-host/app")].into();
    assert!(survey.of_repositories(&present).is_empty());
}

/// The first and the last of the legal values at each boundary, so that no rule refuses too much.
#[test]
fn what_is_legal_at_the_edges() {
    for text in [
        "",
        "# nothing\n",
        "\u{feff}[defaults]\n",
        "[workload]",
        "[defaults]\nsoak = \"1s\"\nfallbacks = 0\ngrace = \"0s\"",
        "[defaults]\npressure = \"1%\"\n[workload.a]\nrepository = \"a\"\npressure = \"100%\"",
        "[defaults]\nfallbacks = 0x64\ngrace = \"10years\"",
        "[engine]\ntimeout = \"1ms\"",
        "workload.app.repository = \"app\"",
        "workload.app = { repository = \"app\", ready = [\"/bin/x\", \"\"] }",
        "[workload.\"a.b\"]\nrepository = \"app\"\n",
        "[workload.a]\r\nrepository = \"app\"\r\n[workload.b]\r\nrepository = \"app2\"\r\n",
        "[workload.a]\nrepository = \"a\"\ncontainer = \"b\"\n[workload.b]\nrepository = \"b\"\ncontainer = \"a\"",
    ] {
        if let Err(refused) = parse(text) {
            panic!("{text:?}\n{refused}");
        }
    }
}

/// Each key, with a value that is not its default; in `b`, those of `[defaults]` with another one.
const EVERY_KEY: &str = r#"
[defaults]
soak = "1h 30m"
fallbacks = 3
grace = "2days"
local_fallback = "keep"
pressure = "85%"
pin = true
[engine]
socket = "/run/podman/podman.sock"
timeout = "1500ms"
[workload.a]
repository = "docker-a"
[workload.b]
repository = "docker-b"
remotes = ["r.example:5000/b", "s.example/b"]
container = "bee"
orchestrated = "k8s_b_*"
ready = ["/bin/ready", "b", ""]
ready_timeout = "3s"
soak = "90s"
fallbacks = 0
grace = "1h"
local_fallback = "drop"
pressure = "100%"
pin = false
hold = true
"#;

#[test]
fn every_key_is_read() {
    let policy = parse(EVERY_KEY).unwrap();
    assert_eq!(
        policy.engine,
        EnginePolicy {
            socket: PathBuf::from("/run/podman/podman.sock"),
            timeout_ms: 1500
        }
    );
    let a = Workload {
        soak_ms: 5_400_000,
        fallbacks: 3,
        grace_ms: 172_800_000,
        local_fallback: LocalFallback::Keep,
        pressure_percent: Some(85),
        pin: true,
        ..Workload::new("a", repository("docker-a"))
    };
    let b = Workload {
        repository: repository("docker-b"),
        remotes: vec![repository("r.example:5000/b"), repository("s.example/b")],
        container: "bee".to_owned(),
        orchestrated: Some(Glob::parse("k8s_b_*").unwrap()),
        ready: Some(Ready {
            command: ["/bin/ready", "b", ""].map(str::to_owned).to_vec(),
            timeout_ms: 3000,
        }),
        soak_ms: 90_000,
        fallbacks: 0,
        grace_ms: 3_600_000,
        local_fallback: LocalFallback::Drop,
        pressure_percent: None,
        pin: false,
        hold: true,
    };
    assert_eq!(policy.workloads.len(), 2);
    assert_eq!(policy.workloads["a"], a);
    assert_eq!(policy.workloads["b"], b);
}

#[test]
fn every_key_of_metrics_and_hooks_is_read() {
    let policy = parse(
        r#"
        [metrics]
        textfile = "/run/tagkeeper/tagkeeper.prom"
        [hooks]
        promoted = ["/bin/tell", "it", ""]
        failed = ["/bin/cry"]
        rolled_back = ["/bin/note"]
        timeout = "4s"
        "#,
    )
    .unwrap();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    assert_eq!(
        policy.metrics.textfile,
        Some(PathBuf::from("/run/tagkeeper/tagkeeper.prom"))
    );
    assert_eq!(
        policy.hooks,
        Hooks {
            promoted: Some(words(&["/bin/tell", "it", ""])),
            failed: Some(words(&["/bin/cry"])),
            rolled_back: Some(words(&["/bin/note"])),
            timeout_ms: 4000,
        }
    );
}

#[test]
fn all_errors_of_all_files_come_at_once_in_the_order_of_the_files() {
    let refused = parse_policy(&[
        source(
            "z.toml",
            "[defaults]\nsoak = 5\nfallbacks = -1\n[engine]\ntimeout = \"x\"",
        ),
        source(
            "a.toml",
            "[workload.app\n\n[defaults]\ngrace = 1\nsoak = \n",
        ),
        source("m.toml", "[workload.b]\nremotes = [1, 2, \"c\"]\nhold = 1"),
        source("n.toml", "[workload.d]\nrepository = \"c\""),
    ])
    .unwrap_err();
    let found: Vec<(String, &str)> = refused
        .diagnostics()
        .map(|d| (d.place.to_string(), d.key.as_deref().unwrap_or("-")))
        .collect();
    assert_eq!(
        found
            .iter()
            .map(|(p, k)| (p.as_str(), *k))
            .collect::<Vec<_>>(),
        [
            ("z.toml:2:8", "defaults.soak"),
            ("z.toml:3:13", "defaults.fallbacks"),
            ("z.toml:5:11", "engine.timeout"),
            ("a.toml:1:14", "-"),
            ("a.toml:4:9", "defaults.grace"),
            ("a.toml:5:8", "-"),
            ("m.toml:1:11", "workload.b.repository"),
            ("m.toml:2:12", "workload.b.remotes"),
            ("m.toml:2:15", "workload.b.remotes"),
            ("m.toml:3:8", "workload.b.hold"),
            ("n.toml:2:14", "workload.d.repository"),
        ],
        "{refused}"
    );
    assert!(
        refused
            .to_string()
            .ends_with("\n\n11 errors; nothing was done"),
        "{refused}"
    );
}

/// What a parser lost is not what an operator left out: one missing quote must not be reported as a missing key too.
#[test]
fn a_syntax_error_brings_no_false_errors_along() {
    for text in [
        "[workload.app]\nrepository = \"app\nhold = true\n",
        "[workload.app]\nrepository =\n",
        "[workload.app]\nrepository = app\n",
        "[workload.app]\norchestrated = \"\"\"x\nrepository = \"app\"\n",
        "[workload.app]\nrepository = \"app\"\nready = [\"/bin/x\"\n",
        "[workload.app\nrepository = \"app\"\nsok = 1\n[defaults]",
        "[workload.app]\nrepository = \"app\"\nready =\nready_timeout = \"1s\"\n",
    ] {
        let refused = parse(text).unwrap_err();
        for d in refused.diagnostics() {
            assert!(d.what.starts_with("not TOML"), "{text:?}\n{refused}");
        }
    }
}

#[test]
fn the_same_workload_in_two_files_names_both_places() {
    let refused = parse_policy(&[
        source("/usr/a.toml", "\n[workload.app]\nrepository = \"app\""),
        source("/etc/b.toml", "[workload.app]\nrepository = \"app\""),
    ])
    .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "\
error: workload 'app' is in two files
 --> /etc/b.toml:1:11
  |
1 | [workload.app]
  |           ^^^
  |
  = note: first at /usr/a.toml:2:11
  = help: write it in one file; a file in /etc/tagkeeper/policy.d masks a packaged one of the same file name

1 error; nothing was done"
    );
}

#[test]
fn an_error_is_printed_with_its_line_and_marks() {
    let text = "[workload.telemetry]\nrepository = \"t\"\n\n\n\n\nsok = \"10m\"\n";
    let refused = parse_policy(&[source("/etc/tagkeeper/policy.toml", text)]).unwrap_err();
    assert_eq!(
        refused.diagnostics().next().unwrap().to_string(),
        "\
error: unknown key 'sok' in [workload.telemetry]
 --> /etc/tagkeeper/policy.toml:7:1
  |
7 | sok = \"10m\"
  | ^^^
  |
  = help: did you mean 'soak'?"
    );
}

/// The marks stand below what they mean, whatever stands before it on the line.
#[test]
fn marks_stand_right_below_wide_and_narrow_text() {
    for (line, column, marks) in [
        ("\"défaut\" = 1", 1, "^^^^^^^^"),
        ("\"容器\" = 1", 1, "^^^^^^"),
        ("\"、한😀\" = 1", 1, "^^^^^^^^"),
        ("\"a\tb\" = 1", 1, "^^^^^^^^"),
        ("\t\"e\u{301}\" = 1", 2, "    ^^^"),
    ] {
        let refused = parse(line).unwrap_err();
        let one = refused.diagnostics().next().unwrap();
        assert_eq!(one.place.column, column, "{refused}");
        let printed = one.to_string();
        let mark_line = printed.lines().nth(4).unwrap();
        assert_eq!(mark_line, format!("  | {marks}"), "{refused}");
    }
    let refused = parse("workload.app = { repository = \"容器\", sok = 1 }").unwrap_err();
    let columns: Vec<usize> = refused.diagnostics().map(|d| d.place.column).collect();
    assert_eq!(columns, [31, 37], "{refused}");
    let printed = refused.diagnostics().nth(1).unwrap().to_string();
    // Two letters of two columns each stand before it.
    assert_eq!(
        printed.lines().nth(4).unwrap(),
        format!("  | {}^^^", " ".repeat(38))
    );
}

/// Where a text ends in the middle of something, there is nothing to mark, and the place is marked all the same.
#[test]
fn an_error_at_the_end_of_a_line_is_marked_behind_it() {
    let refused = parse("[defaults]\nsoak =\n").unwrap_err();
    let printed = refused.diagnostics().next().unwrap().to_string();
    let lines: Vec<&str> = printed.lines().skip(1).take(4).collect();
    assert_eq!(
        lines,
        [" --> policy.toml:2:7", "  |", "2 | soak =", "  |       ^"]
    );
}

#[test]
fn colours_are_for_terminals_alone() {
    let refused = parse("[defaults]\nsok = \"1m\"\n").unwrap_err();
    let colored = refused.print(true);
    assert!(
        colored.contains("\u{1b}[") && !refused.to_string().contains('\u{1b}'),
        "{colored:?}"
    );
    let bare: String = colored
        .split('\u{1b}')
        .enumerate()
        .map(|(n, part)| {
            if n == 0 {
                part
            } else {
                part.split_once('m').unwrap().1
            }
        })
        .collect();
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(squeezed(&bare), squeezed(&refused.to_string()));
}

#[test]
fn nothing_printed_acts_on_a_terminal() {
    let refused = parse_policy(&[source(
        "/etc/\u{1b}[2J.toml",
        "\"\\u001b[31mred\\u202e\" = 1\n\u{1b}[0m\n[workload.\"\\u0007\"]\nsok = \"\u{9b}31m\u{2066}\"",
    )])
    .unwrap_err();
    let printed = refused.to_string();
    assert!(
        !printed.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'),
        "{printed:?}"
    );
}
