//! What edition 1 wrote: format 1 of `state.json`, read and carried over. No I/O.
//!
//! Everything that has a place in the present state is kept. Format 1 had no unknown fields: one
//! that is there is damage.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use tagkeeper_core::Gather;
use tagkeeper_core::model::{
    Clock, ContainerId, Counters, End, EndedBy, Failure, ImageHistory, ImageId, ImageRecord,
    Incarnation, LineageEntry, Memory, Moment, Outcome, Pending, Rejected, Repository, State,
    Version, WorkloadName, WorkloadState,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StateV1 {
    #[serde(rename = "version")]
    _version: u32,
    clock: Clock,
    workloads: BTreeMap<WorkloadName, WorkloadV1>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkloadV1 {
    /// Absent once the workload has left the policy.
    came_in: Option<Moment>,
    #[serde(default)]
    repositories: BTreeSet<Repository>,
    #[serde(default)]
    lineage: Vec<LineageEntry>,
    pending: Option<PendingV1>,
    #[serde(default)]
    retired: BTreeSet<ImageId>,
    #[serde(default)]
    rejected: BTreeMap<ImageId, Rejected>,
    #[serde(default)]
    images: BTreeMap<ImageId, SightingV1>,
    #[serde(default)]
    dry_runs: BTreeSet<ContainerId>,
    #[serde(default)]
    failures: Vec<FailureV1>,
    #[serde(default)]
    history: Vec<ImageHistory>,
    held_since_ms: Option<u64>,
    #[serde(default)]
    tally: Counters,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PendingV1 {
    version: Version,
    image: ImageId,
    container: String,
    id: ContainerId,
    started_at: String,
    orchestrated: bool,
    began: Moment,
    soaking_since_ms: Option<u64>,
    restarts: u32,
    /// Noted and saved before `latest` was moved.
    soaked: bool,
    stand_in: Option<LineageEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SightingV1 {
    first_seen_ms: u64,
    idle_since_ms: Option<u64>,
    #[serde(default)]
    inherited: bool,
    #[serde(default)]
    times_pending: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailureV1 {
    version: Version,
    image: ImageId,
    attempts: u32,
    up_secs: u64,
    /// `exited (1)`, `removed`, `replaced`, `several images at once`.
    reason: String,
    at: String,
}

/// Parses a file of format 1.
pub(super) fn parse(text: &str) -> Result<State, String> {
    let StateV1 {
        clock, workloads, ..
    } = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let mut state = State {
        clock,
        ..State::default()
    };
    for (name, mut workload) in workloads {
        let rejected = std::mem::take(&mut workload.rejected);
        if !rejected.is_empty() {
            state.rejected.insert(name.clone(), rejected);
        }
        state
            .workloads
            .insert(name, workload.carry_over(clock.clock_ms));
    }
    Ok(state)
}

impl WorkloadV1 {
    /// `clock_ms` is when the file was saved. A workload without `came_in` had left the policy by
    /// then.
    fn carry_over(self, clock_ms: u64) -> WorkloadState {
        let left_ms = self.came_in.is_none().then_some(clock_ms);
        let stand_in = self.pending.as_ref().and_then(|p| p.stand_in.as_ref());
        let rolled_out: BTreeSet<ImageId> = self
            .lineage
            .iter()
            .chain(stand_in)
            .filter(|proven| proven.rolled_out)
            .map(|proven| proven.image.clone())
            .gather();
        let images = self.images.into_iter().map(|(image, sighting)| {
            let is_rolled_out = rolled_out.contains(&image);
            (image, sighting.carry_over(is_rolled_out))
        });
        WorkloadState {
            since: self.came_in,
            left_ms,
            held_since_ms: self.held_since_ms,
            held_at: None,
            rejected_serves: None,
            repositories: self.repositories,
            memory: Memory {
                // What failed before is settled: edition 1 did not say when it promoted.
                promoted_ms: (!self.lineage.is_empty()).then_some(clock_ms),
                lineage: self.lineage,
                pending: self.pending.map(PendingV1::carry_over),
                retired: self.retired,
                images: images.collect(),
                dry_runs: self.dry_runs,
                ..Memory::default()
            },
            parked: None,
            failures: self
                .failures
                .into_iter()
                .map(FailureV1::carry_over)
                .collect(),
            history: self.history,
            counters: self.tally,
        }
    }
}

impl PendingV1 {
    fn carry_over(self) -> Pending {
        Pending {
            version: self.version,
            image: self.image,
            members: vec![Incarnation {
                id: self.id,
                name: self.container,
                started_at: self.started_at,
            }],
            ended: BTreeMap::new(),
            orchestrated: self.orchestrated,
            pass_ms: self.began.clock_ms,
            began: self.began,
            soaking_since_ms: self.soaking_since_ms,
            restarts: self.restarts,
            soaked: false,
            promoting: self.soaked,
            own_end: None,
            provisional_fallback: self.stand_in,
        }
    }
}

impl SightingV1 {
    fn carry_over(self, rolled_out: bool) -> ImageRecord {
        ImageRecord {
            first_seen_ms: self.first_seen_ms,
            idle_since_ms: self.idle_since_ms,
            inherited: self.inherited,
            rolled_out,
            times_pending: self.times_pending,
            rejected_by: None,
        }
    }
}

impl FailureV1 {
    fn carry_over(self) -> Failure {
        let exit_code = self
            .reason
            .strip_prefix("exited (")
            .and_then(|rest| rest.strip_suffix(')'))
            .and_then(|code| code.parse().ok());
        Failure {
            version: self.version,
            image: self.image,
            outcome: match exit_code {
                Some(_) => Outcome::Failed,
                None => Outcome::Withdrawn,
            },
            attempts: self.attempts,
            own_end: exit_code.map(|code| End {
                exit_code: Some(code),
                ran_secs: self.up_secs,
            }),
            ended_by: match self.reason.as_str() {
                "removed" => EndedBy::Removed,
                "replaced" => EndedBy::Replaced,
                "several images at once" => EndedBy::NotAlone,
                _ => EndedBy::Stopped,
            },
            up_secs: self.up_secs,
            // Not known on the clock.
            ended_ms: 0,
            at: self.at,
        }
    }
}
