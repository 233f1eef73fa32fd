//! Who serves (design 4.1), and which version an image is (4.2).

use crate::image::{ImageId, Reference, Repository, Version};
use crate::policy::Workload;
use crate::state::WorkloadState;
use crate::world::{Container, ContainerState, Image};

use super::scene::{Cast, Scene};

/// Who does the workload's work right now.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Serves<'a> {
    /// The local container: whatever runs beside it is a dry run.
    Local(&'a Container),
    /// An orchestrated container.
    Orchestrated(&'a Container),
    /// No container of the workload runs.
    NothingRuns,
    /// What runs is a dry run of the version that the local container has.
    OnlyDryRuns(&'a Container),
    /// Orchestrated containers run different images: nobody is taken to serve.
    SeveralImages(&'a Container, &'a Container),
}

impl<'a> Serves<'a> {
    /// The serving container.
    pub(crate) fn container(self) -> Option<&'a Container> {
        match self {
            Self::Local(container) | Self::Orchestrated(container) => Some(container),
            Self::NothingRuns | Self::OnlyDryRuns(_) | Self::SeveralImages(..) => None,
        }
    }
}

/// Decides who serves, by the three rules of design 4.1.
pub(crate) fn who_serves<'a>(
    workload: &Workload,
    state: &WorkloadState,
    scene: &Scene<'a>,
    cast: &Cast<'a>,
) -> Serves<'a> {
    if let Some(local) = cast.local
        && is_running(local)
    {
        return Serves::Local(local);
    }
    let running = || cast.orchestrated.iter().copied().filter(|c| is_running(c));
    let mut awake = running().filter(|c| !is_dry_run(workload, state, scene, cast, c));
    let Some(first) = awake.next() else {
        return running()
            .next()
            .map_or(Serves::NothingRuns, Serves::OnlyDryRuns);
    };
    let mut newest = first;
    for container in awake {
        if container.image != first.image {
            return Serves::SeveralImages(first, container);
        }
        let later = container.created_secs.cmp(&newest.created_secs);
        if later.then_with(|| newest.id.cmp(&container.id)).is_gt() {
            newest = container;
        }
    }
    Serves::Orchestrated(newest)
}

/// The orchestrated containers that run dry beside a running local container of the same version, and that stay dry
/// runs for as long as they exist.
pub(crate) fn running_dry<'a>(
    workload: &Workload,
    state: &WorkloadState,
    scene: &Scene<'a>,
    cast: &Cast<'a>,
) -> Vec<&'a Container> {
    let Some(local) = cast.local.filter(|local| is_running(local)) else {
        return Vec::new();
    };
    let idles =
        |c: &&Container| is_running(c) && is_of_one_version(workload, state, scene, local, c);
    cast.orchestrated.iter().copied().filter(idles).collect()
}

pub(crate) fn is_running(container: &Container) -> bool {
    container.state == ContainerState::Running
}

/// A container that was seen idling beside the local one stays a dry run for as long as it exists; and while the local
/// container exists, stopped, one of the same version is a dry run too: nothing says that it has woken up.
fn is_dry_run(
    workload: &Workload,
    state: &WorkloadState,
    scene: &Scene<'_>,
    cast: &Cast<'_>,
    container: &Container,
) -> bool {
    state.dry_runs.contains(&container.id)
        || cast
            .local
            .is_some_and(|local| is_of_one_version(workload, state, scene, local, container))
}

/// Whether two containers run one version. One image is one version, whichever of its tags each was created from: as
/// soon as it is written down, it is (design 4.2).
fn is_of_one_version(
    workload: &Workload,
    state: &WorkloadState,
    scene: &Scene<'_>,
    a: &Container,
    b: &Container,
) -> bool {
    a.image == b.image
        || container_version(workload, state, scene, a)
            == container_version(workload, state, scene, b)
}

/// The version that a container runs: design 4.2.
pub(crate) fn container_version(
    workload: &Workload,
    state: &WorkloadState,
    scene: &Scene<'_>,
    container: &Container,
) -> Version {
    if let Some(version) = recorded_version(state, &container.image) {
        return version;
    }
    let image = scene.image(&container.image);
    let still_carried = |r: &&Reference| {
        image.is_some_and(|image| image.references.contains(r))
            && workload.repositories().any(|own| own == r.repository())
    };
    let reference = container.reference.as_ref().filter(still_carried);
    if let Some(tag) = reference.and_then(Reference::version_tag) {
        return Version::new(tag);
    }
    match image {
        Some(image) => image_version(workload, state, image),
        None => container.image.short_version(),
    }
}

/// The version of an image: what was written down, else the first of its tags, remotes before local, else its digest.
pub(crate) fn image_version(workload: &Workload, state: &WorkloadState, image: &Image) -> Version {
    if let Some(version) = recorded_version(state, &image.id) {
        return version;
    }
    let tags_in = |is_wanted: &dyn Fn(&Repository) -> bool| {
        image
            .tags()
            .filter(|r| is_wanted(r.repository()))
            .filter_map(Reference::version_tag)
            .min()
    };
    tags_in(&|repository| workload.remotes.contains(repository))
        .or_else(|| tags_in(&|repository| *repository == workload.repository))
        .map_or_else(|| image.id.short_version(), Version::new)
}

/// The version that the lineage (or the pending upgrade, or its stand-in) has written down; it is not guessed again.
fn recorded_version(state: &WorkloadState, id: &ImageId) -> Option<Version> {
    let proven = state
        .lineage
        .iter()
        .find(|p| p.image == *id)
        .map(|p| &p.version);
    let pending = || {
        state
            .pending
            .as_ref()
            .filter(|p| p.image == *id)
            .map(|p| &p.version)
    };
    let stand_in = || {
        state
            .pending
            .as_ref()
            .and_then(|p| p.stand_in.as_ref())
            .filter(|s| s.image == *id)
            .map(|s| &s.version)
    };
    let rejected = || state.rejected.get(id).map(|r| &r.version);
    proven
        .or_else(pending)
        .or_else(stand_in)
        .or_else(rejected)
        .cloned()
}
