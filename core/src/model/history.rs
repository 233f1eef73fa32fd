//! What happened to images, for people: `tagkeeper explain` reads it, and no decision does.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{ImageId, Reason, Reference, Version, WorkloadState};

/// Images that are remembered of one workload: so many that were promoted, and as many that never
/// were. The others go, the longest untouched first.
pub const HISTORY_KEPT: usize = 12;

/// What is remembered of one image, on the disk or gone from it. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageHistory {
    /// Its identity.
    pub image: ImageId,
    /// The version that it had.
    pub version: Version,
    /// The names that tagkeeper removed from it, as it left the disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// When it was first seen on the disk; absent if it came with so many others that they were not
    /// all written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen_at: Option<String>,
    /// When it was last promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_at: Option<String>,
    /// What took `latest` from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Replaced>,
    /// What made it obsolete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<RetiredBy>,
    /// How it left the disk; absent while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Removed>,
}

/// `latest` left the image for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The version that became latest.
    pub by: Version,
    /// When.
    pub at: String,
}

/// The image became obsolete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiredBy {
    /// The version whose promotion did that; absent where it was the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Version>,
    /// When.
    pub at: String,
}

/// The image left the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Why, as far as that is known.
    pub why: RemovedBy,
    /// When that was seen.
    pub at: String,
}

/// Why an image left the disk, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemovedBy {
    /// It was retired, and removed for that.
    Retired,
    /// It was idle: for the grace period, or until the disk was full.
    Idle,
    /// Something other than tagkeeper removed it.
    #[serde(alias = "unasked")]
    Other,
}

impl RemovedBy {
    /// The word for it in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retired => "retired",
            Self::Idle => "idle",
            Self::Other => "other",
        }
    }
}

impl WorkloadState {
    /// Writes down what happened to an image, and moves it to the front of the history. `version`
    /// is called where nothing is known of it yet.
    pub fn note(
        &mut self,
        image: &ImageId,
        version: impl FnOnce() -> Version,
        change: impl FnOnce(&mut ImageHistory),
    ) {
        let known = self.history.iter().position(|past| past.image == *image);
        let mut past = match known {
            Some(at) => self.history.remove(at),
            None => ImageHistory {
                image: image.clone(),
                version: version(),
                names: Vec::new(),
                first_seen_at: None,
                promoted_at: None,
                replaced: None,
                retired: None,
                removed: None,
            },
        };
        change(&mut past);
        self.history.insert(0, past);
        let (mut promoted, mut others) = (0, 0);
        self.history.retain(|past| {
            let count = if past.promoted_at.is_some() {
                &mut promoted
            } else {
                &mut others
            };
            *count += 1;
            *count <= HISTORY_KEPT
        });
    }

    /// Writes down that a removal took an image off the disk: it is no longer on record, and its
    /// history says why. `names` are those that it has lost to removals, and `at` is the time.
    pub fn note_deleted(
        &mut self,
        image: &ImageId,
        reference: Option<&Reference>,
        reason: Reason,
        names: Vec<String>,
        at: &str,
    ) {
        let why = if reason == Reason::Idle {
            RemovedBy::Idle
        } else {
            RemovedBy::Retired
        };
        let tag = reference.and_then(Reference::version_tag);
        let version = || tag.map_or_else(|| image.short_version(), Version::new);
        self.note(image, version, |past| {
            past.names = names;
            past.removed = Some(Removed {
                why,
                at: at.to_owned(),
            });
        });
        self.memory.images.remove(image);
        self.memory.retired.remove(image);
    }

    /// What is remembered of an image.
    pub fn past(&self, image: &ImageId) -> Option<&ImageHistory> {
        self.history.iter().find(|past| past.image == *image)
    }
}
