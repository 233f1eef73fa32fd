//! What must come of all that the planner does: the outcomes (a) to (f) of design 9, judged by what
//! happened on the model host ([`crate::witness`]) and by nothing that the planner says or knows.

use tagkeeper_core::model::{
    Action, ActionKind, Image, ImageId, LATEST, TagPurpose, Workload, WorkloadName,
};

use crate::host::{DAY_MINUTES, Host, MINUTE_MS, short_name, telemetry};
use crate::witness::{Certainty, Life, is_own};

/// The names that a workload has for an image.
fn own_tags<'a>(workload: &'a Workload, image: &'a Image) -> impl Iterator<Item = String> + 'a {
    let tags = image.tags().filter(|tag| is_own(workload, tag));
    let others = tags.filter(|tag| tag.tag() != Some(LATEST));
    others.map(short_name)
}

impl Host {
    /// Judges an action that is about to be carried out.
    pub(crate) fn judge(&self, name: &WorkloadName, action: &Action) {
        let Some(workload) = self.policy.workloads.get(name) else {
            return; // Its pins go with it.
        };
        match &action.kind {
            ActionKind::Tag { image, purpose, .. } => {
                self.judge_latest(workload, image, *purpose);
                if *name == telemetry() {
                    self.judge_name(workload, action);
                }
            }
            ActionKind::RemoveImage {
                reference, image, ..
            } if *name == telemetry() => {
                let found = self.images().iter().find(|found| found.id == *image);
                let Some(found) = found else {
                    return; // Somebody else has removed it.
                };
                let mut left = found.clone();
                left.references.retain(|r| Some(r) != reference.as_ref());
                self.judge_removal(workload, found, &left);
            }
            _ => {}
        }
    }

    /// (a) Whenever `latest` is promoted, a container of that image has done its work without a
    /// break for the soak, and does it now. Whenever it is restored, the image was latest before.
    /// Given once more to the image that has it, it goes nowhere.
    fn judge_latest(&self, workload: &Workload, image: &ImageId, purpose: TagPurpose) {
        let latest = workload.repository.latest();
        let has_it = |listed: &Image| listed.id == *image && listed.references.contains(&latest);
        if self.images().iter().any(has_it) {
            return;
        }
        let proved_itself = || {
            self.containers().iter().any(|container| {
                let up = self.witness.up.get(&container.id);
                let details = self.details().get(&container.id);
                container.uses(image)
                    && !container.one_off
                    && details.is_some_and(|details| !details.interactive)
                    && up.is_some_and(|up| up.since_ms + workload.soak_ms <= self.witness.lived_ms)
            })
        };
        match purpose {
            TagPurpose::Promote => assert!(
                proved_itself(),
                "(a) {image} becomes latest, and no container of it ran for the soak: {:?} at {}",
                self.witness.up,
                self.witness.lived_ms
            ),
            TagPurpose::Restore => assert!(
                self.witness.was_latest.contains(image),
                "(a) {image} is restored, and was never latest"
            ),
            TagPurpose::KeepName | TagPurpose::Adopt => {}
        }
    }

    /// (c) A name other than `latest` changes its meaning only if a promotion that came after its
    /// image's arrival made that image obsolete, and nothing uses it.
    fn judge_name(&self, workload: &Workload, action: &Action) {
        let ActionKind::Tag {
            image, reference, ..
        } = &action.kind
        else {
            return;
        };
        let mut images = self.images().iter();
        let before = images.find(|i| i.id != *image && i.references.contains(reference));
        let Some(before) = before.filter(|_| *reference != workload.repository.latest()) else {
            return;
        };
        let said = format!("{} moves away from {}", short_name(reference), before.id);
        let is_used = self.containers().iter().any(|c| c.uses(&before.id));
        assert!(!is_used, "(c) {said}, which a container uses");
        let life = &self.witness.lives[&before.id];
        assert!(
            self.is_obsolete(workload, life) || self.was_proven(&before.id),
            "(c) {said}, and no promotion made that obsolete"
        );
    }

    /// Whether a promotion that replaced something came when the image had been there for a soak.
    fn is_obsolete(&self, workload: &Workload, life: &Life) -> bool {
        let soak_ms = workload.soak_ms;
        let replaced_ms = self.witness.replaced_ms;
        replaced_ms.is_some_and(|replaced_ms| life.arrived_ms + soak_ms <= replaced_ms)
    }

    fn was_proven(&self, id: &ImageId) -> bool {
        self.witness.was_proven.contains(id)
    }

    /// The workload is about to take a name from an image, or a nameless image from the disk.
    fn judge_removal(&self, workload: &Workload, image: &Image, left: &Image) {
        let is_gone = !left.references.iter().any(|r| is_own(workload, r));
        let life = &self.witness.lives[&image.id];
        if is_gone && !self.was_proven(&image.id) {
            self.judge_grace(workload, image, life);
            self.judge_inherited(workload, image, life);
        }
        let loses_last_tag =
            own_tags(workload, left).next().is_none() && own_tags(workload, image).next().is_some();
        if is_gone || loses_last_tag {
            self.judge_proven(workload, image);
        }
    }

