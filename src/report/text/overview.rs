//! `status` without a workload: when the last pass ended and how, then one line for each workload,
//! the failing ones first. Pure.

use tagkeeper_core::model::{Failure, Latest, Note, PendingView, Plan, WorkloadName, WorkloadPlan};

use super::is_failing;
use crate::duration;
use crate::report::Preface;
use crate::report::layout::{Page, Text, Tone};
use crate::report::words;
use crate::text::{columns, one_line};

/// After so many seconds without a pass the passes have stopped: the timer starts one a minute.
const SILENT_SECS: u64 = 5 * 60;
/// The timer, as systemd knows it.
const TIMER: &str = "tagkeeper.timer";
/// Columns that the last cell must have at least; containers with longer names are named on lines
/// of their own.
const STATE_MIN: usize = 28;
/// Columns between two cells.
const GAP: usize = 2;

/// The first line: the last pass, the timer, and how many workloads need a look.
pub(super) fn head(plan: &Plan, preface: &Preface, page: Page) -> String {
    let (tone, said) = last_pass(preface);
    let left = Text::default().and(tone, said);
    page.line_with_right(&left, &counts(plan))
}

/// The first line without the engine: nothing is known of the workloads.
pub(super) fn last_pass_line(preface: &Preface, page: Page) -> String {
    let (tone, said) = last_pass(preface);
    page.paragraph("", 0, Text::default().and(tone, said))
}

fn last_pass(preface: &Preface) -> (Tone, String) {
    let is_active = preface.timer.as_ref().map(|word| word == "active");
    let timer = match (&preface.timer, is_active) {
        (None, _) => String::new(),
        (Some(_), Some(true)) => ", timer active".to_owned(),
        (Some(word), _) => format!(
            "; {TIMER} is {}, so no pass follows: systemctl enable --now {TIMER}",
            one_line(word)
        ),
    };
    let Some(view) = &preface.last_pass else {
        let tone = if is_active == Some(true) {
            Tone::Warning
        } else {
            Tone::Bad
        };
        return (
            tone,
            format!("no pass on record since the host booted{timer}"),
        );
    };
    let ago = duration::span(view.seconds_ago);
    let code = view.pass.exit_code;
    if code != 0 {
        let why = view.pass.error.as_deref().map(one_line);
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        // A remedy comes last, to be copied.
        let said = if is_active == Some(false) {
            format!("{why}{timer}")
        } else {
            format!("{timer}{why}")
        };
        return (
            Tone::Bad,
            format!("last pass {ago} ago FAILED, exit code {code}{said}"),
        );
    }
    if view.seconds_ago > SILENT_SECS {
        let hint = if preface.timer.is_none() {
            format!("; is {TIMER} active?")
        } else {
            timer
        };
        return (
            Tone::Bad,
            format!("last pass {ago} ago, PASSES HAVE STOPPED{hint}"),
        );
    }
    let tone = if is_active == Some(false) {
        Tone::Bad
    } else {
        Tone::Good
    };
    (tone, format!("last pass {ago} ago, ok{timer}"))
}

fn counts(plan: &Plan) -> String {
    let count = |wanted: &dyn Fn(&WorkloadPlan) -> bool| {
        plan.workloads.values().filter(|w| wanted(w)).count()
    };
    let parts: Vec<String> = [
        (count(&is_failing), "failing"),
        (count(&|w| w.pending.is_some() && !is_failing(w)), "soaking"),
        (count(&|w| w.held.is_some()), "on hold"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, word)| format!("{number} {word}"))
    .collect();
    let all = words::count(plan.workloads.len(), "workload");
    if parts.is_empty() {
        all
    } else {
        format!("{all}: {}", parts.join(", "))
    }
}

/// One line of the table.
struct Row {
    /// Workload, latest, fallback, version that runs.
    cells: [String; 4],
    containers: String,
    tone: Tone,
    is_failing: bool,
    word: String,
    detail: String,
}

/// The workloads in the order of the status: what fails first, then by name.
pub(super) fn ranked(plan: &Plan) -> Vec<(&WorkloadName, &WorkloadPlan)> {
    let mut workloads: Vec<(&WorkloadName, &WorkloadPlan)> = plan.workloads.iter().collect();
    workloads.sort_by_key(|(_, plan)| rank(plan));
    workloads
}

