//! `ready/tcp` and `ready/http`: on loopback, and at the address of a container.

use anyhow::Result;
use serde_json::json;

use crate::asking::{ID, PROGRAM, ask, ask_about, run};
use crate::engine::Host;
use crate::peers::{Manner, Socket, closed_port, port_at};

const LOOPBACK: &str = "127.0.0.1";

fn yes() -> Manner {
    Manner::http("200 OK", "fine")
}

#[test]
fn a_port_takes_connections_or_not() {
    let port = port_at(LOOPBACK, yes()).to_string();
    ask("tcp", &[&port]).expect_ready();
    ask("tcp", &["--host", LOOPBACK, &port]).expect_ready();
    ask("tcp", &["--host", "127.0.0.2", &port]).expect_not_ready("failed to connect to 127.0.0.2:");
    let closed = closed_port().to_string();
    ask("tcp", &[&closed]).expect_not_ready("Connection refused");
    ask("http", &[&closed]).expect_not_ready("Connection refused");
}

#[test]
fn an_answer_is_a_success_or_not() {
    for status in ["200 OK", "204 No Content", "299 Odd"] {
        let port = port_at(LOOPBACK, Manner::http(status, "")).to_string();
        ask("http", &[port.as_str(), "/ready?full=1"]).expect_ready();
    }
    for status in ["100 Continue", "301 Moved", "404 Not Found", "503 Not Yet"] {
        let port = port_at(LOOPBACK, Manner::http(status, "")).to_string();
        let reason = format!("GET http://127.0.0.1:{port}/: it answered {}", &status[..3]);
        ask("http", &[&port]).expect_not_ready(&reason);
    }
}

#[test]
fn what_is_no_answer_is_not_ready_in_time() {
    for manner in [Manner::Hangs, Manner::Drips] {
        let port = port_at(LOOPBACK, manner).to_string();
        ask("http", &["--timeout", "1s", &port]).expect_late("GET http://127.0.0.1:");
        ask("tcp", &["--timeout", "1s", &port]).expect_ready();
    }
    for manner in [
        Manner::Answers(String::new()),
        Manner::Answers("SSH-2.0-OpenSSH\r\n".to_owned()),
        Manner::Answers("HTTP/1.1 200".to_owned()),
        Manner::Floods("x"),
    ] {
        let port = port_at(LOOPBACK, manner).to_string();
        ask("http", &[&port]).expect_not_ready("GET http://127.0.0.1:");
    }
    // Its headers never end, and nobody reads them.
    let port = port_at(LOOPBACK, Manner::Floods("HTTP/1.1 200 OK\r\n")).to_string();
    ask("http", &[&port]).expect_ready();
}

#[test]
fn wrong_usage_is_said_with_the_right_one() {
    ask("tcp", &[""; 0]).expect_wrong_usage("one port is wanted");
    ask("tcp", &["0"]).expect_wrong_usage("'0' is no port");
    ask("tcp", &["65536"]).expect_wrong_usage("'65536' is no port");
    ask("tcp", &["--host", "localhost", "80"]).expect_wrong_usage("'--host localhost'");
    ask("http", &["80", "ready"]).expect_wrong_usage("'ready' is no path");
    ask("http", &["80", "/a b\r\nX: y"]).expect_wrong_usage("is no path");
}

/// The unit's own network is none at all; the drop-in is what brings loopback back.
#[test]
fn without_a_network_nothing_is_reached() {
    let port = port_at(LOOPBACK, yes()).to_string();
    let mut command = std::process::Command::new("unshare");
    command.args(["--net", "--", PROGRAM, "tcp", &port]);
    run(command, ID, "telemetry").expect_not_ready("Network is unreachable");
}

#[test]
fn a_containers_address_is_the_one_that_the_engine_knows() {
    let inspect = json!({"HostConfig": {"NetworkMode": "bridge"},
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "127.0.0.3"}}}});
    let engine = Socket::of(Manner::http("200 OK", &inspect.to_string()));
    let port = port_at("127.0.0.3", yes()).to_string();
    for command in ["tcp", "http"] {
        ask(
            command,
            &["--host", "container", "--socket", &engine.text(), &port],
        )
        .expect_ready();
        ask(command, &[&port]).expect_not_ready("Connection refused");
    }
    // A ring of containers that borrow from each other.
    let ring = json!({"HostConfig": {"NetworkMode": format!("container:{ID}")}});
    let engine = Socket::of(Manner::http("200 OK", &ring.to_string()));
    ask(
        "tcp",
        &["--host", "container", "--socket", &engine.text(), &port],
    )
    .expect_not_ready("belongs to no one within reach");
    let engine = Socket::of(Manner::Hangs);
    ask(
        "tcp",
        &[
            "--host",
            "container",
            "--socket",
            &engine.text(),
            "--timeout",
            "1s",
            &port,
        ],
    )
    .expect_late("asking the engine at");
}

#[test]
fn real_containers_have_the_hosts_address_that_of_their_pod_or_none() -> Result<()> {
    let host = Host::new("address")?;
    host.import("local:v1", "networks")?;
    let (on_host, pod, none) = (host.container(), host.pod("v1"), host.pod("v2"));
    let image = host.name("local:v1");
    let run = |name: &str, network: &str| {
        host.docker(&[
            "run",
            "--detach",
            "--network",
            network,
            "--name",
            name,
            &image,
        ])
    };
    let socket = host.socket().display().to_string();
    let port = port_at(LOOPBACK, yes()).to_string();
    let asked = |id: &str| {
        let arguments = ["--host", "container", "--socket", &socket, &port];
        ask_about(id, "telemetry", "http", &arguments)
    };
    let sandbox = run(&on_host, "host")?;
    asked(&sandbox).expect_ready();
    let member = run(&pod, &format!("container:{on_host}"))?;
    asked(&member).expect_ready();
    let alone = run(&none, "none")?;
    asked(&alone).expect_not_ready("knows no address of the container (network 'none')");
    host.remove(&none)?;
    asked(&alone).expect_not_ready("the engine answered 404");
    Ok(())
}
