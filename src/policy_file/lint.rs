//! What is valid in a policy and probably a mistake: a [`CheckedPolicy`] has it as warnings, for
//! `tagkeeper check`. Nothing here refuses a policy.
//!
//! Pure. What the policy alone does not show is judged by what the caller has observed:
//! [`of_engine`], and `host` for files.

use std::collections::BTreeSet;

use tagkeeper_core::Gather;
use tagkeeper_core::model::{Workload, WorkloadName};

use super::Settings;
use super::diagnostic::{Diagnostic, Finding, Severity, Source, Span, Spans};
use super::keys::{Kind, Section, TABLE};
use super::merged::Mention;
use super::overlap::overlap;
use super::validated::key_of;
use super::value::LONGEST_MS;
use crate::duration;
use crate::suggest::closest;

mod engine;

pub use engine::of_engine;
pub(crate) use engine::{KUBERNETES, is_of_a_pod, moving_tag};

/// The timer's interval. A shorter soak is over when it is first looked at again.
const MINUTE_MS: u64 = 60 * 1000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// How long a pass may take. The unit ends one that takes longer.
const PASS_MS: u64 = 5 * MINUTE_MS;

/// A valid policy, and what is probably wrong with it.
#[derive(Debug)]
pub struct CheckedPolicy {
    /// The policy.
    pub settings: Settings,
    /// What the policy alone shows, in the order of its text.
    pub warnings: Vec<Diagnostic>,
    sources: Vec<Source>,
    spans: Spans,
}

impl CheckedPolicy {
    pub(super) fn new(
        settings: Settings,
        sources: Vec<Source>,
        spans: Spans,
        mentions: &[Mention],
    ) -> Self {
        let mut checked = Self {
            settings,
            warnings: Vec::new(),
            sources,
            spans,
        };
        let mut findings = checked.months();
        let months: BTreeSet<_> = findings.iter().map(|f| f.span).gather();
        for (name, workload) in &checked.settings.policy.workloads {
            checked.times(name, workload, &mut findings);
            checked.choices(name, workload, &mut findings);
        }
        let limits = checked.limits().into_iter();
        findings.extend(limits.filter(|f| !months.contains(&f.span)));
        findings.extend(checked.strangers(mentions));
        // A value in [defaults] is reported once, however many workloads have it.
        let mut seen = BTreeSet::new();
        findings.retain(|f| seen.insert((f.key.clone(), f.span, f.message.clone())));
        findings.sort_by_key(|f| f.span);
        checked.warnings = checked.located(findings);
        checked
    }

