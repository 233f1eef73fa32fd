//! Stage 3, records: what was seen is written down. Arrivals, idle times, dry runs, what was rolled
//! out, the cut of the lineage.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use super::history;
use super::ownership::OwnedImage;
use super::subject::Subject;
use super::{serving, stale, version};
use crate::Gather;
use crate::model::{
    Container, ContainerId, Image, ImageId, ImageRecord, Memory, Reference, Version, WorkloadState,
};

/// The memory brought up to the observation, before anything is decided from it.
pub(super) fn update(subject: Subject<'_>, recalled: &WorkloadState) -> WorkloadState {
    let held = hold_noted(subject, recalled.clone());
    let found = found_ended_noted(subject, recalled, held);
    let arrived = arrivals_noted(subject, found);
    let rejected = rejections_noted(subject, arrived);
    let tried = tried_noted(subject, rejected);
    let rolled_out = rolled_out_noted(subject, tried);
    let idle = idle_times_noted(subject, rolled_out);
    let present = forgotten(subject, idle);
    let mut told = dry_runs_noted(subject, present);
    told.memory.created_from = stale::hidden_references(subject, &told.memory);
    if subject.is_held() {
        told
    } else {
        lineage_cut(subject, told, None)
    }
}

/// Time on hold does not count as idle (design 4.5): when the hold ends, idle times move by what it
/// lasted.
fn hold_noted(subject: Subject<'_>, mut state: WorkloadState) -> WorkloadState {
    match (subject.is_held(), state.held_since_ms) {
        (true, None) => {
            state.held_since_ms = Some(subject.until_ms());
            state.held_at = Some(subject.wall());
        }
        (false, Some(since_ms)) => {
            state.memory.move_idle(since_ms, subject.until_ms());
            (state.held_since_ms, state.held_at) = (None, None);
        }
        (true, Some(_)) | (false, None) => {}
    }
    state
}

/// The first look at a workload, or at another disk, cannot tell when a container ended: that is no
/// attempt at an upgrade.
fn found_ended_noted(
    subject: Subject<'_>,
    recalled: &WorkloadState,
    mut state: WorkloadState,
) -> WorkloadState {
    let is_first = recalled.since.is_none() || recalled.parked.is_some();
    if is_first && recalled.memory.is_blank() {
        let ended = serving::could_serve(subject).filter(|c| c.state.has_ended());
        state.memory.spent.extend(ended.map(|c| c.id.clone()));
    }
    state
}

/// First sights, and marks of what was inherited.
fn arrivals_noted(subject: Subject<'_>, mut state: WorkloadState) -> WorkloadState {
    let is_first_pass = state.since.is_none();
    if is_first_pass {
        state.since = Some(subject.observed().until.moment());
    }
    let repositories = subject.policy.repositories();
    let is_new: Vec<bool> = repositories
        .map(|r| !state.repositories.contains(r))
        .collect();
    let any_new = is_new.iter().any(|is_new| *is_new);
    let came_with_repository = |own: &OwnedImage<'_>| {
        is_first_pass
            || (any_new
                && subject
                    .own
                    .refs(own)
                    .iter()
                    .any(|r| is_new.get(r.repository) == Some(&true)))
    };
    let nothing_proven = subject.head(&state.memory).is_none();
    let mut arrived = Vec::new();
    for own in subject
        .own
        .images
        .iter()
        .filter(|own| subject.own.is_recorded(own))
    {
        let id = &own.image.id;
        let inherited = came_with_repository(own);
        let Some(known) = state.memory.images.get(id) else {
            let record = ImageRecord {
                first_seen_ms: subject.until_ms(),
                idle_since_ms: None,
                inherited: inherited || nothing_proven,
                rolled_out: false,
                times_pending: 0,
                rejected_by: None,
            };
            state.memory.images.insert(id.clone(), record);
            arrived.push(id);
            continue;
        };
        if inherited && !known.inherited {
            if let Some(record) = state.memory.images.get_mut(id) {
                record.inherited = true;
            }
        }
    }
    if any_new || state.repositories.len() != is_new.len() {
        state.repositories = subject.policy.repositories().cloned().gather();
    }
    history::arrivals(subject, state, &arrived)
}

