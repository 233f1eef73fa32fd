//! Plan, status, explain, check and events for programs: a documented, versioned interface (design section 7), [`SCHEMA`].
//!
//! `schema` documents each field. A field may be added within a schema; one that goes or changes its meaning makes a
//! new schema. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Preface, UNSEEN};
use crate::decide::{self, EventKind, WorkloadPlan};
use crate::image::Version;
use crate::policy::{Diagnostic, Policy, Problem, Refused, WorkloadName};
use crate::state::Now;

mod explain;
mod schema;
#[cfg(test)]
mod tests;

pub use explain::explain;
use schema::{
    Action, Check, Document, Failure, Fallback, Finding, Judged, Latest, Pending, Rejected,
    Serving, Tally, Told, Workload,
};

/// The version of the interface.
pub const SCHEMA: u32 = 1;

/// What `plan --format json` prints. Ends with one newline.
pub fn plan(plan: &decide::Plan, preface: &Preface) -> String {
    let departed = plan.departed.iter();
    let document = document(plan, preface, |workload| Some(actions(&workload.actions)));
    print(&Document {
        departed: departed
            .map(|(name, left)| (name.as_str(), actions(left)))
            .collect(),
        ..document
    })
}

/// What `status --format json` prints: the same without `actions`. Ends with one newline.
pub fn status(plan: &decide::Plan, preface: &Preface) -> String {
    print(&document(plan, preface, |_| None))
}

/// What `check --format json` prints of a sound policy: its workloads, and what is odd about it. `unseen` is why the engine
/// could not be looked at. Ends with one newline.
pub fn check(policy: &Policy, warnings: &[Diagnostic], unseen: Option<&anyhow::Error>) -> String {
    let mut all: Vec<_> = warnings.iter().map(placed).collect();
    all.extend(unseen.map(|error| unplaced(format!("{UNSEEN}: {error:#}"))));
    print(&Check {
        schema: SCHEMA,
        ok: true,
        workloads: policy.workloads.keys().map(WorkloadName::as_str).collect(),
        errors: Vec::new(),
        warnings: all,
    })
}

/// What a hook reads on standard input (docs/hooks.md). Ends with one newline.
pub fn event(event: &decide::Event, now: &Now) -> String {
    let other_of = |kind| {
        let other = event.other.as_ref().filter(|_| event.kind == kind);
        other.map(Version::as_str)
    };
    print(&Told {
        schema: SCHEMA,
        event: event.kind.as_str(),
        workload: event.workload.as_str(),
        version: event.version.as_ref().map(Version::as_str),
        image: event.image.as_ref().map(ToString::to_string),
        previous: other_of(EventKind::Promoted),
        back_to: other_of(EventKind::RolledBack),
        message: &event.message,
        at: &now.wall,
        clock_secs: now.ms() / 1000,
    })
}

/// What `check --format json` prints of a refused policy: every error. Ends with one newline.
pub fn refused(refused: &Refused) -> String {
    fn error(problem: &Problem) -> Finding<'_> {
        match problem {
            Problem::Wrong(wrong) => placed(wrong),
            Problem::Unreadable { .. } | Problem::Missing { .. } => unplaced(problem.to_string()),
        }
    }
    print(&Check {
        schema: SCHEMA,
        ok: false,
        workloads: Vec::new(),
        errors: refused.problems.iter().map(error).collect(),
        warnings: Vec::new(),
    })
}

/// A finding at a place of a file.
fn placed(finding: &Diagnostic) -> Finding<'_> {
    Finding {
        file: Some(&finding.place.file),
        line: Some(finding.place.line),
        column: Some(finding.place.column),
        key: finding.key.as_deref(),
        what: finding.what.clone(),
        mend: Some(&finding.mend),
    }
}

/// A finding that concerns no place of a file.
fn unplaced<'a>(what: String) -> Finding<'a> {
    Finding {
        file: None,
        line: None,
        column: None,
        key: None,
        what,
        mend: None,
    }
}

fn document<'a>(
    plan: &'a decide::Plan,
    preface: &Preface,
    actions_of: impl Fn(&'a WorkloadPlan) -> Option<Vec<Action<'a>>>,
) -> Document<'a> {
    let workloads = plan.workloads.iter();
    Document {
        schema: SCHEMA,
        note: joined(&preface.notes),
        workloads: workloads
            .map(|(name, plan)| (name.as_str(), workload(plan, actions_of(plan))))
            .collect(),
        departed: BTreeMap::new(),
    }
}

