//! Which disk the engine shows, and what is known of it (design 4.6). The step before the stages.
//!
//! An engine can come up with its data disk unmounted, re-created or swapped. Then nothing that is
//! on record is there; it is parked whole, and the workload starts as on a fresh host.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::Gather;
use crate::model::{
    DEFAULT_GRACE_MS, EventKind, HeldBy, Image, ImageId, Memory, Observation, Policy, Rejected,
    State, Workload, WorkloadName, WorkloadState,
};

use super::hold;

/// What `rollback` rejected, by workload and image.
pub(super) type Rejections = BTreeMap<WorkloadName, BTreeMap<ImageId, Rejected>>;

/// What is remembered, as far as it concerns the disk that the engine shows (design 4.6), and what
/// is on hold.
pub(super) struct Recalled {
    pub(super) instance: String,
    pub(super) workloads: BTreeMap<WorkloadName, WorkloadState>,
    pub(super) rejected: Rejections,
    pub(super) held: BTreeMap<WorkloadName, HeldBy>,
    pub(super) holds: BTreeMap<String, u64>,
    /// What is known of a workload that no pass has seen.
    nothing: WorkloadState,
}

impl Recalled {
    pub(super) fn of(&self, name: &WorkloadName) -> &WorkloadState {
        self.workloads.get(name).unwrap_or(&self.nothing)
    }

    pub(super) fn memory(&self, name: &WorkloadName) -> &Memory {
        &self.of(name).memory
    }
}

/// What is remembered of this disk, by workload of the policy.
pub(super) fn recall(policy: &Policy, state: &State, observed: &Observation) -> Recalled {
    let on_disk: Images<'_> = observed.images.iter().map(|i| (&i.id, i)).collect();
    let rejected = rejected_here(state, observed);
    let workloads = policy.workloads.iter().map(|(name, workload)| {
        let known = state.workloads.get(name).cloned().unwrap_or_default();
        let known = back_in_policy(known, observed.until.ms());
        let mut known = on_this_disk(known, workload, &on_disk, observed.until.ms());
        // The rejections are in a file of their own: a rollback that was killed between the two has
        // rejected what the lineage still names, and so has one on another disk.
        if let Some(rejected) = rejected.get(name) {
            known.memory.take_rejected(|id| rejected.contains_key(id));
        }
        (name.clone(), known)
    });
    let holds = hold::seen(policy, state, observed);
    Recalled {
        instance: state.instance.clone(),
        workloads: workloads.gather(),
        rejected,
        held: hold::in_force(policy, &holds, observed),
        holds,
        nothing: WorkloadState::default(),
    }
}

/// What `rollback` rejected, by the ids that the images have here: in another image store they have
/// other ids, and the same digests.
fn rejected_here(state: &State, observed: &Observation) -> Rejections {
    let mut rejections = state.rejected.clone();
    for rejected in rejections.values_mut() {
        let here = observed.images.iter().filter_map(|image| {
            let mut known = rejected.values();
            let rejection = known.find(|r| image.digests().any(|d| r.digests.contains(d)))?;
            Some((image.id.clone(), rejection.clone()))
        });
        let here: Vec<_> = here.collect();
        for (id, rejection) in here {
            rejected.entry(id).or_insert(rejection);
        }
    }
    rejections
}

/// The time in which the policy did not name the workload does not count as idle: nothing of it was
/// looked at.
fn back_in_policy(mut known: WorkloadState, until_ms: u64) -> WorkloadState {
    if let Some(left_ms) = known.left_ms.take() {
        known.memory.move_idle(left_ms, until_ms);
    }
    known
}

type Images<'a> = hashbrown::HashMap<&'a ImageId, &'a Image>;

