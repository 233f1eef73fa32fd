//! `reconcile`: one pass, under the lock; then its metrics, and then, without the lock, its hooks.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;

use super::{
    Clocks, Log, Stop, about_file, connect, load_policy, policy_file, state_dir, stop_of,
    stop_of_load, stop_of_lock,
};
use crate::cli::Options;
use crate::confine;
use crate::decide::Plan;
use crate::exit::Exit;
use crate::notify;
use crate::pass::{Pass, ReadyAsker};
use crate::policy::{Policy, WorkloadName};
use crate::report::{self, metrics};
use crate::state::{LoadError, Loaded, Lock, Now, Reading, State, StateDir, Tally};
use crate::textfile;

/// Where the unit's runtime directory is.
const RUNTIME_DIR: &str = "/run/tagkeeper";

pub(super) fn reconcile(options: &Options, clocks: &Clocks) -> Result<Exit, Stop> {
    let reading = clocks();
    let policy = load_policy(options)?;
    let dir = state_dir(options);
    let mut lock = dir.lock().map_err(|error| stop_of_lock(&dir, error))?;
    confine_writes(&policy, &dir);
    let mut witness = Log::new(&policy);
    let mut begun = None;
    let ended = load_or_set_aside(&dir, &mut lock, &reading).and_then(|(state, set_aside)| {
        let begun = begun.insert(Begun::new(&state, &reading));
        let (plan, exit) = pass(options, &policy, &begun.now, &mut lock, &mut witness, state)?;
        Ok((plan, if set_aside { Exit::Failed } else { exit }))
    });
    write_metrics(&policy, &reading, clocks, begun.as_ref(), ended.as_ref());
    drop(lock);
    if let Some(begun) = &begun {
        witness.tell_hooks(&begun.now, clocks);
    }
    ended.map(|(_, exit)| exit)
}

/// Before the engine's first answer: whatever it is, nothing is written but the state and the
/// metrics. What the kernel does not know of it is missing, and `check` says so.
fn confine_writes(policy: &Policy, dir: &StateDir) {
    let runtime = std::env::var_os("RUNTIME_DIRECTORY");
    let runtime = runtime.as_deref().map_or(Path::new(RUNTIME_DIR), Path::new);
    let metrics = policy.metrics.textfile.as_deref().and_then(Path::parent);
    let mut writable = vec![dir.path(), runtime];
    writable.extend(metrics);
    if let Err(error) = confine::to_writing_below(&writable) {
        report::log::log_warning(None, &format!("failed to confine the pass: {error}"));
    }
}

/// What a pass began with.
struct Begun {
    now: Now,
    tallies: BTreeMap<WorkloadName, Tally>,
}

impl Begun {
    fn new(state: &State, reading: &Reading) -> Self {
        let workloads = state.workloads.iter();
        Self {
            now: state.clock.advance(reading),
            tallies: workloads.map(|(name, w)| (name.clone(), w.tally)).collect(),
        }
    }
}

fn pass(
    options: &Options,
    policy: &Policy,
    now: &Now,
    lock: &mut Lock,
    witness: &mut Log<'_>,
    state: State,
) -> Result<(Plan, Exit), Stop> {
    if policy.workloads.is_empty() {
        report::log::log_empty_policy(&policy_file(options));
    }
    let mut engine = connect(options, &policy.engine)?;
    let mut run_ready = crate::ready::ask;
    let outcome = Pass {
        policy,
        now,
        engine: &mut engine,
        store: lock,
        witness,
        ready: ReadyAsker::new(&mut run_ready),
    }
    .run(state)
    .map_err(stop_of)?;
    notify::status(&report::status_line(&outcome.plan));
    let exit = if outcome.failed_actions > 0 {
        Exit::Failed
    } else {
        Exit::Done
    };
    Ok((outcome.plan, exit))
}

/// Writes the metrics of a pass that held the lock, however it ended. Where they cannot be written, the pass is as good as it
/// was: the log says so, and whoever scrapes sees a file that is old.
fn write_metrics(
    policy: &Policy,
    reading: &Reading,
    clocks: &Clocks,
    begun: Option<&Begun>,
    ended: Result<&(Plan, Exit), &Stop>,
) {
    let Some(path) = &policy.metrics.textfile else {
        return;
    };
    let exit = ended.map_or_else(|stop| stop.exit, |(_, exit)| *exit);
    let before = || textfile::read_value(path, metrics::LAST_SUCCESS);
    let ended_ms = clocks().monotonic_ms;
    let text = metrics::textfile(&metrics::Pass {
        exit,
        began_at: &reading.wall,
        duration_ms: ended_ms.saturating_sub(reading.monotonic_ms),
        clock_ms: begun.map(|begun| begun.now.ms()),
        success_before: if exit == Exit::Done { None } else { before() },
        policy,
        tallies: begun.map_or(&BTreeMap::new(), |begun| &begun.tallies),
        plan: ended.ok().map(|(plan, _)| plan),
    });
    let written = textfile::write(path, &text)
        .with_context(|| format!("failed to write the metrics to '{}'", path.display()));
    if let Err(error) = written {
        report::log::log_warning(None, &format!("{error:#}"));
    }
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
