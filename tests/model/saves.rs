//! Safety of what is written down: nothing enters the lineage that has not soaked, nothing is lost, and a promotion is
//! the only thing that makes an image obsolete.

use std::collections::BTreeSet;

use tagkeeper::image::ImageId;
use tagkeeper::policy::{LocalFallback, Workload};
use tagkeeper::state::{Pending, Proven, State, WorkloadState};

use super::Model;
use super::names::WORKLOADS;

/// One workload's part of a save: before and after.
struct Change<'s> {
    workload: usize,
    entry: Workload,
    old: WorkloadState,
    new: &'s WorkloadState,
    /// What became the head by this save, if not by a rollback.
    promoted: Option<ImageId>,
    /// What a rollback recorded as promoted, because that had been committed, and rejected in the same save.
    undone: Option<ImageId>,
}

impl Change<'_> {
    /// The image whose promotion this save records, whether or not it was undone at once.
    fn recorded(&self) -> Option<&ImageId> {
        self.promoted.as_ref().or(self.undone.as_ref())
    }

    fn stand_in(&self) -> Option<&Proven> {
        self.old
            .pending
            .as_ref()
            .and_then(|pending| pending.stand_in.as_ref())
    }
}

impl Model {
    pub(crate) fn check_save(&mut self, new: &State) {
        for workload in 0..WORKLOADS {
            let old = self.known(workload).cloned().unwrap_or_default();
            let name = &self.names.workloads[workload];
            let Some(entry) = self.entry(workload).cloned() else {
                let kept = new.workloads.get(name).cloned().unwrap_or_default();
                if old.lineage != kept.lineage || old.rejected != kept.rejected {
                    self.violated("a workload that left the policy was forgotten");
                }
                continue;
            };
            if self.rolling_back.is_some_and(|asked| asked != workload) {
                if old != new.workloads.get(name).cloned().unwrap_or_default() {
                    self.violated("a rollback changed what is known of another workload");
                }
                continue;
            }
            let Some(new) = new.workloads.get(name) else {
                self.violated("a workload of the policy is not in the state");
                continue;
            };
            if old == *new {
                continue;
            }
            let mut change = Change {
                workload,
                entry,
                old,
                new,
                promoted: None,
                undone: None,
            };
            self.check_rejections(&change);
            change.undone = self.undone(&change);
            change.promoted = self.check_head(&change);
            self.check_lineage_kept(&change);
            self.check_lineage_grown(&change);
            self.check_retired(&change);
            self.check_pending(&change);
            self.note_promotion(&change);
        }
    }

    fn fail_unless(&mut self, holds: bool, what: &str, id: &ImageId) {
        if !holds {
            self.violated(format!("{what}: {}", id.short()));
        }
    }

    fn check_rejections(&mut self, change: &Change<'_>) {
        for id in change.old.rejected.keys() {
            self.fail_unless(
                change.new.rejected.contains_key(id),
                "a rejection was lost",
                id,
            );
        }
        for id in change
            .new
            .rejected
            .keys()
            .filter(|id| !change.old.rejected.contains_key(*id))
        {
            let asked = self.rolling_back == Some(change.workload);
            self.fail_unless(asked, "something was rejected and nobody asked", id);
            let served = self.truth.window.iter().any(|sample| {
                sample.serving[change.workload]
                    .as_ref()
                    .is_some_and(|serving| serving.image == *id)
            });
            let known = change.old.lineage.iter().any(|proven| proven.image == *id)
                || change
                    .old
                    .pending
                    .iter()
                    .any(|pending| pending.image == *id);
            let serves_unwell = self
                .serving(change.workload)
                .is_some_and(|serving| serving.image == *id);
            self.fail_unless(
                served || known || serves_unwell || self.interfered,
                "what was rejected neither served nor was proven",
                id,
            );
        }
    }

    /// A rollback right after the commit point, before a pass has recorded the promotion.
    fn undone(&self, change: &Change<'_>) -> Option<ImageId> {
        self.rolling_back?;
        let pending = change.old.pending.as_ref()?;
        let workload = change.workload;
        let is_latest = self.latest(workload).as_ref() == Some(&pending.image);
        let now = self.host.uptime_ms;
        let soaked = pending.soaked
            || self
                .truth
                .has_soaked(workload, &pending.image, now, change.entry.soak_ms);
        (is_latest && soaked && change.new.rejected.contains_key(&pending.image))
            .then(|| pending.image.clone())
    }

