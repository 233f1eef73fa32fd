//! The containers of an upgrade that have ended, and how.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::cmp::Ordering;

use super::is_upgradable;
use crate::Gather;
use crate::model::{Container, ContainerId, ContainerState, End, ImageId, Pending, WorkloadState};
use crate::planner::serving;
use crate::planner::serving::Serving;
use crate::planner::subject::Subject;

/// Exit codes of a container that was told to stop: none at all, SIGKILL, SIGTERM, and what a
/// restart of the engine leaves.
const STOP_CODES: [i64; 4] = [0, 128 + 9, 128 + 15, 255];

/// The containers of an image that could serve.
pub(super) fn containers_of<'a>(
    subject: Subject<'a>,
    image: &'a ImageId,
) -> impl Iterator<Item = &'a Container> {
    serving::could_serve(subject).filter(move |c| c.uses(image))
}

pub(super) fn is_member(pending: &Pending, container: &Container) -> bool {
    pending
        .members
        .iter()
        .any(|member| member.id == container.id)
}

/// The containers of the upgrade that do not run now and have run since the last look, or were not
/// there then.
pub(super) fn ended_since<'a>(
    subject: Subject<'a>,
    pending: &'a Pending,
) -> impl Iterator<Item = &'a Container> {
    containers_of(subject, &pending.image).filter(move |c| {
        !c.is_running() && c.state != ContainerState::Created && is_news(subject, pending, c)
    })
}

/// Whether a container that does not run is another incarnation than the one that was known to have
/// ended.
fn is_news(subject: Subject<'_>, pending: &Pending, container: &Container) -> bool {
    let Some(known) = pending.ended.get(&container.id) else {
        return true;
    };
    let details = serving::details(subject, container);
    !known.is_empty() && details.is_some_and(|details| details.started_at != *known)
}

/// The ended containers of the upgrade that must be inspected: those that are new, and local ones,
/// which their service starts again and again.
pub(in crate::planner) fn ended_to_inspect<'a>(
    subject: Subject<'a>,
    pending: &'a Pending,
) -> impl Iterator<Item = &'a Container> {
    let is_new = |c: &Container| !pending.ended.contains_key(&c.id);
    containers_of(subject, &pending.image)
        .filter(move |c| c.state.has_ended() && (is_new(c) || subject.own.is_local(c)))
}

/// The containers of an image that have ended, with their incarnations as far as they are known.
pub(super) fn ended_containers(
    subject: Subject<'_>,
    image: &ImageId,
    known: &BTreeMap<ContainerId, String>,
) -> BTreeMap<ContainerId, String> {
    let incarnation = |c: &Container| {
        let inspected = serving::details(subject, c).map(|details| &details.started_at);
        inspected.or_else(|| known.get(&c.id)).cloned()
    };
    let ended = containers_of(subject, image).filter(|c| c.state.has_ended());
    ended
        .map(|c| (c.id.clone(), incarnation(c).unwrap_or_default()))
        .gather()
}

/// A container that ended by itself before any pass saw its image run. A crash loop whose attempts
/// take less than a second looks like that, and so does an upgrade that the orchestrator takes back
/// within the minute.
pub(super) struct Crash<'a> {
    pub(super) image: &'a ImageId,
    pub(super) container: &'a Container,
    pub(super) end: End,
}

/// The crash that the observation shows, if there is one.
pub(super) fn crash<'a>(
    subject: Subject<'a>,
    known: &WorkloadState,
    serving: &Serving<'a>,
) -> Option<Crash<'a>> {
    let container = possible_crash(subject, known, serving)?;
    Some(Crash {
        image: container.image.as_ref()?,
        end: own_end(subject, container)?,
        container,
    })
}

/// Of what does not serve and could become latest, the newest container that is the last attempt of
/// its image and has ended by itself, as far as the list says. The head fails no upgrade.
pub(in crate::planner) fn possible_crash<'a>(
    subject: Subject<'a>,
    known: &WorkloadState,
    serving: &Serving<'a>,
) -> Option<&'a Container> {
    let memory = &known.memory;
    let serving_image = serving.group().map(|group| group.image);
    let could_become_latest = |image: &ImageId| {
        Some(image) != serving_image
            && is_upgradable(subject, known, image)
            && !subject.is_head(memory, image)
    };
    let is_last_attempt = |container: &Container, image: &'a ImageId| {
        containers_of(subject, image)
            .all(|c| !c.is_running() && serving::by_age(container, c) != Ordering::Greater)
    };
    let ended = serving::could_serve(subject).filter(|c| c.state.has_ended() && !was_stopped(c));
    let crashed = ended.filter(|c| {
        c.image.as_ref().is_some_and(|image| {
            could_become_latest(image)
                && !has_had_its_turn(subject, known, c, image)
                && is_last_attempt(c, image)
        }) && !serving::is_dry_run(subject, memory, c)
            && !serving::idles_beside_local(subject, memory, c)
    });
    serving::newest(crashed)
}

/// Whether nothing new is to be told of a container that ended: its image has failed since the last
/// promotion, or it is spent, or its image was proven before. Of the last two a loop tells
/// something new, unless a local container loops with what was proven before: that one is stale.
fn has_had_its_turn(
    subject: Subject<'_>,
    known: &WorkloadState,
    container: &Container,
    image: &ImageId,
) -> bool {
    let memory = &known.memory;
    let has_failed = known.failed_since_promotion().any(|f| f.image == *image);
    let is_spent = memory.spent.contains(&container.id);
    let was_proven = memory.retired.contains(image) || memory.proven(image).is_some();
    let loops_deployed = loops(container) && !subject.own.is_local(container);
    has_failed || (is_spent && !loops(container)) || (was_proven && !loops_deployed)
}

/// Whether a container was told to stop, as far as the list says.
fn was_stopped(container: &Container) -> bool {
    container.state == ContainerState::Exited
        && container
            .exit_code
            .is_some_and(|code| STOP_CODES.contains(&code))
}

/// Whether a container waits for its restart policy to start it again.
pub(in crate::planner) fn loops(container: &Container) -> bool {
    container.state == ContainerState::Restarting
}

/// How a container ended by itself: with an exit code that is not a stop, or in the loop of its
/// restart policy.
pub(super) fn own_end(subject: Subject<'_>, container: &Container) -> Option<End> {
    let details = serving::details(subject, container)?;
    let failed = details
        .exit_code
        .is_some_and(|code| !STOP_CODES.contains(&code));
    (container.state.has_ended() && (loops(container) || failed)).then(|| End {
        exit_code: details.exit_code,
        ran_secs: details.ran_secs.unwrap_or_default(),
    })
}

/// Whether a container was stopped, removed or is about to be: that breaks no run.
pub(super) fn is_plain_stop(subject: Subject<'_>, container: &Container) -> bool {
    let leaves = matches!(
        container.state,
        ContainerState::Removing | ContainerState::Dead | ContainerState::Stopping
    );
    let stopped =
        container.state == ContainerState::Exited && serving::details(subject, container).is_some();
    leaves || stopped
}
