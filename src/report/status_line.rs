//! The one line that `systemctl status` shows (`STATUS=` of the service manager's protocol). Pure.

use crate::decide::{PendingView, Plan, WorkloadPlan};
use crate::span;

/// Workloads that are named before the rest is counted.
const WORKLOADS_MAX: usize = 4;
/// Longest line, in characters, but for the count of the rest. It is one field of one datagram, and one line of a
/// terminal's two.
const CHARS_MAX: usize = 160;

/// How the workloads stand, in one bounded line; pending upgrades first.
pub fn status_line(plan: &Plan) -> String {
    if plan.workloads.is_empty() {
        return "no workload in the policy".to_owned();
    }
    let mut workloads: Vec<_> = plan.workloads.iter().collect();
    workloads.sort_by_key(|(_, workload)| workload.pending.is_none());
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

/// How one workload stands, without its name.
pub(crate) fn summary(workload: &WorkloadPlan) -> String {
    let stands = match (&workload.pending, &workload.latest) {
        (Some(pending), _) => progress(pending),
        (None, Some(latest)) if latest.proven => {
            format!("{} is latest, nothing pending", latest.version)
        }
        (None, Some(latest)) => {
            format!(
                "{} is latest but not proven, nothing pending",
                latest.version
            )
        }
        (None, None) => "nothing is latest, nothing pending".to_owned(),
    };
    let hold = if workload.hold { ", on hold" } else { "" };
    format!("{stands}{hold}")
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
    use crate::decide::Latest;
    use crate::image::Version;
    use crate::policy::WorkloadName;
    use crate::report::sample::{id, pending, quiet};

    fn plan_of(workloads: Vec<(&str, WorkloadPlan)>) -> Plan {
        let workloads = workloads
            .into_iter()
            .map(|(name, plan)| (WorkloadName::new(name), plan));
        Plan {
            workloads: workloads.collect(),
            ..Plan::default()
        }
    }

    fn soaking() -> WorkloadPlan {
        WorkloadPlan {
            pending: Some(pending("v3")),
            ..quiet("v2")
        }
    }

    #[test]
    fn pending_first() {
        let plan = plan_of(vec![("snmp", quiet("v3")), ("telemetry", soaking())]);
        assert_eq!(
            status_line(&plan),
            "telemetry: v3 soaking 4m12s of 10m; snmp: v3 is latest, nothing pending"
        );
    }

    #[test]
    fn how_one_workload_stands() {
        let unproven = Latest {
            version: Version::new("v1"),
            image: id('a'),
            proven: false,
            promoted_at: None,
        };
        let soaked = PendingView {
            up_ms: 600_000,
            ..pending("v3")
        };
        for (workload, stands) in [
            (quiet("v2"), "v2 is latest, nothing pending"),
            (
                WorkloadPlan {
                    latest: Some(unproven),
                    ..quiet("v2")
                },
                "v1 is latest but not proven, nothing pending",
            ),
            (
                WorkloadPlan {
                    latest: None,
                    ..quiet("v2")
                },
                "nothing is latest, nothing pending",
            ),
            (
                WorkloadPlan {
                    hold: true,
                    ..quiet("v2")
                },
                "v2 is latest, nothing pending, on hold",
            ),
            (soaking(), "v3 soaking 4m12s of 10m"),
            (
                WorkloadPlan {
                    pending: Some(soaked),
                    hold: true,
                    ..quiet("v2")
                },
                "v3 has soaked 10m of 10m, on hold",
            ),
        ] {
            assert_eq!(summary(&workload), stands);
        }
    }

    #[test]
    fn no_workload() {
        assert_eq!(status_line(&Plan::default()), "no workload in the policy");
    }

    #[test]
    fn the_rest_is_counted() {
        let brief = || PendingView {
            up_ms: 1000,
            soak_ms: 2000,
            ..pending("v3")
        };
        let soaking = || WorkloadPlan {
            pending: Some(brief()),
            ..quiet("v1")
        };
        let plan = plan_of(
            ["a", "b", "c", "d", "e", "f", "g"]
                .map(|name| (name, soaking()))
                .into(),
        );
        assert_eq!(
            status_line(&plan),
            "a: v3 soaking 1s of 2s; b: v3 soaking 1s of 2s; c: v3 soaking 1s of 2s; \
             d: v3 soaking 1s of 2s; +3 more"
        );
    }

    #[test]
    fn the_line_is_bounded() {
        let long = "x".repeat(128);
        for count in 1..6 {
            let names: Vec<String> = (0..count).map(|n| format!("workload-{n}-{long}")).collect();
            let plan = plan_of(
                names
                    .iter()
                    .map(|name| (name.as_str(), quiet(&long)))
                    .collect(),
            );
            let line = status_line(&plan);
            assert!(
                line.chars().count() <= CHARS_MAX + "; +5 more".len(),
                "{line}"
            );
            assert!(line.starts_with("workload-0-x"), "{line}");
            let more = format!("..; +{} more", count - 1);
            let ending = if count == 1 { ".." } else { more.as_str() };
            assert!(line.ends_with(ending), "{line}");
        }
    }
}
