//! R2 (design 4.5): the stopped local container that its service would start again in place of the
//! new `latest`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::subject::Subject;
use super::{serving, version};
use crate::Gather;
use crate::model::{
    Container, ContainerId, EventKind, ImageId, Memory, Note, Reference, Stopped, Version,
};

/// The pass that saw a container stopped first must have been so long ago, in milliseconds.
const SECOND_LOOK_MS: u64 = 60 * 1000;

/// A local container that is removed in this round.
#[derive(Clone, Debug)]
pub(super) struct Stale<'a> {
    pub(super) container: &'a Container,
    pub(super) image: &'a ImageId,
    /// Its incarnation, if that was looked at.
    pub(super) started_at: Option<alloc::string::String>,
}

/// What R2 finds.
#[derive(Default)]
pub(super) struct Found<'a> {
    pub(super) stale: Vec<Stale<'a>>,
    /// Those that are looked at a second time.
    pub(super) stopped: BTreeMap<ContainerId, Stopped>,
    pub(super) notes: Vec<Note>,
    running: Vec<(&'a Container, &'a ImageId, Version)>,
}

impl Found<'_> {
    /// What a promotion says of local containers that run on with another image.
    pub(super) fn running_events(&self) -> impl Iterator<Item = EventKind> {
        self.running
            .iter()
            .map(|(container, image, version)| EventKind::LocalRuns {
                container: container.name().into_owned(),
                state: container.state.clone(),
                version: version.clone(),
                image: (*image).clone(),
            })
    }
}

/// The local containers of images other than the proven latest. Nothing is removed in a round that
/// gives names.
pub(super) fn find<'a>(subject: Subject<'a>, memory: &Memory, names_first: bool) -> Found<'a> {
    let mut found = Found::default();
    for (container, image) in outdated(subject, memory) {
        let version = version::of(subject, memory, image, Some(container));
        if !container.state.is_stopped() {
            found.running.push((container, image, version.clone()));
            // What is still being decided is not removed when it stops.
            if is_pending(memory, image) && memory.proven(image).is_none() {
                continue;
            }
            found.notes.push(Note::LocalRuns {
                container: container.name().into_owned(),
                state: container.state.clone(),
                version,
            });
            continue;
        }
        if is_pending(memory, image) {
            continue;
        }
        let is_told = is_told(subject, memory, container);
        let may_go = is_told && is_obsolete(subject, memory, image) || {
            let stopped = stopped(subject, memory, container);
            let seen_twice = stopped.as_ref().is_some_and(|s| was_seen_twice(subject, s));
            found
                .stopped
                .extend(stopped.map(|s| (container.id.clone(), s)));
            seen_twice && serving::details(subject, container).is_some()
        };
        if !may_go {
            found.notes.push(Note::LocalStopped {
                container: container.name().into_owned(),
                version,
            });
        } else if !names_first {
            let details = serving::details(subject, container);
            found.stale.push(Stale {
                container,
                image,
                started_at: details.map(|details| details.started_at.clone()),
            });
        }
    }
    found.stopped.extend(nameless_now(subject, memory));
    found
}

/// Since when this incarnation is known to be stopped: now, if it is another than before. Without
/// an inspect, what was known of it.
fn stopped(subject: Subject<'_>, memory: &Memory, container: &Container) -> Option<Stopped> {
    let known = memory.stopped.get(&container.id);
    let Some(details) = serving::details(subject, container) else {
        return known.cloned();
    };
    let known = known.filter(|known| known.started_at == details.started_at);
    Some(known.cloned().unwrap_or_else(|| Stopped {
        started_at: details.started_at.clone(),
        since_ms: subject.until_ms(),
    }))
}

/// Whether an earlier pass, a minute or more ago, saw it stopped.
fn was_seen_twice(subject: Subject<'_>, stopped: &Stopped) -> bool {
    subject.is_of_earlier_pass(stopped.since_ms)
        && subject.lasted_ms(stopped.since_ms) >= SECOND_LOOK_MS
}

/// What is known of containers that the engine lists without a name at this look: it changes
/// nothing.
fn nameless_now(subject: Subject<'_>, memory: &Memory) -> BTreeMap<ContainerId, Stopped> {
    let is_nameless = |id: &ContainerId| {
        let mut containers = subject.observed().containers.iter();
        containers.any(|c| c.id == *id && c.names.is_empty())
    };
    let known = memory.stopped.iter().filter(|(id, _)| is_nameless(id));
    known
        .map(|(id, known)| (id.clone(), known.clone()))
        .gather()
}

