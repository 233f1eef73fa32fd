//! How a workload is shown: the part of the plan that is said and not done.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::serving::Serving;
use super::subject::Subject;
use super::{pins, rollback, serving, upgrade, version};
use crate::Gather;
use crate::model::{
    Action, Container, ContainerId, ImageId, Latest, Member, Memory, NameVerdict, NoFallback, Note,
    Pending, PendingView, Reason, RefusedView, Verdict, Version, Waits, WorkloadPlan,
    WorkloadState,
};

/// What a workload's plan is put together from.
pub(super) struct Parts<'p, 'a> {
    pub(super) upgrade: &'p upgrade::Upgrade<'a>,
    pub(super) serving: &'p Serving<'a>,
    pub(super) names: &'p [NameVerdict],
    pub(super) actions: Vec<Action>,
    pub(super) notes: Vec<Note>,
}

/// The workload's plan, once everything has been decided.
pub(super) fn of(subject: Subject<'_>, parts: Parts<'_, '_>) -> WorkloadPlan {
    let state = &parts.upgrade.state;
    let memory = &state.memory;
    let (actions, held_actions) = match subject.held {
        None => (parts.actions, Vec::new()),
        Some(_) => (Vec::new(), parts.actions),
    };
    let failing = rollback::failing(subject, state);
    WorkloadPlan {
        latest: latest(subject, memory),
        head: subject.head(memory).cloned(),
        fallbacks: subject.fallbacks(memory).cloned().collect(),
        pins: pins::in_place(subject),
        no_fallback: no_fallback(subject, memory),
        serving: parts
            .serving
            .group()
            .map(|group| crate::model::ServingView {
                members: group.members.iter().map(|c| member(c)).collect(),
                image: group.image.clone(),
                version: version::of(subject, memory, group.image, group.newest()),
                local: !parts.serving.is_orchestrated(),
            }),
        notes: parts.notes,
        pending: pending(subject, memory, &parts.upgrade.notes),
        failures: state.failures.clone(),
        failing_in: failing.map_or_else(Vec::new, |failure| containers(subject, &failure.image)),
        failing: failing.cloned(),
        unsettled_ms: unsettled_ms(subject, state),
        rejected: subject.rejected.cloned().unwrap_or_default(),
        rejected_by_policy: rejected_by_policy(subject, memory),
        since: state.since.clone(),
        counters: state.counters,
        held: subject.held.cloned(),
        held_at: state.held_at.clone(),
        leaving: leaving(subject, parts.names),
        refused: refused(subject, memory, parts.names),
        images: parts.names.to_vec(),
        actions,
        held_actions,
    }
}

fn member(container: &Container) -> Member {
    Member {
        container: container.name().into_owned(),
        id: container.id.clone(),
    }
}

fn latest(subject: Subject<'_>, memory: &Memory) -> Option<Latest> {
    let image = subject.own.latest?;
    let proven = memory.proven(&image.id);
    Some(Latest {
        version: version::of_image(subject, memory, image),
        image: image.id.clone(),
        proven: subject.is_head(memory, &image.id),
        promoted_at: proven.and_then(|proven| proven.promoted_at.clone()),
    })
}

fn no_fallback(subject: Subject<'_>, memory: &Memory) -> Option<NoFallback> {
    if subject.policy.fallbacks == 0 || subject.usable_fallbacks(memory).next().is_some() {
        return None;
    }
    if subject.fallbacks(memory).next().is_some() {
        return Some(NoFallback::Rejected);
    }
    let is_lost = memory.lineage.len() > 1 && subject.head(memory).is_some();
    Some(if is_lost {
        NoFallback::Lost
    } else {
        memory.no_fallback.unwrap_or(NoFallback::First)
    })
}

fn rejected_by_policy(subject: Subject<'_>, memory: &Memory) -> BTreeMap<ImageId, Version> {
    let images = subject.own.images.iter().map(|own| own.image);
    let rejected = images.filter(|image| subject.is_rejected_by_policy(memory, &image.id));
    rejected
        .map(|image| {
            let user = subject.users_of(&image.id).first().copied();
            (
                image.id.clone(),
                version::of(subject, memory, &image.id, user),
            )
        })
        .gather()
}

fn pending(subject: Subject<'_>, memory: &Memory, notes: &[Note]) -> Option<PendingView> {
    let pending = memory.pending.as_ref()?;
    Some(PendingView {
        version: pending.version.clone(),
        image: pending.image.clone(),
        members: members(subject, pending),
        up_ms: subject.soaked_ms(pending),
        soak_ms: subject.policy.soak_ms,
        waits: waits(subject, pending, notes),
        restarts: pending.restarts,
        began_at: pending.began.at.clone(),
        age_ms: subject.lasted_ms(pending.began.clock_ms),
    })
}

