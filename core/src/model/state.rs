//! What is remembered between passes (design 5): plain data. How it is kept on a disk is the
//! program's business.
//!
//! Every time in here is `clock_ms`, host uptime added up over reboots; wall times are for people.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    Clock, ContainerId, ImageHistory, ImageId, Now, Reference, Repository, Undelivered, Version,
    WorkloadName,
};
use crate::Gather;

/// The whole memory of tagkeeper.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Which memory this is: made at the first save, and on the label of each pin. Empty until
    /// then.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instance: String,
    /// The clock as of the last save.
    pub clock: Clock,
    /// The `[hold]` sections of the policy by [`Hold::key`](super::Hold::key), with the clock when
    /// each was first seen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub holds: BTreeMap<String, u64>,
    /// The workloads, those that left the policy included.
    #[serde(default)]
    pub workloads: BTreeMap<WorkloadName, WorkloadState>,
    /// Events that hooks have not been notified of yet, the oldest first. No decision depends on
    /// it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undelivered: Vec<Undelivered>,
    /// What `rollback` rejected. Kept in a file of its own, which a pass writes only to carry over
    /// an older format.
    #[serde(skip)]
    pub rejected: BTreeMap<WorkloadName, BTreeMap<ImageId, Rejected>>,
}

impl State {
    /// Whether the two differ in anything but the clock: whether a save is called for (design 5.1).
    pub(crate) fn differs_from(&self, other: &Self) -> bool {
        self.instance != other.instance
            || self.workloads != other.workloads
            || self.holds != other.holds
    }

    /// What `rollback` rejected of a workload.
    pub fn rejected_of(&self, name: &WorkloadName) -> impl Iterator<Item = (&ImageId, &Rejected)> {
        self.rejected.get(name).into_iter().flatten()
    }
}

/// A moment: on the clock for decisions, on the wall for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Host uptime added up over reboots, in milliseconds.
    pub clock_ms: u64,
    /// RFC 3339; for people only.
    pub at: String,
}

/// What is remembered of one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadState {
    /// When the workload came into the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Moment>,
    /// When a pass first found the policy without it (design 4.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
    /// Since when the workload is on hold; time on hold does not count as idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since_ms: Option<u64>,
    /// The same, RFC 3339; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_at: Option<String>,
    /// The image that serves although it is rejected, or did before nothing served, once that was
    /// said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_serves: Option<ImageId>,
    /// The repositories that the last pass knew the workload by.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub repositories: BTreeSet<Repository>,
    /// What is known of the disk that the engine shows.
    #[serde(default)]
    pub memory: Memory,
    /// What is known of another disk, until it is seen again or a promotion on this one drops it
    /// (design 4.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<Box<Memory>>,
    /// Upgrades that were not promoted, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
    /// What happened to images, the last touched first; for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<ImageHistory>,
    /// Counters since the workload came in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub counters: Counters,
}

impl WorkloadState {
    /// Whether the first pass on this disk found an image.
    pub(crate) fn has_found_first(&self, record: &ImageRecord) -> bool {
        let came_in = self.since.as_ref().map(|since| since.clock_ms);
        let first = self.memory.first_look_ms.or(came_in);
        first.is_some_and(|first| record.first_seen_ms <= first)
    }

    /// What is remembered of the upgrades to an image that were not promoted.
    pub(crate) fn failure(&self, image: &ImageId) -> Option<&Failure> {
        self.failures.iter().find(|failure| failure.image == *image)
    }

    /// Whether an upgrade to an image has failed here, as far as that is remembered.
    pub(crate) fn has_failed(&self, image: &ImageId) -> bool {
        let mut failures = self.failures.iter();
        failures.any(|f| f.image == *image && f.outcome == Outcome::Failed)
    }

    /// The upgrades that have failed since the last promotion, newest first.
    pub fn failed_since_promotion(&self) -> impl Iterator<Item = &Failure> {
        let promoted_ms = self.memory.promoted_ms;
        let failed = self
            .failures
            .iter()
            .filter(|f| f.outcome == Outcome::Failed);
        failed.filter(move |f| promoted_ms.is_none_or(|promoted_ms| f.ended_ms > promoted_ms))
    }
}

