//! `hooks/sonic` against a real Redis server: what a promotion and a rollback leave in `STATE_DB`,
//! and what ctrmgrd makes of it when it is given its job back.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::{Command, Output, Stdio};

use crate::redis::Redis;
use crate::switch::Switch;

const HOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/hooks/sonic");
const PAGE: &str = include_str!("../../docs/sonic.md");
const EXAMPLE: &str = include_str!("../../config/examples/sonic-hooks.toml");
const KEY: &str = "FEATURE|telemetry";
const LATEST: &str = "docker-sonic-telemetry:latest";

const POLICY: &str = "[workload.telemetry]\nrepository = \"docker-sonic-telemetry\"\n\
                      remotes = [\"registry.example/docker-sonic-telemetry\"]\n";

fn remote(version: &str) -> String {
    format!("registry.example/docker-sonic-telemetry:{version}")
}

/// The example's hooks, which ask this server.
fn hooks(redis: &Redis, more: &str) -> String {
    let command = format!("[{HOOK:?}, \"--socket\", {:?}{more}]", redis.socket());
    EXAMPLE.replace("[\"/usr/lib/tagkeeper/hooks/sonic\"]", &command)
}

/// A switch whose telemetry Kubernetes has upgraded from v1 to v2, and which ctrmgrd has not tended
/// for years.
fn upgraded(redis: &Redis, more: &str) -> Switch {
    redis.cli(&[
        "HSET",
        KEY,
        "current_owner",
        "kube",
        "container_stable_version",
        "v0",
        "container_last_version",
        "v00",
    ]);
    let mut switch = Switch::new(&format!("{POLICY}{}", hooks(redis, more)));
    switch.image("v1", &[&remote("v1"), LATEST]);
    switch.run("telemetry", LATEST);
    switch.minutes(12);
    switch.said();
    switch.stop(&["telemetry"]);
    rolls_out(&mut switch, "v2");
    switch
}

fn rolls_out(switch: &mut Switch, version: &str) {
    let pod = |version: &str| format!("k8s_telemetry_{version}");
    for old in ["v2", "v3"] {
        switch.remove(&pod(old));
    }
    switch.image(version, &[&remote(version)]);
    switch.run(&pod(version), &remote(version));
    switch.minutes(12);
}

fn field(redis: &Redis, name: &str) -> String {
    let answer = redis.answer(&["HGET", KEY, name]);
    answer.trim().to_owned()
}

/// The stable version and the one before it.
fn written(redis: &Redis) -> [String; 2] {
    ["container_stable_version", "container_last_version"].map(|name| field(redis, name))
}

/// What ctrmgrd removes by force ten minutes after it has seen this version run: every remote
/// version but that one and the one that it takes for the last (`do_tag_latest`, `_do_clean`).
fn ctrmgrd_removes<'v>(redis: &Redis, running: &str, on_disk: &[&'v str]) -> Vec<&'v str> {
    let [stable, last] = written(redis);
    let last = if stable == running { last } else { stable };
    let goes = |version: &&&str| **version != running && **version != last;
    on_disk.iter().filter(goes).copied().collect()
}

