//! What a fleet's operator asks (docs/fleet.md): ten hosts in ten states, the real program on each,
//! a node_exporter for each, one Prometheus.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::host::Host;
use crate::scrape::Prometheus;
use crate::shipped::{dashboard_queries, metrics_in};

pub(crate) const PAGE: &str = include_str!("../../docs/fleet.md");

const POLICY: &str = r#"
[workload.telemetry]
repository = "telemetry"
remotes = ["reg.example/telemetry"]
pressure = "99%"
[metrics]
textfile = "TEXTFILE"
"#;

/// A question of the page, and its expression.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) title: String,
    pub(crate) expr: String,
}

/// The questions, in their order.
pub(crate) fn questions() -> Vec<Question> {
    let sections = PAGE.split("\n### ").skip(1);
    let asked = sections.filter_map(|section| {
        let (title, rest) = section.split_once('\n')?;
        let (_, code) = rest.split_once("```promql\n")?;
        Some(Question {
            title: title.to_owned(),
            expr: code.split_once("\n```")?.0.to_owned(),
        })
    });
    asked.collect()
}

/// The gate's expression.
fn gate() -> &'static str {
    let (_, section) = PAGE.split_once("\n## The gate\n").expect("there is one");
    let (_, code) = section.split_once("```promql\n").expect("an expression");
    code.split_once("\n```").expect("its end").0
}

/// Ten hosts that write one metrics file in turn: their policies are the same to the byte, as a
/// fleet's are.
struct Fleet {
    hosts: Vec<Host>,
    dir: tempfile::TempDir,
}

const NAMES: [&str; 10] = [
    "done",
    "soaking",
    "failed",
    "old",
    "rejecting",
    "held",
    "rebuilt",
    "full",
    "silent",
    "endless",
];

fn ring(name: &str) -> &'static str {
    if ["done", "soaking", "failed"].contains(&name) {
        "canary"
    } else {
        "wide"
    }
}

impl Fleet {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("writable");
        let policy = POLICY.replace("TEXTFILE", &dir.path().join("t.prom").display().to_string());
        let fleet = Self {
            hosts: NAMES.iter().map(|_| Host::new(&policy)).collect(),
            dir,
        };
        for name in NAMES {
            fs::create_dir(fleet.dir.path().join(name)).expect("writable");
            fleet.on_v2(name);
        }
        fleet
    }

    fn host(&self, name: &str) -> &Host {
        let at = NAMES.iter().position(|n| *n == name).expect("a host");
        &self.hosts[at]
    }

    fn textfile(&self, name: &str) -> PathBuf {
        self.dir.path().join(name).join("tagkeeper.prom")
    }

    fn pass(&self, name: &str, secs: u64) {
        self.host(name).pass_at(secs).expect_code(0);
        let written = fs::read_to_string(self.dir.path().join("t.prom")).expect("it is written");
        // The one thing that the program at hand cannot be.
        let written = if name == "old" {
            written.replace(env!("CARGO_PKG_VERSION"), "0.0.9")
        } else {
            written
        };
        fs::write(self.textfile(name), written).expect("writable");
    }

    /// v2 is proven, with v1 behind it.
    fn on_v2(&self, name: &str) {
        let host = self.host(name);
        {
            let docker = &mut host.engine().docker;
            docker.root_dir = json!("/");
            docker.image("v1", &["telemetry:latest", "reg.example/telemetry:v1"]);
            docker.image("v2", &["reg.example/telemetry:v2"]);
            docker.run("telemetry", "telemetry:latest");
            docker.exit("telemetry", 0);
            docker.run("k8s_v2", "reg.example/telemetry:v2");
        }
        self.pass(name, 0);
        self.pass(name, 610);
    }

    fn deploy(&self, name: &str, label: &str) {
        let docker = &mut self.host(name).engine().docker;
        docker.image(label, &["reg.example/telemetry:v3"]);
        docker.exit("k8s_v2", 0);
        docker.run("k8s_v3", "reg.example/telemetry:v3");
    }

    fn add_to_policy(&self, name: &str, text: &str) {
        let host = self.host(name);
        let policy = fs::read_to_string(host.path("policy.toml")).expect("there is one");
        host.set_policy(&format!("{policy}{text}"));
    }

    /// A pass on every host but the silent one, which leave each as it is.
    fn report(&self) {
        for name in NAMES.iter().filter(|name| **name != "silent") {
            self.pass(name, 7_200 + if *name == "soaking" { 120 } else { 0 });
        }
    }

    /// Copies what each host has written to where `bench/fleet` wants it.
    fn export(&self) {
        let Some(to) = std::env::var_os("TAGKEEPER_WRITE_TEXTFILES") else {
            return;
        };
        for name in NAMES.iter().filter(|name| **name != "silent") {
            let to = Path::new(&to).join(name);
            fs::copy(self.textfile(name), to).expect("writable");
        }
    }

    /// Brings each host into the state that its name says.
    fn play(&self) {
        for (name, label) in [("done", "v3"), ("rebuilt", "v3-rebuilt")] {
            self.deploy(name, label);
            self.pass(name, 1_000);
            self.pass(name, 1_700);
        }
        self.deploy("soaking", "v3");
        self.pass("soaking", 7_200);
        self.deploy("failed", "v3");
        self.pass("failed", 1_000);
        self.pass("failed", 1_030);
        self.host("failed").engine().docker.exit("k8s_v3", 7);
        self.pass("failed", 1_060);
        self.host("failed").engine().docker.start("k8s_v2");
        self.add_to_policy("rejecting", "[reject]\ntelemetry = [\"v3\"]\n");
        self.deploy("rejecting", "v3");
        self.add_to_policy("held", "[hold]\nreason = \"incident 4711\"\n");
        let docker = &mut self.host("full").engine().docker;
        docker.image("stray", &["reg.example/telemetry:stray"]);
        docker.remove_image("reg.example/telemetry:v1");
        self.deploy("endless", "v3");
        for secs in (1_000..7_200).step_by(500) {
            self.host("endless").engine().docker.start("k8s_v3");
            self.pass("endless", secs);
        }
        fs::remove_file(self.textfile("silent")).expect("it was written");
    }
}

