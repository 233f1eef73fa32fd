//! Plan, status, explain, check and events for programs: a documented, versioned interface (design
//! section 7), [`SCHEMA`].
//!
//! `schema` documents each field. A field may be added within a schema; one that goes or changes
//! its meaning makes a new schema. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use tagkeeper_core::Gather;
use tagkeeper_core::model::{
    self, ActionKind, EventKind, Plan, Policy, WorkloadName, WorkloadPlan,
};

use super::{Preface, words};
use crate::policy_file::{Diagnostic, Problem, Refused};

mod explain;
mod schema;

pub use explain::explain;
use schema::{
    Action, Check, Counters, Document, Failure, Fallback, Finding, Head, HookEvent, LastPass,
    Latest, NameVerdict, Pending, RefusedRemoval, Rejected, RejectedByPolicy, Rounds, Serving,
    Workload,
};

/// A round of actions, by workload.
type Round = Vec<(WorkloadName, model::Action)>;

/// The version of the interface.
pub const SCHEMA: u32 = 1;

/// What `plan --format json` prints. `later` are the rounds after the first. Ends with one newline.
pub fn plan(plan: &Plan, later: &[Round], preface: &Preface) -> String {
    let departed = plan.departed.iter();
    let rounds_of = |name: &WorkloadName| {
        let rounds = later.iter().map(|round| {
            let own = round.iter().filter(|(workload, _)| workload == name);
            own.map(|(_, planned)| action(planned)).collect::<Vec<_>>()
        });
        rounds.filter(|round| !round.is_empty()).collect()
    };
    let document = document(plan, preface, |name, workload| {
        Some(Rounds {
            actions: actions(&workload.actions),
            held_actions: actions(&workload.held_actions),
            then: rounds_of(name),
        })
    });
    print(&Document {
        departed: departed
            .map(|(name, left)| (name.as_str(), actions(left)))
            .gather(),
        ..document
    })
}

/// What `status --format json` prints: the same without `actions`. Ends with one newline.
pub fn status(plan: &Plan, preface: &Preface) -> String {
    let last_pass = preface.last_pass.as_ref().map(|view| LastPass {
        ended_at: &view.pass.ended_at,
        seconds_ago: view.seconds_ago,
        exit_code: view.pass.exit_code,
        error: view.pass.error.as_deref(),
    });
    print(&Document {
        last_pass: Some(last_pass),
        ..document(plan, preface, |_, _| None)
    })
}

/// What `check --format json` prints of a valid policy: its workloads, and warnings. `remarks` are
/// those that belong to no place of the policy. Ends with one newline.
pub fn check(policy: &Policy, warnings: &[Diagnostic], remarks: &[String]) -> String {
    let mut all: Vec<_> = warnings.iter().map(placed).collect();
    all.extend(remarks.iter().cloned().map(unplaced));
    print(&Check {
        schema: SCHEMA,
        ok: true,
        workloads: policy.workloads.keys().map(WorkloadName::as_str).collect(),
        errors: Vec::new(),
        more_errors: None,
        warnings: all,
    })
}

/// What a hook reads on standard input (docs/hooks.md). Ends with one newline.
pub fn event(waiting: &model::Undelivered) -> String {
    let event = &waiting.event;
    let previous = match &event.kind {
        EventKind::Promoted { replaced, .. } => replaced.as_ref(),
        _ => None,
    };
    let back_to = match &event.kind {
        EventKind::RolledBack { to, .. } => to.as_ref(),
        _ => None,
    };
    let (version, image) = super::log::concerned(&event.kind);
    print(&HookEvent {
        schema: SCHEMA,
        id: &waiting.id,
        event: words::event_word(&event.kind),
        workload: event.workload.as_str(),
        version: version.as_deref(),
        image: image.map(ToString::to_string),
        previous: previous.map(model::Version::as_str),
        back_to: back_to.map(model::Version::as_str),
        message: words::event(event).unwrap_or_default(),
        at: &waiting.since.at,
        clock_secs: waiting.since.clock_ms / 1000,
    })
}