#[test]
fn a_promotion_is_written_as_ctrmgrd_would_and_the_way_back_costs_nothing() {
    let redis = Redis::start();
    redis.cli(&["HSET", KEY, "container_stable_version", "v0"]);
    assert_eq!(
        ctrmgrd_removes(&redis, "v2", &["v1", "v2"]),
        ["v1"],
        "without the hook, the fallback"
    );
    let mut switch = upgraded(&redis, "");
    assert_eq!(written(&redis), ["v2", "v1"]);
    assert_eq!(ctrmgrd_removes(&redis, "v2", &["v1", "v2"]), [""; 0]);

    rolls_out(&mut switch, "v3");
    assert_eq!(written(&redis), ["v3", "v2"]);
    assert_eq!(field(&redis, "current_owner"), "kube", "and nothing else");
    switch.expect_disk(&[(LATEST, "v3"), (&remote("v2"), "v2"), (&remote("v3"), "v3")]);
    assert_eq!(ctrmgrd_removes(&redis, "v3", &["v2", "v3"]), [""; 0]);
    // The next version that ctrmgrd sees has v3 behind it.
    assert_eq!(ctrmgrd_removes(&redis, "v4", &["v2", "v3", "v4"]), ["v2"]);
    let said = switch.said();
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn a_rollback_makes_the_version_before_the_stable_one() {
    let redis = Redis::start();
    let switch = upgraded(&redis, "");
    switch
        .tagkeeper(&["rollback", "telemetry", "--latest", "--yes"])
        .expect_code(0);
    assert_eq!(written(&redis), ["v1", ""]);
    assert_eq!(
        ctrmgrd_removes(&redis, "v3", &["v1", "v2", "v3"]),
        ["v2"],
        "the rejected one, and not what works"
    );
}

/// The upgrade in play is rejected before it was promoted: latest stays, and so does what is
/// written.
#[test]
fn a_rollback_that_leaves_latest_where_it_is_writes_nothing() {
    let redis = Redis::start();
    let mut switch = upgraded(&redis, "");
    switch.remove("k8s_telemetry_v2");
    switch.image("v3", &[&remote("v3")]);
    switch.run("k8s_telemetry_v3", &remote("v3"));
    switch.minutes(3);
    switch
        .tagkeeper(&["rollback", "telemetry", "--yes"])
        .expect_code(0);
    assert_eq!(written(&redis), ["v2", "v1"]);
}

/// Runs the hook by itself with an event.
fn told(mut command: Command, event: &str, version: &str, json: &str) -> Output {
    command
        .env("TAGKEEPER_EVENT", event)
        .env("TAGKEEPER_WORKLOAD", "telemetry")
        .env("TAGKEEPER_VERSION", version)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // What refuses its arguments may be gone before it reads anything.
    let _ = child.stdin.take().unwrap().write_all(json.as_bytes());
    child.wait_with_output().unwrap()
}

fn hook(arguments: &[&str]) -> Command {
    let mut command = Command::new(HOOK);
    command.args(arguments);
    command
}

/// Where tagkeeper knows of no version before, ctrmgrd's own rule holds: what was stable, unless it
/// is the same.
#[test]
fn a_first_promotion_goes_by_what_ctrmgrd_had_written() {
    let redis = Redis::start();
    for (stable, last, wanted) in [
        ("v0", "v00", ["v2", "v0"]),
        ("v2", "v1", ["v2", "v1"]),
        ("", "", ["v2", ""]),
    ] {
        redis.cli(&[
            "HSET",
            KEY,
            "container_stable_version",
            stable,
            "container_last_version",
            last,
        ]);
        // Somebody's words are in a message, and are no field.
        let json = r#"{"previous": null, "message": "\"previous\": \"v9\" is latest"}"#;
        let output = told(hook(&["--socket", &redis.socket()]), "promoted", "v2", json);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(written(&redis), wanted, "{stable}");
    }
    let output = told(hook(&["--socket", &redis.socket()]), "failed", "v3", "{}");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(written(&redis), ["v2", ""], "a failure is no promotion");
}

#[test]
fn what_cannot_be_written_is_a_warning_and_no_failed_pass() {
    let redis = Redis::start();
    for (arguments, complaint) in [
        (&["--socket", "/nowhere/redis.sock"][..], "No such file"),
        (
            &["--socket", &redis.socket(), "telemetry=gnmi"],
            "STATE_DB has no FEATURE|gnmi",
        ),
        (
            &["--socket", &redis.socket(), "gnmi"],
            "'gnmi' is not WORKLOAD=FEATURE",
        ),
        (&["--socket"], "'--socket' needs a path"),
    ] {
        let output = told(hook(arguments), "promoted", "v2", "{}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && stderr.contains(complaint),
            "{output:?}"
        );
    }
    redis.cli(&["SET", KEY, "no hash"]);
    let output = told(hook(&["--socket", &redis.socket()]), "promoted", "v2", "{}");
    assert!(!output.status.success(), "{output:?}");
    redis.cli(&["DEL", KEY]);

    let mut switch = upgraded(&redis, ", \"telemetry=gone\"");
    let said = switch.said();
    let warning = "warning: telemetry: the hook for 'promoted' failed";
    assert!(
        said.contains(warning) && said.contains("FEATURE|gone"),
        "{said}"
    );
    assert_eq!(switch.meaning(LATEST, &["v2"]), Some("v2"));

    redis.cli(&["CONFIG", "SET", "requirepass", "secret"]);
    let output = told(hook(&["--socket", &redis.socket()]), "promoted", "v2", "{}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("NOAUTH"),
        "{output:?}"
    );
}

/// The unit has no network, and its user reaches the socket by the group of the drop-in alone.
#[test]
fn without_a_network_the_group_of_the_drop_in_is_enough_and_needed() {
    let redis = Redis::start();
    redis.cli(&["HSET", KEY, "current_owner", "kube"]);
    let (socket, group) = (redis.socket(), 60_379);
    chown(&socket, None, Some(group)).unwrap();
    fs::set_permissions(&socket, Permissions::from_mode(0o760)).unwrap();
    fs::set_permissions(redis.dir(), Permissions::from_mode(0o755)).unwrap();
    let script = redis.dir().join("hook");
    fs::copy(HOOK, &script).unwrap();
    let run = |groups: &str| {
        let mut command = Command::new("unshare");
        command.args([
            "--net", "--", "setpriv", "--reuid", "65534", "--regid", "65534",
        ]);
        command
            .args([groups, "--", "/bin/sh"])
            .arg(&script)
            .args(["--socket", &socket]);
        told(command, "promoted", "v2", "{}")
    };
    assert!(!run("--clear-groups").status.success());
    let output = run(&format!("--groups={group}"));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(written(&redis), ["v2", ""]);
}

/// After a reboot `STATE_DB` is empty. What the page has to type writes it again.
#[test]
fn by_hand_the_page_writes_what_the_hook_would_have_written() {
    let redis = Redis::start();
    let switch = upgraded(&redis, "");
    redis.cli(&["DEL", KEY]);
    redis.cli(&["HSET", KEY, "current_owner", "kube"]);
    let (_, section) = PAGE.split_once("\n## The way back\n").expect("a section");
    let (_, block) = section.split_once("```sh\n").expect("a block");
    let (block, _) = block.split_once("```").expect("its end");
    let status = switch.tagkeeper(&["status", "--format", "json"]).stdout;
    fs::write(switch.host.path("status.json"), status).unwrap();
    let script = block
        .replace(
            "tagkeeper status --format json",
            &format!("cat {}", switch.host.path("status.json").display()),
        )
        .replace("/var/run/redis/redis.sock", &redis.socket());
    assert!(
        script.contains("status.json") && script.contains(&redis.socket()),
        "{block}"
    );
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(written(&redis), ["v2", "v1"]);
}
