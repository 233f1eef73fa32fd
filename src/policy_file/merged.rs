//! What all files say together, in the order of their precedence. Pure, and judges nothing.

use tagkeeper_core::model::{LocalFallback, Pattern, Rejection, Repository};

use super::Settings;
use super::value::{Found, key_name};

/// The files as one. Of a key that two files set, the later one counts; workloads, holds and
/// rejections add up. What was wrong is absent, and has been reported.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) defaults: Shared,
    /// `[engine]`, `[metrics]` and `[hooks]`; the policy is not made yet.
    pub(super) settings: Settings,
    /// Of each file in the order of its text.
    pub(super) workloads: Vec<Workload>,
    pub(super) holds: Vec<Hold>,
    pub(super) rejections: Vec<(Found<String>, Vec<Rejection>)>,
}

/// The keys that `[defaults]` and a workload share.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shared {
    pub(super) soak_ms: Option<u64>,
    pub(super) fallbacks: Option<usize>,
    pub(super) grace_ms: Option<u64>,
    pub(super) dry_runs: Option<bool>,
    pub(super) local_fallback: Option<LocalFallback>,
    pub(super) pressure_percent: Option<u8>,
    pub(super) pin: Option<bool>,
}

/// `[workload.NAME]`.
#[derive(Debug)]
pub(super) struct Workload {
    pub(super) name: Found<String>,
    pub(super) repository: Option<Found<Repository>>,
    pub(super) remotes: Vec<Found<Repository>>,
    /// The workload's name where the key is absent.
    pub(super) containers: Vec<Found<Pattern>>,
    pub(super) orchestrated: Option<Pattern>,
    pub(super) ready: Option<Vec<String>>,
    pub(super) ready_timeout_ms: Option<u64>,
    pub(super) version_label: Option<String>,
    pub(super) shared: Shared,
    pub(super) hold: Option<bool>,
}

/// `[hold]`.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) workloads: Option<Vec<Found<Pattern>>>,
    pub(super) for_ms: Option<u64>,
    pub(super) reason: Option<String>,
}

/// A workload that `[hold]` or `[reject]` mentions; the policy may not have it.
#[derive(Debug)]
pub(super) struct Mention {
    pub(super) key: String,
    pub(super) pattern: Found<Pattern>,
}

impl Merged {
    /// The workloads that `[hold]` and `[reject]` mention.
    pub(super) fn mentions(&self) -> Vec<Mention> {
        let held = self.holds.iter().flat_map(|hold| &hold.workloads);
        let held = held.flatten().map(|pattern| Mention {
            key: "hold.workloads".to_owned(),
            pattern: pattern.clone(),
        });
        let rejected = self.rejections.iter().filter_map(|(name, _)| {
            let pattern = Pattern::parse(&name.value).ok()?;
            let span = name.span;
            Some(Mention {
                key: format!("reject.{}", key_name(&name.value)),
                pattern: Found {
                    value: pattern,
                    span,
                },
            })
        });
        held.chain(rejected).collect()
    }
}

impl Shared {
    /// These, and the others where these are silent.
    pub(super) fn or(self, others: Self) -> Self {
        Self {
            soak_ms: self.soak_ms.or(others.soak_ms),
            fallbacks: self.fallbacks.or(others.fallbacks),
            grace_ms: self.grace_ms.or(others.grace_ms),
            dry_runs: self.dry_runs.or(others.dry_runs),
            local_fallback: self.local_fallback.or(others.local_fallback),
            pressure_percent: self.pressure_percent.or(others.pressure_percent),
            pin: self.pin.or(others.pin),
        }
    }
}