/// What `[reject]` names now, it goes for when the name is gone.
fn rejections_noted(subject: Subject<'_>, mut state: WorkloadState) -> WorkloadState {
    if subject.rejections.is_empty() {
        return state;
    }
    let named: Vec<(ImageId, String)> = state
        .memory
        .images
        .iter()
        .filter_map(|(id, record)| {
            let entry = subject.rejection_of(&state.memory, id)?.as_str();
            (record.rejected_by.as_deref() != Some(entry)).then(|| (id.clone(), entry.into()))
        })
        .collect();
    for (id, entry) in named {
        if let Some(record) = state.memory.images.get_mut(&id) {
            record.rejected_by = Some(entry);
        }
    }
    state
}

/// While nothing is proven: what came after the first pass, and of which a container has ended
/// here, was tried here. It is not inherited, also if it ran too short for any pass to see that; or
/// upgrades that crash at once would pile up.
fn tried_noted(subject: Subject<'_>, mut state: WorkloadState) -> WorkloadState {
    let came_later = |r: &ImageRecord| r.inherited && !state.has_found_first(r);
    let nothing_proven = subject.head(&state.memory).is_none();
    if !nothing_proven || !state.memory.images.values().any(came_later) {
        return state;
    }
    let ended = serving::could_serve(subject).filter(|c| c.state.has_ended());
    let images = ended.filter_map(|c| c.image.as_ref());
    let tried: Vec<&ImageId> = images
        .filter(|id| subject.latest() != Some(*id))
        .filter(|id| state.memory.images.get(*id).is_some_and(came_later))
        .collect();
    for id in tried {
        if let Some(record) = state.memory.images.get_mut(id) {
            record.inherited = false;
        }
    }
    state
}

/// Marks what the orchestrator is known to have deployed or to hold. Never withdrawn (design 4.4).
fn rolled_out_noted(subject: Subject<'_>, mut state: WorkloadState) -> WorkloadState {
    let own = |id: &ImageId| subject.own.at(subject.inventory.place(id)?);
    let unmarked = state.memory.images.iter().filter(|(_, r)| !r.rolled_out);
    let unmarked: Vec<&Image> = unmarked
        .filter_map(|(id, _)| own(id))
        .map(|own| own.image)
        .collect();
    if !unmarked.is_empty() {
        let remote_versions = remote_versions(subject);
        for image in unmarked {
            if is_rolled_out(subject, image, &remote_versions) {
                if let Some(record) = state.memory.images.get_mut(&image.id) {
                    record.rolled_out = true;
                }
            }
        }
    }
    let Memory {
        lineage,
        pending,
        images,
        ..
    } = &mut state.memory;
    let provisional = pending
        .iter_mut()
        .filter_map(|p| p.provisional_fallback.as_mut());
    for proven in lineage.iter_mut().chain(provisional) {
        proven.rolled_out |= images.get(&proven.image).is_some_and(|r| r.rolled_out);
    }
    state
}

/// The versions that the orchestrator shows: the remotes' tags on the disk, those that containers
/// were created from, also where a digest follows the tag, and the labels of images from the
/// remotes.
fn remote_versions(subject: Subject<'_>) -> BTreeSet<&str> {
    let containers = subject
        .own
        .containers()
        .filter_map(|c| c.reference.as_ref());
    let remote = containers.filter(|r| subject.policy.remotes.contains(r.repository()));
    let images = subject.own.images.iter();
    let from_remotes =
        images.filter(|own| subject.own.refs(own).iter().any(|name| name.is_remote()));
    subject
        .own
        .remote_tags()
        .chain(remote.filter_map(Reference::version_tag))
        .chain(from_remotes.filter_map(|own| version::label(subject, own.image)))
        .gather()
}

/// Whether a remote name of the image, or a remote name of one of its versions, is on the disk.
/// `latest` is no version, and says nothing about one.
fn is_rolled_out(subject: Subject<'_>, image: &Image, remote_versions: &BTreeSet<&str>) -> bool {
    let is_remote = |name: &Reference| subject.policy.remotes.contains(name.repository());
    image.references.iter().any(is_remote)
        || image
            .tags()
            .filter(|name| subject.policy.owns(name))
            .filter_map(Reference::version_tag)
            .chain(version::label(subject, image))
            .any(|version| remote_versions.contains(version))
}

