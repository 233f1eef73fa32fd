//! The workloads' own word on readiness: the `ready` command (design 4.3).
//!
//! Part of the observation, so that the decision stays pure. Exit 0 is ready; anything else is not, and why is said. A
//! workload whose command could not be asked in time is neither.

use crate::deadline::Deadline;
use crate::decide::Inquiry;
use crate::notify;
use crate::policy::Ready;
use crate::process::{self, Ending, Finished, Invocation};
use crate::world::Readiness;

/// How long all `ready` commands of one pass may take together, in milliseconds.
const ALL_READY_MS: u64 = 60 * 1000;

/// A command, and for which container it is to answer.
pub type Question<'q> = (&'q Ready, &'q Inquiry);

/// The `ready` commands of one pass and the time that is left for them.
pub struct Commands<'c> {
    pass: Deadline<'c>,
    left_ms: u64,
}

impl<'c> Commands<'c> {
    /// For a pass that lasts until then.
    pub fn new(pass: Deadline<'c>) -> Self {
        Self {
            pass,
            left_ms: ALL_READY_MS,
        }
    }

    /// Runs the commands at the same time, each with its question in the environment. The answers come in the order of the
    /// questions. None means *not asked*: the minute was over, or the pass was, before the command could begin or end. That
    /// is neither ready nor unready. A command that exceeds its own timeout is not ready.
    pub fn ask_all(&mut self, questions: &[Question<'_>]) -> Vec<Option<Readiness>> {
        if questions.is_empty() {
            return Vec::new();
        }
        notify::long_call(self.left_ms);
        let budget = self.pass.another(self.left_ms);
        let invocations: Vec<_> = questions
            .iter()
            .map(|(ready, inquiry)| invocation(ready, inquiry))
            .collect();
        let finished = process::run_all(&invocations, budget.earlier_of(self.pass));
        self.left_ms = budget.remaining_ms();
        finished
            .iter()
            .zip(&invocations)
            .map(|(finished, invocation)| answer(finished, invocation))
            .collect()
    }
}

fn invocation<'a>(ready: &'a Ready, inquiry: &Inquiry) -> Invocation<'a> {
    let environment = match inquiry {
        Inquiry::AskReady {
            workload,
            container,
            container_name,
            image,
            version,
        } => vec![
            ("TAGKEEPER_WORKLOAD", workload.as_str().to_owned()),
            ("TAGKEEPER_CONTAINER_ID", container.to_string()),
            ("TAGKEEPER_CONTAINER_NAME", container_name.clone()),
            ("TAGKEEPER_IMAGE", image.to_string()),
            ("TAGKEEPER_VERSION", version.as_str().to_owned()),
        ],
        Inquiry::Inspect(_) | Inquiry::MeasureDisk => Vec::new(),
    };
    Invocation {
        command: &ready.command,
        environment,
        input: String::new(),
        timeout_ms: ready.timeout_ms,
    }
}

fn answer(finished: &Finished, invocation: &Invocation<'_>) -> Option<Readiness> {
    if matches!(finished.ending, Ending::OutOfTime) {
        return None;
    }
    Some(match finished.complaint(invocation) {
        None => Readiness::Ready,
        Some(why) => Readiness::NotReady(why),
    })
}
