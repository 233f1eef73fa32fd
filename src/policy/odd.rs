//! What is legal in a policy and hardly meant: a [`Survey`] of it, for `tagkeeper check`. Nothing here refuses a policy.
//!
//! Pure. What the policy alone does not tell, whether a program or an image is there, is asked of the caller.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::diagnostic::Diagnostic;
use super::files::Source;
use super::section::Marks;
use super::text::in_order;
use super::value::{key_name, quoted};
use super::{Policy, Workload, WorkloadName};
use crate::image::Repository;
use crate::near::near;
use crate::span;

/// The timer's interval. A shorter soak is over when it is first looked at again.
const MINUTE_MS: u64 = 60 * 1000;
/// The keys whose values are durations.
const DURATIONS: [&str; 4] = ["soak", "grace", "timeout", "ready_timeout"];

/// A sound policy, and what is odd about it.
#[derive(Debug)]
pub struct Survey {
    /// The policy.
    pub policy: Policy,
    /// What the policy alone shows, in the order of its text.
    pub warnings: Vec<Diagnostic>,
    /// A warning to be filled in, for each value that was read.
    marks: BTreeMap<String, Diagnostic>,
}

impl Survey {
    pub(super) fn new(policy: Policy, marks: &Marks, sources: &[Source]) -> Self {
        let marks = marks
            .iter()
            .map(|(key, at)| (key.clone(), at.warning(key)))
            .collect();
        let mut survey = Self {
            policy,
            warnings: Vec::new(),
            marks,
        };
        let mut warnings = survey.months();
        for (name, workload) in &survey.policy.workloads {
            warnings.extend(survey.spans(name, workload));
            warnings.extend(survey.choices(name, workload));
        }
        // A value in [defaults] is odd once, however many workloads have it.
        let mut said = BTreeSet::new();
        warnings.retain(|w| said.insert((w.key.clone(), w.what.clone())));
        in_order(&mut warnings, sources);
        survey.warnings = warnings;
        survey
    }

    /// What is odd about the programs that the policy names. `trouble` says of a path why it cannot be run.
    pub fn of_programs(&self, trouble: impl Fn(&Path) -> Option<String>) -> Vec<Diagnostic> {
        let of_workload = |(name, workload): (&WorkloadName, &Workload)| {
            let program = workload.ready.as_ref()?.command.first()?;
            let why = trouble(Path::new(program))?;
            self.warning(
                &[format!("{}.ready#0", section(name))],
                format!(
                    "the 'ready' command of [{}], '{program}', {why}",
                    section(name)
                ),
                "nothing is ever ready, and nothing promoted, until it runs: write the path of a program, or make it one",
            )
        };
        let hooks = &self.policy.hooks;
        let hooks = [
            ("promoted", &hooks.promoted),
            ("failed", &hooks.failed),
            ("rolled_back", &hooks.rolled_back),
        ];
        let of_hook = |(key, command): &(&str, &Option<Vec<String>>)| {
            let program = command.as_ref()?.first()?;
            let why = trouble(Path::new(program))?;
            self.warning(
                &[format!("hooks.{key}#0")],
                format!("the hook '{key}', '{program}', {why}"),
                "nobody is told until it runs: write the path of a program, or make it one",
            )
        };
        let workloads = self.policy.workloads.iter().filter_map(of_workload);
        workloads.chain(hooks.iter().filter_map(of_hook)).collect()
    }

    /// Which local repositories are none of those that the engine has.
    pub fn of_repositories(&self, present: &BTreeSet<Repository>) -> Vec<Diagnostic> {
        let of_workload = |(name, workload): (&WorkloadName, &Workload)| {
            let repository = &workload.repository;
            if present.contains(repository) {
                return None;
            }
            let meant = near(repository.as_str(), present.iter().map(Repository::as_str));
            let mend = match meant {
                Some(meant) => format!("did you mean {}?", quoted(meant)),
                None => "write it as the engine prints it, or wait for its first image".to_owned(),
            };
            self.warning(
                &[format!("{}.repository", section(name))],
                format!("the engine has no image of '{repository}'"),
                mend,
            )
        };
        self.policy
            .workloads
            .iter()
            .filter_map(of_workload)
            .collect()
    }

