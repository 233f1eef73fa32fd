//! What all files say together, in the order of their precedence. Pure, and judges nothing.

use tagkeeper_core::model::{Pattern, Rejection};

use super::raw::{Engine, File, Hold, Hooks, Metrics, Shared, Workload};
use super::value::{Found, key_name};

/// The files as one. Of a key that two files set, the later one counts; workloads, holds and
/// rejections add up.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) defaults: Shared,
    pub(super) engine: Engine,
    pub(super) metrics: Metrics,
    pub(super) hooks: Hooks,
    pub(super) workloads: Vec<Workload>,
    pub(super) holds: Vec<Hold>,
    pub(super) rejections: Vec<(Found<String>, Vec<Rejection>)>,
}

/// A workload that `[hold]` or `[reject]` mentions; the policy may not have it.
#[derive(Debug)]
pub(super) struct Mention {
    pub(super) key: String,
    pub(super) pattern: Found<Pattern>,
}

impl Merged {
    pub(super) fn new(files: impl IntoIterator<Item = File>) -> Self {
        files.into_iter().fold(Self::default(), Self::then)
    }

    /// With a later file.
    fn then(mut self, file: File) -> Self {
        let File {
            defaults,
            engine,
            metrics,
            hooks,
            workloads,
            hold,
            rejections,
        } = file;
        self.workloads.extend(workloads);
        self.holds.extend(hold);
        self.rejections.extend(rejections);
        Self {
            defaults: defaults.or(self.defaults),
            engine: Engine {
                socket: engine.socket.or(self.engine.socket),
                timeout_ms: engine.timeout_ms.or(self.engine.timeout_ms),
            },
            metrics: Metrics {
                textfile: metrics.textfile.or(self.metrics.textfile),
            },
            hooks: Hooks {
                promoted: hooks.promoted.or(self.hooks.promoted),
                failed: hooks.failed.or(self.hooks.failed),
                rolled_back: hooks.rolled_back.or(self.hooks.rolled_back),
                timeout_ms: hooks.timeout_ms.or(self.hooks.timeout_ms),
                spread_ms: hooks.spread_ms.or(self.hooks.spread_ms),
            },
            ..self
        }
    }

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
