//! Plan, status, explain, check and events for programs: a documented, versioned interface (design
//! section 7), [`SCHEMA`]. docs/schema says what each field means, and `tests/faults/schema.rs`
//! holds what is printed against that.
//!
//! The keys are written out here, and do not follow the names of the decision's types, so that the
//! one can stay while the other changes. A field may be added within a schema; one that goes or
//! changes its meaning makes a new schema. Pure.

use serde_json::{Map, Value, json};
use tagkeeper_core::Gather;
use tagkeeper_core::model::{
    self, ActionKind, EventKind, FirstSeen, ImageReport, KeptUntil, NameReport, Plan, Policy,
    WorkloadName, WorkloadPlan,
};

use super::{Preface, words};
use crate::policy_file::{Diagnostic, Refused};

/// A round of actions, by workload.
type Round = Vec<(WorkloadName, model::Action)>;

/// The version of the interface.
pub const SCHEMA: u32 = 1;

/// What `plan --format json` prints. `later` are the rounds after the first. Ends with one newline.
pub fn plan(plan: &Plan, later: &[Round], preface: &Preface) -> String {
    let mut document = document(plan, preface, |name, plan| {
        let rounds = later.iter().map(|round| {
            let own = round.iter().filter(|(workload, _)| workload == name);
            own.map(|(_, planned)| action(planned)).collect::<Vec<_>>()
        });
        let mut shown = workload(name, plan);
        shown["actions"] = list(&plan.actions, action);
        shown["held_actions"] = list(&plan.held_actions, action);
        shown["then"] = list(rounds.filter(|round| !round.is_empty()), Value::Array);
        shown
    });
    if !plan.departed.is_empty() {
        document["departed"] = by_name(&plan.departed, |_, left| list(left, action));
    }
    print(&document)
}

/// What `status --format json` prints: the same without `actions`. Ends with one newline.
pub fn status(plan: &Plan, preface: &Preface) -> String {
    let mut document = document(plan, preface, workload);
    document["last_pass"] = json!(preface.last_pass.as_ref().map(|view| json!({
        "ended_at": view.pass.ended_at,
        "seconds_ago": view.seconds_ago,
        "exit_code": view.pass.exit_code,
        "error": view.pass.error,
    })));
    print(&document)
}

/// What `explain --format json` prints. Ends with one newline.
pub fn explain(reports: &[&ImageReport]) -> String {
    let stories = list(reports, |report| story(report));
    print(&json!({ "schema": SCHEMA, "stories": stories }))
}

/// What `check --format json` prints of a valid policy: its workloads, and warnings. `remarks` are
/// those that belong to no place of the policy. Ends with one newline.
pub fn check(policy: &Policy, warnings: &[Diagnostic], remarks: &[String]) -> String {
    print(&json!({
        "schema": SCHEMA,
        "ok": true,
        "workloads": list(policy.workloads.keys(), |name| json!(name)),
        "errors": [],
        "warnings": warnings.iter().map(diagnostic).chain(remarks.iter().map(remark)).collect::<Value>(),
    }))
}

/// What `check --format json` prints of a refused policy: every error. Ends with one newline.
pub fn refused(refused: &Refused) -> String {
    let mut document = json!({
        "schema": SCHEMA,
        "ok": false,
        "workloads": [],
        "errors": list(&refused.problems, diagnostic),
        "warnings": [],
    });
    if refused.more > 0 {
        document["more_errors"] = json!(refused.more);
    }
    print(&document)
}

/// What a hook reads on standard input (docs/hooks.md). Ends with one newline.
pub fn event(waiting: &model::Undelivered) -> String {
    let event = &waiting.event;
    let (previous, back_to) = match &event.kind {
        EventKind::Promoted { replaced, .. } => (replaced.as_ref(), None),
        EventKind::RolledBack { to, .. } => (None, to.as_ref()),
        _ => (None, None),
    };
    let (version, image) = super::log::concerned(&event.kind);
    print(&json!({
        "schema": SCHEMA,
        "id": waiting.id,
        "event": words::event_word(&event.kind),
        "workload": event.workload,
        "version": version,
        "image": image,
        "previous": previous,
        "back_to": back_to,
        "message": words::event(event).unwrap_or_default(),
        "at": waiting.since.at,
        "clock_secs": waiting.since.clock_ms / 1000,
    }))
}

/// What `plan` and `status` have in common; `shown` is what they say of one workload.
fn document(
    plan: &Plan,
    preface: &Preface,
    shown: impl Fn(&WorkloadName, &WorkloadPlan) -> Value,
) -> Value {
    let mut document = json!({ "schema": SCHEMA });
    document["workloads"] = by_name(&plan.workloads, shown);
    if let Some(note) = joined(&preface.notes) {
        document["note"] = json!(note);
    }
    document
}

