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
    if line.chars().count() > CHARS_MAX {
        line = line.chars().take(CHARS_MAX - 2).collect();
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
            let why = latest.promoted_at.as_ref();
            let why = why.map_or("but not proven", |_| "not the head");
            format!("{} is latest, {why}, nothing pending", latest.version)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::quiet;
    use tagkeeper_core::model::{Version, WorkloadName};

    /// `latest` was moved back by hand to what was proven before; and a version may be long, and in
    /// any script.
    #[test]
    fn the_line_is_short_and_says_what_latest_is() {
        let mut workload = quiet("telemetry");
        let mut latest = workload.latest.take().unwrap();
        latest.proven = false;
        workload.latest = Some(latest.clone());
        let line = |workload: &WorkloadPlan| {
            let workloads = [(WorkloadName::new("telemetry"), workload.clone())];
            status_line(&Plan {
                workloads: workloads.into_iter().collect(),
                ..Plan::default()
            })
        };
        let shown = line(&workload);
        assert!(
            shown.contains("is latest, not the head, nothing"),
            "{shown}"
        );
        latest.version = Version::new("\u{65e5}".repeat(170));
        workload.latest = Some(latest);
        let shown = line(&workload);
        assert_eq!(shown.chars().count(), CHARS_MAX, "{shown}");
        assert!(shown.ends_with(".."), "{shown}");
    }
}