/// What `check --format json` prints of a refused policy: every error. Ends with one newline.
pub fn refused(refused: &Refused) -> String {
    fn error(problem: &Problem) -> Finding<'_> {
        let message = problem.message();
        let (file, message) = match problem {
            Problem::Wrong(wrong) => return placed(wrong),
            Problem::Unreadable { path, .. } => (path.to_str(), message),
            Problem::Missing { looked_for } => {
                let paths = looked_for.iter().map(|path| path.display().to_string());
                let paths = paths.collect::<Vec<_>>().join(", ");
                (None, format!("{message}; looked for {paths}"))
            }
        };
        Finding {
            file,
            help: Some(problem.help()),
            ..unplaced(message)
        }
    }
    print(&Check {
        schema: SCHEMA,
        ok: false,
        workloads: Vec::new(),
        errors: refused.problems.iter().map(error).collect(),
        more_errors: (refused.more > 0).then_some(refused.more),
        warnings: Vec::new(),
    })
}

/// A finding at a place of a file.
fn placed(finding: &Diagnostic) -> Finding<'_> {
    Finding {
        file: Some(&finding.place.file),
        line: finding.place.line(),
        column: finding.place.column(),
        key: finding.key.as_deref(),
        message: finding.message.clone(),
        help: Some(&finding.help),
    }
}

/// A finding that concerns no place of a file.
fn unplaced<'a>(message: String) -> Finding<'a> {
    Finding {
        file: None,
        line: None,
        column: None,
        key: None,
        message,
        help: None,
    }
}

fn document<'a>(
    plan: &'a Plan,
    preface: &Preface,
    rounds_of: impl Fn(&'a WorkloadName, &'a WorkloadPlan) -> Option<Rounds<'a>>,
) -> Document<'a> {
    let workloads = plan.workloads.iter();
    Document {
        schema: SCHEMA,
        note: joined(&preface.notes),
        last_pass: None,
        workloads: workloads
            .map(|(name, plan)| (name.as_str(), workload(name, plan, rounds_of(name, plan))))
            .gather(),
        departed: BTreeMap::new(),
    }
}

fn workload<'a>(
    name: &WorkloadName,
    plan: &'a WorkloadPlan,
    rounds: Option<Rounds<'a>>,
) -> Workload<'a> {
    let notes: Vec<String> = plan
        .notes
        .iter()
        .map(|note| words::note(name, note))
        .collect();
    let hold_reason = match &plan.held {
        Some(model::HeldBy::Section { reason, .. }) => reason.as_deref(),
        Some(model::HeldBy::Workload) | None => None,
    };
    Workload {
        latest: plan.latest.as_ref().map(|latest| Latest {
            version: latest.version.as_str(),
            image: &latest.image,
            proven: latest.proven,
            promoted_at: latest.promoted_at.as_deref(),
        }),
        head: plan.head.as_ref().map(|head| Head {
            version: head.version.as_str(),
            image: &head.image,
        }),
        fallbacks: plan.fallbacks.iter().map(|f| fallback(f, plan)).collect(),
        serving: plan.serving.as_ref().and_then(serving),
        note: joined(&notes),
        failing: plan.failing.as_ref().map(|failure| &failure.image),
        pending: plan.pending.as_ref().map(pending),
        failures: plan.failures.iter().map(failure).collect(),
        refused: plan.refused.iter().map(refused_removal).collect(),
        rejected: plan.rejected.iter().map(rejected).collect(),
        rejected_by_policy: plan
            .rejected_by_policy
            .iter()
            .map(rejected_by_policy)
            .collect(),
        since: plan.since.as_ref().map(|since| since.at.as_str()),
        tally: counters(&plan.counters),
        hold: plan.held.is_some(),
        hold_reason,
        images: plan
            .images
            .iter()
            .map(|name| verdict(name, plan.held.is_some()))
            .collect(),
        reclaimable_bytes: plan.reclaimable_bytes(),
        rounds,
    }
}

