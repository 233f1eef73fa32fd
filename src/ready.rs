//! The workloads' own word on readiness: the `ready` command (design 4.3), run without a shell, to a deadline.
//!
//! Part of the observation, so that the decision stays pure. Exit 0 is ready; anything else is not, and why is said.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::decide::Inquiry;
use crate::policy::Ready;
use crate::span;
use crate::world::Readiness;

/// Runs the command with the question in its environment. Its standard error is the caller's, its output is dropped.
pub fn ask(ready: &Ready, inquiry: &Inquiry) -> Readiness {
    let Inquiry::AskReady {
        workload,
        container,
        container_name,
        image,
        version,
    } = inquiry
    else {
        return Readiness::Ready;
    };
    let Some((program, arguments)) = ready.command.split_first() else {
        return Readiness::Ready;
    };
    let spawned = Command::new(program)
        .args(arguments)
        .env("TAGKEEPER_WORKLOAD", workload.as_str())
        .env("TAGKEEPER_CONTAINER_ID", container.to_string())
        .env("TAGKEEPER_CONTAINER_NAME", container_name)
        .env("TAGKEEPER_IMAGE", image.to_string())
        .env("TAGKEEPER_VERSION", version.as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn();
    match spawned {
        Ok(child) => wait(child, program, ready.timeout_ms),
        Err(error) => Readiness::NotReady(format!("failed to run '{program}': {error}")),
    }
}

/// Waits to the deadline, then ends the command and all that it started in its process group.
fn wait(mut child: Child, program: &str, timeout_ms: u64) -> Readiness {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let (sender, receiver) = mpsc::channel();
    let waiter = std::thread::spawn(move || {
        // The receiver is gone only after the deadline, and then nobody asks for the result.
        let _ = sender.send(child.wait());
    });
    let answer = match receiver.recv_timeout(Duration::from_millis(timeout_ms)) {
        Ok(Ok(status)) => return judge(status, program),
        Ok(Err(error)) => Readiness::NotReady(format!("failed to wait for '{program}': {error}")),
        Err(_) => Readiness::NotReady(format!(
            "'{program}' did not end within {}",
            span::compact(timeout_ms)
        )),
    };
    if let Some(group) = group {
        // It may have ended in this very moment: then there is nothing left to kill.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = waiter.join();
    answer
}

fn judge(status: ExitStatus, program: &str) -> Readiness {
    if status.success() {
        Readiness::Ready
    } else {
        Readiness::NotReady(format!("'{program}': {status}"))
    }
}
