//! Why a name gets its verdict, as far as the reason alone does not say it: data, put into words when somebody reads it.
//!
//! An idle pass judges every name on the host, and nobody reads a word of it.

use std::fmt;

use crate::image::{ImageId, Version};
use crate::policy::WorkloadName;
use crate::span;
use crate::world::ContainerState;

/// A reason in a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The same words for every image.
    Words(&'static str),
    /// The name moves to the fallback.
    MovesTo {
        /// The fallback.
        image: ImageId,
        /// The version that it ran as.
        version: Version,
    },
    /// Another workload that knows the nameless image keeps it.
    KeptBy {
        /// That workload.
        workload: WorkloadName,
        /// Why it does.
        why: Box<Self>,
    },
    /// The image is in the lineage as this version.
    Proven(Version),
    /// Containers use the image.
    UsedBy {
        /// The first one's name.
        container: String,
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
        /// Why it does not get all of that; nothing, as long as it does.
        cut_short: Option<String>,
    },
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(words) => f.write_str(words),
            Self::MovesTo { image, version } => {
                write!(
                    f,
                    "moves to {}, which really ran as {version}",
                    image.short()
                )
            }
            Self::KeptBy { workload, why } => write!(f, "workload {workload} keeps it: {why}"),
            Self::Proven(version) => write!(f, "{version} is proven and kept to fall back to"),
            Self::UsedBy {
                container,
                state,
                others,
            } => {
                write!(f, "used by {container} ({})", state.as_str())?;
                match others {
                    0 => Ok(()),
                    others => write!(f, " and {others} more"),
                }
            }
            Self::Idle {
                idle_ms,
                grace_ms,
                cut_short,
            } => {
                let (idle, grace) = (span::compact(*idle_ms), span::compact(*grace_ms));
                write!(f, "idle for {idle} of {grace}")?;
                match cut_short {
                    Some(why) => write!(f, "; {why}"),
                    None => Ok(()),
                }
            }
        }
    }
}
