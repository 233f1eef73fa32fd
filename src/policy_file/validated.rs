//! From what the files say to [`Settings`]: fills in the defaults, and checks what only all files
//! together show, that no two workloads share a name, a repository or a container (design 4.1).
//! Pure.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use tagkeeper_core::Gather;
use tagkeeper_core::model::{Hold, Pattern, Policy, Ready, Repository, Workload, WorkloadName};

use super::diagnostic::{Finding, Findings, Span};
use super::merged::{self, Merged, Shared};
use super::overlap::Automaton;
use super::value::{Found, key_name};
use super::{DEFAULT_READY_TIMEOUT_MS, Settings};

/// The settings that the files make together. Whole only if nothing was reported: a workload that
/// could not be read is not in them.
pub(super) fn validate(merged: Merged, findings: &mut Findings) -> Settings {
    let Merged {
        defaults,
        settings,
        workloads,
        holds,
        rejections,
    } = merged;
    let workloads = check_names(workloads, findings);
    check_repositories(&workloads, findings);
    check_containers(&workloads, findings);
    let mut policy = Policy {
        workloads: workloads
            .into_iter()
            .filter_map(|raw| build(raw, defaults))
            .gather(),
        holds: holds.into_iter().filter_map(hold).collect(),
        ..Policy::default()
    };
    for (name, rejected) in rejections {
        let all = policy.rejections.entry(WorkloadName::new(name.value));
        let all = all.or_default();
        for one in rejected {
            if !all.contains(&one) {
                all.push(one);
            }
        }
    }
    Settings { policy, ..settings }
}

fn hold(raw: merged::Hold) -> Option<Hold> {
    let workloads = match raw.workloads {
        Some(patterns) => patterns.into_iter().map(|p| p.value).collect(),
        None => vec![Pattern::parse("*").ok()?],
    };
    Some(Hold {
        workloads,
        for_ms: raw.for_ms,
        reason: raw.reason,
    })
}

/// Who was first to take something that only one may have: the workload's name, and where it took
/// it.
struct Claims<K>(BTreeMap<K, Found<String>>);

impl<K: Ord> Claims<K> {
    fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Takes `key` for `workload`; gives whoever has it already.
    fn claim(&mut self, key: K, workload: &str, span: Span) -> Option<&Found<String>> {
        match self.0.entry(key) {
            Entry::Occupied(first) => Some(first.into_mut()),
            Entry::Vacant(free) => {
                let value = workload.to_owned();
                free.insert(Found { value, span });
                None
            }
        }
    }
}

/// An error that takes two places.
fn clash(span: Span, key: String, message: String, help: &str, first: Span) -> Finding {
    Finding {
        span,
        key: Some(key),
        message,
        help: help.to_owned(),
        other: Some(first),
    }
}

/// Reports every workload that an earlier file has too, and gives the others: whoever is written
/// twice shares everything with itself, and one error is enough to say so.
fn check_names(workloads: Vec<merged::Workload>, findings: &mut Findings) -> Vec<merged::Workload> {
    let mut names = Claims::new();
    let mut once = Vec::new();
    for workload in workloads {
        let Found { value: name, span } = &workload.name;
        let Some(first) = names.claim(name.clone(), name, *span) else {
            once.push(workload);
            continue;
        };
        let message = format!("workload '{name}' is in two files");
        let help = "write it in one file; a file in /etc/tagkeeper/policy.d masks a packaged one of the same file name";
        let clash = clash(*span, key_of(name), message, help, first.span);
        findings.list.push(clash);
    }
    once
}

fn check_repositories(workloads: &[merged::Workload], findings: &mut Findings) {
    let mut claims: Claims<Repository> = Claims::new();
    for workload in workloads {
        let name = &workload.name.value;
        let local = workload.repository.iter().map(|r| ("repository", r));
        let remotes = workload.remotes.iter().map(|r| ("remotes", r));
        for (key, Found { value, span }) in local.chain(remotes) {
            let Some(first) = claims.claim(value.clone(), name, *span) else {
                continue;
            };
            let (message, help) = if first.value == *name {
                (
                    format!("workload '{name}' names the repository '{value}' twice"),
                    "write it once; 'remotes' are the repositories other than 'repository'",
                )
            } else {
                (
                    format!(
                        "workloads '{}' and '{name}' share the repository '{value}'",
                        first.value
                    ),
                    "write it in one of them; a repository can belong to one workload only",
                )
            };
            let key = format!("{}.{key}", key_of(name));
            let clash = clash(*span, key, message, help, first.span);
            findings.list.push(clash);
        }
    }
}

