//! One workload's block of `plan`: what the next pass changes, round by round, then what it leaves
//! alone. Pure.

use std::collections::{BTreeMap, BTreeSet};

use tagkeeper_core::Gather;
use tagkeeper_core::model::{
    Action, ActionKind, Guard, ImageId, NameVerdict, Note, Plan, Reason, TagPurpose, Verdict,
    WorkloadName, WorkloadPlan,
};

use super::{Row, image_row};
use crate::report::layout::{Page, Text, Tone};
use crate::report::status_line::summary;
use crate::report::words;

/// A name that an image gets.
const ADDED: char = '+';
/// A name that moves.
const MOVED: char = '~';
/// What is removed.
const REMOVED: char = '-';
/// What is kept.
const KEPT: char = ' ';

pub(super) fn workload(
    name: &WorkloadName,
    plan: &WorkloadPlan,
    later: &[Vec<(WorkloadName, Action)>],
    leaving: &BTreeSet<ImageId>,
    page: Page,
) -> String {
    let title = Text::default()
        .and(Tone::Strong, format!("{name}:"))
        .and(Tone::Plain, format!(" {}", summary(plan)));
    let mut out = page.paragraph("", 0, title);
    let lead = || Text::default().and(Tone::Warning, "  note");
    let notes = plan
        .notes
        .iter()
        .filter(|note| !matches!(note, Note::NothingRuns));
    out.extend(notes.map(|note| page.paragraph(lead(), 8, words::note(name, note))));
    let rounds = rounds(name, plan, later);
    if rounds.is_empty() && plan.held.is_none() {
        out.push_str("  nothing to do\n");
    }
    for (at, round) in rounds.iter().enumerate() {
        if at > 0 {
            out.push_str(&page.paragraph(format!("  then (round {}):", at + 1), 0, ""));
        }
        let changes = round.iter();
        out.extend(changes.map(|action| change(mark(action), plan, action, page)));
    }
    out.push_str(&left_alone(plan, &rounds, page));
    out.extend(after_first_promotion(plan, leaving, page));
    out.extend(plan.refused.iter().map(|refused| {
        let said = words::refused(refused);
        page.paragraph(Text::default().and(Tone::Warning, "  refused"), 11, said)
    }));
    out
}

/// What these rounds do not touch: what waits, and what is kept.
fn left_alone(plan: &WorkloadPlan, rounds: &[Vec<&Action>], page: Page) -> String {
    let shown = rounds.iter().flatten().copied().chain(&plan.held_actions);
    let touched: BTreeSet<(Option<String>, &ImageId)> = shown.filter_map(touches).gather();
    let is_untouched = |name: &&NameVerdict| {
        let reference = name.reference.as_ref().map(ToString::to_string);
        !touched.contains(&(reference, &name.image))
    };
    let untouched = || plan.images.iter().filter(is_untouched);
    let waiting: Vec<_> = untouched()
        .filter(|name| name.verdict() != Verdict::Keep)
        .collect();
    let mut out = String::new();
    if !waiting.is_empty() || !plan.held_actions.is_empty() {
        out.push_str(if plan.held.is_some() {
            "  on hold; without the hold:\n"
        } else {
            "  not now:\n"
        });
    }
    let held = plan.held_actions.iter();
    out.extend(held.map(|action| change(KEPT, plan, action, page)));
    out.extend(waiting.into_iter().map(|name| image_row(KEPT, name, page)));
    let kept = untouched().filter(|name| name.verdict() == Verdict::Keep);
    out.extend(kept.map(|name| image_row(KEPT, name, page)));
    out
}

/// What the first promotion removes that replaces a version: the images that were there before
/// tagkeeper. None where this plan has that promotion in it, or there is no such image.
fn after_first_promotion(
    plan: &WorkloadPlan,
    leaving: &BTreeSet<ImageId>,
    page: Page,
) -> Option<String> {
    let is_inherited =
        |name: &&NameVerdict| name.reason == Reason::Inherited && !leaving.contains(&name.image);
    let inherited = plan.images.iter().filter(is_inherited);
    let sizes: BTreeMap<&ImageId, u64> = inherited.map(|n| (&n.image, n.size_bytes)).gather();
    if sizes.is_empty() {
        return None;
    }
    let said = format!(
        "after the first promotion: {} ({}) will be removed",
        words::count(sizes.len(), "image"),
        words::size(sum(&sizes))
    );
    Some(page.paragraph("  ", 2, Text::default().and(Tone::Warning, said)))
}

