//! The lock, the state file, the policy and the command line: what they may be, and what is refused
//! untouched.

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::host::{Host, finish, program_at};
use crate::scene::{POLICY, RIPE, assert_promoted, id, promoted, soaking, upgrade};
use in_memory_engine::{Fault, Route};

const COMMANDS: [&[&str]; 5] = [
    &["reconcile"],
    &["plan"],
    &["status"],
    &["check"],
    &["rollback", "app", "--yes"],
];

/// Holds the lock as another pass would, for as long as the file lives.
fn hold_lock(host: &Host) -> File {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(host.path("state/lock"));
    let file = file.expect("the state directory is writable");
    flock(&file, FlockOperation::LockExclusive).expect("nobody else holds it");
    file
}

#[test]
fn a_pass_gives_way_to_another() {
    let host = soaking(POLICY);
    let lock = hold_lock(&host);
    let stamps = host.state_stamps();
    let outcome = host.pass_at(RIPE).expect_code(75);
    assert_eq!(outcome.mutations(), [""; 0]);
    assert_eq!(host.state_stamps(), stamps);
    // Not by its end alone: another test may be starting a program, which has all files open for a
    // moment.
    flock(&lock, FlockOperation::Unlock).expect("it is held");
    host.pass_at(RIPE + 5).expect_code(0);
    assert_promoted(&host);
}

#[test]
fn plan_and_status_need_no_lock() {
    let host = soaking(POLICY);
    let _lock = hold_lock(&host);
    for command in ["plan", "status"] {
        let shown = host
            .run_at(RIPE, &[command, "--format", "json"])
            .expect_code(0)
            .json();
        assert_eq!(
            shown["workloads"]["app"]["pending"]["version"], "v2",
            "{command}: {shown:#}"
        );
    }
}

#[test]
fn a_rollback_waits_for_the_lock() {
    let host = promoted();
    let lock = hold_lock(&host);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Long enough for a program that does not wait to end with 75.
            thread::sleep(Duration::from_secs(1));
            drop(lock);
        });
        let done = host
            .run_at(RIPE + 5, &["rollback", "app", "--yes"])
            .expect_code(0);
        assert!(done.stderr.contains("waiting for the lock"), "{done:#?}");
    });
    assert_eq!(host.id_of("app:latest"), id("v1"));
}

#[test]
fn a_newer_state_is_refused_untouched() {
    let host = soaking(POLICY);
    let text = fs::read_to_string(host.state_file()).expect("the first pass wrote it");
    let newer = text.replacen("\"version\": 2", "\"version\": 999", 1);
    assert_ne!(newer, text, "its format number comes first: {text}");
    // What a newer format may hold besides is none of this program's business.
    let newer = newer.replacen('{', "{\"to_come\":true,", 1);
    fs::write(host.state_file(), &newer).expect("writable");
    let stamps = host.state_stamps();
    for command in [
        ["reconcile"].as_slice(),
        &["rollback", "app", "--yes"],
        &["plan"],
        &["status"],
    ] {
        let outcome = host.run_at(RIPE, command).expect_code(78);
        assert_eq!(outcome.mutations(), [""; 0]);
        assert!(
            outcome.stderr.contains("state.json") && outcome.stderr.contains("999"),
            "{outcome:#?}"
        );
    }
    assert_eq!(host.state_stamps(), stamps);
}

/// The files that were set aside, with what is in them.
fn set_aside(host: &Host) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(host.state_dir())
        .expect("readable")
        .map(|e| e.expect("readable").path());
    let corrupt = |p: &Path| {
        p.file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("state.json.corrupt-"))
    };
    entries
        .filter(|p| corrupt(p))
        .map(|p| fs::read(p).expect("readable"))
        .collect()
}

