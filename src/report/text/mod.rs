//! Plan and status for people, readable at three in the morning. Pure.
//!
//! `overview` is one line for each workload, `status` the details of one, `diff` what the next pass
//! changes, `image` the history of one image. Colours say nothing that the words do not say too.

use std::collections::BTreeSet;

use tagkeeper_core::model::{
    self, ImageId, ImageReport, NameVerdict, Plan, Policy, Verdict, Version, WorkloadName,
    WorkloadPlan,
};

use super::Preface;
use super::layout::{Page, Text, Tone};
use super::words;
use crate::reconcile::{RollbackPreview, RolledBack};
use crate::text::{columns, harmless, one_line};

mod diff;
mod image;
mod overview;
mod status;
#[cfg(test)]
mod tests;

/// Column at which the name of an image begins, and the lines below it.
const NAME_COLUMN: usize = 22;
/// Column at which a name begins that is too long for that.
const LONG_NAME_COLUMN: usize = 4;

/// How much of the status is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The details of each workload, and not only one line.
    pub details: bool,
    /// Also images that are kept unchanged.
    pub all: bool,
}

/// The state of each workload.
pub fn status(plan: &Plan, preface: &Preface, shown: Shown, page: Page) -> String {
    let mut out = overview::head(plan, preface, page);
    out.push_str(&notes(preface, page));
    if plan.workloads.is_empty() {
        out.push_str(&no_workload(preface));
        return out;
    }
    if !shown.details {
        out.push_str(&overview::table(plan, preface, page));
        return out;
    }
    for (name, workload) in overview::ranked(plan) {
        out.push('\n');
        out.push_str(&status::workload(name, workload, preface, shown, page));
    }
    out
}

/// When the last pass ended, how, and whether the timer is active: what `status` knows without the
/// engine.
pub fn last_pass(preface: &Preface, page: Page) -> String {
    overview::last_pass_line(preface, page) + &notes(preface, page)
}

/// What the next pass would do to its end, and why; like a diff, to be approved. `later` are the
/// rounds after the first.
pub fn plan(
    plan: &Plan,
    later: &[Vec<(WorkloadName, model::Action)>],
    leaving: &BTreeSet<ImageId>,
    preface: &Preface,
    page: Page,
) -> String {
    let mut blocks: Vec<String> = Vec::new();
    let notes = notes(preface, page);
    if !notes.is_empty() {
        blocks.push(notes);
    }
    if plan.workloads.is_empty() {
        blocks.push(no_workload(preface));
    }
    let workloads = plan.workloads.iter();
    let shown = workloads.map(|(name, w)| diff::workload(name, w, later, leaving, page));
    blocks.extend(shown);
    blocks.extend(diff::departed(plan, page));
    blocks.push(diff::total(plan, later, leaving, page));
    blocks.retain(|block| !block.is_empty());
    blocks.join("\n")
}

/// What `check` says of a valid policy. (Of a refused one, its errors say what is wrong with it.)
pub fn check(policy: &Policy, preface: &Preface) -> String {
    let names: Vec<&str> = policy.workloads.keys().map(WorkloadName::as_str).collect();
    if names.is_empty() {
        // A drop-in for many hosts may hold or reject, and name no workload itself.
        return if policy.holds.is_empty() && policy.rejections.is_empty() {
            format!("the policy is valid; {}", no_workload(preface))
        } else {
            Page::default().paragraph("", 0, "the policy is valid; it has no workload of its own")
        };
    }
    let valid = format!(
        "the policy is valid; {}: {}",
        words::count(names.len(), "workload"),
        names.join(", ")
    );
    Page::default().paragraph("", 0, valid)
}

/// The history of an image, once for each workload that it belongs to.
pub fn explain(reports: &[&ImageReport], preface: &Preface, page: Page) -> String {
    let reports: Vec<String> = reports
        .iter()
        .map(|report| image::image(report, preface, page))
        .collect();
    reports.join("\n")
}

/// What `rollback` is going to do, for a person to agree to.
pub fn rollback_preview(name: &WorkloadName, preview: &RollbackPreview, page: Page) -> String {
    let rejected = &preview.rejected;
    let said = format!(
        " {rejected} ({}) will be rejected, and not promoted again until `{}`.",
        preview.image.short(),
        words::accept_command(name, &preview.undo)
    );
    let title = Text::default()
        .and(Tone::Strong, format!("{name}:"))
        .and(Tone::Plain, said);
    let rows = preview.actions.iter();
    let rows: String = rows.map(|action| diff::row(action, None, page)).collect();
    let then = match (&preview.target, &preview.stays) {
        (Some((version, image)), _) => format!(
            "latest becomes {version} ({}), and the local service will start that version.",
            image.short()
        ),
        (None, Some(version)) => format!("latest stays at {version}."),
        (None, None) => "latest does not change.".to_owned(),
    };
    let running = preview.keeps_running.iter();
    let running: String = running
        .map(|container| keeps_running(container, rejected, page))
        .collect();
    page.paragraph("", 0, title) + &rows + &page.paragraph("", 0, then) + &running
}

