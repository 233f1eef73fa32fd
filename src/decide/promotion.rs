//! Promotion (design 4.4): what has soaked becomes latest and the head of the lineage. Nothing else changes either.

use crate::image::{ImageId, LATEST, Version};
use crate::policy::LocalFallback;
use crate::span;
use crate::state::{Pending, Proven};
use crate::world::{ContainerState, Image};

use super::case::Case;
use super::event::EventKind;
use super::plan::{Action, TagPurpose};

impl Case<'_> {
    /// The soak was noted as over and `latest` names the image: the promotion was committed, by the round before or by a
    /// pass that died right after it, and is recorded whether or not the container still serves.
    pub(crate) fn record_committed_promotion(&mut self) {
        if !self.workload.hold
            && self
                .state
                .pending
                .as_ref()
                .is_some_and(|pending| self.is_committed(pending))
            && let Some(pending) = self.state.pending.take()
        {
            self.record_promotion(&pending);
        }
    }

    /// Whether the soak was noted as over and `latest` names the image: what is left is to record the promotion.
    pub(crate) fn is_committed(&self, pending: &Pending) -> bool {
        pending.soaked && self.latest_id() == Some(&pending.image)
    }

    /// The pending upgrade has stayed up for the soak. If `latest` names it already, by hand, that is recorded; else the
    /// soak is noted as over, to be saved before the one engine call that commits the promotion.
    pub(crate) fn promote_if_soaked(&mut self) {
        let Some(mut pending) = self.state.pending.take() else {
            return;
        };
        let soaked =
            pending.soaking_since_ms.is_some() && self.up_ms(&pending) >= self.workload.soak_ms;
        if !soaked || self.workload.hold || self.is_unasked() {
            self.state.pending = Some(pending);
        } else if self.latest_id() == Some(&pending.image) {
            self.record_promotion(&pending);
        } else {
            pending.soaked = true;
            self.latest_move = self.move_latest(&pending.image, TagPurpose::Promote);
            self.state.pending = Some(pending);
        }
    }

    fn record_promotion(&mut self, promoted: &Pending) {
        let old: Vec<Proven> = match self.lineage_on_disk().cloned().collect::<Vec<_>>() {
            lineage if !lineage.is_empty() => lineage,
            _ => self.usable_stand_in(promoted).into_iter().collect(),
        };
        let replaced = old
            .first()
            .filter(|proven| proven.image != promoted.image)
            .cloned();
        let was_head = old
            .first()
            .is_some_and(|proven| proven.image == promoted.image);
        let known = old.iter().find(|proven| proven.image == promoted.image);
        let by_remote = self
            .scene
            .image(&promoted.image)
            .is_some_and(|image| self.is_rolled_out(image));
        let head = Proven {
            version: promoted.version.clone(),
            image: promoted.image.clone(),
            rolled_out: promoted.orchestrated
                || by_remote
                || known.is_some_and(|proven| proven.rolled_out),
            promoted_at: Some(self.now.wall.clone()),
        };
        let behind = old
            .into_iter()
            .filter(|proven| proven.image != promoted.image);
        self.state.lineage = std::iter::once(head).chain(behind).collect();
        self.note_promotion(&promoted.image);
        if let Some(old) = &replaced {
            self.note_replaced(&old.image, &promoted.version);
            self.retire_outsiders(promoted);
            if promoted.orchestrated {
                self.strike_never_rolled_out(&promoted.version);
            }
        }
        self.cut_lineage(Some(&promoted.version));
        let lineage = &self.state.lineage;
        self.state
            .retired
            .retain(|id| lineage.iter().all(|proven| proven.image != *id));
        self.announce(promoted, replaced.as_ref(), was_head);
    }

    fn usable_stand_in(&self, promoted: &Pending) -> Option<Proven> {
        let stand_in = promoted.stand_in.as_ref()?;
        let usable =
            self.is_on_disk(&stand_in.image) && !self.state.rejected.contains_key(&stand_in.image);
        usable.then(|| stand_in.clone())
    }

    /// R3: every image outside the new lineage that was there before this one is retired.
    fn retire_outsiders(&mut self, promoted: &Pending) {
        let promoted_seen_ms = self
            .state
            .images
            .get(&promoted.image)
            .map_or(0, |s| s.first_seen_ms);
        let mut retired = Vec::new();
        for (id, sighting) in self.state.images.iter_mut() {
            let inside = self.state.lineage.iter().any(|proven| proven.image == *id);
            if !inside
                && (sighting.inherited || sighting.first_seen_ms < promoted_seen_ms)
                && self.state.retired.insert(id.clone())
            {
                retired.push(id.clone());
            }
            sighting.inherited = false;
        }
        self.note_retired(&retired, Some(&promoted.version));
    }

    /// R5: what was proven here but never rolled out to this host is no fallback. A workload without remotes has no way
    /// to tell, and strikes nothing.
    fn strike_never_rolled_out(&mut self, by: &Version) {
        if self.workload.local_fallback == LocalFallback::Keep || self.workload.remotes.is_empty() {
            return;
        }
        let (head, behind): (Vec<_>, Vec<_>) = std::mem::take(&mut self.state.lineage)
            .into_iter()
            .enumerate()
            .partition(|(position, proven)| *position == 0 || proven.rolled_out);
        self.state.lineage = head.into_iter().map(|(_, proven)| proven).collect();
        let struck: Vec<ImageId> = behind.into_iter().map(|(_, proven)| proven.image).collect();
        self.note_retired(&struck, Some(by));
        self.state.retired.extend(struck);
    }

    fn announce(&mut self, promoted: &Pending, replaced: Option<&Proven>, was_head: bool) {
        let up = span::compact(self.up_ms(promoted));
        if was_head {
            let message = format!(
                "latest is back on {}, which has soaked for {up}: it had been moved by hand",
                promoted.version
            );
            self.warning(
                EventKind::Restored,
                &promoted.version,
                &promoted.image,
                message,
            );
            return;
        }
        let message = match (replaced, self.fallbacks().next()) {
            (None, _) => format!(
                "{} is proven after {up}: it is latest, and nothing was replaced",
                promoted.version
            ),
            (Some(_), Some(fallback)) => {
                format!(
                    "{} is latest after {up}; {} is the fallback",
                    promoted.version, fallback.version
                )
            }
            (Some(old), None) => format!(
                "{} is latest after {up}, in place of {}; there is no fallback",
                promoted.version, old.version
            ),
        };
        self.count(|tally| &mut tally.promotions);
        self.event(
            EventKind::Promoted,
            &promoted.version,
            &promoted.image,
            message,
        );
        if let Some(event) = self.events.last_mut() {
            event.other = replaced.map(|old| old.version.clone());
        }
    }

    /// `latest` is missing altogether or names a rejected image, and the head is on the disk: somebody's garbage
    /// collector took the name, or a rollback was killed halfway. The head is proven, so it is tagged again at once.
    pub(crate) fn restore_latest(&mut self) {
        let lost = self
            .cast
            .latest
            .is_none_or(|image| self.state.rejected.contains_key(&image.id));
        if self.workload.hold || !lost || !self.latest_move.is_empty() {
            return;
        }
        if let Some(head) = self.head().map(|head| head.image.clone()) {
            self.latest_move = self.move_latest(&head, TagPurpose::Restore);
        }
    }

    /// The actions that move `latest`. An image that would lose its last tag gets a name first: a fallback without a
    /// name is the prey of every garbage collector. The `latest` of another workload is no name to rely on: it may move
    /// in the same round.
    pub(crate) fn move_latest(&self, to: &ImageId, purpose: TagPurpose) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(left) = self.cast.latest
            && left.tags().count() <= self.scene.latest_names(&left.id)
        {
            actions.push(self.keep_name(left));
        }
        actions.push(Action::Tag {
            image: to.clone(),
            reference: self.workload.repository.latest(),
            replaces: self.latest_id().cloned(),
            purpose,
        });
        actions
    }

    fn keep_name(&self, image: &Image) -> Action {
        let free = |version: &Version| {
            version.as_str() != LATEST
                && self
                    .cast
                    .named(&self.workload.repository.with_tag(version.as_str()))
                    .is_none()
        };
        let version = Some(self.version_of(image))
            .filter(free)
            .unwrap_or_else(|| image.id.short_version());
        Action::Tag {
            image: image.id.clone(),
            reference: self.workload.repository.with_tag(version.as_str()),
            replaces: None,
            purpose: TagPurpose::KeepName,
        }
    }

    /// R2: the stale local container, once the head *is* latest; and never one that runs. Nothing of a workload is
    /// removed in the round that moves its `latest`.
    pub(crate) fn find_stale_local(&mut self) {
        let Some(latest) = self.latest_id().filter(|latest| self.is_proven(latest)) else {
            return;
        };
        let Some(local) = self.cast.local.filter(|local| local.image != *latest) else {
            return;
        };
        match local.state {
            ContainerState::Exited | ContainerState::Dead | ContainerState::Created => {
                if !self.workload.hold && self.latest_move.is_empty() {
                    self.stale_local = Some(local);
                }
            }
            state => {
                let promoted_now = self
                    .events
                    .iter()
                    .any(|event| event.kind == EventKind::Promoted);
                let version = self.version_run_by(local);
                let note = format!(
                    "the local container {} is {} with {version}, not latest: it stays until it has stopped",
                    local.name(),
                    state.as_str()
                );
                if promoted_now {
                    self.warning(EventKind::Deferred, &version, &local.image, note.clone());
                }
                self.notes.push(note);
            }
        }
    }
}
