//! What ships beside the metrics: the alerts, tested by promtool; the dashboard and the page, held
//! against what is written.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/monitoring");
pub(crate) const RULES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/docs/monitoring/tagkeeper.rules.yml"
);

pub(crate) const FLEET_RULES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/docs/monitoring/tagkeeper.fleet.rules.yml"
);

/// The names of tagkeeper's metrics in a text.
pub(crate) fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let own = words.filter(|word| word.starts_with("tagkeeper_"));
    own.map(str::to_owned).collect()
}

/// Every query of a dashboard, for all that one can choose.
pub(crate) fn dashboard_queries(file: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("{DIR}/{file}")).expect("it ships");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("a list").iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().expect("a list").clone());
    let annotations = dashboard["annotations"]["list"].as_array().expect("a list");
    let targets = targets.chain(annotations.clone());
    let queries = targets.map(|target| {
        let query = target["expr"].as_str().expect("a query").to_owned();
        ["$instance", "$workload", "$ring", "$site"]
            .iter()
            .fold(query, |query, variable| query.replace(variable, ".*"))
    });
    queries.collect()
}

#[test]
fn the_alerts_fire_when_they_should() {
    let tests = format!("promtool test rules {DIR}/*.test.yml");
    let rules = format!("promtool check rules {RULES} {FLEET_RULES}");
    for command in [rules, tests] {
        let output = Command::new("sh").args(["-c", &command]).output();
        let output = output.expect("sh");
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}\n{text}{errors}");
        assert!(text.contains("SUCCESS"), "{command}\n{text}{errors}");
    }
}

/// The rules for hosts and those for fleets.
fn all_rules() -> String {
    let files = [RULES, FLEET_RULES];
    let texts = files.map(|file| fs::read_to_string(file).expect("it ships"));
    texts.concat()
}

#[test]
fn each_alert_is_tested_and_told_of() {
    let rules = all_rules();
    let tests: String = [
        "tagkeeper.rules.test.yml",
        "tagkeeper.rules.slow.test.yml",
        "tagkeeper.fleet.rules.test.yml",
    ]
    .map(|name| fs::read_to_string(format!("{DIR}/{name}")).expect("it ships"))
    .concat();
    let pages = ["monitoring.md", "fleet.md"];
    let page = pages.map(|page| fs::read_to_string(format!("{DIR}/../{page}")).expect("it ships"));
    let page = page.concat();
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() > 5, "{alerts:?}");
    for alert in alerts {
        let silent = format!("alertname: {alert}\n        exp_alerts: []");
        let loud = format!("alertname: {alert}\n        exp_alerts:\n");
        let resolves = tests.split("  - name: ").any(
            |test| matches!((test.find(&loud), test.rfind(&silent)), (Some(a), Some(b)) if a < b),
        );
        assert!(tests.contains(&silent) && resolves, "{alert}");
        assert!(page.contains(&format!("| `{alert}` |")), "{alert}");
    }
}

/// Over ten thousand hosts, how far a rule looks back is what it costs; the host's clock may be
/// any.
#[test]
fn no_rule_looks_back_beyond_a_day_or_compares_clocks() {
    let rules = all_rules();
    assert!(!rules.contains("time()") && !rules.contains("timestamp("));
    let mut spans = 0;
    for span in rules.split(['[', ' ']) {
        let digits = span
            .trim_end()
            .trim_end_matches(|c: char| !c.is_ascii_digit());
        let Some(unit) = span.get(digits.len()..) else {
            continue;
        };
        let Ok(number) = digits.parse::<u32>() else {
            continue;
        };
        spans += 1;
        if let Some('w' | 'y') = unit.chars().next() {
            panic!("{span}");
        }
        assert!(!unit.starts_with('d') || number <= 1, "{span}");
    }
    assert!(spans > 5);
}

/// `journalctl -u` misses lines of a process that has ended by the time journald looks at it.
#[test]
fn what_ships_looks_for_lines_by_identifier() {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut asked = 0;
    for at in [
        "README.md",
        "docs",
        "man",
        "hooks",
        "ready",
        "config",
        "units",
        "packaging",
    ] {
        let found = Command::new("grep")
            .args(["-rhoE", "--", "journalctl[^`]*", &format!("{root}/{at}")])
            .output()
            .expect("grep");
        for line in String::from_utf8_lossy(&found.stdout).lines() {
            asked += 1;
            assert!(
                !line.contains("-u ") && !line.contains("--unit"),
                "{at}: {line}"
            );
        }
    }
    assert!(asked > 3);
}

#[test]
fn queries_and_the_page_name_the_metrics_that_there_are() {
    let there = crate::fleet::every_metric();
    assert!(there.len() > 25, "{there:#?}");
    let read = |file: &str| fs::read_to_string(format!("{DIR}/{file}")).expect("it ships");
    // What a rule records has a name of its own, with colons.
    let recorded: BTreeSet<String> = all_rules()
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("- record: "))
        .map(str::to_owned)
        .collect();
    let without_recorded = |text: String| {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
        let words = words.filter(|w| !w.starts_with("ring_site"));
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':') {
            let is_known = !word.starts_with("ring_site") || recorded.contains(word);
            assert!(is_known, "no rule records {word}");
        }
        words.collect::<Vec<_>>().join(" ")
    };
    for (what, text) in [
        ("rules", all_rules()),
        ("dashboard", read("grafana-dashboard.json")),
        ("fleet's dashboard", read("grafana-fleet-dashboard.json")),
        ("fleet's page", without_ansible(crate::fleet::PAGE)),
    ] {
        let named = metrics_in(&without_recorded(text));
        assert!(named.len() > 5, "{what}: {named:?}");
        let strange: Vec<_> = named.difference(&there).collect();
        assert!(strange.is_empty(), "{what}: there is no {strange:?}");
    }
    let page = fs::read_to_string(format!("{DIR}/../monitoring.md")).expect("it ships");
    assert_eq!(metrics_in(&page), there, "named (left) and there (right)");
}

/// The page without the section whose words are variables of the Ansible role.
fn without_ansible(page: &str) -> String {
    let (before, section) = page
        .split_once("## Rollouts with Ansible")
        .expect("it is there");
    let (_, after) = section.split_once("\n## ").expect("another section");
    format!("{before}{after}")
}
