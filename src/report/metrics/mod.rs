//! Metrics for Prometheus (docs/monitoring.md): a table of families and samples, encoded as the text that node_exporter
//! reads. Pure.
//!
//! What a pass did not get to know is not there: without an answer of the engine there are the counters, which are in the
//! state, and what the policy says, and no word about images.

mod table;

use std::collections::{BTreeMap, BTreeSet};

use tagkeeper_core::model::{
    Counters, ImageId, Outcome, PendingView, Plan, Policy, Reason, Version, Workload, WorkloadName,
    WorkloadPlan,
};

use super::words;
use crate::exit::Exit;

use table::{Family, Labels, Value, alone, count, family, one, seconds, switch, unix_secs, whose};

/// What the next pass takes over from the file, if it fails itself.
pub const LAST_SUCCESS: &str = "tagkeeper_last_success_timestamp_seconds";

/// How a pass that held the lock can end.
const OUTCOMES: [Exit; 4] = [Exit::Done, Exit::Failed, Exit::Unavailable, Exit::Refused];

/// A pass that is over.
pub struct Pass<'a> {
    /// How it ended.
    pub exit: Exit,
    /// When it began, RFC 3339.
    pub began_at: &'a str,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The clock that decisions use; none if the state could not be read.
    pub clock_ms: Option<u64>,
    /// The events that waited for their hooks when it began; none if the state could not be read.
    pub events_waiting: Option<usize>,
    /// When a pass before this one was done, in seconds since 1970, if that is known.
    pub success_before: Option<f64>,
    /// What the operator wants.
    pub policy: &'a Policy,
    /// The counters of the state that the pass began with.
    pub counters: &'a BTreeMap<WorkloadName, Counters>,
    /// The workloads; none if the engine could not be observed.
    pub plan: Option<&'a Plan>,
}

/// The text of the file.
pub fn textfile(pass: &Pass<'_>) -> String {
    let mut families = of_pass(pass);
    families.extend(of_policy(pass));
    families.extend(of_counters(pass));
    if let Some(plan) = pass.plan {
        families.extend(of_state(plan));
        families.extend(of_upgrades(plan));
    }
    table::encode(families)
}

fn of_pass(pass: &Pass<'_>) -> Vec<Family> {
    let began = unix_secs(pass.began_at);
    let success = if pass.exit == Exit::Done {
        began
    } else {
        pass.success_before
    };
    let outcome = |exit: &Exit| {
        let labels = vec![("outcome", exit.as_str().to_owned())];
        (labels, switch(pass.exit == *exit))
    };
    vec![
        family(
            "tagkeeper_build_info",
            "The version of tagkeeper that wrote this",
            [(
                vec![("version", env!("CARGO_PKG_VERSION").to_owned())],
                Value::Gauge(1.0),
            )],
        ),
        alone(
            "tagkeeper_last_pass_timestamp_seconds",
            "When the last pass began, by the host's wall clock",
            began,
        ),
        alone(
            "tagkeeper_last_pass_duration_seconds",
            "How long the last pass took, without hooks",
            Some(seconds(pass.duration_ms)),
        ),
        family(
            "tagkeeper_last_pass_outcome",
            "How the last pass ended: 1 for the outcome that it had",
            OUTCOMES.iter().map(outcome),
        ),
        alone(
            LAST_SUCCESS,
            "When the last pass began that was done, by the host's wall clock",
            success,
        ),
        alone(
            "tagkeeper_clock_seconds",
            "Host uptime added up over reboots: the clock that decisions use",
            pass.clock_ms.map(seconds),
        ),
        family(
            "tagkeeper_hook_events_waiting",
            "Events whose hooks have not succeeded yet, as the last pass began",
            pass.events_waiting.map(|n| (Labels::new(), count(n))),
        ),
    ]
}

