//! One workload's block of `status`. Pure.

use crate::decide::{Latest, PendingView, Serving, WorkloadPlan};
use crate::image::{ImageId, Version};
use crate::policy::WorkloadName;
use crate::report::layout::{Page, Text, Tone};
use crate::report::status_line::progress;
use crate::report::words;
use crate::span;
use crate::state::{Failure, Proven, Rejected};

use super::image_row;

/// Column at which values begin.
const VALUE_COLUMN: usize = 13;
/// Cells of the progress bar.
const BAR_CELLS: u64 = 20;

pub(super) fn workload(name: &WorkloadName, plan: &WorkloadPlan, page: Page) -> String {
    Block { name, plan, page }.print()
}

struct Block<'p> {
    name: &'p WorkloadName,
    plan: &'p WorkloadPlan,
    page: Page,
}

impl Block<'_> {
    fn print(&self) -> String {
        let plan = self.plan;
        let mut title = Text::default().and(Tone::Strong, self.name.as_str());
        if plan.hold {
            title = title.and(Tone::Warning, " (on hold)");
        }
        let mut out = self.page.paragraph("", 0, title);
        out.push_str(&self.field("latest", plan.latest.as_ref().map_or("none".into(), latest)));
        out.extend(
            plan.fallbacks
                .iter()
                .map(|f| self.field("fallback", fallback(f, plan.pins.contains_key(&f.image)))),
        );
        if plan.fallbacks.is_empty() {
            out.push_str(&self.field("fallback", "none"));
        }
        let serving = plan.serving.as_ref().map(serving);
        out.push_str(&self.field("serving", serving.unwrap_or_else(|| "nothing".to_owned())));
        match &plan.pending {
            Some(upgrade) => out.push_str(&self.pending(upgrade)),
            None => out.push_str(&self.field("pending", "nothing")),
        }
        let notes = plan.notes.iter();
        out.extend(notes.map(|note| self.toned_field(Tone::Warning, "note", note)));
        let failures = plan.failures.iter();
        out.extend(failures.map(|failed| self.toned_field(Tone::Bad, "failed", failure(failed))));
        out.extend(
            plan.rejected
                .iter()
                .map(|(image, r)| self.rejected(image, r)),
        );
        out.push_str(&self.disk());
        let images = plan.images.iter();
        out.extend(images.map(|judgement| image_row(' ', judgement, self.page)));
        out
    }

    fn field(&self, label: &str, value: impl Into<Text>) -> String {
        self.toned_field(Tone::Faint, label, value)
    }

    fn toned_field(&self, tone: Tone, label: &str, value: impl Into<Text>) -> String {
        let lead = Text::default().and(tone, format!("  {label}"));
        self.page.paragraph(lead, VALUE_COLUMN, value)
    }

    fn pending(&self, pending: &PendingView) -> String {
        let left_ms = pending.soak_ms.saturating_sub(pending.up_ms);
        let left = if left_ms == 0 {
            String::new()
        } else {
            // Rounded up, so that it says nothing is left only once nothing is.
            format!(", {} left", span::compact(left_ms.saturating_add(999)))
        };
        let how_far = Text::default()
            .and(Tone::Good, bar(pending))
            .and(Tone::Plain, format!(" {}{left}", progress(pending)));
        let which = format!(
            "in {}, image {}, since {}, {}",
            pending.container,
            pending.image.short(),
            pending.began_at,
            words::count(pending.restarts, "restart")
        );
        self.toned_field(Tone::Warning, "pending", how_far)
            + &self.page.paragraph("", VALUE_COLUMN, which)
    }

    fn rejected(&self, image: &ImageId, rejected: &Rejected) -> String {
        let version = &rejected.version;
        let told = format!(
            "{} at {}; `tagkeeper accept {} {version}` lifts that",
            called(version, image),
            rejected.at,
            self.name
        );
        self.toned_field(Tone::Bad, "rejected", told)
    }

    /// Each image counts once, however many names it has. The engine counts layers that images share for each of them.
    fn disk(&self) -> String {
        let plan = self.plan;
        let since = plan
            .since
            .as_ref()
            .map(|since| format!("since {}", since.at));
        let mut out = self.field("records", since.unwrap_or_else(|| "none yet".to_owned()));
        let sizes = plan.sizes();
        let total = sizes
            .values()
            .fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        let names = plan.images.iter().filter(|j| j.reference.is_some()).count();
        let disk = if sizes.is_empty() {
            "no image of this workload".to_owned()
        } else {
            format!(
                "{}, {}, at most {} (shared layers count each time)",
                words::count(sizes.len(), "image"),
                words::count(names, "name"),
                words::size(total)
            )
        };
        out.push_str(&self.field("disk", disk));
        if plan.tally.removals > 0 {
            let told = format!(
                "at most {} by {}",
                words::size(plan.tally.bytes_won_back),
                words::count(plan.tally.removals, "removal")
            );
            out.push_str(&self.field("won back", told));
        }
        if !plan.leaving.is_empty() {
            let told = format!(
                "{}, which wins back at most {}",
                words::count(plan.leaving.len(), "image"),
                words::size(plan.leaving_bytes())
            );
            out.push_str(&self.field("leaving", told));
        }
        out
    }
}

fn called(version: &Version, image: &ImageId) -> String {
    format!("{version} ({})", image.short())
}

fn latest(latest: &Latest) -> Text {
    let called = Text::from(called(&latest.version, &latest.image) + ", ");
    match (&latest.promoted_at, latest.proven) {
        (_, false) => called.and(Tone::Warning, "not proven"),
        (Some(at), true) => called
            .and(Tone::Good, "proven")
            .and(Tone::Plain, format!(" since {at}")),
        (None, true) => called.and(Tone::Good, "proven"),
    }
}

fn fallback(proven: &Proven, pinned: bool) -> String {
    let called = called(&proven.version, &proven.image);
    let pinned = if pinned { ", pinned" } else { "" };
    match &proven.promoted_at {
        Some(at) => format!("{called}, proven since {at}{pinned}"),
        // A stand-in: what was latest before anything was promoted.
        None => format!("{called}, latest before the records begin{pinned}"),
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

/// `[########------------]  42%`; plain characters, because a switch's serial console has no others.
fn bar(pending: &PendingView) -> String {
    let part = |of: u64| {
        let part = pending
            .up_ms
            .saturating_mul(of)
            .checked_div(pending.soak_ms);
        part.unwrap_or(of).min(of)
    };
    let done: String = (0..BAR_CELLS)
        .map(|cell| if cell < part(BAR_CELLS) { '#' } else { '-' })
        .collect();
    format!("[{done}] {}%", part(100))
}

fn failure(failure: &Failure) -> String {
    format!(
        "{} {} after {}; {}, the last until {}",
        called(&failure.version, &failure.image),
        failure.reason,
        span::compact(failure.up_secs.saturating_mul(1000)),
        words::count(failure.attempts, "attempt"),
        failure.at
    )
}
