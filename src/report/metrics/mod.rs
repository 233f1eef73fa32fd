//! Metrics for Prometheus (docs/monitoring.md): a table of families and samples, encoded as the
//! text that node_exporter reads. Pure.
//!
//! What a pass did not get to know is not there: without an answer of the engine there are the
//! counters, which are in the state, and what the policy says, and no word about images.

mod table;

use std::collections::{BTreeMap, BTreeSet};

use tagkeeper_core::Gather;
use tagkeeper_core::model::{
    Counters, Disk, ImageId, LineageEntry, NoFallback, Outcome, PendingView, Plan, Policy, Reason,
    Rejection, ServingView, Version, Workload, WorkloadName, WorkloadPlan,
};

use super::words;
use crate::exit::Exit;

use table::{
    Family, Labels, Value, alone, as_float, count, family, one, seconds, switch, unix_secs, whose,
};

/// What the next pass takes over from the file, if it fails itself.
pub const LAST_SUCCESS: &str = "tagkeeper_last_success_timestamp_seconds";

/// Fallbacks that have a sample each. A policy may keep a hundred.
const FALLBACKS_SHOWN: usize = 3;
/// Rejections that have a sample each, of a workload, by rollbacks and by the policy.
const REJECTIONS_SHOWN: usize = 8;

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
    /// What tells it from other policies.
    pub policy_hash: u32,
    /// The counters of the state that the pass began with; none if it could not be read.
    pub counters: Option<&'a BTreeMap<WorkloadName, Counters>>,
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
        families.extend(of_contents(plan));
        families.extend(of_disk(plan));
        families.extend(of_fallbacks(plan));
        families.extend(of_rejections(pass.policy, plan));
        families.extend(of_upgrades(plan));
        families.extend(of_failures(plan));
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
            [info(vec![(
                "version",
                env!("CARGO_PKG_VERSION").to_owned(),
            )])],
        ),
        family(
            "tagkeeper_policy_info",
            "A checksum of the policy files",
            [info(vec![("hash", format!("{:08x}", pass.policy_hash))])],
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

/// The policy's word, and that of the last decision where there is one: a `[hold]` section may have
/// ended.
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

/// Of a state that could not be read nothing is known: to count from zero would look like a reset.
fn of_counters(pass: &Pass<'_>) -> Vec<Family> {
    let Some(before) = pass.counters else {
        return Vec::new();
    };
    let of = |name, help, counted: fn(&Counters) -> u64| {
        let workloads = pass.policy.workloads.keys();
        let samples = workloads.map(|workload| {
            let plan = pass.plan.and_then(|plan| plan.workloads.get(workload));
            let counters = plan.map(|plan| &plan.counters);
            let counters = counters.or_else(|| before.get(workload));
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
                    .map(|l| info(image_of(name, &l.version, &l.image)))
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
    ]
}

/// What runs, what is kept behind it, and what lies on the disk.
fn of_contents(plan: &Plan) -> Vec<Family> {
    vec![
        of_plans(
            plan,
            "tagkeeper_serving",
            "Whether a container is known to do the work",
            |name, w| one(name, switch(w.serving.is_some())),
        ),
        of_plans(
            plan,
            "tagkeeper_serving_info",
            "What does the work, and who runs it: the local service or the orchestrator",
            |name, w| {
                let serving = w.serving.iter();
                serving.map(|s| info(serving_of(name, s))).collect()
            },
        ),
        of_plans(
            plan,
            "tagkeeper_hold_since_timestamp_seconds",
            "Since when the workload is on hold, by the host's wall clock then",
            |name, w| {
                let at = w.held_at.as_deref().filter(|_| w.held.is_some());
                maybe(name, at.and_then(unix_secs))
            },
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
        of_plans(
            plan,
            "tagkeeper_images_bytes",
            "Sizes of the images on the disk, shared layers included, by the first reason of the table that one has",
            bytes,
        ),
    ]
}

/// Where it was measured: a pass without a policy for full disks, or with nothing to remove, does
/// not ask.
fn of_disk(plan: &Plan) -> Vec<Family> {
    let Some(Disk::Measured {
        used_bytes,
        available_bytes,
    }) = plan.disk
    else {
        return Vec::new();
    };
    vec![
        alone(
            "tagkeeper_disk_used_bytes",
            "What is used of the filesystem of the engine's data",
            Some(as_float(used_bytes)),
        ),
        alone(
            "tagkeeper_disk_available_bytes",
            "What is left of it for everyone but root",
            Some(as_float(available_bytes)),
        ),
    ]
}

fn of_fallbacks(plan: &Plan) -> Vec<Family> {
    vec![
        of_plans(
            plan,
            "tagkeeper_fallback_info",
            "The fallbacks, the first one at position 1",
            |name, w| {
                let fallbacks = w.fallbacks.iter().zip(1..=FALLBACKS_SHOWN);
                let sample = |(proven, position): (&LineageEntry, usize)| {
                    let labels = image_of(name, &proven.version, &proven.image);
                    info(with(labels, [("position", position.to_string())]))
                };
                fallbacks.map(sample).collect()
            },
        ),
        of_plans(
            plan,
            "tagkeeper_fallback_missing",
            "The policy wants a fallback and there is none, and why",
            |name, w| {
                let missing = w.no_fallback.iter();
                let why = |why: &NoFallback| [("reason", why.as_str().to_owned())];
                missing
                    .map(|none| info(with(whose(name), why(none))))
                    .collect()
            },
        ),
    ]
}

/// What a rollback rejected, the latest few; and what the policy rejects, whether or not it is
/// here.
fn of_rejections(policy: &Policy, plan: &Plan) -> Vec<Family> {
    let samples = plan.workloads.iter().flat_map(|(name, w)| {
        let mut by_rollback: Vec<_> = w.rejected.values().collect();
        by_rollback.sort_by(|a, b| b.at.cmp(&a.at));
        let by_rollback = by_rollback.into_iter().map(|r| r.version.as_str());
        let by_policy = policy.rejections.get(name).into_iter().flatten();
        let by_policy = by_policy.map(Rejection::as_str);
        rejections(name, "rollback", by_rollback)
            .into_iter()
            .chain(rejections(name, "policy", by_policy))
            .collect::<Vec<_>>()
    });
    vec![family(
        "tagkeeper_rejected_info",
        "What must not be promoted, and who said so: a rollback or the policy",
        samples,
    )]
}

fn rejections<'v>(
    name: &WorkloadName,
    by: &str,
    versions: impl Iterator<Item = &'v str>,
) -> Vec<(Labels, Value)> {
    // One sample for each set of labels: several images may have had one version.
    let shown: BTreeSet<&str> = versions.take(REJECTIONS_SHOWN).gather();
    let sample = |version: &str| {
        let said = [("version", version.to_owned()), ("by", by.to_owned())];
        info(with(whose(name), said))
    };
    shown.into_iter().map(sample).collect()
}

fn of_failures(plan: &Plan) -> Vec<Family> {
    vec![
        of_plans(
            plan,
            "tagkeeper_failed_info",
            "The upgrades that are remembered as failed, and why",
            failed,
        ),
        of_plans(
            plan,
            "tagkeeper_failed_age_seconds",
            "How long ago a version failed last, in host uptime, unless it is rejected or something was promoted since",
            |name, w| {
                let sample = |(version, age_ms): (&Version, &u64)| {
                    let labels = with(whose(name), [("version", version.as_str().to_owned())]);
                    (labels, Value::Gauge(seconds(*age_ms)))
                };
                w.unsettled_ms.iter().map(sample).collect()
            },
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
                    .map(|p| info(image_of(name, &p.version, &p.image)))
                    .collect()
            },
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
        of(
            "tagkeeper_pending_age_seconds",
            "How long ago the pending upgrade began, restarts included, in host uptime",
            |p| Some(seconds(p.age_ms)),
        ),
        of("tagkeeper_pending_soak_seconds", "How long it must", |p| {
            Some(seconds(p.soak_ms))
        }),
        of(
            "tagkeeper_pending_restarts",
            "How often its soak began again",
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
        let verdict = ("verdict", words::verdict(reason.verdict()).to_owned());
        let reason = ("reason", words::reason_word(reason).to_owned());
        (with(whose(name), [verdict, reason]), count(names))
    });
    samples.collect()
}

/// The sizes of images by reason, each image once: by the first reason of the table that one of its
/// names has.
fn bytes(name: &WorkloadName, workload: &WorkloadPlan) -> Vec<(Labels, Value)> {
    let mut reasons: BTreeMap<&ImageId, (Reason, u64)> = BTreeMap::new();
    for verdict in &workload.images {
        let known = reasons
            .entry(&verdict.image)
            .or_insert((verdict.reason, verdict.size_bytes));
        known.0 = known.0.min(verdict.reason);
    }
    let mut sums: BTreeMap<Reason, u64> = BTreeMap::new();
    for (reason, size_bytes) in reasons.into_values() {
        let sum = sums.entry(reason).or_default();
        *sum = sum.saturating_add(size_bytes);
    }
    let samples = sums.into_iter().map(|(reason, sum)| {
        let reason = ("reason", words::reason_word(reason).to_owned());
        (with(whose(name), [reason]), Value::Gauge(as_float(sum)))
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
        .gather();
    let samples = failed.into_iter().map(|(version, reason)| {
        let why = [("version", version.to_owned()), ("reason", reason)];
        info(with(whose(name), why))
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

/// A sample that says something by its labels alone.
fn info(labels: Labels) -> (Labels, Value) {
    (labels, Value::Gauge(1.0))
}

fn with<const N: usize>(mut labels: Labels, more: [(&'static str, String); N]) -> Labels {
    labels.extend(more);
    labels
}

fn serving_of(name: &WorkloadName, serving: &ServingView) -> Labels {
    let by = if serving.local {
        "local"
    } else {
        "orchestrator"
    };
    let labels = image_of(name, &serving.version, &serving.image);
    with(labels, [("by", by.to_owned())])
}

fn image_of(name: &WorkloadName, version: &Version, image: &ImageId) -> Labels {
    let version = ("version", version.as_str().to_owned());
    with(whose(name), [version, ("image", image.short())])
}
