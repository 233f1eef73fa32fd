//! Plan and status for people, 80 columns wide, readable at three in the morning. Pure; no colours.
//!
//! `status` tells how each workload stands, `diff` what the next round changes. Both show an image as two lines: what
//! becomes of it, why and its name; below, its id, its size and the reason in a sentence.

use crate::decide::{Judgement, Plan, WorkloadPlan};
use crate::pass::RolledBack;
use crate::policy::{Policy, WorkloadName};

use super::Preface;
use super::layout::{self, paragraph};

mod diff;
mod status;
#[cfg(test)]
mod tests;

/// Column at which the name of an image begins, and the lines below it.
const NAME_COLUMN: usize = 22;

/// How the workloads stand.
pub fn status(plan: &Plan, preface: &Preface) -> String {
    document(plan, preface, status::workload)
}

/// What the next round of a pass would do, and why; like a diff, to be approved.
pub fn plan(plan: &Plan, preface: &Preface) -> String {
    let mut out = document(plan, preface, diff::workload);
    let total = diff::total(plan);
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
    let plural = if names.len() == 1 { "" } else { "s" };
    paragraph(
        "",
        0,
        &format!(
            "the policy is sound; {} workload{plural}: {}",
            names.len(),
            names.join(", ")
        ),
    )
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
    paragraph(
        "",
        0,
        &format!(
            "{name}: {rejected} is rejected; {latest}{rest}. `tagkeeper accept {name} {rejected}` lifts the rejection"
        ),
    )
}

fn document(
    plan: &Plan,
    preface: &Preface,
    block: impl Fn(&WorkloadName, &WorkloadPlan) -> String,
) -> String {
    let mut blocks: Vec<String> = Vec::new();
    if !preface.notes.is_empty() {
        blocks.push(
            preface
                .notes
                .iter()
                .map(|note| paragraph("note:", 6, note))
                .collect(),
        );
    }
    if plan.workloads.is_empty() {
        blocks.push(no_workload(preface));
    }
    blocks.extend(
        plan.workloads
            .iter()
            .map(|(name, workload)| block(name, workload)),
    );
    blocks.join("\n")
}

fn no_workload(preface: &Preface) -> String {
    let file = preface.policy_file.to_string_lossy();
    format!(
        "no workload in the policy: nothing is watched, nothing to do\nname one in {}:\n  [workload.telemetry]\n  repository = \"docker-sonic-telemetry\"\n",
        layout::one_line(&file)
    )
}

/// The two lines of one image.
fn image_row(mark: char, judgement: &Judgement) -> String {
    let facts = format!(
        "{}  {:>6}",
        judgement.image.short(),
        layout::size(judgement.size_bytes)
    );
    Row {
        mark,
        verdict: judgement.verdict().as_str(),
        reason: judgement.reason.as_str(),
        name: &layout::name(judgement.reference.as_ref()),
        facts: &facts,
        detail: &judgement.detail,
    }
    .print()
}

/// Two lines about one thing.
struct Row<'a> {
    /// Whether it comes, moves or goes.
    mark: char,
    /// What becomes of it.
    verdict: &'a str,
    /// Why, in a word.
    reason: &'a str,
    /// What it is.
    name: &'a str,
    /// What is short and tabular about it.
    facts: &'a str,
    /// Why, in a sentence.
    detail: &'a str,
}

impl Row<'_> {
    fn print(&self) -> String {
        let lead = format!("  {} {:<7}{:<11}", self.mark, self.verdict, self.reason);
        let below = format!("{:NAME_COLUMN$}{}  ", "", self.facts);
        paragraph(&lead, NAME_COLUMN, self.name) + &paragraph(&below, NAME_COLUMN, self.detail)
    }
}
