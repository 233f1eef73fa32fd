//! Liveness: after enough quiet passes everything has come to rest, and one more pass does nothing.

use tagkeeper::image::{ImageId, Reference, Version};
use tagkeeper::state::WorkloadState;
use tagkeeper::world::{Health, Image};

use super::Model;
use super::names::WORKLOADS;

impl Model {
    /// What goes wrong no more: the disk is there, nothing is held, whatever runs is well.
    pub(crate) fn calm_down(&mut self) {
        if !self.host.mounted {
            self.host.swap_disk();
            self.truth.upheaval_everywhere(self.host.uptime_ms);
        }
        for entry in &mut self.entries {
            entry.hold = false;
        }
        self.ready = [true; WORKLOADS];
        self.write_policy();
        for held in &mut self.host.disk.containers {
            if held.health.is_some() {
                held.health = Some(Health::Healthy);
            }
        }
    }

    /// How long the quiet must last for every soak, and for every grace period, in milliseconds.
    pub(crate) fn longest(&self) -> (u64, u64) {
        let soak = self
            .entries
            .iter()
            .map(|entry| entry.soak_ms)
            .max()
            .unwrap_or(0);
        let grace = self
            .entries
            .iter()
            .map(|entry| entry.grace_ms)
            .max()
            .unwrap_or(0);
        (soak, grace)
    }

    pub(crate) fn check_rest(&mut self) {
        for workload in 0..WORKLOADS {
            if self.entry(workload).is_none() {
                continue;
            }
            if let Some(what) = self
                .promotion_left(workload)
                .or_else(|| self.leftover(workload))
                .or_else(|| self.pins_left(workload))
            {
                let name = self.names.workloads[workload].clone();
                self.violated(format!("at rest, {name}: {what}"));
            }
        }
    }

    fn promotion_left(&self, workload: usize) -> Option<String> {
        let known = self.known(workload)?;
        let latest = self.latest(workload);
        let lineage = self.lineage(workload);
        let head = lineage.first().map(|head| &head.image);
        // On a disk with nothing on it that is known, nothing is forgotten, an upgrade whose container went along neither.
        let containers = &self.host.disk.containers;
        if let Some(pending) = &known.pending
            && !(self.is_disk_strange(known)
                && containers.iter().all(|c| c.listed.id != pending.id))
        {
            return Some(format!("{} is still pending", pending.version));
        }
        if let Some(serving) = self.serving(workload) {
            let own =
                self.belongs(workload, &serving.image) && self.host.image(&serving.image).is_some();
            let rejected = known.rejected.contains_key(&serving.image);
            let proven = latest.as_ref() == Some(&serving.image) && head == Some(&serving.image);
            if own && !rejected && !proven {
                return Some(format!(
                    "{} serves and is not proven",
                    serving.image.short()
                ));
            }
        }
        let recorded = known.lineage.first().map(|head| &head.image);
        if !self.is_disk_strange(known)
            && self.truth.committed[workload].is_some()
            && self.truth.committed[workload].as_ref() != recorded
        {
            return Some("a promotion was committed and is not recorded".to_owned());
        }
        if latest.is_none() && head.is_some() {
            return Some("latest is missing and the head is there".to_owned());
        }
        let entry = self.entry(workload)?;
        if lineage.len() > 1 + entry.fallbacks {
            return Some("there are too many fallbacks".to_owned());
        }
        let local = self
            .local_container(workload)
            .map(|at| &self.host.disk.containers[at])?;
        let stale = head.is_some()
            && head == latest.as_ref()
            && latest.as_ref() != Some(local.listed.image_id());
        (stale && local.is_stopped()).then(|| "the stale local container is still there".to_owned())
    }

    fn leftover(&self, workload: usize) -> Option<String> {
        let known = self.known(workload)?;
        let entry = self.entry(workload)?;
        if self.is_disk_strange(known) {
            return None;
        }
        let version = self
            .lineage(workload)
            .first()
            .map(|head| head.version.clone());
        let own = |r: &&Reference| entry.repositories().any(|own| own == r.repository());
        for image in &self.host.disk.images {
            let names: Vec<_> = image.references.iter().filter(own).collect();
            let tracked = image.is_nameless() && known.images.contains_key(&image.id);
            if (names.is_empty() && !tracked) || self.has_use(workload, &image.id) {
                continue;
            }
            let twin = |r: &&&Reference| {
                r.version_tag() == version.as_ref().map(Version::as_str) && version.is_some()
            };
            let twins = names.iter().filter(twin).count();
            let tags = names.iter().filter(|r| !r.is_digest()).count();
            if twins < tags || (tags == 0 && twins == 0) {
                return Some(format!("{} is of no use and still there", image.id.short()));
            }
        }
        None
    }

    fn has_use(&self, workload: usize, id: &ImageId) -> bool {
        let in_policy = |w: usize| self.entry(w).and_then(|_| self.known(w));
        let mut all_known = (0..WORKLOADS).filter_map(in_policy);
        let claimed = all_known.any(|known| is_claimed(known, id));
        let nameless = self.host.image(id).is_some_and(Image::is_nameless);
        let knowers = (0..WORKLOADS).filter(|&w| w == workload || nameless);
        let inherited = knowers.filter_map(in_policy).any(|known| {
            let sighting = known.images.get(id);
            sighting.is_some_and(|sighting| sighting.inherited)
        });
        self.latest(workload).as_ref() == Some(id) || claimed || inherited || self.host.is_used(id)
    }
}

/// Whether a state wants an image by its id.
fn is_claimed(known: &WorkloadState, id: &ImageId) -> bool {
    let stand_ins = known.pending.iter().filter_map(|p| p.stand_in.as_ref());
    known
        .lineage
        .iter()
        .chain(stand_ins)
        .map(|proven| &proven.image)
        .chain(known.pending.iter().map(|pending| &pending.image))
        .any(|claimed| claimed == id)
}