/// Every metric that there is: those of ten hosts in ten states.
pub(crate) fn every_metric() -> BTreeSet<String> {
    let fleet = Fleet::new();
    fleet.play();
    // Twice: the disk is not measured for an image that was not idle in the pass before.
    fleet.report();
    fleet.report();
    let written = NAMES.iter().filter(|name| **name != "silent");
    let texts = written.map(|name| fs::read_to_string(fleet.textfile(name)).expect("written"));
    texts.flat_map(|text| metrics_in(&text)).collect()
}

/// The answer as rows: the labels that tell it, in the order of their names.
fn rows(answer: &[Value]) -> BTreeSet<String> {
    let row = |sample: &Value| {
        let labels = sample["metric"].as_object().expect("labels");
        let told = ["by", "instance", "reason", "ring", "version"];
        let of_host = labels.contains_key("instance");
        let words = told
            .iter()
            .filter(|l| !(of_host && **l == "ring"))
            .filter_map(|label| labels.get(*label)?.as_str());
        let mut words: Vec<String> = words.map(str::to_owned).collect();
        if !of_host {
            words.push(sample["value"][1].as_str().expect("a value").to_owned());
        }
        words.join(" ")
    };
    answer.iter().map(row).collect()
}

/// What each question must find, in the order of the page.
const ANSWERS: [&[&str]; 16] = [
    &[
        "orchestrator failed v2",
        "orchestrator full v2",
        "orchestrator held v2",
        "orchestrator old v2",
    ],
    &["canary v2 1", "canary v3 2", "wide v2 3", "wide v3 3"],
    &["full lost"],
    &["policy rejecting v3"],
    &["canary 1", "wide 1"],
    &["failed exited (7) v3"],
    &[
        "orchestrator soaking v3",
        "orchestrator rejecting v3",
        "orchestrator endless v3",
    ],
    &["held"],
    &["v3 2"],
    &["full"],
    &[
        "done v2",
        "soaking v1",
        "failed v1",
        "old v1",
        "rejecting v1",
        "held v1",
        "rebuilt v2",
        "endless v1",
    ],
    &["old 0.0.9"],
    &["held", "rejecting"],
    &["silent"],
    &["endless"],
    &["canary v2 2", "canary v3 1", "wide v2 5", "wide v3 1"],
];

