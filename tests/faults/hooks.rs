//! Hooks: notified of what was saved until they succeed, and unable to stop anything.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use crate::host::{Host, finish};
use crate::scene::{POLICY, RIPE, assert_promoted, id, promoted, soaking};
use crate::schema::assert_published;
use in_memory_engine::{Fault, Route};

/// A policy whose three hooks are one script, with these lines in it; below `$1` is this host's
/// directory.
fn hooked(host: &Host, script: &str) -> String {
    let file = host.path("hook.sh");
    fs::write(&file, script).expect("writable");
    let (file, dir) = (file.display(), host.path("").display().to_string());
    let hook = format!("[\"/bin/sh\", \"{file}\", \"{dir}\"]");
    format!(
        "{POLICY}\n[hooks]\npromoted = {hook}\nfailed = {hook}\nrolled_back = {hook}\ntimeout = \"1s\"\nspread = \"0s\"\n"
    )
}

/// Writes down what it is told.
const SCRIBE: &str = "cat >>$1/told; echo \"$TAGKEEPER_EVENT $TAGKEEPER_WORKLOAD $TAGKEEPER_VERSION\" >>$1/env; echo $TAGKEEPER_EVENT_ID >>$1/ids\n";

/// The ids in the environments of the hooks, each time they ran.
fn ids(host: &Host) -> Vec<String> {
    let text = fs::read_to_string(host.path("ids")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// What the hooks were told since the last call, without what differs from run to run.
fn told(host: &Host) -> Vec<Value> {
    let text = fs::read_to_string(host.path("told")).unwrap_or_default();
    let _ = fs::remove_file(host.path("told"));
    let documents = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    documents
        .map(|document| {
            let mut document = document.expect("whole documents");
            assert_published("hook", &document);
            let fields = document.as_object_mut().expect("an object");
            let at = fields.remove("at").expect("a time");
            assert!(at.as_str().is_some_and(|at| at.ends_with('Z')), "{at}");
            fields.remove("message").expect("a sentence");
            let event_id = fields.remove("id").expect("an id");
            assert!(ids(host).iter().any(|id| event_id == *id), "{event_id}");
            let clock = fields.remove("clock_secs").expect("a clock");
            assert!(clock.as_u64().is_some_and(|secs| secs > RIPE), "{clock}");
            document
        })
        .collect()
}

fn deploys_v3(host: &Host) {
    let docker = &mut host.engine().docker;
    docker.image("v3", &["reg.example/app:v3"]);
    docker.exit("k8s_app_1", 0);
    docker.run("k8s_app_2", "reg.example/app:v3");
}

#[test]
fn a_promotion_is_told_once_if_the_hook_succeeds() {
    let host = soaking(POLICY);
    host.set_policy(&hooked(&host, SCRIBE));
    host.pass_at(RIPE).expect_code(0);
    assert_eq!(
        told(&host),
        [json!({
            "schema": 1, "event": "promoted", "workload": "app", "version": "v2", "image": id("v2"), "previous": "v1",
            "back_to": null,
        })]
    );
    assert_eq!(
        fs::read_to_string(host.path("env")).expect("told"),
        "promoted app v2\n"
    );
    let stamps = host.state_stamps();
    for secs in [RIPE + 60, RIPE + 200, RIPE + 90_000] {
        host.pass_at(secs).expect_code(0);
        assert_eq!(told(&host), [Value::Null; 0], "once");
        assert_eq!(host.state_stamps(), stamps, "nothing waits");
    }
}

#[test]
fn a_failure_and_a_rollback_are_told() {
    let host = promoted();
    host.set_policy(&hooked(&host, SCRIBE));
    deploys_v3(&host);
    host.pass_at(1_000).expect_code(0);
    host.pass_at(1_030).expect_code(0);
    host.engine().docker.exit("k8s_app_2", 7);
    host.pass_at(1_060).expect_code(0);
    let failed = told(&host);
    assert_eq!(failed.len(), 1, "{failed:#?}");
    let [event, version, previous] = ["event", "version", "previous"].map(|key| &failed[0][key]);
    assert_eq!(
        (event, version, previous),
        (&json!("failed"), &json!("v3"), &Value::Null)
    );
    host.run_at(1_100, &["rollback", "app", "--latest", "--yes"])
        .expect_code(0);
    let rolled_back = told(&host);
    assert_eq!(rolled_back.len(), 1, "{rolled_back:#?}");
    let [event, version, back_to] = ["event", "version", "back_to"].map(|key| &rolled_back[0][key]);
    assert_eq!(
        (event, version, back_to),
        (&json!("rolled-back"), &json!("v2"), &json!("v1"))
    );
}

#[test]
fn what_is_told_is_saved_and_the_lock_is_free() {
    let host = soaking(POLICY);
    let script = "cp $1/state/state.json $1/saved; flock --nonblock $1/state/lock touch $1/free\n";
    host.set_policy(&hooked(&host, script));
    let stderr = host.pass_at(RIPE).expect_code(0).stderr;
    let saved = fs::read_to_string(host.path("saved")).expect("there is a state");
    let state: Value = serde_json::from_str(&saved).expect("JSON");
    assert_eq!(
        state["workloads"]["app"]["memory"]["lineage"][0]["version"],
        "v2"
    );
    assert!(host.path("free").exists(), "{stderr}");
}

#[test]
fn no_hook_stops_or_fails_a_pass() {
    for (script, why) in [
        ("exit 3\n", "'/bin/sh': exit status: 3"),
        (
            "printf 'no\\033[1m\\nway' >&2; exit 3\n",
            "'/bin/sh': exit status: 3: no[1m way",
        ),
        ("kill -STOP $$\n", "'/bin/sh' did not end within 1s"),
        ("exec sleep 60\n", "'/bin/sh' did not end within 1s"),
        ("sleep 60 & wait\n", "'/bin/sh' did not end within 1s"),
        ("kill -9 $$\n", "'/bin/sh': signal: 9 (SIGKILL)"),
    ] {
        let host = soaking(POLICY);
        host.set_policy(&hooked(&host, script));
        let outcome = host.pass_at(RIPE).expect_code(0);
        let warning = format!("warning: app: the hook for 'promoted' failed: {why}\n");
        assert!(outcome.stderr.contains(&warning), "{script}{outcome:#?}");
        assert_promoted(&host);
        let next = host.pass_at(RIPE + 60).expect_code(0);
        assert_eq!(next.stderr, "", "it is not told again");
    }
}

/// Left out by `scripts/test-arch` where the emulator hides why a program does not start.
#[test]
fn a_hook_that_does_not_start_fails_no_pass() {
    let host = soaking(POLICY);
    host.set_policy(&hooked(&host, "").replace("/bin/sh", "/nowhere/at/all"));
    let outcome = host.pass_at(RIPE).expect_code(0);
    assert!(outcome.stderr.contains("failed to run '/nowhere/at/all'"));
    assert_promoted(&host);
}

#[test]
fn what_a_hook_started_ends_with_it_at_the_deadline() {
    let host = soaking(POLICY);
    host.set_policy(&hooked(&host, "sleep 60 & echo $! >$1/pid; wait\n"));
    host.pass_at(RIPE).expect_code(0);
    let pid = fs::read_to_string(host.path("pid")).expect("it ran");
    let status = || fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    // What was killed is gone once the kernel has had its turn. Where nobody has reaped it yet, it
    // is a zombie.
    let is_gone = || {
        let status = status();
        status.is_empty() || status.contains(") Z ")
    };
    for _ in 0..500 {
        if is_gone() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{}", status());
}

#[test]
fn a_pass_that_fails_afterwards_tells_what_it_saved() {
    let host = soaking(POLICY);
    host.set_policy(&hooked(&host, SCRIBE));
    host.engine()
        .fail(Route::RemoveImage, Fault::Status(500, "device busy"));
    host.pass_at(RIPE).expect_code(1);
    assert_eq!(told(&host).len(), 1);

    let host = soaking(POLICY);
    host.set_policy(&hooked(&host, SCRIBE));
    host.engine()
        .fail_nth(Route::ListImages, 3, Fault::Status(500, "gone"));
    host.pass_at(RIPE).expect_code(1);
    assert_eq!(
        told(&host).len(),
        1,
        "the round that recorded it was the last"
    );
}

/// The first time the hook fails, and then it is a scribe.
const LATE_SCRIBE: &str = "test -e $1/failed || { touch $1/failed; exit 1; }\n";

#[test]
fn an_event_is_sent_again_after_growing_waits_under_the_same_id() {
    let host = soaking(POLICY);
    let script = format!("echo $TAGKEEPER_EVENT_ID >>$1/tries; test -e $1/up || exit 1\n{SCRIBE}");
    let metrics = host.path("metrics.prom");
    let policy = hooked(&host, &script);
    host.set_policy(&format!(
        "{policy}[metrics]\ntextfile = \"{}\"\n",
        metrics.display()
    ));
    let assert_waiting = |count: u32| {
        let text = fs::read_to_string(&metrics).expect("it is written");
        let sample = format!("\ntagkeeper_hook_events_waiting {count}");
        assert!(text.contains(&sample), "{text}");
    };
    let tries = || {
        let text = fs::read_to_string(host.path("tries")).unwrap_or_default();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    host.pass_at(RIPE).expect_code(0);
    assert_promoted(&host);
    assert_eq!(tries().len(), 1);
    // The waits are 2 and 4 minutes; passes take some seconds at most.
    for (secs, expected) in [(60, 1), (110, 1), (140, 2), (200, 2), (370, 2), (400, 3)] {
        let stamps = host.state_stamps();
        let pass = host.pass_at(RIPE + secs).expect_code(0);
        assert_eq!(tries().len(), expected, "at {secs} s");
        let is_tried = pass.stderr.contains("the hook for 'promoted' failed");
        assert_eq!(host.state_stamps() != stamps, is_tried, "at {secs} s");
        assert_eq!(pass.requests.len(), 2, "{:#?}", pass.requests);
        assert_waiting(1);
    }
    fs::write(host.path("up"), "").expect("writable");
    host.pass_at(RIPE + 1_000).expect_code(0);
    let told = told(&host);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0]["version"], "v2");
    let tries = tries();
    assert_eq!(tries.len(), 4);
    assert!(tries.iter().all(|id| *id == tries[0]), "{tries:?}");
    let stamps = host.state_stamps();
    host.pass_at(RIPE + 10_000).expect_code(0);
    assert_eq!(ids(&host).len(), 1, "delivered");
    assert_eq!(host.state_stamps(), stamps, "and forgotten");
    assert_waiting(0);
}

#[test]
fn a_pass_that_is_killed_by_its_hook_loses_no_event() {
    let host = soaking(POLICY);
    let script =
        format!("test -e $1/killed || {{ touch $1/killed; kill -9 $PPID; exit 1; }}\n{SCRIBE}");
    host.set_policy(&hooked(&host, &script));
    let socket = host.path("docker.sock");
    let mut pass = host.command_on(&socket, RIPE, &["reconcile"]);
    let killed = pass.output().expect("it starts").status;
    assert!(!killed.success(), "{killed}");
    host.pass_at(RIPE + 180).expect_code(0);
    let told = told(&host);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0]["event"], "promoted");
}

