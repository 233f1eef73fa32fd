//! What a person asked for: `rollback`, carried out at once (design section 7).

use anyhow::anyhow;

use crate::decide::{self, Refusal};
use crate::engine::Engine;
use crate::image::Version;
use crate::policy::WorkloadName;
use crate::state::{State, Store};

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

/// Rolls one workload back: the state with the rejection is saved first, then `latest` moves, then R2 applies.
///
/// # Errors
/// The inner refusal means that nothing was changed.
pub fn roll_back<E: Engine, S: Store, W: Witness>(
    pass: &mut Pass<'_, E, S, W>,
    state: &State,
    name: &WorkloadName,
) -> Result<Result<RolledBack, Refusal>, PassError> {
    let mut record = Record::default();
    let world = observe::observe(
        pass.engine,
        pass.policy,
        state,
        pass.now,
        Questions::default(),
    );
    let mut world = world.map_err(|error| record.broke_off(error))?;
    // Brought up to the world first: an upgrade that no pass has seen yet is what must be rejected.
    let current = decide::decide(pass.policy, state, &world, pass.now);
    let up_to_date = only(name, state, current.state);
    let rollback = match decide::rollback(pass.policy, &up_to_date, &world, pass.now, name) {
        Ok(rollback) => rollback,
        Err(refusal) => return Ok(Err(refusal)),
    };
    pass.store
        .save(&rollback.state)
        .map_err(PassError::Broken)?;
    let own_events = current.events.iter().filter(|e| e.workload == *name);
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
        "the rollback has not come to rest within {MAX_ROUNDS} rounds, which is a bug"
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
