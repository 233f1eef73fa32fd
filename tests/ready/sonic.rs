//! `ready/sonic` against a real Redis server, with what SONiC writes into it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::asking::{ID, NAME, PROGRAM, Said, ask, ask_about, run};
use crate::engine::{Host, MINUTE, SOAKED};
use crate::executable;
use crate::peers::{Manner, Socket};
use crate::story::{gives_way, roll_out, ships};

const KEY: &str = "FEATURE|telemetry";

/// A Redis server of the test's own.
struct Redis {
    dir: TempDir,
    server: Child,
}

impl Redis {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("redis.sock");
        let server = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("'redis-server' is missing: run `make test`");
        let redis = Self { dir, server };
        // It binds the socket last of all.
        for _ in 0..600 {
            if socket.exists() && redis.try_cli(&["PING"]).trim() == "PONG" {
                return redis;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("the Redis server does not answer");
    }

    fn socket(&self) -> String {
        self.dir.path().join("redis.sock").display().to_string()
    }

    fn try_cli(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-s", &self.socket(), "-n", "6"])
            .args(arguments)
            .output()
            .expect("'redis-cli' is missing: run `make test`");
        String::from_utf8(output.stdout).unwrap()
    }

    fn cli(&self, arguments: &[&str]) {
        let answer = self.try_cli(arguments);
        assert!(
            !answer.to_lowercase().contains("err"),
            "{arguments:?}: {answer}"
        );
    }

    /// Writes the three fields, and beside them what else SONiC keeps there.
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
            "1.2",
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

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.server);
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Owner, remote state and id as SONiC writes them in each step of an upgrade by Kubernetes; who is ready then.
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
    redis.ask().expect_not_ready("current_owner 'no body [31m'");
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
    asked(&["--db", "99"]).expect_not_ready("it answered '-ERR DB index is out of range'");
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
    redis.ask().expect_not_ready("NOAUTH");
    let socket = redis.socket();
    drop(redis);
    ask("sonic", &["--socket", &socket]).expect_not_ready("No such file or directory");
}

#[test]
fn a_huge_field_is_not_ready_and_not_read() {
    let redis = Redis::start();
    redis.write("local", "none", "telemetry");
    // 40 MiB, written by the server itself.
    redis.cli(&[
        "EVAL",
        "redis.call('HSET', KEYS[1], 'container_id', string.rep('x', 41943040))",
        "1",
        KEY,
    ]);
    redis.ask().expect_not_ready("a field of 41943040 bytes");
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
    for (flood, reason) in [("x", "without an end"), ("+OK\r\n", "it answered '+OK'")] {
        let peer = Socket::of(Manner::Floods(flood));
        ask("sonic", &["--socket", &peer.text()]).expect_not_ready(reason);
    }
}

/// The hardened unit has no network, and its user reaches the socket by the group of the drop-in alone.
#[test]
fn without_a_network_the_group_of_the_drop_in_is_enough_and_needed() {
    let redis = Redis::start();
    redis.write("local", "none", "telemetry");
    // As on a SONiC host; the group's number is this test's own.
    let (socket, group) = (redis.socket(), 60_379);
    std::os::unix::fs::chown(&socket, None, Some(group)).unwrap();
    fs::set_permissions(&socket, Permissions::from_mode(0o760)).unwrap();
    fs::set_permissions(redis.dir.path(), Permissions::from_mode(0o755)).unwrap();
    // Where the user can reach it, wherever this is built.
    let program = redis.dir.path().join("tagkeeper-ready");
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

/// The story of design R1 with `ready`: what idles beside the work of others never becomes latest.
#[test]
fn an_upgrade_soaks_only_from_when_state_db_names_its_container() -> Result<()> {
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
    redis.write("kube", "running", &id[..12]);
    let begun = START + SOAKED + MINUTE;
    host.pass_at(begun)?;
    host.pass_at(begun + 9 * MINUTE)?;
    assert_eq!(host.id("local:latest")?, v1, "at work for nine minutes");
    host.pass_at(begun + SOAKED)?;
    assert_eq!(host.id("local:latest")?, v2);
    Ok(())
}
