//! What changed between two states, or on the engine: for the log and the hooks. Plain data.

use crate::image::{ImageId, Version};
use crate::policy::WorkloadName;

/// One thing that changed, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// Whose it is.
    pub workload: WorkloadName,
    /// The version concerned.
    pub version: Option<Version>,
    /// The image concerned.
    pub image: Option<ImageId>,
    /// The other version in it: what a promotion replaced, what a rollback went back to.
    pub other: Option<Version>,
    /// The sentence for people, without the workload's name.
    pub message: String,
    /// Whether a person should look at it.
    pub warning: bool,
}

/// The `EVENT=` field of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A pending upgrade began.
    Pending,
    /// The pending upgrade's soak began again.
    Restarted,
    /// A pending upgrade ended without a promotion.
    Failed,
    /// An image became latest and the head of the lineage.
    Promoted,
    /// A name was moved or given, other than `latest`.
    Retagged,
    /// An image, a name or a container was removed.
    Removed,
    /// A fallback was pinned.
    Pinned,
    /// `latest` was put back on the proven head.
    Restored,
    /// Something was left for a later pass.
    Deferred,
    /// A person rolled back.
    RolledBack,
}

impl EventKind {
    /// The word in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Restarted => "restarted",
            Self::Failed => "failed",
            Self::Promoted => "promoted",
            Self::Retagged => "retagged",
            Self::Removed => "removed",
            Self::Pinned => "pinned",
            Self::Restored => "restored",
            Self::Deferred => "deferred",
            Self::RolledBack => "rolled-back",
        }
    }
}
