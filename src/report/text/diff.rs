//! One workload's block of `plan`: what the next round changes, then what it leaves alone. Pure.

use std::collections::BTreeMap;

use crate::decide::{Action, Judgement, PendingView, Plan, TagPurpose, Verdict, WorkloadPlan};
use crate::image::{ImageId, Reference};
use crate::policy::WorkloadName;
use crate::report::layout::{Page, Text, Tone};
use crate::report::status_line::summary;
use crate::report::words;

use super::{Row, image_row, pins};

/// A name that an image gets.
const ADDED: char = '+';
/// A name that moves.
const MOVED: char = '~';
/// What goes.
const REMOVED: char = '-';
/// What stays.
const KEPT: char = ' ';

pub(super) fn workload(name: &WorkloadName, plan: &WorkloadPlan, page: Page) -> String {
    let title = Text::default()
        .and(Tone::Strong, format!("{name}:"))
        .and(Tone::Plain, format!(" {}", summary(plan)));
    let mut out = page.paragraph("", 0, title);
    let note = || Text::default().and(Tone::Warning, "  note");
    out.extend(
        plan.notes
            .iter()
            .map(|text| page.paragraph(note(), 8, text)),
    );
    if plan.actions.is_empty() {
        out.push_str("  nothing to do\n");
    }
    out.extend(plan.actions.iter().map(|action| change(plan, action, page)));
    let untouched = || {
        plan.images
            .iter()
            .filter(|judgement| touching(plan, judgement).is_none())
    };
    // In the round that moves latest nothing else is done; the next round judges anew.
    let later: Vec<_> = untouched()
        .filter(|j| j.verdict() != Verdict::Keep)
        .collect();
    if !later.is_empty() {
        out.push_str("  not in the next round, which judges them anew:\n");
        out.extend(
            later
                .into_iter()
                .map(|judgement| image_row(KEPT, judgement, page)),
        );
    }
    out.extend(
        untouched()
            .filter(|j| j.verdict() == Verdict::Keep)
            .map(|judgement| image_row(KEPT, judgement, page)),
    );
    out
}

/// What is left to do for workloads that the policy does not name.
pub(super) fn departed(plan: &Plan, page: Page) -> Vec<String> {
    pins::departed(plan, REMOVED, tone(REMOVED), page)
}

/// How many changes there are in all; empty where there are none.
pub(super) fn total(plan: &Plan, page: Page) -> String {
    let actions = plan.actions();
    if actions.is_empty() {
        return String::new();
    }
    let is_pin = |action: &Action| matches!(action, Action::CreatePin { .. });
    let count = |wanted: char| {
        let counted = |a: &Action| mark(a) == wanted && !is_pin(a);
        actions.iter().filter(|(_, action)| counted(action)).count()
    };
    let pins = match actions.iter().filter(|(_, action)| is_pin(action)).count() {
        0 => String::new(),
        pins => format!("{pins} to pin, "),
    };
    let won_back = match leaving_bytes(plan) {
        0 => String::new(),
        bytes => format!(", which wins back at most {}", words::size(bytes)),
    };
    let counted = format!(
        "next round: {} to tag, {} to retag, {pins}{} to remove{won_back}; nothing has been changed. `tagkeeper \
         reconcile` does it, and then whatever is left to do.",
        count(ADDED),
        count(MOVED),
        count(REMOVED)
    );
    page.paragraph("", 0, counted)
}

/// What leaves the disk in the next round, each image once.
fn leaving_bytes(plan: &Plan) -> u64 {
    let gone = |plan: &WorkloadPlan, j: &Judgement| {
        plan.leaving.contains(&j.image)
            && plan.actions.iter().any(
                |action| matches!(action, Action::RemoveImage { image, .. } if *image == j.image),
            )
    };
    let workloads = plan.workloads.values();
    let leaving: BTreeMap<&ImageId, u64> = workloads
        .flat_map(|plan| plan.images.iter().filter(|j| gone(plan, j)))
        .map(|j| (&j.image, j.size_bytes))
        .collect();
    leaving
        .values()
        .fold(0, |total, bytes| total.saturating_add(*bytes))
}

fn tone(mark: char) -> Tone {
    match mark {
        ADDED => Tone::Good,
        MOVED => Tone::Warning,
        REMOVED => Tone::Bad,
        _ => Tone::Plain,
    }
}

