//! The engine's two lists, a line each, and on a third line an inspect that goes for every container: any bytes are a world
//! or an error, and what is a world can be decided on.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use tagkeeper::decide::{self, Action};
use tagkeeper::engine::{parse_container, parse_lists};
use tagkeeper::image::Repository;
use tagkeeper::policy::{EnginePolicy, Policy, Workload, WorkloadName};
use tagkeeper::state::{Reading, State, parse_state};
use tagkeeper::world::World;

fn policy() -> Policy {
    let repository = |text| Repository::parse(text).expect("a repository");
    let mut workload = Workload::new("telemetry", repository("docker-sonic-telemetry"));
    workload.remotes = vec![repository("registry.example/docker-sonic-telemetry")];
    Policy {
        engine: EnginePolicy::default(),
        workloads: BTreeMap::from([(WorkloadName::new("telemetry"), workload)]),
        ..Policy::default()
    }
}

fn world(bytes: &[u8]) -> Option<World> {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut world = parse_lists(lines.next()?, lines.next()?).ok()?;
    if let Some(inspected) = lines.next().and_then(|line| parse_container(line).ok()) {
        for container in &world.containers {
            let details = inspected.details.clone();
            world.details.insert(container.id.clone(), details);
        }
    }
    Some(world)
}

fuzz_target!(|bytes: &[u8]| {
    let Some(world) = world(bytes) else { return };
    let policy = policy();
    let latest = policy.workloads["telemetry"].repository.latest();
    let mut state = State::fresh();
    // A week in leaps, on a world that stands still: soaks end, graces run out.
    for hours in [0, 1, 30, 168] {
        let reading = Reading {
            monotonic_ms: hours * 3_600_000,
            wall: "2026-11-22T23:18:00Z".to_owned(),
        };
        let now = state.clock.advance(&reading);
        let _ = decide::inquiries(&policy, &state, &world, &now);
        let decision = decide::decide(&policy, &state, &world, &now);
        for (_, action) in decision.plan.actions() {
            if let Action::RemoveImage { reference, .. } = action {
                assert_ne!(reference.as_ref(), Some(&latest), "{action}");
            }
        }
        // What it would save could be loaded again.
        let saved = serde_json::to_vec(&decision.state).expect("a state can be written");
        assert_eq!(parse_state(&saved).expect("and read again"), decision.state);
        state = decision.state;
    }
});