#[test]
fn what_waits_is_sent_while_the_engine_is_away_and_on_another_boot() {
    let host = soaking(POLICY);
    host.set_policy(&hooked(&host, &format!("{LATE_SCRIBE}{SCRIBE}")));
    host.pass_at(RIPE).expect_code(0);
    host.engine()
        .fail(Route::ListImages, Fault::Status(500, "no disk"));
    // A reboot: the uptime starts again, and adds to what was saved.
    host.pass_at(130).expect_code(69);
    assert_eq!(told(&host).len(), 1);
}

#[test]
fn an_event_is_given_up_after_a_day() {
    let host = soaking(POLICY);
    host.set_policy(&hooked(&host, "exit 1\n"));
    host.pass_at(RIPE).expect_code(0);
    let before = host.pass_at(RIPE + 86_300).expect_code(0);
    assert!(before.stderr.contains("the hook for 'promoted' failed"));
    let after = host.pass_at(RIPE + 90_000).expect_code(0);
    assert!(
        after.stderr.contains("warning: app: 'promoted' of 20")
            && after
                .stderr
                .contains("Z was not delivered: its hook has failed for a day\n"),
        "{}",
        after.stderr
    );
    let stamps = host.state_stamps();
    assert_eq!(host.pass_at(RIPE + 100_000).expect_code(0).stderr, "");
    assert_eq!(host.state_stamps(), stamps, "nothing waits");
}

