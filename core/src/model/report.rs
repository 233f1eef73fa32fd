//! The history of one image, for a person who asks. Data.

use alloc::string::String;
use alloc::vec::Vec;

use super::{
    Detail, Failure, ImageId, PendingView, Reason, Reference, Rejected, Removed, Replaced,
    RetiredBy, Version, Waits, WorkloadName,
};

/// All that is known of one image of one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReport {
    /// Whose image it is.
    pub workload: WorkloadName,
    /// Its identity.
    pub image: ImageId,
    /// The version that it has, or had.
    pub version: Version,
    /// Size in bytes; none of an image that is not on the disk.
    pub size_bytes: Option<u64>,
    /// When it was first seen.
    pub first_seen: FirstSeen,
    /// When it was last promoted, RFC 3339.
    pub promoted_at: Option<String>,
    /// What took `latest` from it.
    pub replaced: Option<Replaced>,
    /// What made it obsolete.
    pub retired: Option<RetiredBy>,
    /// The rejection by a person, if it stands.
    pub rejected: Option<Rejected>,
    /// What `accept` takes to lift that.
    pub lifted_by: Option<Version>,
    /// Whether `[reject]` of the policy names it.
    pub rejected_by_policy: bool,
    /// The upgrade to it that is soaking.
    pub pending: Option<PendingView>,
    /// The upgrades to it that were not promoted.
    pub failure: Option<Failure>,
    /// How it left the disk.
    pub removed: Option<Removed>,
    /// The names that it had when it left the disk, as far as tagkeeper removed them.
    pub past_names: Vec<String>,
    /// Its names on the disk, one of them none for a nameless image; empty once it has left.
    pub names: Vec<NameReport>,
}

/// When an image was first seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstSeen {
    /// At this time, RFC 3339.
    At(String),
    /// It was there when the records began, at this time.
    Before(String),
    /// So many milliseconds of host uptime ago; the time of day was not written down.
    Ago(u64),
    /// It is not on record.
    Unknown,
}

/// The verdict on one name, and until when it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameReport {
    /// The name; none for a nameless image.
    pub reference: Option<Reference>,
    /// Why it is kept, moved or removed.
    pub reason: Reason,
    /// The particulars.
    pub detail: Detail,
    /// When that changes.
    pub until: KeptUntil,
}

/// When a verdict changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptUntil {
    /// Nothing happens while the workload is on hold.
    HoldEnds,
    /// Another version is promoted.
    OtherPromoted,
    /// Its soak is over, in so many milliseconds of an unbroken run.
    Soaked(u64),
    /// Its soak, which waits, has begun again and is over.
    Waits(Waits),
    /// So many promotions are made.
    Promotions(usize),
    /// The other workload that keeps it does so no more.
    OtherWorkload,
    /// Its version is needed no more.
    VersionUnneeded,
    /// No container uses it any more; then it is removed at once, or has its grace.
    Unused {
        /// The name of the one, or of the first.
        container: String,
        /// How many others there are.
        others: usize,
        /// Whether it is removed at once then.
        at_once: bool,
    },
    /// A promotion replaces something.
    AnyReplaced,
    /// Its grace period is over, or the disk is too full for one.
    GraceOver {
        /// Milliseconds of host uptime.
        left_ms: u64,
        /// How full the disk may become before it is removed sooner; none if that never happens.
        pressure_percent: Option<u8>,
    },
    /// The next pass.
    NextPass,
    /// The engine, which refused to remove it, is asked again, in so many milliseconds of host
    /// uptime.
    AskedAgain(u64),
}
