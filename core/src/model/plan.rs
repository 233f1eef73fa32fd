//! What a decision says: the plan that `plan` prints and `reconcile` applies.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::{
    ContainerId, Counters, Detail, Disk, Failure, ImageId, Incarnation, LineageEntry, Moment,
    NoFallback, Note, Reference, Rejected, SoakTrouble, Version, WorkloadName,
};
use crate::Gather;

/// The next round, workload by workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// One plan for each workload of the policy.
    pub workloads: BTreeMap<WorkloadName, WorkloadPlan>,
    /// What is left to do for workloads that the policy does not name any more: their pins are
    /// removed.
    pub departed: BTreeMap<WorkloadName, Vec<Action>>,
    /// How full the disk of the engine's data is, where the decision had to know.
    pub disk: Option<Disk>,
    /// The images that are removed for the disk's sake, longest idle first.
    pub evicted: Vec<ImageId>,
}

impl Plan {
    /// Every action of the round in the order of design 4.7: tags, pins, containers, images. What
    /// is removed for the disk's sake comes last, so that a pass that is killed has evicted as
    /// little as possible.
    pub fn actions(&self) -> Vec<(&WorkloadName, &Action)> {
        let of_policy = self
            .workloads
            .iter()
            .map(|(name, plan)| (name, &plan.actions));
        let mut actions: Vec<_> = of_policy
            .chain(&self.departed)
            .flat_map(|(name, actions)| actions.iter().map(move |a| (name, a)))
            .collect();
        let eviction = |action: &Action| match &action.kind {
            ActionKind::RemoveImage { image, .. } => {
                self.evicted.iter().position(|evicted| evicted == image)
            }
            _ => None,
        };
        actions.sort_by_key(|(_, action)| (action.kind.phase(), eviction(action)));
        actions
    }

    /// Brings the verdicts into the order of their names, in which people and programs read them.
    pub fn sort_by_names(&mut self) {
        for workload in self.workloads.values_mut() {
            workload.images.sort_by(NameVerdict::by_name);
        }
    }
}

/// One workload: its state, the verdict on each name, and what to do in the next round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadPlan {
    /// What `repository:latest` names.
    pub latest: Option<Latest>,
    /// The head of the lineage: what `latest` should name.
    pub head: Option<LineageEntry>,
    /// The lineage behind the head, as far as it is on the disk.
    pub fallbacks: Vec<LineageEntry>,
    /// The images that a pin of the workload refers to, with the pin's name.
    pub pins: BTreeMap<ImageId, String>,
    /// Why there is no fallback, where the policy wants one.
    pub no_fallback: Option<NoFallback>,
    /// What does the workload's work, if that can be told: the containers of one image.
    pub serving: Option<ServingView>,
    /// What a person should know.
    pub notes: Vec<Note>,
    /// The pending upgrade.
    pub pending: Option<PendingView>,
    /// Upgrades that were not promoted, newest first.
    pub failures: Vec<Failure>,
    /// The upgrade that failed since the last promotion and still has a container.
    pub failing: Option<Failure>,
    /// The containers of that image that run, or else the newest.
    pub failing_in: Vec<String>,
    /// How long ago each version failed, on the clock, that is not rejected and after which nothing
    /// was promoted.
    pub unsettled_ms: BTreeMap<Version, u64>,
    /// Images that a rollback rejected.
    pub rejected: BTreeMap<ImageId, Rejected>,
    /// Images on the disk that `[reject]` of the policy rejects, with their versions.
    pub rejected_by_policy: BTreeMap<ImageId, Version>,
    /// Since when the records of the workload go back.
    pub since: Option<Moment>,
    /// Counters since then.
    pub counters: Counters,
    /// What holds the workload; none if nothing does.
    pub held: Option<HeldBy>,
    /// Since when, RFC 3339, for people.
    pub held_at: Option<String>,
    /// Every name (and nameless image) with its verdict, in the order of the engine's list.
    pub images: Vec<NameVerdict>,
    /// The images that are removed by these verdicts: those whose every name is removed or moved.
    pub leaving: BTreeSet<ImageId>,
    /// Removals that the engine refused.
    pub refused: Vec<RefusedView>,
    /// The next round's actions; empty on hold.
    pub actions: Vec<Action>,
    /// On hold, what the next round would do without it.
    pub held_actions: Vec<Action>,
}

impl WorkloadPlan {
    /// Whether `latest` does not name what is proven: something else moved or removed it.
    pub fn has_drifted(&self) -> bool {
        let latest = self.latest.as_ref().map(|latest| &latest.image);
        let head = self.head.as_ref();
        head.is_some_and(|head| latest != Some(&head.image))
    }

    /// The name that an action removes, as it was judged; none for an action of another kind.
    pub fn judged(&self, action: &ActionKind) -> Option<&NameVerdict> {
        let ActionKind::RemoveImage {
            reference, image, ..
        } = action
        else {
            return None;
        };
        let mut names = self.images.iter();
        names.find(|name| name.reference == *reference && name.image == *image)
    }