#[test]
fn without_the_hook_nothing_waits_for_it() {
    let host = soaking(POLICY);
    host.set_policy(&hooked(&host, "exit 1\n"));
    host.pass_at(RIPE).expect_code(0);
    host.set_policy(POLICY);
    assert_eq!(host.pass_at(RIPE + 130).expect_code(0).stderr, "");
    let state = fs::read_to_string(host.state_file()).expect("there is a state");
    assert!(!state.contains("undelivered"), "{state}");
}

/// A hook may take a minute, and a person wants to know at once.
#[test]
fn a_rollback_says_what_it_did_before_its_hook_runs() {
    let host = promoted();
    host.set_policy(&hooked(&host, "cp $1/screen $1/screen-of-the-hook"));
    let screen = fs::File::create(host.path("screen")).expect("writable");
    let args = ["rollback", "app", "--yes"];
    let mut command = host.command_on(&host.path("docker.sock"), 1_000, &args);
    finish(command.stdout(screen)).expect_code(0);
    let seen = fs::read_to_string(host.path("screen-of-the-hook")).expect("it ran");
    assert!(seen.contains("v2 is rejected"), "{seen}");
    let whole = fs::read_to_string(host.path("screen")).expect("written");
    assert_eq!(seen, whole);
}

#[test]
fn a_person_waits_for_no_spread() {
    let host = promoted();
    // A wait of up to a minute would be taken for a hang.
    host.set_policy(&hooked(&host, SCRIBE).replace("\"0s\"", "\"1m\""));
    host.run_at(1_100, &["rollback", "app", "--latest", "--yes"])
        .expect_code(0);
    assert_eq!(told(&host).len(), 1);
}

