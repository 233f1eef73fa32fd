//! The workloads' own word on readiness: the `ready` command (design 4.3).
//!
//! Part of the observation, so that the decision stays pure. Exit 0 is ready; anything else is not, and why is said. A
//! workload whose command could not be asked in time is neither.

use tagkeeper_core::model::{Policy, Readiness, Ready};
use tagkeeper_core::planner::Query;

use crate::deadline::Deadline;
use crate::notify;
use crate::process::{self, Ending, Finished, Invocation};

/// How long all `ready` commands of one pass may take together, in milliseconds.
const ALL_READY_MS: u64 = 60 * 1000;

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

    /// Runs the commands that these queries ask for at the same time, each with its query in the environment. The answers come
    /// in the order of the queries. None means *not asked*: the minute was over, or the pass was, before the command could begin
    /// or end. That is neither ready nor unready. A command that exceeds its own timeout is not ready.
    pub fn ask_all(&mut self, policy: &Policy, queries: &[Query]) -> Vec<Option<Readiness>> {
        if queries.is_empty() {
            return Vec::new();
        }
        notify::long_call(self.left_ms);
        let budget = self.pass.another(self.left_ms);
        let commands: Vec<Option<Invocation<'_>>> = queries
            .iter()
            .map(|query| invocation(policy, query))
            .collect();
        let known: Vec<Invocation<'_>> = commands.iter().flatten().cloned().collect();
        let finished = process::run_all(&known, budget.earlier_of(self.pass));
        self.left_ms = budget.remaining_ms();
        let mut answers = finished
            .iter()
            .zip(&known)
            .map(|(f, invocation)| answer(f, invocation));
        let in_order = commands.iter().map(|command| match command {
            Some(_) => answers.next().flatten(),
            None => None,
        });
        in_order.collect()
    }
}

fn invocation<'p>(policy: &'p Policy, query: &Query) -> Option<Invocation<'p>> {
    let Query::AskReady {
        workload,
        container,
        container_name,
        image,
        version,
    } = query
    else {
        return None;
    };
    let ready: &Ready = policy.workloads.get(workload)?.ready.as_ref()?;
    Some(Invocation {
        command: &ready.command,
        environment: vec![
            ("TAGKEEPER_WORKLOAD", workload.as_str().to_owned()),
            ("TAGKEEPER_CONTAINER_ID", container.to_string()),
            ("TAGKEEPER_CONTAINER_NAME", container_name.clone()),
            ("TAGKEEPER_IMAGE", image.to_string()),
            ("TAGKEEPER_VERSION", version.as_str().to_owned()),
        ],
        input: String::new(),
        timeout_ms: ready.timeout_ms,
    })
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
