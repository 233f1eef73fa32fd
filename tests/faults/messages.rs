//! Every failure that an operator meets says what failed, on what, why, and what to do next: the
//! important ones, by the real program.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

use crate::executable;
use crate::host::{Host, Outcome, finish, with_bare_environment};
use crate::scene::{POLICY, impatient, promoted, upgrade};
use in_memory_engine::{Fault, Route};

/// A failure: how it comes about, what is run, the exit code, and what must be said of it.
type Case<'a> = (&'a str, fn(&Host), &'a [&'a str], i32, &'a [&'a str]);

const NOTHING: fn(&Host) = |_| {};

#[track_caller]
fn assert_said(story: &str, outcome: &Outcome, code: i32, said: &[&str]) {
    assert_eq!(outcome.code, code, "{story}: {outcome:#?}");
    for said in said {
        assert!(
            outcome.stderr.contains(said),
            "{story}: '{said}' is not in\n{}",
            outcome.stderr
        );
    }
    assert!(
        outcome.stderr.starts_with("error: "),
        "{story}: {}",
        outcome.stderr
    );
}

fn assert_all(cases: &[Case]) {
    for (story, prepare, args, code, said) in cases {
        let host = Host::new(POLICY);
        upgrade(&mut host.engine().docker);
        prepare(&host);
        let outcome = host.run_at(0, args);
        assert_said(story, &outcome, *code, said);
        assert_eq!(outcome.mutations(), [""; 0], "{story}");
    }
}

