//! Plan and status for people, 80 columns wide, readable at three in the morning. Pure.
//!
//! `status` tells how each workload stands, `diff` what the next round changes. Both show an image as two lines: what
//! becomes of it, why and its name; below, its id, its size and the reason in a sentence. Colours say nothing that the
//! words do not say too.

use crate::decide::{Judgement, Plan, Story, Verdict, WorkloadPlan};
use crate::pass::{Foreseen, RolledBack};
use crate::policy::{Policy, WorkloadName};

use super::Preface;
use super::layout::{Page, Text, Tone, WIDTH};
use super::words;

mod diff;
mod pins;
mod status;
mod story;
#[cfg(test)]
mod tests;

pub(crate) use story::until;

/// Column at which the name of an image begins, and the lines below it.
const NAME_COLUMN: usize = 22;
/// Column at which a name begins that is too long for that.
const LONG_NAME_COLUMN: usize = 4;

/// How the workloads stand.
pub fn status(plan: &Plan, preface: &Preface, page: Page) -> String {
    document(plan, preface, page, status::workload)
}

/// What the next round of a pass would do, and why; like a diff, to be approved.
pub fn plan(plan: &Plan, preface: &Preface, page: Page) -> String {
    let mut out = document(plan, preface, page, diff::workload);
    for block in diff::departed(plan, page) {
        out.push('\n');
        out.push_str(&block);
    }
    let total = diff::total(plan, page);
    if !total.is_empty() {
        out.push('\n');
        out.push_str(&total);
    }
    out
}

/// What `check` says of a sound policy. (Of a refused one, its errors say what is wrong with it.)
pub fn check(policy: &Policy, preface: &Preface) -> String {
    let names: Vec<&str> = policy.workloads.keys().map(WorkloadName::as_str).collect();
    if names.is_empty() {
        return format!("the policy is sound; {}", no_workload(preface));
    }
    let sound = format!(
        "the policy is sound; {}: {}",
        words::count(names.len(), "workload"),
        names.join(", ")
    );
    Page::default().paragraph("", 0, sound)
}

/// The whole story of an image, once for each workload that it belongs to.
pub fn explain(stories: &[&Story], page: Page) -> String {
    let told: Vec<String> = stories
        .iter()
        .map(|told| story::story(told, page))
        .collect();
    told.join("\n")
}

/// What `rollback` is going to do, for a person to agree to.
pub fn rollback_foreseen(name: &WorkloadName, foreseen: &Foreseen, page: Page) -> String {
    let rejected = &foreseen.rejected;
    let told = format!(
        " {rejected} ({}) is rejected, and never latest again until `tagkeeper accept {name} {rejected}`",
        foreseen.image.short()
    );
    let title = Text::default()
        .and(Tone::Strong, format!("{name}:"))
        .and(Tone::Plain, told);
    let rows = foreseen.actions.iter();
    let rows: String = rows
        .map(|action| diff::row(action, None, None, page))
        .collect();
    let then = match &foreseen.target {
        Some((version, image)) => format!(
            "latest becomes {version} ({}), and the local service's next start runs it.",
            image.short()
        ),
        None => "latest stays what it is.".to_owned(),
    };
    page.paragraph("", 0, title) + &rows + &page.paragraph("", 0, then)
}

/// What `rollback` has done.
pub fn rolled_back(name: &WorkloadName, done: &RolledBack) -> String {
    let rejected = &done.rejected;
    let latest = match &done.latest {
        Some(latest) => format!("latest is {latest} again"),
        None => "latest stays".to_owned(),
    };
    let rest = if done.failed_actions > 0 {
        "; not all of it could be done yet, and the next pass goes on"
    } else {
        ""
    };
    let told = format!(
        "{name}: {rejected} is rejected; {latest}{rest}. `tagkeeper accept {name} {rejected}` lifts the rejection"
    );
    Page::default().paragraph("", 0, told)
}

/// A text in which a terminal acts on nothing but the ends of lines.
pub fn cleaned(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(words::clean).collect();
    lines.join("\n")
}

fn document(
    plan: &Plan,
    preface: &Preface,
    page: Page,
    block: impl Fn(&WorkloadName, &WorkloadPlan, Page) -> String,
) -> String {
    let mut blocks: Vec<String> = Vec::new();
    if !preface.notes.is_empty() {
        let lead = || Text::default().and(Tone::Warning, "note:");
        let notes = preface.notes.iter();
        blocks.push(notes.map(|note| page.paragraph(lead(), 6, note)).collect());
    }
    if plan.workloads.is_empty() {
        blocks.push(no_workload(preface));
    }
    blocks.extend(
        plan.workloads
            .iter()
            .map(|(name, workload)| block(name, workload, page)),
    );
    blocks.join("\n")
}

fn no_workload(preface: &Preface) -> String {
    let file = preface.policy_file.to_string_lossy();
    format!(
        "no workload in the policy: nothing is watched, nothing to do\nname one in {}:\n  [workload.telemetry]\n  repository = \"docker-sonic-telemetry\"\n\
         `tagkeeper init` prints a first policy from what the engine has\n",
        words::one_line(&file)
    )
}

/// The two lines of one image.
fn image_row(mark: char, judgement: &Judgement, page: Page) -> String {
    let facts = format!(
        "{}  {:>6}",
        judgement.image.short(),
        words::size(judgement.size_bytes)
    );
    Row {
        mark,
        verdict: judgement.verdict().as_str(),
        reason: judgement.reason.as_str(),
        tone: match judgement.verdict() {
            Verdict::Keep => Tone::Plain,
            Verdict::Retag => Tone::Warning,
            Verdict::Remove => Tone::Bad,
        },
        name: &words::name(judgement.reference.as_ref()),
        facts: &facts,
        detail: &judgement.detail.to_string(),
    }
    .print(page)
}

/// Two lines about one thing.
struct Row<'a> {
    /// Whether it comes, moves or goes.
    mark: char,
    /// What becomes of it.
    verdict: &'a str,
    /// Why, in a word.
    reason: &'a str,
    /// What that means to the reader.
    tone: Tone,
    /// What it is.
    name: &'a str,
    /// What is short and tabular about it.
    facts: &'a str,
    /// Why, in a sentence.
    detail: &'a str,
}

impl Row<'_> {
    fn print(&self, page: Page) -> String {
        let fate = format!("  {} {:<7}{:<11}", self.mark, self.verdict, self.reason);
        let lead = Text::default().and(self.tone, fate);
        let name = Text::default().and(Tone::Strong, self.name);
        // A name that can stand in one piece does: people copy it.
        let columns = words::columns(self.name);
        let is_long = columns > WIDTH - NAME_COLUMN && columns <= WIDTH - LONG_NAME_COLUMN;
        let named = if is_long {
            page.paragraph(lead, 0, "") + &page.paragraph("", LONG_NAME_COLUMN, name)
        } else {
            page.paragraph(lead, NAME_COLUMN, name)
        };
        let below = format!("{:NAME_COLUMN$}{}  ", "", self.facts);
        named + &page.paragraph(below, NAME_COLUMN, self.detail)
    }
}