    /// The text of each file that was read.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    pub(super) fn located(&self, findings: impl IntoIterator<Item = Finding>) -> Vec<Diagnostic> {
        let findings = findings.into_iter();
        let locate = |f: Finding| f.into_diagnostic(Severity::Warning, &self.sources);
        findings.map(locate).collect()
    }

    /// A warning about the first of these keys that was written; none if none was.
    pub(super) fn warning(
        &self,
        keys: &[String],
        message: String,
        help: impl Into<String>,
    ) -> Option<Finding> {
        let (key, span) = keys.iter().find_map(|key| self.spans.get_key_value(key))?;
        Some(Finding {
            span: *span,
            key: key.split('#').next().map(str::to_owned),
            message,
            help: help.into(),
            other: None,
        })
    }

    /// `10M` is ten months, and whoever wrote it most likely meant minutes.
    fn months(&self) -> Vec<Finding> {
        let durations: BTreeSet<&str> = TABLE
            .iter()
            .filter(|row| matches!(row.kind, Kind::Duration(_)))
            .map(|row| row.name)
            .gather();
        let suspect = |(key, span): (&String, &Span)| {
            let (section, last) = key.rsplit_once('.')?;
            // A workload may be called like a key.
            if section == Section::Reject.name() {
                return None;
            }
            let written = span.text(&self.sources);
            if !durations.contains(last) || !has_months(written) {
                return None;
            }
            let message = format!("{written} is months: \"M\" is months, \"m\" is minutes");
            let help = format!(
                "write {} for minutes, or \"months\" in full",
                written.replace('M', "m")
            );
            self.warning(std::slice::from_ref(key), message, help)
        };
        self.spans.iter().filter_map(suspect).collect()
    }

    fn times(&self, name: &WorkloadName, workload: &Workload, found: &mut Vec<Finding>) {
        let places = |key: &str| {
            [
                format!("{}.{key}", section(name)),
                format!("defaults.{key}"),
            ]
        };
        let (soak, grace) = (workload.soak_ms, workload.grace_ms);
        if soak < MINUTE_MS {
            found.extend(self.warning(
                &places("soak"),
                format!(
                    "a soak of {} is shorter than the minute between two passes: a single check is enough to promote",
                    precisely(soak)
                ),
                "write \"10m\", unless this host is for experiments",
            ));
        }
        if grace < soak {
            found.extend(self.warning(
                &[places("grace"), places("soak")].concat(),
                format!(
                    "a grace of {} is shorter than the soak of {}: an image that waits for its next start may be removed first",
                    precisely(grace),
                    precisely(soak)
                ),
                format!(
                    "write a grace that is longer than the soak, \"{}\"",
                    longer_than(soak)
                ),
            ));
        }
    }

    fn choices(&self, name: &WorkloadName, workload: &Workload, found: &mut Vec<Finding>) {
        let key = |key: &str| format!("{}.{key}", section(name));
        let mut warn = |keys: &[String], message: String, help: &str| {
            found.extend(self.warning(keys, message, help));
        };
        if workload.fallbacks == 0 {
            warn(
                &[key("fallbacks"), "defaults.fallbacks".to_owned()],
                "no version is kept behind latest: there is nothing to fall back or roll back to"
                    .to_owned(),
                "write fallbacks = 1, unless the disk has no room for it",
            );
        }
        if workload.remotes.is_empty() {
            warn(
                &[key("remotes"), section(name)],
                format!(
                    "workload '{name}' has no remotes: images that an orchestrator pulls are ignored"
                ),
                "write remotes = [\"registry.example/docker-app\"], the repositories that it pulls from",
            );
        }
        let mut locals = workload.containers.iter();
        let orchestrated = workload.orchestrated.as_ref();
        let common = |pattern| locals.find_map(|local| overlap(local, pattern));
        if let Some(common) = orchestrated.and_then(common) {
            warn(
                &[key("orchestrated")],
                format!(
                    "the pattern for the orchestrator's containers also matches '{common}', a local one"
                ),
                "write a pattern of the orchestrator's names alone; a local container never counts as one of them",
            );
        }
        let mut locals = workload.containers.iter();
        if let Some(index) = locals.position(|p| p.as_str().bytes().all(|b| b == b'*')) {
            warn(
                &[format!("{}#{index}", key("container")), key("container")],
                format!(
                    "every container is a local one of '{name}', so that no container counts as orchestrated"
                ),
                "write the names of the containers that the local service runs",
            );
        }
    }

    /// Deadlines that a pass cannot grant.
    fn limits(&self) -> Vec<Finding> {
        let settings = &self.settings;
        let mut found = Vec::new();
        let mut limit = |key: &str, ms: u64, most: u64, sentence: &str, help: &str| {
            if ms > most {
                let message = sentence.replace("{}", &precisely(ms));
                found.extend(self.warning(&[key.to_owned()], message, help));
            }
        };
        for (name, workload) in &settings.policy.workloads {
            limit(
                &format!("{}.ready_timeout", section(name)),
                workload.ready.as_ref().map_or(0, |ready| ready.timeout_ms),
                MINUTE_MS - 1,
                "a ready_timeout of {} is never granted: all ready commands of a pass share one minute",
                "write \"30s\"; a command that is not ready yet is asked again in the next pass",
            );
        }
        limit(
            "hooks.timeout",
            settings.hooks.timeout_ms,
            MINUTE_MS,
            "a hook timeout of {} is never granted: all hooks of a pass share one minute",
            "write \"1m\" or less, and let the hook start what takes longer",
        );
        limit(
            "hooks.spread",
            settings.hooks.spread_ms,
            MINUTE_MS,
            "a hook spread of {} is not used in full: a pass waits for a minute at most",
            "write \"1m\" or less",
        );
        limit(
            "engine.timeout",
            settings.engine.timeout_ms,
            PASS_MS - 1,
            "an engine timeout of {} is never granted: a whole pass may take five minutes",
            "write \"20s\"",
        );
        found
    }

    /// Workloads that `[hold]` and `[reject]` mention, and that the policy does not have.
    fn strangers(&self, mentions: &[Mention]) -> Vec<Finding> {
        let names = || {
            self.settings
                .policy
                .workloads
                .keys()
                .map(WorkloadName::as_str)
        };
        // A host without workloads takes the same drop-in as all others.
        if names().next().is_none() {
            return Vec::new();
        }
        let unknown = |mention: &&Mention| !names().any(|n| mention.pattern.value.matches(n));
        let found = mentions.iter().filter(unknown);
        let finding = |mention: &Mention| {
            let pattern = mention.pattern.value.as_str();
            let message = if mention.pattern.value.is_exact() {
                format!("this host has no workload '{pattern}'")
            } else {
                format!("'{pattern}' matches no workload of this host")
            };
            let help = match closest(pattern, names()) {
                Some(meant) => format!("did you mean '{meant}'?"),
                None => "nothing to do if this file is for several hosts".to_owned(),
            };
            Finding {
                span: mention.pattern.span,
                key: Some(mention.key.clone()),
                message,
                help,
                other: None,
            }
        };
        found.map(finding).collect()
    }
}

pub(super) fn section(name: &WorkloadName) -> String {
    key_of(name.as_str())
}

/// A grace to write where the soak is this long: a day, or twice the soak where that is more and
/// no slip.
fn longer_than(soak_ms: u64) -> String {
    if soak_ms < DAY_MS {
        "24h".to_owned()
    } else {
        duration::compact(soak_ms.saturating_mul(2).min(LONGEST_MS))
    }
}

/// Durations below a second are valid here, and [`duration::compact`] would print them as nothing.
fn precisely(ms: u64) -> String {
    if ms < 1000 && ms > 0 {
        format!("{ms}ms")
    } else {
        duration::compact(ms)
    }
}

/// Whether a duration has the unit "M".
fn has_months(written: &str) -> bool {
    written
        .split(|c: char| !c.is_ascii_alphabetic())
        .any(|unit| unit == "M")
}
