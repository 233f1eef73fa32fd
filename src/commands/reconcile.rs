//! `reconcile`: one pass, under the lock; then its metrics, and then, without the lock, its hooks.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use tagkeeper_core::Gather;
use tagkeeper_core::model::{Counters, Now, Plan, Reading, State, WorkloadName};

use super::{
    Clocks, CommandError, Log, PASS_MS, about_file, connect, error_of_load, error_of_lock,
    load_policy, operators_file, state_dir,
};
use crate::cli::Options;
use crate::confine;
use crate::deadline::Deadline;
use crate::exit::Exit;
use crate::hooks;
use crate::last_pass::{self, LastPass};
use crate::notify;
use crate::policy_file::Settings;
use crate::ready;
use crate::reconcile::{Pass, ReadyAnswers, Timekeeper};
use crate::report::{self, metrics};
use crate::store::{LoadError, Lock, StateDir, Store};
use crate::textfile;

pub(super) fn reconcile(options: &Options, clocks: &Clocks) -> Result<Exit, CommandError> {
    let dir = state_dir(options);
    last_pass::make_directory();
    let begun = load_policy(options).and_then(|settings| {
        let lock = dir.lock().map_err(|error| error_of_lock(&dir, error))?;
        Ok((settings, lock))
    });
    let (settings, lock) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            note_pass(&dir, clocks, Err(&error));
            return Err(error);
        }
    };
    let mut sink = Log::new(&settings);
    let ended = run(options, &dir, clocks, &settings, lock, &mut sink);
    if !sink.for_hooks.is_empty() {
        hooks::wait(&settings.hooks);
    }
    sink.run_hooks(&dir, clocks);
    ended
}

/// One pass, its metrics and the note of how it ended, all of it under the lock.
fn run(
    options: &Options,
    dir: &StateDir,
    clocks: &Clocks,
    settings: &Settings,
    mut lock: Lock,
    sink: &mut Log<'_>,
) -> Result<Exit, CommandError> {
    // Not before: whoever had the lock until now may have saved a later time, and an earlier one
    // would look like a reboot (design 5.2).
    let reading = clocks();
    let deadline = Deadline::after(clocks, PASS_MS);
    confine_writes(settings, dir);
    let mut began = None;
    let mut set_aside = None;
    let ended = load_or_set_aside(dir, &mut lock, &reading).and_then(|(mut state, why)| {
        set_aside = why;
        began = Some(Began::new(&state, &reading));
        tell_dropped(&lock);
        claim_waiting(&mut lock, sink, &mut state, &reading);
        let run = Run {
            options,
            settings,
            clocks,
            deadline,
        };
        let passed = run.pass(&mut lock, sink, state);
        match &set_aside {
            None => passed.map_err(CommandError::unchanged),
            // That was a change, whatever became of the rest.
            Some(said) => match passed {
                Ok((plan, _)) => Ok((plan, Exit::Failed)),
                Err(failed) => Err(CommandError::failed(failed.error.context(said.clone()))),
            },
        }
    });
    write_metrics(settings, &reading, clocks, began.as_ref(), ended.as_ref());
    let noted = ended.as_ref().map(|(_, exit)| (*exit, set_aside));
    note_pass(dir, clocks, noted);
    ended.map(|(_, exit)| exit)
}

/// Before the engine's first answer: whatever it is, nothing is written but the state and the
/// metrics. What the kernel does not know of it is missing (SECURITY.md).
fn confine_writes(settings: &Settings, dir: &StateDir) {
    let runtime = last_pass::directory();
    let metrics = settings.metrics.textfile.as_deref().and_then(Path::parent);
    let mut writable = vec![dir.path(), runtime.as_path()];
    writable.extend(metrics);
    let hooks = &settings.hooks;
    let runs_programs = [&hooks.promoted, &hooks.failed, &hooks.rolled_back]
        .iter()
        .any(|h| h.is_some())
        || settings
            .policy
            .workloads
            .values()
            .any(|w| w.ready.is_some());
    if let Err(error) = confine::to_writing_below(&writable, runs_programs) {
        report::log::log_warning(None, &format!("failed to confine the pass: {error}"));
    }
}

/// Notes when the pass ended and how, for `status`. A lock that is held says nothing about passes:
/// another one is at work.
fn note_pass(
    dir: &StateDir,
    clocks: &Clocks,
    ended: Result<(Exit, Option<String>), &CommandError>,
) {
    let (exit, error) = match ended {
        Ok(ended) => ended,
        Err(error) if error.exit == Exit::Locked => return,
        Err(error) => (error.exit, Some(error.brief())),
    };
    let reading = clocks();
    let error = error.map(|error| crate::text::clean(&error));
    let pass = LastPass {
        ended_at: reading.wall,
        monotonic_ms: reading.monotonic_ms,
        exit_code: exit.code(),
        error: error.or_else(|| {
            (exit == Exit::Failed).then(|| "not everything was done; see the journal".to_owned())
        }),
    };
    if let Err(error) = last_pass::write(dir.path(), pass) {
        report::log::log_warning(None, &format!("{error:#}"));
    }
}

/// What a pass began with.
struct Began {
    now: Now,
    counters: BTreeMap<WorkloadName, Counters>,
    events_waiting: usize,
}

impl Began {
    fn new(state: &State, reading: &Reading) -> Self {
        let workloads = state.workloads.iter();
        Self {
            now: state.clock.advance(reading),
            counters: workloads
                .map(|(name, w)| (name.clone(), w.counters))
                .gather(),
            events_waiting: state.undelivered.len(),
        }
    }
}

