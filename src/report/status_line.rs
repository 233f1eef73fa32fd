//! The one line that `systemctl status` shows (`STATUS=` of the service manager's protocol). Pure.

use tagkeeper_core::model::{PendingView, Plan, WorkloadPlan};

use super::words;
use crate::duration as span;

/// Workloads that are named before the rest is counted.
const WORKLOADS_MAX: usize = 4;
/// Longest line, in characters, but for the count of the rest. It is one field of one datagram, and
/// one line of a terminal's two.
const CHARS_MAX: usize = 160;

/// The state of the workloads, in one bounded line; failing upgrades first, then pending ones.
pub fn status_line(plan: &Plan) -> String {
    if plan.workloads.is_empty() {
        return "no workload in the policy".to_owned();
    }
    let mut workloads: Vec<_> = plan.workloads.iter().collect();
    workloads.sort_by_key(|(_, workload)| (workload.failing.is_none(), workload.pending.is_none()));
    let mut line = String::new();
    let mut named = 0;
    for (name, workload) in workloads.iter().take(WORKLOADS_MAX) {
        let separator = if line.is_empty() { "" } else { "; " };
        let next = format!("{separator}{name}: {}", summary(workload));
        if !line.is_empty() && line.chars().count() + next.chars().count() > CHARS_MAX {
            break;
        }
        line.push_str(&next);
        named += 1;
    }
    if let Some((cut, _)) = line.char_indices().nth(CHARS_MAX) {
        line.truncate(cut.saturating_sub(2));
        line.push_str("..");
    }
    match workloads.len() - named {
        0 => line,
        more => format!("{line}; +{more} more"),
    }
}

/// The state of one workload, without its name.
pub(crate) fn summary(workload: &WorkloadPlan) -> String {
    let state = match (&workload.failing, &workload.pending, &workload.latest) {
        (Some(failure), ..) => format!(
            "{} FAILING, {}, {}",
            failure.version,
            words::failure_reason(failure),
            words::count(failure.attempts, "attempt")
        ),
        (None, Some(pending), _) => progress(pending),
        (None, None, Some(latest)) if latest.proven => {
            format!("{} is latest, nothing pending", latest.version)
        }
        (None, None, Some(latest)) => {
            format!(
                "{} is latest but not proven, nothing pending",
                latest.version
            )
        }
        (None, None, None) => "nothing is latest, nothing pending".to_owned(),
    };
    let hold = if workload.held.is_some() {
        ", on hold"
    } else {
        ""
    };
    format!("{state}{hold}")
}

/// How far a pending upgrade has come.
pub(crate) fn progress(pending: &PendingView) -> String {
    let word = if pending.up_ms < pending.soak_ms {
        "soaking"
    } else {
        "has soaked"
    };
    let (up, soak) = (span::compact(pending.up_ms), span::compact(pending.soak_ms));
    format!("{} {word} {up} of {soak}", pending.version)
}