    /// A warning about the first of these keys that was written; none if none was.
    fn warning(
        &self,
        keys: &[String],
        what: String,
        mend: impl Into<String>,
    ) -> Option<Diagnostic> {
        let mark = keys.iter().find_map(|key| self.marks.get(key))?;
        Some(Diagnostic {
            what,
            mend: mend.into(),
            ..mark.clone()
        })
    }

    /// `10M` is ten months, and whoever wrote it most likely meant minutes.
    fn months(&self) -> Vec<Diagnostic> {
        let odd = |(key, mark): (&String, &Diagnostic)| {
            let (_, last) = key.rsplit_once('.')?;
            let written = mark.meant();
            if !DURATIONS.contains(&last) || !has_months(&written) {
                return None;
            }
            let what = format!("{written} is months: \"M\" is months, \"m\" is minutes");
            let mend = format!(
                "write {} for minutes, or \"months\" in full",
                written.replace('M', "m")
            );
            self.warning(std::slice::from_ref(key), what, mend)
        };
        self.marks.iter().filter_map(odd).collect()
    }

    fn spans(&self, name: &WorkloadName, workload: &Workload) -> Vec<Diagnostic> {
        let places = |key: &str| {
            [
                format!("{}.{key}", section(name)),
                format!("defaults.{key}"),
            ]
        };
        let (soak, grace) = (workload.soak_ms, workload.grace_ms);
        let short = (soak < MINUTE_MS).then(|| {
            self.warning(
                &places("soak"),
                format!(
                    "a soak of {} is shorter than the minute between two passes: one look proves an image",
                    precisely(soak)
                ),
                "write \"10m\", unless this host is for trying things out",
            )
        });
        let hasty = (grace < soak).then(|| {
            let places = [places("grace"), places("soak")].concat();
            self.warning(
                &places,
                format!(
                    "a grace of {} is shorter than the soak of {}: what waits for its next start may be gone by then",
                    precisely(grace),
                    precisely(soak)
                ),
                "write a grace that is longer than the soak, \"24h\"",
            )
        });
        [short, hasty].into_iter().flatten().flatten().collect()
    }

    fn choices(&self, name: &WorkloadName, workload: &Workload) -> Vec<Diagnostic> {
        let key = |key: &str| format!("{}.{key}", section(name));
        let none = (workload.fallbacks == 0).then(|| {
            self.warning(
                &[key("fallbacks"), "defaults.fallbacks".to_owned()],
                "no version is kept behind latest: there is nothing to fall back or roll back to"
                    .to_owned(),
                "write fallbacks = 1, unless the disk has no room for it",
            )
        });
        let alone = workload.remotes.is_empty().then(|| {
            self.warning(
                &[key("remotes"), section(name)],
                format!("workload '{name}' has no remotes: what an orchestrator pulls is not looked at"),
                "write remotes = [\"registry.example/docker-app\"], the repositories that it pulls from",
            )
        });
        let container = &workload.container;
        let matches = workload
            .orchestrated
            .as_ref()
            .is_some_and(|glob| glob.matches(container));
        let wide = matches.then(|| {
            self.warning(
                &[key("orchestrated")],
                format!("the pattern for the orchestrator's containers fits '{container}', the local one, too"),
                "write a pattern of the orchestrator's names alone; the local container never counts as one of them",
            )
        });
        [none, alone, wide]
            .into_iter()
            .flatten()
            .flatten()
            .collect()
    }
}

fn section(name: &WorkloadName) -> String {
    format!("workload.{}", key_name(name.as_str()))
}

/// Spans below a second are legal here, and [`span::compact`] would call them nothing.
fn precisely(ms: u64) -> String {
    if ms < 1000 && ms > 0 {
        format!("{ms}ms")
    } else {
        span::compact(ms)
    }
}

/// Whether a duration has the unit "M".
fn has_months(written: &str) -> bool {
    written
        .split(|c: char| !c.is_ascii_alphabetic())
        .any(|unit| unit == "M")
}