/// What `rollback` has done, by what the engine says afterwards.
pub fn rolled_back(name: &WorkloadName, done: &RolledBack, page: Page) -> String {
    let rejected = &done.rejected;
    let latest = match (&done.latest, done.is_as_meant) {
        (Some(latest), true) => format!("latest is {}", words::older(latest, rejected)),
        (None, true) => "nothing is latest".to_owned(),
        (latest, false) => {
            let found = latest
                .as_ref()
                .map_or("nothing".to_owned(), ToString::to_string);
            let meant = done
                .meant
                .as_ref()
                .map_or("another image".to_owned(), ToString::to_string);
            format!("latest is still {found}, not {meant}; the next pass goes on")
        }
    };
    let is_incomplete = done.failed_actions + done.refused_actions > 0;
    let rest = if is_incomplete && done.is_as_meant {
        "; not everything could be done, and later passes go on"
    } else {
        ""
    };
    let mut out = page.paragraph(
        "",
        0,
        format!(
            "{name}: {rejected} is rejected; {latest}{rest}. To undo: {}",
            words::accept_command(name, &done.undo)
        ),
    );
    let running = done.keeps_running.iter();
    out.extend(running.map(|container| keeps_running(container, rejected, page)));
    out
}

fn keeps_running(container: &str, rejected: &Version, page: Page) -> String {
    let said = Text::default().and(Tone::Name, one_line(container)).and(
        Tone::Plain,
        format!(" still runs {rejected}; tagkeeper never stops containers."),
    );
    page.paragraph("", 0, said)
}

/// A text in which a terminal acts on nothing but the ends of lines.
pub fn cleaned(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(harmless).collect();
    lines.join("\n")
}

fn notes(preface: &Preface, page: Page) -> String {
    let lead = || Text::default().and(Tone::Warning, "note:");
    let notes = preface.notes.iter();
    notes.map(|note| page.paragraph(lead(), 6, note)).collect()
}

fn no_workload(preface: &Preface) -> String {
    let file = preface.policy_file.to_string_lossy();
    format!(
        "no workload in the policy: nothing is watched, nothing to do\nadd one in {}:\n  [workload.telemetry]\n  repository = \"docker-sonic-telemetry\"\n\
         `tagkeeper init` prints a starter policy from what the engine has\n",
        one_line(&file)
    )
}

/// The two lines of one image.
fn image_row(mark: char, name: &NameVerdict, page: Page) -> String {
    let facts = format!(
        "{}  {:>6}",
        name.image.short(),
        words::size(name.size_bytes)
    );
    Row {
        mark,
        verdict: words::verdict(name.verdict()),
        reason: words::reason_word(name.reason),
        tone: match name.verdict() {
            Verdict::Keep => Tone::Plain,
            Verdict::Retag => Tone::Warning,
            Verdict::Remove => Tone::Bad,
        },
        name: &words::name(name.reference.as_ref()),
        facts: &facts,
        detail: &words::detail(name.reason, &name.detail),
    }
    .print(page)
}

/// Two lines about one thing.
struct Row<'a> {
    /// Whether it is added, moved or removed.
    mark: char,
    /// What is to be done with it.
    verdict: &'a str,
    /// Why, in a word.
    reason: &'a str,
    /// What that means to the reader.
    tone: Tone,
    /// What it is.
    name: &'a str,
    /// What is short and tabular about it.
    facts: &'a str,
    /// Why, in a sentence.
    detail: &'a str,
}

impl Row<'_> {
    fn print(&self, page: Page) -> String {
        let verdict = format!("  {} {:<7}{:<11}", self.mark, self.verdict, self.reason);
        let lead = Text::default().and(self.tone, verdict);
        let name = Text::default().and(Tone::Strong, self.name);
        // A name that can stand in one piece does: people copy it.
        let columns = columns(self.name);
        let fits_behind = |column: usize| columns <= page.width().saturating_sub(column);
        let is_long = !fits_behind(NAME_COLUMN) && fits_behind(LONG_NAME_COLUMN);
        let named = if is_long {
            page.paragraph(lead, 0, "") + &page.paragraph("", LONG_NAME_COLUMN, name)
        } else {
            page.paragraph(lead, NAME_COLUMN, name)
        };
        let below = format!("{:NAME_COLUMN$}{}  ", "", self.facts);
        named + &page.paragraph(below, NAME_COLUMN, self.detail)
    }
}

/// Whether an upgrade fails, so that the workload is listed first.
fn is_failing(plan: &WorkloadPlan) -> bool {
    plan.failing.is_some()
}