fn mark(action: &Action) -> char {
    match action {
        Action::Tag { replaces: None, .. } | Action::CreatePin { .. } => ADDED,
        Action::Tag {
            replaces: Some(_), ..
        } => MOVED,
        Action::RemoveContainer { .. } | Action::RemovePin { .. } | Action::RemoveImage { .. } => {
            REMOVED
        }
    }
}

/// The action that changes what a judged name means, if there is one.
fn touching<'p>(plan: &'p WorkloadPlan, judgement: &Judgement) -> Option<&'p Action> {
    plan.actions.iter().find(|action| match action {
        Action::Tag { reference, .. } => judgement.reference.as_ref() == Some(reference),
        Action::RemoveImage {
            reference, image, ..
        } => judgement.reference == *reference && judgement.image == *image,
        Action::CreatePin { .. } | Action::RemovePin { .. } | Action::RemoveContainer { .. } => {
            false
        }
    })
}

fn change(plan: &WorkloadPlan, action: &Action, page: Page) -> String {
    let judged = plan
        .images
        .iter()
        .find(|j| touching(plan, j) == Some(action));
    match (action, judged) {
        (Action::RemoveImage { .. }, Some(judgement)) => image_row(mark(action), judgement, page),
        _ => row(action, plan.pending.as_ref(), judged, page),
    }
}

/// One change, as far as the action itself tells what it is.
pub(super) fn row(
    action: &Action,
    pending: Option<&PendingView>,
    judged: Option<&Judgement>,
    page: Page,
) -> String {
    let mark = mark(action);
    match action {
        Action::Tag {
            image,
            reference,
            replaces,
            purpose,
        } => Tagging {
            image,
            reference,
            replaces: replaces.as_ref(),
            purpose: *purpose,
        }
        .print(mark, pending, judged, page),
        Action::CreatePin { .. } | Action::RemovePin { .. } => {
            pins::row(mark, tone(mark), action, page).unwrap_or_default()
        }
        Action::RemoveContainer {
            container,
            id,
            image,
        } => Row {
            mark,
            tone: tone(mark),
            verdict: "remove",
            reason: "stale",
            name: &format!("container {container}"),
            facts: &format!("{id:.12}"),
            detail: &format!(
                "the stopped local container, made from {}, which is not latest",
                image.short()
            ),
        }
        .print(page),
        Action::RemoveImage {
            reference,
            image,
            reason,
        } => Row {
            mark,
            tone: tone(mark),
            verdict: "remove",
            reason: reason.as_str(),
            name: &words::name(reference.as_ref()),
            facts: &image.short(),
            detail: "",
        }
        .print(page),
    }
}

struct Tagging<'p> {
    image: &'p ImageId,
    reference: &'p Reference,
    replaces: Option<&'p ImageId>,
    purpose: TagPurpose,
}

impl Tagging<'_> {
    fn print(
        &self,
        mark: char,
        pending: Option<&PendingView>,
        judged: Option<&Judgement>,
        page: Page,
    ) -> String {
        let (verdict, facts) = match self.replaces {
            Some(old) => (
                "retag",
                format!("{} -> {}", old.short(), self.image.short()),
            ),
            None => ("tag", self.image.short()),
        };
        let (reason, why) = self.why(pending, judged);
        let name = words::name(Some(self.reference));
        Row {
            mark,
            tone: tone(mark),
            verdict,
            reason,
            name: &name,
            facts: &facts,
            detail: &why,
        }
        .print(page)
    }

    fn why(
        &self,
        pending: Option<&PendingView>,
        judged: Option<&Judgement>,
    ) -> (&'static str, String) {
        match self.purpose {
            TagPurpose::Promote => {
                let pending = pending.filter(|pending| pending.image == *self.image);
                let version = pending.map_or_else(
                    || self.image.short_version(),
                    |pending| pending.version.clone(),
                );
                (
                    "promote",
                    format!("{version} has soaked: it becomes latest"),
                )
            }
            TagPurpose::Restore => ("restore", "the proven head becomes latest again".to_owned()),
            TagPurpose::KeepName => (
                "keep-name",
                "latest leaves this image: it keeps a name".to_owned(),
            ),
            TagPurpose::Adopt => {
                let detail = judged.map(|judgement| judgement.detail.to_string());
                let moves = || "moves to the fallback that really ran".to_owned();
                ("adopt", detail.unwrap_or_else(moves))
            }
        }
    }
}