fn on_this_disk(
    mut known: WorkloadState,
    workload: &Workload,
    images: &Images<'_>,
    until_ms: u64,
) -> WorkloadState {
    let is_on_disk = |id: &ImageId| images.contains_key(id);
    let is_own = |id: &ImageId| {
        images.get(id).is_some_and(|image| {
            image.is_nameless() || image.references.iter().any(|name| workload.owns(name))
        })
    };
    if let Some(parked) = known.parked.take() {
        if parked.knows_any(is_own, is_on_disk) {
            known.memory = restore(*parked, known.memory, is_on_disk);
            return known;
        }
        known.parked = Some(parked);
    }
    if !known.memory.is_blank() && !known.memory.knows_any(is_own, is_on_disk) {
        let current = core::mem::take(&mut known.memory);
        // The failures are the host's, and those that it came after are settled on any disk.
        known.memory.promoted_ms = current.promoted_ms;
        known.memory.first_look_ms = Some(until_ms);
        // What was proven outlives what never was, if yet another disk appears.
        if known.parked.is_none() || !current.lineage.is_empty() {
            known.parked = Some(Box::new(interrupted(current)));
        }
    }
    known
}

/// What is parked is not seen for a while, and nothing soaks unseen.
fn interrupted(mut memory: Memory) -> Memory {
    if let Some(pending) = &mut memory.pending {
        pending.soaking_since_ms = None;
        pending.soaked = false;
    }
    memory
}

/// The parked memory, with what was learned meanwhile of images that it does not know. What comes
/// back may just have been pulled: it has all of its grace, and where it came without the head, it
/// is obsolete no longer.
fn restore(mut parked: Memory, current: Memory, is_on_disk: impl Fn(&ImageId) -> bool) -> Memory {
    let head = parked.lineage.first();
    if !head.is_some_and(|head| is_on_disk(&head.image)) {
        parked.retired.clear();
    }
    for record in parked.images.values_mut() {
        record.idle_since_ms = None;
    }
    for (id, record) in current.images.iter() {
        if !parked.images.contains_key(id) && is_on_disk(id) {
            parked.images.insert(id.clone(), record.clone());
        }
    }
    if parked
        .pending
        .as_ref()
        .is_none_or(|p| !is_on_disk(&p.image))
    {
        parked.pending = current.pending;
    }
    parked.retired.extend(current.retired);
    parked.dry_runs.extend(current.dry_runs);
    parked.spent.extend(current.spent);
    parked.stopped = current.stopped;
    parked.created_from = current.created_from;
    parked
}

/// What the log says of the disk, once it has changed. A promotion on another disk drops what is
/// parked, which is no news of this one.
pub(super) fn event(before: Option<&WorkloadState>, recalled: &WorkloadState) -> Option<EventKind> {
    let was_parked = before.is_some_and(|known| known.parked.is_some());
    match (was_parked, recalled.parked.is_some()) {
        (false, true) => Some(EventKind::OtherDisk),
        (true, false) => Some(EventKind::DiskBack),
        _ => None,
    }
}

/// Whether a workload that is not in the policy still keeps everything, pins too: for the grace
/// period, so that a drop-in that is missing for one pass costs nothing (design 4.5).
pub(super) fn keeps_everything(known: &WorkloadState, now_ms: u64) -> bool {
    let left_ms = known.left_ms.unwrap_or(now_ms);
    now_ms.saturating_sub(left_ms) < DEFAULT_GRACE_MS
}

/// The workloads that are not in the policy. After the grace period they keep their lineage.
pub(super) fn departed<'a>(
    policy: &'a Policy,
    state: &'a State,
    now_ms: u64,
) -> impl Iterator<Item = (WorkloadName, WorkloadState)> + 'a {
    let gone = state
        .workloads
        .iter()
        .filter(|(name, _)| !policy.workloads.contains_key(*name));
    let kept = gone.map(move |(name, known)| {
        let kept = if keeps_everything(known, now_ms) {
            known.clone()
        } else {
            // Where its disk is away, the lineage is parked.
            let lineage = match &known.parked {
                Some(parked) if known.memory.lineage.is_empty() => &parked.lineage,
                _ => &known.memory.lineage,
            };
            WorkloadState {
                memory: Memory {
                    lineage: lineage.clone(),
                    // Of its pins.
                    refused: known.memory.refused.clone(),
                    ..Memory::default()
                },
                ..WorkloadState::default()
            }
        };
        let left_ms = Some(known.left_ms.unwrap_or(now_ms));
        (name.clone(), WorkloadState { left_ms, ..kept })
    });
    kept.filter(|(_, kept)| {
        !kept.memory.is_blank() || kept.since.is_some() || kept.parked.is_some()
    })
}