#[test]
fn ten_hosts_in_ten_states_answer_the_sixteen_questions() {
    let fleet = Fleet::new();
    fleet.play();
    fleet.report();
    let targets: Vec<(&Path, &str, &str)> = NAMES
        .iter()
        .map(|name| (fleet.dir.path(), *name, ring(name)))
        .collect();
    let prometheus = Prometheus::of_fleet(&targets);
    prometheus.expect("count(up == 1)", 10.0);
    prometheus.expect("count(tagkeeper_build_info)", 9.0);
    // A report that changes, so that only the silent host is silent.
    fleet.report();
    fleet.export();
    prometheus.expect("count(changes(node_textfile_mtime_seconds[15m]) > 0)", 9.0);
    let asked = questions();
    assert_eq!(asked.len(), ANSWERS.len(), "{asked:#?}");
    let mut wrong = Vec::new();
    for (question, expected) in asked.iter().zip(ANSWERS) {
        // The disk is this machine's, which has something on it.
        let expr = question.expr.replace("> 0.85", "> 0.001");
        let answer = prometheus.query(&expr);
        let answer = rows(&answer.unwrap_or_else(|| panic!("{expr} is no query")));
        let expected: BTreeSet<String> = expected.iter().map(|row| (*row).to_owned()).collect();
        if answer != expected {
            wrong.push(format!("{}: {answer:#?}", question.title));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_gate_opens_for_what_is_proven_everywhere(&prometheus);
    assert_dashboard_finds(&prometheus);
}

/// Of the three canaries, one has v3 proven; v9 has not arrived anywhere, and there are no hosts in
/// ring `none`.
fn assert_gate_opens_for_what_is_proven_everywhere(prometheus: &Prometheus) {
    let gate = |hosts: &str, version: &str| {
        let asked = gate().replace("ring=\"canary\"", hosts);
        asked.replace("version=\"v3\"", &format!("version=\"{version}\""))
    };
    for (hosts, version, share) in [
        ("instance=\"done\"", "v3", 1.0),
        ("ring=\"canary\"", "v3", 1.0 / 3.0),
        ("ring=\"canary\"", "v9", 0.0),
        ("ring=\"none\"", "v3", 0.0),
        // It can be scraped and does not report.
        ("instance=~\"done|silent\"", "v3", 0.5),
    ] {
        prometheus.expect(&gate(hosts, version), share);
    }
}

/// What the rules record of these hosts, and the panels of the dashboard.
fn assert_dashboard_finds(prometheus: &Prometheus) {
    let failed = "ring_site_workload_version:tagkeeper_failed:count";
    prometheus.expect(&format!("{failed}{{ring=\"canary\",version=\"v3\"}}"), 1.0);
    prometheus.expect("sum(ring_site:tagkeeper_hosts:count)", 9.0);
    prometheus.expect("sum(ring_site:tagkeeper_expected:count)", 10.0);
    prometheus.expect("sum(ring_site:tagkeeper_silent:count)", 1.0);
    let fires = "ALERTS{alertname=\"TagkeeperVersionFails\",ring=\"canary\",version=\"v3\"}";
    prometheus.expect(fires, 1.0);
    let healthy = prometheus.query("ALERTS{instance=\"done\"}");
    assert_eq!(healthy, Some(Vec::new()), "no alert stands for it");
    let queries = dashboard_queries("grafana-fleet-dashboard.json");
    assert!(queries.len() > 15, "{queries:#?}");
    for query in queries {
        let found = prometheus.query(&query);
        let found = found.unwrap_or_else(|| panic!("Prometheus does not take {query}"));
        // No counter has risen while Prometheus looked.
        let is_quiet = query.contains("increase(");
        assert_eq!(found.is_empty(), is_quiet, "{query}: {found:#?}");
    }
}