fn workload<'a>(plan: &'a WorkloadPlan, actions: Option<Vec<Action<'a>>>) -> Workload<'a> {
    Workload {
        latest: plan.latest.as_ref().map(|latest| Latest {
            version: latest.version.as_str(),
            image: &latest.image,
            proven: latest.proven,
            promoted_at: latest.promoted_at.as_deref(),
        }),
        fallbacks: plan.fallbacks.iter().map(|f| fallback(f, plan)).collect(),
        serving: plan.serving.as_ref().map(serving),
        note: joined(&plan.notes),
        pending: plan.pending.as_ref().map(pending),
        failures: plan.failures.iter().map(failure).collect(),
        rejected: plan
            .rejected
            .iter()
            .map(|(image, rejected)| Rejected {
                version: rejected.version.as_str(),
                image,
                at: &rejected.at,
            })
            .collect(),
        since: plan.since.as_ref().map(|since| since.at.as_str()),
        tally: tally(&plan.tally),
        hold: plan.hold,
        images: plan.images.iter().map(image).collect(),
        leaving_bytes: plan.leaving_bytes(),
        actions,
    }
}

fn fallback<'a>(proven: &'a crate::state::Proven, plan: &'a WorkloadPlan) -> Fallback<'a> {
    Fallback {
        version: proven.version.as_str(),
        image: &proven.image,
        pin: plan.pins.get(&proven.image).map(String::as_str),
    }
}

fn serving(serving: &decide::Serving) -> Serving<'_> {
    Serving {
        container: &serving.container,
        id: &serving.id,
        image: &serving.image,
        version: serving.version.as_str(),
        local: serving.local,
    }
}

fn pending(pending: &decide::PendingView) -> Pending<'_> {
    Pending {
        version: pending.version.as_str(),
        image: &pending.image,
        container: &pending.container,
        id: &pending.id,
        up_secs: pending.up_ms / 1000,
        soak_secs: pending.soak_ms / 1000,
        restarts: pending.restarts,
    }
}

fn failure(failure: &crate::state::Failure) -> Failure<'_> {
    Failure {
        version: failure.version.as_str(),
        image: &failure.image,
        attempts: failure.attempts,
        up_secs: failure.up_secs,
        reason: &failure.reason,
        at: &failure.at,
    }
}

fn tally(tally: &crate::state::Tally) -> Tally {
    Tally {
        promotions: tally.promotions,
        failures: tally.failures,
        restarts: tally.restarts,
        rollbacks: tally.rollbacks,
        removals: tally.removals,
        bytes_won_back: tally.bytes_won_back,
    }
}

fn image(judgement: &decide::Judgement) -> Judged<'_> {
    Judged {
        reference: judgement.reference.as_ref().map(ToString::to_string),
        image: &judgement.image,
        size_bytes: judgement.size_bytes,
        verdict: judgement.verdict().as_str(),
        reason: judgement.reason.as_str(),
        detail: judgement.detail.to_string(),
    }
}

fn actions(actions: &[decide::Action]) -> Vec<Action<'_>> {
    actions
        .iter()
        .map(|action| match action {
            decide::Action::Tag {
                image, reference, ..
            } => Action::Tag {
                image,
                reference: reference.to_string(),
            },
            decide::Action::CreatePin { container, image } => {
                Action::CreateContainer { container, image }
            }
            decide::Action::RemoveContainer { container, id, .. }
            | decide::Action::RemovePin { container, id, .. } => {
                Action::RemoveContainer { container, id }
            }
            decide::Action::RemoveImage {
                reference, image, ..
            } => Action::RemoveImage {
                reference: reference.as_ref().map(ToString::to_string),
                image,
            },
        })
        .collect()
}

fn joined(notes: &[String]) -> Option<String> {
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// Serializing plain data with names for keys into memory cannot fail; were that ever untrue, a program that reads this
/// finds no JSON, and not half of it.
fn print(document: &impl Serialize) -> String {
    serde_json::to_string_pretty(document).map_or_else(|_| String::new(), |text| text + "\n")
}
