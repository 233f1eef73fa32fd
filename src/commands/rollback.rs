//! `rollback` and `accept`: what a person asked for. They wait for the lock, and work on hold.

use anyhow::{Context, anyhow};
use tagkeeper_core::model::{
    ImageId, LineageEntry, Policy, Rejected, State, Version, WorkloadName,
};
use tagkeeper_core::planner::{self, Refusal, RollbackTarget};

use super::{
    Clocks, CommandError, Log, PASS_MS, check_state_dir, connect, known_workload, lists,
    load_or_fresh, load_policy, lock_patiently, state_dir, tell, terminal,
};
use crate::cli::Options;
use crate::deadline::Deadline;
use crate::exit::Exit;
use crate::reconcile::{self, Pass, PassError, ReadyAnswers, RollbackPreview, Timekeeper};
use crate::report::{self, words};
use crate::store::{StateDir, Store};

/// Rolls back, once the person at the terminal has seen what will happen and agreed, if they have
/// not before.
///
/// The lock is not held while a person thinks, or no pass could run. So what they were shown is
/// decided once more under the lock, and if it has become something else, nothing is done.
pub(super) fn rollback(
    options: &Options,
    clocks: &Clocks,
    workload: &WorkloadName,
    target: RollbackTarget,
    is_agreed: bool,
) -> Result<Exit, CommandError> {
    let mut agreed = None;
    if !is_agreed {
        let preview = preview(options, clocks, workload, target)?;
        let page = terminal::page(options, &std::io::stderr());
        let shown = report::text::rollback_preview(workload, &preview, page);
        if !terminal::is_interactive() {
            return Err(CommandError::failed(anyhow!(
                "not rolled back: there is no terminal to ask at, and --yes was not given; nothing was changed. It would do this:\n{}",
                report::text::rollback_preview(workload, &preview, report::Page::default())
                    .trim_end()
            )));
        }
        let answer = terminal::asks(&shown, &format!("Roll {workload} back?"));
        if !answer
            .context("failed to ask whether to roll back")
            .map_err(CommandError::failed)?
        {
            return Err(CommandError::failed(anyhow!(
                "not rolled back; nothing was changed"
            )));
        }
        agreed = Some(preview);
    }
    roll_back(options, clocks, workload, target, agreed.as_ref())
}

/// What a rollback would do now. Takes no lock and changes nothing.
fn preview(
    options: &Options,
    clocks: &Clocks,
    workload: &WorkloadName,
    target: RollbackTarget,
) -> Result<RollbackPreview, CommandError> {
    let settings = load_policy(options)?;
    let name = known_workload(settings.policy.workloads.keys(), workload)?;
    // Before the state: a pass may save a later clock meanwhile.
    let reading = clocks();
    let state = load_or_fresh(&state_dir(options), None)?;
    let deadline = Deadline::after(clocks, PASS_MS);
    let mut engine = connect(options, &settings.engine, deadline)?;
    let now = state.clock.at_most(&reading);
    reconcile::preview(&mut engine, &settings.policy, &state, &now, &name, target)
        .map_err(|error| CommandError::new(Exit::Unavailable, error).unchanged())?
        .map_err(|refusal| refused(&refusal, target))
}

fn refused(refusal: &Refusal, target: RollbackTarget) -> CommandError {
    CommandError::failed(anyhow!(words::refusal(refusal, target)))
}

