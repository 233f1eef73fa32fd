//! The policy: every kind of mistake is named with its place and its help; files merge and mask as
//! the design says.

#![cfg(test)]

#[path = "policy/engine.rs"]
mod engine;
#[path = "policy/files.rs"]
mod files;
#[path = "policy/host.rs"]
mod host;
#[path = "policy/property.rs"]
mod property;
#[path = "policy/schema.rs"]
mod schema;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tagkeeper::policy_file::{
    Diagnostic, EngineSettings, Hooks, Refused, Settings, Source, check_sources,
    parse as parse_sources,
};
use tagkeeper_core::model::{Hold, LocalFallback, Pattern, Ready, Rejection, Repository, Workload};

const FILE: &str = "policy.toml";

fn parse(text: &str) -> Result<Settings, Refused> {
    parse_sources(&[source(FILE, text)])
}

fn source(label: &str, text: &str) -> Source {
    Source {
        label: label.to_owned(),
        text: text.to_owned(),
    }
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

fn repository(name: &str) -> Repository {
    Repository::parse(name).unwrap()
}

const MISTAKES: &str = include_str!("policy/mistakes.txt");
const WARNINGS: &str = include_str!("policy/warnings.txt");

/// An error as `mistakes.txt` has it: line, column, length, "key: what" and help.
type Mistake = (usize, usize, usize, String, String);

/// The policy of a case of `mistakes.txt`, and the errors that it has.
fn read_case(case: &str) -> (String, Vec<Mistake>) {
    let mut text = String::new();
    let mut expected: Vec<Mistake> = Vec::new();
    for line in case.lines().skip(1) {
        let marks = line.trim_start();
        if let Some(help) = line.strip_prefix("=> ") {
            help.clone_into(&mut expected.last_mut().unwrap().4);
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

/// The cases of a table for which something else was found than it says, and how many cases there
/// are.
fn compare(table: &str, find: impl Fn(&str) -> Vec<Diagnostic>) -> (String, usize) {
    let mut wrong = String::new();
    let mut cases = 0;
    for case in table.split("\n=== ").skip(1) {
        cases += 1;
        let (text, expected) = read_case(case);
        let found: Vec<Mistake> = find(&text)
            .into_iter()
            .map(|d| {
                let what = format!("{}: {}", d.key.as_deref().unwrap_or("-"), d.message);
                let (line, column) = d.position().unwrap();
                (line, column, d.length, what, d.help)
            })
            .collect();
        if expected.is_empty() || found != expected {
            writeln!(wrong, "== {case}\nexpected {expected:#?}\nfound {found:#?}").unwrap();
        }
    }
    (wrong, cases)
}

#[test]
fn every_mistake_is_named_with_its_place_and_its_help() {
    let (wrong, cases) = compare(MISTAKES, |text| match parse(text) {
        Ok(_) => Vec::new(),
        Err(refused) => refused.problems,
    });
    assert!(wrong.is_empty(), "{wrong}");
    assert!(cases > 70, "only {cases} cases were read");
}

#[test]
fn what_is_odd_is_named_with_its_place_and_its_help() {
    let (wrong, cases) = compare(WARNINGS, |text| {
        let warnings = check_sources(&[source(FILE, text)]).unwrap().warnings;
        for warning in &warnings {
            assert!(warning.to_string().starts_with("warning: "), "{warning}");
        }
        warnings
    });
    assert!(wrong.is_empty(), "{wrong}");
    assert!(cases > 8, "only {cases} cases were read");
}

/// The first and the last of the legal values at each boundary, so that no rule refuses too much.
/// Whoever writes what the help shows is warned no more, and not refused.
#[test]
fn the_grace_that_is_advised_is_longer_than_the_soak() {
    for (soak, advised) in [
        ("10m", "24h"),
        ("23h", "24h"),
        ("1day", "2days"),
        ("36h 500ms", "3days1s"),
        ("1month", "2months"),
        ("9years", "10years"),
    ] {
        let policy = |grace: &str| {
            let text = format!(
                "[workload.app]\nrepository = \"app\"\nremotes = [\"r/app\"]\nsoak = \"{soak}\"\ngrace = \"{grace}\"\n"
            );
            check_sources(&[source(FILE, &text)]).unwrap().warnings
        };
        let help = policy("1s").pop().unwrap().help;
        assert!(help.ends_with(&format!(" \"{advised}\"")), "{soak}: {help}");
        assert_eq!(policy(advised).len(), 0, "{soak}");
    }
}

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
        "[workload.a]\nrepository = \"a\"\ncontainer = [\"a\", \"a*\", \"a\"]",
        "[workload.a]\nrepository = \"a\"\ncontainer = \"l[0-9]\"\n[workload.b]\nrepository = \"b\"\ncontainer = \"l[a-z]\"",
        "[workload.a]\nrepository = \"a\"\nremotes = [\"[fd00::1]:5000/app\", \"[::1]/app\"]",
        "[engine]\nsocket = \"unix:///run/podman/podman.sock\"",
        "[hold]",
        "[hold]\nworkloads = \"lldp*\"\nfor = \"1ms\"",
        "[reject]",
        "[reject]\napp = \"v3\"\n\"a.b\" = [\"sha256-0123456789ab\", \"20240101.12\", \"1\", \"sha256:0123456789ab\"]",
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
dry_runs = false
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
container = ["bee", "bee[0-9]*"]
orchestrated = "k8s_b_*"
ready = ["/bin/ready", "b", ""]
ready_timeout = "3s"
soak = "90s"
fallbacks = 0
grace = "1h"
dry_runs = true
local_fallback = "drop"
pressure = "100%"
pin = false
hold = true
version_label = "org.opencontainers.image.version"
"#;

#[test]
fn every_key_is_read() {
    let policy = parse(EVERY_KEY).unwrap();
    assert_eq!(
        policy.engine,
        EngineSettings {
            socket: PathBuf::from("/run/podman/podman.sock"),
            timeout_ms: 1500
        }
    );
    let a = Workload {
        soak_ms: 5_400_000,
        fallbacks: 3,
        grace_ms: 172_800_000,
        dry_runs: false,
        local_fallback: LocalFallback::Keep,
        pressure_percent: Some(85),
        pin: true,
        ..Workload::new("a", repository("docker-a"))
    };
    let b = Workload {
        repository: repository("docker-b"),
        remotes: vec![repository("r.example:5000/b"), repository("s.example/b")],
        containers: vec![pattern("bee"), pattern("bee[0-9]*")],
        orchestrated: Some(pattern("k8s_b_*")),
        ready: Some(Ready {
            command: ["/bin/ready", "b", ""].map(str::to_owned).to_vec(),
            timeout_ms: 3000,
        }),
        soak_ms: 90_000,
        fallbacks: 0,
        grace_ms: 3_600_000,
        dry_runs: true,
        local_fallback: LocalFallback::Drop,
        pressure_percent: None,
        pin: false,
        hold: true,
        version_label: Some("org.opencontainers.image.version".to_owned()),
    };
    assert_eq!(policy.policy.workloads.len(), 2);
    assert_eq!(policy.policy.workloads["a"], a);
    assert_eq!(policy.policy.workloads["b"], b);
}

/// A drop-in for a fleet is one more file: nothing that another file says is lost by it.
#[test]
fn holds_and_rejections_of_all_files_add_up() {
    let digest = format!("sha256:{}", "a1".repeat(32));
    let files = [
        "[hold]\n[reject]\napp = [\"v3\"]\n".to_owned(),
        "[hold]\nworkloads = [\"lldp*\", \"bgp\"]\nfor = \"2h\"\nreason = \"incident 4711\"\n"
            .to_owned(),
        format!(
            "[reject]\napp = [\"v3\", \"v4\", \"r.example/app@{digest}\"]\nbgp = \"{digest}\"\n"
        ),
    ];
    let label = |n: usize| format!("{n}.toml");
    let files = files.iter().enumerate();
    let sources: Vec<Source> = files.map(|(n, text)| source(&label(n), text)).collect();
    let policy = parse_sources(&sources).unwrap().policy;
    assert_eq!(
        policy.holds,
        [
            Hold {
                workloads: vec![pattern("*")],
                for_ms: None,
                reason: None
            },
            Hold {
                workloads: vec![pattern("lldp*"), pattern("bgp")],
                for_ms: Some(7_200_000),
                reason: Some("incident 4711".to_owned())
            },
        ]
    );
    let rejected = |texts: &[&str]| -> Vec<Rejection> {
        texts.iter().map(|text| Rejection::new(*text)).collect()
    };
    let remote = format!("r.example/app@{digest}");
    assert_eq!(policy.rejections["app"], rejected(&["v3", "v4", &remote]));
    assert_eq!(policy.rejections["bgp"], rejected(&[&digest]));
    assert_eq!(policy.rejections.len(), 2);
}

#[test]
fn the_engine_may_be_written_as_an_address() {
    for text in ["/run/x.sock", "unix:///run/x.sock"] {
        let settings = parse(&format!("[engine]\nsocket = \"{text}\"")).unwrap();
        assert_eq!(settings.engine.socket, Path::new("/run/x.sock"));
    }
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
        spread = "3s"
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
            spread_ms: 3000,
        }
    );
}

#[test]
fn all_errors_of_all_files_come_at_once_in_the_order_of_the_files() {
    let refused = parse_sources(&[
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
        .problems
        .iter()
        .map(|d| (d.place.as_ref().unwrap(), d.key.as_deref().unwrap_or("-")))
        .map(|(place, key)| (place.to_string(), key))
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

/// What a parser lost is not what an operator left out: one missing quote must not be reported as a
/// missing key too.
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
        for d in &refused.problems {
            assert!(d.message.starts_with("not TOML"), "{text:?}\n{refused}");
        }
    }
}

#[test]
fn the_same_workload_in_two_files_names_both_places() {
    let refused = parse_sources(&[
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
    let refused = parse_sources(&[source("/etc/tagkeeper/policy.toml", text)]).unwrap_err();
    assert_eq!(
        refused.problems[0].to_string(),
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
        let one = &refused.problems[0];
        assert_eq!(one.position().unwrap().1, column, "{refused}");
        let printed = one.to_string();
        let mark_line = printed.lines().nth(4).unwrap();
        assert_eq!(mark_line, format!("  | {marks}"), "{refused}");
    }
    let refused = parse("workload.app = { repository = \"容器\", sok = 1 }").unwrap_err();
    let columns: Vec<usize> = refused
        .problems
        .iter()
        .map(|d| d.position().unwrap().1)
        .collect();
    assert_eq!(columns, [31, 37], "{refused}");
    let printed = refused.problems[1].to_string();
    // Two letters of two columns each stand before it.
    assert_eq!(
        printed.lines().nth(4).unwrap(),
        format!("  | {}^^^", " ".repeat(38))
    );
}

/// Where a text ends in the middle of something, there is nothing to mark, and the place is marked
/// all the same.
#[test]
fn an_error_at_the_end_of_a_line_is_marked_behind_it() {
    let refused = parse("[defaults]\nsoak =\n").unwrap_err();
    let printed = refused.problems[0].to_string();
    let lines: Vec<&str> = printed.lines().skip(1).take(4).collect();
    assert_eq!(
        lines,
        [" --> policy.toml:2:7", "  |", "2 | soak =", "  |       ^"]
    );
}

/// One drop-in for a whole fleet says nothing wrong on a host that has no workload.
#[test]
fn a_hold_of_everything_needs_no_workload() {
    for text in ["[hold]", "[hold]\nworkloads = \"*\""] {
        let checked = check_sources(&[source(FILE, text)]).unwrap();
        assert!(checked.warnings.is_empty(), "{}", checked.warnings[0]);
        assert_eq!(checked.settings.policy.holds.len(), 1);
    }
}

/// Nobody reads thousands of errors; the first are printed, and all are counted.
#[test]
fn eight_thousand_errors_are_fifty_and_a_count() {
    let mut text = String::from("[defaults]\n");
    for n in 0..8000 {
        writeln!(text, "unknown{n} = 1").unwrap();
    }
    let refused = parse(&text).unwrap_err();
    assert_eq!(
        (refused.problems.len(), refused.more, refused.count()),
        (50, 7950, 8000)
    );
    let places: Vec<_> = refused
        .problems
        .iter()
        .map(|d| d.position().unwrap().0)
        .collect();
    assert_eq!(places, (2..52).collect::<Vec<_>>());
    let printed = refused.to_string();
    assert!(printed.lines().count() < 450, "{}", printed.lines().count());
    assert!(
        printed.ends_with("\n\n8000 errors, of which the first 50 are shown; nothing was done"),
        "{printed}"
    );
}

/// What some editors put in front is no part of the line, and is not printed.
#[test]
fn a_mark_before_the_first_line_moves_no_column() {
    let refused = parse("\u{feff}soak = 1\r\n[defaults]\r\nsok = 1\r\n").unwrap_err();
    let found: Vec<_> = refused
        .problems
        .iter()
        .map(|d| (d.position().unwrap(), d.source_line.as_str()))
        .collect();
    assert_eq!(found, [((1, 1), "soak = 1"), ((3, 1), "sok = 1")]);
}

/// Two files that were put together: the mark is the fault, and is seen.
#[test]
fn a_mark_before_another_line_is_shown() {
    let refused = parse("[workload.a]\n\u{feff}[workload.b]\n").unwrap_err();
    let printed = refused.to_string();
    assert!(printed.contains("\u{fffd}[workload.b]"), "{printed}");
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
    let refused = parse_sources(&[source(
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
