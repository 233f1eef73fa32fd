//! What happened to images is written down for people. Nothing is decided from it, and an idle pass writes nothing.

use crate::image::{ImageId, Version};
use crate::state::{Departure, HISTORY_KEPT, Past, Removed, Replaced, Retired};

use super::case::Case;

impl Case<'_> {
    /// Images that have appeared. Of a crowd the first few: more would not be kept.
    pub(crate) fn note_arrivals(&mut self, arrived: &[&ImageId]) {
        for id in arrived.iter().take(HISTORY_KEPT) {
            let at = self.now.wall.clone();
            self.note(id, |past| {
                past.first_seen_at = Some(at);
                past.retired = None;
                past.removed = None;
            });
        }
    }

    /// An image has become latest and the head of the lineage.
    pub(crate) fn note_promotion(&mut self, promoted: &ImageId) {
        let at = self.now.wall.clone();
        self.note(promoted, |past| {
            past.promoted_at = Some(at);
            past.replaced = None;
            past.retired = None;
        });
    }

    /// `latest` has left an image.
    pub(crate) fn note_replaced(&mut self, image: &ImageId, by: &Version) {
        let replaced = Replaced {
            by: by.clone(),
            at: self.now.wall.clone(),
        };
        self.note(image, |past| past.replaced = Some(replaced));
    }

    /// Images have become obsolete, by the promotion of a version if it was one. Of a crowd the first few, as above.
    pub(crate) fn note_retired(&mut self, images: &[ImageId], by: Option<&Version>) {
        for id in images.iter().take(HISTORY_KEPT) {
            let retired = Retired {
                by: by.cloned(),
                at: self.now.wall.clone(),
            };
            self.note(id, |past| past.retired = Some(retired));
        }
    }

    /// An obsolete image is being soaked again.
    pub(crate) fn note_wanted(&mut self, image: &ImageId) {
        self.note(image, |past| past.retired = None);
    }

    /// Images that are not seen any more, with the times since when they were idle. Those that bear somebody else's names now
    /// have not left the disk.
    pub(crate) fn note_departures(&mut self, gone: &[(ImageId, Option<u64>)]) {
        // What the engine has confirmed, the pass has written down already.
        let is_told = |id: &ImageId| {
            self.state
                .past(id)
                .is_some_and(|past| past.removed.is_some())
        };
        let gone = gone
            .iter()
            .filter(|(id, _)| !self.is_on_disk(id) && !is_told(id));
        let gone: Vec<_> = gone.take(HISTORY_KEPT).cloned().collect();
        for (id, idle_since_ms) in gone {
            let removed = Removed {
                why: self.departure(&id, idle_since_ms),
                at: self.now.wall.clone(),
            };
            self.note(&id, |past| past.removed = Some(removed));
        }
    }

    fn departure(&self, id: &ImageId, idle_since_ms: Option<u64>) -> Departure {
        let idle_ms = idle_since_ms.map_or(0, |since| self.now.ms().saturating_sub(since));
        if self.state.retired.contains(id) {
            Departure::Retired
        } else if idle_ms >= self.workload.grace_ms {
            Departure::Idle
        } else {
            Departure::Unasked
        }
    }

    fn note(&mut self, id: &ImageId, change: impl FnOnce(&mut Past)) {
        let known = self.state.past(id).map(|past| past.version.clone());
        let version = known.unwrap_or_else(|| self.version_known(id));
        self.state.note(id, || version, change);
    }

    /// The version of an image, whether it is on the disk or not.
    fn version_known(&self, id: &ImageId) -> Version {
        if let Some(image) = self.scene.image(id) {
            return self.version_of(image);
        }
        let mut failures = self.state.failures.iter();
        let failed = failures.find(|failure| failure.image == *id);
        failed.map_or_else(|| id.short_version(), |failure| failure.version.clone())
    }
}