const SLOW: fn(&Host) = |host| {
    host.set_policy(&impatient());
    host.engine().fail(Route::ListImages, Fault::StalledHeaders);
};
const OF_THE_FUTURE: fn(&Host) = |host| {
    let refusal = "client version 1.24 is too old. Minimum supported API version is 1.99";
    let mut engine = host.engine();
    engine.fail(Route::ListImages, Fault::Status(400, refusal));
    let version = Fault::Body(r#"{"Version": "99.0.1", "ApiVersion": "1.99"}"#);
    engine.fail(Route::Version, version);
};
const A_PROXY: fn(&Host) = |host| {
    let page = Fault::Body("<html>");
    host.engine().fail(Route::ListContainers, page);
};
const MUTE: fn(&Host) = |host| {
    A_PROXY(host);
    let error = Fault::Status(404, "page not found");
    host.engine().fail(Route::Version, error);
};
const SICK: fn(&Host) = |host| {
    let error = Fault::Status(500, "input/output error");
    host.engine().fail(Route::ListImages, error);
};

const ENGINE_CASES: &[Case] = &[
    (
        "slow",
        SLOW,
        &["reconcile"],
        69,
        &[
            "nothing was changed",
            "failed to list the images",
            "docker.sock' did not answer within 1s",
            "[engine] timeout",
        ],
    ),
    (
        "too new",
        OF_THE_FUTURE,
        &["plan"],
        69,
        &[
            "API from 1.41 to 1.51",
            "this engine is version 99.0.1 with API 1.99",
            "failed to list the images at '",
            "too old",
        ],
    ),
    (
        "not understood",
        A_PROXY,
        &["status"],
        69,
        &[
            "error: failed to list the containers at '",
            "its answer cannot be read",
        ],
    ),
    (
        "not understood, and no version",
        MUTE,
        &["status"],
        69,
        &[
            "API from 1.41 to 1.51, and this engine does not tell its version",
            "failed to list the containers at '",
            "its answer cannot be read",
        ],
    ),
    (
        "sick",
        SICK,
        &["reconcile"],
        69,
        &[
            "nothing was changed",
            "failed to list the images at '",
            "answered 500: input/output error",
        ],
    ),
];

#[test]
fn of_the_engine() {
    assert_all(ENGINE_CASES);
}

#[test]
fn of_the_socket() {
    let host = Host::new(POLICY);
    let socket = host.path("other.sock");
    let told = |said: &[&str]| {
        let outcome = host.run_on(&socket, 0, &["reconcile"]);
        let on_what = format!("failed to list the images at '{}'", socket.display());
        assert_said(
            "socket",
            &outcome,
            69,
            &[&["nothing was changed", on_what.as_str()], said].concat(),
        );
    };
    told(&["there is no socket '", "other.sock'", "--socket"]);
    fs::write(&socket, "").expect("writable");
    told(&["other.sock' is not a socket", "--socket"]);
    fs::remove_file(&socket).expect("ours");
    drop(UnixListener::bind(&socket).expect("a new name"));
    told(&["nothing listens on '", "is the engine running?"]);
}

const NEWER: fn(&Host) =
    |host| fs::write(host.state_file(), r#"{"version": 99}"#).expect("writable");
const NEWER_REJECTIONS: fn(&Host) = |host| {
    let file = host.path("state/rejected.json");
    fs::write(file, r#"{"version": 99}"#).expect("writable");
};
const BROKEN: fn(&Host) = |host| fs::write(host.state_file(), "{").expect("writable");
const IDLE: fn(&Host) = |host| host.engine().docker.exit("k8s_app_1", 0);
const NO_DIRECTORY: fn(&Host) = |host| {
    fs::remove_dir(host.state_dir()).expect("empty");
    fs::write(host.state_dir(), "").expect("writable");
};

const STATE_CASES: &[Case] = &[
    (
        "newer",
        NEWER,
        &["reconcile"],
        78,
        &[
            "install the newer tagkeeper",
            "state.json'",
            "format 99",
            "this one knows 2",
        ],
    ),
    (
        "newer rejections",
        NEWER_REJECTIONS,
        &["reconcile"],
        78,
        &[
            "install the newer tagkeeper",
            "rejected.json'",
            "`tagkeeper rollback` again what must not be promoted",
        ],
    ),
    (
        "broken",
        BROKEN,
        &["rollback", "app", "--yes"],
        1,
        &[
            "run `tagkeeper reconcile`",
            "state.json'",
            "the state is corrupt",
        ],
    ),
    (
        "no directory",
        NO_DIRECTORY,
        &["reconcile"],
        1,
        &[
            "state' cannot be used as the state directory",
            "failed to",
            "Not a directory",
        ],
    ),
    (
        "no directory to read",
        NO_DIRECTORY,
        &["plan"],
        1,
        &["is --state-dir right?", "Not a directory", "state"],
    ),
    (
        "nothing proven",
        IDLE,
        &["rollback", "app", "--yes"],
        1,
        &[
            "nothing is proven for 'app' yet",
            "nothing was changed",
            "`tagkeeper status app`",
        ],
    ),
    (
        "not rejected",
        NOTHING,
        &["accept", "app", "v9"],
        1,
        &[
            "no rollback has rejected version 'v9' of 'app'",
            "no rollback has rejected anything",
        ],
    ),
    (
        "no such workload",
        NOTHING,
        &["rollback", "apq", "--yes"],
        2,
        &["there is no workload 'apq': did you mean 'app'?"],
    ),
    (
        "nothing near",
        NOTHING,
        &["rollback", "telemetry", "--yes"],
        2,
        &["there is no workload 'telemetry'", "the policy has app"],
    ),
];

/// Policy and state both know the workload; it is one all the same.
#[test]
fn of_a_workload_that_is_not_there() {
    let stderr = promoted()
        .run_at(700, &["accept", "telemetry", "v1"])
        .expect_code(2)
        .stderr;
    assert!(stderr.ends_with(": the policy has app\n"), "{stderr}");
}

/// What the policy rejects is lifted in the policy.
#[test]
fn of_what_the_policy_rejects() {
    let host = Host::new(&format!("{POLICY}[reject]\napp = [\"v9\"]\n"));
    let done = host.run_at(0, &["accept", "app", "v9"]).expect_code(1);
    let said = "[reject] in the policy names it: take it out there";
    assert!(done.stderr.contains(said), "{}", done.stderr);
}

#[test]
fn of_the_state() {
    assert_all(STATE_CASES);
    let host = Host::new(POLICY);
    let lock = File::create(host.path("state/lock")).expect("writable");
    flock(&lock, FlockOperation::LockExclusive).expect("nobody else holds it");
    let said = [
        "another pass holds the lock of '",
        "nothing was done, try again when it has ended",
    ];
    assert_said("lock", &host.run_at(0, &["reconcile"]), 75, &said);
}

/// The rejection is saved first, then the state, and only then is anything done.
#[test]
fn of_a_state_that_cannot_be_saved() {
    const NOTHING_CHANGED: &str = "error: nothing was changed: failed to write '";
    let spoil = |host: &Host, file: &str| {
        let spare = host.path(&format!("state/{file}.spare"));
        fs::remove_file(&spare).expect("ours");
        fs::create_dir(&spare).expect("writable");
    };
    let rollback = &["rollback", "app", "--yes"];
    let host = promoted();
    spoil(&host, "rejected.json");
    let (state, names) = (host.state_bytes(), host.names());
    let outcome = host.run_at(1_000, rollback);
    let said = [NOTHING_CHANGED, "rejected.json.spare'"];
    assert_said("rejections", &outcome, 1, &said);
    assert_eq!((host.state_bytes(), host.names()), (state, names));

    let host = promoted();
    spoil(&host, "state.json");
    let outcome = host.run_at(1_000, rollback);
    let said = ["error: failed to write '", "state.json.spare'"];
    assert_said("state", &outcome, 1, &said);
    assert!(host.path("state/rejected.json").exists(), "it stays");

    let host = promoted();
    host.run_at(1_000, rollback).expect_code(0);
    spoil(&host, "state.json");
    spoil(&host, "rejected.json");
    let outcome = host.run_at(1_100, &["accept", "app", "v2"]);
    assert_said("accept", &outcome, 1, &[NOTHING_CHANGED]);
}

const TYPO: fn(&Host) = |host| host.set_policy(&format!("{POLICY}sok = \"1m\"\n"));
const ABSENT: fn(&Host) = |host| fs::remove_file(host.path("policy.toml")).expect("ours");
const DIRECTORY: fn(&Host) = |host| {
    fs::remove_file(host.path("policy.toml")).expect("ours");
    fs::create_dir(host.path("policy.toml")).expect("writable");
};

const POLICY_CASES: &[Case] = &[
    (
        "typo",
        TYPO,
        &["reconcile"],
        78,
        &[
            "unknown key 'sok' in [workload.app]",
            "policy.toml:8:1",
            "8 | sok = ",
            "help: did you mean 'soak'?",
            "nothing was done",
        ],
    ),
    (
        "absent",
        ABSENT,
        &["plan"],
        78,
        &[
            "failed to read '",
            "policy.toml': No such file",
            "help: create it, or name another",
        ],
    ),
    (
        "a directory",
        DIRECTORY,
        &["check"],
        78,
        &[
            "failed to read '",
            "Is a directory",
            "help: name a file in it",
        ],
    ),
];

#[test]
fn of_the_policy() {
    assert_all(POLICY_CASES);
}

/// The program, run as nobody. Its file has to be where nobody may go, and so have the policy and
/// the state.
fn as_nobody(host: &Host, state: &Path, args: &[&str]) -> Outcome {
    let program = host.path("tagkeeper");
    executable::copy(env!("CARGO_BIN_EXE_tagkeeper"), &program);
    for path in [host.path(""), host.path("policy.toml")] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).expect("ours");
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid",
            "nobody",
            "--regid",
            "nogroup",
            "--clear-groups",
            "--",
        ])
        .arg(program)
        .args(args)
        .args(["--policy", &host.path("policy.toml").display().to_string()])
        .args(["--socket", &host.path("docker.sock").display().to_string()])
        .args(["--state-dir", &state.display().to_string()]);
    finish(with_bare_environment(&mut command))
}

#[test]
fn of_permissions() {
    const ADM: u32 = 4;
    let host = Host::new(POLICY);
    let (socket, state) = (host.path("docker.sock"), host.state_dir());
    chown(&socket, None, Some(ADM)).expect("root");
    fs::set_permissions(&socket, Permissions::from_mode(0o660)).expect("ours");
    let plan = || as_nobody(&host, &state, &["plan"]);
    let said = [
        "failed to list the images",
        "it is for user 'root' and group 'adm' (mode 0660)",
        "this runs as user 'nobody'",
        "usermod --append --groups adm nobody",
        "Permission denied",
    ];
    assert_said("group", &plan(), 69, &said);
    fs::set_permissions(&socket, Permissions::from_mode(0o600)).expect("ours");
    assert_said("owner", &plan(), 69, &["(mode 0600)", "SocketGroup="]);

    fs::set_permissions(&state, Permissions::from_mode(0o700)).expect("ours");
    let pass = as_nobody(&host, &state, &["reconcile"]);
    assert_said(
        "state",
        &pass,
        1,
        &[
            "is not writable for this user",
            "user tagkeeper",
            "--state-dir",
            "Permission denied",
        ],
    );
}
