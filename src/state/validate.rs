//! Whether a state makes sense: what JSON of the right shape can still get wrong (design 5.1, "nonsensical").
//!
//! Pure. Only contradictions that would make a decision unsafe are refused: a refused state is a forgotten one.

use std::collections::BTreeSet;

use super::{State, WorkloadState};

/// Checks a state, and says the first thing that is wrong with it.
pub(super) fn validate(state: &State) -> Result<(), String> {
    for (name, workload) in &state.workloads {
        check_images(workload)
            .and_then(|()| check_times(workload, state.clock.clock_ms))
            .and_then(|()| check_departed(workload))
            .map_err(|why| format!("workload '{name}': {why}"))?;
    }
    Ok(())
}

/// An image has one place in the lineage, and a rejected one has none, nor is it pending (design section 7).
fn check_images(workload: &WorkloadState) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for proven in &workload.lineage {
        let image = &proven.image;
        if !seen.insert(image) {
            return Err(format!("image {image} is in the lineage twice"));
        }
        if workload.rejected.contains_key(image) {
            return Err(format!("image {image} is in the lineage and rejected"));
        }
    }
    match &workload.pending {
        Some(pending) if workload.rejected.contains_key(&pending.image) => {
            Err(format!("image {} is pending and rejected", pending.image))
        }
        _ => Ok(()),
    }
}

/// Nothing can have happened after the clock was written down: an age would come out as none at all.
fn check_times(workload: &WorkloadState, clock_ms: u64) -> Result<(), String> {
    let check = |what: &str, time_ms: u64| {
        if time_ms > clock_ms {
            return Err(format!(
                "{what} ({time_ms} ms) is ahead of the clock ({clock_ms} ms)"
            ));
        }
        Ok(())
    };
    if let Some(came_in) = &workload.came_in {
        check("came_in", came_in.clock_ms)?;
    }
    if let Some(pending) = &workload.pending {
        check(
            "the beginning of the pending upgrade",
            pending.began.clock_ms,
        )?;
        check(
            "soaking_since_ms",
            pending.soaking_since_ms.unwrap_or_default(),
        )?;
    }
    for (image, sighting) in &workload.images {
        check(&format!("first_seen_ms of {image}"), sighting.first_seen_ms)?;
        check(
            &format!("idle_since_ms of {image}"),
            sighting.idle_since_ms.unwrap_or_default(),
        )?;
    }
    check("held_since_ms", workload.held_since_ms.unwrap_or_default())
}

