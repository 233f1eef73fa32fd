//! What a person asked for: `rollback`, carried out at once (design section 7).

use anyhow::anyhow;

use crate::decide::{self, Action, Event, Refusal, RollbackPlan};
use crate::engine::Engine;
use crate::image::{ImageId, Version};
use crate::policy::{Policy, WorkloadName};
use crate::state::{Now, State, Store};
use crate::world::World;

use super::observe::{self, Questions};
use super::{MAX_ROUNDS, Pass, PassError, Record, Witness};

/// What a rollback did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// The version that is rejected now.
    pub rejected: Version,
    /// What latest was moved to; none where it stayed.
    pub latest: Option<Version>,
    /// Actions that failed; the next pass goes on.
    pub failed_actions: usize,
}

/// What a rollback is going to do: what a person is shown, and agrees to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// The version that is going to be rejected.
    pub rejected: Version,
    /// Its image.
    pub image: ImageId,
    /// What latest moves to; none where it stays.
    pub target: Option<(Version, ImageId)>,
    /// What is done to the engine, in this order.
    pub actions: Vec<Action>,
}

/// A rollback that has been decided, and what it was decided from.
struct Prepared {
    world: World,
    /// What brought the memory up to the world.
    events: Vec<Event>,
    rollback: RollbackPlan,
}

/// Decides a rollback from what is remembered and what is there. Changes nothing.
fn prepare<E: Engine>(
    engine: &mut E,
    policy: &Policy,
    state: &State,
    now: &Now,
    name: &WorkloadName,
) -> anyhow::Result<Result<Prepared, Refusal>> {
    let world = observe::observe(engine, policy, state, now, Questions::default())?;
    // Brought up to the world first: an upgrade that no pass has seen yet is what must be rejected.
    let current = decide::decide(policy, state, &world, now);
    let up_to_date = only(name, state, current.state);
    let decided = decide::rollback(policy, &up_to_date, &world, now, name);
    Ok(decided.map(|rollback| Prepared {
        world,
        events: current.events,
        rollback,
    }))
}

impl Prepared {
    fn foreseen(&self, policy: &Policy, now: &Now, name: &WorkloadName) -> Foreseen {
        let rollback = &self.rollback;
        Foreseen {
            rejected: rollback.rejected.clone(),
            image: rollback.image.clone(),
            target: rollback.target.clone(),
            actions: decide::rollback_steps(policy, rollback, &self.world, now, name),
        }
    }
}

/// What a rollback would do now, by the decision that it would act on. Changes nothing.
///
/// # Errors
/// The engine could not be observed.
pub fn foresee<E: Engine>(
    engine: &mut E,
    policy: &Policy,
    state: &State,
    now: &Now,
    name: &WorkloadName,
) -> anyhow::Result<Result<Foreseen, Refusal>> {
    let prepared = prepare(engine, policy, state, now, name)?;
    Ok(prepared.map(|prepared| prepared.foreseen(policy, now, name)))
}

/// Rolls one workload back: the state with the rejection is saved first, then `latest` moves, then R2 applies.
///
/// # Errors
/// The inner refusal means that nothing was changed.
pub fn roll_back<E: Engine, S: Store, W: Witness>(
    pass: &mut Pass<'_, E, S, W>,
    state: &State,
    name: &WorkloadName,
) -> Result<Result<RolledBack, Refusal>, PassError> {
    roll_back_as(pass, state, name, None)
}

/// The same, but only if it is what a person has agreed to: time has passed since, and a pass may have come in between.
///
/// # Errors
/// The inner refusal means that nothing was changed.
pub fn roll_back_as<E: Engine, S: Store, W: Witness>(
    pass: &mut Pass<'_, E, S, W>,
    state: &State,
    name: &WorkloadName,
    agreed: Option<&Foreseen>,
) -> Result<Result<RolledBack, Refusal>, PassError> {
    let mut record = Record::default();
    let prepared = prepare(pass.engine, pass.policy, state, pass.now, name)
        .map_err(|error| record.broke_off(error))?;
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if agreed.is_some_and(|agreed| *agreed != prepared.foreseen(pass.policy, pass.now, name)) {
        return Ok(Err(Refusal::Overtaken(name.clone())));
    }
    let Prepared {
        mut world,
        events,
        rollback,
    } = prepared;
    pass.store
        .save(&rollback.state)
        .map_err(PassError::Broken)?;
    let own_events = events.iter().filter(|e| e.workload == *name);
    for event in own_events.chain([&rollback.event]) {
        pass.witness.event(event);
    }

    let target = rollback.target.as_ref().map(|(_, image)| image);
    for _ in 0..MAX_ROUNDS {
        let actions =
            decide::rollback_actions(pass.policy, &rollback.state, &world, pass.now, name, target);
        let mut acted = false;
        for action in &actions {
            if record.may_try(name, action) {
                acted = true;
                pass.try_action(name, action, None, &mut record);
            }
        }
        if !acted {
            return Ok(Ok(RolledBack {
                rejected: rollback.rejected,
                latest: rollback.target.map(|(version, _)| version),
                failed_actions: record.failed_actions,
            }));
        }
        let seen = observe::observe(
            pass.engine,
            pass.policy,
            &rollback.state,
            pass.now,
            Questions::default(),
        );
        world = seen.map_err(PassError::Broken)?;
    }
    Err(PassError::Broken(anyhow!(
        "the rollback has not come to rest within {MAX_ROUNDS} rounds, which is a bug: please report it with `tagkeeper plan`"
    )))
}

/// The state with what was decided of one workload. The others are left to the next pass: nobody has asked their `ready`
/// commands here, so no soak of theirs may be taken to be over.
fn only(name: &WorkloadName, before: &State, decided: State) -> State {
    let mut workloads = before.workloads.clone();
    let own = decided.workloads.into_iter();
    workloads.extend(own.filter(|(workload, _)| workload == name));
    State {
        workloads,
        ..*before
    }
}