/// The policy's word, and that of the last decision where there is one: a `[hold]` section may have ended.
fn of_holds(pass: &Pass<'_>) -> Vec<(Labels, Value)> {
    let workloads = pass.policy.workloads.iter();
    workloads
        .map(|(name, workload)| {
            let planned = pass.plan.and_then(|plan| plan.workloads.get(name));
            let by_policy =
                || workload.hold || pass.policy.holds.iter().any(|hold| hold.names(name));
            let held = planned.map_or_else(by_policy, |plan| plan.held.is_some());
            (whose(name), switch(held))
        })
        .collect()
}

fn of_policy(pass: &Pass<'_>) -> Vec<Family> {
    let policy = pass.policy;
    let of = |value: &dyn Fn(&Workload) -> Value| -> Vec<(Labels, Value)> {
        let workloads = policy.workloads.iter();
        workloads.map(|(name, w)| (whose(name), value(w))).collect()
    };
    vec![
        family(
            "tagkeeper_hold",
            "Whether the workload is on hold: no changes are made",
            of_holds(pass),
        ),
        family(
            "tagkeeper_fallbacks_wanted",
            "Proven versions behind latest that the policy wants kept",
            of(&|workload| count(workload.fallbacks)),
        ),
    ]
}

fn of_counters(pass: &Pass<'_>) -> Vec<Family> {
    let of = |name, help, counted: fn(&Counters) -> u64| {
        let workloads = pass.policy.workloads.keys();
        let samples = workloads.map(|workload| {
            let plan = pass.plan.and_then(|plan| plan.workloads.get(workload));
            let counters = plan.map(|plan| &plan.counters);
            let counters = counters.or_else(|| pass.counters.get(workload));
            let counted = counters.map_or(0, counted);
            (whose(workload), Value::Counter(counted))
        });
        family(name, help, samples)
    };
    vec![
        of("tagkeeper_promotions", "Upgrades that became latest", |t| {
            t.promotions
        }),
        of("tagkeeper_failures", "Upgrades that failed", |t| t.failures),
        of("tagkeeper_restarts", "Soaks that began again", |t| {
            t.restarts
        }),
        of("tagkeeper_rollbacks", "Rollbacks by a person", |t| {
            t.rollbacks
        }),
        of(
            "tagkeeper_removals",
            "Names of images, and nameless images, that were removed",
            |t| t.removals,
        ),
        of(
            "tagkeeper_reclaimed_bytes",
            "Sizes of the images that were removed, shared layers included",
            |t| t.reclaimed_bytes,
        ),
    ]
}

fn of_state(plan: &Plan) -> Vec<Family> {
    vec![
        of_plans(
            plan,
            "tagkeeper_latest_info",
            "What repository:latest names",
            |name, w| {
                let latest = w.latest.iter();
                latest
                    .map(|l| (image_of(name, &l.version, &l.image), Value::Gauge(1.0)))
                    .collect()
            },
        ),
        of_plans(
            plan,
            "tagkeeper_latest_proven",
            "Whether latest is there and proved itself on this host",
            |name, w| one(name, switch(w.latest.as_ref().is_some_and(|l| l.proven))),
        ),
        of_plans(
            plan,
            "tagkeeper_latest_promoted_timestamp_seconds",
            "When latest was promoted, by the host's wall clock then",
            |name, w| {
                let at = w.latest.as_ref().and_then(|l| l.promoted_at.as_deref());
                maybe(name, at.and_then(unix_secs))
            },
        ),
        of_plans(
            plan,
            "tagkeeper_drift",
            "Whether latest does not name what is proven: something else moved or removed it",
            |name, w| one(name, switch(w.has_drifted())),
        ),
        of_plans(
            plan,
            "tagkeeper_serving",
            "Whether a container is known to do the work",
            |name, w| one(name, switch(w.serving.is_some())),
        ),
        of_plans(
            plan,
            "tagkeeper_fallbacks",
            "Proven versions behind latest on the disk",
            |name, w| one(name, count(w.fallbacks.len())),
        ),
        of_plans(
            plan,
            "tagkeeper_rejected",
            "Images that a rollback rejected",
            |name, w| one(name, count(w.rejected.len())),
        ),
        of_plans(
            plan,
            "tagkeeper_images",
            "Names on the disk, and nameless images, by verdict and reason",
            images,
        ),
    ]
}

