//! One workload as the stages are given it, and what each of them may ask of it.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::disk::Recalled;
use super::ownership::{Inventory, WorkloadInventory};
use super::version;
use crate::model::{
    Container, HeldBy, ImageId, LineageEntry, Memory, Observation, Pending, Policy, Readiness,
    Reference, Rejected, Rejection, Version, Workload, WorkloadName,
};

/// One workload as every stage is given it: nothing here changes in the course of a decision.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) name: &'a WorkloadName,
    pub(super) policy: &'a Workload,
    /// What `[reject]` says of it.
    pub(super) rejections: &'a [Rejection],
    /// What `rollback` rejected of it.
    pub(super) rejected: Option<&'a BTreeMap<ImageId, Rejected>>,
    pub(super) held: Option<&'a HeldBy>,
    pub(super) own: &'a WorkloadInventory<'a>,
    pub(super) inventory: &'a Inventory<'a>,
}

/// Every workload of the policy.
pub(super) fn subjects<'a>(
    policy: &'a Policy,
    recalled: &'a Recalled,
    inventory: &'a Inventory<'a>,
) -> Vec<Subject<'a>> {
    let workloads = policy.workloads.iter();
    let subjects = workloads.filter_map(|(name, workload)| {
        Some(Subject {
            name,
            policy: workload,
            rejections: policy.rejections.get(name).map_or(&[], |r| r.as_slice()),
            rejected: recalled.rejected.get(name),
            held: recalled.held.get(name),
            own: inventory.of(name)?,
            inventory,
        })
    });
    subjects.collect()
}