#[test]
fn a_corrupt_state_is_set_aside_and_deletes_nothing() {
    let good = soaking(POLICY)
        .state_bytes()
        .expect("the first pass wrote it");
    let torn = &good[..good.len() / 2];
    for corrupt in [
        b"".as_slice(),
        b"\0\0\0\0",
        b"{",
        b"[]",
        b"{\"version\":1}",
        b"{\"version\":\"one\"}",
        torn,
    ] {
        let host = soaking(POLICY);
        let names = host.names();
        fs::write(host.state_file(), corrupt).expect("writable");
        let outcome = host.pass_at(RIPE).expect_code(1);
        assert_eq!(
            outcome.mutations(),
            [""; 0],
            "a fresh start promotes and removes nothing"
        );
        assert!(outcome.stderr.contains("state.json"), "{outcome:#?}");
        assert_eq!(set_aside(&host), [corrupt]);
        assert_eq!(host.names(), names);
        host.pass_at(RIPE + 5).expect_code(0);
        host.pass_at(2 * RIPE + 5).expect_code(0);
        assert_promoted(&host);
        assert_eq!(set_aside(&host), [corrupt], "never deleted");
    }
}

/// After a power cut both may come at once: the state was damaged, and the engine is not up yet. To
/// set the file aside was a change, and the next pass would not speak of it.
#[test]
fn a_state_that_is_set_aside_while_the_engine_is_away_is_a_failed_pass() {
    let host = soaking(POLICY);
    fs::write(host.state_file(), "{").expect("writable");
    host.engine()
        .fail(Route::ListImages, Fault::Status(500, "starting"));
    let runtime = host.path("run");
    fs::create_dir(&runtime).expect("writable");
    let mut pass = host.command_on(&host.path("docker.sock"), RIPE, &["reconcile"]);
    let outcome = finish(pass.env("RUNTIME_DIRECTORY", &runtime)).expect_code(1);
    assert_eq!(set_aside(&host), [b"{"]);
    for said in ["this is a fresh start", "starting"] {
        assert!(outcome.stderr.contains(said), "{outcome:#?}");
    }
    assert!(
        !outcome.stderr.contains("nothing was changed"),
        "{outcome:#?}"
    );
    let noted = fs::read_to_string(runtime.join("last-pass.json")).expect("it is noted");
    assert!(noted.contains("this is a fresh start"), "{noted}");
}

#[test]
fn plan_and_status_move_a_corrupt_state_nowhere() {
    let host = soaking(POLICY);
    fs::write(host.state_file(), "{").expect("writable");
    let stamps = host.state_stamps();
    for command in ["plan", "status"] {
        let outcome = host.run_at(RIPE, &[command]);
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(said.contains("state.json"), "they say so: {outcome:#?}");
        assert_eq!(outcome.mutations(), [""; 0]);
    }
    assert_eq!(host.state_stamps(), stamps);
}

/// The pass that sets the state aside has them too.
#[test]
fn a_corrupt_state_hides_no_rejection() {
    let host = promoted();
    host.run_at(RIPE + 10, &["rollback", "app", "--yes"])
        .expect_code(0);
    fs::write(host.state_file(), "{").expect("writable");
    let rejects = || {
        let status = host.run_at(RIPE + 20, &["status", "--format", "json"]);
        status.json()["workloads"]["app"]["rejected"].clone()
    };
    let before = rejects();
    assert_eq!(before[0]["version"], "v2", "{before:#?}");
    host.pass_at(RIPE + 20).expect_code(1);
    assert_eq!(rejects()[0]["version"], "v2");
}

#[test]
fn a_broken_policy_is_refused_before_the_engine_is_asked() {
    let host = soaking(POLICY);
    host.set_policy(&format!(
        "{POLICY}soack = \"1m\"\n\n[workload.web]\nrepository = \"web:v1\"\n"
    ));
    let stamps = host.state_stamps();
    for command in COMMANDS {
        let outcome = host.run_at(RIPE, command).expect_code(78);
        assert!(
            outcome.requests.is_empty(),
            "{command:?}: {:#?}",
            outcome.requests
        );
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        for word in ["policy.toml", "soack", "has a tag"] {
            assert!(
                said.contains(word),
                "{command:?} says '{word}', all errors at once: {said}"
            );
        }
    }
    assert_eq!(host.state_stamps(), stamps);
}