/// A workload that left the policy keeps its lineage and rejections, and nothing else (design 4.5).
fn check_departed(workload: &WorkloadState) -> Result<(), String> {
    if workload.came_in.is_some() {
        return Ok(());
    }
    let kept = WorkloadState {
        lineage: workload.lineage.clone(),
        rejected: workload.rejected.clone(),
        ..WorkloadState::default()
    };
    if *workload == kept {
        Ok(())
    } else {
        Err("it left the policy (no came_in) and has more than a lineage and rejections".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Clock, Failure, Moment, Past, Pending, Proven, Rejected, Sighting, Tally};
    use super::*;
    use crate::image::{ImageId, Repository, Version};
    use crate::policy::WorkloadName;
    use crate::world::ContainerId;

    const NOW_MS: u64 = 1000;

    fn proven(image: &str) -> Proven {
        Proven {
            version: Version::new(image),
            image: ImageId::new(image),
            rolled_out: true,
            promoted_at: None,
        }
    }

    fn rejected() -> Rejected {
        Rejected {
            version: Version::new("v"),
            at: "2026-01-01T00:00:00Z".to_owned(),
        }
    }

    fn moment(clock_ms: u64) -> Moment {
        Moment {
            clock_ms,
            at: "2026-01-01T00:00:00Z".to_owned(),
        }
    }

    fn pending(image: &str) -> Pending {
        Pending {
            version: Version::new("v"),
            image: ImageId::new(image),
            container: "c".to_owned(),
            id: ContainerId::new("c"),
            started_at: String::new(),
            orchestrated: true,
            began: moment(NOW_MS),
            soaking_since_ms: Some(NOW_MS),
            restarts: 0,
            soaked: false,
            stand_in: None,
        }
    }

    fn sighting(first_seen_ms: u64, idle_since_ms: Option<u64>) -> Sighting {
        Sighting {
            first_seen_ms,
            idle_since_ms,
            inherited: false,
            times_pending: 0,
        }
    }

    /// Everything filled in, every time as late as it may be.
    fn sound() -> WorkloadState {
        WorkloadState {
            came_in: Some(moment(NOW_MS)),
            repositories: BTreeSet::from([Repository::parse("x").unwrap()]),
            lineage: vec![proven("a"), proven("b")],
            pending: Some(pending("c")),
            retired: BTreeSet::from([ImageId::new("d")]),
            rejected: [(ImageId::new("e"), rejected())].into(),
            images: [(ImageId::new("a"), sighting(NOW_MS, Some(NOW_MS)))].into(),
            dry_runs: BTreeSet::from([ContainerId::new("x")]),
            failures: vec![Failure {
                version: Version::new("v"),
                image: ImageId::new("e"),
                attempts: 1,
                up_secs: 1,
                reason: "removed".to_owned(),
                at: String::new(),
            }],
            history: vec![Past {
                image: ImageId::new("e"),
                version: Version::new("v"),
                first_seen_at: None,
                promoted_at: None,
                replaced: None,
                retired: None,
                removed: None,
            }],
            held_since_ms: Some(NOW_MS),
            tally: Tally {
                promotions: 1,
                ..Tally::default()
            },
        }
    }

    fn departed() -> WorkloadState {
        let WorkloadState {
            lineage, rejected, ..
        } = sound();
        WorkloadState {
            lineage,
            rejected,
            ..WorkloadState::default()
        }
    }

    fn verdict(workload: WorkloadState) -> Result<(), String> {
        validate(&State {
            clock: Clock {
                clock_ms: NOW_MS,
                monotonic_ms: 0,
            },
            workloads: [(WorkloadName::new("telemetry"), workload)].into(),
            ..State::fresh()
        })
    }

    #[test]
    fn what_makes_sense_passes() {
        assert_eq!(validate(&State::fresh()), Ok(()));
        assert_eq!(verdict(sound()), Ok(()));
        assert_eq!(verdict(departed()), Ok(()));
        assert_eq!(verdict(WorkloadState::default()), Ok(()));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        type Break = fn(&mut WorkloadState);
        const LATE_MS: u64 = NOW_MS + 1;
        let table: &[(&str, Break)] = &[
            ("image a is in the lineage twice", |w| {
                w.lineage.push(proven("a"));
            }),
            ("image b is in the lineage and rejected", |w| {
                w.rejected.insert(ImageId::new("b"), rejected());
            }),
            ("image e is pending and rejected", |w| {
                w.pending = Some(pending("e"));
            }),
            ("came_in (1001 ms) is ahead of the clock (1000 ms)", |w| {
                w.came_in = Some(moment(LATE_MS));
            }),
            (
                "the beginning of the pending upgrade (1001 ms) is ahead",
                |w| {
                    w.pending = Some(Pending {
                        began: moment(LATE_MS),
                        ..pending("c")
                    });
                },
            ),
            ("soaking_since_ms (1001 ms) is ahead", |w| {
                w.pending = Some(Pending {
                    soaking_since_ms: Some(LATE_MS),
                    ..pending("c")
                });
            }),
            ("first_seen_ms of z (1001 ms) is ahead", |w| {
                w.images.insert(ImageId::new("z"), sighting(LATE_MS, None));
            }),
            ("idle_since_ms of z (1001 ms) is ahead", |w| {
                w.images
                    .insert(ImageId::new("z"), sighting(0, Some(LATE_MS)));
            }),
            ("held_since_ms (1001 ms) is ahead", |w| {
                w.held_since_ms = Some(LATE_MS);
            }),
        ];
        for (expected, break_it) in table {
            let mut workload = sound();
            break_it(&mut workload);
            let why = verdict(workload).expect_err(expected);
            assert!(
                why.starts_with("workload 'telemetry': ") && why.contains(expected),
                "{expected}: {why}"
            );
        }
    }

    #[test]
    fn a_departed_workload_keeps_its_lineage_and_rejections_only() {
        type Keep = fn(&mut WorkloadState);
        let table: &[(&str, Keep)] = &[
            ("repositories", |w| w.repositories = sound().repositories),
            ("pending", |w| w.pending = sound().pending),
            ("retired", |w| w.retired = sound().retired),
            ("images", |w| w.images = sound().images),
            ("dry_runs", |w| w.dry_runs = sound().dry_runs),
            ("failures", |w| w.failures = sound().failures),
            ("history", |w| w.history = sound().history),
            ("held_since_ms", |w| w.held_since_ms = sound().held_since_ms),
            ("tally", |w| w.tally = sound().tally),
        ];
        for (name, keep) in table {
            let mut workload = departed();
            keep(&mut workload);
            let why = verdict(workload).expect_err(name);
            assert!(why.contains("left the policy"), "{name}: {why}");
        }
    }
}