/// The names of an image's containers that run, or else of the newest.
fn containers(subject: Subject<'_>, image: &ImageId) -> Vec<String> {
    let all = || subject.own.containers().filter(|c| c.uses(image));
    let name = |c: &Container| c.name().into_owned();
    let running: Vec<String> = all().filter(|c| c.is_running()).map(name).collect();
    if running.is_empty() {
        return serving::newest(all()).map(name).into_iter().collect();
    }
    running
}

/// What the soak waits for, by what this look has found.
fn waits(subject: Subject<'_>, pending: &Pending, notes: &[Note]) -> Option<Waits> {
    if pending.soaking_since_ms.is_some() {
        return None;
    }
    let trouble = notes.iter().find_map(|note| match note {
        Note::NotSoaking { version, cause } if *version == pending.version => Some(cause.clone()),
        _ => None,
    });
    Some(match trouble {
        Some(cause) => Waits::Trouble(cause),
        None if !runs(subject, &pending.image) => Waits::Running,
        None if subject.is_unasked() => Waits::Ready,
        None => Waits::NextPass,
    })
}

fn runs(subject: Subject<'_>, image: &ImageId) -> bool {
    let mut containers = subject.own.containers();
    containers.any(|c| c.is_running() && c.uses(image))
}

/// The containers of the pending upgrade; of one that no pass has seen run, those that have ended.
fn members(subject: Subject<'_>, pending: &Pending) -> Vec<Member> {
    if !pending.has_run() {
        let containers = subject.own.containers();
        let ended = containers.filter(|c| pending.ended.contains_key(&c.id));
        return ended.map(member).collect();
    }
    let running = pending.members.iter().map(|m| Member {
        container: m.name.clone(),
        id: m.id.clone(),
    });
    running.collect()
}

/// How long ago each version failed that is unsettled: the last of its images, where there are
/// several.
fn unsettled_ms(subject: Subject<'_>, state: &WorkloadState) -> BTreeMap<Version, u64> {
    // An image that has left the disk has no names by which it could be rejected.
    let is_rejected = |version: &Version| {
        let mut rejections = subject.rejections.iter();
        rejections.any(|rejection| rejection.is_version(version.as_str()))
    };
    let mut ages = BTreeMap::new();
    for failure in rollback::unsettled(subject, state).filter(|f| !is_rejected(&f.version)) {
        let age_ms = subject.lasted_ms(failure.ended_ms);
        let known = ages.entry(failure.version.clone()).or_insert(age_ms);
        *known = age_ms.min(*known);
    }
    ages
}

/// The refused removals that are still called for: of names and nameless images by their verdicts,
/// of containers while they are there. What was to make room on a full disk counts until it is
/// tried again.
fn refused(subject: Subject<'_>, memory: &Memory, names: &[NameVerdict]) -> Vec<RefusedView> {
    let now_ms = subject.observed().from.ms();
    let called = |target: &str| {
        let id = ContainerId::new(target);
        let mut containers = subject.observed().containers.iter();
        if let Some(container) = containers.find(|c| c.id == id) {
            return Some(container.name().into_owned());
        }
        let mut names = names.iter().filter(|name| name.removal_target() == target);
        let is_called_for = names.any(|name| {
            let was_evicted = name.reason == Reason::Grace && subject.is_put_off(memory, target);
            name.verdict() == Verdict::Remove || was_evicted
        });
        is_called_for.then(|| target.to_owned())
    };
    let refused = memory.refused.iter().filter_map(|(target, refused)| {
        Some(RefusedView {
            called: called(target)?,
            target: target.clone(),
            reason: refused.reason.clone(),
            retry_in_ms: refused.retry_ms.saturating_sub(now_ms),
        })
    });
    refused.collect()
}

/// The images whose every name is removed or moves away. A name that is not the workload's keeps
/// its image.
fn leaving(subject: Subject<'_>, names: &[NameVerdict]) -> BTreeSet<ImageId> {
    let is_kept = |name: &&NameVerdict| name.verdict() == Verdict::Keep;
    let mut leaving: BTreeSet<ImageId> = names
        .iter()
        .filter(|n| !is_kept(n))
        .map(|n| n.image.clone())
        .gather();
    for kept in names.iter().filter(is_kept) {
        leaving.remove(&kept.image);
    }
    leaving.retain(|id| {
        let image = subject.inventory.image(id);
        image.is_some_and(|image| {
            let mut names = image.references.iter();
            image.unparsed_names == 0 && names.all(|name| subject.policy.owns(name))
        })
    });
    leaving
}
