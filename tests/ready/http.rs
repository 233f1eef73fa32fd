//! `ready/http`: on loopback, and at the address of a container.

use anyhow::Result;
use serde_json::json;

use crate::asking::{ID, PROGRAM, Said, ask, ask_about, run};
use crate::engine::Host;
use crate::peers::{Manner, Socket, closed_port, port_at};

const LOOPBACK: &str = "127.0.0.1";

fn yes() -> Manner {
    Manner::http("200 OK", "fine")
}

#[test]
fn a_port_takes_connections_or_not() {
    let port = port_at(LOOPBACK, yes()).to_string();
    ask("http", &["--host", LOOPBACK, &port]).expect_ready();
    ask("http", &["--host", "127.0.0.2", &port])
        .expect_not_ready("failed to connect to 127.0.0.2:");
    ask("http", &[&closed_port().to_string()]).expect_not_ready("Connection refused");
}

#[test]
fn an_answer_is_a_success_or_not() {
    for status in ["200 OK", "204 No Content", "299 Odd"] {
        let port = port_at(LOOPBACK, Manner::http(status, "")).to_string();
        ask("http", &[port.as_str(), "/ready?full=1"]).expect_ready();
    }
    for status in ["301 Moved", "404 Not Found", "503 Not Yet"] {
        let port = port_at(LOOPBACK, Manner::http(status, "")).to_string();
        let reason = format!("GET http://127.0.0.1:{port}/: it answered {}", &status[..3]);
        ask("http", &[&port]).expect_not_ready(&reason);
    }
}

#[test]
fn what_is_no_answer_is_not_ready_in_time() {
    for manner in [Manner::Hangs, Manner::Drips("HTTP/1.1 200 OK\r\nx: ")] {
        let port = port_at(LOOPBACK, manner).to_string();
        ask("http", &["--timeout", "1s", &port]).expect_late("GET http://127.0.0.1:");
    }
    for manner in [
        Manner::Answers(String::new()),
        Manner::Answers("SSH-2.0-OpenSSH\r\n".to_owned()),
        Manner::Answers("HTTP/1.1 200".to_owned()),
        Manner::Answers("HTTP/1.1 200 OK\r\n".to_owned()),
        // The answer that this announces does not come.
        Manner::http("100 Continue", ""),
        Manner::Floods("x"),
        Manner::Floods("HTTP/1.1 200 OK\r\n"),
    ] {
        let port = port_at(LOOPBACK, manner).to_string();
        ask("http", &[&port]).expect_not_ready("GET http://127.0.0.1:");
    }
    // Its headers are one that does not end, or its body does not, which nobody reads.
    let header = Manner::FloodsAfter("HTTP/1.1 200 OK\r\nx: ", "x");
    let port = port_at(LOOPBACK, header).to_string();
    ask("http", &[&port]).expect_not_ready("GET http://127.0.0.1:");
    let body = Manner::FloodsAfter("HTTP/1.1 200 OK\r\n\r\n", "x");
    let port = port_at(LOOPBACK, body).to_string();
    ask("http", &[&port]).expect_ready();
}

#[test]
fn wrong_usage_is_said_with_the_right_one() {
    ask("http", &[""; 0]).expect_wrong_usage("a port and a path are wanted");
    ask("http", &["0"]).expect_wrong_usage("'0' is no port");
    ask("http", &["65536"]).expect_wrong_usage("'65536' is no port");
    ask("http", &["--host", "localhost", "80"]).expect_wrong_usage("'--host localhost'");
    ask("http", &["80", "ready"]).expect_wrong_usage("'ready' is no path");
    ask("http", &["80", "/a<b>"]).expect_wrong_usage("'/a<b>' is no path");
    ask("http", &["80", "/a b\r\nX: y"]).expect_wrong_usage("is no path");
}

/// The unit's own network is none at all; the drop-in is what brings loopback back.
#[test]
fn without_a_network_nothing_is_reached() {
    let port = port_at(LOOPBACK, yes()).to_string();
    let mut command = std::process::Command::new("unshare");
    command.args(["--net", "--", PROGRAM, "http", &port]);
    run(command, ID, "telemetry").expect_not_ready("Network is unreachable");
}

/// Asks with the container's address, which the engine at the socket knows.
fn ask_at_container(engine: &Socket, more: &[&str]) -> Said {
    let socket = engine.text();
    let arguments = [&["--host", "container", "--socket", &socket], more].concat();
    ask("http", &arguments)
}

fn inspected(id: &str, mode: &str) -> Socket {
    let body = json!({"Id": id, "HostConfig": {"NetworkMode": mode},
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "127.0.0.3"}}}});
    Socket::of(Manner::http("200 OK", &body.to_string()))
}

#[test]
fn a_containers_address_is_the_one_that_the_engine_knows() {
    let port = port_at("127.0.0.3", yes()).to_string();
    ask_at_container(&inspected(ID, "bridge"), &[&port]).expect_ready();
    ask("http", &[&port]).expect_not_ready("Connection refused");
    // A ring of containers that borrow from each other.
    ask_at_container(&inspected(ID, &format!("container:{ID}")), &[&port])
        .expect_not_ready("belongs to no one within reach");
    ask_at_container(&Socket::of(Manner::Hangs), &["--timeout", "1s", &port])
        .expect_late("asking the engine at");
}

#[test]
fn trap_an_answer_about_another_container_has_no_address() {
    let port = port_at("127.0.0.3", yes()).to_string();
    for other in ["", "abc", &"f".repeat(64)] {
        ask_at_container(&inspected(other, "bridge"), &[&port])
            .expect_not_ready(&format!("the engine answered about container '{other}'"));
    }
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
