//! The details of one workload for `status`. Pure.

use tagkeeper_core::model::{
    Failure, ImageId, Latest, NameVerdict, Outcome, PendingView, Proven, Rejected, Serving,
    Verdict, Version, WorkloadName, WorkloadPlan,
};

use super::{Shown, image_row};
use crate::duration::compact;
use crate::report::layout::{Page, Text, Tone};
use crate::report::status_line::progress;
use crate::report::words;

/// Column at which values begin.
const VALUE_COLUMN: usize = 13;
/// Cells of the progress bar.
const BAR_CELLS: u64 = 20;

pub(super) fn workload(
    name: &WorkloadName,
    plan: &WorkloadPlan,
    shown: Shown,
    page: Page,
) -> String {
    Block {
        name,
        plan,
        shown,
        page,
    }
    .print()
}

struct Block<'p> {
    name: &'p WorkloadName,
    plan: &'p WorkloadPlan,
    shown: Shown,
    page: Page,
}

impl Block<'_> {
    fn print(&self) -> String {
        let plan = self.plan;
        let mut title = Text::default().and(Tone::Strong, self.name.as_str());
        if let Some(held) = &plan.held {
            title = title.and(Tone::Warning, format!(" ({})", words::held(held)));
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
        out.extend(notes.map(|note| self.toned_field(Tone::Warning, "note", words::note(note))));
        let failures = plan.failures.iter();
        out.extend(failures.map(|failed| {
            let (tone, label) = match failed.outcome {
                Outcome::Failed => (Tone::Bad, "failed"),
                Outcome::Withdrawn => (Tone::Faint, "withdrawn"),
                Outcome::Superseded => (Tone::Faint, "superseded"),
            };
            self.toned_field(tone, label, failure(failed))
        }));
        if let (Some(_), Some(serving)) = (&plan.failing, &plan.serving) {
            let names: Vec<&str> = serving
                .members
                .iter()
                .map(|m| m.container.as_str())
                .collect();
            out.push_str(&self.field("logs", format!("docker logs {}", names.join(" "))));
        }
        out.extend(
            plan.rejected
                .iter()
                .map(|(image, r)| self.rejected(image, r)),
        );
        out.push_str(&self.disk());
        out.extend(plan.refused.iter().map(|refused| {
            let said = format!(
                "the engine refused to remove {}: {}; tried again in {}",
                refused.target,
                refused.reason,
                compact(refused.retry_in_ms.saturating_add(999))
            );
            self.toned_field(Tone::Warning, "refused", said)
        }));
        let is_shown = |name: &&NameVerdict| self.shown.all || name.verdict() != Verdict::Keep;
        let images = plan.images.iter().filter(is_shown);
        out.extend(images.map(|name| image_row(' ', name, self.page)));
        let kept = plan.images.iter().filter(|name| !is_shown(name)).count();
        if kept > 0 {
            let said = format!(
                "{} kept unchanged; --all shows them",
                words::count(kept, "name")
            );
            out.push_str(&self.field("images", said));
        }
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
            format!(", {} left", compact(left_ms.saturating_add(999)))
        };
        let how_far = Text::default()
            .and(Tone::Good, bar(pending))
            .and(Tone::Plain, format!(" {}{left}", progress(pending)));
        let which = format!(
            "in {}, image {}, since {}, {}",
            containers(&pending.members),
            pending.image.short(),
            pending.began_at,
            words::count(pending.restarts, "restart")
        );
        self.toned_field(Tone::Warning, "pending", how_far)
            + &self.page.paragraph("", VALUE_COLUMN, which)
    }

    fn rejected(&self, image: &ImageId, rejected: &Rejected) -> String {
        let version = &rejected.version;
        let said = format!(
            "{} at {}; `tagkeeper accept {} {version}` allows it again",
            called(version, image),
            rejected.at,
            self.name
        );
        self.toned_field(Tone::Bad, "rejected", said)
    }

    /// Each image counts once, however many names it has. The engine counts layers that images share for each of them.
    fn disk(&self) -> String {
        let plan = self.plan;
        let since = plan
            .since
            .as_ref()
            .map(|since| format!("since {}", since.at));
        let mut out = self.field("history", since.unwrap_or_else(|| "none yet".to_owned()));
        let sizes = plan.sizes();
        let total = sizes
            .values()
            .fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        let names = plan
            .images
            .iter()
            .filter(|name| name.reference.is_some())
            .count();
        let disk = if sizes.is_empty() {
            "no image of this workload".to_owned()
        } else {
            format!(
                "{}, {}, up to {} (shared layers counted once per image)",
                words::count(sizes.len(), "image"),
                words::count(names, "name"),
                words::size(total)
            )
        };
        out.push_str(&self.field("disk", disk));
        if plan.counters.removals > 0 {
            let said = format!(
                "up to {} by {}",
                words::size(plan.counters.reclaimed_bytes),
                words::count(plan.counters.removals, "removal")
            );
            out.push_str(&self.field("reclaimed", said));
        }
        if !plan.leaving.is_empty() {
            let said = format!(
                "{}, which reclaims up to {}",
                words::count(plan.leaving.len(), "image"),
                words::size(plan.reclaimable_bytes())
            );
            out.push_str(&self.field("removing", said));
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
        // A provisional fallback: what was latest before anything was promoted.
        None => format!("{called}, was latest before tagkeeper was installed{pinned}"),
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
        containers(&serving.members)
    )
}

fn containers(members: &[tagkeeper_core::model::Member]) -> String {
    if members.is_empty() {
        return "no running container".to_owned();
    }
    let names: Vec<&str> = members
        .iter()
        .map(|member| member.container.as_str())
        .collect();
    names.join(", ")
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
        "{} {} after {}; {}, last one ended {}",
        called(&failure.version, &failure.image),
        words::failure_reason(failure),
        compact(failure.up_secs.saturating_mul(1000)),
        words::count(failure.attempts, "attempt"),
        failure.at
    )
}
