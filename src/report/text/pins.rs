//! Pins in `plan`: containers that are created so that they hold a fallback, and that go again. Pure.

use crate::decide::{Action, Plan};
use crate::report::layout::{Page, Text, Tone};

use super::Row;

/// A pin that comes or goes; none for another action.
pub(super) fn row(mark: char, tone: Tone, action: &Action, page: Page) -> Option<String> {
    let (verdict, container, facts, detail) = match action {
        Action::CreatePin { container, image } => (
            "pin",
            container,
            image.short(),
            "holds the fallback, so that others cannot remove it unforced",
        ),
        Action::RemovePin { container, id, .. } => (
            "remove",
            container,
            format!("{id:.12}"),
            "nothing calls for holding its image any more",
        ),
        Action::Tag { .. } | Action::RemoveContainer { .. } | Action::RemoveImage { .. } => {
            return None;
        }
    };
    let row = Row {
        mark,
        tone,
        verdict,
        reason: "pin",
        name: &format!("container {container}"),
        facts: &facts,
        detail,
    };
    Some(row.print(page))
}

/// The workloads that the policy does not name any more, where something is left to do for them.
pub(super) fn departed(plan: &Plan, mark: char, tone: Tone, page: Page) -> Vec<String> {
    let block = |(name, actions): (&crate::policy::WorkloadName, &Vec<Action>)| {
        let title = Text::default()
            .and(Tone::Strong, format!("{name}:"))
            .and(Tone::Plain, " not in the policy (any more)");
        let rows = actions.iter().filter_map(|a| row(mark, tone, a, page));
        page.paragraph("", 0, title) + &rows.collect::<String>()
    };
    plan.departed.iter().map(block).collect()
}
