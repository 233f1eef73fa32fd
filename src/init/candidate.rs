//! What a host seems to have, and the names that are taken there. Plain data.

use std::collections::{BTreeMap, BTreeSet};

use tagkeeper_core::Gather;
use tagkeeper_core::model::{
    Container, Image, ImageId, Observation, Pattern, Reference, Repository,
};

use crate::policy_file::{KUBERNETES, is_name};

/// The container of each pod that only holds its network.
const POD_SANDBOX: &str = "POD";

/// What the host seems to have.
#[derive(Debug, Default)]
pub(super) struct Candidates<'w> {
    /// Repositories that others carry images of: workloads.
    pub(super) workloads: Vec<Candidate<'w>>,
    /// Repositories that may be workloads whose remotes have left no trace here.
    pub(super) without_remotes: Vec<Candidate<'w>>,
    /// Repositories without a `latest` anywhere, whose containers are all of Kubernetes'.
    pub(super) kube_only: Vec<KubeOnly<'w>>,
    /// Repositories with a `latest` and no sign of being a workload.
    pub(super) left: Vec<&'w Repository>,
}

/// One workload, as far as it can be told.
#[derive(Debug)]
pub(super) struct Candidate<'w> {
    pub(super) name: String,
    pub(super) repository: &'w Repository,
    pub(super) latest: &'w Image,
    pub(super) remotes: Vec<Remote<'w>>,
    /// The names of the local containers, or patterns on them.
    pub(super) containers: Vec<String>,
    /// A container that has such a name; none if no local container was found.
    pub(super) local: Option<&'w Container>,
    /// The orchestrator's containers.
    pub(super) orchestrated: Vec<&'w Container>,
    /// A pattern that all of their names have.
    pub(super) pattern: Option<String>,
    /// A tag of a remote that means another image from build to build, by its look.
    pub(super) moving_tag: Option<&'w Reference>,
    /// What a person should look at.
    pub(super) unsure: Vec<String>,
}

/// What only Kubernetes runs: a sidecar, a watchdog.
#[derive(Debug)]
pub(super) struct KubeOnly<'w> {
    pub(super) name: String,
    pub(super) remote: &'w Repository,
    /// Where the local name of its `latest` would be.
    pub(super) repository: String,
    pub(super) container: String,
    pub(super) running: &'w Container,
}

impl KubeOnly<'_> {
    /// The container's name in the template of the pod.
    pub(super) fn pod_name(&self) -> &str {
        name_in_pod(self.running).unwrap_or(&self.name)
    }
}

/// A repository that the orchestrator seems to pull a workload's image from.
#[derive(Debug)]
pub(super) struct Remote<'w> {
    pub(super) repository: &'w Repository,
    /// It carries an image of the local repository; else only the names are alike.
    pub(super) shares_an_image: bool,
}

impl Candidate<'_> {
    /// Whether a remote rests on its name alone. Its images would be cleaned up, so a person has to
    /// look first.
    pub(super) fn rests_on_a_name(&self) -> bool {
        self.remotes.iter().any(|remote| !remote.shares_an_image)
    }
}

/// What an engine has of one repository.
#[derive(Default)]
pub(super) struct RepositoryImages<'w> {
    pub(super) images: BTreeSet<&'w ImageId>,
    /// Tags that can be versions.
    pub(super) versions: BTreeSet<&'w str>,
    pub(super) latest: Option<&'w Image>,
}

pub(super) type ImagesByRepository<'w> = BTreeMap<&'w Repository, RepositoryImages<'w>>;

/// `telemetry` of `k8s_telemetry_pod_namespace_uid_0`.
pub(super) fn name_in_pod(container: &Container) -> Option<&str> {
    let plain = |name: &&str| is_name(name) && *name != POD_SANDBOX && !name.contains('_');
    container
        .names
        .iter()
        .find_map(|name| name.strip_prefix(KUBERNETES)?.split_once('_'))
        .map(|(name, _)| name)
        .filter(plain)
}

/// `telemetry` of `registry.example/docker-sonic-telemetry`.
pub(super) fn short_name(repository: &Repository) -> &str {
    let last = repository.path().rsplit('/').next().unwrap_or_default();
    let short = last.strip_prefix("docker-").unwrap_or(last);
    short.strip_prefix("sonic-").unwrap_or(short)
}

/// The names that are taken: each workload has one of its own, and no container may be local to
/// two.
pub(super) struct Names<'w> {
    workloads: BTreeSet<String>,
    /// Names of local containers, and patterns on them.
    containers: Vec<Pattern>,
    /// A container of that name is there, and it is not the workload's.
    present: BTreeSet<&'w str>,
}

impl<'w> Names<'w> {
    pub(super) fn of(seen: &'w Observation) -> Self {
        let names = seen.containers.iter().flat_map(|c| &c.names);
        Self {
            workloads: BTreeSet::new(),
            containers: Vec::new(),
            present: names.map(String::as_str).gather(),
        }
    }

    pub(super) fn take_workload(&mut self, wanted: &str) -> String {
        let name = numbered(wanted, |name| !self.workloads.contains(name));
        self.workloads.insert(name.clone());
        name
    }

    pub(super) fn take_container(&mut self, wanted: &str) -> String {
        let name = numbered(wanted, |name| {
            !self.containers.iter().any(|p| p.matches(name)) && !self.present.contains(name)
        });
        self.reserve(&name);
        name
    }

    /// Takes a name or a pattern for a workload.
    pub(super) fn reserve(&mut self, name: &str) {
        self.containers.extend(Pattern::parse(name));
    }

    /// Whether a pattern matches no container of this host but these. Names that were only guessed
    /// are chosen after the patterns, and around them.
    pub(super) fn is_free(&self, pattern: &Pattern, own: &[&str]) -> bool {
        let mut present = self.present.iter();
        present.all(|name| own.contains(name) || !pattern.matches(name))
    }
}

/// The name, or the first that is free of `name-2`, `local-name`, `name-3`, `local-local-name` and
/// so on. Those that end in a number may all be matched by one pattern, `name[0-9]*`; the others
/// are not.
fn numbered(wanted: &str, is_free: impl Fn(&str) -> bool) -> String {
    let others = (1_usize..).flat_map(|n| {
        let prefixed = format!("{}{wanted}", "local-".repeat(n));
        [format!("{wanted}-{}", n + 1), prefixed]
    });
    std::iter::once(wanted.to_owned())
        .chain(others)
        .find(|name| is_free(name))
        .unwrap_or_default()
}
