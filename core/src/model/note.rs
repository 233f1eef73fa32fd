//! What people are told beside the verdicts: data, put into words by the program where it is
//! printed.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{ContainerState, HeldBy, ImageId, Reference, Repository, Version, WorkloadName};

/// The particulars of a reason. An idle pass judges every name on the host, and its details are
/// seldom printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The reason says it all.
    None,
    /// The name moves to the fallback.
    MovesTo {
        /// The fallback.
        image: ImageId,
        /// The version that it ran as.
        version: Version,
    },
    /// Another workload keeps the image.
    KeptByOther {
        /// That workload.
        workload: WorkloadName,
        /// Its reason's particulars.
        why: Box<Self>,
    },
    /// The image is in the lineage as this version.
    Proven(Version),
    /// It was `latest` when the upgrade began, as this version, and nothing is proven yet.
    Provisional(Version),
    /// Containers use the image.
    UsedBy {
        /// The first one's name.
        container: Arc<str>,
        /// What that one does.
        state: ContainerState,
        /// How many there are beside it.
        others: usize,
    },
    /// Nothing uses the image.
    Idle {
        /// For how long, in milliseconds.
        idle_ms: u64,
        /// The grace period, in milliseconds.
        grace_ms: u64,
        /// How full the disk is, in percent, and the threshold: why it does not get all of its
        /// grace.
        cut_short: Option<(u8, u8)>,
    },
}

/// What a person should know of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Nothing is changed.
    Held(HeldBy),
    /// None of the images on record is on the disk: what is known is parked (design 4.6).
    OtherDisk,
    /// No container of the workload runs.
    NothingRuns,
    /// None runs, and one is between two attempts of its restart policy.
    Loops {
        /// The container.
        container: String,
        /// Its version.
        version: Version,
    },
    /// What runs is a dry run.
    OnlyDryRuns {
        /// The container.
        container: String,
        /// Its version.
        version: Version,
    },
    /// An upgrade is up, and a local container does the work: it soaks once that has stopped.
    WaitsForLocal {
        /// The upgrade's container.
        container: String,
        /// Its version.
        version: Version,
        /// The local containers that run.
        locals: Vec<String>,
    },
    /// Orchestrated containers run different images.
    SeveralImages {
        /// A container and its version.
        one: (String, Version),
        /// Another one that runs another image.
        other: (String, Version),
    },
    /// Local containers run different images.
    LocalsDiffer {
        /// A container and its version.
        one: (String, Version),
        /// Another one that runs another image.
        other: (String, Version),
    },
    /// A container of another image has the local name.
    ForeignLocal {
        /// The container.
        container: String,
        /// What it was created from.
        runs: String,
        /// What it does.
        state: ContainerState,
    },
    /// The engine listed a container without a name: its role cannot be told.
    NamelessContainer {
        /// Its id.
        container: String,
    },
    /// What serves is rejected.
    RejectedServes {
        /// The version.
        version: Version,
        /// What `accept` takes to lift the rejection; none if the policy rejects it.
        lifted_by: Option<Version>,
    },
    /// The policy rejects the head, which stays.
    HeadNamedByPolicy {
        /// The version.
        version: Version,
    },
    /// `latest` names nothing.
    LatestMissing {
        /// The repository.
        repository: Repository,
        /// Whether the next pass restores it.
        restored: bool,
    },
    /// `latest` was moved by something else.
    LatestMoved {
        /// The repository.
        repository: Repository,
        /// What it names now.
        version: Version,
        /// What is proven.
        proven: Version,
    },
    /// A stale local container that is not stopped (R2).
    LocalRuns {
        /// The container.
        container: String,
        /// What it does.
        state: ContainerState,
        /// Its version.
        version: Version,
    },
    /// A stale local container that is removed if the next look finds it stopped too (R2).
    LocalStopped {
        /// The container.
        container: String,
        /// Its version.
        version: Version,
    },
    /// The local container was created from another tag than `latest`: its service does not start
    /// `latest`.
    LocalTag {
        /// The container.
        container: String,
        /// The name it was created from.
        reference: Reference,
    },
    /// The candidate does not soak.
    NotSoaking {
        /// The version.
        version: Version,
        /// Why.
        cause: super::SoakTrouble,
    },
    /// A dry run has the local version's tag, but the tag has moved to another build since.
    TagMoved {
        /// The container that idles by this rule.
        container: String,
        /// The tag.
        version: Version,
    },
    /// What was promoted last left the disk, and tagkeeper did not remove it.
    HeadLost {
        /// Its version.
        version: Version,
        /// The version that is the head in its place.
        now: Version,
    },
    /// A fallback left the disk, and tagkeeper did not remove it.
    FallbackLost {
        /// Its version.
        version: Version,
    },
    /// The name of a pin is taken by another container.
    PinNameTaken {
        /// The image that is not pinned.
        image: ImageId,
        /// The name.
        name: String,
        /// What that container does.
        state: ContainerState,
    },
    /// A pin of a state that is not this one, as a lost state leaves it.
    PinOfOtherState {
        /// Its name.
        name: String,
    },
    /// A pin was started.
    PinStarted {
        /// Its name.
        name: String,
        /// What it does.
        state: ContainerState,
    },
    /// The disk's usage could not be measured.
    DiskUnknown {
        /// Why.
        why: String,
    },
    /// The disk is above the threshold.
    DiskFull {
        /// How full, in percent.
        percent: u8,
        /// The threshold, in percent.
        threshold: u8,
        /// How many idle images are removed before their grace is over.
        evicted: usize,
    },
}
