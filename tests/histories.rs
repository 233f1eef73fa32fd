//! Random histories of a host, on which the real pass must never do what the design forbids, and must come to rest.
//!
//! `every_history_is_safe` shrinks what it finds to a few steps. `soak` plays `HISTORIES` histories in a fast loop
//! (`make soak-test HISTORIES=N`, from `SEED`); a seed that it reports is played again, and told, with `HISTORY=seed`.

#[cfg(test)]
mod model;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use model::names::Names;
use model::step::{Setting, Step};
use model::{Told, play};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// A third of the time went into glibc's: the decision makes small things and drops them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Passes that `make test` sees at least; a history has some thirty.
const PASSES_OF_MAKE_TEST: u64 = 20_000;
/// Steps of the longest history.
const LONGEST: usize = 60;

/// The next number of a `SplitMix64` sequence.
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The history that belongs to a seed.
fn history(seed: u64) -> (Setting, Vec<Step>) {
    let mut numbers = seed;
    let setting = Setting::decode(next(&mut numbers));
    let length = 10 + next(&mut numbers) % (LONGEST as u64 - 10);
    (
        setting,
        (0..length)
            .map(|_| Step::decode(next(&mut numbers)))
            .collect(),
    )
}

fn play_seed(names: &Rc<Names>, seed: u64, traced: bool) -> Told {
    let (setting, steps) = history(seed);
    play(names, setting, &steps, traced)
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100,
        max_shrink_iters: 20_000,
        failure_persistence: None,
        // The same histories in every `make test`; `make soak-test` is for new ones.
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_history_is_safe(
        setting in any::<u64>().prop_map(Setting::decode),
        steps in prop::collection::vec(any::<u64>().prop_map(Step::decode), 0..LONGEST),
    ) {
        let told = play(&Rc::new(Names::new()), setting, &steps, false);
        if told.violation.is_some() {
            let told = play(&Rc::new(Names::new()), setting, &steps, true);
            prop_assert!(false, "{}\n{}", told.violation.unwrap_or_default(), told.log.join("\n"));
        }
    }
}

/// Disputes of one kind: how many, and the first of them.
#[derive(Default)]
struct Dispute {
    count: u64,
    first: String,
}

#[test]
fn soak() {
    let names = Rc::new(Names::new());
    if let Some(seed) = from_environment("HISTORY") {
        let told = play_seed(&names, seed, true);
        println!("{:?}\n{}", history(seed).0, told.log.join("\n"));
        assert_eq!(told.violation, None, "seed {seed}");
        return;
    }
    let histories = from_environment("HISTORIES");
    let first = from_environment("SEED").unwrap_or(0);
    let began = cpu_time();
    let (mut passes, mut played) = (0, 0);
    let mut disputes: BTreeMap<String, Dispute> = BTreeMap::new();
    while histories.map_or(passes < PASSES_OF_MAKE_TEST, |histories| played < histories) {
        let seed = first + played;
        let told = play_seed(&names, seed, false);
        passes += told.passes;
        played += 1;
        if let Some(violation) = told.violation {
            let kind = violation.chars().filter(|c| !c.is_ascii_hexdigit());
            let dispute = disputes.entry(kind.collect()).or_default();
            if dispute.count == 0 {
                dispute.first = format!("HISTORY={seed} tells it: {violation}");
            }
            dispute.count += 1;
        }
        if played % 50_000 == 0 {
            println!("{}", rate(played, passes, cpu_time().saturating_sub(began)));
        }
    }
    println!("{}", rate(played, passes, cpu_time().saturating_sub(began)));
    let told = disputes
        .values()
        .map(|d| format!("{} times: {}", d.count, d.first));
    let told: Vec<_> = told.collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// What this thread has had of a core: the machine may be busy with other things.
#[allow(
    clippy::disallowed_methods,
    reason = "the rate is measured on a clock, and decides nothing"
)]
fn cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(spent).unwrap_or_default()
}

#[allow(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(played: u64, passes: u64, took: Duration) -> String {
    let a_second = passes as f64 / took.as_secs_f64().max(1e-9);
    format!("{played} histories, {passes} passes, {a_second:.0} passes a second of one core")
}