/// A container is local to one workload: no name may fit two of them. Exact names, of which there
/// are many, are looked up; patterns are compared with everything.
fn check_containers(workloads: &[merged::Workload], findings: &mut Findings) {
    struct Taken<'w> {
        workload: &'w str,
        pattern: &'w Found<Pattern>,
        automaton: Automaton,
    }
    let mut exact: Claims<&str> = Claims::new();
    let mut all: Vec<Taken> = Vec::new();
    for workload in workloads {
        let name = workload.name.value.as_str();
        let own = all.len();
        // One error for each pair of workloads.
        let mut accused: Vec<&str> = Vec::new();
        for pattern in &workload.containers {
            let (text, span) = (pattern.value.as_str(), pattern.span);
            let automaton = Automaton::new(&pattern.value);
            let mut report = |first: &str, common: &str, first_span: Span| {
                let message = if pattern.value.is_exact() && text == common {
                    format!("workloads '{first}' and '{name}' have one container, '{common}'")
                } else {
                    format!("workloads '{first}' and '{name}' both match a container '{common}'")
                };
                let help = "write container = \"NAME\" with another name or pattern in one of them; the default is the workload's name";
                let key = format!("{}.container", key_of(name));
                let clash = clash(span, key, message, help, first_span);
                findings.list.push(clash);
            };
            if pattern.value.is_exact() {
                if let Some(first) = exact.claim(text, name, span) {
                    if first.value != name && !accused.contains(&first.value.as_str()) {
                        report(&first.value, text, first.span);
                        let first = all.iter().find(|t| t.workload == first.value);
                        accused.extend(first.map(|t| t.workload));
                    }
                }
            }
            let others = all.get(..own).unwrap_or_default();
            for other in others {
                let both_exact = pattern.value.is_exact() && other.pattern.value.is_exact();
                if both_exact || accused.contains(&other.workload) {
                    continue;
                }
                if let Some(common) = automaton.overlap(&other.automaton) {
                    report(other.workload, &common, other.pattern.span);
                    accused.push(other.workload);
                }
            }
            all.push(Taken {
                workload: name,
                pattern,
                automaton,
            });
        }
    }
}

pub(super) fn key_of(workload: &str) -> String {
    format!("workload.{}", key_name(workload))
}

/// A workload with the defaults filled in; none if its repository could not be read, which has been
/// reported.
fn build(raw: merged::Workload, defaults: Shared) -> Option<(WorkloadName, Workload)> {
    let merged::Workload {
        name,
        repository,
        remotes,
        containers,
        orchestrated,
        ready,
        ready_timeout_ms,
        version_label,
        shared,
        hold,
    } = raw;
    let name = name.value;
    let builtin = Workload::new(&name, repository?.value);
    let shared = shared.or(defaults);
    let workload = Workload {
        remotes: remotes.into_iter().map(|r| r.value).collect(),
        containers: containers.into_iter().map(|c| c.value).collect(),
        orchestrated,
        ready: ready.map(|command| Ready {
            command,
            timeout_ms: ready_timeout_ms.unwrap_or(DEFAULT_READY_TIMEOUT_MS),
        }),
        soak_ms: shared.soak_ms.unwrap_or(builtin.soak_ms),
        fallbacks: shared.fallbacks.unwrap_or(builtin.fallbacks),
        grace_ms: shared.grace_ms.unwrap_or(builtin.grace_ms),
        dry_runs: shared.dry_runs.unwrap_or(builtin.dry_runs),
        local_fallback: shared.local_fallback.unwrap_or(builtin.local_fallback),
        version_label,
        // No disk is fuller than full: "100%" overrides what [defaults] says.
        pressure_percent: shared.pressure_percent.filter(|percent| *percent < 100),
        pin: shared.pin.unwrap_or(builtin.pin),
        hold: hold.unwrap_or(builtin.hold),
        repository: builtin.repository,
    };
    Some((WorkloadName::new(name), workload))
}
