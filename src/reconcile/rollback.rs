//! What a person asked for: `rollback`, carried out at once (design 7).

use anyhow::anyhow;
use tagkeeper_core::model::{
    Action, Event, ImageId, Now, Observation, Policy, State, Version, WorkloadName,
};
use tagkeeper_core::planner::{self, MAX_ROUNDS, Refusal, RollbackPlan, RollbackTarget, Services};

use super::observe::{self, AllowedQueries};
use super::{EventSink, Pass, PassError, Record, Timekeeper};
use crate::engine::Engine;
use crate::store::Store;

/// What a rollback did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// The version that is rejected now.
    pub rejected: Version,
    /// What `accept` takes to lift that and nothing else.
    pub undo: Version,
    /// What `latest` was to name; none where it was to stay.
    pub meant: Option<Version>,
    /// What `latest` names afterwards; none if nothing.
    pub latest: Option<Version>,
    /// Whether that is what was meant.
    pub is_as_meant: bool,
    /// The containers of the rejected image that run on.
    pub keeps_running: Vec<String>,
    /// Actions that failed; the next pass goes on.
    pub failed_actions: usize,
    /// Removals that the engine refused; later passes try again.
    pub refused_actions: usize,
}

/// What a rollback is going to do: what a person is shown, and agrees to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollbackPreview {
    /// The version that is going to be rejected.
    pub rejected: Version,
    /// Its image.
    pub image: ImageId,
    /// What `accept` takes to lift that and nothing else.
    pub undo: Version,
    /// What `latest` moves to; none where it stays.
    pub target: Option<(Version, ImageId)>,
    /// What `latest` names, where it stays.
    pub stays: Option<Version>,
    /// The containers of the rejected image that run on: tagkeeper never stops containers.
    pub keeps_running: Vec<String>,
    /// What is done to the engine, in this order.
    pub actions: Vec<Action>,
}

/// A rollback that has been decided, and what it was decided from.
struct Prepared {
    observed: Observation,
    /// What brought the state up to the observation.
    events: Vec<Event>,
    rollback: RollbackPlan,
}

/// Decides a rollback from what is remembered and what is there. Changes nothing.
fn prepare<E: Engine>(
    engine: &mut E,
    policy: &Policy,
    state: &State,
    clock: &mut Timekeeper<'_>,
    name: &WorkloadName,
    what: RollbackTarget,
) -> anyhow::Result<Result<Prepared, Refusal>> {
    let began = clock.now();
    let observed = observe::observe(engine, policy, state, clock, &began, queries(name))?;
    // Brought up to the present first: an upgrade that no pass has seen yet is what must be
    // rejected.
    let current = planner::decide(policy, state, &observed);
    let up_to_date = only(name, state, current.state);
    let decided = planner::rollback(policy, &up_to_date, &observed, name, what);
    Ok(decided.map(|rollback| Prepared {
        observed,
        events: current.events,
        rollback,
    }))
}

/// No `ready` command is run, but what could serve is told from shells.
fn queries(name: &WorkloadName) -> AllowedQueries<'_, '_> {
    AllowedQueries {
        services: Some(Services::Of(name)),
        ..AllowedQueries::default()
    }
}

impl Prepared {
    fn preview(&self, policy: &Policy, name: &WorkloadName) -> RollbackPreview {
        let rollback = &self.rollback;
        RollbackPreview {
            rejected: rollback.rejected.clone(),
            image: rollback.image.clone(),
            undo: rollback.undo.clone(),
            target: rollback.target.clone(),
            stays: rollback.stays.clone(),
            keeps_running: rollback.keeps_running.clone(),
            actions: planner::rollback_steps(policy, rollback, &self.observed, name),
        }
    }
}

/// What a rollback would do now, by the decision that it would act on. Changes nothing.
///
/// # Errors
/// The engine could not be observed.
pub fn preview<E: Engine>(
    engine: &mut E,
    policy: &Policy,
    state: &State,
    now: &Now,
    name: &WorkloadName,
    what: RollbackTarget,
) -> anyhow::Result<Result<RollbackPreview, Refusal>> {
    let still = observe::standing_at(now);
    let mut clock = Timekeeper::new(now.clock, &still);
    let prepared = prepare(engine, policy, state, &mut clock, name, what)?;
    Ok(prepared.map(|prepared| prepared.preview(policy, name)))
}

