//! State bytes: any are a state, a newer one or a corrupt one; and a state decides something on an empty host.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use tagkeeper::decide;
use tagkeeper::image::Repository;
use tagkeeper::policy::{EnginePolicy, Policy, Workload, WorkloadName};
use tagkeeper::state::{Reading, parse_state};
use tagkeeper::world::World;

fuzz_target!(|bytes: &[u8]| {
    let Ok(state) = parse_state(bytes) else {
        return;
    };
    let again = serde_json::to_vec(&state).expect("a state can be written");
    assert_eq!(parse_state(&again).expect("and read again"), state);

    let reading = Reading {
        monotonic_ms: 1_000_000,
        wall: String::new(),
    };
    let mut policy = Policy {
        engine: EnginePolicy::default(),
        workloads: BTreeMap::new(),
        ..Policy::default()
    };
    for name in state.workloads.keys() {
        if let Ok(repository) = Repository::parse("docker-sonic-telemetry") {
            let workload = Workload::new(name.as_str(), repository);
            policy
                .workloads
                .insert(WorkloadName::new(name.as_str()), workload);
        }
    }
    let now = state.clock.advance(&reading);
    let decision = decide::decide(&policy, &state, &World::default(), &now);
    // Nothing is on the disk, so nothing is removed from it.
    assert_eq!(decision.plan.actions(), []);
});