    fn check_head(&mut self, change: &Change<'_>) -> Option<ImageId> {
        let old = change.old.lineage.first().map(|proven| &proven.image);
        let new = change.new.lineage.first().map(|proven| &proven.image);
        if old == new {
            return None;
        }
        let rejected = old.is_some_and(|id| change.new.rejected.contains_key(id));
        let Some(head) = new else {
            if !rejected {
                self.violated("the lineage was lost");
            }
            return None;
        };
        if rejected
            && change
                .old
                .lineage
                .iter()
                .any(|proven| proven.image == *head)
        {
            return None;
        }
        let stood_in = change.stand_in().is_some_and(|s| s.image == *head);
        if change.undone.is_some() && stood_in {
            return None;
        }
        let workload = change.workload;
        let committed = self.truth.committed[workload].as_ref() == Some(head);
        // Noted as over, which was checked then, and `latest` was moved by hand since.
        let noted = |pending: &Pending| pending.soaked && pending.image == *head;
        let soaked = change.old.pending.as_ref().is_some_and(noted)
            || self
                .truth
                .has_soaked(workload, head, self.host.uptime_ms, change.entry.soak_ms);
        self.fail_unless(
            committed || soaked,
            "what has not soaked was promoted",
            head,
        );
        self.fail_unless(!change.entry.hold, "a promotion was recorded on hold", head);
        self.fail_unless(
            !change.new.rejected.contains_key(head),
            "what is rejected was promoted",
            head,
        );
        let is_latest = self.latest(workload).as_ref() == Some(head) || self.interfered;
        self.fail_unless(
            is_latest,
            "what is not latest was recorded as promoted",
            head,
        );
        Some(head.clone())
    }

    fn check_lineage_kept(&mut self, change: &Change<'_>) {
        let is_there = |id: &ImageId| self.host.image(id).is_some();
        let on_disk = change
            .new
            .lineage
            .iter()
            .filter(|proven| is_there(&proven.image))
            .count();
        let undone = usize::from(change.undone.is_some());
        let full = on_disk + undone > change.entry.fallbacks && !change.entry.hold;
        // A promotion of what was the head already: `latest` had been moved by hand.
        let head = change.new.lineage.first().map(|head| &head.image);
        let again = change.new.pending.is_none()
            && change.old.pending.as_ref().map(|pending| &pending.image) == head;
        let recorded = change.recorded().is_some() || again;
        let lost = change
            .old
            .lineage
            .iter()
            .filter(|e| change.new.lineage.iter().all(|n| n.image != e.image));
        let unexplained: Vec<_> = lost
            .filter(|e| !change.new.rejected.contains_key(&e.image))
            .filter(|_| !full && !self.interfered)
            .filter(|e| !recorded || is_there(&e.image))
            .filter(|e| change.recorded().is_none() || !self.may_strike(change, &e.image))
            .map(|e| e.image.clone())
            .collect();
        for id in &unexplained {
            self.fail_unless(false, "a proven image was lost from the state", id);
        }
        if !change.entry.hold && !self.interfered && on_disk > 1 + change.entry.fallbacks {
            self.violated("the lineage is longer than the policy keeps");
        }
    }

    /// R5: whether a promotion may strike an entry, as one that was never rolled out.
    fn may_strike(&self, change: &Change<'_>, id: &ImageId) -> bool {
        let by_orchestrator = change
            .old
            .pending
            .as_ref()
            .is_some_and(|pending| pending.orchestrated);
        let drops =
            change.entry.local_fallback == LocalFallback::Drop && !change.entry.remotes.is_empty();
        by_orchestrator && drops && !self.truth.rolled_out[change.workload].contains(id)
    }

    fn check_lineage_grown(&mut self, change: &Change<'_>) {
        let stand_in = change.stand_in();
        for grown in &change.new.lineage {
            let known = change
                .old
                .lineage
                .iter()
                .any(|proven| proven.image == grown.image);
            let stood_in =
                change.recorded().is_some() && stand_in.is_some_and(|s| s.image == grown.image);
            let promoted = change.promoted.as_ref() == Some(&grown.image);
            self.fail_unless(
                known || stood_in || promoted,
                "an image crept into the lineage",
                &grown.image,
            );
        }
        if let (Some(_), Some(stand_in)) = (&change.promoted, stand_in) {
            self.check_stand_in_used(change, stand_in);
        }
    }

    fn check_stand_in_used(&mut self, change: &Change<'_>, stand_in: &Proven) {
        let id = &stand_in.image;
        let is_there = |id: &ImageId| self.host.image(id).is_some();
        let usable = is_there(id)
            && !change.new.rejected.contains_key(id)
            && !change
                .old
                .lineage
                .iter()
                .any(|proven| is_there(&proven.image))
            && !self.may_strike(change, id)
            && change.entry.fallbacks > 0
            && !self.interfered;
        let used = change.new.lineage.iter().any(|proven| proven.image == *id);
        self.fail_unless(!usable || used, "what was latest before is no fallback", id);
    }