/// The table.
pub(super) fn table(plan: &Plan, preface: &Preface, page: Page) -> String {
    let rows: Vec<Row> = ranked(plan)
        .into_iter()
        .map(|(name, plan)| row(name, plan, preface))
        .collect();
    let heads = ["WORKLOAD", "LATEST", "FALLBACK", "RUNNING"];
    let width = |at: usize| {
        let cells = rows.iter().map(|row| columns(&row.cells[at]));
        cells.chain([heads[at].len()]).max().unwrap_or_default()
    };
    let mut widths: [usize; 4] = std::array::from_fn(width);
    let others = GAP + widths[..3].iter().sum::<usize>() + 4 * GAP;
    let room = page.width().saturating_sub(others + STATE_MIN);
    let fits = |row: &Row| columns(&running_with_containers(row)) <= room;
    for row in rows.iter().filter(|row| fits(row)) {
        widths[3] = widths[3].max(columns(&running_with_containers(row)));
    }
    let word_width = rows.iter().map(|row| columns(&row.word)).max();
    let word_width = word_width.unwrap_or_default();
    let state_column = others + widths[3];
    let hanging = (state_column + word_width + GAP).min(page.width() * 3 / 4);

    let mut out = String::new();
    let head = Text::default().and(
        Tone::Faint,
        format!("  {}", padded(&heads.map(str::to_owned), &widths)),
    );
    out.push_str(&page.paragraph(head, 0, Text::default().and(Tone::Faint, "STATE")));
    for row in &rows {
        let mark = if row.is_failing { "! " } else { "  " };
        let mut cells = row.cells.clone();
        if fits(row) {
            cells[3] = running_with_containers(row);
        }
        let tone = if row.is_failing {
            Tone::Bad
        } else {
            Tone::Plain
        };
        let word = format!("{:word_width$}{:GAP$}", row.word, "");
        let lead = Text::default()
            .and(tone, format!("{mark}{}", padded(&cells, &widths)))
            .and(row.tone, word);
        out.push_str(&page.paragraph(lead, hanging, row.detail.as_str()));
        if !fits(row) && !row.containers.is_empty() {
            let names = Text::default().and(Tone::Name, &row.containers);
            out.push_str(&page.paragraph("      in", 9, names));
        }
    }
    out
}

fn rank(plan: &WorkloadPlan) -> u8 {
    if is_failing(plan) {
        0
    } else if plan.pending.is_some() {
        1
    } else if plan.held.is_some() {
        2
    } else {
        3
    }
}

fn running_with_containers(row: &Row) -> String {
    format!("{} {}", row.cells[3], row.containers)
        .trim_end()
        .to_owned()
}

fn padded(cells: &[String; 4], widths: &[usize; 4]) -> String {
    let mut out = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        out.push_str(cell);
        let pad = width.saturating_sub(columns(cell)) + GAP;
        out.extend(std::iter::repeat_n(' ', pad));
    }
    out
}

fn row(name: &WorkloadName, plan: &WorkloadPlan, preface: &Preface) -> Row {
    let latest = plan
        .latest
        .as_ref()
        .map_or("none".to_owned(), |l| one_line(l.version.as_str()));
    let lost = plan.notes.iter().find_map(|note| match note {
        Note::FallbackLost { version } => Some(format!("{version} lost")),
        _ => None,
    });
    let none = || lost.unwrap_or_else(|| "none".to_owned());
    let fallback = plan.fallbacks.first().map_or_else(none, |f| {
        let pin = if plan.pins.contains_key(&f.image) {
            " (pin)"
        } else {
            ""
        };
        format!("{}{pin}", one_line(f.version.as_str()))
    });
    let (running, containers) = running(plan);
    let (tone, word, detail) = state(plan, preface);
    Row {
        cells: [
            one_line(name.as_str()),
            latest,
            fallback,
            one_line(&running),
        ],
        containers: one_line(&containers),
        tone,
        is_failing: is_failing(plan),
        word: word.to_owned(),
        detail,
    }
}

/// The version that runs, and in which containers. In a crash loop that is the failing one, also in
/// the second in which it is down.
fn running(plan: &WorkloadPlan) -> (String, String) {
    if let Some(failure) = keeps_failing(plan) {
        return (failure.version.to_string(), plan.failing_in.join(" "));
    }
    match &plan.serving {
        None => (nothing_serves(plan).to_owned(), String::new()),
        Some(serving) => {
            let names: Vec<&str> = serving
                .members
                .iter()
                .map(|m| m.container.as_str())
                .collect();
            (serving.version.to_string(), names.join(" "))
        }
    }
}

/// What fails, unless another image serves by now.
pub(super) fn keeps_failing(plan: &WorkloadPlan) -> Option<&Failure> {
    plan.failing.as_ref().filter(|failure| {
        let serving = plan.serving.as_ref();
        serving.is_none_or(|serving| serving.image == failure.image)
    })
}

/// What is said to run where nothing serves.
pub(super) fn nothing_serves(plan: &WorkloadPlan) -> &'static str {
    if plan.notes.iter().any(is_unclear) {
        "unclear"
    } else {
        "nothing"
    }
}

