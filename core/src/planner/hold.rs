//! Which workloads are on hold (design 6, `[hold]`). Part of recalling: the state knows when each
//! section was first seen.

use alloc::collections::BTreeMap;
use alloc::string::String;

use crate::Gather;
use crate::model::{HeldBy, Observation, Policy, State, WorkloadName};

/// The sections that the policy has now, with the clock when each was first seen. A section that is
/// gone leaves no trace.
pub(super) fn seen(
    policy: &Policy,
    state: &State,
    observed: &Observation,
) -> BTreeMap<String, u64> {
    let first_seen = |key: &String| state.holds.get(key).copied().unwrap_or(observed.until.ms());
    let keys = policy.holds.iter().map(crate::model::Hold::key);
    keys.map(|key| (key.clone(), first_seen(&key))).gather()
}

/// What holds each workload. Of several sections the one that lasts longest is named.
pub(super) fn in_force(
    policy: &Policy,
    seen: &BTreeMap<String, u64>,
    observed: &Observation,
) -> BTreeMap<WorkloadName, HeldBy> {
    let now_ms = observed.from.ms();
    let mut held = BTreeMap::new();
    for (name, workload) in &policy.workloads {
        let sections = policy.holds.iter().filter(|hold| hold.names(name));
        let lasting = sections.filter_map(|hold| {
            let since_ms = seen.get(&hold.key()).copied().unwrap_or(now_ms);
            let left_ms = hold
                .for_ms
                .map(|for_ms| for_ms.saturating_sub(now_ms.saturating_sub(since_ms)));
            (left_ms != Some(0)).then_some((left_ms, hold))
        });
        let longest = lasting.max_by_key(|(left_ms, _)| left_ms.unwrap_or(u64::MAX));
        // With `hold = true` besides, it does not end with the section.
        let by_section = longest.map(|(left_ms, hold)| HeldBy::Section {
            reason: hold.reason.clone(),
            left_ms: left_ms.filter(|_| !workload.hold),
        });
        let by_workload = workload.hold.then_some(HeldBy::Workload);
        if let Some(by) = by_section.or(by_workload) {
            held.insert(name.clone(), by);
        }
    }
    held
}