    /// (b) An image that has not been idle for the grace period, and was never proven, is removed
    /// only if a promotion came after its arrival, or the disk is full and an earlier pass has seen
    /// it idle.
    fn judge_grace(&self, workload: &Workload, image: &Image, life: &Life) {
        let is_aged = life
            .idle_since_ms
            .is_some_and(|since_ms| since_ms + workload.grace_ms <= self.witness.lived_ms);
        let is_of_earlier_pass = |ms: u64| ms < self.witness.pass_began_ms;
        let is_evicted = self.witness.is_pressed
            && life.idle_since_ms.is_some_and(is_of_earlier_pass)
            && life.met_ms.is_some_and(is_of_earlier_pass);
        assert!(
            is_aged || is_evicted || self.is_obsolete(workload, life),
            "(b) {} is removed: {life:?} at {}",
            image.id,
            self.witness.lived_ms
        );
    }

    /// (e) What was here before anything was proven, and never ran, is not removed before the first
    /// promotion that replaces something. Nothing is proven before the first soak is over.
    fn judge_inherited(&self, workload: &Workload, image: &Image, life: &Life) {
        let (Some(first_pass_ms), Some(seen_ms)) = (self.witness.first_pass_ms, life.seen_ms)
        else {
            return;
        };
        let is_inherited = seen_ms < first_pass_ms + workload.soak_ms && !life.has_run;
        let has_replaced = self.witness.replaced_ms.is_some();
        assert!(
            !is_inherited || has_replaced,
            "(e) {} is removed, and nothing has been replaced: {life:?} at {}",
            image.id,
            self.witness.lived_ms
        );
    }

    /// (f) The last proven image and its fallbacks stay, each with a name besides `latest`.
    fn judge_proven(&self, workload: &Workload, image: &Image) {
        assert!(
            !self.is_owed(workload, &image.id),
            "(f) {} is proven, and loses its name: {:?}",
            image.id,
            self.witness.proven
        );
    }

    /// Whether an image is among the proven ones that the policy wants.
    fn is_owed(&self, workload: &Workload, id: &ImageId) -> bool {
        let is_on_disk = |id: &ImageId| self.images().iter().any(|image| image.id == *id);
        let proven = self.witness.proven.iter().filter(|p| is_on_disk(&p.image));
        let mut wanted = proven.take(1 + workload.fallbacks);
        wanted.any(|proof| proof.image == *id && proof.certainty == Certainty::Certain)
    }

    /// (f) After a whole pass that nothing hindered, every image that is owed a name has one.
    pub(crate) fn judge_names_at_rest(&self) {
        let Some(workload) = self.policy.workloads.get(&telemetry()) else {
            return;
        };
        let is_hindered = workload.hold
            || !self.policy.holds.is_empty()
            || self.refuses_tags
            || !self.dropped.is_empty()
            || self.is_disturbed
            || self.policy.workloads.len() > 1;
        if is_hindered {
            return;
        }
        for image in self.images() {
            assert!(
                !self.is_owed(workload, &image.id) || own_tags(workload, image).next().is_some(),
                "(f) {} is proven, and has no name but latest: {:?}",
                image.id,
                image.references
            );
        }
    }

    /// (f) Whether the workload has a `latest`. Nothing that the planner does takes it away.
    pub(crate) fn has_latest(&self, workload: &WorkloadName) -> bool {
        self.latest_image(workload).is_some()
    }

    /// (d) After the grace period and a quiet day, what was tried and does not run is gone, but for
    /// `latest`, the fallbacks, and one.
    pub(crate) fn judge_after_a_quiet_day(&mut self) {
        for workload in self.policy.workloads.values_mut() {
            workload.hold = false;
        }
        self.policy.holds.clear();
        self.refuses.clear();
        self.refuses_tags = false;
        self.look_ms = 0;
        self.comes_between = None;
        // What is kept of a workload that left the policy has a day.
        let graces_ms = self.policy.workloads.values().map(|w| w.grace_ms);
        let grace_minutes = DAY_MINUTES.max(graces_ms.max().unwrap_or_default() / MINUTE_MS) + 1;
        for minutes in [1, grace_minutes, DAY_MINUTES, 1] {
            self.pass();
            self.later(minutes);
        }
        let Some(workload) = self.policy.workloads.get(&telemetry()).cloned() else {
            return;
        };
        let is_left = |image: &&Image| {
            let is_used = self
                .containers()
                .iter()
                .any(|c| c.uses(&image.id) && c.pin.is_none());
            let was_tried = self.witness.lives[&image.id].was_tried;
            was_tried && !is_used && image.references.iter().any(|r| is_own(&workload, r))
        };
        let left: Vec<_> = self
            .images()
            .iter()
            .filter(is_left)
            .map(|i| &i.id)
            .collect();
        let wanted = 1 + workload.fallbacks + 1;
        assert!(
            left.len() <= wanted,
            "(d) {} images are left: {left:?}",
            left.len()
        );
    }
}
