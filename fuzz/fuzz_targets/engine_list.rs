//! The engine's two lists, a line each, and on a third line an inspect that goes for every
//! container: any bytes are a world or an error, and what is a world can be decided on.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use tagkeeper::engine::{parse_container, parse_lists};
use tagkeeper::store::{parse_state, state_document};
use tagkeeper_core::model::{
    ActionKind, Observation, Policy, Reading, Repository, State, Workload, WorkloadName,
};
use tagkeeper_core::planner;

fn policy() -> Policy {
    let repository = |text| Repository::parse(text).expect("a repository");
    let mut workload = Workload::new("telemetry", repository("docker-sonic-telemetry"));
    workload.remotes = vec![repository("registry.example/docker-sonic-telemetry")];
    Policy {
        workloads: BTreeMap::from([(WorkloadName::new("telemetry"), workload)]),
        ..Policy::default()
    }
}

fn observation(bytes: &[u8]) -> Option<Observation> {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let lists = parse_lists(lines.next()?, lines.next()?).ok()?;
    let mut observed = Observation {
        images: lists.images,
        containers: lists.containers,
        ..Observation::default()
    };
    if let Some(inspected) = lines.next().and_then(|line| parse_container(line).ok()) {
        for container in &observed.containers {
            let details = inspected.details.clone();
            observed.details.insert(container.id.clone(), details);
        }
    }
    Some(observed)
}

fuzz_target!(|bytes: &[u8]| {
    let Some(mut observed) = observation(bytes) else {
        return;
    };
    let policy = policy();
    let latest = policy.workloads["telemetry"].repository.latest();
    let mut state = State::default();
    // A week in leaps, on a host that stands still: soaks end, graces run out.
    for hours in [0, 1, 30, 168] {
        let reading = Reading {
            monotonic_ms: hours * 3_600_000,
            wall: "2026-11-22T23:18:00Z".to_owned(),
        };
        let now = state.clock.advance(&reading);
        observed.pass_ms = now.ms();
        observed.from = now.clone();
        observed.until = now;
        let _ = planner::queries(&policy, &state, &observed);
        let _ = planner::status(&policy, &state, &observed);
        let decision = planner::rounds(&policy, &state, &observed).first;
        for (_, action) in decision.plan.actions() {
            if let ActionKind::RemoveImage { reference, .. } = &action.kind {
                assert_ne!(reference.as_ref(), Some(&latest), "{action:?}");
            }
        }
        // What it would save could be loaded again.
        let saved = state_document(&decision.state).expect("a state can be written");
        let again = parse_state(&saved).expect("and read again");
        assert_eq!(again.workloads, decision.state.workloads);
        state = decision.state;
    }
});