#[test]
fn a_missing_policy_is_no_default() {
    let host = soaking(POLICY);
    fs::remove_file(host.path("policy.toml")).expect("it was there");
    let stamps = host.state_stamps();
    for command in COMMANDS {
        let outcome = host.run_at(RIPE, command).expect_code(78);
        assert!(
            outcome.requests.is_empty(),
            "{command:?}: {:#?}",
            outcome.requests
        );
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(said.contains("policy.toml"), "{command:?}: {said}");
    }
    assert_eq!(host.state_stamps(), stamps);
}

#[test]
fn a_policy_without_a_workload_is_valid_and_touches_nothing() {
    let host = Host::new("");
    upgrade(&mut host.engine().docker);
    let names = host.names();
    for secs in [0, RIPE, 100_000] {
        let outcome = host.pass_at(secs).expect_code(0);
        assert_eq!(outcome.mutations(), [""; 0]);
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(said.contains("workload"), "it says so: {outcome:#?}");
    }
    assert_eq!(host.names(), names);
}

#[test]
fn check_accepts_a_valid_policy_and_changes_nothing() {
    let host = Host::new(POLICY);
    host.engine().docker.image("v1", &["app:latest"]);
    let stamps = host.state_stamps();
    let outcome = host.run_at(0, &["check"]).expect_code(0);
    assert_eq!((outcome.requests.len(), outcome.mutations().len()), (2, 0));
    assert_eq!(outcome.stderr, "");
    assert_eq!(host.state_stamps(), stamps);
}

/// What a fleet is sent may hold and reject alone: nobody is told to write a workload into it.
#[test]
fn check_asks_for_no_workload_in_a_drop_in_for_many_hosts() {
    let host = Host::new("[hold]\nworkloads = [\"app\"]\n[reject]\napp = [\"v3\"]\n");
    let outcome = host.run_at(0, &["check"]).expect_code(0);
    assert_eq!(outcome.stderr, "");
    assert_eq!(
        outcome.stdout,
        "the policy is valid; it has no workload of its own\n"
    );
}

/// What is odd is said with its place, on standard error or as JSON, and is no failure.
#[test]
fn check_warns_of_what_only_the_host_knows() {
    let host = Host::new("");
    // Places that the sandbox of the service shows; what it hides is another warning.
    let set_ready = |program: &str| {
        host.set_policy(&format!("{POLICY}ready = [{program:?}]\n"));
    };
    set_ready("/usr/lib/nonesuch/ready");
    let warned = |said: &[&str]| {
        let text = host.run_at(0, &["check"]).expect_code(0);
        let json = host
            .run_at(0, &["check", "--format", "json"])
            .expect_code(0);
        let json = json.json();
        assert_eq!(json["ok"], true);
        assert_eq!(
            json["warnings"].as_array().map(Vec::len),
            Some(said.len()),
            "{json:#}"
        );
        assert!(text.stdout.starts_with("the policy is valid"), "{text:#?}");
        for (said, warning) in said
            .iter()
            .zip(json["warnings"].as_array().into_iter().flatten())
        {
            let what = warning["message"].as_str().unwrap_or_default();
            assert!(what.contains(said), "{said}: {json:#}");
            assert!(text.stderr.contains(what), "{said}: {text:#?}");
            let line = warning["line"]
                .as_u64()
                .map_or(String::new(), |l| format!("policy.toml:{l}:"));
            assert!(text.stderr.contains(&line), "{text:#?}");
        }
    };
    let (no_program, no_image) = ("does not exist", "the engine has no image of 'app'");
    warned(&[no_program, no_image]);
    host.engine().docker.image("v1", &["app:latest"]);
    warned(&[no_program]);
    set_ready("/etc/passwd");
    warned(&["is not executable"]);
    set_ready("/bin/true");
    warned(&[]);
    set_ready("/etc");
    warned(&["is not a file"]);

    // An engine that is not there leaves a question open, and the policy as valid as it was.
    let gone = host.path("no.sock");
    let outcome = host.run_on(&gone, 0, &["check"]).expect_code(0);
    assert!(
        outcome
            .stderr
            .contains("engine not reachable, repositories not checked"),
        "{outcome:#?}"
    );
    assert!(outcome.stderr.contains("no.sock"), "{outcome:#?}");
    let json = host
        .run_on(&gone, 0, &["check", "--format", "json"])
        .expect_code(0)
        .json();
    assert_eq!(
        json["warnings"][1]["file"],
        serde_json::Value::Null,
        "{json:#}"
    );
}

