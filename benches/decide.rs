//! What the decision costs, alone: worlds of ten to ten thousand images, and as many containers.
//!
//! `make bench` runs it; the goal is a line, and at most 5 ms for ten thousand
//! (docs/performance.md).
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tagkeeper_core::model::{
    Container, ContainerId, ContainerState, Details, Image, ImageId, Now, Observation, Policy,
    Reading, Reference, Repository, State, Workload, WorkloadName,
};
use tagkeeper_core::planner::{decide, queries};

const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];
const REMOTE: &str = "registry.example/bench";

fn costs(criterion: &mut Criterion) {
    let policy = policy();
    let mut group = criterion.benchmark_group("decide");
    group
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    for size in SIZES {
        let (idle, observed) = after_promotion(&policy, listed(size));
        let decided = decide(&policy, &idle, &observed);
        assert!(!decided.save, "the pass that is measured is idle");
        assert_eq!(queries(&policy, &idle, &observed), [], "and asks nothing");
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::new("idle", size), |bencher| {
            bencher.iter(|| decide(black_box(&policy), black_box(&idle), black_box(&observed)));
        });
        group.bench_function(BenchmarkId::new("queries", size), |bencher| {
            bencher.iter(|| queries(black_box(&policy), black_box(&idle), black_box(&observed)));
        });
        group.bench_function(BenchmarkId::new("first sight", size), |bencher| {
            bencher.iter(|| decide(black_box(&policy), &fresh(), black_box(&observed)));
        });
    }
    group.finish();
}

fn policy() -> Policy {
    let mut workload = Workload::new("bench", repository("bench"));
    workload.remotes.push(repository(REMOTE));
    Policy {
        workloads: [(WorkloadName::new("bench"), workload)].into(),
        ..Policy::default()
    }
}

fn repository(name: &str) -> Repository {
    Repository::parse(name).unwrap_or_else(|error| unreachable!("{name} {error}"))
}

/// The memory before the first pass.
fn fresh() -> State {
    State {
        instance: "bench".to_owned(),
        ..State::default()
    }
}

/// What `bench/fake` lists: the first image is latest and serves, each other one is used by a
/// container that has ended.
fn listed(size: usize) -> Observation {
    let local = repository("bench");
    let image = |n: usize| {
        let digest = Reference::parse(&format!("{REMOTE}@{}", image_id(n)));
        let mut references = vec![local.with_tag(&format!("v{n}"))];
        references.extend(digest);
        if n == 0 {
            references.push(local.latest());
        }
        Image {
            id: image_id(n),
            references,
            unparsed_names: 0,
            size_bytes: 123_456_789,
            labels: BTreeMap::new(),
        }
    };
    let container = |n: usize| Container {
        id: container_id(n),
        names: vec![if n == 0 {
            "bench".to_owned()
        } else {
            format!("k8s_bench_bench-{n}_default_0")
        }],
        image: Some(image_id(n)),
        reference: Some(local.with_tag(&format!("v{n}"))),
        state: if n == 0 {
            ContainerState::Running
        } else {
            ContainerState::Exited
        },
        exit_code: (n != 0).then_some(0),
        created_secs: 0,
        one_off: false,
        pin: None,
    };
    Observation {
        images: (0..size).map(image).collect(),
        containers: (0..size).map(container).collect(),
        ..Observation::default()
    }
}

/// The state once the serving image is proven, and what is observed a moment after that.
fn after_promotion(policy: &Policy, listed: Observation) -> (State, Observation) {
    let details = Details {
        started_at: "2026-11-22T00:00:00Z".to_owned(),
        health: None,
        exit_code: None,
        ran_secs: None,
        interactive: false,
        created_from: None,
    };
    let mut state = fresh();
    let mut inspected = listed.clone();
    inspected.details.insert(container_id(0), details);
    for minute in [1, 12, 13] {
        inspected = at(moment(&state, minute), inspected);
        state = decide(policy, &state, &inspected).state;
    }
    let observed = at(moment(&state, 14), listed);
    (state, observed)
}

/// The same, observed at this moment.
fn at(now: Now, observed: Observation) -> Observation {
    Observation {
        pass_ms: now.ms(),
        from: now.clone(),
        until: now,
        ..observed
    }
}

fn moment(state: &State, minute: u64) -> Now {
    state.clock.advance(&Reading {
        monotonic_ms: minute * 60 * 1000,
        wall: "2026-11-22T00:00:00Z".to_owned(),
    })
}

/// Ids spread over their whole range, as digests do.
fn image_id(n: usize) -> ImageId {
    ImageId::new(format!("sha256:{}", hex(n, 0x9e37_79b9_7f4a_7c15)))
}

fn container_id(n: usize) -> ContainerId {
    ContainerId::new(hex(n, 0xaf25_1af3_b0f0_25b5))
}

fn hex(n: usize, factor: u64) -> String {
    let start = (n as u64 + 1).wrapping_mul(factor);
    (0..4u32).fold(String::new(), |text, word| {
        text + &format!("{:016x}", start.rotate_left(16 * word))
    })
}

criterion_group!(benches, costs);
criterion_main!(benches);
