//! Merges what the files say, and checks what only all of them together show: that no two workloads share a name, a
//! repository or a container (design 4.1). Pure.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::diagnostic::{At, Diagnostic};
use super::text::{Engine, File, Found, RawHooks, RawWorkload, Settings};
use super::value::key_name;
use super::{
    DEFAULT_HOOK_TIMEOUT_MS, DEFAULT_READY_TIMEOUT_MS, EnginePolicy, Hooks, Metrics, Policy, Ready,
    Workload, WorkloadName,
};
use crate::image::Repository;

/// The policy that the files make together, in the order of their precedence. Whole only if nothing was reported: a
/// workload that could not be read is not in it.
pub(super) fn merge(files: Vec<File>, diagnostics: &mut Vec<Diagnostic>) -> Policy {
    let mut defaults = Settings::default();
    let mut engine = Engine::default();
    let mut metrics = Metrics::default();
    let mut hooks = RawHooks::default();
    let mut workloads = Vec::new();
    for file in files {
        defaults = file.defaults.or(defaults);
        engine = Engine {
            socket: file.engine.socket.or(engine.socket),
            timeout_ms: file.engine.timeout_ms.or(engine.timeout_ms),
        };
        metrics.textfile = file.metrics.textfile.or(metrics.textfile);
        hooks = file.hooks.or(hooks);
        workloads.extend(file.workloads);
    }
    let workloads = check_names(workloads, diagnostics);
    check_repositories(&workloads, diagnostics);
    check_containers(&workloads, diagnostics);
    let builtin = EnginePolicy::default();
    Policy {
        engine: EnginePolicy {
            socket: engine.socket.unwrap_or(builtin.socket),
            timeout_ms: engine.timeout_ms.unwrap_or(builtin.timeout_ms),
        },
        metrics,
        hooks: Hooks {
            promoted: hooks.promoted,
            failed: hooks.failed,
            rolled_back: hooks.rolled_back,
            timeout_ms: hooks.timeout_ms.unwrap_or(DEFAULT_HOOK_TIMEOUT_MS),
        },
        workloads: workloads
            .into_iter()
            .filter_map(|raw| build(raw, defaults))
            .collect(),
    }
}

/// Who was first to take something that only one may have: the workload's name, and where it took it.
struct Claims<'s, K>(BTreeMap<K, Found<'s, String>>);

impl<'s, K: Ord> Claims<'s, K> {
    fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Takes `key` for `workload`; gives whoever has it already.
    fn claim(&mut self, key: K, workload: &str, at: &At<'s>) -> Option<&Found<'s, String>> {
        match self.0.entry(key) {
            Entry::Occupied(first) => Some(first.into_mut()),
            Entry::Vacant(free) => {
                free.insert(Found {
                    value: workload.to_owned(),
                    at: at.clone(),
                });
                None
            }
        }
    }
}

/// An error that takes two places.
fn clash(at: &At, key: String, what: String, mend: &str, first: &At) -> Diagnostic {
    let mut diagnostic = at.error(Some(key), what, mend.to_owned());
    diagnostic.other = Some(first.place());
    diagnostic
}

/// Reports every workload that an earlier file has too, and gives the others: whoever is written twice shares
/// everything with itself, and one error is enough to say so.
fn check_names<'s>(
    workloads: Vec<RawWorkload<'s>>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<RawWorkload<'s>> {
    let mut names = Claims::new();
    let mut once = Vec::new();
    for workload in workloads {
        let Found { value: name, at } = &workload.name;
        let Some(first) = names.claim(name.clone(), name, at) else {
            once.push(workload);
            continue;
        };
        let what = format!("workload '{name}' is in two files");
        let mend = "write it in one file; a file in /etc/tagkeeper/policy.d masks a packaged one of the same file name";
        diagnostics.push(clash(at, key_of(name), what, mend, &first.at));
    }
    once
}

fn check_repositories(workloads: &[RawWorkload], diagnostics: &mut Vec<Diagnostic>) {
    let mut claims: Claims<Repository> = Claims::new();
    for workload in workloads {
        let name = &workload.name.value;
        let local = workload.repository.iter().map(|r| ("repository", r));
        let remotes = workload.remotes.iter().map(|r| ("remotes", r));
        for (key, Found { value, at }) in local.chain(remotes) {
            let Some(first) = claims.claim(value.clone(), name, at) else {
                continue;
            };
            let (what, mend) = if first.value == *name {
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
                    "write it in one of them; an image can belong to one workload only",
                )
            };
            let key = format!("{}.{key}", key_of(name));
            diagnostics.push(clash(at, key, what, mend, &first.at));
        }
    }
}

fn check_containers(workloads: &[RawWorkload], diagnostics: &mut Vec<Diagnostic>) {
    let mut claims = Claims::new();
    for workload in workloads {
        let name = &workload.name.value;
        let Some(Found { value, at }) = &workload.container else {
            continue;
        };
        if let Some(first) = claims.claim(value, name, at) {
            let what = format!(
                "workloads '{}' and '{name}' have one container, '{value}'",
                first.value
            );
            let mend = "write container = \"NAME\" with another name in one of them; the default is the workload's";
            let key = format!("{}.container", key_of(name));
            diagnostics.push(clash(at, key, what, mend, &first.at));
        }
    }
}

fn key_of(workload: &str) -> String {
    format!("workload.{}", key_name(workload))
}

impl Settings {
    /// These, and the others where these are silent.
    fn or(self, others: Self) -> Self {
        Self {
            soak_ms: self.soak_ms.or(others.soak_ms),
            fallbacks: self.fallbacks.or(others.fallbacks),
            grace_ms: self.grace_ms.or(others.grace_ms),
            local_fallback: self.local_fallback.or(others.local_fallback),
            pressure_percent: self.pressure_percent.or(others.pressure_percent),
            pin: self.pin.or(others.pin),
        }
    }
}

impl RawHooks {
    /// These, and the others where these are silent.
    fn or(self, others: Self) -> Self {
        Self {
            promoted: self.promoted.or(others.promoted),
            failed: self.failed.or(others.failed),
            rolled_back: self.rolled_back.or(others.rolled_back),
            timeout_ms: self.timeout_ms.or(others.timeout_ms),
        }
    }
}

/// A workload with the defaults filled in; none if its repository could not be read, which has been reported.
fn build(raw: RawWorkload, defaults: Settings) -> Option<(WorkloadName, Workload)> {
    let name = raw.name.value;
    let builtin = Workload::new(&name, raw.repository?.value);
    let settings = raw.settings.or(defaults);
    let workload = Workload {
        remotes: raw.remotes.into_iter().map(|r| r.value).collect(),
        container: raw.container?.value,
        orchestrated: raw.orchestrated,
        ready: raw.ready.map(|command| Ready {
            command,
            timeout_ms: raw.ready_timeout_ms.unwrap_or(DEFAULT_READY_TIMEOUT_MS),
        }),
        soak_ms: settings.soak_ms.unwrap_or(builtin.soak_ms),
        fallbacks: settings.fallbacks.unwrap_or(builtin.fallbacks),
        grace_ms: settings.grace_ms.unwrap_or(builtin.grace_ms),
        local_fallback: settings.local_fallback.unwrap_or(builtin.local_fallback),
        // No disk is fuller than full: "100%" takes back what [defaults] says.
        pressure_percent: settings.pressure_percent.filter(|percent| *percent < 100),
        pin: settings.pin.unwrap_or(builtin.pin),
        hold: raw.hold.unwrap_or(builtin.hold),
        repository: builtin.repository,
    };
    Some((WorkloadName::new(name), workload))
}