/// What is known of one disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The proven images, newest first: head, then fallbacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<LineageEntry>,
    /// The clock of the last promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_ms: Option<u64>,
    /// The pending upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// The engine failed at the last move of `repository:latest`. It may show it moved and forget
    /// that when it is started again: the move counts, and is not repeated, once the engine has
    /// confirmed it (design 4.4).
    #[serde(default, skip_serializing_if = "is_default")]
    pub latest_in_doubt: bool,
    /// Images that a promotion made obsolete, waiting to be removed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub retired: BTreeSet<ImageId>,
    /// Every image of the workload on the disk.
    #[serde(default, skip_serializing_if = "is_default")]
    pub images: ImageRecords,
    /// Orchestrated containers that ran while a local container did the work: dry runs for as long
    /// as they exist (4.3).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub dry_runs: BTreeSet<ContainerId>,
    /// Ended containers whose attempt is over: what the first look found so, and those of upgrades
    /// that have ended. Only a restart loop is another attempt.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub spent: BTreeSet<ContainerId>,
    /// Stopped local containers that R2 looks at a second time before it removes them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stopped: BTreeMap<ContainerId, Stopped>,
    /// What the local containers were created from whose name the engine's list hides, because it
    /// has moved on; none if that was no reference (R2's exception for services that start a
    /// version).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub created_from: BTreeMap<ContainerId, Option<Reference>>,
    /// Removals that the engine refused, by what was to be removed: a reference, an image id or a
    /// container id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, RefusedRemoval>,
    /// Why there is nothing behind the head, if that is known; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_fallback: Option<NoFallback>,
    /// The clock of the first pass on this disk; none where that was the workload's first pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_look_ms: Option<u64>,
}

/// Why a workload has no fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoFallback {
    /// Nothing was proven before latest, or the policy wanted no fallback then.
    First,
    /// The version before latest was never rolled out here, so it was removed (R5).
    Struck,
    /// It left the disk, and tagkeeper did not remove it.
    Lost,
    /// The version that was latest is rejected, and this was its fallback; or the fallback is.
    Rejected,
}

impl NoFallback {
    /// The word for it in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Struck => "struck",
            Self::Lost => "lost",
            Self::Rejected => "rejected",
        }
    }
}

/// The first wait before a refused removal is tried again; each refusal doubles it (design 4.7).
const FIRST_RETRY_MS: u64 = 60 * 1000;
/// The longest wait.
const LONGEST_RETRY_MS: u64 = 24 * 60 * 60 * 1000;

/// How long something that has failed so many times before is not tried again, in milliseconds:
/// each failure doubles the first wait, up to the longest.
pub fn growing_wait_ms(first_ms: u64, failures: u32, longest_ms: u64) -> u64 {
    first_ms
        .saturating_mul(2_u64.saturating_pow(failures))
        .min(longest_ms)
}

impl Memory {
    /// Moves the idle times by what does not count: the time from one moment to another, on the
    /// clock.
    pub(crate) fn move_idle(&mut self, since_ms: u64, until_ms: u64) {
        let mut records = self.images.values();
        if records.all(|record| record.idle_since_ms.is_none()) {
            return;
        }
        for record in self.images.values_mut() {
            if let Some(idle_since_ms) = &mut record.idle_since_ms {
                let uncounted_ms = until_ms.saturating_sub(since_ms.max(*idle_since_ms));
                *idle_since_ms = idle_since_ms.saturating_add(uncounted_ms);
            }
        }
    }

    /// Writes down that the engine refused a removal, and until when it is not tried again (design
    /// 4.7).
    pub fn note_refused(&mut self, target: String, reason: String, now: &Now) {
        let refused = self.refused.entry(target);
        let refused = refused.or_insert_with(|| RefusedRemoval {
            reason: String::new(),
            times: 0,
            retry_ms: 0,
            at: now.wall.clone(),
        });
        let wait_ms = growing_wait_ms(FIRST_RETRY_MS, refused.times, LONGEST_RETRY_MS);
        refused.reason = reason;
        refused.times = refused.times.saturating_add(1);
        refused.retry_ms = now.ms().saturating_add(wait_ms);
    }

    /// Whether the engine refused to remove something, and the time to try again has not come
    /// (design 4.7).
    pub(crate) fn is_put_off(&self, target: &str, now_ms: u64) -> bool {
        let refused = self.refused.get(target);
        refused.is_some_and(|refused| refused.retry_ms > now_ms)
    }

    /// The images that are needed by their ids: lineage, pending upgrade, provisional fallback.
    pub fn claimed(&self) -> impl Iterator<Item = &ImageId> {
        let pending = self.pending.iter();
        let provisional = pending
            .clone()
            .filter_map(|p| p.provisional_fallback.as_ref());
        let lineage = self.lineage.iter().chain(provisional).map(|p| &p.image);
        lineage.chain(pending.map(|p| &p.image))
    }

