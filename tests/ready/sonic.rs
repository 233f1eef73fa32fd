//! `ready/sonic` against a real Redis server, with what SONiC writes into it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Result;
use rustix::process::Signal;

use crate::asking::{ID, NAME, PROGRAM, Said, ask, ask_about, run, run_version};
use crate::engine::{Host, MINUTE, SOAKED};
use crate::executable;
use crate::peers::{Manner, Socket};
use crate::redis::Redis;
use crate::story::{gives_way, roll_out, ships};

const KEY: &str = "FEATURE|telemetry";

impl Redis {
    /// Writes the fields that count, and beside them what else SONiC keeps there.
    fn write(&self, owner: &str, remote: &str, named: &str) {
        self.cli(&[
            "HSET",
            KEY,
            "current_owner",
            owner,
            "remote_state",
            remote,
            "container_id",
            named,
            "system_state",
            "up",
            "container_version",
            "v2",
            "update_time",
            "2026-01-01 00:00:00",
        ]);
    }

    fn ask_about(&self, id: &str, name: &str) -> Said {
        ask_about(id, name, "sonic", &["--socket", &self.socket()])
    }

    fn ask(&self) -> Said {
        self.ask_about(ID, NAME)
    }
}

/// Owner, remote state and id as SONiC writes them in each step of an upgrade by Kubernetes; who is
/// ready then.
const STEPS: &str = "
    local  none     telemetry     local   the local container works
    local  pending  telemetry     nobody  the pod waits
    none   pending  -             nobody  the local container has stopped
    none   ready    -             nobody  the pod may go on
    kube   running  abababababab  pod     the pod works
    kube   running  cdcdcdcdcdcd  nobody  the next pod works
    none   stopped  -             nobody  the service was stopped
";

#[test]
fn an_upgrade_by_kubernetes_is_ready_when_the_new_container_says_that_it_works() {
    let redis = Redis::start();
    let pod = "ab".repeat(32);
    for step in STEPS.trim().lines() {
        let mut words = step.split_ascii_whitespace();
        let [owner, remote, named, ready] = [(); 4].map(|()| words.next().unwrap());
        redis.write(owner, remote, named.trim_start_matches('-'));
        for (who, id, name) in [("local", ID, NAME), ("pod", &pod, "k8s_telemetry_1")] {
            let said = redis.ask_about(id, name);
            eprintln!("{step}: {who}: {said:?}");
            if who == ready {
                said.expect_ready();
            } else {
                said.expect_not_ready(&format!("current_owner '{owner}'"));
            }
        }
    }
}

/// What `container_startup.py` writes as id: its control group's name, cut after twelve characters,
/// or nothing where control groups v2 hide it.
#[test]
fn where_no_id_is_written_owner_state_and_version_name_the_container() {
    let redis = Redis::start();
    let pod = "ab".repeat(32);
    let socket = redis.socket();
    // No engine: it is asked only where the tag is not the version that STATE_DB has.
    let asked = |id: &str, version: &str| {
        let mut command = Command::new(PROGRAM);
        command.args([
            "sonic",
            "--socket",
            &socket,
            "--engine",
            "/nowhere/docker.sock",
        ]);
        run_version(command, id, "k8s_telemetry_1", version)
    };
    for written in ["", "docker-ababa"] {
        redis.write("kube", "running", written);
        asked(&pod, "v2").expect_ready();
        asked(&pod, "v1").expect_not_ready("failed to ask the engine at '/nowhere/docker.sock'");
        for remote in ["none", "pending", "ready", "stopped"] {
            redis.write("kube", remote, written);
            asked(&pod, "v2").expect_not_ready(&format!("remote_state '{remote}', not 'running'"));
        }
        redis.write("none", "running", written);
        asked(&pod, "v2").expect_not_ready("current_owner 'none'");
        redis.write("local", "none", written);
        asked(&pod, "v2").expect_not_ready("which does not name");
    }
    redis.write("kube", "running", "docker-babab");
    asked(&pod, "v2").expect_not_ready("container_id 'docker-babab', which does not name");
    redis.write("kube", "running", "");
    redis.cli(&["HDEL", KEY, "container_version"]);
    asked(&pod, "v2").expect_not_ready("container_id '', which does not name");
}