    fn check_retired(&mut self, change: &Change<'_>) {
        let added: BTreeSet<_> = change.new.retired.difference(&change.old.retired).collect();
        for id in added {
            let left_lineage = change.old.lineage.iter().any(|proven| proven.image == *id)
                && change.new.lineage.iter().all(|proven| proven.image != *id);
            let obsolete = change.recorded().is_some_and(|promoted| {
                self.truth.was_before(change.workload, id, promoted)
                    || self.truth.is_inherited(change.workload, id)
                    || change.stand_in().is_some_and(|s| s.image == *id)
            });
            let adopted = self.loses_name_to_fallback(change, id);
            let explained = left_lineage || obsolete || adopted || self.interfered;
            self.fail_unless(explained, "an image was retired without a promotion", id);
        }
        for id in &change.new.retired {
            let proven = change.new.lineage.iter().any(|proven| proven.image == *id);
            self.fail_unless(!proven, "a proven image is retired", id);
        }
    }

    /// R4: the image bears the remote name of a fallback's version.
    fn loses_name_to_fallback(&self, change: &Change<'_>, id: &ImageId) -> bool {
        change.new.lineage.iter().any(|fallback| {
            change.entry.remotes.iter().any(|remote| {
                let name = remote.with_tag(fallback.version.as_str());
                self.host.named(&name).is_some_and(|image| image.id == *id)
            })
        })
    }

    fn check_pending(&mut self, change: &Change<'_>) {
        let (old, new) = (change.old.pending.as_ref(), change.new.pending.as_ref());
        if let Some(new) = new {
            let begun = old.is_none_or(|old| old.image != new.image);
            if begun {
                self.check_begun(change, new);
            }
            let noted_now = new.soaked && (begun || !old.is_some_and(|old| old.soaked));
            if noted_now {
                let now = self.host.uptime_ms;
                let soaked =
                    self.truth
                        .has_soaked(change.workload, &new.image, now, change.entry.soak_ms);
                self.fail_unless(soaked, "a soak was noted as over and is not", &new.image);
            }
        }
        if let Some(old) = old.filter(|old| old.soaked && !self.interfered) {
            let committed = self.latest(change.workload).as_ref() == Some(&old.image);
            let kept = new.is_some_and(|new| new.image == old.image)
                || change
                    .new
                    .lineage
                    .first()
                    .is_some_and(|head| head.image == old.image)
                || change.new.rejected.contains_key(&old.image);
            self.fail_unless(
                !committed || kept,
                "a committed promotion was forgotten",
                &old.image,
            );
        }
    }

    fn check_begun(&mut self, change: &Change<'_>, pending: &Pending) {
        let serves = self
            .serving(change.workload)
            .is_some_and(|serving| serving.image == pending.image);
        let serves = serves || self.interfered;
        self.fail_unless(serves, "what does not serve is pending", &pending.image);
        self.fail_unless(
            !change.new.rejected.contains_key(&pending.image),
            "what is rejected is pending",
            &pending.image,
        );
        if self.interfered {
            return;
        }
        let lineage = change
            .new
            .lineage
            .iter()
            .any(|proven| self.host.image(&proven.image).is_some());
        let latest = self
            .latest(change.workload)
            .filter(|latest| *latest != pending.image && !lineage);
        let stand_in = pending.stand_in.as_ref().map(|stand_in| &stand_in.image);
        self.fail_unless(
            stand_in == latest.as_ref(),
            "the stand-in is not what is latest",
            &pending.image,
        );
    }

    fn note_promotion(&mut self, change: &Change<'_>) {
        let workload = change.workload;
        let committed = &mut self.truth.committed[workload];
        if committed
            .as_ref()
            .is_some_and(|id| change.new.rejected.contains_key(id))
        {
            *committed = None;
        }
        if change.old.came_in.is_none() {
            let host = &self.host;
            let there = change
                .new
                .images
                .keys()
                .filter(|id| host.image(id).is_some())
                .cloned();
            self.truth.inherited[workload] = there.collect();
        }
        let Some(promoted) = change.recorded() else {
            return;
        };
        if change
            .old
            .pending
            .as_ref()
            .is_some_and(|pending| pending.orchestrated)
        {
            self.truth.rolled_out[workload].insert(promoted.clone());
        }
        if change
            .new
            .images
            .values()
            .all(|sighting| !sighting.inherited)
        {
            self.truth.inherited[workload].clear();
        }
    }
}
