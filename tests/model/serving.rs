//! The model's own word on who belongs and who serves (design 4.1 and 4.2), written from the design.

use tagkeeper::image::{ImageId, Version};
use tagkeeper::policy::Workload;
use tagkeeper::state::WorkloadState;
use tagkeeper::world::Image;

use super::Model;
use super::names::WORKLOADS;
use super::truth::Incarnation;

impl Model {
    /// The policy's entry for a workload, as the running pass knows it.
    pub(crate) fn entry(&self, workload: usize) -> Option<&Workload> {
        self.running.workloads.get(&self.names.workloads[workload])
    }

    /// What the saved state knows of a workload.
    pub(crate) fn known(&self, workload: usize) -> Option<&WorkloadState> {
        self.saved
            .as_ref()?
            .workloads
            .get(&self.names.workloads[workload])
    }

    /// Whether an image belongs to a workload: by a name, because the state knows its id, or because it had a name of the
    /// workload when it was seen, and has none at all now.
    pub(crate) fn belongs(&self, workload: usize, id: &ImageId) -> bool {
        let Some(entry) = self.entry(workload) else {
            return false;
        };
        let by_name = self
            .host
            .image(id)
            .is_some_and(|image| is_named_for(entry, image));
        let nameless = self.host.image(id).is_some_and(Image::is_nameless);
        by_name
            || self.known(workload).is_some_and(|known| {
                is_known(known, id) || (nameless && known.images.contains_key(id))
            })
    }

    /// Whether an image on the disk has a name of the workload, or none at all.
    pub(crate) fn bears_a_name_of(&self, workload: usize, id: &ImageId) -> bool {
        let (Some(entry), Some(image)) = (self.entry(workload), self.host.image(id)) else {
            return false;
        };
        image.is_nameless() || is_named_for(entry, image)
    }

    fn is_local(&self, at: usize) -> Option<usize> {
        let name = self.host.disk.containers[at].listed.name();
        (0..WORKLOADS).find(|&w| self.entry(w).is_some_and(|entry| entry.container == name))
    }

    fn is_orchestrated(&self, workload: usize, at: usize) -> bool {
        let Some(entry) = self.entry(workload) else {
            return false;
        };
        let held = &self.host.disk.containers[at];
        let looked_at = entry
            .orchestrated
            .as_ref()
            .is_none_or(|glob| glob.matches(&held.listed.name()));
        if !looked_at
            || held.pinned_for().is_some()
            || self.is_local(at).is_some()
            || self.host.image(held.listed.image_id()).is_none()
        {
            return false;
        }
        if !self.belongs(workload, held.listed.image_id()) {
            return false;
        }
        let shared =
            (0..WORKLOADS).any(|w| w != workload && self.belongs(w, held.listed.image_id()));
        let named = self.host.shown_reference(held);
        !shared
            || named.is_some_and(|r| {
                entry
                    .repositories()
                    .any(|repository| repository == r.repository())
            })
    }

    /// The running orchestrated containers of a workload.
    pub(crate) fn orchestrated(&self, workload: usize) -> Vec<usize> {
        let all = 0..self.host.disk.containers.len();
        all.filter(|&at| {
            self.host.disk.containers[at].is_running() && self.is_orchestrated(workload, at)
        })
        .collect()
    }

    /// Who serves, in whatever health.
    pub(crate) fn serving(&self, workload: usize) -> Option<Incarnation> {
        self.entry(workload)?;
        let containers = &self.host.disk.containers;
        let local = self.local_container(workload);
        if let Some(at) = local.filter(|&at| containers[at].is_running()) {
            return Some(self.incarnation(at, true));
        }
        let mut awake = self.orchestrated(workload);
        awake.retain(|&at| {
            !self.is_dry(workload, &containers[at].listed.id)
                && !local.is_some_and(|local| self.is_of_one_version(workload, local, at))
        });
        let first = *awake.first()?;
        if awake
            .iter()
            .any(|&at| containers[at].listed.image_id() != containers[first].listed.image_id())
        {
            return None;
        }
        let newest = awake.into_iter().max_by_key(|&at| {
            let listed = &containers[at].listed;
            (listed.created_secs, std::cmp::Reverse(listed.id.clone()))
        })?;
        Some(self.incarnation(newest, false))
    }

    fn incarnation(&self, at: usize, local: bool) -> Incarnation {
        let held = &self.host.disk.containers[at];
        Incarnation {
            image: held.listed.image_id().clone(),
            id: held.listed.id.clone(),
            started_at: held.started_at,
            local,
        }
    }

    /// Whether two containers run one version: one image is one, whichever of its tags each was created from.
    pub(crate) fn is_of_one_version(&self, workload: usize, a: usize, b: usize) -> bool {
        let containers = &self.host.disk.containers;
        containers[a].listed.image_id() == containers[b].listed.image_id()
            || self.version_run(workload, a) == self.version_run(workload, b)
    }

    /// The version that a container runs.
    fn version_run(&self, workload: usize, at: usize) -> Version {
        let held = &self.host.disk.containers[at];
        let id = held.listed.image_id();
        if let Some(recorded) = self
            .known(workload)
            .and_then(|known| recorded_version(known, id))
        {
            return recorded;
        }
        let Some(entry) = self.entry(workload) else {
            return id.short_version();
        };
        let is_own = |r: &&tagkeeper::image::Reference| {
            entry.repositories().any(|own| own == r.repository())
        };
        let created_from = self
            .host
            .shown_reference(held)
            .filter(is_own)
            .and_then(|r| r.version_tag());
        let Some(image) = self.host.image(id) else {
            return id.short_version();
        };
        let first_of = |local: bool| {
            let tags = image
                .references
                .iter()
                .filter(is_own)
                .filter(|r| (*r.repository() == entry.repository) == local);
            tags.filter_map(|r| r.version_tag()).min()
        };
        let tag = created_from
            .or_else(|| first_of(false))
            .or_else(|| first_of(true));
        tag.map_or_else(|| id.short_version(), Version::new)
    }
}

fn is_named_for(entry: &Workload, image: &Image) -> bool {
    let mut names = image.references.iter();
    names.any(|name| entry.repositories().any(|own| own == name.repository()))
}

fn is_known(known: &WorkloadState, id: &ImageId) -> bool {
    recorded_version(known, id).is_some() || known.retired.contains(id)
}

/// The version that is written down for an image.
fn recorded_version(known: &WorkloadState, id: &ImageId) -> Option<Version> {
    let pending = known.pending.iter();
    let stand_in = known.pending.iter().filter_map(|p| p.stand_in.as_ref());
    let mut written = known
        .lineage
        .iter()
        .map(|proven| (&proven.image, &proven.version))
        .chain(pending.map(|p| (&p.image, &p.version)))
        .chain(stand_in.map(|s| (&s.image, &s.version)))
        .chain(
            known
                .rejected
                .iter()
                .map(|(image, rejected)| (image, &rejected.version)),
        );
    written
        .find(|(image, _)| *image == id)
        .map(|(_, version)| version.clone())
}