/// An endpoint that answers a request with each of these statuses. What it was sent: the heads and
/// the bodies.
fn endpoint(statuses: &[&'static str]) -> (u16, JoinHandle<Vec<(String, String)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let statuses = statuses.to_vec();
    let served = thread::spawn(move || {
        let answered = statuses.iter().map(|status| answer(&listener, status));
        answered.collect()
    });
    (port, served)
}

fn answer(listener: &TcpListener, status: &str) -> (String, String) {
    let (stream, _) = listener.accept().expect("a client");
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let read = reader.read_line(&mut head).expect("text");
        assert_ne!(read, 0, "half a request: {head}");
    }
    let head = head.to_ascii_lowercase();
    let length = head.split_once("content-length: ").expect("a length").1;
    let length = length.lines().next().and_then(|n| n.parse().ok());
    let mut body = vec![0; length.expect("a number")];
    reader.read_exact(&mut body).expect("the whole of it");
    // Where an answer redirects to, nobody listens.
    let answer = format!(
        "HTTP/1.1 {status}\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\nno"
    );
    reader
        .get_mut()
        .write_all(answer.as_bytes())
        .expect("it reads");
    (head, String::from_utf8(body).expect("UTF-8"))
}

/// The policy whose hook for promotions is the shipped webhook, which posts to this port.
fn webhooked(host: &Host, port: u16) -> String {
    let config = host.path("webhook.conf");
    fs::write(&config, documented_config(port)).expect("writable");
    format!(
        "{POLICY}\n[hooks]\npromoted = [\"{WEBHOOK}\", \"{}\"]\nspread = \"0s\"\n",
        config.display()
    )
}

#[test]
fn a_receiver_that_refuses_at_first_gets_the_same_event_until_it_takes_it() {
    let refused = "503 Service Unavailable";
    let (port, served) = endpoint(&[refused, refused, "204 No Content"]);
    let host = soaking(POLICY);
    host.set_policy(&webhooked(&host, port));
    for secs in [0, 60, 130, 400, 1_000, 2_000] {
        host.pass_at(RIPE + secs).expect_code(0);
    }
    let requests = served.join().expect("it was asked three times");
    let bodies: Vec<&str> = requests.iter().map(|(_, body)| body.as_str()).collect();
    assert_eq!(bodies, [bodies[0]; 3], "a repeat is one to the byte");
    let event: Value = serde_json::from_str(bodies[0]).expect("JSON");
    let key = format!("idempotency-key: {}", event["id"].as_str().expect("an id"));
    for (head, _) in &requests {
        assert!(head.lines().any(|line| line == key), "{key}: {head}");
    }
}

const WEBHOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/hooks/webhook");
const DOCUMENT: &str = include_str!("../../docs/hooks.md");

/// The configuration in docs/hooks.md, for an endpoint at this port.
fn documented_config(port: u16) -> String {
    let block = DOCUMENT.split_once("```text\n").expect("it is there").1;
    let text = block.split_once("```").expect("it ends").0;
    let local = text.replace("https://example.net", &format!("http://127.0.0.1:{port}"));
    assert_ne!(local, text);
    local
}

#[test]
fn the_shipped_examples_of_a_webhook_are_one_and_take_a_file() {
    let policy = include_str!("../../config/policy.toml");
    let example = "[\"/usr/lib/tagkeeper/hooks/webhook\", \"/etc/tagkeeper/webhook.conf\"]";
    for text in [policy, DOCUMENT] {
        let lines: Vec<_> = text
            .lines()
            .filter(|l| l.contains("hooks/webhook\""))
            .collect();
        assert!(
            lines.len() > 1 && lines.iter().all(|l| l.ends_with(example)),
            "{lines:?}"
        );
    }
    assert!(DOCUMENT.contains("# /etc/tagkeeper/webhook.conf,"));
}

#[test]
fn the_webhook_reads_no_curlrc_and_says_what_it_wants() {
    let host = Host::new("");
    fs::write(
        host.path(".curlrc"),
        "proxy = \"http://127.0.0.1:1\"\nlocation\n",
    )
    .expect("writable");
    let run = |argument: &str| {
        let mut child = Command::new("/bin/sh")
            .args([WEBHOOK, argument])
            .env("HOME", host.path(""))
            .env_remove("CURL_HOME")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sh is installed");
        let _ = child.stdin.take().expect("piped").write_all(b"{}");
        let output = child.wait_with_output().expect("it ends");
        (
            output.status.success(),
            String::from_utf8(output.stderr).expect("UTF-8"),
        )
    };
    let (port, served) = endpoint(&["200 OK"]);
    let config = host.path("webhook.conf");
    fs::write(&config, documented_config(port)).expect("writable");
    let (is_done, said) = run(&config.display().to_string());
    assert!(is_done, "{said}");
    let requests = served.join().expect("it was asked");
    assert_eq!(requests[0].1, "{}");
    assert!(!requests[0].0.contains("idempotency-key"), "there is none");
    let (is_done, said) = run("https://example.net/hook");
    assert!(
        !is_done && said.contains("must be a curl configuration"),
        "{said}"
    );
}

#[test]
fn the_shipped_webhook_posts_the_event() {
    for (status, complaint) in [
        ("204 No Content", ""),
        ("301 Moved", "the endpoint answered 301"),
        ("302 Found", "the endpoint answered 302"),
        ("307 Elsewhere", "the endpoint answered 307"),
        ("404 Not Found", "the endpoint answered 404"),
        ("500 Out of order", "the endpoint answered 500"),
    ] {
        let (port, served) = endpoint(&[status]);
        let host = soaking(POLICY);
        host.set_policy(&webhooked(&host, port));
        let outcome = host.pass_at(RIPE).expect_code(0);
        let (head, body) = served.join().expect("it was asked").remove(0);
        assert!(head.starts_with("post /hook http/1.1\r\n"), "{head}");
        for line in [
            "content-type: application/json",
            "authorization: bearer 0123456789",
        ] {
            assert!(head.lines().any(|l| l == line), "{line}: {head}");
        }
        let event: Value = serde_json::from_str(&body).expect("JSON");
        assert_published("hook", &event);
        assert_eq!(event["version"], "v2");
        assert_eq!(outcome.stderr.contains("warning: "), !complaint.is_empty());
        assert!(outcome.stderr.contains(complaint), "{}", outcome.stderr);
    }
}

#[test]
fn the_drop_in_gives_hooks_a_network_and_nothing_else() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/hooks/dropins/network.conf");
    let text = fs::read_to_string(path).expect("it ships");
    let settings: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let wanted = [
        "[Service]",
        "PrivateNetwork=no",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK",
        "IPAddressAllow=any",
    ];
    assert_eq!(settings, wanted);
    assert!(text.contains("ln -s /usr/lib/tagkeeper/dropins/network.conf"));
}