fn of_upgrades(plan: &Plan) -> Vec<Family> {
    let of = |name, help, value: fn(&PendingView) -> Option<f64>| {
        of_plans(plan, name, help, |workload, w| {
            maybe(workload, w.pending.as_ref().and_then(value))
        })
    };
    vec![
        of_plans(
            plan,
            "tagkeeper_pending",
            "Whether an upgrade is soaking",
            |name, w| one(name, switch(w.pending.is_some())),
        ),
        of_plans(
            plan,
            "tagkeeper_pending_info",
            "The upgrade that is soaking",
            |name, w| {
                let pending = w.pending.iter();
                pending
                    .map(|p| (image_of(name, &p.version, &p.image), Value::Gauge(1.0)))
                    .collect()
            },
        ),
        of_plans(
            plan,
            "tagkeeper_failed_info",
            "The upgrades that are remembered as failed, and why",
            failed,
        ),
        of(
            "tagkeeper_pending_began_timestamp_seconds",
            "When the pending upgrade began, restarts included, by the host's wall clock then",
            |p| unix_secs(&p.began_at),
        ),
        of(
            "tagkeeper_pending_up_seconds",
            "How long the pending upgrade has soaked",
            |p| Some(seconds(p.up_ms)),
        ),
        of("tagkeeper_pending_soak_seconds", "How long it must", |p| {
            Some(seconds(p.soak_ms))
        }),
        of(
            "tagkeeper_pending_restarts",
            "How often it came up again since it began",
            |p| Some(f64::from(p.restarts)),
        ),
    ]
}

fn images(name: &WorkloadName, workload: &WorkloadPlan) -> Vec<(Labels, Value)> {
    let mut names: BTreeMap<Reason, usize> = BTreeMap::new();
    for name in &workload.images {
        *names.entry(name.reason).or_default() += 1;
    }
    let samples = names.into_iter().map(|(reason, names)| {
        let mut labels = whose(name);
        labels.push(("verdict", words::verdict(reason.verdict()).to_owned()));
        labels.push(("reason", words::reason_word(reason).to_owned()));
        (labels, count(names))
    });
    samples.collect()
}

fn failed(name: &WorkloadName, workload: &WorkloadPlan) -> Vec<(Labels, Value)> {
    // One sample for each set of labels: a version may have failed as several images.
    let failed: BTreeSet<(&str, String)> = workload
        .failures
        .iter()
        .filter(|failure| failure.outcome == Outcome::Failed)
        .map(|failure| (failure.version.as_str(), words::failure_reason(failure)))
        .collect();
    let samples = failed.into_iter().map(|(version, reason)| {
        let mut labels = whose(name);
        labels.push(("version", version.to_owned()));
        labels.push(("reason", reason));
        (labels, Value::Gauge(1.0))
    });
    samples.collect()
}

fn of_plans(
    plan: &Plan,
    name: &'static str,
    help: &'static str,
    samples: impl Fn(&WorkloadName, &WorkloadPlan) -> Vec<(Labels, Value)>,
) -> Family {
    let workloads = plan.workloads.iter();
    family(name, help, workloads.flat_map(|(name, w)| samples(name, w)))
}

fn maybe(name: &WorkloadName, value: Option<f64>) -> Vec<(Labels, Value)> {
    value.map_or_else(Vec::new, |value| one(name, Value::Gauge(value)))
}

fn image_of(name: &WorkloadName, version: &Version, image: &ImageId) -> Labels {
    let mut labels = whose(name);
    labels.push(("version", version.as_str().to_owned()));
    labels.push(("image", image.short()));
    labels
}