/// The local containers that must be inspected: those that are stopped, because only their
/// incarnation tells whether they were stopped all along, and once those whose name the list hides.
pub(super) fn to_inspect<'a, 'm>(
    subject: Subject<'a>,
    memory: &'m Memory,
) -> impl Iterator<Item = &'a Container> + use<'a, 'm> {
    let is_looked_at = move |(container, image): &(&Container, &ImageId)| {
        container.state.is_stopped()
            && !is_pending(memory, image)
            && !is_obsolete(subject, memory, image)
    };
    let locals = subject.own.locals.iter().copied();
    outdated(subject, memory)
        .filter(is_looked_at)
        .map(|(container, _)| container)
        .chain(locals.filter(move |c| !is_told(subject, memory, c)))
}

/// Whether the image is the pending upgrade's: while that waits for its containers, after a reboot,
/// say, they are not removed.
fn is_pending(memory: &Memory, image: &ImageId) -> bool {
    let pending = memory.pending.as_ref();
    pending.is_some_and(|pending| pending.image == *image)
}

/// The local containers whose image is not the proven latest, or the one that this round records as
/// such, aside from those of a service that does not start `latest` at all.
fn outdated<'a, 'm>(
    subject: Subject<'a>,
    memory: &'m Memory,
) -> impl Iterator<Item = (&'a Container, &'a ImageId)> + use<'a, 'm> {
    let is_committed = |latest: &ImageId| {
        let pending = memory.pending.as_ref();
        pending.is_some_and(|pending| pending.promoting && pending.image == *latest)
    };
    let latest = subject
        .latest()
        .filter(|latest| subject.is_proven(memory, latest) || is_committed(latest));
    let locals = subject.own.locals.iter().copied();
    locals.filter_map(move |container| {
        let (latest, image) = (latest?, container.image.as_ref()?);
        let starts_latest = other_name(subject, memory, container).is_none();
        (image != latest && starts_latest).then_some((container, image))
    })
}

/// Whether a promotion or a person made the image obsolete: then its local container is stale at
/// the first look.
fn is_obsolete(subject: Subject<'_>, memory: &Memory, image: &ImageId) -> bool {
    memory.retired.contains(image)
        || subject.is_rejected(memory, image)
        || memory.proven(image).is_some()
}

/// The name of the local repository, other than `latest`, that a local container was created from:
/// its service starts that name, be it a digest.
pub(super) fn other_name<'r>(
    subject: Subject<'r>,
    memory: &'r Memory,
    container: &'r Container,
) -> Option<&'r Reference> {
    let reference = created_from(subject, memory, container)?;
    let repository = &subject.policy.repository;
    let is_other = reference.repository() == repository && *reference != repository.latest();
    is_other.then_some(reference)
}

/// What a local container was created from.
pub(super) fn created_from<'r>(
    subject: Subject<'r>,
    memory: &'r Memory,
    container: &'r Container,
) -> Option<&'r Reference> {
    let hidden = || hidden_reference(subject, memory, container)?.as_ref();
    container.reference.as_ref().or_else(hidden)
}

/// Whether it is known what a container was created from. The engine's list hides a name that has
/// moved on to another image.
pub(super) fn is_told(subject: Subject<'_>, memory: &Memory, container: &Container) -> bool {
    container.reference.is_some() || hidden_reference(subject, memory, container).is_some()
}

/// What a container was created from whose name the list hides, as it is on record or an inspect
/// has told it.
fn hidden_reference<'r>(
    subject: Subject<'r>,
    memory: &'r Memory,
    container: &Container,
) -> Option<&'r Option<Reference>> {
    let known = memory.created_from.get(&container.id);
    let inspected = || serving::details(subject, container).map(|d| &d.created_from);
    known.or_else(inspected)
}

/// The same of all local containers, to be written down.
pub(super) fn hidden_references(
    subject: Subject<'_>,
    memory: &Memory,
) -> BTreeMap<ContainerId, Option<Reference>> {
    let locals = subject.own.locals.iter();
    let hidden = locals.filter(|c| c.reference.is_none());
    let told = |c: &&Container| {
        let reference = hidden_reference(subject, memory, c)?;
        Some((c.id.clone(), reference.clone()))
    };
    hidden.filter_map(told).gather()
}