/// A pod whose version may not run sleeps in `container_startup.py` before it has written anything:
/// what is written is of the container that works, and the frozen one has another version.
#[test]
fn a_frozen_pod_is_not_ready_beside_the_one_that_works() -> Result<()> {
    let redis = Redis::start();
    let host = Host::new("frozen")?;
    host.import("local:v1", "works")?;
    let engine = host.socket().display().to_string();
    let started = |name: &str, version: &str| {
        let image = host.name("local:v1");
        let variable = format!("IMAGE_VERSION={version}");
        host.docker(&[
            "run",
            "--detach",
            "--network",
            "none",
            "--env",
            &variable,
            "--name",
            name,
            &image,
        ])
    };
    let (working, frozen) = (host.pod("works"), host.pod("frozen"));
    let (working_id, frozen_id) = (started(&working, "v2")?, started(&frozen, "v3")?);
    let asked = |id: &str, name: &str, tag: &str| {
        let mut command = Command::new(PROGRAM);
        command.args(["sonic", "--socket", &redis.socket(), "--engine", &engine]);
        run_version(command, id, name, tag)
    };
    redis.write("kube", "running", "");
    // By its tag, and by what its image was built as where kubelet pulled it by digest.
    for tag in ["v2", "sha256-0123456789ab"] {
        asked(&working_id, &working, tag).expect_ready();
    }
    for tag in ["v3", "sha256-ba9876543210"] {
        asked(&frozen_id, &frozen, tag)
            .expect_not_ready("has container_version 'v2', and the container has 'v3'");
    }
    let nameless = host.docker(&["create", "--network", "none", &host.name("local:v1")])?;
    asked(&nameless, "x", "v3").expect_not_ready("the container has no IMAGE_VERSION");
    host.docker(&["rm", &nameless])?;

    redis.write("kube", "running", &format!("docker-{}", &working_id[..5]));
    asked(&working_id, &working, "v2").expect_ready();
    // Five digits of one id are not the other's, save once in a million.
    if frozen_id[..5] != working_id[..5] {
        asked(&frozen_id, &frozen, "v2").expect_not_ready("which does not name");
    }
    host.remove(&working)?;
    host.remove(&frozen)
}

/// On a multi-ASIC switch the host's `STATE_DB` has a row for each local instance: `container start
/// lldp0` writes `FEATURE|lldp0`.
#[test]
fn an_instance_of_a_feature_has_a_row_of_its_own() {
    let redis = Redis::start();
    redis.write("kube", "running", "");
    redis.cli(&[
        "HSET",
        "FEATURE|telemetry0",
        "current_owner",
        "local",
        "container_id",
        "telemetry0",
    ]);
    redis.ask_about(ID, "telemetry0").expect_ready();
    redis
        .ask_about(ID, "telemetry1")
        .expect_not_ready("STATE_DB says nothing of FEATURE|telemetry1");
    redis.cli(&["HSET", "FEATURE|telemetry0", "remote_state", "pending"]);
    redis
        .ask_about(ID, "telemetry0")
        .expect_not_ready("FEATURE|telemetry0 has current_owner 'local'");
}

#[test]
fn what_is_not_written_or_is_something_else_is_not_ready() {
    let redis = Redis::start();
    redis
        .ask()
        .expect_not_ready("STATE_DB says nothing of FEATURE|telemetry");
    redis.cli(&["SET", KEY, "local"]);
    redis.ask().expect_not_ready("WRONGTYPE");
    redis.cli(&["DEL", KEY]);
    redis.cli(&["HSET", KEY, "system_state", "up"]);
    redis.ask().expect_not_ready("STATE_DB says nothing of");
    redis.cli(&["HSET", KEY, "current_owner", "local"]);
    redis.ask().expect_not_ready("container_id ''");
    redis.cli(&["HSET", KEY, "container_id", "telemetry"]);
    redis.ask().expect_ready();
    redis.cli(&["HSET", KEY, "current_owner", "no\nbody\u{1b}[31m"]);
    redis
        .ask()
        .expect_not_ready("current_owner 'no body\u{fffd}[31m'");
}