    /// The images of the workload on the disk with their sizes in bytes, each once, however many
    /// names it has.
    pub fn sizes(&self) -> BTreeMap<&ImageId, u64> {
        let images = self.images.iter();
        images.map(|v| (&v.image, v.size_bytes)).gather()
    }

    /// The sizes of the images that are removed by these verdicts, in bytes. An upper bound: the
    /// engine counts layers that images share for each of them.
    pub fn reclaimable_bytes(&self) -> u64 {
        let sizes = self.sizes();
        let leaving = self.leaving.iter().filter_map(|id| sizes.get(id));
        leaving.fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }
}

/// What keeps tagkeeper from changing anything of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// `hold = true` in the workload.
    Workload,
    /// A `[hold]` section.
    Section {
        /// Why, as the operator wrote it.
        reason: Option<String>,
        /// For how long still, in milliseconds; none: until the section is gone.
        left_ms: Option<u64>,
    },
}

/// What `repository:latest` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latest {
    /// Its version.
    pub version: Version,
    /// Its identity.
    pub image: ImageId,
    /// Whether it is the head of the lineage.
    pub proven: bool,
    /// When it was promoted, RFC 3339, for people.
    pub promoted_at: Option<String>,
}

/// The serving containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServingView {
    /// The containers: all of one image, the newest first.
    pub members: Vec<Member>,
    /// The image they run.
    pub image: ImageId,
    /// The version of that image.
    pub version: Version,
    /// Whether they are local containers.
    pub local: bool,
}

/// A container that serves, or that soaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub container: String,
    /// Its identity.
    pub id: ContainerId,
}

/// The pending upgrade as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingView {
    /// Version that would be promoted.
    pub version: Version,
    /// Image that would be promoted.
    pub image: ImageId,
    /// The containers of it that soak; if no pass has seen one run, those that have ended.
    pub members: Vec<Member>,
    /// How long it has soaked, in milliseconds.
    pub up_ms: u64,
    /// How long it must, in milliseconds.
    pub soak_ms: u64,
    /// What its soak waits for; none while that counts.
    pub waits: Option<Waits>,
    /// How often the soak began again.
    pub restarts: u32,
    /// When the upgrade began, RFC 3339, for people.
    pub began_at: String,
    /// How long ago that was on the clock, in milliseconds.
    pub age_ms: u64,
}

/// What the soak of a pending upgrade waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waits {
    /// For this to be over.
    Trouble(SoakTrouble),
    /// For one of its containers to run.
    Running,
    /// For a yes of the `ready` command, which was not asked at this look.
    Ready,
    /// For the next pass, with which it begins.
    NextPass,
}

/// A removal that the engine refused, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedView {
    /// What was to be removed: a reference, an image id or a container id.
    pub target: String,
    /// What people call it: of a container, its name.
    pub called: String,
    /// What the engine said.
    pub reason: String,
    /// In how many milliseconds it is tried again.
    pub retry_in_ms: u64,
}

/// The verdict on one name, or on a nameless image, and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameVerdict {
    /// The name; none for a nameless image.
    pub reference: Option<Reference>,
    /// The image it names.
    pub image: ImageId,
    /// Size of the image in bytes.
    pub size_bytes: u64,
    /// Why; the verdict follows from it.
    pub reason: Reason,
    /// The particulars of the reason, for people.
    pub detail: Detail,
}

impl NameVerdict {
    /// By name, the nameless first.
    pub(crate) fn by_name(&self, other: &Self) -> Ordering {
        (&self.reference, &self.image).cmp(&(&other.reference, &other.image))
    }

    /// What a refused removal of it is remembered by.
    pub(crate) fn removal_target(&self) -> String {
        removal_target(self.reference.as_ref(), &self.image)
    }

    /// What is to be done with the name.
    pub fn verdict(&self) -> Verdict {
        self.reason.verdict()
    }
}

/// A name, or else the image's id.
fn removal_target(reference: Option<&Reference>, image: &ImageId) -> String {
    reference.map_or_else(|| image.to_string(), ToString::to_string)
}

/// What is to be done with a name on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It is kept.
    Keep,
    /// It is removed.
    Remove,
    /// It moves to another image.
    Retag,
}

/// The rows of the verdict table (design 4.5), in its order, and the two exceptions for names (R4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// `repository:latest` names the image.
    Latest,
    /// The image of the pending upgrade.
    Pending,
    /// The image is in the lineage, or is the provisional fallback.
    Fallback,
    /// A container uses the image.
    InUse,
    /// Another build of a version that is kept; it never ran here (R7).
    Twin,
    /// A promotion made it obsolete (R3).
    Retired,
    /// It existed before anything was proven, and no promotion has replaced anything since.
    Inherited,
    /// Idle for less than the grace period.
    Grace,
    /// Idle for the grace period, and proven by nothing.
    Idle,
    /// The local name of a fallback that has its remote name too (R4).
    Renamed,
    /// A remote name of a fallback's version on an image that is removed: the name moves to the
    /// fallback (R4).
    Adopt,
}

