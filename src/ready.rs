//! The workloads' own word on readiness: the `ready` command (design 4.3).
//!
//! Part of the observation, so that the decision stays pure. Exit 0 is ready; anything else is not,
//! and why is said. A workload whose command could not be asked in time is neither.

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

    /// Runs the commands that these queries ask for at the same time, each with its query in the
    /// environment. The answers come in the order of the queries. None means *not asked*: the
    /// minute was over, or the pass was, before the command could begin or end. That is neither
    /// ready nor unready. A command that exceeds its own timeout is not ready.
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tagkeeper_core::model::{
        ContainerId, ImageId, Reading, Repository, Version, Workload, WorkloadName,
    };

    use super::*;

    /// A policy of workloads with these commands, and their queries.
    fn asking(commands: &[(&str, &Ready)]) -> (Policy, Vec<Query>) {
        let mut policy = Policy::default();
        let mut queries = Vec::new();
        for (name, ready) in commands {
            let mut workload = Workload::new(name, Repository::parse(name).unwrap());
            workload.ready = Some((*ready).clone());
            policy.workloads.insert(WorkloadName::new(*name), workload);
            queries.push(Query::AskReady {
                workload: WorkloadName::new(*name),
                container: ContainerId::new("c"),
                container_name: "c".to_owned(),
                image: ImageId::new("i"),
                version: Version::new("v1"),
            });
        }
        (policy, queries)
    }

    fn ready(script: &str, file: &Path, timeout_ms: u64) -> Ready {
        let command = ["/bin/sh", "-c", script].map(str::to_owned);
        Ready {
            command: [command.as_slice(), &[file.display().to_string()]].concat(),
            timeout_ms,
        }
    }

    #[test]
    fn who_has_no_time_left_in_the_minute_of_all_is_neither_ready_nor_unready() {
        let dir = tempfile::tempdir().unwrap();
        let begun = dir.path().join("begun");
        // A minute is over as soon as the slow command runs; what it prints makes the runner look
        // at the clock.
        let clocks = || Reading {
            monotonic_ms: if begun.exists() { 60_001 } else { 1 },
            wall: String::new(),
        };
        let slow = ready("touch $0; echo; exec sleep 300", &begun, 240_000);
        let quick = ready("exit 0", &begun, 10_000);
        let mut commands = Commands::new(Deadline::after(&clocks, 300_000));
        let (policy, ask) = asking(&[("a", &quick), ("b", &quick)]);
        let both = vec![Some(Readiness::Ready); 2];
        assert_eq!(commands.ask_all(&policy, &ask), both);
        let (slow_policy, ask_slow) = asking(&[("c", &slow)]);
        assert_eq!(commands.ask_all(&slow_policy, &ask_slow), [None]);
        assert_eq!(
            commands.ask_all(&policy, &ask),
            [None, None],
            "all of the pass share the minute"
        );
        assert_eq!(commands.ask_all(&policy, &[]), []);
    }

    #[test]
    fn who_exceeds_its_own_timeout_is_not_ready() {
        let dir = tempfile::tempdir().unwrap();
        let begun = dir.path().join("begun");
        let clocks = || Reading {
            monotonic_ms: if begun.exists() { 10_001 } else { 1 },
            wall: String::new(),
        };
        let late = ready(
            "echo still loading; touch $0; exec sleep 300",
            &begun,
            10_000,
        );
        let mut commands = Commands::new(Deadline::after(&clocks, 300_000));
        let why = "'/bin/sh' did not end within 10s: still loading".to_owned();
        let (policy, ask) = asking(&[("a", &late)]);
        let answers = commands.ask_all(&policy, &ask);
        assert_eq!(answers, [Some(Readiness::NotReady(why))]);
    }
}
