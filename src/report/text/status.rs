//! One workload's block of `status`. Pure.

use std::collections::BTreeMap;

use crate::decide::{Latest, PendingView, Serving, WorkloadPlan};
use crate::image::{ImageId, Version};
use crate::policy::WorkloadName;
use crate::report::layout::{self, paragraph};
use crate::report::status_line::progress;
use crate::span;
use crate::state::{Failure, Proven};

use super::image_row;

/// Column at which values begin.
const VALUE_COLUMN: usize = 13;

pub(super) fn workload(name: &WorkloadName, plan: &WorkloadPlan) -> String {
    let hold = if plan.hold { " (on hold)" } else { "" };
    let mut out = paragraph("", 0, &format!("{name}{hold}"));
    out.push_str(&field(
        "latest",
        plan.latest
            .as_ref()
            .map_or_else(|| "none".to_owned(), latest),
    ));
    out.push_str(&fields(
        "fallback",
        plan.fallbacks.iter().map(fallback),
        "none",
    ));
    out.push_str(&field(
        "serving",
        plan.serving
            .as_ref()
            .map_or_else(|| "nothing".to_owned(), serving),
    ));
    match &plan.pending {
        Some(upgrade) => out.push_str(&pending(upgrade)),
        None => out.push_str(&field("pending", "nothing")),
    }
    out.extend(plan.notes.iter().map(|note| field("note", note)));
    out.extend(
        plan.failures
            .iter()
            .map(|failed| field("failed", failure(failed))),
    );
    for (image, rejected) in &plan.rejected {
        let version = &rejected.version;
        let told = format!(
            "{} at {}; `tagkeeper accept {name} {version}` lifts that",
            called(version, image),
            rejected.at
        );
        out.push_str(&field("rejected", told));
    }
    let since = plan.since.as_ref().map_or_else(
        || "none yet".to_owned(),
        |since| format!("since {}", since.at),
    );
    out.push_str(&field("records", since));
    out.push_str(&field("disk", disk(plan)));
    out.extend(
        plan.images
            .iter()
            .map(|judgement| image_row(' ', judgement)),
    );
    out
}

fn field(label: &str, value: impl AsRef<str>) -> String {
    paragraph(&format!("  {label}"), VALUE_COLUMN, value.as_ref())
}

fn fields(label: &str, values: impl Iterator<Item = String>, none: &str) -> String {
    let all: String = values.map(|value| field(label, value)).collect();
    if all.is_empty() {
        field(label, none)
    } else {
        all
    }
}

fn called(version: &Version, image: &ImageId) -> String {
    format!("{version} ({})", image.short())
}

fn latest(latest: &Latest) -> String {
    let called = called(&latest.version, &latest.image);
    match (&latest.promoted_at, latest.proven) {
        (_, false) => format!("{called}, not proven"),
        (Some(at), true) => format!("{called}, proven since {at}"),
        (None, true) => format!("{called}, proven"),
    }
}

fn fallback(proven: &Proven) -> String {
    let called = called(&proven.version, &proven.image);
    match &proven.promoted_at {
        Some(at) => format!("{called}, proven since {at}"),
        // A stand-in: what was latest before anything was promoted.
        None => format!("{called}, latest before the records begin"),
    }
}

fn serving(serving: &Serving) -> String {
    let whose = if serving.local {
        "local"
    } else {
        "orchestrated"
    };
    format!(
        "{} in {}, {whose}",
        called(&serving.version, &serving.image),
        serving.container
    )
}

fn pending(pending: &PendingView) -> String {
    let percent = pending
        .up_ms
        .saturating_mul(100)
        .checked_div(pending.soak_ms)
        .unwrap_or(100)
        .min(100);
    let how_far = format!(
        "{} ({percent}%) in {}, restarts {}",
        progress(pending),
        pending.container,
        pending.restarts
    );
    let image = format!(
        "image {}, since {}",
        pending.image.short(),
        pending.began_at
    );
    field("pending", how_far) + &paragraph("", VALUE_COLUMN, &image)
}

fn failure(failure: &Failure) -> String {
    let plural = if failure.attempts == 1 { "" } else { "s" };
    format!(
        "{} {} after {}; {} attempt{plural}, the last until {}",
        called(&failure.version, &failure.image),
        failure.reason,
        span::compact(failure.up_secs.saturating_mul(1000)),
        failure.attempts,
        failure.at
    )
}

/// Each image counts once, however many names it has. The engine counts layers that images share for each of them.
fn disk(plan: &WorkloadPlan) -> String {
    let sizes: BTreeMap<&ImageId, u64> = plan
        .images
        .iter()
        .map(|j| (&j.image, j.size_bytes))
        .collect();
    let names = plan.images.iter().filter(|j| j.reference.is_some()).count();
    let total = sizes
        .values()
        .fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
    if sizes.is_empty() {
        return "no image of this workload".to_owned();
    }
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    format!(
        "{} image{}, {names} name{}, at most {} (shared layers count each time)",
        sizes.len(),
        plural(sizes.len()),
        plural(names),
        layout::size(total)
    )
}
