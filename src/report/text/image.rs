//! The history of one image, for `explain`. Pure.

use tagkeeper_core::model::{FirstSeen, ImageReport, NameReport, Outcome, Verdict};

use crate::duration::compact;
use crate::report::Preface;
use crate::report::layout::{Page, Text, Tone};
use crate::report::words;

/// Column at which what happened begins.
const VALUE_COLUMN: usize = 14;

/// The report on an image: what happened, then the verdict on each of its names, and until when it
/// holds.
pub(super) fn image(report: &ImageReport, preface: &Preface, page: Page) -> String {
    let title = Text::default()
        .and(Tone::Strong, report.version.as_str())
        .and(Tone::Plain, format!(" {}", subject(report)));
    let mut out = page.paragraph("", 0, title);
    for (label, tone, told) in past(report, preface) {
        let lead = Text::default().and(tone, format!("  {label}"));
        out.push_str(&page.paragraph(lead, VALUE_COLUMN, told));
    }
    out.extend(report.names.iter().map(|name| name_report(name, page)));
    out
}

fn subject(report: &ImageReport) -> String {
    let (image, workload) = (report.image.short(), &report.workload);
    match report.size_bytes {
        Some(bytes) => format!("is image {image} of {workload}, {}", words::size(bytes)),
        None => format!("was image {image} of {workload}, and is not on the disk any more"),
    }
}

/// What happened, in the order of a life: a label, its tone, and the words.
#[allow(clippy::too_many_lines, reason = "a table: a row for each case")]
fn past(report: &ImageReport, preface: &Preface) -> Vec<(&'static str, Tone, String)> {
    let mut told = vec![(
        "first seen",
        Tone::Faint,
        first_seen(&report.first_seen, preface),
    )];
    if let Some(pending) = &report.pending {
        let words = format!(
            "since {} in {}, {}",
            preface.when(&pending.began_at),
            pending
                .members
                .first()
                .map_or("no container", |m| m.container.as_str()),
            words::count(pending.restarts, "restart")
        );
        let label = if pending.waits.is_none() {
            "soaking"
        } else {
            "pending"
        };
        told.push((label, Tone::Warning, words));
    }
    if let Some(failure) = &report.failure {
        let words = format!(
            "{} after {}; {}, last one ended {}",
            words::failure_reason(failure),
            compact(failure.up_secs.saturating_mul(1000)),
            words::count(failure.attempts, "attempt"),
            preface.when(&failure.at)
        );
        let label = match failure.outcome {
            Outcome::Failed => "failed",
            Outcome::Withdrawn => "withdrawn",
            Outcome::Superseded => "superseded",
        };
        told.push((label, Tone::Bad, words));
    }
    if let Some(at) = &report.promoted_at {
        told.push(("promoted", Tone::Good, preface.when(at)));
    }
    if let Some(replaced) = &report.replaced {
        let words = format!("{} by {}", preface.when(&replaced.at), replaced.by);
        told.push(("replaced", Tone::Faint, words));
    }
    if let (Some(rejected), Some(typed)) = (&report.rejected, &report.lifted_by) {
        let words = format!(
            "{}; `{}` allows it again",
            preface.when(&rejected.at),
            words::accept_command(&report.workload, typed)
        );
        told.push(("rejected", Tone::Bad, words));
    }
    if report.rejected_by_policy {
        let words = "by [reject] in the policy; it is promoted only once no file names it there";
        told.push(("rejected", Tone::Bad, words.to_owned()));
    }
    if let Some(retired) = &report.retired {
        let words = match &retired.by {
            Some(version) => format!(
                "{} by the promotion of {version}",
                preface.when(&retired.at)
            ),
            None => preface.when(&retired.at),
        };
        told.push(("retired", Tone::Faint, words));
    }
    if let Some(removed) = &report.removed {
        let why = words::removed_by(removed.why);
        told.push((
            "removed",
            Tone::Bad,
            format!("{}: {why}", preface.when(&removed.at)),
        ));
        if !report.past_names.is_empty() {
            told.push(("its names", Tone::Faint, report.past_names.join(", ")));
        }
    }
    told
}

fn first_seen(seen: &FirstSeen, preface: &Preface) -> String {
    match seen {
        FirstSeen::At(at) => preface.when(at),
        FirstSeen::Before(at) => format!("before {}, when the history begins", preface.when(at)),
        FirstSeen::Ago(ms) => format!("{} of host uptime ago", compact(*ms)),
        FirstSeen::Unknown => "not on record".to_owned(),
    }
}

fn name_report(name: &NameReport, page: Page) -> String {
    let verdict = name.reason.verdict();
    let tone = match verdict {
        Verdict::Keep => Tone::Good,
        Verdict::Retag => Tone::Warning,
        Verdict::Remove => Tone::Bad,
    };
    let lead = Text::default().and(tone, format!("  {}", words::verdict(verdict)));
    let called = Text::default().and(Tone::Strong, words::name(name.reference.as_ref()));
    let detail = words::detail(name.reason, &name.detail);
    let why = format!("{}: {detail}", words::reason_word(name.reason));
    page.paragraph(lead, VALUE_COLUMN, called)
        + &page.paragraph("", VALUE_COLUMN, why)
        + &page.paragraph("", VALUE_COLUMN, words::until(&name.until))
}
