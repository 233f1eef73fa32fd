//! Stage 2, serving (design 4.3): which containers do the workload's work right now, as far as that
//! can be told.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::subject::Subject;
use super::version;
use crate::model::{Container, ContainerState, Details, ImageId, Memory, Readiness};

/// What serves.
#[derive(Clone, Debug)]
pub(super) enum Serving<'a> {
    /// Local containers: what runs beside them is a dry run.
    Local(Group<'a>),
    /// Orchestrated containers.
    Orchestrated(Group<'a>),
    /// Nothing, or it cannot be told what.
    None(WhyNone<'a>),
}

/// The containers that serve: all of one image, the newest first.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    pub(super) image: &'a ImageId,
    pub(super) members: Vec<&'a Container>,
}

/// Why nothing is taken to serve.
#[derive(Clone, Copy, Debug)]
pub(super) enum WhyNone<'a> {
    NothingRuns,
    OnlyDryRuns(&'a Container),
    SeveralImages(&'a Container, &'a Container),
    LocalsDiffer(&'a Container, &'a Container),
    ForeignLocal(&'a Container),
    Nameless(&'a Container),
}

impl<'a> Serving<'a> {
    pub(super) fn group(&self) -> Option<&Group<'a>> {
        match self {
            Self::Local(group) | Self::Orchestrated(group) => Some(group),
            Self::None(_) => None,
        }
    }

    pub(super) fn is_orchestrated(&self) -> bool {
        matches!(self, Self::Orchestrated(_))
    }
}

impl<'a> Group<'a> {
    fn of(mut members: Vec<&'a Container>) -> Option<Self> {
        // The engine's list has no order to rely on.
        members.sort_by(|a, b| by_age(a, b));
        let image = members.first()?.image.as_ref()?;
        Some(Self { image, members })
    }

    /// The member that speaks for the group: the newest.
    pub(super) fn newest(&self) -> Option<&'a Container> {
        self.members.first().copied()
    }
}

/// The newest first.
pub(super) fn by_age(a: &Container, b: &Container) -> Ordering {
    b.created_secs
        .cmp(&a.created_secs)
        .then_with(|| a.id.cmp(&b.id))
}

/// The newest of some containers.
pub(super) fn newest<'a>(containers: impl Iterator<Item = &'a Container>) -> Option<&'a Container> {
    containers.min_by(|a, b| by_age(a, b))
}

/// Tells what serves, by the three rules of design 4.3.
pub(super) fn of<'a>(subject: Subject<'a>, memory: &Memory) -> Serving<'a> {
    let own = subject.own;
    if let Some(container) = own.nameless {
        return Serving::None(WhyNone::Nameless(container));
    }
    if let Some(foreign) = own.foreign.iter().find(|c| c.is_running()) {
        return Serving::None(WhyNone::ForeignLocal(foreign));
    }
    let locals: Vec<_> = own
        .locals
        .iter()
        .copied()
        .filter(|c| c.is_running())
        .collect();
    if let Some((one, other)) = differing(&locals) {
        return Serving::None(WhyNone::LocalsDiffer(one, other));
    }
    if let Some(group) = Group::of(locals) {
        return Serving::Local(group);
    }
    let awake = awake(subject, memory);
    if let Some((one, other)) = differing(&awake) {
        return Serving::None(WhyNone::SeveralImages(one, other));
    }
    if let Some(group) = Group::of(awake) {
        return Serving::Orchestrated(group);
    }
    // A `ready` command can tell what one of an unknown version does.
    let is_known = |c: &&Container| {
        let image = c.image.as_ref();
        !image.is_some_and(|image| version::is_unknown(subject, memory, image))
    };
    let idle = services(subject).filter(|c| c.is_running());
    let idle = idle.min_by_key(is_known);
    Serving::None(idle.map_or(WhyNone::NothingRuns, WhyNone::OnlyDryRuns))
}

/// Two containers that run different images, if there are such.
fn differing<'a>(containers: &[&'a Container]) -> Option<(&'a Container, &'a Container)> {
    let first = containers.first()?;
    let other = containers.iter().find(|c| c.image != first.image)?;
    Some((first, other))
}

/// The containers that could do the workload's work, in any state: local ones, and orchestrated
/// services.
pub(super) fn could_serve(subject: Subject<'_>) -> impl Iterator<Item = &Container> {
    let locals = subject.own.locals.iter().copied();
    locals.chain(services(subject))
}

/// The orchestrated containers that run as a service: no one-off container, and none that keeps
/// standard input open, as far as it was inspected.
pub(super) fn services(subject: Subject<'_>) -> impl Iterator<Item = &Container> {
    let orchestrated = subject.own.orchestrated.iter().copied();
    orchestrated.filter(move |c| {
        !c.one_off && !details(subject, c).is_some_and(|details| details.interactive)
    })
}

/// The orchestrated containers that run and are no dry runs.
pub(super) fn awake<'a>(subject: Subject<'a>, memory: &Memory) -> Vec<&'a Container> {
    let running = services(subject).filter(|c| c.is_running());
    running
        .filter(|c| !is_dry_run(subject, memory, c))
        .collect()
}

/// Whether an orchestrated container idles because the local one does the work: (a) a pass saw it
/// run beside that one; (b) without a `ready` command, a local container of its version exists that
/// has run.
pub(super) fn is_dry_run(subject: Subject<'_>, memory: &Memory, container: &Container) -> bool {
    let policy = subject.policy;
    if !policy.dry_runs || subject.own.is_local(container) {
        return false;
    }
    if memory.dry_runs.contains(&container.id) {
        let says_ready = || {
            let image = container.image.as_ref();
            matches!(subject.readiness(), Some(Readiness::Ready))
                && image.is_some_and(|image| version::is_unknown(subject, memory, image))
        };
        return !says_ready();
    }
    policy.ready.is_none()
        && subject.own.locals.iter().any(|local| {
            local.state != ContainerState::Created
                && version::is_same(subject, memory, local, container)
        })
}

/// The orchestrated containers that run beside a running local one and are of its version, or of an
/// unknown one: dry runs for as long as they exist.
pub(super) fn running_dry<'a>(subject: Subject<'a>, memory: &Memory) -> Vec<&'a Container> {
    services(subject)
        .filter(|c| c.is_running() && idles_beside_local(subject, memory, c))
        .collect()
}

/// Whether a container is orchestrated, and a local one runs that has its version, or may have it.
pub(super) fn idles_beside_local(
    subject: Subject<'_>,
    memory: &Memory,
    container: &Container,
) -> bool {
    let Some(image) = &container.image else {
        return false;
    };
    let mut locals = subject.own.locals.iter().filter(|c| c.is_running());
    subject.policy.dry_runs
        && !subject.own.is_local(container)
        && locals.any(|local| {
            version::is_same(subject, memory, local, container)
                || version::is_unknown(subject, memory, image)
        })
}

/// What an inspect said of a container, if it was asked.
pub(super) fn details<'a>(subject: Subject<'a>, container: &Container) -> Option<&'a Details> {
    subject.observed().details.get(&container.id)
}
