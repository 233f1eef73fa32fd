//! What ships beside the metrics: the alerts, tested by promtool; the dashboard and the page, held against what is written.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::host::Host;
use crate::scene::{POLICY, RIPE, soaking};

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/monitoring");
pub(crate) const RULES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/docs/monitoring/tagkeeper.rules.yml"
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
    let queries = targets.map(|target| {
        let query = target["expr"].as_str().expect("a query").to_owned();
        query.replace("$instance", ".*").replace("$workload", ".*")
    });
    queries.collect()
}

/// Every metric that there is: those of a host where something soaks and something is proven.
fn every_metric() -> BTreeSet<String> {
    let host = soaking(POLICY);
    let of = |host: &Host, secs| {
        host.pass_at(secs).expect_code(0);
        metrics_in(&fs::read_to_string(host.path("t.prom")).expect("it was written"))
    };
    host.set_policy(&format!(
        "{POLICY}\n[metrics]\ntextfile = \"{}\"\n",
        host.path("t.prom").display()
    ));
    let mut all = of(&host, 300);
    all.extend(of(&host, RIPE));
    all
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
        assert!(tests.contains(&silent) && tests.contains(&loud), "{alert}");
        assert!(page.contains(&format!("| `{alert}` |")), "{alert}");
    }
}

#[test]
fn queries_and_the_page_name_the_metrics_that_there_are() {
    let there = every_metric();
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
