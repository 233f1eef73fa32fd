//! `status` without a workload: when the last pass ended and how, then one line for each workload, the failing ones first. Pure.

use tagkeeper_core::model::{Plan, WorkloadName, WorkloadPlan};

use super::is_failing;
use crate::duration::compact;
use crate::report::Preface;
use crate::report::layout::{Page, Text, Tone};
use crate::report::words;

/// A host whose last pass ended so long ago, in seconds, has none any more: the timer starts one a minute.
const SILENT_SECS: u64 = 5 * 60;

/// The first line: the last pass, and how many workloads need a look.
pub(super) fn head(plan: &Plan, preface: &Preface, page: Page) -> String {
    let (tone, said) = last_pass(preface);
    let line = Text::default()
        .and(tone, said)
        .and(Tone::Plain, "; ")
        .and(Tone::Plain, counts(plan));
    page.paragraph("", 0, line)
}

fn last_pass(preface: &Preface) -> (Tone, String) {
    let Some(view) = &preface.last_pass else {
        return (
            Tone::Bad,
            "no pass is known since the host booted: is tagkeeper.timer active?".to_owned(),
        );
    };
    let ago = compact(view.seconds_ago.saturating_mul(1000));
    match (&view.pass.error, view.pass.exit_code) {
        (_, 0) if view.seconds_ago <= SILENT_SECS => {
            (Tone::Good, format!("last pass {ago} ago, ok"))
        }
        (_, 0) => (
            Tone::Bad,
            format!("last pass {ago} ago, ok: passes have stopped; is tagkeeper.timer active?"),
        ),
        (error, code) => {
            let why = error
                .as_deref()
                .map_or_else(String::new, |e| format!(": {}", words::one_line(e)));
            (
                Tone::Bad,
                format!("last pass {ago} ago, FAILED ({code}){why}"),
            )
        }
    }
}

fn counts(plan: &Plan) -> String {
    let count = |wanted: &dyn Fn(&WorkloadPlan) -> bool| {
        plan.workloads.values().filter(|w| wanted(w)).count()
    };
    let mut parts = Vec::new();
    for (number, word) in [
        (count(&is_failing), "failing"),
        (count(&|w| w.pending.is_some() && !is_failing(w)), "soaking"),
        (count(&|w| w.held.is_some()), "on hold"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {word}"));
        }
    }
    let all = words::count(plan.workloads.len(), "workload");
    if parts.is_empty() {
        all
    } else {
        format!("{all}: {}", parts.join(", "))
    }
}

/// The table.
pub(super) fn table(plan: &Plan, page: Page) -> String {
    let mut rows: Vec<[String; 5]> =
        vec![["WORKLOAD", "LATEST", "FALLBACK", "RUNNING", "STATE"].map(str::to_owned)];
    let mut workloads: Vec<(&WorkloadName, &WorkloadPlan)> = plan.workloads.iter().collect();
    workloads.sort_by_key(|(_, plan)| (!is_failing(plan), plan.pending.is_none()));
    rows.extend(workloads.iter().map(|(name, plan)| row(name, plan)));
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(words::columns(cell));
        }
    }
    let mut out = String::new();
    for (at, row) in rows.iter().enumerate() {
        let failing = at > 0 && is_failing(workloads[at - 1].1);
        let mut lead = if failing {
            "! ".to_owned()
        } else {
            "  ".to_owned()
        };
        for (cell, width) in row.iter().zip(widths).take(4) {
            lead.push_str(cell);
            let pad = width.saturating_sub(words::columns(cell)) + 2;
            lead.extend(std::iter::repeat_n(' ', pad));
        }
        let tone = if failing { Tone::Bad } else { Tone::Plain };
        let indent = words::columns(&lead).min(60);
        let lead = Text::default().and(tone, lead);
        out.push_str(&page.paragraph(lead, indent, Text::default().and(tone, row[4].as_str())));
    }
    out
}

fn row(name: &WorkloadName, plan: &WorkloadPlan) -> [String; 5] {
    let latest = plan
        .latest
        .as_ref()
        .map_or("none".to_owned(), |l| l.version.to_string());
    let fallback = plan.fallbacks.first().map_or("none".to_owned(), |f| {
        let pin = if plan.pins.contains_key(&f.image) {
            " (pin)"
        } else {
            ""
        };
        format!("{}{pin}", f.version)
    });
    let running = plan
        .serving
        .as_ref()
        .map_or("nothing".to_owned(), |serving| {
            let names: Vec<&str> = serving
                .members
                .iter()
                .map(|m| m.container.as_str())
                .collect();
            format!("{} {}", serving.version, names.join(","))
        });
    [name.to_string(), latest, fallback, running, state(plan)]
}

/// One workload's state in a few words. It depends on what passes recorded, and not on the second.
fn state(plan: &WorkloadPlan) -> String {
    let mut parts = Vec::new();
    if let Some(held) = &plan.held {
        parts.push(words::held(held));
    }
    if let Some(failure) = &plan.failing {
        parts.push(format!(
            "FAILING  {} {}, {}, last one ended {}",
            failure.version,
            words::failure_reason(failure),
            words::count(failure.attempts, "attempt"),
            failure.at
        ));
    } else if let Some(pending) = &plan.pending {
        let percent = pending
            .up_ms
            .saturating_mul(100)
            .checked_div(pending.soak_ms)
            .unwrap_or(100)
            .min(100);
        let left_ms = pending.soak_ms.saturating_sub(pending.up_ms);
        parts.push(match (pending.soaking, left_ms) {
            (false, _) => format!("{} waits, not soaking", pending.version),
            (true, 0) => format!("{} has soaked; the next pass decides", pending.version),
            (true, left_ms) => format!(
                "soaking  {percent}%, {} left",
                compact(left_ms.saturating_add(999))
            ),
        });
    } else if plan.latest.is_none() {
        parts.push("nothing is latest".to_owned());
    } else if plan.latest.as_ref().is_some_and(|latest| !latest.proven) {
        parts.push("latest is not proven".to_owned());
    } else if plan.serving.is_none() {
        parts.push("nothing is running".to_owned());
    } else {
        let since = plan
            .latest
            .as_ref()
            .and_then(|latest| latest.promoted_at.as_deref());
        parts.push(since.map_or("ok".to_owned(), |at| format!("ok, since {at}")));
    }
    parts.join("; ")
}
