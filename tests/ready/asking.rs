//! Asks a ready command as tagkeeper does: its words in the environment, an exit code and standard
//! error back.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The program that is all of the commands.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_tagkeeper-ready");

/// The container that is asked about, where it need not exist.
pub(crate) const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub(crate) const NAME: &str = "telemetry";

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    code: Option<i32>,
    stderr: String,
    took: Duration,
}

/// Asks a command about the container that need not exist.
pub(crate) fn ask<A: AsRef<OsStr>>(name: &str, arguments: &[A]) -> Said {
    ask_about(ID, NAME, name, arguments)
}

/// Asks a command about a container.
pub(crate) fn ask_about<A: AsRef<OsStr>>(
    id: &str,
    container: &str,
    name: &str,
    arguments: &[A],
) -> Said {
    let mut command = Command::new(PROGRAM);
    // As it is installed: the name that it is called by is which command it is.
    command.arg0(format!("/usr/lib/tagkeeper/ready/{name}"));
    command.args(arguments);
    run(command, id, container)
}

/// Runs a command with the environment of a ready command, and nothing else in it.
pub(crate) fn run(command: Command, id: &str, container: &str) -> Said {
    run_version(command, id, container, "v2")
}

/// The same about a container of this version.
pub(crate) fn run_version(mut command: Command, id: &str, container: &str, version: &str) -> Said {
    let path = std::env::var_os("PATH").unwrap_or_default();
    command
        .env_clear()
        .env("PATH", path)
        .env("TAGKEEPER_WORKLOAD", "telemetry")
        .env("TAGKEEPER_CONTAINER_ID", id)
        .env("TAGKEEPER_CONTAINER_NAME", container)
        .env("TAGKEEPER_VERSION", version)
        .stdin(Stdio::null());
    let begun = now();
    let output = command.output().unwrap();
    Said {
        code: output.status.code(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        took: now() - begun,
    }
}

impl Said {
    #[track_caller]
    pub(crate) fn expect_ready(&self) {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert_eq!(self.stderr, "");
    }

    /// Not ready, for this reason, said on one line that is fit for a journal.
    #[track_caller]
    pub(crate) fn expect_not_ready(&self, reason: &str) {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(self.stderr.contains(reason), "not '{reason}': {self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        assert!(self.stderr.len() < 1000, "{self:?}");
        assert!(self.stderr.starts_with("ready/"), "{self:?}");
        assert!(self.stderr.contains(": telemetry: "), "{self:?}");
    }

    /// Not ready because there was too much to read for the time or the memory that it has.
    #[track_caller]
    pub(crate) fn expect_given_up(&self) {
        let words = ["memory allocation of", "not done within 1s"];
        assert!(self.code.is_none_or(|code| code == 1), "{self:?}");
        assert!(
            words.iter().any(|said| self.stderr.contains(said)),
            "{self:?}"
        );
        assert!(self.took < Duration::from_secs(5), "{self:?}");
    }

    /// Not ready because of `--timeout 1s`, and at once then.
    #[track_caller]
    pub(crate) fn expect_late(&self, doing: &str) {
        self.expect_not_ready(": not done within 1s");
        self.expect_not_ready(doing);
        assert!(self.took >= Duration::from_secs(1), "{self:?}");
        assert!(self.took < Duration::from_secs(5), "{self:?}");
    }

    #[track_caller]
    pub(crate) fn expect_wrong_usage(&self, problem: &str) {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert!(self.stderr.contains(problem), "{self:?}");
        assert!(self.stderr.contains("usage: "), "{self:?}");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a command takes is what is tested"
)]
fn now() -> Instant {
    Instant::now()
}