    /// Takes rejected images out: one is in no lineage, nor is it pending (design 7). Returns what
    /// was taken.
    pub fn take_rejected(
        &mut self,
        is_rejected: impl Fn(&ImageId) -> bool,
    ) -> (Vec<LineageEntry>, Option<Pending>) {
        let lineage = core::mem::take(&mut self.lineage);
        let (rejected, kept): (Vec<_>, Vec<_>) =
            lineage.into_iter().partition(|p| is_rejected(&p.image));
        self.lineage = kept;
        if !rejected.is_empty() {
            self.no_fallback = Some(NoFallback::Rejected);
        }
        let pending = self.pending.take_if(|p| is_rejected(&p.image));
        (rejected, pending)
    }

    /// The entry of the lineage for an image.
    pub fn proven(&self, image: &ImageId) -> Option<&LineageEntry> {
        self.lineage.iter().find(|proven| proven.image == *image)
    }

    /// Whether a disk with these images is the one that this memory is of: one of the images on
    /// record is there. `is_own` tells the images there that have a name of the workload, or none:
    /// others are known by their ids alone.
    pub(crate) fn knows_any(
        &self,
        is_own: impl Fn(&ImageId) -> bool,
        is_on_disk: impl Fn(&ImageId) -> bool,
    ) -> bool {
        self.images.keys().any(is_own) || self.claimed().any(is_on_disk)
    }

    /// Whether no image is on record.
    pub(crate) fn is_blank(&self) -> bool {
        self.images.is_empty() && self.claimed().next().is_none()
    }
}

/// A proven image: an entry of the lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageEntry {
    /// Its version, written down at promotion and not guessed again (design 4.2).
    pub version: Version,
    /// Its identity.
    pub image: ImageId,
    /// Whether the orchestrator is known to have deployed or held it; never unset (design 4.4).
    pub rolled_out: bool,
    /// When it was promoted, RFC 3339; absent for a provisional fallback, which never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_at: Option<String>,
}

/// An image that is not proven yet, and serves, or was tried to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Version of the image, for people and for twins.
    pub version: Version,
    /// The image that would be promoted.
    pub image: ImageId,
    /// The incarnations that serve it: one group (design 4.3).
    pub members: Vec<Incarnation>,
    /// Containers of the image that had ended when they were last looked at, with the `StartedAt`
    /// of that incarnation; empty where it was not inspected.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ended: BTreeMap<ContainerId, String>,
    /// Whether the group is orchestrated (R5 depends on it).
    pub orchestrated: bool,
    /// When the pending upgrade began, restarts included.
    pub began: Moment,
    /// The clock at the beginning of the pass that first saw it.
    pub pass_ms: u64,
    /// Since when the soak counts; absent while a member is not healthy or not ready.
    pub soaking_since_ms: Option<u64>,
    /// How often the soak began again.
    pub restarts: u32,
    /// The soak was over while the workload was on hold.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub soaked: bool,
    /// The promotion is committed to: noted and saved before `latest` is moved (design 4.4).
    pub promoting: bool,
    /// The last end of one of its containers that was no stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_end: Option<End>,
    /// What was `latest` when the upgrade began; only while no other image of the lineage was on
    /// disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisional_fallback: Option<LineageEntry>,
}

impl Pending {
    /// Whether a pass has seen it run: one that crashes at once is pending all the same.
    pub(crate) fn has_run(&self) -> bool {
        !self.members.is_empty()
    }
}

/// A container and its start: a restart makes a new incarnation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation {
    /// The container.
    pub id: ContainerId,
    /// Its name, for people.
    pub name: String,
    /// `StartedAt`, as the engine prints it.
    pub started_at: String,
}

/// How a container ended by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Its exit code; none where the engine gave none.
    pub exit_code: Option<i64>,
    /// How long it ran, in seconds.
    pub ran_secs: u64,
}

/// A rejection by a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The version it had; `accept` goes by it.
    pub version: Version,
    /// When, RFC 3339; for people.
    pub at: String,
    /// The digests that registries knew it by: an engine that changes its image store gives every
    /// image another id.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub digests: BTreeSet<String>,
    /// The entry of the lineage that it was, so that `accept` can put it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven: Option<LineageEntry>,
}

impl Rejected {
    /// What `accept` takes to lift the rejection of an image and no other of `all`: its version, or
    /// its id where another build of that version is rejected too.
    pub fn lifted_by<'r>(
        version: &Version,
        image: &ImageId,
        all: impl IntoIterator<Item = &'r Self>,
    ) -> Version {
        let builds = all.into_iter().filter(|r| r.version == *version);
        match builds.count() {
            0 | 1 => version.clone(),
            _ => Version::new(image.short()),
        }
    }
}