#[test]
fn feature_and_database_can_be_named() {
    let redis = Redis::start();
    redis.write("local", "none", "telemetry");
    let socket = redis.socket();
    let asked = |more: &[&str]| ask("sonic", &[&["--socket", &socket], more].concat());
    asked(&["telemetry"]).expect_ready();
    asked(&["gnmi"]).expect_not_ready("FEATURE|gnmi");
    asked(&["--db", "5"]).expect_not_ready("STATE_DB says nothing of");
    asked(&["--db", "99"]).expect_not_ready("DB index is out of range");
    asked(&["--db", "six"]).expect_wrong_usage("'--db six'");
    asked(&["a", "b"]).expect_wrong_usage("more than one feature");
    ask_about("", NAME, "sonic", &["--socket", &socket])
        .expect_not_ready("TAGKEEPER_CONTAINER_ID is not set");
    ask_about("telemetry", NAME, "sonic", &["--socket", &socket])
        .expect_not_ready("not the 64 digits");
}

#[test]
fn a_server_that_wants_a_password_or_is_gone_is_not_ready() {
    let redis = Redis::start();
    redis.write("local", "none", "telemetry");
    redis.cli(&["CONFIG", "SET", "requirepass", "secret"]);
    redis.ask().expect_not_ready("Authentication required");
    let socket = redis.socket();
    drop(redis);
    ask("sonic", &["--socket", &socket]).expect_not_ready("No such file or directory");
}

#[test]
fn a_huge_field_is_not_ready() {
    let redis = Redis::start();
    redis.write("local", "none", "telemetry");
    // Written by the server itself.
    let fill = |bytes: usize| {
        let script =
            format!("redis.call('HSET', KEYS[1], 'container_id', string.rep('x', {bytes}))");
        redis.cli(&["EVAL", &script, "1", KEY]);
    };
    fill(4 << 20);
    redis.ask().expect_not_ready("a field of 4194304 bytes");
    fill(40 << 20);
    let option = ["--socket", &redis.socket(), "--timeout", "1s"];
    ask("sonic", &option).expect_given_up();
}

#[test]
fn a_server_that_hangs_drips_or_floods_is_not_ready_in_time() {
    let redis = Redis::start();
    redis.write("local", "none", "telemetry");
    redis.signal(Signal::STOP);
    let late = ask("sonic", &["--socket", &redis.socket(), "--timeout", "1s"]);
    redis.signal(Signal::CONT);
    late.expect_late("asking the Redis server at");
    redis.ask().expect_ready();

    for manner in [Manner::Hangs, Manner::Drips("")] {
        let peer = Socket::of(manner);
        ask("sonic", &["--socket", &peer.text(), "--timeout", "1s"])
            .expect_late("asking the Redis server at");
    }
    for flood in ["x", "+OK\r\n", "*9\r\n"] {
        let peer = Socket::of(Manner::Floods(flood));
        ask("sonic", &["--socket", &peer.text()])
            .expect_not_ready("failed to ask the Redis server");
    }
    // Answers without an end end with the time or the memory that a command has.
    for (start, piece) in [
        ("+", "x"),
        ("+OK\r\n$2000000000\r\n", "x"),
        ("+OK\r\n*2000000000\r\n", "$1\r\nx\r\n"),
    ] {
        let peer = Socket::of(Manner::FloodsAfter(start, piece));
        ask("sonic", &["--socket", &peer.text(), "--timeout", "1s"]).expect_given_up();
    }
}

