//! `rollback` and `accept`: what a person asked for. They wait for the lock, and work on hold.

use anyhow::{Context, anyhow};

use super::{
    Clocks, Log, PASS_MS, Stop, about_file, connect, known_workload, load_policy, lock_patiently,
    print, state_dir, stop_of, stop_of_load, terminal,
};
use crate::cli::Options;
use crate::deadline::Deadline;
use crate::exit::Exit;
use crate::image::Version;
use crate::pass::{self, Foreseen, Pass, PassError, ReadyAsker};
use crate::policy::WorkloadName;
use crate::ready;
use crate::report;
use crate::state::{LoadError, Loaded, State, StateDir};

/// Rolls back; on a terminal, once the person there has seen what that comes to and agreed.
///
/// The lock is not held while a person thinks, or no pass could run. So what they were shown is decided once more under the
/// lock, and if it has become something else, nothing is done.
pub(super) fn rollback(
    options: &Options,
    clocks: &Clocks,
    workload: &WorkloadName,
    yes: bool,
) -> Result<Exit, Stop> {
    let mut agreed = None;
    if !yes && terminal::is_a_person_there() {
        let foreseen = foresee(options, clocks, workload)?;
        let page = terminal::page(options, &std::io::stderr());
        let shown = report::text::rollback_foreseen(workload, &foreseen, page);
        let answer = terminal::asks(&shown, &format!("Roll {workload} back?"));
        if !answer
            .context("failed to ask whether to roll back")
            .map_err(Stop::failed)?
        {
            return Err(Stop::failed(anyhow!(
                "not rolled back; nothing was changed"
            )));
        }
        agreed = Some(foreseen);
    }
    roll_back(options, clocks, workload, agreed.as_ref())
}

/// What a rollback would do now. Takes no lock and changes nothing.
fn foresee(options: &Options, clocks: &Clocks, workload: &WorkloadName) -> Result<Foreseen, Stop> {
    let policy = load_policy(options)?;
    let name = known_workload(policy.workloads.keys(), workload)?;
    let state = load_or_fresh(&state_dir(options))?;
    let now = state.clock.advance(&clocks());
    let deadline = Deadline::after(clocks, PASS_MS);
    let mut engine = connect(options, &policy.engine, deadline)?;
    pass::foresee(&mut engine, &policy, &state, &now, &name)
        .map_err(|error| stop_of(PassError::Unobserved(error)))?
        .map_err(Stop::failed)
}

fn roll_back(
    options: &Options,
    clocks: &Clocks,
    workload: &WorkloadName,
    agreed: Option<&Foreseen>,
) -> Result<Exit, Stop> {
    let policy = load_policy(options)?;
    let name = known_workload(policy.workloads.keys(), workload)?;
    let dir = state_dir(options);
    let mut lock = lock_patiently(&dir, clocks)?;
    let state = load_or_fresh(&dir)?;
    let now = state.clock.advance(&clocks());
    let deadline = Deadline::after(clocks, PASS_MS);
    let mut engine = connect(options, &policy.engine, deadline)?;
    let mut witness = Log::new(&policy);
    let mut commands = ready::Commands::new(deadline);
    let mut run_ready = |questions: &[ready::Question<'_>]| commands.ask_all(questions);
    let mut pass = Pass {
        policy: &policy,
        now: &now,
        engine: &mut engine,
        store: &mut lock,
        witness: &mut witness,
        ready: ReadyAsker::new(&mut run_ready),
    };
    let ended = pass::roll_back_as(&mut pass, &state, &name, agreed);
    drop(lock);
    witness.tell_hooks(&now, clocks);
    let done = ended.map_err(stop_of)?.map_err(Stop::failed)?;
    print(&report::text::rolled_back(&name, &done))?;
    Ok(if done.failed_actions > 0 {
        Exit::Failed
    } else {
        Exit::Done
    })
}

pub(super) fn accept(
    options: &Options,
    clocks: &Clocks,
    workload: &WorkloadName,
    version: &Version,
) -> Result<Exit, Stop> {
    let policy = load_policy(options)?;
    let dir = state_dir(options);
    let mut lock = lock_patiently(&dir, clocks)?;
    let state = load_or_fresh(&dir)?;
    let name = known_workload(
        policy.workloads.keys().chain(state.workloads.keys()),
        workload,
    )?;
    let now = state.clock.advance(&clocks());
    let Some(accepted) = crate::decide::accept(&state, &now, &name, version) else {
        let rejected = state
            .workloads
            .get(&name)
            .map(|known| &known.rejected)
            .into_iter()
            .flatten();
        let versions: Vec<_> = rejected
            .map(|(_, rejection)| rejection.version.as_str())
            .collect();
        let known = if versions.is_empty() {
            "nothing is".to_owned()
        } else {
            versions.join(", ")
        };
        return Err(Stop::failed(anyhow!(
            "version '{version}' of '{name}' is not rejected, so there is nothing to accept; rejected: {known}"
        )));
    };
    lock.save(&accepted).map_err(Stop::failed)?;
    print(&format!(
        "{name}: {version} is accepted again; it is soaked when it serves\n"
    ))?;
    Ok(Exit::Done)
}

/// A person's command does not go on without the state it would change.
fn load_or_fresh(dir: &StateDir) -> Result<State, Stop> {
    match dir.load() {
        Ok(Loaded::State(state)) => Ok(state),
        Ok(Loaded::Absent) => Ok(State::fresh()),
        Err(error @ LoadError::Corrupt { .. }) => Err(Stop::failed(
            about_file(dir, error)
                .context("the state cannot be read; run `tagkeeper reconcile`, which sets it aside, and try again"),
        )),
        Err(error) => Err(stop_of_load(dir, error)),
    }
}
