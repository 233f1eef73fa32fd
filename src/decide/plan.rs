//! What a decision says: the plan that `plan` prints and `reconcile` applies.
//!
//! Plain data. Every image gets a reason from one enum, and that enum is what text, JSON and logs print.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::image::{ImageId, Reference, Version};
use crate::policy::WorkloadName;
use crate::state::{Failure, Moment, Proven, Rejected, Tally};
use crate::world::ContainerId;

use super::detail::Detail;

/// The next round, workload by workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// One plan for each workload of the policy.
    pub workloads: BTreeMap<WorkloadName, WorkloadPlan>,
    /// What is left to do for workloads that the policy does not name any more: their pins go.
    pub departed: BTreeMap<WorkloadName, Vec<Action>>,
}

impl Plan {
    /// Brings the verdicts into the order of their names, in which people and programs read them. A pass has no use for
    /// that.
    pub fn sort_by_names(&mut self) {
        for workload in self.workloads.values_mut() {
            workload.images.sort_by(Judgement::by_name);
        }
    }

    /// Every action of the round in the order of design 4.6: tags, then containers, then images. A pin comes before the one
    /// that it takes the place of goes.
    pub fn actions(&self) -> Vec<(&WorkloadName, &Action)> {
        let mut actions: Vec<_> = self
            .workloads
            .iter()
            .map(|(name, plan)| (name, &plan.actions))
            .chain(&self.departed)
            .flat_map(|(name, actions)| actions.iter().map(move |a| (name, a)))
            .collect();
        actions.sort_by_key(|(_, action)| action.phase());
        actions
    }

    /// For people: why a name goes that has been idle, with the figures; none for another action.
    pub fn why_idle(&self, workload: &WorkloadName, action: &Action) -> Option<&Detail> {
        let Action::RemoveImage {
            reference,
            image,
            reason: Reason::Idle,
        } = action
        else {
            return None;
        };
        let judged = &self.workloads.get(workload)?.images;
        let judgement = judged
            .iter()
            .find(|j| j.reference == *reference && j.image == *image)?;
        Some(&judgement.detail)
    }
}

/// One workload: how it stands, what becomes of each image, and what to do about it in the next round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadPlan {
    /// What `repository:latest` names.
    pub latest: Option<Latest>,
    /// What is proven, and what `latest` should name: the first entry of the lineage that is on the disk.
    pub head: Option<Proven>,
    /// The lineage behind the head, as far as it is on the disk.
    pub fallbacks: Vec<Proven>,
    /// The images that a pin of the workload refers to, with the pin's name.
    pub pins: BTreeMap<ImageId, String>,
    /// Who does the workload's work, if that can be told.
    pub serving: Option<Serving>,
    /// What a person should know: why nothing serves, what was moved by hand.
    pub notes: Vec<String>,
    /// The pending upgrade.
    pub pending: Option<PendingView>,
    /// Upgrades that failed, newest first.
    pub failures: Vec<Failure>,
    /// Images that a rollback rejected.
    pub rejected: BTreeMap<ImageId, Rejected>,
    /// Since when the records of the workload go back.
    pub since: Option<Moment>,
    /// What the workload has come to since then.
    pub tally: Tally,
    /// Whether the policy holds the workload.
    pub hold: bool,
    /// Every name (and nameless image) with its verdict, in the order of the engine's list.
    pub images: Vec<Judgement>,
    /// The images that leave the disk by these verdicts: those whose every name goes or moves away.
    pub leaving: BTreeSet<ImageId>,
    /// The next round's actions: tags, then containers, then images.
    pub actions: Vec<Action>,
}

impl WorkloadPlan {
    /// Whether `latest` does not name what is proven: somebody moved or removed it.
    pub fn has_drifted(&self) -> bool {
        let latest = self.latest.as_ref().map(|latest| &latest.image);
        self.head
            .as_ref()
            .is_some_and(|head| latest != Some(&head.image))
    }

    /// The images of the workload on the disk with their sizes in bytes, each once, however many names it has.
    pub fn sizes(&self) -> BTreeMap<&ImageId, u64> {
        let images = self.images.iter();
        images.map(|j| (&j.image, j.size_bytes)).collect()
    }

    /// What the images weigh that leave the disk by these verdicts, in bytes. An upper bound: the engine counts layers that
    /// images share for each of them.
    pub fn leaving_bytes(&self) -> u64 {
        let sizes = self.sizes();
        let leaving = self.leaving.iter().filter_map(|id| sizes.get(id));
        leaving.fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }
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

/// The serving container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// Its name.
    pub container: String,
    /// Its identity.
    pub id: ContainerId,
    /// The image it runs.
    pub image: ImageId,
    /// The version of that image.
    pub version: Version,
    /// Whether it is the local container.
    pub local: bool,
}