/// The hardened unit has no network, and its user reaches the socket by the group of the drop-in
/// alone.
#[test]
fn without_a_network_the_group_of_the_drop_in_is_enough_and_needed() {
    let redis = Redis::start();
    redis.write("local", "none", "telemetry");
    // As on a SONiC host; the group's number is this test's own.
    let (socket, group) = (redis.socket(), 60_379);
    std::os::unix::fs::chown(&socket, None, Some(group)).unwrap();
    fs::set_permissions(&socket, Permissions::from_mode(0o760)).unwrap();
    fs::set_permissions(redis.dir(), Permissions::from_mode(0o755)).unwrap();
    // Where the user can reach it, wherever this is built.
    let program = redis.dir().join("tagkeeper-ready");
    executable::copy(PROGRAM, &program);
    let asked = |groups: &str| {
        let mut command = Command::new("unshare");
        command
            .args([
                "--net", "--", "setpriv", "--reuid", "65534", "--regid", "65534", groups, "--",
            ])
            .arg(&program)
            .args(["sonic", "--socket", &socket]);
        command.process_group(0);
        run(command, ID, NAME)
    };
    asked("--clear-groups").expect_not_ready("Permission denied");
    asked(&format!("--groups={group}")).expect_ready();
}

/// The script that SONiC's images have for kubelet, and one that asks both.
#[test]
fn the_readiness_probe_of_the_image_can_be_asked_instead_or_as_well() -> Result<()> {
    let redis = Redis::start();
    let host = Host::new("probe")?;
    let probe = host.path("both");
    let engine = host.socket().display().to_string();
    let script = format!(
        "#!/bin/sh\nset -eu\n{PROGRAM} sonic --socket {} --engine {engine}\n\
         exec {PROGRAM} exec --socket {engine} test -e /ready\n",
        redis.socket()
    );
    fs::write(host.path("script"), script)?;
    executable::copy(host.path("script"), &probe);
    let probe = probe.display().to_string();
    host.set_policy(&format!("ready = [{probe:?}]"))?;
    let v1 = ships(&host, "v1")?;
    gives_way(&host)?;
    let v2 = roll_out(&host, "v2")?;
    redis.write("kube", "running", "");
    host.pass_at(1000)?;
    host.pass_at(1000 + SOAKED)?;
    assert_eq!(host.id("local:latest")?, v1, "its own probe says no");

    host.docker(&["exec", &host.pod("v2"), "touch", "/ready"])?;
    redis.write("kube", "pending", "");
    host.pass_at(3000)?;
    host.pass_at(3000 + SOAKED)?;
    assert_eq!(host.id("local:latest")?, v1, "STATE_DB says no");

    redis.write("kube", "running", "");
    host.pass_at(5000)?;
    host.pass_at(5000 + SOAKED)?;
    assert_eq!(host.id("local:latest")?, v2);
    Ok(())
}

/// The story of design R1 with `ready`: what idles beside the work of others never becomes latest.
#[test]
fn an_upgrade_soaks_only_from_when_state_db_names_its_container() -> Result<()> {
    for written in [
        // Control groups v1 and cgroupfs, systemd, and control groups v2.
        |id: &str| id[..12].to_owned(),
        |id: &str| format!("docker-{}", &id[..5]),
        |_: &str| String::new(),
    ] {
        upgrades_with_id_written(written)?;
    }
    Ok(())
}

fn upgrades_with_id_written(written: fn(&str) -> String) -> Result<()> {
    const START: u64 = 1000;
    let redis = Redis::start();
    let host = Host::new("sonic")?;
    let command = host.path("sonic");
    std::os::unix::fs::symlink(PROGRAM, &command)?;
    host.set_policy(&format!(
        "ready = [{:?}, \"--socket\", {:?}]",
        command.display().to_string(),
        redis.socket()
    ))?;
    let v1 = ships(&host, "v1")?;
    gives_way(&host)?;
    let v2 = roll_out(&host, "v2")?;
    redis.write("none", "pending", "");
    host.pass_at(START)?;
    host.pass_at(START + SOAKED)?;
    assert_eq!(
        host.id("local:latest")?,
        v1,
        "up for ten minutes, and waiting"
    );

    let id = host.docker(&["inspect", "--format", "{{.Id}}", &host.pod("v2")])?;
    redis.write("kube", "running", &written(&id));
    let begun = START + SOAKED + MINUTE;
    host.pass_at(begun)?;
    host.pass_at(begun + 9 * MINUTE)?;
    assert_eq!(host.id("local:latest")?, v1, "at work for nine minutes");
    host.pass_at(begun + SOAKED)?;
    assert_eq!(host.id("local:latest")?, v2);
    Ok(())
}
