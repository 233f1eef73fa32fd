//! Whether systemd's timer starts passes. For people: no decision depends on it, and where systemd
//! does not answer, nothing is said.

use std::path::Path;

use crate::deadline::Deadline;
use crate::process::{self, Ending, Invocation};

/// There, systemd runs the host.
const SYSTEMD: &str = "/run/systemd/system";
/// How long systemd may take, in milliseconds. A host in trouble must not keep `status` from being
/// printed.
const TIMEOUT_MS: u64 = 2_000;

/// systemd's word for the timer: `active`, `inactive`, `failed`; none where systemd does not run
/// the host, or does not answer.
pub(super) fn state(deadline: Deadline<'_>) -> Option<String> {
    if !Path::new(SYSTEMD).is_dir() {
        return None;
    }
    let command = ["systemctl", "is-active", "tagkeeper.timer"].map(str::to_owned);
    let invocation = Invocation {
        command: &command,
        environment: Vec::new(),
        input: String::new(),
        timeout_ms: TIMEOUT_MS,
    };
    let finished = process::run_all(&[invocation], deadline).pop()?;
    match finished.ending {
        Ending::Exited(_) => word(&finished.output),
        Ending::TimedOut | Ending::Failed(_) | Ending::OutOfTime => None,
    }
}

/// One word is an answer; a sentence is a complaint, such as that the bus cannot be reached.
fn word(output: &str) -> Option<String> {
    let is_word = !output.is_empty() && output.chars().all(|c| c.is_ascii_lowercase());
    is_word.then(|| output.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_word_is_an_answer() {
        for (output, expected) in [
            ("active", Some("active")),
            ("inactive", Some("inactive")),
            ("", None),
            ("Failed to connect to bus: No such file or directory", None),
        ] {
            assert_eq!(word(output).as_deref(), expected, "{output}");
        }
    }
}
