//! Whether a state makes sense: what JSON of the right shape can still get wrong (design 5.1,
//! "nonsensical").
//!
//! Pure. Only contradictions that would make a decision unsafe are refused: a refused state is a
//! forgotten one.

use std::collections::BTreeSet;

use tagkeeper_core::model::{
    ImageId, Memory, Pending, State, Version, WorkloadName, WorkloadState,
};

/// What a rejection took out of the state as it was loaded: `rollback` was killed after it had
/// saved the rejection, and before it had saved the state; or an older `state.json` was put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Whose image it is.
    pub workload: WorkloadName,
    /// The rejected image.
    pub image: ImageId,
    /// Its version.
    pub version: Version,
    /// Whether it was the pending upgrade, and not in the lineage.
    pub was_pending: bool,
}

/// Makes the two files agree: a person's rejection wins. A rejected image is in no lineage, nor is
/// it pending (design 7). The entry of the lineage is noted with the rejection, so that `accept`
/// can put it back.
pub(super) fn enforce_rejections(state: &mut State) -> Vec<Dropped> {
    let mut dropped = Vec::new();
    for (name, workload) in &mut state.workloads {
        let Some(rejected) = state.rejected.get_mut(name) else {
            continue;
        };
        let mut note = |image: &ImageId, version: &Version, was_pending| {
            dropped.push(Dropped {
                workload: name.clone(),
                image: image.clone(),
                version: version.clone(),
                was_pending,
            });
        };
        let parked = workload.parked.as_deref_mut();
        for memory in std::iter::once(&mut workload.memory).chain(parked) {
            let (proven, pending) = memory.take_rejected(|id| rejected.contains_key(id));
            for proven in proven {
                note(&proven.image, &proven.version, false);
                if let Some(rejection) = rejected.get_mut(&proven.image) {
                    rejection.proven.get_or_insert(proven);
                }
            }
            if let Some(pending) = pending {
                note(&pending.image, &pending.version, true);
            }
        }
    }
    dropped
}

/// Checks a state, and says the first thing that is wrong with it.
pub(super) fn validate(state: &State) -> Result<(), String> {
    let times = Times {
        clock_ms: state.clock.clock_ms,
    };
    for (key, &since_ms) in &state.holds {
        times.check(&format!("the beginning of hold '{key}'"), since_ms)?;
    }
    for waiting in &state.undelivered {
        times.check(&format!("event {}", waiting.id), waiting.since.clock_ms)?;
    }
    for (name, workload) in &state.workloads {
        check_workload(state, name, workload, times)
            .map_err(|why| format!("workload '{name}': {why}"))?;
    }
    Ok(())
}

fn check_workload(
    state: &State,
    name: &WorkloadName,
    workload: &WorkloadState,
    times: Times,
) -> Result<(), String> {
    for memory in std::iter::once(&workload.memory).chain(workload.parked.as_deref()) {
        check_images(state, name, memory)?;
        check_memory_times(memory, times)?;
        memory.pending.as_ref().map_or(Ok(()), check_members)?;
    }
    let since_ms = workload.since.as_ref().map(|since| since.clock_ms);
    times.check_any("since", since_ms)?;
    times.check_any("left_ms", workload.left_ms)?;
    times.check_any("held_since_ms", workload.held_since_ms)?;
    for failure in &workload.failures {
        times.check(
            &format!("the failure of {}", failure.image),
            failure.ended_ms,
        )?;
    }
    Ok(())
}

/// An image has one place in the lineage, and a rejected one has none, nor is it pending (design
/// 7).
fn check_images(state: &State, name: &WorkloadName, memory: &Memory) -> Result<(), String> {
    let is_rejected = |image: &ImageId| {
        let rejected = state.rejected.get(name);
        rejected.is_some_and(|rejected| rejected.contains_key(image))
    };
    let mut seen = BTreeSet::new();
    for proven in &memory.lineage {
        let image = &proven.image;
        if !seen.insert(image) {
            return Err(format!("image {image} is in the lineage twice"));
        }
        if is_rejected(image) {
            return Err(format!("image {image} is in the lineage and rejected"));
        }
    }
    match &memory.pending {
        Some(pending) if is_rejected(&pending.image) => {
            Err(format!("image {} is pending and rejected", pending.image))
        }
        _ => Ok(()),
    }
}

