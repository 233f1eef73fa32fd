//! The way of a number: from the state, by the textfile, through node_exporter, into Prometheus,
//! out of a query.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::host::Host;
use crate::scene::{POLICY, RIPE, assert_promoted, soaking};
use crate::shipped::{FLEET_RULES, RULES, dashboard_queries, metrics_in};
use in_memory_engine::{Fault, Route};

/// A service of this test, ended with it.
pub(crate) struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn start(program: &str, args: &[String], log: &Path) -> Service {
    let log = fs::File::create(log).expect("writable");
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file"))
        .stderr(log)
        .spawn();
    Service(child.unwrap_or_else(|e| panic!("{program}: {e}; run `make test`")))
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// A node_exporter that reads the textfiles of a directory, and its port.
fn exporter(textfiles: &Path) -> (u16, Service) {
    let port = free_port();
    let service = start(
        "prometheus-node-exporter",
        &[
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--collector.disable-defaults".to_owned(),
            "--collector.textfile".to_owned(),
            format!("--collector.textfile.directory={}", textfiles.display()),
        ],
        &textfiles.with_extension("log"),
    );
    (port, service)
}

/// All of them, and what Prometheus wrote.
pub(crate) struct Prometheus {
    port: u16,
    _services: Vec<Service>,
    dir: tempfile::TempDir,
}

impl Prometheus {
    /// A Prometheus that scrapes a node_exporter each second, which reads this file by a link, as
    /// docs/monitoring.md has it.
    fn scraping(textfile: &Path) -> Self {
        let dir = tempfile::tempdir().expect("writable");
        let textfiles = dir.path().join("textfiles");
        fs::create_dir(&textfiles).expect("writable");
        symlink(textfile, textfiles.join("tagkeeper.prom")).expect("writable");
        let (port, exporter) = exporter(&textfiles);
        let targets = format!("{{targets: ['127.0.0.1:{port}']}}");
        Self::with(&[RULES], &targets, vec![exporter], dir)
    }

    /// The same for several hosts: where their directories are, their names, which are the
    /// directories', and their rings.
    pub(crate) fn of_fleet(hosts: &[(&Path, &str, &str)]) -> Self {
        let (mut exporters, mut targets) = (Vec::new(), Vec::new());
        for (dir, name, ring) in hosts {
            let (port, exporter) = exporter(&dir.join(name));
            exporters.push(exporter);
            targets.push(format!(
                "{{targets: ['127.0.0.1:{port}'], labels: {{instance: {name}, ring: {ring}, site: lab}}}}"
            ));
        }
        let dir = tempfile::tempdir().expect("writable");
        Self::with(&[RULES, FLEET_RULES], &targets.join(", "), exporters, dir)
    }

    fn with(
        rules: &[&str],
        targets: &str,
        mut services: Vec<Service>,
        dir: tempfile::TempDir,
    ) -> Self {
        let port = free_port();
        let config = dir.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: {rules:?}\nscrape_configs:\n\
             - {{job_name: node, static_configs: [{targets}]}}\n"
        );
        fs::write(&config, text).expect("writable");
        services.push(start(
            "prometheus",
            &[
                format!("--web.listen-address=127.0.0.1:{port}"),
                format!("--config.file={}", config.display()),
                format!("--storage.tsdb.path={}", dir.path().join("data").display()),
            ],
            &dir.path().join("prometheus.log"),
        ));
        Self {
            port,
            _services: services,
            dir,
        }
    }

    /// What a path of the API answers; none while nobody does.
    fn get(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let answer: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        (answer["status"] == "success").then(|| answer["data"].clone())
    }

    /// The samples that a query finds; none while nobody answers, or if it is no query.
    pub(crate) fn query(&self, query: &str) -> Option<Vec<Value>> {
        let mut escaped = String::new();
        for byte in query.bytes() {
            write!(escaped, "%{byte:02X}").expect("memory");
        }
        let data = self.get(&format!("/api/v1/query?query={escaped}"))?;
        data["result"].as_array().cloned()
    }

    /// The value of a query that finds one sample.
    fn value(&self, query: &str) -> Option<f64> {
        let samples = self.query(query)?;
        let [only] = samples.as_slice() else {
            return None;
        };
        only["value"][1].as_str()?.parse().ok()
    }

    /// Waits until a query has this value: a scrape comes each second.
    #[track_caller]
    pub(crate) fn expect(&self, query: &str, wanted: f64) {
        for _ in 0..600 {
            if self.value(query) == Some(wanted) {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        let log = |name| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        panic!(
            "{query} is not {wanted}: {:?}\n{}\n{}",
            self.query(query),
            log("textfiles.log"),
            log("prometheus.log")
        );
    }
}

#[test]
fn an_upgrade_and_an_outage_as_prometheus_sees_them() {
    let host = soaking(POLICY);
    let textfile = host.path("tagkeeper.prom");
    host.set_policy(&format!(
        "{POLICY}\n[metrics]\ntextfile = \"{}\"\n",
        textfile.display()
    ));
    host.pass_at(300).expect_code(0);
    let prometheus = Prometheus::scraping(&textfile);
    prometheus.expect(
        r#"tagkeeper_pending_info{workload="app",version="v2"}"#,
        1.0,
    );
    prometheus.expect(r#"tagkeeper_pending_soak_seconds{workload="app"}"#, 600.0);
    prometheus.expect("node_textfile_scrape_error", 0.0);

    host.pass_at(RIPE).expect_code(0);
    assert_promoted(&host);
    for (query, wanted) in [
        ("tagkeeper_promotions_total", 1.0),
        ("tagkeeper_removals_total", 2.0),
        ("tagkeeper_reclaimed_bytes_total", 2_000_000.0),
        (r#"tagkeeper_latest_info{version="v2"}"#, 1.0),
        ("tagkeeper_fallbacks", 1.0),
        ("tagkeeper_pending", 0.0),
        ("tagkeeper_drift", 0.0),
        (r#"tagkeeper_images{verdict="keep",reason="latest"}"#, 2.0),
        (r#"tagkeeper_last_pass_outcome{outcome="done"}"#, 1.0),
        ("time() - node_textfile_mtime_seconds < bool 900", 1.0),
    ] {
        prometheus.expect(query, wanted);
    }
    assert_types(&prometheus);
    assert_shipped_queries_work(&prometheus, &host);

    let success = prometheus.value("tagkeeper_last_success_timestamp_seconds");
    host.engine()
        .fail(Route::ListImages, Fault::Status(500, "no disk"));
    host.pass_at(RIPE + 60).expect_code(69);
    prometheus.expect(r#"tagkeeper_last_pass_outcome{outcome="unavailable"}"#, 1.0);
    prometheus.expect("tagkeeper_promotions_total", 1.0);
    prometheus.expect("absent(tagkeeper_fallbacks)", 1.0);
    assert_eq!(
        prometheus.value("tagkeeper_last_success_timestamp_seconds"),
        success
    );
}

/// Counters are counters and gauges are gauges, with a text to each.
fn assert_types(prometheus: &Prometheus) {
    let metadata = prometheus.get("/api/v1/metadata").expect("it answers");
    let metadata = metadata.as_object().expect("an object");
    let own = metadata
        .iter()
        .filter(|(name, _)| name.starts_with("tagkeeper_"));
    let mut seen = 0;
    for (name, told) in own {
        seen += 1;
        let kind = if name.ends_with("_total") {
            "counter"
        } else {
            "gauge"
        };
        assert_eq!(told[0]["type"], kind, "{name}");
        // node_exporter puts this where the file has no text.
        let help = told[0]["help"].as_str().expect("a text");
        assert!(!help.starts_with("Metric read from"), "{name}: {help}");
    }
    assert!(seen > 20, "{metadata:#?}");
}

/// The rules are loaded, and each query of the dashboard is one that Prometheus takes and that
/// finds what it names.
fn assert_shipped_queries_work(prometheus: &Prometheus, host: &Host) {
    let rules = prometheus.get("/api/v1/rules").expect("it answers");
    let rules = rules["groups"][0]["rules"].as_array().expect("a list");
    assert!(rules.len() > 5, "{rules:#?}");
    for rule in rules {
        assert_ne!(rule["health"], "err", "{rule:#}");
    }
    let text = fs::read_to_string(host.path("tagkeeper.prom")).expect("it was written");
    let there = metrics_in(&text);
    for query in dashboard_queries("grafana-dashboard.json") {
        let found = prometheus.query(&query);
        let found = found.unwrap_or_else(|| panic!("Prometheus does not take {query}"));
        // Nothing is being soaked at this moment, nothing has failed, and no host is silent; all
        // the rest is there.
        let named = metrics_in(&query);
        let silent = query.contains(" unless ");
        assert_eq!(
            found.is_empty(),
            silent || !named.is_subset(&there),
            "{query}: {found:#?}"
        );
    }
}