/// The rounds of one workload; the empty ones left out.
fn rounds<'p>(
    name: &WorkloadName,
    plan: &'p WorkloadPlan,
    later: &'p [Vec<(WorkloadName, Action)>],
) -> Vec<Vec<&'p Action>> {
    let first: Vec<&Action> = plan.actions.iter().collect();
    let of_workload = |round: &'p Vec<(WorkloadName, Action)>| {
        let own = round.iter().filter(|(workload, _)| workload == name);
        own.map(|(_, action)| action).collect::<Vec<_>>()
    };
    let mut rounds = vec![first];
    rounds.extend(later.iter().map(of_workload));
    rounds.retain(|round| !round.is_empty());
    rounds
}

/// What is left to do for workloads that the policy does not name any more.
pub(super) fn departed(plan: &Plan, page: Page) -> Vec<String> {
    let block = |(name, actions): (&WorkloadName, &Vec<Action>)| {
        let title = Text::default()
            .and(Tone::Strong, format!("{name}:"))
            .and(Tone::Plain, " no longer in the policy");
        let rows = actions.iter().map(|action| row(action, None, page));
        page.paragraph("", 0, title) + &rows.collect::<String>()
    };
    plan.departed.iter().map(block).collect()
}

/// The last line: how much is to be done, and how. Empty where there is no workload.
pub(super) fn total(
    plan: &Plan,
    later: &[Vec<(WorkloadName, Action)>],
    leaving: &BTreeSet<ImageId>,
    page: Page,
) -> String {
    if plan.workloads.is_empty() && plan.departed.is_empty() {
        return String::new();
    }
    let first = plan.actions().into_iter().map(|(_, action)| action);
    let all: Vec<&Action> = first
        .chain(later.iter().flatten().map(|(_, action)| action))
        .collect();
    let count =
        |wanted: &dyn Fn(&Action) -> bool| all.iter().filter(|action| wanted(action)).count();
    let is_tag = |a: &Action| matches!(a.kind, ActionKind::Tag { .. });
    let added = count(&|a| is_tag(a) && mark(a) == ADDED);
    let created = count(&|a| matches!(a.kind, ActionKind::CreatePin { .. }));
    let containers = count(&|a| matches!(a.kind, ActionKind::RemoveContainer { .. }));
    let unpinned = count(&|a| matches!(a.kind, ActionKind::RemovePin { .. }));
    let removals = all
        .iter()
        .filter(|a| matches!(a.kind, ActionKind::RemoveImage { .. }));
    let (last, of_kept): (Vec<&ImageId>, Vec<_>) = removals
        .map(|action| action.kind.image())
        .partition(|image| leaving.contains(image));
    let removed: BTreeSet<&ImageId> = last.into_iter().gather();
    let mut parts = vec![words::count(count(&is_tag) - added, "tag") + " to move"];
    for (number, thing, what) in [
        (added, "tag", "to add"),
        (created, "pin", "to create"),
        (containers, "container", "to remove"),
        (unpinned, "pin", "to remove"),
    ] {
        if number > 0 {
            parts.push(format!("{} {what}", words::count(number, thing)));
        }
    }
    let names = plan.workloads.values().flat_map(|w| &w.images);
    let sizes: BTreeMap<&ImageId, u64> = names
        .filter(|name| removed.contains(&name.image))
        .map(|name| (&name.image, name.size_bytes))
        .gather();
    let size = match sum(&sizes) {
        0 => String::new(),
        bytes => format!(" (up to {})", words::size(bytes)),
    };
    parts.push(words::count(removed.len(), "image") + " to remove" + &size);
    if !of_kept.is_empty() {
        let names = words::count(of_kept.len(), "name");
        parts.push(names + " to remove from images that are kept");
    }
    let apply = if all.is_empty() {
        "Nothing to apply."
    } else {
        "Nothing has been changed; run `tagkeeper reconcile` to apply."
    };
    page.paragraph("", 0, format!("{}. {apply}", parts.join(", ")))
}

fn sum(sizes: &BTreeMap<&ImageId, u64>) -> u64 {
    let sum = |sum: u64, bytes: &u64| sum.saturating_add(*bytes);
    sizes.values().fold(0, sum)
}