/// While the containers of the candidate are stopped there may be no member; but then nothing
/// soaks.
fn check_members(pending: &Pending) -> Result<(), String> {
    if pending.members.is_empty() && pending.soaking_since_ms.is_some() {
        return Err(format!(
            "image {} is being soaked without a container",
            pending.image
        ));
    }
    Ok(())
}

/// Nothing can have happened after the clock was written down: an age would come out as none at
/// all.
#[derive(Clone, Copy)]
struct Times {
    clock_ms: u64,
}

impl Times {
    fn check(self, what: &str, time_ms: u64) -> Result<(), String> {
        self.check_any(what, Some(time_ms))
    }

    fn check_any(self, what: &str, time_ms: Option<u64>) -> Result<(), String> {
        match time_ms {
            Some(time_ms) if time_ms > self.clock_ms => Err(format!(
                "{what} ({time_ms} ms) is ahead of the clock ({} ms)",
                self.clock_ms
            )),
            _ => Ok(()),
        }
    }
}

/// A refused removal is tried again in the future; all else is past.
fn check_memory_times(memory: &Memory, times: Times) -> Result<(), String> {
    times.check_any("promoted_ms", memory.promoted_ms)?;
    times.check_any("first_look_ms", memory.first_look_ms)?;
    if let Some(pending) = &memory.pending {
        times.check(
            "the beginning of the pending upgrade",
            pending.began.clock_ms,
        )?;
        times.check("pass_ms", pending.pass_ms)?;
        times.check_any("soaking_since_ms", pending.soaking_since_ms)?;
    }
    for (image, record) in memory.images.iter() {
        let is_past = record.first_seen_ms.max(record.idle_since_ms.unwrap_or(0)) <= times.clock_ms;
        if !is_past {
            times.check(&format!("first_seen_ms of {image}"), record.first_seen_ms)?;
            times.check_any(&format!("idle_since_ms of {image}"), record.idle_since_ms)?;
        }
    }
    for (container, stopped) in &memory.stopped {
        times.check(&format!("since_ms of {container}"), stopped.since_ms)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tagkeeper_core::model::{
        Clock, ContainerId, EndedBy, Event, EventKind, Failure, ImageRecord, Incarnation,
        LineageEntry, Moment, Outcome, RefusedRemoval, Rejected, Stopped, Undelivered,
    };

    use super::*;

    const NOW_MS: u64 = 1000;
    const LATE_MS: u64 = NOW_MS + 1;

    fn proven(image: &str) -> LineageEntry {
        LineageEntry {
            version: Version::new(image),
            image: ImageId::new(image),
            rolled_out: true,
            promoted_at: None,
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
            members: vec![Incarnation {
                id: ContainerId::new("c"),
                name: "c".to_owned(),
                started_at: String::new(),
            }],
            ended: BTreeMap::new(),
            orchestrated: true,
            began: moment(NOW_MS),
            pass_ms: NOW_MS,
            soaking_since_ms: Some(NOW_MS),
            restarts: 0,
            soaked: false,
            promoting: false,
            own_end: None,
            provisional_fallback: None,
        }
    }

    fn record(first_seen_ms: u64, idle_since_ms: Option<u64>) -> ImageRecord {
        ImageRecord {
            first_seen_ms,
            idle_since_ms,
            inherited: false,
            rolled_out: false,
            times_pending: 0,
            rejected_by: None,
        }
    }

    fn memory() -> Memory {
        let stopped = Stopped {
            started_at: String::new(),
            since_ms: NOW_MS,
        };
        let refused = RefusedRemoval {
            reason: "in use".to_owned(),
            times: 1,
            retry_ms: LATE_MS,
            at: String::new(),
        };
        Memory {
            lineage: vec![proven("a"), proven("b")],
            promoted_ms: Some(NOW_MS),
            pending: Some(pending("c")),
            latest_in_doubt: false,
            retired: BTreeSet::from([ImageId::new("d")]),
            images: [(ImageId::new("a"), record(NOW_MS, Some(NOW_MS)))]
                .into_iter()
                .collect(),
            dry_runs: BTreeSet::from([ContainerId::new("x")]),
            spent: BTreeSet::new(),
            stopped: [(ContainerId::new("y"), stopped)].into(),
            created_from: BTreeMap::new(),
            refused: [("z".to_owned(), refused)].into(),
            no_fallback: None,
            first_look_ms: Some(NOW_MS),
        }
    }

    fn undelivered(since_ms: u64) -> Undelivered {
        Undelivered {
            id: "late".to_owned(),
            since: moment(since_ms),
            attempts: 1,
            retry_ms: LATE_MS,
            event: Event {
                workload: name(),
                kind: EventKind::RolledBack {
                    version: Version::new("v"),
                    image: ImageId::new("e"),
                    to: None,
                },
            },
        }
    }

    /// Every time as late as it may be.
    fn sound() -> State {
        let failure = Failure {
            version: Version::new("v"),
            image: ImageId::new("e"),
            outcome: Outcome::Failed,
            attempts: 1,
            ended_by: EndedBy::Stopped,
            own_end: None,
            up_secs: 1,
            ended_ms: NOW_MS,
            at: String::new(),
        };
        let workload = WorkloadState {
            since: Some(moment(NOW_MS)),
            left_ms: Some(NOW_MS),
            held_since_ms: Some(NOW_MS),
            memory: memory(),
            parked: Some(Box::new(memory())),
            failures: vec![failure],
            ..WorkloadState::default()
        };
        let mut state = State {
            clock: Clock {
                clock_ms: NOW_MS,
                monotonic_ms: 0,
            },
            holds: [("telemetry".to_owned(), NOW_MS)].into(),
            workloads: [(name(), workload)].into(),
            undelivered: vec![undelivered(NOW_MS)],
            ..State::default()
        };
        reject(&mut state, "e");
        state
    }

    fn name() -> WorkloadName {
        WorkloadName::new("telemetry")
    }

    fn reject(state: &mut State, image: &str) {
        let rejected = Rejected {
            version: Version::new("v"),
            at: "2026-01-01T00:00:00Z".to_owned(),
            digests: BTreeSet::new(),
            proven: None,
        };
        let of_workload = state.rejected.entry(name()).or_default();
        of_workload.insert(ImageId::new(image), rejected);
    }

    #[test]
    fn what_makes_sense_passes() {
        assert_eq!(validate(&State::default()), Ok(()));
        assert_eq!(validate(&sound()), Ok(()));
        let mut waiting = sound();
        let memory = &mut waiting.workloads.get_mut(&name()).unwrap().memory;
        let pending = memory.pending.as_mut().unwrap();
        (pending.members, pending.soaking_since_ms) = (Vec::new(), None);
        assert_eq!(validate(&waiting), Ok(()));
        let left = State {
            workloads: [(name(), WorkloadState::default())].into(),
            ..State::default()
        };
        assert_eq!(validate(&left), Ok(()));
    }

    #[test]
    fn what_makes_no_sense_in_a_memory_is_refused_parked_or_not() {
        type Break = fn(&mut Memory);
        let table: &[(&str, Break)] = &[
            ("image a is in the lineage twice", |m| {
                m.lineage.push(proven("a"));
            }),
            ("image e is in the lineage and rejected", |m| {
                m.lineage.push(proven("e"));
            }),
            ("image e is pending and rejected", |m| {
                m.pending = Some(pending("e"));
            }),
            ("image c is being soaked without a container", |m| {
                m.pending.as_mut().unwrap().members.clear();
            }),
            (
                "the beginning of the pending upgrade (1001 ms) is ahead",
                |m| m.pending.as_mut().unwrap().began = moment(LATE_MS),
            ),
            ("pass_ms (1001 ms) is ahead of the clock (1000 ms)", |m| {
                m.pending.as_mut().unwrap().pass_ms = LATE_MS;
            }),
            ("soaking_since_ms (1001 ms) is ahead", |m| {
                m.pending.as_mut().unwrap().soaking_since_ms = Some(LATE_MS);
            }),
            ("promoted_ms (1001 ms) is ahead", |m| {
                m.promoted_ms = Some(LATE_MS);
            }),
            ("first_look_ms (1001 ms) is ahead", |m| {
                m.first_look_ms = Some(LATE_MS);
            }),
            ("first_seen_ms of z (1001 ms) is ahead", |m| {
                m.images.insert(ImageId::new("z"), record(LATE_MS, None));
            }),
            ("idle_since_ms of z (1001 ms) is ahead", |m| {
                m.images.insert(ImageId::new("z"), record(0, Some(LATE_MS)));
            }),
            ("since_ms of y (1001 ms) is ahead", |m| {
                m.stopped.get_mut(&ContainerId::new("y")).unwrap().since_ms = LATE_MS;
            }),
        ];
        for (expected, break_it) in table {
            for is_parked in [false, true] {
                let mut state = sound();
                let workload = state.workloads.get_mut(&name()).unwrap();
                break_it(if is_parked {
                    workload.parked.as_mut().unwrap()
                } else {
                    &mut workload.memory
                });
                assert_refused(&state, expected);
            }
        }
    }

    #[test]
    fn what_makes_no_sense_in_a_workload_is_refused() {
        type Break = fn(&mut WorkloadState);
        let table: &[(&str, Break)] = &[
            ("since (1001 ms) is ahead of the clock (1000 ms)", |w| {
                w.since = Some(moment(LATE_MS));
            }),
            ("left_ms (1001 ms) is ahead", |w| w.left_ms = Some(LATE_MS)),
            ("held_since_ms (1001 ms) is ahead", |w| {
                w.held_since_ms = Some(LATE_MS);
            }),
            ("the failure of e (1001 ms) is ahead", |w| {
                w.failures[0].ended_ms = LATE_MS;
            }),
        ];
        for (expected, break_it) in table {
            let mut state = sound();
            break_it(state.workloads.get_mut(&name()).unwrap());
            assert_refused(&state, expected);
        }
        let mut state = sound();
        state.holds.insert("late".to_owned(), LATE_MS);
        let why = validate(&state).unwrap_err();
        assert!(why.starts_with("the beginning of hold 'late'"), "{why}");
        let mut state = sound();
        state.undelivered.push(undelivered(LATE_MS));
        let why = validate(&state).unwrap_err();
        assert!(why.starts_with("event late (1001 ms) is ahead"), "{why}");
    }

    fn assert_refused(state: &State, expected: &str) {
        let why = validate(state).expect_err(expected);
        assert!(
            why.starts_with("workload 'telemetry': ") && why.contains(expected),
            "{expected}: {why}"
        );
    }

    /// The two files may disagree after a kill between the two saves of a rollback.
    #[test]
    fn a_rejection_wins_over_the_lineage_and_the_pending_upgrade() {
        let mut state = sound();
        assert_eq!(enforce_rejections(&mut state), []);
        assert_eq!(state, sound());
        reject(&mut state, "b");
        reject(&mut state, "c");
        let dropped = enforce_rejections(&mut state);
        let what: Vec<_> = dropped
            .iter()
            .map(|d| (d.image.to_string(), d.was_pending))
            .collect();
        let both = [("b".to_owned(), false), ("c".to_owned(), true)];
        assert_eq!(what, [both.clone(), both].concat(), "in memory, and parked");
        let workload = &state.workloads[&name()];
        for memory in [&workload.memory, workload.parked.as_deref().unwrap()] {
            assert_eq!(memory.lineage, [proven("a")]);
            assert_eq!(memory.pending, None);
        }
        let rejected = &state.rejected[&name()];
        assert_eq!(rejected[&ImageId::new("b")].proven, Some(proven("b")));
        assert_eq!(rejected[&ImageId::new("c")].proven, None);
        assert_eq!(validate(&state), Ok(()));
    }
}
