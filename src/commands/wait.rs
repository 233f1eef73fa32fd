//! `wait`: blocks until an upgrade is proven or has failed, by what the passes write into the state. Asks the engine nothing and
//! changes nothing.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::anyhow;
use tagkeeper_core::model::{Outcome, State, Version, WorkloadName, WorkloadState};

use super::{Clocks, CommandError, known_workload, load_or_fresh, load_policy, print, state_dir};
use crate::cli::{Options, WaitArgs};
use crate::deadline::Deadline;
use crate::duration::compact;
use crate::exit::Exit;
use crate::report::words;

/// Between two looks at the state. A pass writes it once a minute at most.
const PAUSE: Duration = Duration::from_millis(500);

/// What has become of what is waited for.
enum Progress {
    Proven(Version),
    Failed(Version, String),
    /// Nothing is pending, and no version was named.
    Nothing,
    /// Still on its way; how far, for people.
    Pending(String),
}

/// What is waited for: the version that was named, or the one that was pending first.
struct Wanted {
    version: Option<Version>,
    /// The clock when the wait began: what failed before is another story.
    since_ms: u64,
}

pub(super) fn wait(
    options: &Options,
    clocks: &Clocks,
    args: &WaitArgs,
) -> Result<Exit, CommandError> {
    let settings = load_policy(options)?;
    let name = known_workload(settings.policy.workloads.keys(), &args.workload)?;
    let dir = state_dir(options);
    let limit_ms = args.timeout.map_or(u64::MAX, |limit| {
        u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)
    });
    let deadline = Deadline::after(clocks, limit_ms);
    let first = load_or_fresh(&dir, None)?;
    let mut wanted = Wanted {
        version: args.version.clone(),
        since_ms: first.clock.clock_ms,
    };
    let is_terminal = std::io::stderr().is_terminal();
    let mut shown = String::new();
    let mut state = first;
    loop {
        let said = match wanted.progress(&state, &name, clocks) {
            Progress::Proven(version) => {
                end_line(is_terminal && !shown.is_empty());
                print(&format!("{name}: {version} is proven and is latest\n"))?;
                return Ok(Exit::Done);
            }
            Progress::Failed(version, why) => {
                end_line(is_terminal && !shown.is_empty());
                return Err(CommandError::failed(anyhow!(
                    "{name}: {version} was not promoted: {why}"
                )));
            }
            Progress::Nothing => {
                print(&format!("{name}: nothing is pending\n"))?;
                return Ok(Exit::Done);
            }
            Progress::Pending(said) => said,
        };
        if is_terminal && said != shown {
            let mut stderr = std::io::stderr().lock();
            // Progress is a convenience; where it cannot be shown, the wait goes on.
            let _ = write!(stderr, "\r\x1b[K{name}: {said}").and_then(|()| stderr.flush());
            shown = said;
        }
        if deadline.is_over() {
            end_line(is_terminal && !shown.is_empty());
            let what = wanted
                .version
                .as_ref()
                .map_or("the upgrade".to_owned(), Version::to_string);
            return Err(CommandError::new(
                Exit::TimedOut,
                anyhow!("{name}: {what} is not proven yet, and the timeout is over"),
            ));
        }
        let left = Duration::from_millis(deadline.remaining_ms());
        std::thread::sleep(PAUSE.min(left));
        state = load_or_fresh(&dir, None)?;
    }
}

fn end_line(is_open: bool) {
    if is_open {
        let _ = writeln!(std::io::stderr().lock());
    }
}

impl Wanted {
    fn progress(&mut self, state: &State, name: &WorkloadName, clocks: &Clocks) -> Progress {
        let unknown = WorkloadState::default();
        let known = state.workloads.get(name).unwrap_or(&unknown);
        let pending = known.memory.pending.as_ref();
        if self.version.is_none() {
            match pending {
                Some(pending) => self.version = Some(pending.version.clone()),
                None => return Progress::Nothing,
            }
        }
        let Some(version) = self.version.clone() else {
            return Progress::Nothing;
        };
        if let Some(pending) = pending.filter(|p| p.version == version) {
            let now = state.clock.at_most(&clocks());
            let up_ms = pending
                .soaking_since_ms
                .map(|since_ms| now.ms().saturating_sub(since_ms));
            return Progress::Pending(match up_ms {
                Some(up_ms) => format!("{version} has soaked for {}", compact(up_ms)),
                None => format!("{version} is pending and does not soak"),
            });
        }
        let head = known.memory.lineage.first();
        if head.is_some_and(|head| head.version == version) {
            return Progress::Proven(version);
        }
        let rejected = state
            .rejected_of(name)
            .any(|(_, rejected)| rejected.version == version);
        if rejected {
            return Progress::Failed(version, "it is rejected".to_owned());
        }
        let failure = known
            .failures
            .iter()
            .find(|failure| failure.version == version);
        match failure {
            Some(failure)
                if failure.ended_ms > self.since_ms || failure.outcome == Outcome::Failed =>
            {
                Progress::Failed(version, words::failure_reason(failure))
            }
            _ => Progress::Pending(format!("waiting for {version} to run")),
        }
    }
}