/// One workload's state in a word and a few more. It depends on what passes recorded, and not on
/// the second.
fn state(plan: &WorkloadPlan, preface: &Preface) -> (Tone, &'static str, String) {
    let held = plan.held.as_ref().map(words::held);
    let and_held = |said: String| match &held {
        Some(held) => format!("{said}; {held}"),
        None => said,
    };
    if let Some(failure) = &plan.failing {
        return (
            Tone::Bad,
            "FAILING",
            and_held(failing(plan, failure, preface)),
        );
    }
    if let Some(pending) = &plan.pending {
        let said = soaking(pending, plan.held.is_some());
        return (Tone::Warning, "soaking", and_held(said));
    }
    if let Some(held) = held {
        let rest = held.trim_start_matches("on hold").trim_start_matches(':');
        return (Tone::Warning, "on hold", rest.trim_start().to_owned());
    }
    let rejected = plan.notes.iter().find_map(|note| match note {
        Note::RejectedServes { version, .. } => Some(version),
        _ => None,
    });
    if let Some(version) = rejected {
        let said = format!("{version} is running although it is rejected");
        return (Tone::Warning, "-", said);
    }
    let (tone, said) = match (&plan.latest, &plan.serving) {
        (None, _) => (Tone::Bad, "nothing is latest".to_owned()),
        (Some(latest), _) if !latest.proven => {
            let said = match &plan.head {
                Some(proven) => format!("latest is not {}, which is proven", proven.version),
                None => "latest is not proven".to_owned(),
            };
            (Tone::Warning, said)
        }
        (Some(_), None) => (Tone::Warning, why_nothing_serves(plan)),
        (Some(latest), Some(_)) => {
            let mut said = since(latest, preface);
            if !plan.notes.is_empty() {
                let notes = words::count(plan.notes.len(), "note");
                said = if said.is_empty() {
                    notes
                } else {
                    format!("{said}, {notes}")
                };
            }
            return (Tone::Good, "ok", said);
        }
    };
    (tone, "-", said)
}

/// How the last attempt of an upgrade failed, and how far the present one has come. One that a
/// second pass finds up may be the one that lasts.
fn failing(plan: &WorkloadPlan, failure: &Failure, preface: &Preface) -> String {
    let ago = preface.ago(&failure.at).map(|ago| format!("{ago} ago"));
    let version = match keeps_failing(plan) {
        Some(_) => String::new(),
        None => format!("{} ", failure.version),
    };
    let said = format!(
        "{version}{}, {}, last {}",
        words::failure_reason(failure),
        words::count(failure.attempts, "attempt"),
        ago.as_ref().unwrap_or(&failure.at),
    );
    let is_lasting =
        |p: &&PendingView| p.image == failure.image && p.waits.is_none() && p.up_ms >= 60_000;
    match plan.pending.as_ref().filter(is_lasting) {
        Some(lasting) => format!(
            "{said}; up again, {}",
            soaking(lasting, plan.held.is_some())
        ),
        None => said,
    }
}

/// How far an upgrade has soaked, and what it waits for.
fn soaking(pending: &PendingView, is_held: bool) -> String {
    let left_ms = pending.soak_ms.saturating_sub(pending.up_ms);
    let percent = pending
        .up_ms
        .saturating_mul(100)
        .checked_div(pending.soak_ms);
    let percent = percent.unwrap_or(100).min(100);
    match (&pending.waits, left_ms) {
        (Some(waits), _) => one_line(&words::waits(&pending.version, waits)),
        (None, 0) if is_held => "100 %".to_owned(),
        (None, 0) => format!("100 %, {} awaits the next pass", pending.version),
        (None, left_ms) => format!("{percent} %, {} left", duration::left(left_ms)),
    }
}

fn is_unclear(note: &Note) -> bool {
    matches!(note, Note::SeveralImages { .. } | Note::LocalsDiffer { .. })
}

fn why_nothing_serves(plan: &WorkloadPlan) -> String {
    let why = plan.notes.iter().find_map(|note| match note {
        note if is_unclear(note) => Some("several versions are running".to_owned()),
        Note::OnlyDryRuns { .. } => Some("only a dry run is running".to_owned()),
        Note::Loops { container, .. } => Some(format!("{container} is restarting")),
        Note::ForeignLocal { container, .. } => Some(format!("{container} runs another image")),
        Note::NamelessContainer { .. } => Some("a container has no name yet".to_owned()),
        _ => None,
    });
    why.unwrap_or_else(|| "nothing is running".to_owned())
}

fn since(latest: &Latest, preface: &Preface) -> String {
    let Some(at) = latest.promoted_at.as_deref() else {
        return String::new();
    };
    match preface.ago(at) {
        Some(ago) => format!("for {ago}"),
        None => format!("since {at}"),
    }
}
