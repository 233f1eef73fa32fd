//! The plan by the state as it is saved: for a person who asks how things stand, and for a pass
//! that cannot save what it decides.

use alloc::vec::Vec;

use super::subject::subjects;
use super::{disk, each, follow, ownership, records, serving, upgrade};
use crate::model::{Memory, Note, Observation, Plan, Policy, State, WorkloadState};

/// The records and observations, with the verdicts of a decision that nothing has made yet (design
/// 7, `status`).
///
/// What is latest, proven, pending and failed is what the state says; no decision is made from it.
pub fn status(policy: &Policy, state: &State, observed: &Observation) -> Plan {
    as_saved(policy, state, observed, |recalled, advanced| {
        // How long an image has been idle is an observation; whose it is to be is not.
        let memory = Memory {
            images: advanced.state.memory.images,
            ..recalled.memory.clone()
        };
        let state = WorkloadState {
            memory,
            held_since_ms: advanced.state.held_since_ms,
            held_at: advanced.state.held_at,
            ..recalled.clone()
        };
        (state, advanced.notes)
    })
}

/// What to do while a later state cannot be saved. Names are kept as they are; what the saved state
/// has retired, or knows to be idle, is removed.
pub fn plan_as_saved(policy: &Policy, state: &State, observed: &Observation) -> Plan {
    as_saved(policy, state, observed, |recalled, _| {
        (recalled.clone(), Vec::new())
    })
}

/// The column of a decision, but for what it would change: `saved` gives the state that is gone by
/// instead of the one that stage 4 gives.
fn as_saved(
    policy: &Policy,
    state: &State,
    observed: &Observation,
    saved: impl Fn(&WorkloadState, upgrade::Upgrade<'_>) -> (WorkloadState, Vec<Note>),
) -> Plan {
    let recalled = disk::recall(policy, state, observed);
    let inventory = ownership::assign(policy, &recalled, observed);
    let subjects = subjects(policy, &recalled, &inventory);
    let serving = each(&subjects, |s| serving::of(s, recalled.memory(s.name)));
    let upgrades = each(&subjects, |s| {
        let known = recalled.of(s.name);
        let records = records::update(s, known);
        let advanced = upgrade::advance(s, &records, known, &serving[s.name]);
        let (state, notes) = saved(known, advanced);
        upgrade::Upgrade {
            state,
            notes,
            events: Vec::new(),
            tags: Vec::new(),
            stale: Vec::new(),
        }
    });
    follow(&subjects, &serving, &upgrades, observed.disk.as_ref())
}