/// Since when each image is idle, for the grace period.
fn idle_times_noted(subject: Subject<'_>, mut state: WorkloadState) -> WorkloadState {
    let idle_since_ms = |id: &ImageId, record: &ImageRecord| {
        let place = subject.inventory.place(id)?;
        let is_used = subject.inventory.users(place).next().is_some();
        let since_ms = (!is_used).then(|| record.idle_since_ms.unwrap_or(subject.until_ms()));
        (since_ms != record.idle_since_ms).then(|| (id.clone(), since_ms))
    };
    let records = state.memory.images.iter();
    let changed: Vec<_> = records
        .filter_map(|(id, record)| idle_since_ms(id, record))
        .collect();
    for (id, since_ms) in changed {
        if let Some(record) = state.memory.images.get_mut(&id) {
            record.idle_since_ms = since_ms;
        }
    }
    state
}

/// An image that has left the disk, or has only names that are not the workload's, is forgotten:
/// when it comes back it is a new image (design 4.5).
fn forgotten(subject: Subject<'_>, mut state: WorkloadState) -> WorkloadState {
    let is_present = |id: &ImageId| {
        let own = subject
            .inventory
            .place(id)
            .and_then(|place| subject.own.at(place));
        own.is_some_and(|own| subject.own.is_recorded(own))
    };
    if !state.memory.images.keys().all(is_present) {
        let images = state.memory.images.iter().filter(|(id, _)| !is_present(id));
        let gone: Vec<_> = images
            .map(|(id, r)| (id.clone(), r.idle_since_ms))
            .collect();
        state = history::departures(subject, state, &gone);
        state.memory.images.retain(|id, _| is_present(id));
    }
    state.memory.retired.retain(is_present);
    let Memory {
        dry_runs,
        spent,
        refused,
        ..
    } = &mut state.memory;
    if !(dry_runs.is_empty() && spent.is_empty()) {
        let present = container_ids(subject);
        dry_runs.retain(|id| present.contains(id));
        spent.retain(|id| present.contains(id));
    }
    if !refused.is_empty() {
        let images = subject.own.images.iter().map(|own| own.image);
        let present: BTreeSet<String> = images
            .flat_map(|image| {
                let names = image
                    .references
                    .iter()
                    .map(alloc::string::ToString::to_string);
                names.chain([alloc::string::ToString::to_string(&image.id)])
            })
            .chain(
                subject
                    .observed()
                    .containers
                    .iter()
                    .map(|c| alloc::string::ToString::to_string(&c.id)),
            )
            .gather();
        refused.retain(|target, _| present.contains(target));
    }
    state
}

fn container_ids(subject: Subject<'_>) -> BTreeSet<&ContainerId> {
    subject.observed().containers.iter().map(|c| &c.id).gather()
}

/// Orchestrated containers that run beside a running local one, by the versions as they are on
/// record.
fn dry_runs_noted(subject: Subject<'_>, mut state: WorkloadState) -> WorkloadState {
    let idling: Vec<&Container> = serving::running_dry(subject, &state.memory);
    for container in idling {
        if !state.memory.dry_runs.contains(&container.id) {
            state.memory.dry_runs.insert(container.id.clone());
        }
    }
    state
}

/// Cuts the lineage to what the policy keeps; a policy edit takes effect at once. What is cut is
/// retired, by the promotion of a version if it was one.
pub(super) fn lineage_cut(
    subject: Subject<'_>,
    mut state: WorkloadState,
    by: Option<&Version>,
) -> WorkloadState {
    let kept = 1 + subject.policy.fallbacks;
    let beyond = subject.lineage(&state.memory).skip(kept);
    let cut: Vec<ImageId> = beyond.map(|proven| proven.image.clone()).collect();
    if cut.is_empty() {
        return state;
    }
    state
        .memory
        .lineage
        .retain(|proven| !cut.contains(&proven.image));
    // What is being soaked again is not obsolete; if that fails, it has its grace. And what has
    // none but foreign names is somebody else's from now on.
    let pending = state.memory.pending.as_ref().map(|p| p.image.clone());
    let is_recorded = |id: &ImageId| {
        let place = subject.inventory.place(id);
        let own = place.and_then(|place| subject.own.at(place));
        own.is_some_and(|own| subject.own.is_recorded(own))
    };
    let retired: Vec<ImageId> = cut
        .into_iter()
        .filter(|id| pending.as_ref() != Some(id) && is_recorded(id))
        .collect();
    state = history::retired(subject, state, &retired, by);
    state.memory.retired.extend(retired);
    state
}
