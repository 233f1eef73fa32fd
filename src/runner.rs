//! Runs a program of the operator, without a shell, to a deadline: `ready` commands and hooks.
//!
//! It gets a process group of its own, so that what it started ends with it. Its standard error is the caller's, its output is
//! dropped. Decides nothing about what follows.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{confine, span};

/// What is to be run.
pub(crate) struct Errand<'a> {
    /// Program and arguments.
    pub(crate) command: &'a [String],
    /// Variables beside those that the caller has itself.
    pub(crate) environment: &'a [(&'a str, &'a str)],
    /// What it reads on standard input.
    pub(crate) input: String,
    /// Its deadline, in milliseconds.
    pub(crate) timeout_ms: u64,
}

impl Errand<'_> {
    /// Runs it to its end, or ends it and all that it started in its process group at the deadline.
    ///
    /// # Errors
    /// Everything but exit code 0, in words for people.
    pub(crate) fn run(self) -> Result<(), String> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Ok(());
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(self.environment.iter().copied())
            .stdin(if self.input.is_empty() {
                Stdio::null()
            } else {
                Stdio::piped()
            })
            .stdout(Stdio::null())
            .process_group(0);
        match confine::spawn(command) {
            Ok(child) => wait(child, self.input, program, self.timeout_ms),
            Err(error) => Err(format!("failed to run '{program}': {error}")),
        }
    }
}

fn wait(mut child: Child, input: String, program: &str, timeout_ms: u64) -> Result<(), String> {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let (sender, receiver) = mpsc::channel();
    let waiter = std::thread::spawn(move || {
        if let Some(mut stdin) = child.stdin.take() {
            // Whoever does not care to read says so by its exit code.
            let _ = stdin.write_all(input.as_bytes());
        }
        // The receiver is gone only after the deadline, and then nobody asks for the result.
        let _ = sender.send(child.wait());
    });
    let late = match receiver.recv_timeout(Duration::from_millis(timeout_ms)) {
        Ok(Ok(status)) => return judge(status, program),
        Ok(Err(error)) => format!("failed to wait for '{program}': {error}"),
        Err(_) => format!(
            "'{program}' did not end within {}",
            span::compact(timeout_ms)
        ),
    };
    if let Some(group) = group {
        // It may have ended in this very moment: then there is nothing left to kill.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = waiter.join();
    Err(late)
}

fn judge(status: ExitStatus, program: &str) -> Result<(), String> {
    if status.success() {
        Ok(())
    } else {
        Err(format!("'{program}': {status}"))
    }
}
