//! `reconcile`: one pass, under the lock.

use super::{
    Log, Stop, about_file, connect, load_policy, policy_file, state_dir, stop_of, stop_of_load,
};
use crate::cli::Options;
use crate::exit::Exit;
use crate::notify;
use crate::pass::{Pass, ReadyAsker};
use crate::report;
use crate::state::{LoadError, Loaded, Lock, LockError, Reading, State, StateDir};

pub(super) fn reconcile(options: &Options, reading: &Reading) -> Result<Exit, Stop> {
    let policy = load_policy(options)?;
    let dir = state_dir(options);
    let mut lock = dir.lock().map_err(|error| match error {
        LockError::Held => Stop::new(Exit::Locked, anyhow::Error::new(error)),
        LockError::Io(_) => Stop::failed(error),
    })?;
    let (state, set_aside) = load_or_set_aside(&dir, &mut lock, reading)?;
    let now = state.clock.advance(reading);
    if policy.workloads.is_empty() {
        report::log::log_empty_policy(&policy_file(options));
    }

    let mut engine = connect(options, &policy.engine)?;
    let mut witness = Log {
        call_timeout_ms: policy.engine.timeout_ms,
    };
    let mut run_ready = crate::ready::ask;
    let outcome = Pass {
        policy: &policy,
        now: &now,
        engine: &mut engine,
        store: &mut lock,
        witness: &mut witness,
        ready: ReadyAsker::new(&mut run_ready),
    }
    .run(state)
    .map_err(stop_of)?;
    notify::status(&report::status_line(&outcome.plan));
    Ok(if outcome.failed_actions > 0 || set_aside {
        Exit::Failed
    } else {
        Exit::Done
    })
}

/// A pass goes on without a state that cannot be read, but the file is kept, and the pass counts as failed.
fn load_or_set_aside(
    dir: &StateDir,
    lock: &mut Lock,
    reading: &Reading,
) -> Result<(State, bool), Stop> {
    match dir.load() {
        Ok(Loaded::State(state)) => Ok((state, false)),
        Ok(Loaded::Absent) => Ok((State::fresh(), false)),
        Err(error @ LoadError::Corrupt { .. }) => {
            let kept = lock.set_aside(&reading.wall).map_err(Stop::failed)?;
            let error = about_file(dir, error).context(format!(
                "the state cannot be read; it is kept as '{}', and this is a fresh start",
                kept.display()
            ));
            report::log::log_error(None, &error);
            Ok((State::fresh(), true))
        }
        Err(error) => Err(stop_of_load(dir, error)),
    }
}
