//! Runs of tagkeeper on a [`Host`], at an uptime that the story chooses.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Host, WORKLOAD};

/// How a run of tagkeeper ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Host {
    /// A run of tagkeeper on this host, that many seconds after boot. A smaller number than before
    /// is a reboot.
    pub(crate) fn command_at<A: AsRef<OsStr>>(
        &self,
        uptime_secs: u64,
        socket: &Path,
        args: &[A],
    ) -> Result<Command> {
        let offset = (i64::try_from(uptime_secs)? - monotonic_secs()).to_string();
        let mut command = Command::new("unshare");
        command
            .args([
                "--fork",
                "--kill-child=KILL",
                "--time",
                "--monotonic",
                &offset,
                "--boottime",
                &offset,
                "--",
            ])
            .arg(env!("CARGO_BIN_EXE_tagkeeper"))
            .arg("--policy")
            .arg(self.policy_file())
            .arg("--state-dir")
            .arg(self.state_dir())
            .arg("--socket")
            .arg(socket)
            .args(args)
            .stdin(Stdio::null());
        for variable in ["NOTIFY_SOCKET", "JOURNAL_STREAM", "STATE_DIRECTORY"] {
            command.env_remove(variable);
        }
        // One that cannot be made: the machine has one of its own.
        command.env("RUNTIME_DIRECTORY", "/nonexistent/run");
        Ok(command)
    }

    /// Runs tagkeeper, whatever comes of it.
    pub(crate) fn tagkeeper_at(&self, uptime_secs: u64, args: &[&str]) -> Result<Ran> {
        Ran::new(self.command_at(uptime_secs, &self.socket, args)?.output()?)
    }

    /// One pass, which must succeed.
    pub(crate) fn pass_at(&self, uptime_secs: u64) -> Result<()> {
        let ran = self.tagkeeper_at(uptime_secs, &["reconcile"])?;
        ensure!(
            ran.code == Some(0),
            "the pass at {uptime_secs} s failed: {ran:#?}"
        );
        Ok(())
    }

    /// What `plan --format json` says of the workload.
    pub(crate) fn plan_json(&self, uptime_secs: u64) -> Result<Value> {
        self.json_at(uptime_secs, "plan")
    }

    /// What `status --format json` says of the workload.
    pub(crate) fn status_json(&self, uptime_secs: u64) -> Result<Value> {
        self.json_at(uptime_secs, "status")
    }

    fn json_at(&self, uptime_secs: u64, command: &str) -> Result<Value> {
        let ran = self.tagkeeper_at(uptime_secs, &["--format", "json", command])?;
        ensure!(ran.code == Some(0), "{command} failed: {ran:#?}");
        let mut all: Value =
            serde_json::from_str(&ran.stdout).with_context(|| format!("{command}: {ran:#?}"))?;
        ensure!(
            all.pointer("/schema") == Some(&Value::from(1)),
            "{command}: not schema 1: {all:#}"
        );
        let workload = all
            .pointer_mut(&format!("/workloads/{WORKLOAD}"))
            .map(Value::take);
        workload.with_context(|| format!("{command} does not name the workload"))
    }
}

impl Ran {
    pub(crate) fn new(output: Output) -> Result<Self> {
        let stderr = String::from_utf8(output.stderr)?;
        ensure!(
            !stderr.starts_with("unshare:"),
            "no time namespace to run tagkeeper in: {stderr}"
        );
        Ok(Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout)?,
            stderr,
        })
    }
}

/// The machine's own monotonic time, which the offset of a time namespace starts from.
#[expect(
    clippy::disallowed_methods,
    reason = "the rig sets the program's clock and must know the machine's"
)]
fn monotonic_secs() -> i64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec
}