/// What a pass runs with.
struct Run<'a> {
    options: &'a Options,
    settings: &'a Settings,
    clocks: &'a Clocks,
    deadline: Deadline<'a>,
}

impl Run<'_> {
    fn pass(
        &self,
        lock: &mut Lock,
        sink: &mut Log<'_>,
        mut state: State,
    ) -> Result<(Plan, Exit), CommandError> {
        let policy = &self.settings.policy;
        if policy.workloads.is_empty() {
            report::log::log_empty_policy(&operators_file(self.options));
        }
        if state.instance.is_empty() {
            let instance = lock.instance().map_err(CommandError::failed)?;
            instance.clone_into(&mut state.instance);
        }
        let is_carried_over = carry_over(lock, &state);
        let mut engine = connect(self.options, &self.settings.engine, self.deadline)?;
        let mut commands = ready::Commands::new(self.deadline);
        let mut ask = |queries: &[_]| commands.ask_all(policy, queries);
        let outcome = Pass {
            policy,
            clock: Timekeeper::new(state.clock, self.clocks),
            engine: &mut engine,
            store: lock,
            sink,
            ready: ReadyAnswers::new(&mut ask),
        }
        .run(state)?;
        notify::status(&report::status_line(&outcome.plan));
        let exit = if outcome.failed_actions > 0 || !is_carried_over {
            Exit::Failed
        } else {
            Exit::Done
        };
        Ok((outcome.plan, exit))
    }
}

/// Writes the metrics of a pass that held the lock, however it ended. Where they cannot be written,
/// the pass is as good as it was: the log says so, and whoever scrapes sees a file that is old.
fn write_metrics(
    settings: &Settings,
    reading: &Reading,
    clocks: &Clocks,
    began: Option<&Began>,
    ended: Result<&(Plan, Exit), &CommandError>,
) {
    let Some(path) = &settings.metrics.textfile else {
        return;
    };
    let exit = ended.map_or_else(|error| error.exit, |(_, exit)| *exit);
    let before = || textfile::read_value(path, metrics::LAST_SUCCESS);
    let ended_ms = clocks().monotonic_ms;
    let text = metrics::textfile(&metrics::Pass {
        exit,
        began_at: &reading.wall,
        duration_ms: ended_ms.saturating_sub(reading.monotonic_ms),
        clock_ms: began.map(|began| began.now.ms()),
        events_waiting: began.map(|began| began.events_waiting),
        success_before: if exit == Exit::Done { None } else { before() },
        policy: &settings.policy,
        policy_hash: settings.hash,
        counters: began.map(|began| &began.counters),
        plan: ended.ok().map(|(plan, _)| plan),
    });
    let remedy = "remove it, or name another file in [metrics] textfile";
    let written = textfile::write(path, &text, remedy)
        .with_context(|| format!("failed to write the metrics to '{}'", path.display()));
    if let Err(error) = written {
        report::log::log_warning(None, &format!("{error:#}"));
    }
}

/// Claims the events of earlier passes whose hooks are due again, whatever becomes of this pass.
/// What cannot be noted is not claimed: it would be sent every minute.
fn claim_waiting(lock: &mut Lock, sink: &mut Log<'_>, state: &mut State, reading: &Reading) {
    if state.undelivered.is_empty() {
        return;
    }
    let now = state.clock.advance(reading);
    let mut next = state.clone();
    let claimed = hooks::outbox::claim(&mut next, sink.hooks, &now);
    if next == *state {
        return;
    }
    next.clock = now.clock;
    if let Err(error) = lock.save(&next) {
        let error = error.context("hooks wait until the state can be saved");
        report::log::log_error(None, &error);
        return;
    }
    *state = next;
    hooks::warn_of_lost(&claimed.expired, "its hook has failed for a day");
    sink.for_hooks.extend(claimed.due);
}

/// Says what a rejection took out of the state, before a save makes it so on the disk.
fn tell_dropped(lock: &Lock) {
    for dropped in lock.dropped() {
        let message = format!(
            "{} was in the lineage or pending although it is rejected; it stays rejected",
            dropped.version
        );
        report::log::log_warning(Some(&dropped.workload), &message);
    }
}

/// Saves a state of an earlier format, or one that a rejection has taken something out of, in the
/// present form. Where it cannot, the pass goes by what the disk says, like any other: it may make
/// room. Whether nothing is left to carry over.
fn carry_over(lock: &mut Lock, state: &State) -> bool {
    if !lock.is_outdated() {
        return true;
    }
    let saved = lock
        .save(state)
        .context("the state was not carried over into its present form; the next pass tries again");
    if let Err(error) = &saved {
        report::log::log_error(None, error);
    }
    saved.is_ok()
}

/// A pass goes on without a state that cannot be read, but the file is kept, the pass counts as
/// failed, and says why.
fn load_or_set_aside(
    dir: &StateDir,
    lock: &mut Lock,
    reading: &Reading,
) -> Result<(State, Option<String>), CommandError> {
    match lock.load() {
        Ok(loaded) => Ok((loaded.unwrap_or_default(), None)),
        Err(error @ LoadError::Corrupt { .. }) => {
            let kept = lock
                .set_aside(&reading.wall)
                .map_err(CommandError::failed)?;
            let said = format!(
                "the state cannot be read; it is kept as '{}', and this is a fresh start",
                kept.display()
            );
            let error = about_file(dir, error).context(said.clone());
            report::log::log_error(None, &error);
            // What a person rejected is in a file of its own.
            let rest = lock.load().map_err(|error| error_of_load(dir, error))?;
            Ok((rest.unwrap_or_default(), Some(said)))
        }
        Err(error) => Err(error_of_load(dir, error)),
    }
}
