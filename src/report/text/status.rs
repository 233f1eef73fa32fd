//! The details of one workload for `status`. Pure.

use tagkeeper_core::model::{
    Failure, ImageId, Latest, LineageEntry, Member, NameVerdict, Note, Outcome, PendingView,
    Rejected, ServingView, Verdict, Waits, WorkloadName, WorkloadPlan,
};

use super::{Shown, image_row, overview};
use crate::duration::{compact, left};
use crate::report::Preface;
use crate::report::layout::{Page, Text, Tone};
use crate::report::status_line::progress;
use crate::report::words;
use crate::text::one_line;

/// Column at which values begin.
const VALUE_COLUMN: usize = 13;
/// Cells of the progress bar.
const BAR_CELLS: u64 = 20;

pub(super) fn workload(
    name: &WorkloadName,
    plan: &WorkloadPlan,
    preface: &Preface,
    shown: Shown,
    page: Page,
) -> String {
    Block {
        name,
        plan,
        preface,
        shown,
        page,
    }
    .print()
}

struct Block<'p> {
    name: &'p WorkloadName,
    plan: &'p WorkloadPlan,
    preface: &'p Preface,
    shown: Shown,
    page: Page,
}

impl Block<'_> {
    fn print(&self) -> String {
        let plan = self.plan;
        let mut title = Text::default().and(Tone::Strong, self.name.as_str());
        if let Some(held) = &plan.held {
            title = title.and(
                Tone::Warning,
                format!(" ({}; no changes are made)", words::held(held)),
            );
        }
        let mut out = self.page.paragraph("", 0, title);
        out.push_str(&self.proven());
        out.push_str(&self.running());
        match &plan.pending {
            Some(upgrade) => out.push_str(&self.pending(upgrade)),
            None => out.push_str(&self.field("pending", "nothing")),
        }
        let notes = plan.notes.iter().filter(|note| !self.is_left_out(note));
        out.extend(
            notes.map(|note| self.toned_field(Tone::Warning, "note", words::note(self.name, note))),
        );
        let failures = plan.failures.iter();
        out.extend(failures.map(|failed| {
            let (tone, label) = match failed.outcome {
                Outcome::Failed => (Tone::Bad, "failed"),
                Outcome::Withdrawn => (Tone::Faint, "withdrawn"),
                Outcome::Superseded => (Tone::Faint, "superseded"),
            };
            self.toned_field(tone, label, self.failure(failed))
        }));
        out.extend(
            plan.rejected
                .iter()
                .map(|(image, r)| self.rejected(image, r)),
        );
        out.extend(plan.rejected_by_policy.iter().map(|(image, version)| {
            let said = format!(
                "{} by [reject] in the policy",
                words::called(version, image)
            );
            self.toned_field(Tone::Bad, "rejected", said)
        }));
        out.push_str(&self.disk());
        out.extend(plan.refused.iter().map(|refused| {
            let said = words::refused(refused);
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

    /// What is latest, and what is behind it.
    fn proven(&self) -> String {
        let plan = self.plan;
        let latest = plan.latest.as_ref();
        let mut out = self.field("latest", latest.map_or("none".into(), |l| self.latest(l)));
        let head = plan.head.as_ref().filter(|_| plan.has_drifted());
        out.extend(head.map(|head| self.field("proven", self.fallback(head, false))));
        out.extend(plan.fallbacks.iter().map(|f| {
            let is_pinned = plan.pins.contains_key(&f.image);
            self.field("fallback", self.fallback(f, is_pinned))
        }));
        if plan.fallbacks.is_empty() {
            out.push_str(&self.field("fallback", "none"));
        }
        out
    }

    /// What runs. An upgrade in a crash loop is shown as such, also in the second in which it
    /// happens to be up.
    fn running(&self) -> String {
        let plan = self.plan;
        let Some(failure) = overview::keeps_failing(plan) else {
            let serving = plan.serving.as_ref().map(serving);
            let none = || overview::nothing_serves(plan).into();
            let said = self.field("running", serving.unwrap_or_else(none));
            return said + &self.logs();
        };
        let called = words::called(&failure.version, &failure.image);
        let said = Text::from(format!("{called} keeps failing in "))
            .and(Tone::Name, plan.failing_in.join(", "));
        self.toned_field(Tone::Bad, "running", said) + &self.logs()
    }

    /// Whose logs say why an upgrade fails.
    fn logs(&self) -> String {
        let commands = self.plan.failing_in.iter().map(|name| {
            let command = Text::default().and(Tone::Name, format!("docker logs {name}"));
            self.field("logs", command)
        });
        commands.collect()
    }

    /// Whether a note says what the title has said already, or only what a failing upgrade does at
    /// this very moment.
    fn is_left_out(&self, note: &Note) -> bool {
        matches!(note, Note::Held(_))
            || self.plan.failing.is_some()
                && matches!(
                    note,
                    Note::NothingRuns | Note::Loops { .. } | Note::NotSoaking { .. }
                )
    }

    fn latest(&self, latest: &Latest) -> Text {
        let called = Text::from(words::called(&latest.version, &latest.image) + ", ");
        match (&latest.promoted_at, latest.proven) {
            (Some(at), false) => called.and(Tone::Warning, "not the head").and(
                Tone::Plain,
                format!("; proven since {}", self.preface.when(at)),
            ),
            (None, false) => called.and(Tone::Warning, "not proven"),
            (Some(at), true) => called
                .and(Tone::Good, "proven")
                .and(Tone::Plain, format!(" since {}", self.preface.when(at))),
            (None, true) => called.and(Tone::Good, "proven"),
        }
    }

    fn fallback(&self, proven: &LineageEntry, is_pinned: bool) -> String {
        let called = words::called(&proven.version, &proven.image);
        let pinned = if is_pinned { ", pinned" } else { "" };
        match &proven.promoted_at {
            Some(at) => format!("{called}, proven since {}{pinned}", self.preface.when(at)),
            // A provisional fallback: what was latest before anything was promoted.
            None => format!("{called}, was latest before tagkeeper was installed{pinned}"),
        }
    }

    fn failure(&self, failure: &Failure) -> String {
        format!(
            "{} {} after {}; {}, last one ended {}",
            words::called(&failure.version, &failure.image),
            words::failure_reason(failure),
            compact(failure.up_secs.saturating_mul(1000)),
            words::count(failure.attempts, "attempt"),
            self.preface.when(&failure.at)
        )
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
        let left = match (&pending.waits, left_ms) {
            (Some(Waits::Ready), _) => format!(
                "; {}: `tagkeeper plan {}` asks its ready command",
                words::waits(&pending.version, &Waits::Ready),
                self.name
            ),
            (Some(waits), _) => format!("; {}", words::waits(&pending.version, waits)),
            (None, 0) if self.plan.held.is_some() => ", awaits the end of the hold".to_owned(),
            (None, 0) => ", awaits the next pass".to_owned(),
            (None, left_ms) => format!(", {} left", left(left_ms)),
        };
        let how_far = Text::default()
            .and(Tone::Good, bar(pending))
            .and(Tone::Plain, format!(" {}{left}", progress(pending)));
        let which = containers(&pending.members).and(
            Tone::Plain,
            format!(
                ", image {}, since {}, {}",
                pending.image.short(),
                self.preface.when(&pending.began_at),
                words::count(pending.restarts, "restart")
            ),
        );
        self.toned_field(Tone::Warning, "pending", how_far)
            + &self.page.paragraph("", VALUE_COLUMN, which)
    }

    fn rejected(&self, image: &ImageId, rejected: &Rejected) -> String {
        let version = &rejected.version;
        let typed = Rejected::lifted_by(version, image, self.plan.rejected.values());
        let said = format!(
            "{} at {}; `{}` allows it again",
            words::called(version, image),
            self.preface.when(&rejected.at),
            words::accept_command(self.name, &typed)
        );
        self.toned_field(Tone::Bad, "rejected", said)
    }

    /// Each image counts once, however many names it has. The engine counts layers that images
    /// share for each of them.
    fn disk(&self) -> String {
        let plan = self.plan;
        let since = plan
            .since
            .as_ref()
            .map(|since| format!("since {}", self.preface.when(&since.at)));
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

fn serving(serving: &ServingView) -> Text {
    let whose = if serving.local {
        "local"
    } else {
        "orchestrated"
    };
    Text::from(format!(
        "{} ",
        words::called(&serving.version, &serving.image)
    ))
    .then(containers(&serving.members))
    .and(Tone::Plain, format!(", {whose}"))
}

/// `in a, b`.
fn containers(members: &[Member]) -> Text {
    if members.is_empty() {
        return Text::from("in no running container");
    }
    let mut text = Text::from("in ");
    for (at, member) in members.iter().enumerate() {
        let gap = if at == 0 { "" } else { ", " };
        text = text
            .and(Tone::Plain, gap)
            .and(Tone::Name, one_line(&member.container));
    }
    text
}

/// `[########------------]  42%`; plain characters, because a switch's serial console has no
/// others.
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
