//! The example for Alertmanager, in a real one: ten thousand hosts are one message.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::scrape::{Service, free_port, start};

const CONFIG: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/docs/monitoring/alertmanager.yml"
);
const HOSTS: usize = 10_000;

fn amtool(args: &[&str]) -> String {
    let output = Command::new("amtool").args(args).output();
    let output = output.unwrap_or_else(|e| panic!("amtool: {e}; run `make test`"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {text}{errors}");
    text.trim().to_owned()
}

#[test]
fn the_example_is_valid_and_routes_by_severity() {
    assert!(amtool(&["check-config", CONFIG]).contains("SUCCESS"));
    let route = |labels: &[&str]| {
        let config = format!("--config.file={CONFIG}");
        amtool(&[&["config", "routes", "test", &config], labels].concat())
    };
    let labels = ["alertname=TagkeeperVersionFails", "severity=critical"];
    assert_eq!(route(&labels), "on-call");
    let labels = ["alertname=TagkeeperDrift", "severity=warning"];
    assert_eq!(route(&labels), "operators");
    assert_eq!(route(&["alertname=SomethingElse"]), "nobody");
}

/// Each alert that the example speaks of is one that ships, and each alert of a ring silences
/// something.
#[test]
fn the_example_names_the_alerts_that_there_are() {
    let alerts_in = |file: &str| {
        let text = fs::read_to_string(file).expect("it ships");
        let lines = text.lines();
        lines
            .filter_map(|line| line.trim_start().strip_prefix("- alert: "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let of_hosts = alerts_in(crate::shipped::RULES);
    let of_rings = alerts_in(crate::shipped::FLEET_RULES);
    let config = fs::read_to_string(CONFIG).expect("it ships");
    let words = config.split(|c: char| !c.is_ascii_alphanumeric());
    for word in words.filter(|word| word.starts_with("Tagkeeper") && *word != "Tagkeeper") {
        let is_there = of_hosts.iter().chain(&of_rings).any(|alert| alert == word);
        assert!(is_there, "there is no {word}");
    }
    assert!(of_rings.len() > 3, "{of_rings:?}");
    for alert in of_rings {
        let source = format!("source_matchers: [alertname=\"{alert}\"]");
        assert!(config.contains(&source), "{alert} silences nothing");
    }
}

/// A receiver of webhooks: the path and the body of each message.
fn receiver() -> (u16, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let (sender, messages) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Some(message) = stream.ok().and_then(received) else {
                continue;
            };
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    (port, messages)
}

fn received(stream: TcpStream) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let path = head.split_whitespace().nth(1)?.to_owned();
    let head = head.to_ascii_lowercase();
    let length = head.split_once("content-length: ")?.1.lines().next()?;
    let mut body = vec![0; length.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    reader.get_mut().write_all(answer).ok()?;
    Some((path, serde_json::from_slice(&body).ok()?))
}

/// An Alertmanager with the example, whose waits are shortened.
struct Alertmanager {
    port: u16,
    _service: Service,
    _dir: tempfile::TempDir,
}

impl Alertmanager {
    fn start(receiver: u16) -> Self {
        let dir = tempfile::tempdir().expect("writable");
        let config = fs::read_to_string(CONFIG).expect("it ships");
        let config = config
            .replace("127.0.0.1:9095", &format!("127.0.0.1:{receiver}"))
            .replace("group_wait: 1m", "group_wait: 8s")
            .replace("group_wait: 10s", "group_wait: 8s");
        let file = dir.path().join("alertmanager.yml");
        fs::write(&file, config).expect("writable");
        let port = free_port();
        let service = start(
            "prometheus-alertmanager",
            &[
                format!("--web.listen-address=127.0.0.1:{port}"),
                format!("--config.file={}", file.display()),
                format!("--storage.path={}", dir.path().join("data").display()),
                "--cluster.listen-address=".to_owned(),
            ],
            &dir.path().join("alertmanager.log"),
        );
        let alertmanager = Self {
            port,
            _service: service,
            _dir: dir,
        };
        for _ in 0..600 {
            if alertmanager
                .request("GET", "/-/ready", "")
                .is_some_and(|a| a.contains(" 200 "))
            {
                return alertmanager;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("it does not get ready");
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn fire(&self, alerts: &[Value]) {
        // As Prometheus does, in batches.
        for batch in alerts.chunks(64) {
            let body = Value::from(batch.to_vec()).to_string();
            let answer = self.request("POST", "/api/v2/alerts", &body);
            let answer = answer.expect("it answers");
            assert!(answer.contains(" 200 "), "{answer}");
        }
    }
}

fn of_host(alert: &str, host: usize) -> Value {
    json!({"labels": {
        "alertname": alert, "severity": "warning", "job": "node", "instance": format!("h{host}"),
        "ring": "wide", "site": "a", "workload": "telemetry",
    }})
}

#[test]
fn ten_thousand_hosts_are_one_message() {
    let (port, messages) = receiver();
    let alertmanager = Alertmanager::start(port);
    let alerts: Vec<Value> = (0..HOSTS)
        .map(|host| of_host("TagkeeperDrift", host))
        .collect();
    alertmanager.fire(&alerts);
    let (path, message) = messages
        .recv_timeout(Duration::from_secs(60))
        .expect("a message");
    assert_eq!(path, "/operators");
    assert_eq!(message["groupLabels"]["alertname"], "TagkeeperDrift");
    let shown = message["alerts"].as_array().expect("a list").len();
    let hidden = message["truncatedAlerts"].as_u64().expect("a number");
    assert_eq!(shown, 50);
    assert_eq!(hidden + 50, HOSTS as u64, "all of them are in it");
    // The group's next message comes after ten minutes.
    let next = messages.recv_timeout(Duration::from_secs(5));
    assert!(matches!(next, Err(RecvTimeoutError::Timeout)), "{next:?}");
}

#[test]
fn an_alert_of_a_ring_silences_those_of_its_hosts() {
    let (port, messages) = receiver();
    let alertmanager = Alertmanager::start(port);
    let of_ring = json!({"labels": {
        "alertname": "TagkeeperVersionFails", "severity": "critical", "ring": "wide", "workload": "telemetry",
        "version": "v3",
    }});
    alertmanager.fire(&[of_ring]);
    let crashing = (0..100).map(|host| of_host("TagkeeperUpgradeCrashLooping", host));
    alertmanager.fire(&crashing.collect::<Vec<_>>());
    let (path, message) = messages
        .recv_timeout(Duration::from_secs(60))
        .expect("a message");
    assert_eq!(path, "/on-call");
    assert_eq!(message["groupLabels"]["version"], "v3");
    let next = messages.recv_timeout(Duration::from_secs(5));
    assert!(matches!(next, Err(RecvTimeoutError::Timeout)), "{next:?}");
}