impl Reason {
    /// Every reason, in the order of the table.
    pub const ALL: [Self; 11] = [
        Self::Latest,
        Self::Pending,
        Self::Fallback,
        Self::InUse,
        Self::Twin,
        Self::Retired,
        Self::Inherited,
        Self::Grace,
        Self::Idle,
        Self::Renamed,
        Self::Adopt,
    ];

    /// The column of the verdict table that belongs to the reason.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Adopt => Verdict::Retag,
            Self::Renamed | Self::Retired | Self::Idle => Verdict::Remove,
            Self::Latest
            | Self::Pending
            | Self::Fallback
            | Self::Twin
            | Self::InUse
            | Self::Inherited
            | Self::Grace => Verdict::Keep,
        }
    }
}

/// One change to the engine, with what must still be true right before it (design 4.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The change.
    pub kind: ActionKind,
    /// What the engine is asked right before. If one of them fails, the action is dropped.
    pub guards: Vec<Guard>,
}

/// A change to the engine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActionKind {
    /// Give a name to an image, moving it from another if need be. One engine call.
    Tag {
        /// The image that gets the name.
        image: ImageId,
        /// The name.
        reference: Reference,
        /// What for.
        purpose: TagPurpose,
    },
    /// Create a container that is never started, so that its image is in use.
    CreatePin {
        /// Its name.
        container: String,
        /// The image, a fallback.
        image: ImageId,
    },
    /// Remove a pin.
    RemovePin {
        /// Its name.
        container: String,
        /// Its identity.
        id: ContainerId,
        /// The image that it refers to.
        image: ImageId,
    },
    /// Remove a stale local container (R2).
    RemoveContainer {
        /// Its name.
        container: String,
        /// Its identity.
        id: ContainerId,
        /// The image it was created from.
        image: ImageId,
    },
    /// Remove one name of an image, or a nameless image by its id.
    RemoveImage {
        /// The name; none to remove by id.
        reference: Option<Reference>,
        /// The image that the name must still mean.
        image: ImageId,
        /// Why.
        reason: Reason,
    },
}

impl ActionKind {
    /// Tags come before pins, pins before containers, containers before images.
    pub fn phase(&self) -> u8 {
        match self {
            Self::Tag { .. } => 0,
            Self::CreatePin { .. } => 1,
            Self::RemovePin { .. } | Self::RemoveContainer { .. } => 2,
            Self::RemoveImage { .. } => 3,
        }
    }

    /// The image that the action was decided for.
    pub fn image(&self) -> &ImageId {
        match self {
            Self::Tag { image, .. }
            | Self::CreatePin { image, .. }
            | Self::RemovePin { image, .. }
            | Self::RemoveContainer { image, .. }
            | Self::RemoveImage { image, .. } => image,
        }
    }

    /// Whether it is the one call that moves `repository:latest`.
    pub fn moves_latest(&self) -> bool {
        matches!(
            self,
            Self::Tag {
                purpose: TagPurpose::Promote | TagPurpose::Restore,
                ..
            }
        )
    }

    /// What a refused removal is remembered by; none for an action that removes nothing.
    pub fn removal_target(&self) -> Option<String> {
        match self {
            Self::Tag { .. } | Self::CreatePin { .. } => None,
            Self::RemovePin { id, .. } | Self::RemoveContainer { id, .. } => Some(id.to_string()),
            Self::RemoveImage {
                reference, image, ..
            } => Some(removal_target(reference.as_ref(), image)),
        }
    }
}

/// What must still be true right before an action.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guard {
    /// The name means this image, or nothing.
    Means {
        /// The name.
        reference: Reference,
        /// The image; none if nothing has the name.
        image: Option<ImageId>,
    },
    /// The image would keep a tag without this name, and one that does not move: not `latest`.
    KeepsTag {
        /// The image.
        image: ImageId,
        /// The name that it loses.
        without: Reference,
    },
    /// No container uses the image, or it would keep a tag without this name: the image itself
    /// leaves the disk only unused.
    UnusedIfLast {
        /// The image.
        image: ImageId,
        /// The name that it loses.
        without: Reference,
    },
    /// No container uses the image.
    Unused {
        /// The image.
        image: ImageId,
    },
    /// The image has no name.
    Nameless {
        /// The image.
        image: ImageId,
    },
    /// These incarnations of the image run, and each is healthy or has no health check.
    Running {
        /// The image.
        image: ImageId,
        /// The incarnations.
        members: Vec<Incarnation>,
    },
    /// The container is stopped, is the same incarnation and was created from the image.
    Stopped {
        /// The container.
        container: ContainerId,
        /// Its incarnation's `StartedAt`; none if that was not looked at.
        started_at: Option<String>,
        /// The image.
        image: ImageId,
    },
}

/// What a name is given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TagPurpose {
    /// `latest` moves to an image that has soaked: the commit point of a promotion (4.4).
    Promote,
    /// `latest` goes back to the proven head (4.4).
    Restore,
    /// An image of the lineage, or one that `latest` is about to leave, gets a name that a prune
    /// spares (4.4).
    KeepName,
    /// R4: the remote name moves to the fallback that really ran.
    Adopt,
}