/// The name that an action takes from an image.
fn touches(action: &Action) -> Option<(Option<String>, &ImageId)> {
    match &action.kind {
        ActionKind::RemoveImage {
            reference, image, ..
        } => Some((reference.as_ref().map(ToString::to_string), image)),
        ActionKind::Tag { reference, .. } => {
            let from = action.guards.iter().find_map(|guard| match guard {
                Guard::Means { image, .. } => image.as_ref(),
                _ => None,
            })?;
            Some((Some(reference.to_string()), from))
        }
        ActionKind::CreatePin { .. }
        | ActionKind::RemovePin { .. }
        | ActionKind::RemoveContainer { .. } => None,
    }
}

fn tone(mark: char) -> Tone {
    match mark {
        ADDED => Tone::Good,
        MOVED => Tone::Warning,
        REMOVED => Tone::Bad,
        _ => Tone::Plain,
    }
}

/// How a change is marked that is made.
fn mark(action: &Action) -> char {
    let is_new = |guard: &Guard| matches!(guard, Guard::Means { image: None, .. });
    match action.kind {
        ActionKind::Tag { .. } if action.guards.iter().any(is_new) => ADDED,
        ActionKind::Tag { .. } => MOVED,
        ActionKind::CreatePin { .. } => ADDED,
        ActionKind::RemoveContainer { .. }
        | ActionKind::RemovePin { .. }
        | ActionKind::RemoveImage { .. } => REMOVED,
    }
}

fn change(mark: char, plan: &WorkloadPlan, action: &Action, page: Page) -> String {
    // A later round may remove what this one still keeps.
    let judged = plan.judged(&action.kind);
    match judged.filter(|name| name.verdict() == Verdict::Remove) {
        Some(name) => image_row(mark, name, page),
        None => marked_row(mark, action, Some(plan), page),
    }
}

/// One change that is made, as far as the action itself says what it is.
pub(super) fn row(action: &Action, plan: Option<&WorkloadPlan>, page: Page) -> String {
    marked_row(mark(action), action, plan, page)
}

#[allow(clippy::too_many_lines, reason = "a table: a row for each case")]
fn marked_row(mark: char, action: &Action, plan: Option<&WorkloadPlan>, page: Page) -> String {
    let (verdict, reason, name, facts, detail) = match &action.kind {
        ActionKind::Tag {
            image,
            reference,
            purpose,
        } => (
            if self::mark(action) == ADDED {
                "tag"
            } else {
                "retag"
            },
            words::purpose(*purpose),
            words::name(Some(reference)),
            image.short(),
            why_tagged(image, *purpose, plan),
        ),
        ActionKind::CreatePin { container, image } => (
            "pin",
            "pin",
            format!("container {container}"),
            image.short(),
            "keeps the fallback from being removed without force".to_owned(),
        ),
        ActionKind::RemovePin { container, id, .. } => (
            "remove",
            "pin",
            format!("container {container}"),
            format!("{id:.12}"),
            "its image needs no pin any more".to_owned(),
        ),
        ActionKind::RemoveContainer {
            container,
            id,
            image,
        } => (
            "remove",
            "stale",
            format!("container {container}"),
            format!("{id:.12}"),
            format!(
                "the stopped local container, created from {}, which is not latest",
                image.short()
            ),
        ),
        ActionKind::RemoveImage {
            reference,
            image,
            reason,
        } => (
            "remove",
            words::reason_word(*reason),
            words::name(reference.as_ref()),
            image.short(),
            words::reason(*reason).1.to_owned(),
        ),
    };
    Row {
        mark,
        tone: tone(mark),
        verdict,
        reason,
        name: &name,
        facts: &facts,
        detail: &detail,
    }
    .print(page)
}

fn why_tagged(image: &ImageId, purpose: TagPurpose, plan: Option<&WorkloadPlan>) -> String {
    match purpose {
        TagPurpose::Promote => {
            let pending = plan.and_then(|plan| plan.pending.as_ref());
            let pending = pending.filter(|pending| pending.image == *image);
            let version = pending.map_or_else(|| image.short_version(), |p| p.version.clone());
            format!("{version} has soaked: it becomes latest")
        }
        TagPurpose::Restore => "the proven head becomes latest again".to_owned(),
        TagPurpose::KeepName => "so that the image keeps a name that a prune spares".to_owned(),
        TagPurpose::Adopt => "moves to the fallback, which ran here".to_owned(),
    }
}
