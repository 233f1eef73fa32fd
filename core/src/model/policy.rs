//! What the operator wants, as far as a decision needs it (design 6). How it is written and read is
//! the program's business.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::{ImageId, Pattern, Reference, Repository, SHORT_DIGITS, begins_digest};

/// Soak when the policy names none: ten minutes (design R1).
const DEFAULT_SOAK_MS: u64 = 10 * 60 * 1000;
/// Proven versions kept behind latest when the policy names no number (design R3).
const DEFAULT_FALLBACKS: usize = 1;
/// How long an unproven image may stay idle when the policy does not say: a day.
pub(crate) const DEFAULT_GRACE_MS: u64 = 24 * 60 * 60 * 1000;

/// The name of a workload in the policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkloadName(String);

impl WorkloadName {
    /// A name; the policy check has made sure that it is letters, digits, `.`, `_` and `-`.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for WorkloadName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The part of a policy that decisions read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The workloads by name. May be empty: nothing to do.
    pub workloads: BTreeMap<WorkloadName, Workload>,
    /// The `[hold]` sections of all files.
    pub holds: Vec<Hold>,
    /// The `[reject]` sections of all files, added up.
    pub rejections: BTreeMap<WorkloadName, Vec<Rejection>>,
}

/// A `[hold]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Which workloads it holds.
    pub workloads: Vec<Pattern>,
    /// For how long, in milliseconds of host uptime since the pass that first saw the section;
    /// none: until it is gone.
    pub for_ms: Option<u64>,
    /// Why, for people.
    pub reason: Option<String>,
}

impl Hold {
    /// What the section is remembered by. Two that say the same are the same.
    pub fn key(&self) -> String {
        use core::fmt::Write;
        let mut key = String::new();
        for pattern in &self.workloads {
            key.push_str(pattern.as_str());
            key.push(' ');
        }
        if let Some(for_ms) = self.for_ms {
            // Writing to a string cannot fail.
            let _ = write!(key, "for {for_ms}ms ");
        }
        key.push_str(self.reason.as_deref().unwrap_or_default());
        key
    }

    /// Whether it names a workload.
    pub fn names(&self, workload: &WorkloadName) -> bool {
        self.workloads.iter().any(|p| p.matches(workload.as_str()))
    }
}

/// An entry of `[reject]`: a version, an image id or digest, or a name with a digest. Of an id or a
/// digest the first twelve digits will do, as `status` prints them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    text: String,
    name: Option<Reference>,
}

impl Rejection {
    /// An entry as it was written.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let name = Reference::parse(&text).ok().filter(Reference::is_digest);
        Self { text, name }
    }

    /// The entry as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it names this version.
    pub fn is_version(&self, version: &str) -> bool {
        self.text == version
    }

    /// Whether it is the id of this image, or begins it.
    pub fn is_id(&self, image: &ImageId) -> bool {
        begins_digest(&self.text, &image.to_string(), SHORT_DIGITS)
    }

    /// Whether it names what a name with a digest names, whatever the tags say.
    pub(crate) fn is_digest_of(&self, name: &Reference) -> bool {
        name.digest().is_some_and(|digest| {
            let same = |own: &Reference| {
                own.digest() == Some(digest) && own.repository() == name.repository()
            };
            begins_digest(&self.text, digest, SHORT_DIGITS) || self.name.as_ref().is_some_and(same)
        })
    }
}

/// `[workload.NAME]`, with `[defaults]` filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// The local repository, whose `latest` the local service runs.
    pub repository: Repository,
    /// The repositories that the orchestrator pulls the same service from.
    pub remotes: Vec<Repository>,
    /// Names of the local containers, or patterns on them.
    pub containers: Vec<Pattern>,
    /// Which other containers count as orchestrated; all that run the workload's images when
    /// absent.
    pub orchestrated: Option<Pattern>,
    /// The command that tells whether the serving container is ready.
    pub ready: Option<Ready>,
    /// How long a candidate must stay up before its image is proven, in milliseconds.
    pub soak_ms: u64,
    /// Proven versions kept behind latest.
    pub fallbacks: usize,
    /// How long an unproven image may stay idle, in milliseconds.
    pub grace_ms: u64,
    /// Whether the orchestrator idles its container while the local one runs the same version.
    pub dry_runs: bool,
    /// What becomes of a fallback that was never rolled out (design R5).
    pub local_fallback: LocalFallback,
    /// The image label that holds the version, where no tag does (design 4.2).
    pub version_label: Option<String>,
    /// Above this percentage of disk usage idle, unproven images do not get all of their grace.
    /// None: the disk is never asked about.
    pub pressure_percent: Option<u8>,
    /// Whether a container that is never started refers to each fallback, so that others cannot
    /// remove it unforced.
    pub pin: bool,
    /// Observe, and change nothing.
    pub hold: bool,
}

impl Workload {
    /// A workload with every key at its default.
    pub fn new(name: &str, repository: Repository) -> Self {
        Self {
            repository,
            remotes: Vec::new(),
            containers: Pattern::parse(name).map_or_else(|_| Vec::new(), |name| vec![name]),
            orchestrated: None,
            ready: None,
            soak_ms: DEFAULT_SOAK_MS,
            fallbacks: DEFAULT_FALLBACKS,
            grace_ms: DEFAULT_GRACE_MS,
            dry_runs: true,
            local_fallback: LocalFallback::Drop,
            version_label: None,
            pressure_percent: None,
            pin: false,
            hold: false,
        }
    }

    /// The local repository, then the remotes.
    pub fn repositories(&self) -> impl Iterator<Item = &Repository> {
        core::iter::once(&self.repository).chain(&self.remotes)
    }

    /// Whether an image name is in one of them.
    pub fn owns(&self, name: &Reference) -> bool {
        self.repositories().any(|own| own == name.repository())
    }

    /// Whether a name is one of a local container.
    pub fn is_local_name(&self, container_name: &str) -> bool {
        self.containers.iter().any(|p| p.matches(container_name))
    }

    /// The local containers for people: `lldp, lldp[0-9]*`.
    pub fn containers_in_words(&self) -> String {
        let names: Vec<&str> = self.containers.iter().map(Pattern::as_str).collect();
        names.join(", ")
    }
}

/// `local_fallback`: what becomes of a fallback that was never rolled out, when an orchestrated
/// container is promoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalFallback {
    /// It is struck from the lineage and removed (design R5).
    Drop,
    /// It is kept: for hosts whose local versions do not come from the registry.
    Keep,
}

/// `ready` and `ready_timeout` (design 4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Program and arguments; run without a shell.
    pub command: Vec<String>,
    /// Its deadline, in milliseconds.
    pub timeout_ms: u64,
}
