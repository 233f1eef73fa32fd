//! What was seen is written down: arrivals, holds, sightings, dry runs, what was rolled out, and the lineage's cut.

use std::collections::BTreeSet;

use crate::image::{ImageId, Reference, Version};
use crate::state::{Proven, Sighting};
use crate::world::{Container, ContainerId, Image};

use super::case::Case;
use super::scene::Member;
use super::serving;

impl Case<'_> {
    /// Brings the memory up to the world, before anything is decided from it.
    pub(crate) fn remember(&mut self) {
        let strange_disk = self.is_disk_strange();
        self.note_hold();
        self.note_images(strange_disk);
        self.note_rolled_out();
        if !self.workload.hold {
            self.cut_lineage(None);
        }
    }

    /// Time on hold does not count as idle (design 4.5): when the hold ends, idle times move by what it lasted.
    fn note_hold(&mut self) {
        match (self.workload.hold, self.state.held_since_ms) {
            (true, None) => self.state.held_since_ms = Some(self.now.ms()),
            (false, Some(since_ms)) => {
                for sighting in self.state.images.values_mut() {
                    if let Some(idle_since_ms) = &mut sighting.idle_since_ms {
                        let held_ms = self.now.ms().saturating_sub(since_ms.max(*idle_since_ms));
                        *idle_since_ms = idle_since_ms.saturating_add(held_ms);
                    }
                }
                self.state.held_since_ms = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// First sights, and marks of what was inherited.
    fn note_images(&mut self, strange_disk: bool) {
        let newly_in = self.state.came_in.is_none();
        if newly_in {
            self.state.came_in = Some(self.now.moment());
        }
        let own = self.workload.repositories();
        let is_new: Vec<bool> = own
            .map(|repository| !self.state.repositories.contains(repository))
            .collect();
        let arrived_with_repository = |member: &Member<'_>| {
            newly_in || {
                let mut names = self.cast.names(member).iter();
                names.any(|name| is_new.get(name.repository) == Some(&true))
            }
        };
        let mut is_known = vec![false; self.scene.world.images.len()];
        for place in self
            .state
            .images
            .keys()
            .filter_map(|id| self.scene.place(id))
        {
            is_known[place] = true;
        }
        let mut arrived = Vec::new();
        let seen = self
            .cast
            .images
            .iter()
            .filter(|member| self.cast.is_seen(member));
        for member in seen {
            let inherited = arrived_with_repository(member);
            if is_known[member.place] {
                if inherited && let Some(sighting) = self.state.images.get_mut(&member.image.id) {
                    sighting.inherited = true;
                }
                continue;
            }
            let sighting = Sighting {
                first_seen_ms: self.now.ms(),
                idle_since_ms: None,
                inherited: inherited || strange_disk,
                times_pending: 0,
            };
            self.state.images.insert(member.image.id.clone(), sighting);
            arrived.push(&member.image.id);
        }
        self.note_arrivals(&arrived);
        self.state.repositories = self.workload.repositories().cloned().collect();
    }

    /// Orchestrated containers that idle beside the local one, by the versions as they are written down by now.
    pub(crate) fn note_dry_runs(&mut self) {
        for container in serving::running_dry(self.workload, &self.state, self.scene, self.cast) {
            self.state.dry_runs.insert(container.id.clone());
        }
    }

    /// Marks what the orchestrator is known to hold. Never unset (design 4.4).
    fn note_rolled_out(&mut self) {
        let mut lineage = std::mem::take(&mut self.state.lineage);
        for proven in &mut lineage {
            proven.rolled_out |= self.is_held_by_remote(proven);
        }
        self.state.lineage = lineage;
        if let Some(mut pending) = self.state.pending.take() {
            if let Some(stand_in) = &mut pending.stand_in {
                stand_in.rolled_out |= self.is_held_by_remote(stand_in);
            }
            self.state.pending = Some(pending);
        }
    }

    fn is_held_by_remote(&self, proven: &Proven) -> bool {
        !proven.rolled_out
            && self
                .scene
                .image(&proven.image)
                .is_some_and(|image| self.is_rolled_out(image))
    }

    /// Whether a remote tag or digest of the image, or a remote tag equal to one of its tags, is on the disk. `latest`
    /// is no version (design 4.2) and says nothing about one.
    pub(crate) fn is_rolled_out(&self, image: &Image) -> bool {
        let is_remote = |name: &Reference| self.workload.remotes.contains(name.repository());
        let versions = || image.tags().filter_map(Reference::version_tag).collect();
        image.references.iter().any(is_remote) || {
            let versions: BTreeSet<&str> = versions();
            self.cast.remote_tags().any(|tag| versions.contains(tag))
        }
    }

    /// Cuts the lineage to what the policy keeps; a policy edit takes effect at once. What is cut is retired, by the promotion
    /// of a version if it was one.
    pub(crate) fn cut_lineage(&mut self, by: Option<&Version>) {
        let cut: Vec<_> = self
            .lineage_on_disk()
            .skip(1 + self.workload.fallbacks)
            .map(|p| p.image.clone())
            .collect();
        self.state
            .lineage
            .retain(|proven| !cut.contains(&proven.image));
        self.note_retired(&cut, by);
        self.state.retired.extend(cut);
    }

    /// An image that has left the disk, or bears only names that are not the workload's, is forgotten: when it comes back
    /// it is a new image (design 4.5). Last, because a failure still asks how often its image was seen.
    pub(crate) fn forget(&mut self) {
        if self.is_disk_strange() {
            return;
        }
        let scene = self.scene;
        let mut present = vec![false; scene.world.images.len()];
        for member in self
            .cast
            .images
            .iter()
            .filter(|member| self.cast.is_seen(member))
        {
            present[member.place] = true;
        }
        let is_present = |id: &ImageId| scene.place(id).is_some_and(|place| present[place]);
        if !self.state.images.keys().all(is_present) {
            let images = self.state.images.iter();
            let gone = images.filter(|(id, _)| !is_present(id));
            let gone: Vec<_> = gone
                .map(|(id, sighting)| (id.clone(), sighting.idle_since_ms))
                .collect();
            self.state.images.retain(|id, _| is_present(id));
            self.note_departures(&gone);
        }
        self.state.retired.retain(is_present);
        if !self.state.dry_runs.is_empty() {
            let containers = self.scene.world.containers.iter().map(|c| &c.id);
            let present: BTreeSet<&ContainerId> = containers.collect();
            self.state.dry_runs.retain(|id| present.contains(id));
        }
    }

    /// Since when each image is idle, for the grace period: a container that goes in this round does not count.
    pub(crate) fn settle_idleness(&mut self) {
        let changed: Vec<(ImageId, Option<u64>)> = self
            .state
            .images
            .iter()
            .filter_map(|(id, sighting)| {
                let place = self.scene.place(id)?;
                let idle_since_ms = if self.is_in_use(place) {
                    None
                } else {
                    sighting.idle_since_ms.or(Some(self.now.ms()))
                };
                (idle_since_ms != sighting.idle_since_ms).then(|| (id.clone(), idle_since_ms))
            })
            .collect();
        for (id, idle_since_ms) in changed {
            if let Some(sighting) = self.state.images.get_mut(&id) {
                sighting.idle_since_ms = idle_since_ms;
            }
        }
    }

    /// Whether any container, in any state, uses the image at a place; a stale local container that goes in this round
    /// aside.
    pub(crate) fn is_in_use(&self, place: usize) -> bool {
        let leaves = |c: &Container| self.stale_local.is_some_and(|stale| stale.id == c.id);
        self.scene.users(place).any(|c| !leaves(c))
    }
}