/// An entry of `workloads`, without what `plan` alone says.
fn workload(name: &WorkloadName, plan: &WorkloadPlan) -> Value {
    let notes = plan.notes.iter().map(|note| words::note(name, note));
    let is_held = plan.held.is_some();
    let hold_reason = match &plan.held {
        Some(model::HeldBy::Section { reason, .. }) => reason.as_ref(),
        Some(model::HeldBy::Workload) | None => None,
    };
    json!({
        "latest": plan.latest.as_ref().map(|latest| json!({
            "version": latest.version,
            "image": latest.image,
            "proven": latest.proven,
            "promoted_at": latest.promoted_at,
        })),
        "head": plan.head.as_ref().map(|head| of_image(&head.version, &head.image)),
        "fallbacks": list(&plan.fallbacks, |proven| fallback(proven, plan)),
        "serving": plan.serving.as_ref().and_then(serving),
        "note": joined(&notes.collect::<Vec<_>>()),
        "pending": plan.pending.as_ref().map(pending),
        "failures": list(&plan.failures, failure),
        "failing": plan.failing.as_ref().map(|failure| &failure.image),
        "refused": list(&plan.refused, refused_removal),
        "rejected": list(&plan.rejected, |(image, rejected)| {
            let mut shown = of_image(&rejected.version, image);
            shown["at"] = json!(rejected.at);
            shown
        }),
        "rejected_by_policy": list(&plan.rejected_by_policy, |(image, version)| {
            of_image(version, image)
        }),
        "since": plan.since.as_ref().map(|since| &since.at),
        "tally": tally(&plan.counters),
        "hold": is_held,
        "hold_reason": hold_reason,
        "images": list(&plan.images, |name| verdict(name, is_held)),
        "reclaimable_bytes": plan.reclaimable_bytes(),
    })
}

/// A version and its image: `head`, and the entries of three lists with what else they have.
fn of_image(version: &model::Version, image: &model::ImageId) -> Value {
    json!({ "version": version, "image": image })
}

/// An entry of `fallbacks`.
fn fallback(proven: &model::LineageEntry, plan: &WorkloadPlan) -> Value {
    let mut shown = of_image(&proven.version, &proven.image);
    if let Some(pin) = plan.pins.get(&proven.image) {
        shown["pin"] = json!(pin);
    }
    shown
}

/// `serving`; none where there is no container.
fn serving(serving: &model::ServingView) -> Option<Value> {
    let newest = serving.members.first()?;
    Some(json!({
        "container": newest.container,
        "id": newest.id,
        "image": serving.image,
        "version": serving.version,
        "local": serving.local,
        "containers": list(&serving.members, |member| json!(member.container)),
    }))
}

/// `pending`.
fn pending(pending: &model::PendingView) -> Value {
    let newest = pending.members.first();
    let waits = pending.waits.as_ref();
    json!({
        "version": pending.version,
        "image": pending.image,
        "container": newest.map(|member| &member.container),
        "id": newest.map(|member| &member.id),
        "up_secs": pending.up_ms / 1000,
        "soak_secs": pending.soak_ms / 1000,
        "restarts": pending.restarts,
        "waits": waits.map(|waits| words::waits(&pending.version, waits)),
    })
}

/// An entry of `failures`.
fn failure(failure: &model::Failure) -> Value {
    json!({
        "version": failure.version,
        "image": failure.image,
        "outcome": failure.outcome.as_str(),
        "attempts": failure.attempts,
        "up_secs": failure.up_secs,
        "reason": words::failure_reason(failure),
        "at": failure.at,
    })
}

/// An entry of `refused`.
fn refused_removal(refused: &model::RefusedView) -> Value {
    json!({
        "target": refused.target,
        "reason": refused.reason,
        "retry_in_secs": refused.retry_in_ms.div_ceil(1000),
    })
}

/// `tally`: each counter, also where it is 0.
fn tally(counters: &model::Counters) -> Value {
    json!({
        "promotions": counters.promotions,
        "failures": counters.failures,
        "restarts": counters.restarts,
        "rollbacks": counters.rollbacks,
        "removals": counters.removals,
        "reclaimed_bytes": counters.reclaimed_bytes,
    })
}

