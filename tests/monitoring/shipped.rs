//! What ships beside the metrics: the alerts, tested by promtool; the dashboard and the page, held against what is written.

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

/// Every query of the dashboard, for all hosts and workloads.
pub(crate) fn dashboard_queries() -> Vec<String> {
    let text = fs::read_to_string(format!("{DIR}/grafana-dashboard.json")).expect("it ships");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("a list").iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().expect("a list").clone());
    let annotations = dashboard["annotations"]["list"].as_array().expect("a list");
    let targets = targets.chain(annotations.clone());
    let queries = targets.map(|target| {
        let query = target["expr"].as_str().expect("a query").to_owned();
        query.replace("$instance", ".*").replace("$workload", ".*")
    });
    queries.collect()
}

#[test]
fn the_alerts_fire_when_they_should() {
    for check in [
        vec!["check", "rules", RULES],
        vec![
            "test",
            "rules",
            concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/docs/monitoring/tagkeeper.rules.test.yml"
            ),
            concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/docs/monitoring/tagkeeper.rules.slow.test.yml"
            ),
        ],
    ] {
        let output = Command::new("promtool").args(&check).output();
        let output = output.unwrap_or_else(|e| panic!("promtool: {e}; run `make test`"));
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{check:?}\n{text}{errors}");
        assert!(text.contains("SUCCESS"), "{check:?}\n{text}{errors}");
    }
}

#[test]
fn each_alert_is_tested_and_told_of() {
    let rules = fs::read_to_string(RULES).expect("it ships");
    let tests: String = ["tagkeeper.rules.test.yml", "tagkeeper.rules.slow.test.yml"]
        .map(|name| fs::read_to_string(format!("{DIR}/{name}")).expect("it ships"))
        .concat();
    let page = fs::read_to_string(format!("{DIR}/../monitoring.md")).expect("it ships");
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

/// Prometheus keeps 15 days by default; the host's clock may be any.
#[test]
fn no_rule_looks_back_beyond_two_weeks_or_compares_clocks() {
    let rules = fs::read_to_string(RULES).expect("it ships");
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
        assert!(!unit.starts_with('d') || number <= 14, "{span}");
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
    let rules = fs::read_to_string(RULES).expect("it ships");
    let dashboard = fs::read_to_string(format!("{DIR}/grafana-dashboard.json")).expect("it ships");
    for (what, text) in [("rules", rules), ("dashboard", dashboard)] {
        let named = metrics_in(&text);
        assert!(named.len() > 5, "{what}: {named:?}");
        let strange: Vec<_> = named.difference(&there).collect();
        assert!(strange.is_empty(), "{what}: there is no {strange:?}");
    }
    let page = fs::read_to_string(format!("{DIR}/../monitoring.md")).expect("it ships");
    assert_eq!(metrics_in(&page), there, "named (left) and there (right)");
}