fn roll_back(
    options: &Options,
    clocks: &Clocks,
    workload: &WorkloadName,
    target: RollbackTarget,
    agreed: Option<&RollbackPreview>,
) -> Result<Exit, CommandError> {
    let settings = load_policy(options)?;
    let name = known_workload(settings.policy.workloads.keys(), workload)?;
    let dir = state_dir(options);
    check_state_dir(options, &dir, workload)?;
    let mut lock = lock_patiently(&dir, clocks)?;
    let state = load_or_fresh(&dir, Some(&mut lock))?;
    let deadline = Deadline::after(clocks, PASS_MS);
    let mut engine = connect(options, &settings.engine, deadline)?;
    let mut sink = Log::new(&settings);
    let clock = Timekeeper::new(state.clock, clocks);
    let mut ask = |_: &[planner::Query]| Vec::new();
    let mut pass = Pass {
        policy: &settings.policy,
        clock,
        engine: &mut engine,
        store: &mut lock,
        sink: &mut sink,
        ready: ReadyAnswers::new(&mut ask),
    };
    let ended = reconcile::roll_back(&mut pass, &state, &name, target, agreed);
    let ended = ended.map_err(|error| match error {
        PassError::Broken(error) => broken(&dir, &state, error),
        unobserved @ PassError::Unobserved(_) => CommandError::from(unobserved).unchanged(),
    });
    drop(lock);
    if let Ok(Ok(done)) = &ended {
        let page = terminal::page(options, &std::io::stdout());
        tell(&report::text::rolled_back(&name, done, page));
    }
    // They may take a minute.
    sink.run_hooks(&dir, clocks);
    let done = ended?.map_err(|refusal| refused(&refusal, target))?;
    Ok(if done.is_as_meant && done.failed_actions == 0 {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// That it could not be done; and where the state on the disk is what it was, that nothing was
/// changed. It is saved before anything else is done.
fn broken(dir: &StateDir, before: &State, error: anyhow::Error) -> CommandError {
    with_what_holds(dir, error, |now| now == before, "nothing was changed")
}

/// The error of a save, and what still holds for all that; not if the disk says otherwise, for the
/// save may have failed after it took effect.
fn with_what_holds(
    dir: &StateDir,
    error: anyhow::Error,
    holds: impl FnOnce(&State) -> bool,
    said: &str,
) -> CommandError {
    let still_holds = load_or_fresh(dir, None).is_ok_and(|now| holds(&now));
    CommandError::failed(if still_holds {
        error.context(said.to_owned())
    } else {
        error
    })
}

pub(super) fn accept(
    options: &Options,
    clocks: &Clocks,
    workload: &WorkloadName,
    wanted: &Version,
) -> Result<Exit, CommandError> {
    let settings = load_policy(options)?;
    let dir = state_dir(options);
    check_state_dir(options, &dir, workload)?;
    let mut lock = lock_patiently(&dir, clocks)?;
    let state = load_or_fresh(&dir, Some(&mut lock))?;
    let known = settings
        .policy
        .workloads
        .keys()
        .chain(state.workloads.keys());
    let name = known_workload(known.chain(state.rejected.keys()), workload)?;
    let was_proven = meant(&state, &name, wanted).any(|(_, rejected)| rejected.proven.is_some());
    let on_disk = if was_proven {
        let seen = lists(options, &settings.engine, clocks).map_err(|failed| {
            let why = report::log::in_words(&failed.error);
            let error = anyhow!(
                "nothing was changed: {wanted} was proven, and the engine could not be asked whether its image is still on the disk: {why}"
            );
            CommandError::new(Exit::Unavailable, error)
        })?;
        seen.images
    } else {
        Vec::new()
    };
    let is_on_disk = |id: &ImageId| on_disk.iter().any(|image| image.id == *id);
    let Some(mut accepted) = planner::accept(&state, &name, wanted, is_on_disk) else {
        let error = not_rejected(&settings.policy, &state, &name, wanted);
        return Err(CommandError::failed(error));
    };
    // The lineage first: killed in between, the rejection still stands.
    if accepted.workloads != state.workloads {
        accepted.clock = Timekeeper::new(state.clock, clocks).now().clock;
        lock.save(&accepted)
            .map_err(|error| broken(&dir, &state, error))?;
    }
    lock.save_rejected(&accepted.rejected).map_err(|error| {
        let said = format!("{wanted} is still rejected");
        with_what_holds(&dir, error, |now| now.rejected == state.rejected, &said)
    })?;
    let said = said_of_accepted(
        &settings.policy,
        &state,
        &accepted,
        &name,
        wanted,
        is_on_disk,
    );
    tell(&format!("{name}: {said}\n"));
    Ok(Exit::Done)
}

/// The rejected images that are meant: those of a version, or one by its id.
fn meant<'s>(
    state: &'s State,
    name: &WorkloadName,
    wanted: &Version,
) -> impl Iterator<Item = (&'s ImageId, &'s Rejected)> {
    state
        .rejected_of(name)
        .filter(|(image, rejected)| wanted.names(&rejected.version, image))
}

/// What comes of an accepted version, and what it costs.
fn said_of_accepted(
    policy: &Policy,
    before: &State,
    accepted: &State,
    name: &WorkloadName,
    wanted: &Version,
    is_on_disk: impl Fn(&ImageId) -> bool,
) -> String {
    let lifted: Vec<_> = meant(before, name, wanted).collect();
    let by_id = lifted.iter().find(|(_, r)| r.version != *wanted);
    let version = by_id.map_or_else(
        || wanted.to_string(),
        |(image, r)| words::called(&r.version, image),
    );
    let is_rejected_still =
        |(image, r): &(&ImageId, &Rejected)| policy_rejects(policy, name, &r.version, Some(image));
    if lifted.iter().any(is_rejected_still) {
        return format!(
            "{version} is not rejected by a rollback any more; [reject] in the policy names it still, \
             so it is not promoted until it is taken out there"
        );
    }
    let (was, is) = (lineage_of(before, name), lineage_of(accepted, name));
    if is.len() == was.len() {
        return format!("{version} may be promoted again; it will soak the next time it runs");
    }
    let wanted = policy
        .workloads
        .get(name)
        .map(|w| w.fallbacks.saturating_add(1));
    let cut: Vec<&str> = is
        .iter()
        .filter(|proven| is_on_disk(&proven.image))
        .skip(wanted.unwrap_or(usize::MAX))
        .map(|proven| proven.version.as_str())
        .collect();
    let cost = if cut.is_empty() {
        String::new()
    } else {
        format!(
            "; {} is one fallback more than the policy keeps, and is removed by the next pass",
            cut.join(", ")
        )
    };
    format!("{version} may be promoted again, and is a fallback again{cost}")
}

fn lineage_of<'s>(state: &'s State, name: &WorkloadName) -> &'s [LineageEntry] {
    let known = state.workloads.get(name);
    known.map_or(&[], |known| &known.memory.lineage)
}

/// That there is nothing to accept, and what is rejected.
fn not_rejected(
    policy: &Policy,
    state: &State,
    name: &WorkloadName,
    wanted: &Version,
) -> anyhow::Error {
    let rejected = state.rejected_of(name);
    let versions: Vec<_> = rejected
        .map(|(image, r)| words::called(&r.version, image))
        .collect();
    let known = if policy_rejects(policy, name, wanted, None) {
        "[reject] in the policy names it: take it out there".to_owned()
    } else if versions.is_empty() {
        "no rollback has rejected anything".to_owned()
    } else {
        format!("rejected: {}", versions.join(", "))
    };
    anyhow!(
        "no rollback has rejected version '{wanted}' of '{name}', so there is nothing to accept; {known}"
    )
}

/// Whether an entry of `[reject]` names the version, or this image of it.
fn policy_rejects(
    policy: &Policy,
    name: &WorkloadName,
    version: &Version,
    image: Option<&ImageId>,
) -> bool {
    let mut rejections = policy.rejections.get(name).into_iter().flatten();
    rejections.any(|rejection| {
        rejection.is_version(version.as_str()) || image.is_some_and(|image| rejection.is_id(image))
    })
}