/// An entry of `images`.
fn verdict(name: &model::NameVerdict, is_held: bool) -> Value {
    json!({
        "reference": name.reference,
        "image": name.image,
        "size_bytes": name.size_bytes,
        "verdict": words::verdict(name.verdict()),
        "reason": words::reason_word(name.reason),
        "detail": words::detail(name.reason, &name.detail),
        "held": is_held,
    })
}

/// An entry of `actions`: a pin is a container like others.
fn action(action: &model::Action) -> Value {
    match &action.kind {
        ActionKind::Tag {
            image, reference, ..
        } => json!({ "action": "tag", "image": image, "reference": reference }),
        ActionKind::CreatePin { container, image } => {
            json!({ "action": "create-container", "container": container, "image": image })
        }
        ActionKind::RemoveContainer { container, id, .. }
        | ActionKind::RemovePin { container, id, .. } => {
            json!({ "action": "remove-container", "container": container, "id": id })
        }
        ActionKind::RemoveImage {
            reference, image, ..
        } => json!({ "action": "remove-image", "reference": reference, "image": image }),
    }
}

/// An entry of `stories`.
fn story(report: &ImageReport) -> Value {
    let first_seen_at = match &report.first_seen {
        FirstSeen::At(at) | FirstSeen::Before(at) => Some(at),
        FirstSeen::Ago(_) | FirstSeen::Unknown => None,
    };
    let replaced = report.replaced.as_ref();
    let retired = report.retired.as_ref();
    json!({
        "workload": report.workload,
        "version": report.version,
        "image": report.image,
        "size_bytes": report.size_bytes,
        "first_seen_at": first_seen_at,
        "promoted_at": report.promoted_at,
        "replaced": replaced.map(|replaced| json!({ "by": replaced.by, "at": replaced.at })),
        "retired": retired.map(|retired| json!({ "by": retired.by, "at": retired.at })),
        "rejected_at": report.rejected.as_ref().map(|rejected| &rejected.at),
        "rejected_by_policy": report.rejected_by_policy,
        "pending": report.pending.as_ref().map(pending),
        "failure": report.failure.as_ref().map(failure),
        "removed": report.removed.as_ref().map(|removed| json!({
            "why": removed.why.as_str(),
            "at": removed.at,
            "names": report.past_names,
        })),
        "names": list(&report.names, name),
    })
}

/// An entry of `names`.
fn name(name: &NameReport) -> Value {
    json!({
        "reference": name.reference,
        "verdict": words::verdict(name.reason.verdict()),
        "reason": words::reason_word(name.reason),
        "detail": words::detail(name.reason, &name.detail),
        "until": words::until(&name.until),
        "goes_in_secs": match name.until {
            KeptUntil::GraceOver { left_ms: ms, .. } | KeptUntil::AskedAgain(ms) => {
                Some(ms.div_ceil(1000))
            }
            KeptUntil::NextPass => Some(0),
            _ => None,
        },
    })
}

/// An entry of `errors` or `warnings`.
fn diagnostic(found: &Diagnostic) -> Value {
    let position = found.position();
    let mut message = found.message.clone();
    for (index, path) in found.looked_for.iter().enumerate() {
        message += if index == 0 { "; looked for " } else { ", " };
        message += &path.display().to_string();
    }
    json!({
        "file": found.place.as_ref().map(|place| &place.file),
        "line": position.map(|(line, _)| line),
        "column": position.map(|(_, column)| column),
        "key": found.key,
        "message": message,
        "help": found.help,
    })
}

/// An entry of `warnings` that belongs to no place of the policy.
fn remark(message: &String) -> Value {
    json!({
        "file": null,
        "line": null,
        "column": null,
        "key": null,
        "message": message,
        "help": null,
    })
}

/// A list of what is shown of each item.
fn list<T>(items: impl IntoIterator<Item = T>, shown: impl Fn(T) -> Value) -> Value {
    items.into_iter().map(shown).collect()
}

/// An object with a key for each workload.
fn by_name<'a, T: 'a>(
    workloads: impl IntoIterator<Item = (&'a WorkloadName, &'a T)>,
    shown: impl Fn(&'a WorkloadName, &'a T) -> Value,
) -> Value {
    let workloads = workloads.into_iter();
    let shown = workloads.map(|(name, of_it)| (name.to_string(), shown(name, of_it)));
    Value::Object(shown.gather::<Map<_, _>>())
}

/// Notes as one text; none where there are none.
fn joined(notes: &[String]) -> Option<String> {
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// Serializing plain data with names for keys into memory cannot fail; were that ever untrue, a
/// program that reads this finds no JSON, and not half of it.
fn print(document: &Value) -> String {
    serde_json::to_string_pretty(document).map_or_else(|_| String::new(), |text| text + "\n")
}