/// The pending upgrade as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingView {
    /// Version that would be promoted.
    pub version: Version,
    /// Image that would be promoted.
    pub image: ImageId,
    /// Name of the container that serves it.
    pub container: String,
    /// Its identity.
    pub id: ContainerId,
    /// How long the incarnation has soaked, in milliseconds.
    pub up_ms: u64,
    /// How long it must, in milliseconds.
    pub soak_ms: u64,
    /// Incarnations of the same image before this one.
    pub restarts: u32,
    /// When the upgrade began, RFC 3339, for people.
    pub began_at: String,
}

/// What becomes of one name, or of a nameless image, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The name; none for a nameless image.
    pub reference: Option<Reference>,
    /// The image it names.
    pub image: ImageId,
    /// Size of the image in bytes.
    pub size_bytes: u64,
    /// Why; the verdict follows from it.
    pub reason: Reason,
    /// The same in a sentence for people.
    pub detail: Detail,
}

impl Judgement {
    /// By name, the nameless first.
    pub(crate) fn by_name(&self, other: &Self) -> Ordering {
        (&self.reference, &self.image).cmp(&(&other.reference, &other.image))
    }

    /// What becomes of it.
    pub fn verdict(&self) -> Verdict {
        self.reason.verdict()
    }
}

/// What becomes of a name on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It stays.
    Keep,
    /// It goes.
    Remove,
    /// It moves to another image.
    Retag,
}

/// The rows of the verdict table (design 4.5), in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The workload is on hold.
    Held,
    /// It is `repository:latest`, or names the same image.
    Latest,
    /// The image of the pending upgrade.
    Pending,
    /// A remote name of a fallback's version on an image that never ran: the name moves to the fallback (R4).
    Adopt,
    /// The local name of a fallback that bears a remote tag too (R4).
    Renamed,
    /// Its image is in the lineage.
    Fallback,
    /// The same version as the head, the pending upgrade or its stand-in, under another image id (R7).
    Twin,
    /// A container uses its image.
    InUse,
    /// A promotion made it obsolete (R3).
    Retired,
    /// It was there before tagkeeper, and no promotion has replaced anything since.
    Inherited,
    /// Idle for less than the grace period.
    Grace,
    /// Idle for the grace period, and proven by nothing.
    Idle,
}

impl Reason {
    /// The column of the verdict table that belongs to the reason.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Adopt => Verdict::Retag,
            Self::Renamed | Self::Retired | Self::Idle => Verdict::Remove,
            Self::Held
            | Self::Latest
            | Self::Pending
            | Self::Fallback
            | Self::Twin
            | Self::InUse
            | Self::Inherited
            | Self::Grace => Verdict::Keep,
        }
    }

    /// The word for it in text, JSON and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Latest => "latest",
            Self::Pending => "pending",
            Self::Adopt => "adopt",
            Self::Renamed => "renamed",
            Self::Fallback => "fallback",
            Self::Twin => "twin",
            Self::InUse => "in-use",
            Self::Retired => "retired",
            Self::Inherited => "inherited",
            Self::Grace => "grace",
            Self::Idle => "idle",
        }
    }
}

impl Verdict {
    /// The word for it in text, JSON and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Remove => "remove",
            Self::Retag => "retag",
        }
    }
}

/// One change to the engine. Each carries what it was decided for; right before acting that is asked again (4.6).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Give a name to an image, moving it from another if need be. One engine call.
    Tag {
        /// The image that gets the name.
        image: ImageId,
        /// The name.
        reference: Reference,
        /// What the name meant when this was decided.
        replaces: Option<ImageId>,
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
    /// Remove the stale local container (R2).
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

impl Action {
    /// Tags come before containers, new containers before those that go, containers before images.
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
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag {
                image, reference, ..
            } => write!(f, "tag {} as {reference}", image.short()),
            Self::CreatePin { container, image } => {
                write!(f, "pin image {} by container {container}", image.short())
            }
            Self::RemovePin { container, .. } => write!(f, "remove pin {container}"),
            Self::RemoveContainer { container, .. } => write!(f, "remove container {container}"),
            Self::RemoveImage {
                reference: Some(reference),
                ..
            } => write!(f, "remove image {reference}"),
            Self::RemoveImage {
                reference: None,
                image,
                ..
            } => write!(f, "remove image {} by id", image.short()),
        }
    }
}

/// What a name is given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TagPurpose {
    /// `latest` moves to an image that has soaked: the commit point of a promotion (4.4).
    Promote,
    /// `latest` goes back to the proven head: somebody took the name, or a rollback asks for it (4.4).
    Restore,
    /// The image that `latest` leaves would lose its last tag; this one keeps it findable (4.4).
    KeepName,
    /// R4: the remote name moves to the fallback that really ran.
    Adopt,
}
