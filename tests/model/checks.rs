//! Safety: what must hold at every change of the engine, whatever happened before. Each check is one sentence of the
//! design, held against the host and against the model's own truth. Here: tags.

use tagkeeper::image::{ImageId, Reference};
use tagkeeper::policy::Workload;
use tagkeeper::state::Proven;

use super::Model;
use super::names::WORKLOADS;

impl Model {
    /// The first thing that went against the design is what counts.
    pub(crate) fn violated(&mut self, what: impl Into<String>) {
        let what = what.into();
        if self.traced {
            self.trace(format!("    VIOLATION {what}"));
        }
        if self.traced && self.violation.is_none() {
            self.trace(format!("    uptime {} ms", self.host.uptime_ms));
            for image in self.host.disk.images.clone() {
                let names: Vec<_> = image.references.iter().map(ToString::to_string).collect();
                self.trace(format!(
                    "    image {} {}",
                    image.id.short(),
                    names.join(" ")
                ));
            }
            for held in self.host.disk.containers.clone() {
                let (listed, state) = (&held.listed, held.listed.state.as_str());
                let from = listed
                    .reference
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                let health = held.health;
                self.trace(format!(
                    "    container {} {state} {} {from} {health:?}",
                    listed.name(),
                    listed.image_id().short()
                ));
            }
            self.trace(format!("    dry {:?}", self.truth.dry));
            let saved = self
                .saved
                .as_ref()
                .and_then(|state| serde_json::to_string(&state.workloads).ok());
            self.trace(format!(
                "    saved {}",
                saved.unwrap_or_default().replace(&"0".repeat(52), "")
            ));
        }
        self.violation.get_or_insert(what);
    }