fn fallback<'a>(proven: &'a model::Proven, plan: &'a WorkloadPlan) -> Fallback<'a> {
    Fallback {
        version: proven.version.as_str(),
        image: &proven.image,
        pin: plan.pins.get(&proven.image).map(String::as_str),
    }
}

fn serving(serving: &model::Serving) -> Option<Serving<'_>> {
    let newest = serving.members.first()?;
    Some(Serving {
        container: &newest.container,
        id: &newest.id,
        image: &serving.image,
        version: serving.version.as_str(),
        local: serving.local,
        containers: serving
            .members
            .iter()
            .map(|m| m.container.as_str())
            .collect(),
    })
}

fn pending(pending: &model::PendingView) -> Pending<'_> {
    let newest = pending.members.first();
    Pending {
        version: pending.version.as_str(),
        image: &pending.image,
        container: newest.map(|m| m.container.as_str()),
        id: newest.map(|m| &m.id),
        up_secs: pending.up_ms / 1000,
        soak_secs: pending.soak_ms / 1000,
        restarts: pending.restarts,
        waits: pending
            .waits
            .as_ref()
            .map(|waits| words::waits(&pending.version, waits)),
    }
}

fn failure(failure: &model::Failure) -> Failure<'_> {
    Failure {
        version: failure.version.as_str(),
        image: &failure.image,
        outcome: failure.outcome.as_str(),
        attempts: failure.attempts,
        up_secs: failure.up_secs,
        reason: words::failure_reason(failure),
        at: &failure.at,
    }
}

fn refused_removal(refused: &model::RefusedView) -> RefusedRemoval<'_> {
    RefusedRemoval {
        target: &refused.target,
        reason: &refused.reason,
        retry_in_secs: refused.retry_in_ms.div_ceil(1000),
    }
}

fn rejected<'a>((image, rejected): (&'a model::ImageId, &'a model::Rejected)) -> Rejected<'a> {
    Rejected {
        version: rejected.version.as_str(),
        image,
        at: &rejected.at,
    }
}

fn rejected_by_policy<'a>(
    (image, version): (&'a model::ImageId, &'a model::Version),
) -> RejectedByPolicy<'a> {
    RejectedByPolicy {
        version: version.as_str(),
        image,
    }
}

fn counters(counters: &model::Counters) -> Counters {
    Counters {
        promotions: counters.promotions,
        failures: counters.failures,
        restarts: counters.restarts,
        rollbacks: counters.rollbacks,
        removals: counters.removals,
        reclaimed_bytes: counters.reclaimed_bytes,
    }
}

fn verdict(name: &model::NameVerdict, held: bool) -> NameVerdict<'_> {
    NameVerdict {
        reference: name.reference.as_ref().map(ToString::to_string),
        image: &name.image,
        size_bytes: name.size_bytes,
        verdict: words::verdict(name.verdict()),
        reason: words::reason_word(name.reason),
        detail: words::detail(name.reason, &name.detail),
        held,
    }
}

fn actions(actions: &[model::Action]) -> Vec<Action<'_>> {
    actions.iter().map(action).collect()
}

fn action(action: &model::Action) -> Action<'_> {
    match &action.kind {
        ActionKind::Tag {
            image, reference, ..
        } => Action::Tag {
            image,
            reference: reference.to_string(),
        },
        ActionKind::CreatePin { container, image } => Action::CreateContainer { container, image },
        ActionKind::RemoveContainer { container, id, .. }
        | ActionKind::RemovePin { container, id, .. } => Action::RemoveContainer { container, id },
        ActionKind::RemoveImage {
            reference, image, ..
        } => Action::RemoveImage {
            reference: reference.as_ref().map(ToString::to_string),
            image,
        },
    }
}

fn joined(notes: &[String]) -> Option<String> {
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// Serializing plain data with names for keys into memory cannot fail; were that ever untrue, a
/// program that reads this finds no JSON, and not half of it.
fn print(document: &impl Serialize) -> String {
    serde_json::to_string_pretty(document).map_or_else(|_| String::new(), |text| text + "\n")
}