/// Rolls one workload back: the rejection is saved first, then `latest` moves, then R2 applies.
/// With `agreed`, only if it is what a person has agreed to: time has passed since, and a pass may
/// have come in between.
///
/// # Errors
/// The inner refusal means that nothing was changed.
pub fn roll_back<E: Engine, S: Store, W: EventSink>(
    pass: &mut Pass<'_, E, S, W>,
    state: &State,
    name: &WorkloadName,
    what: RollbackTarget,
    agreed: Option<&RollbackPreview>,
) -> Result<Result<RolledBack, Refusal>, PassError> {
    let mut record = Record::new(pass.clock.now(), state);
    let prepared = prepare(pass.engine, pass.policy, state, &mut pass.clock, name, what)
        .map_err(|error| record.broke_off(error))?;
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let is_agreed =
        |agreed: &RollbackPreview| is_same(agreed, &prepared.preview(pass.policy, name));
    if !agreed.is_none_or(is_agreed) {
        return Ok(Err(Refusal::Overtaken(name.clone())));
    }
    let Prepared {
        mut observed,
        mut events,
        mut rollback,
    } = prepared;
    events.retain(|event| event.workload == *name);
    events.push(rollback.event.clone());
    record_it(pass, &mut rollback, &events, &observed.until).map_err(PassError::Broken)?;

    let target = rollback.target.as_ref().map(|(_, image)| image);
    for _ in 0..MAX_ROUNDS {
        let actions =
            planner::rollback_actions(pass.policy, &rollback.state, &observed, name, target);
        let mut acted = false;
        for action in &actions {
            if record.may_try(name, action) {
                acted = true;
                pass.try_action(name, action, None, &mut record);
            }
        }
        if record.note_in(&mut rollback.state, &pass.clock.now()) {
            pass.store
                .save(&rollback.state)
                .map_err(PassError::Broken)?;
        }
        if !acted {
            return Ok(Ok(rolled_back(
                pass.policy,
                &observed,
                name,
                rollback,
                &record,
            )));
        }
        let began = record.began.clone();
        observed = observe::observe(
            pass.engine,
            pass.policy,
            &rollback.state,
            &mut pass.clock,
            &began,
            queries(name),
        )
        .map_err(PassError::Broken)?;
    }
    Err(PassError::Broken(anyhow!(
        "the rollback did not finish within {MAX_ROUNDS} rounds, which is a bug: please report it with the output of `tagkeeper plan`"
    )))
}

/// Saves the rejection, and then the state with what hooks are to be notified of.
fn record_it<E, S: Store, W: EventSink>(
    pass: &mut Pass<'_, E, S, W>,
    rollback: &mut RollbackPlan,
    events: &[Event],
    now: &Now,
) -> anyhow::Result<()> {
    pass.sink.spool(&mut rollback.state, events, now);
    pass.store.save_rejected(&rollback.state.rejected)?;
    pass.store.save(&rollback.state)?;
    for event in events {
        pass.sink.event(event);
    }
    Ok(())
}

/// Whether what would be done is what was agreed to. The clock has moved on since, and guards are
/// for the moment of acting.
fn is_same(agreed: &RollbackPreview, now: &RollbackPreview) -> bool {
    let kinds = |preview: &RollbackPreview| {
        preview
            .actions
            .iter()
            .map(|action| action.kind.clone())
            .collect::<Vec<_>>()
    };
    agreed.rejected == now.rejected
        && agreed.image == now.image
        && agreed.target == now.target
        && kinds(agreed) == kinds(now)
}

/// What the engine says after the last action.
fn rolled_back(
    policy: &Policy,
    observed: &Observation,
    name: &WorkloadName,
    rollback: RollbackPlan,
    record: &Record,
) -> RolledBack {
    let status = planner::status(policy, &rollback.state, observed);
    let latest = status.workloads.get(name).and_then(|w| w.latest.as_ref());
    let is_as_meant = match &rollback.target {
        Some((_, image)) => latest.is_some_and(|latest| latest.image == *image),
        None => latest.is_none_or(|latest| latest.image != rollback.image),
    };
    RolledBack {
        undo: rollback.undo,
        rejected: rollback.rejected,
        meant: rollback.target.map(|(version, _)| version),
        latest: latest.map(|latest| latest.version.clone()),
        is_as_meant,
        keeps_running: rollback.keeps_running,
        failed_actions: record.failed_actions,
        refused_actions: record.refused_actions,
    }
}

/// The state with what was decided of one workload. The others are left to the next pass: nothing
/// has asked their `ready` commands here, so no soak of theirs may be taken to be over.
fn only(name: &WorkloadName, before: &State, decided: State) -> State {
    let mut workloads = before.workloads.clone();
    let own = decided.workloads.into_iter();
    workloads.extend(own.filter(|(workload, _)| workload == name));
    State {
        workloads,
        ..before.clone()
    }
}