/// For programs as for people: the file, what is wrong, what to do.
#[test]
fn check_says_as_json_which_file_it_cannot_read() {
    let host = Host::new("");
    let file = host.path("policy.toml");
    fs::remove_file(&file).expect("the file was there");
    let refused = host.run_at(0, &["check", "--format", "json"]);
    let json = refused.expect_code(78).json();
    let error = &json["errors"][0];
    assert_eq!(error["file"], file.to_str().expect("plain"), "{json:#}");
    assert_eq!(error["help"], "create it, or name another file", "{json:#}");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("failed to read '"), "{json:#}");
    assert!(!message.contains('\n'), "{json:#}");
}

#[test]
fn the_policy_names_the_socket() {
    let host = Host::new("");
    let socket = host.path("docker.sock");
    host.set_policy(&POLICY.replace(
        "timeout",
        &format!("socket = {:?}\ntimeout", socket.display().to_string()),
    ));
    let (policy, state) = (host.path("policy.toml"), host.state_dir());
    let mut command = program_at(0);
    command
        .arg("reconcile")
        .arg("--policy")
        .arg(policy)
        .arg("--state-dir")
        .arg(state);
    finish(&mut command).expect_code(0);
    assert!(!host.engine().take_log().is_empty(), "the fake was asked");
}

#[test]
fn wrong_usage_is_2() {
    let wrong = [
        [].as_slice(),
        &["frobnicate"],
        &["reconcile", "--force"],
        &["rollback"],
        &["accept", "app"],
    ];
    for args in wrong {
        let outcome = finish(program_at(0).args(args)).expect_code(2);
        assert!(
            outcome.stdout.is_empty() && !outcome.stderr.is_empty(),
            "{outcome:#?}"
        );
    }
    let host = Host::new(POLICY);
    let outcome = host.run_at(0, &["plan", "--format", "yaml"]).expect_code(2);
    assert!(outcome.requests.is_empty(), "{:#?}", outcome.requests);
}

#[test]
fn help_and_version_are_no_error() {
    let help = finish(program_at(0).arg("--help")).expect_code(0).stdout;
    for command in [
        "reconcile",
        "plan",
        "status",
        "check",
        "init",
        "rollback",
        "accept",
        "wait",
    ] {
        assert!(help.contains(command), "{help}");
    }
    let version = finish(program_at(0).arg("--version")).expect_code(0).stdout;
    assert_eq!(
        version.trim(),
        format!("tagkeeper {}", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_state_directory_may_be_named_from_where_one_stands_and_is_made() {
    let host = Host::new(POLICY);
    upgrade(&mut host.engine().docker);
    let mut command = program_at(0);
    command
        .current_dir(host.path("."))
        .args(["--policy=policy.toml", "--socket=docker.sock"])
        .args(["--state-dir=fresh", "reconcile"]);
    finish(&mut command).expect_code(0);
    assert!(host.path("fresh/state.json").is_file());
}
