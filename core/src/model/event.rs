//! What changed between two states, or on the engine: for the log and the hooks.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::{
    ActionKind, ContainerState, Detail, End, EndedBy, HeldBy, ImageId, Moment, Outcome, Reference,
    Version, WorkloadName,
};

/// An event that a hook is to be notified of, until it has been: saved with the decision that it
/// comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undelivered {
    /// Its id, the same each time the hook is run for it.
    pub id: String,
    /// When it happened.
    pub since: Moment,
    /// How often the hook was run for it, this time included.
    pub attempts: u32,
    /// The clock from which the hook is run again.
    pub retry_ms: u64,
    /// What happened.
    pub event: Event,
}

/// One thing that changed. Only what a hook can be notified of can be saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Whose it is.
    pub workload: WorkloadName,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A pending upgrade began.
    #[serde(skip)]
    Pending {
        /// The version that soaks.
        version: Version,
        /// Its image.
        image: ImageId,
        /// The container, or the newest of several.
        container: String,
        /// For how long it soaks, in milliseconds.
        soak_ms: u64,
    },
    /// The soak began again, or waits.
    #[serde(skip)]
    Restarted {
        /// The version that soaks.
        version: Version,
        /// Its image.
        image: ImageId,
        /// Why.
        cause: SoakTrouble,
        /// How long it had soaked, in milliseconds.
        up_ms: u64,
    },
    /// A pending upgrade ended without a promotion.
    Ended {
        /// The version.
        version: Version,
        /// Its image.
        image: ImageId,
        /// How.
        outcome: Outcome,
        /// The last end of its containers by themselves.
        own_end: Option<End>,
        /// What took them away, where they did not end by themselves.
        ended_by: EndedBy,
        /// How long the last attempt stayed up, in seconds.
        up_secs: u64,
    },
    /// An image became latest and the head of the lineage.
    Promoted {
        /// The version.
        version: Version,
        /// Its image.
        image: ImageId,
        /// How long it had soaked, in milliseconds.
        up_ms: u64,
        /// What it replaced.
        replaced: Option<Version>,
        /// The first fallback behind it.
        fallback: Option<Version>,
    },
    /// `latest` was put back on the head, which had soaked again: it was on another version.
    #[serde(skip)]
    Restored {
        /// The version.
        version: Version,
        /// Its image.
        image: ImageId,
        /// How long it had soaked, in milliseconds.
        up_ms: u64,
    },
    /// A stale local container is not stopped, so it is not removed.
    #[serde(skip)]
    LocalRuns {
        /// The container.
        container: String,
        /// What it does.
        state: ContainerState,
        /// Its version.
        version: Version,
        /// Its image.
        image: ImageId,
    },
    /// A person rolled back.
    RolledBack {
        /// The version that is rejected.
        version: Version,
        /// Its image.
        image: ImageId,
        /// What latest moves to; none where it stays.
        to: Option<Version>,
    },
    /// A hold began.
    #[serde(skip)]
    Held(HeldBy),
    /// The hold is over, or was taken out of the policy.
    #[serde(skip)]
    Released,
    /// The engine shows a disk with none of the images on record: what is known is parked.
    #[serde(skip)]
    OtherDisk,
    /// An image of the parked memory is seen again: that is what is known.
    #[serde(skip)]
    DiskBack,
    /// An image serves that is rejected.
    #[serde(skip)]
    RejectedServes {
        /// Its version.
        version: Version,
        /// The image.
        image: ImageId,
        /// What `accept` takes to lift the rejection; none if the policy rejects it.
        lifted_by: Option<Version>,
    },
    /// An action changed the engine.
    #[serde(skip)]
    Done {
        /// The change.
        action: ActionKind,
        /// The particulars of its reason.
        detail: Detail,
    },
    /// An action was dropped: something has changed since it was decided.
    #[serde(skip)]
    Dropped {
        /// The action.
        action: ActionKind,
        /// What.
        why: WhyDropped,
    },
    /// The engine refused a removal.
    #[serde(skip)]
    Refused {
        /// The removal.
        action: ActionKind,
        /// What the engine said.
        reason: String,
    },
}

/// What has changed since an action was decided: the guard that does not hold, or what the engine
/// said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyDropped {
    /// The name means another image, or none.
    Moved(Reference),
    /// It is the last name of an image that is needed.
    LastName(Reference),
    /// This container uses the image.
    UsedBy(String),
    /// The image has a name again.
    Named,
    /// The image is gone.
    ImageGone(ImageId),
    /// The container is gone.
    ContainerGone(String),
    /// The container does this now.
    DoesNow(String, ContainerState),
    /// The container has another incarnation, or another image.
    OtherIncarnation(String),
    /// The container is not healthy.
    NotHealthy(String),
    /// No container of the image is to run.
    NoneRuns,
    /// The engine would not do it. What it said.
    Engine(String),
}

/// Why a soak begins again, or does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SoakTrouble {
    /// A container of the group started anew.
    Restarted,
    /// A container joined the group.
    Joined,
    /// A container of the image ended with a failure.
    Ended(End),
    /// A container of the group is in this state.
    NotRunning(ContainerState),
    /// All of its containers are stopped.
    Stopped,
    /// Its containers have not been inspected yet.
    Unclear,
    /// The engine's health check fails.
    Unhealthy,
    /// The engine's health check has no verdict yet.
    NotHealthyYet,
    /// The `ready` command fails; why.
    NotReady(String),
}
