//! One workload's block of `plan`: what the next pass changes, round by round, then what it leaves alone. Pure.

use std::collections::BTreeSet;

use tagkeeper_core::model::{
    Action, ActionKind, Guard, ImageId, NameVerdict, Note, Plan, TagPurpose, Verdict, WorkloadName,
    WorkloadPlan,
};

use super::{Row, image_row};
use crate::report::layout::{Page, Text, Tone};
use crate::report::status_line::summary;
use crate::report::words;

/// A name that an image gets.
const ADDED: char = '+';
/// A name that moves.
const MOVED: char = '~';
/// What goes.
const REMOVED: char = '-';
/// What stays.
const KEPT: char = ' ';

pub(super) fn workload(
    name: &WorkloadName,
    plan: &WorkloadPlan,
    later: &[Vec<(WorkloadName, Action)>],
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
    out.extend(notes.map(|note| page.paragraph(lead(), 8, words::note(note))));
    let rounds = rounds(name, plan, later);
    if rounds.is_empty() {
        out.push_str("  nothing to do\n");
    }
    for (at, round) in rounds.iter().enumerate() {
        if at > 0 {
            out.push_str(&format!("  then (round {}):\n", at + 1));
        }
        out.extend(round.iter().map(|action| change(plan, action, page)));
    }
    let touched: BTreeSet<(Option<String>, &ImageId)> = rounds
        .iter()
        .flatten()
        .filter_map(|action| touches(action))
        .collect();
    let is_untouched = |name: &&NameVerdict| {
        let reference = name.reference.as_ref().map(ToString::to_string);
        !touched.contains(&(reference, &name.image))
    };
    let untouched = || plan.images.iter().filter(is_untouched);
    let waiting: Vec<_> = untouched()
        .filter(|name| name.verdict() != Verdict::Keep)
        .collect();
    if !waiting.is_empty() {
        out.push_str(if plan.held.is_some() {
            "  on hold; without the hold:\n"
        } else {
            "  not now:\n"
        });
        out.extend(waiting.into_iter().map(|name| image_row(KEPT, name, page)));
    }
    let kept = untouched().filter(|name| name.verdict() == Verdict::Keep);
    out.extend(kept.map(|name| image_row(KEPT, name, page)));
    out.extend(plan.refused.iter().map(|refused| {
        let said = format!(
            "the engine refused to remove {}: {}",
            refused.target, refused.reason
        );
        page.paragraph(Text::default().and(Tone::Warning, "  refused"), 11, said)
    }));
    out
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
        let rows = actions.iter().map(|action| row(&action.kind, None, page));
        page.paragraph("", 0, title) + &rows.collect::<String>()
    };
    plan.departed.iter().map(block).collect()
}

/// How many changes there are in all; empty where there are none.
pub(super) fn total(plan: &Plan, later: &[Vec<(WorkloadName, Action)>], page: Page) -> String {
    let first = plan.actions().into_iter().map(|(_, action)| action);
    let all: Vec<&Action> = first
        .chain(later.iter().flatten().map(|(_, action)| action))
        .collect();
    if all.is_empty() {
        return String::new();
    }
    let count = |wanted: &dyn Fn(&ActionKind) -> bool| {
        all.iter().filter(|action| wanted(&action.kind)).count()
    };
    let tags = count(&|a| matches!(a, ActionKind::Tag { .. }));
    let pins = count(&|a| matches!(a, ActionKind::CreatePin { .. }));
    let containers = count(&|a| {
        matches!(
            a,
            ActionKind::RemoveContainer { .. } | ActionKind::RemovePin { .. }
        )
    });
    let names = count(&|a| matches!(a, ActionKind::RemoveImage { .. }));
    let mut parts = vec![words::count(tags, "tag to set").replace("tag to sets", "tags to set")];
    if pins > 0 {
        parts.push(words::count(pins, "pin").clone() + " to create");
    }
    if containers > 0 {
        parts.push(words::count(containers, "container") + " to remove");
    }
    let reclaimed = match reclaimed_bytes(plan, &all) {
        0 => String::new(),
        bytes => format!(" (up to {})", words::size(bytes)),
    };
    parts.push(words::count(names, "image name") + " to remove" + &reclaimed);
    let said = format!(
        "{}. Nothing has been changed; run `tagkeeper reconcile` to apply.",
        parts.join(", ")
    );
    page.paragraph("", 0, said)
}

/// The sizes of the images whose every name is removed, each once.
fn reclaimed_bytes(plan: &Plan, all: &[&Action]) -> u64 {
    let removed: BTreeSet<(Option<String>, &ImageId)> =
        all.iter().filter_map(|action| touches(action)).collect();
    let mut seen = BTreeSet::new();
    let mut bytes = 0_u64;
    for workload in plan.workloads.values() {
        for name in &workload.images {
            let of_image = workload
                .images
                .iter()
                .filter(|other| other.image == name.image);
            let all_gone = of_image.clone().all(|other| {
                let reference = other.reference.as_ref().map(ToString::to_string);
                removed.contains(&(reference, &other.image))
            });
            if all_gone && seen.insert(&name.image) {
                bytes = bytes.saturating_add(name.size_bytes);
            }
        }
    }
    bytes
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

fn mark(action: &ActionKind) -> char {
    match action {
        ActionKind::Tag { purpose, .. } => match purpose {
            TagPurpose::KeepName => ADDED,
            TagPurpose::Promote | TagPurpose::Restore | TagPurpose::Adopt => MOVED,
        },
        ActionKind::CreatePin { .. } => ADDED,
        ActionKind::RemoveContainer { .. }
        | ActionKind::RemovePin { .. }
        | ActionKind::RemoveImage { .. } => REMOVED,
    }
}

fn change(plan: &WorkloadPlan, action: &Action, page: Page) -> String {
    let judged = plan.images.iter().find(|name| {
        let reference = name.reference.as_ref().map(ToString::to_string);
        touches(action) == Some((reference, &name.image)) && name.verdict() == Verdict::Remove
    });
    match (&action.kind, judged) {
        (ActionKind::RemoveImage { .. }, Some(name)) => image_row(REMOVED, name, page),
        _ => row(&action.kind, Some(plan), page),
    }
}

/// One change, as far as the action itself says what it is.
pub(super) fn row(action: &ActionKind, plan: Option<&WorkloadPlan>, page: Page) -> String {
    let mark = mark(action);
    let (verdict, reason, name, facts, detail) = match action {
        ActionKind::Tag {
            image,
            reference,
            purpose,
        } => (
            if *purpose == TagPurpose::KeepName {
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
            "pins the fallback, so that nothing removes it unforced".to_owned(),
        ),
        ActionKind::RemovePin { container, id, .. } => (
            "remove",
            "pin",
            format!("container {container}"),
            format!("{id:.12}"),
            "its image is no longer a fallback".to_owned(),
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
