//! A host for one test: a fake engine, a policy, a state directory, and a clock that the test
//! moves.
//!
//! Runs the real program. Its uptime is moved by a time namespace, so nothing here waits for a
//! soak; that needs root, as `make test` does.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::MutexGuard;

use serde_json::Value;
use tempfile::TempDir;

use in_memory_engine::{Engine, Fake, Request, Route};

/// After so many seconds a program that still runs has hung. More than the time-outs of the
/// policies here, and less than the default time-out of an engine call, so that a time-out that is
/// not heeded shows.
const HUNG_SECS: &str = "15";

/// What one run of the program did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) requests: Vec<Request>,
}

impl Outcome {
    /// The requests that change something, as text.
    pub(crate) fn mutations(&self) -> Vec<String> {
        self.requests
            .iter()
            .filter(|r| r.is_mutation())
            .map(Request::to_string)
            .collect()
    }

    /// How many requests there were of a route.
    pub(crate) fn count(&self, route: Route) -> usize {
        self.requests.iter().filter(|r| r.route == route).count()
    }

    /// How many removals there were with this text in their path.
    pub(crate) fn removals_of(&self, text: &str) -> usize {
        let removals = [Route::RemoveImage, Route::RemoveContainer];
        self.requests
            .iter()
            .filter(|r| removals.contains(&r.route) && r.path.contains(text))
            .count()
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("not JSON ({e}): {self:#?}"))
    }

    /// The same outcome, once it is certain that the program ended with this code.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "exit code {}, not {code}: {self:#?}",
            self.code
        );
        self
    }
}

/// The host. Dropping it drops the fake, which judges the requests.
pub(crate) struct Host {
    fake: Fake,
    dir: TempDir,
}

impl Host {
    /// A host with an empty engine, this policy, and no state.
    pub(crate) fn new(policy: &str) -> Self {
        let dir = tempfile::tempdir().expect("the temporary directory is writable");
        let host = Self {
            fake: Fake::start(&dir.path().join("docker.sock")),
            dir,
        };
        fs::create_dir(host.state_dir()).expect("a new directory");
        host.set_policy(policy);
        host
    }

    pub(crate) fn engine(&self) -> MutexGuard<'_, Engine> {
        self.fake.engine()
    }

    /// Every name on the disk with the id it means.
    pub(crate) fn names(&self) -> std::collections::BTreeMap<String, String> {
        self.engine().docker.names()
    }

    /// The id that a name means; empty if the name is gone.
    pub(crate) fn id_of(&self, name: &str) -> String {
        self.names().remove(name).unwrap_or_default()
    }

    /// Whether there is a container of this name.
    pub(crate) fn has_container(&self, name: &str) -> bool {
        self.engine()
            .docker
            .containers
            .iter()
            .any(|c| c.name() == name)
    }

    pub(crate) fn set_policy(&self, text: &str) {
        fs::write(self.path("policy.toml"), text).expect("the temporary directory is writable");
    }

    /// A path in the directory of this host.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn state_file(&self) -> PathBuf {
        self.path("state/state.json")
    }

    /// The state file, byte for byte; none if there is none.
    pub(crate) fn state_bytes(&self) -> Option<Vec<u8>> {
        fs::read(self.state_file()).ok()
    }

    /// Every file of the state directory, and the directory itself, with all that a write would
    /// change.
    pub(crate) fn state_stamps(&self) -> Vec<String> {
        let entries = fs::read_dir(self.state_dir()).expect("the state directory is there");
        let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("readable").path()).collect();
        paths.sort();
        paths.push(self.state_dir());
        paths.iter().map(|path| stamp(path)).collect()
    }

    /// One pass of the timer at this uptime.
    pub(crate) fn pass_at(&self, secs: u64) -> Outcome {
        self.run_at(secs, &["reconcile"])
    }

    /// What `plan` says at this uptime.
    pub(crate) fn plan_at(&self, secs: u64) -> Value {
        self.run_at(secs, &["plan", "--format", "json"])
            .expect_code(0)
            .json()
    }

    /// The program with these arguments, and with the policy, the state and the socket of this
    /// host.
    pub(crate) fn run_at(&self, secs: u64, args: &[&str]) -> Outcome {
        self.run_on(&self.path("docker.sock"), secs, args)
    }

    /// The same on another socket.
    pub(crate) fn run_on(&self, socket: &Path, secs: u64, args: &[&str]) -> Outcome {
        let mut command = self.command_on(socket, secs, args);
        self.engine().take_log();
        let outcome = finish(&mut command);
        Outcome {
            requests: self.engine().take_log(),
            ..outcome
        }
    }
}

impl Host {
    /// The program with these arguments, not started yet.
    pub(crate) fn command_on(&self, socket: &Path, secs: u64, args: &[&str]) -> Command {
        let mut command = program_at(secs);
        command.args(args);
        command
            .arg("--policy")
            .arg(self.path("policy.toml"))
            .arg("--state-dir")
            .arg(self.state_dir())
            .arg("--socket")
            .arg(socket);
        command
    }
}

fn stamp(path: &Path) -> String {
    let meta = fs::metadata(path).expect("the file is there");
    // Not the time of access: reading is no write.
    let times = [
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec(),
    ];
    let content = fs::read(path).unwrap_or_default();
    format!(
        "{} {} {} {} {times:?} {content:?}",
        path.display(),
        meta.ino(),
        meta.len(),
        meta.mode()
    )
}

/// The program under test: another build of it if `make test-arch` names one, to run by an
/// emulator.
pub(crate) fn program() -> OsString {
    std::env::var_os("TAGKEEPER_TEST_PROGRAM")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_tagkeeper").into())
}

/// The program in a time namespace where the host has been up for so many seconds more, with a bare
/// environment.
pub(crate) fn program_at(secs: u64) -> Command {
    let mut command = Command::new("timeout");
    // Or it would be cut off from a terminal, and from its Ctrl-C.
    command.arg("--foreground");
    command
        .args(["--signal=KILL", HUNG_SECS])
        .args(in_a_host_up_for(secs))
        .arg(program())
        .stdin(Stdio::null());
    with_bare_environment(&mut command);
    command
}

/// A bare environment, and a runtime directory that cannot be made: the machine has one of its own.
pub(crate) fn with_bare_environment(command: &mut Command) -> &mut Command {
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("RUNTIME_DIRECTORY", "/nonexistent/run")
}

/// What starts a command in a time namespace where the host has been up for so many seconds more,
/// less the whole days that the machine has been up: a story's reboot adds the uptime, and would
/// add days.
pub(crate) fn in_a_host_up_for(secs: u64) -> [String; 6] {
    let uptime = fs::read_to_string("/proc/uptime").expect("Linux has it");
    let (machine_secs, _) = uptime.split_once('.').expect("seconds and a fraction");
    let machine_secs: i64 = machine_secs.parse().expect("a number");
    let days_secs = machine_secs - machine_secs % (24 * 60 * 60);
    let offset = (i64::try_from(secs).expect("few seconds") - days_secs).to_string();
    [
        "unshare",
        "--time",
        "--monotonic",
        &offset,
        "--boottime",
        &offset,
    ]
    .map(str::to_owned)
}

/// Runs a command to its end. One that hangs is killed and fails the test.
pub(crate) fn finish(command: &mut Command) -> Outcome {
    let output = command.output().expect("timeout and unshare are installed");
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let Some(code) = output.status.code().filter(|c| *c != 137) else {
        panic!("killed or hung: {command:?}\n{stdout}\n{stderr}");
    };
    Outcome {
        code,
        stdout,
        stderr,
        requests: Vec::new(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the program writes UTF-8")
}
