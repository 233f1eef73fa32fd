//! What is remembered between passes (design section 5): plain data, versioned.
//!
//! `file` reads it, `lock` gives the right to write it, `save` does so durably, `validate` tells what makes no sense.
//! Files are touched there and nowhere else. The decision makes a new [`State`] from an old one; nobody else
//! changes it. Every time in here is `clock_ms`, host uptime added up over reboots; wall times are for people.

mod clock;
mod error;
mod file;
mod history;
mod lock;
mod save;
mod sightings;
mod tally;
mod validate;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::image::{ImageId, Repository, Version};
use crate::policy::WorkloadName;
use crate::world::ContainerId;

pub use clock::{Clock, Now, Reading};
pub use error::FileError;
pub use file::{LoadError, Loaded, StateDir, parse_state};
pub use history::{Departure, HISTORY_KEPT, Past, Removed, Replaced, Retired};
pub use lock::{Lock, LockError};
pub use save::SaveError;
pub use sightings::Sightings;
pub use tally::Tally;

/// The format that this program writes. A file with a newer one is refused (design 5.1).
pub const FORMAT_VERSION: u32 = 1;

/// The whole memory of tagkeeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// [`FORMAT_VERSION`] of the writer.
    pub version: u32,
    /// The clock as of the last save.
    pub clock: Clock,
    /// The workloads, those that left the policy included (`came_in` is then absent).
    pub workloads: BTreeMap<WorkloadName, WorkloadState>,
}

impl State {
    /// A fresh start.
    pub fn fresh() -> Self {
        Self {
            version: FORMAT_VERSION,
            clock: Clock::default(),
            workloads: BTreeMap::new(),
        }
    }

    /// Whether the two differ in anything but the clock: whether a save is called for (design 5.1).
    pub fn differs_from(&self, other: &Self) -> bool {
        self.version != other.version || self.workloads != other.workloads
    }
}

/// Where the state is kept.
pub trait Store {
    /// Saves the state. Once it returns, the new state is durable; when it fails, the old one still is.
    fn save(&mut self, state: &State) -> anyhow::Result<()>;
}

/// A moment: on the clock for decisions, on the wall for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// Host uptime added up over reboots, in milliseconds.
    pub clock_ms: u64,
    /// RFC 3339; for people only.
    pub at: String,
}

/// What is remembered of one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadState {
    /// When the workload came into the state; absent once it has left the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came_in: Option<Moment>,
    /// The repositories that the last pass knew the workload by, as normalised names compare.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub repositories: BTreeSet<Repository>,
    /// The proven images, newest first: head, then fallbacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<Proven>,
    /// The pending upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// Images that a promotion made obsolete, waiting to leave the disk.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub retired: BTreeSet<ImageId>,
    /// Images that a rollback rejected: never pending again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rejected: BTreeMap<ImageId, Rejected>,
    /// Every image of the workload on the disk.
    #[serde(default, skip_serializing_if = "no_sightings")]
    pub images: Sightings,
    /// Orchestrated containers that ran dry beside the local container: dry runs for as long as they exist (4.1).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub dry_runs: BTreeSet<ContainerId>,
    /// Upgrades that failed, newest first; for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
    /// What happened to images, the last touched first; for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Past>,
    /// Since when the workload is on hold; time on hold does not count as idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since_ms: Option<u64>,
    /// What it has come to since it came in.
    #[serde(default, skip_serializing_if = "Tally::is_empty")]
    pub tally: Tally,
}

/// A proven image: an entry of the lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proven {
    /// Its version, written down at promotion and not guessed again (design 4.2).
    pub version: Version,
    /// Its identity.
    pub image: ImageId,
    /// Whether the orchestrator is known to have deployed or held it; never unset (design 4.4).
    pub rolled_out: bool,
    /// When it was promoted (for people); absent for a stand-in, which never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_at: Option<String>,
}

/// A serving incarnation whose image is not proven yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// Version of the image, for people and for twins.
    pub version: Version,
    /// The image that would be promoted.
    pub image: ImageId,
    /// The name of the container that serves it.
    pub container: String,
    /// The incarnation: container id ...
    pub id: ContainerId,
    /// ... plus `StartedAt`.
    pub started_at: String,
    /// Whether the container is an orchestrated one (R5 depends on it).
    pub orchestrated: bool,
    /// When the pending upgrade began, restarts included.
    pub began: Moment,
    /// Since when the soak counts; absent while the container is unhealthy or not ready.
    pub soaking_since_ms: Option<u64>,
    /// Incarnations of the same image before this one.
    pub restarts: u32,
    /// The soak is over: noted and saved before `latest` is moved (design 4.4).
    pub soaked: bool,
    /// What was `latest` when the upgrade began; only while no image of the lineage was on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stand_in: Option<Proven>,
}

/// A rejection by a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejected {
    /// The version it had; `accept` goes by it.
    pub version: Version,
    /// When, RFC 3339; for people.
    pub at: String,
}

/// What is known of an image because it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sighting {
    /// When it was first seen on the disk.
    pub first_seen_ms: u64,
    /// Since when no container uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_since_ms: Option<u64>,
    /// It was there when the workload (or one of its repositories) came in, and no promotion has replaced anything
    /// since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inherited: bool,
    /// Passes that saw it pending, counted up to two: one that was seen once and went is no failure worth telling.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub times_pending: u8,
}

fn no_sightings(images: &Sightings) -> bool {
    images.is_empty()
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
fn is_zero(count: &u8) -> bool {
    *count == 0
}

/// Upgrades of one image that failed; for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Version of the image.
    pub version: Version,
    /// Its identity: one entry for each image.
    pub image: ImageId,
    /// Incarnations that did not last.
    pub attempts: u32,
    /// How long the last one stayed up, in seconds.
    pub up_secs: u64,
    /// Why the last one ended: `exited (1)`, `removed`, `replaced`, `several images at once`.
    pub reason: String,
    /// When, RFC 3339.
    pub at: String,
}