    pub(crate) fn require(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violated(what());
        }
    }

    /// The lineage as far as it is on the disk, by what was saved.
    pub(crate) fn lineage(&self, workload: usize) -> Vec<&Proven> {
        let lineage = self
            .known(workload)
            .into_iter()
            .flat_map(|known| &known.lineage);
        lineage
            .filter(|proven| self.host.image(&proven.image).is_some())
            .collect()
    }

    pub(crate) fn latest(&self, workload: usize) -> Option<ImageId> {
        self.host
            .named(&self.names.latest[workload])
            .map(|image| image.id.clone())
    }

    fn is_rejected(&self, workload: usize, id: &ImageId) -> bool {
        self.known(workload)
            .is_some_and(|known| known.rejected.contains_key(id))
    }

    /// The workload whose repository a name is in, by the policy that the pass runs with.
    pub(crate) fn owner_in_policy(&self, name: &Reference) -> Option<(usize, Workload)> {
        let workload = self.names.owner(name.repository())?;
        let entry = self.entry(workload)?;
        entry
            .repositories()
            .any(|repository| repository == name.repository())
            .then(|| (workload, entry.clone()))
    }

    // What is to be kept keeps a name.

    /// Every image of a lineage that has a tag now.
    pub(crate) fn tagged_entries(&self) -> Vec<ImageId> {
        let all = (0..WORKLOADS)
            .filter(|&w| self.entry(w).is_some())
            .flat_map(|w| self.lineage(w));
        all.map(|proven| &proven.image)
            .filter(|id| self.has_tag(id))
            .cloned()
            .collect()
    }

    fn has_tag(&self, id: &ImageId) -> bool {
        self.host
            .image(id)
            .is_some_and(|image| image.tags().next().is_some())
    }

    pub(crate) fn check_entries_keep_a_name(&mut self, tagged: &[ImageId]) {
        if self.names_raced {
            return;
        }
        for id in tagged {
            let kept = self.has_tag(id);
            self.require(kept, || {
                format!("{} is proven and has lost its last tag", id.short())
            });
        }
    }

    // Tags.

    pub(crate) fn check_tag(&mut self, image: &ImageId, name: &Reference) {
        let Some((workload, entry)) = self.owner_in_policy(name) else {
            return self.violated(format!("{name} was tagged and is out of scope"));
        };
        let commits =
            *name == self.names.latest[workload] && self.is_commit(workload, &entry, image);
        if commits {
            self.truth.committed[workload] = Some(image.clone());
        }
        if self.names_raced {
            return;
        }
        let asked = self.rolling_back == Some(workload);
        self.require(!entry.hold || asked, || {
            format!("{name} was tagged on hold")
        });
        let rejected = self.is_rejected(workload, image);
        if *name == self.names.latest[workload] {
            self.require(!rejected, || {
                format!("latest moves to {}, which is rejected", image.short())
            });
            self.check_move_of_latest(workload, image, commits);
            self.moved[workload] = true;
        } else if entry.remotes.contains(name.repository()) {
            self.check_adopt(workload, &entry, image, name);
        } else {
            let free = self.host.named(name).is_none();
            self.require(free, || format!("{name} was taken from another image"));
            let was_latest = self.latest(workload).as_ref() == Some(image);
            // Somebody may have moved latest since the round looked, and the image has lost its name that way too.
            self.require(was_latest || self.interfered, || {
                format!("{name} was given to an image that is not latest")
            });
        }
    }

    /// The commit point of a promotion: the soak is over, and that is saved.
    fn is_commit(&self, workload: usize, entry: &Workload, image: &ImageId) -> bool {
        let pending = self
            .known(workload)
            .and_then(|known| known.pending.as_ref());
        pending.is_some_and(|pending| pending.soaked && pending.image == *image)
            && self
                .truth
                .has_soaked(workload, image, self.host.uptime_ms, entry.soak_ms)
    }

    fn check_move_of_latest(&mut self, workload: usize, image: &ImageId, commits: bool) {
        let before = self.latest(workload);
        if let Some(left) = before.as_ref().and_then(|id| self.host.image(id)) {
            let named = left.tags().count() > 1;
            self.require(named, || "latest took the last tag of an image".to_owned());
        }
        let lost = before
            .as_ref()
            .is_none_or(|id| self.is_rejected(workload, id));
        // The head may have come onto the disk since the round looked.
        let behind = if self.interfered { usize::MAX } else { 1 };
        let is_head = self
            .lineage(workload)
            .iter()
            .take(behind)
            .any(|proven| proven.image == *image);
        let restored = is_head && (lost || self.rolling_back == Some(workload));
        self.require(commits || restored, || {
            format!("latest moves to {}, which has not soaked", image.short())
        });
    }

    fn check_adopt(
        &mut self,
        workload: usize,
        entry: &Workload,
        image: &ImageId,
        name: &Reference,
    ) {
        let tag = name.tag().unwrap_or_default();
        let local = entry.repository.with_tag(tag);
        // As it was saved: the head may have been taken off the disk since the round looked.
        let is_fallback = self.known(workload).is_some_and(|known| {
            let mut fallbacks = known.lineage.iter().skip(1);
            fallbacks.any(|p| p.image == *image && p.version.as_str() == tag)
        });
        // Somebody may have taken the local name since the round looked: what ran here is named all the same.
        let ran_here = is_fallback
            && self
                .host
                .named(&local)
                .is_none_or(|named| named.id == *image);
        self.require(ran_here, || {
            format!(
                "{name} moved to {}, which is no fallback of that name",
                image.short()
            )
        });
        let Some(loser) = self.host.named(name).map(|named| named.id.clone()) else {
            return self.violated(format!("{name} was adopted from nobody"));
        };
        let known = self.known(workload);
        let proven = known.is_some_and(|k| k.lineage.iter().any(|p| p.image == loser));
        let noted = known.is_some_and(|k| k.retired.contains(&loser));
        self.require(!proven, || format!("{name} was taken from a proven image"));
        self.require(noted, || {
            format!(
                "{name} was adopted before its image {} was written down",
                loser.short()
            )
        });
    }
}