/// What is known of an image because it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// When it was first seen on the disk.
    pub first_seen_ms: u64,
    /// Since when no container uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_since_ms: Option<u64>,
    /// First seen before anything was proven on this disk, or in the pass in which its repository
    /// came in; and no promotion has replaced anything since.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub inherited: bool,
    /// The orchestrator is known to have deployed it or to hold it; never unset (design 4.4).
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub rolled_out: bool,
    /// Passes that saw it pending, counted up to two.
    #[serde(default, skip_serializing_if = "is_default")]
    pub times_pending: u8,
    /// The entry of `[reject]` that has named it: it goes for the image for as long as it stands,
    /// whatever becomes of the image's names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_by: Option<String>,
}

/// The records by image id. Nearly all of a state is this, and nearly no decision changes any of
/// it: a clone shares it, the first change copies it, and two that still share it are equal at a
/// glance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageRecords(Arc<BTreeMap<ImageId, ImageRecord>>);

impl Deref for ImageRecords {
    type Target = BTreeMap<ImageId, ImageRecord>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for ImageRecords {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(&mut self.0)
    }
}

impl FromIterator<(ImageId, ImageRecord)> for ImageRecords {
    fn from_iter<I: IntoIterator<Item = (ImageId, ImageRecord)>>(records: I) -> Self {
        Self(Arc::new(records.into_iter().gather()))
    }
}

impl Serialize for ImageRecords {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ImageRecords {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(|records| Self(Arc::new(records)))
    }
}

/// A local container that was seen stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Its incarnation's `StartedAt`.
    pub started_at: String,
    /// When it was first seen so.
    pub since_ms: u64,
}

/// A removal that the engine refused (409).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRemoval {
    /// What the engine said, cleaned.
    pub reason: String,
    /// How often it was refused.
    pub times: u32,
    /// The clock from which it is tried again.
    pub retry_ms: u64,
    /// When it was first refused, RFC 3339; for people.
    pub at: String,
}

/// Upgrades to one image that were not promoted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Version of the image.
    pub version: Version,
    /// Its identity: one entry for each image.
    pub image: ImageId,
    /// How it ended.
    pub outcome: Outcome,
    /// Incarnations that did not last.
    pub attempts: u32,
    /// The last end of its containers by themselves; none where they were stopped, removed or
    /// replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_end: Option<End>,
    /// What took the last attempt away.
    #[serde(default)]
    pub ended_by: EndedBy,
    /// How long the last attempt stayed up, in seconds.
    pub up_secs: u64,
    /// When, on the clock.
    #[serde(default)]
    pub ended_ms: u64,
    /// When, RFC 3339.
    pub at: String,
}

/// What took an upgrade's containers away, where they did not end by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndedBy {
    /// They were stopped.
    #[default]
    Stopped,
    /// They were removed.
    Removed,
    /// Another image does the work.
    Replaced,
    /// Nothing did: another image runs beside it.
    NotAlone,
}

/// How an upgrade ended that was not promoted (design 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Its containers ended with a failure, or crash-loop.
    Failed,
    /// It was stopped, removed or replaced before the soak was over.
    Withdrawn,
    /// It was replaced after the soak was over, on hold.
    Superseded,
}

impl Outcome {
    /// The word for it in JSON and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Withdrawn => "withdrawn",
            Self::Superseded => "superseded",
        }
    }
}

/// Counted since the workload came into the state. No decision depends on it.
///
/// Promotions, failures, restarts and rollbacks are counted in the decision, and saved with it.
/// Removals are known only after the engine has confirmed them, and saved by the round that
/// follows: each is counted at most once, and a pass that is killed in between loses the count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Upgrades that became latest and the head of the lineage.
    #[serde(skip_serializing_if = "is_default")]
    pub promotions: u64,
    /// Upgrades that failed.
    #[serde(skip_serializing_if = "is_default")]
    pub failures: u64,
    /// Soaks that began again.
    #[serde(skip_serializing_if = "is_default")]
    pub restarts: u64,
    /// Rollbacks by a person.
    #[serde(skip_serializing_if = "is_default")]
    pub rollbacks: u64,
    /// Names of images, and nameless images, that were removed.
    #[serde(skip_serializing_if = "is_default")]
    pub removals: u64,
    /// Sizes of the images that left the disk with those removals, in bytes: shared layers
    /// included, so an upper bound.
    #[serde(skip_serializing_if = "is_default", alias = "bytes_won_back")]
    pub reclaimed_bytes: u64,
}

impl Counters {
    /// Adds what another one has counted.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.promotions, other.promotions),
            (&mut self.failures, other.failures),
            (&mut self.restarts, other.restarts),
            (&mut self.rollbacks, other.rollbacks),
            (&mut self.removals, other.removals),
            (&mut self.reclaimed_bytes, other.reclaimed_bytes),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// Whether a field has the value that it has where it is left out.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