impl<'a> Subject<'a> {
    pub(super) fn observed(self) -> &'a Observation {
        self.inventory.observed
    }

    /// The clock after the last answer: what begins now begins here.
    pub(super) fn until_ms(self) -> u64 {
        self.observed().until.ms()
    }

    /// How long something has certainly lasted that began at a time, in milliseconds: to the clock
    /// before the first question.
    pub(super) fn lasted_ms(self, since_ms: u64) -> u64 {
        self.observed().from.ms().saturating_sub(since_ms)
    }

    /// Whether something began before the current pass did, whose rounds are one look.
    pub(super) fn is_of_earlier_pass(self, since_ms: u64) -> bool {
        since_ms < self.observed().pass_ms
    }

    pub(super) fn wall(self) -> String {
        self.observed().until.wall.clone()
    }

    pub(super) fn is_held(self) -> bool {
        self.held.is_some()
    }

    pub(super) fn is_on_disk(self, id: &ImageId) -> bool {
        self.inventory.place(id).is_some()
    }

    /// The containers that use an image, in any state; those of an image that has left the disk as
    /// far as they are the workload's.
    pub(super) fn users_of(self, id: &ImageId) -> Vec<&'a Container> {
        match self.inventory.place(id) {
            Some(place) => self.inventory.users(place).collect(),
            None => self.own.containers().filter(|c| c.uses(id)).collect(),
        }
    }

    /// Whether an image on the disk is the workload's.
    pub(super) fn is_own(self, id: &ImageId) -> bool {
        let place = self.inventory.place(id);
        place.is_some_and(|place| self.own.at(place).is_some())
    }

    /// The image that `repository:latest` names.
    pub(super) fn latest(self) -> Option<&'a ImageId> {
        self.own.latest.map(|image| &image.id)
    }

    /// What the `ready` command said; none where it was not asked.
    pub(super) fn readiness(self) -> Option<&'a Readiness> {
        self.observed().readiness.get(self.name)
    }

    /// Whether the workload has a `ready` command that nothing asked: then no soak begins or ends
    /// by it.
    pub(super) fn is_unasked(self) -> bool {
        self.policy.ready.is_some() && self.readiness().is_none()
    }

    /// The lineage as far as it is on the disk. The rest is skipped, not forgotten (design 4.6).
    pub(super) fn lineage<'m>(
        self,
        memory: &'m Memory,
    ) -> impl Iterator<Item = &'m LineageEntry> + use<'a, 'm> {
        memory
            .lineage
            .iter()
            .filter(move |proven| self.is_on_disk(&proven.image))
    }

    /// The first entry of the lineage that is on the disk.
    pub(super) fn head(self, memory: &Memory) -> Option<&LineageEntry> {
        self.lineage(memory).next()
    }

    pub(super) fn is_head(self, memory: &Memory, id: &ImageId) -> bool {
        self.head(memory).is_some_and(|head| head.image == *id)
    }

    /// What `latest` goes back to: the head, unless the policy has come to reject it.
    pub(super) fn restorable(self, memory: &Memory) -> Option<&LineageEntry> {
        let head = self.head(memory);
        head.filter(|head| !self.is_rejected(memory, &head.image))
    }

    /// The entries behind the head that are on the disk.
    pub(super) fn fallbacks<'m>(
        self,
        memory: &'m Memory,
    ) -> impl Iterator<Item = &'m LineageEntry> + use<'a, 'm> {
        self.lineage(memory).skip(1)
    }

    /// Those of them that `latest` can go back to: what is rejected is none.
    pub(super) fn usable_fallbacks<'m>(
        self,
        memory: &'m Memory,
    ) -> impl Iterator<Item = &'m LineageEntry> + use<'a, 'm> {
        let fallbacks = self.fallbacks(memory);
        fallbacks.filter(move |proven| !self.is_rejected(memory, &proven.image))
    }

    /// Whether the engine refused to remove something, and the time to try again has not come
    /// (design 4.7).
    pub(super) fn is_put_off(self, memory: &Memory, target: &str) -> bool {
        memory.is_put_off(target, self.observed().from.ms())
    }

    /// How long the group of the pending upgrade has certainly soaked, in milliseconds.
    pub(super) fn soaked_ms(self, pending: &Pending) -> u64 {
        let since_ms = pending.soaking_since_ms;
        since_ms.map_or(0, |since_ms| self.lasted_ms(since_ms))
    }

    /// Whether an image is proven: the head of the lineage and `repository:latest` (design 4.3).
    pub(super) fn is_proven(self, memory: &Memory, id: &ImageId) -> bool {
        self.latest() == Some(id) && self.is_head(memory, id)
    }

    /// Whether an image is rejected: by a person, or by the policy unless it was promoted last.
    /// What is behind that in the lineage is not promoted again, whether or not the head is on the
    /// disk.
    pub(super) fn is_rejected(self, memory: &Memory, id: &ImageId) -> bool {
        self.rejected
            .is_some_and(|rejected| rejected.contains_key(id))
            || self.is_rejected_by_policy(memory, id)
    }

    /// What `accept` takes to lift a rejection; none if the policy rejects the image.
    pub(super) fn rejection_lifted_by(self, memory: &Memory, id: &ImageId) -> Option<Version> {
        let by_policy = self.is_rejected_by_policy(memory, id);
        let all = self.rejected.filter(|_| !by_policy)?;
        Some(Rejected::lifted_by(&all.get(id)?.version, id, all.values()))
    }

    /// Whether the policy rejects an image: not what was promoted last, for as long as `latest` is
    /// on nothing else. What `latest` was taken from is never promoted again.
    pub(super) fn is_rejected_by_policy(self, memory: &Memory, id: &ImageId) -> bool {
        let promoted_last = memory.lineage.first();
        let stays = promoted_last.is_some_and(|proven| proven.image == *id)
            && self.own.latest.is_none_or(|latest| latest.id == *id);
        !stays && self.is_named_by_policy(memory, id)
    }

    /// Whether an entry of `[reject]` is about an image.
    pub(super) fn is_named_by_policy(self, memory: &Memory, id: &ImageId) -> bool {
        self.rejection_of(memory, id).is_some()
    }

    /// The entry of `[reject]` that is about an image: that has named it before, or names it now.
    pub(super) fn rejection_of(self, memory: &Memory, id: &ImageId) -> Option<&'a Rejection> {
        if self.rejections.is_empty() {
            return None;
        }
        let record = memory.images.get(id);
        let before = record.and_then(|record| record.rejected_by.as_deref());
        let stands = |entry: &str| self.rejections.iter().find(|r| r.as_str() == entry);
        before
            .and_then(stands)
            .or_else(|| self.names_in_policy(memory, id))
    }

    fn names_in_policy(self, memory: &Memory, id: &ImageId) -> Option<&'a Rejection> {
        let image = self.inventory.image(id);
        // An image that was pulled by its digest has its version from its containers.
        let containers = self.users_of(id);
        let versions: Vec<Version> = containers
            .iter()
            .map(|c| version::of(self, memory, id, Some(c)))
            .chain(image.map(|image| version::of_image(self, memory, image)))
            .collect();
        let names = image.map_or(&[][..], |image| &image.references);
        self.rejections.iter().find(|rejection| {
            let is_named = |name: &Reference| {
                let tag = name.version_tag().filter(|_| self.policy.owns(name));
                rejection.is_digest_of(name) || tag.is_some_and(|tag| rejection.is_version(tag))
            };
            rejection.is_id(id)
                || versions.iter().any(|v| rejection.is_version(v.as_str()))
                || names.iter().any(is_named)
        })
    }
}
