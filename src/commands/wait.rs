//! `wait`: blocks until an upgrade is proven or has failed, by what the passes write into the
//! state. Asks the engine nothing and changes nothing.

mod progress;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::anyhow;
use tagkeeper_core::model::{State, Version, WorkloadName};

use super::{
    Clocks, CommandError, check_state_dir, known_workload, load_or_fresh, load_policy, state_dir,
    tell,
};
use crate::cli::{Options, WaitArgs};
use crate::deadline::Deadline;
use crate::exit::Exit;

use progress::{Progress, Wanted, unseen_again};

/// Between two looks at the state. A pass writes it once a minute at most.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) fn wait(
    options: &Options,
    clocks: &Clocks,
    args: &WaitArgs,
) -> Result<Exit, CommandError> {
    let mut settings = load_policy(options)?;
    let name = known_workload(settings.policy.workloads.keys(), &args.workload)?;
    let dir = state_dir(options);
    let limit_ms = args.timeout.map_or(u64::MAX, |limit| {
        u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)
    });
    let deadline = Deadline::after(clocks, limit_ms);
    check_state_dir(options, &dir, &name)?;
    let mut state = load_or_fresh(&dir, None)?;
    let began_ms = state.clock.at_most(&clocks()).ms();
    let mut wanted = Wanted::new(args.version.clone(), began_ms);
    let mut line = Line::default();
    loop {
        let rejections = settings.policy.rejections.get(&name);
        let rejections = rejections.map_or(&[][..], |all| all.as_slice());
        let now_ms = state.clock.at_most(&clocks()).ms();
        let said = match wanted.progress(&state, &name, rejections, now_ms) {
            Progress::Proven(version) => {
                line.end();
                tell(&format!("{name}: {version} is proven and is latest\n"));
                return Ok(Exit::Done);
            }
            Progress::Failed(version, why) => {
                return Err(not_promoted(&line, &name, &version, &why));
            }
            Progress::FailedBefore(version, why)
                if deadline.is_over() || wanted.is_seen_by(now_ms) =>
            {
                let why = format!("{why}, before the wait began");
                return Err(not_promoted(&line, &name, &version, &why));
            }
            Progress::FailedBefore(version, _) => unseen_again(&version),
            Progress::Nothing => {
                tell(&format!("{name}: nothing is pending\n"));
                return Ok(Exit::Done);
            }
            Progress::Pending(said) => said,
        };
        line.show(&name, said);
        if deadline.is_over() {
            line.end();
            let last = line.shown;
            let what = wanted.called();
            return Err(CommandError::new(
                Exit::TimedOut,
                anyhow!("{name}: {what} is not latest yet, and the timeout is over: {last}"),
            ));
        }
        let left = Duration::from_millis(deadline.remaining_ms());
        std::thread::sleep(PAUSE.min(left));
        // What is broken meanwhile is for the passes to say; until then nothing is known that would
        // be a failure of the upgrade.
        let loaded = dir.load().ok().flatten();
        // One that was set aside leaves the rejections alone, until a pass saves again.
        let is_whole = |loaded: &State| state.workloads.is_empty() || !loaded.workloads.is_empty();
        state = loaded.filter(is_whole).unwrap_or(state);
        settings = load_policy(options).unwrap_or(settings);
    }
}

fn not_promoted(line: &Line, name: &WorkloadName, version: &Version, why: &str) -> CommandError {
    line.end();
    CommandError::failed(anyhow!("{name}: {version} was not promoted: {why}"))
}

/// How far it is, on a terminal: one line, written over.
#[derive(Default)]
struct Line {
    shown: String,
}

impl Line {
    fn show(&mut self, name: &WorkloadName, said: String) {
        let mut stderr = std::io::stderr().lock();
        if said != self.shown && stderr.is_terminal() {
            // Progress is a convenience; where it cannot be shown, the wait goes on.
            let _ = write!(stderr, "\r\x1b[K{name}: {said}").and_then(|()| stderr.flush());
        }
        self.shown = said;
    }

    fn end(&self) {
        let mut stderr = std::io::stderr().lock();
        if !self.shown.is_empty() && stderr.is_terminal() {
            let _ = writeln!(stderr);
        }
    }
}
