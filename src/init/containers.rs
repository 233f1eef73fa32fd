//! Whose container each is: the local container of a workload, and the orchestrator's. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::guess::{Guess, Names, Remote, Shelves, short_name};
use super::text::listed;
use crate::engine::Lists;
use crate::policy_file::is_name;
use tagkeeper_core::model::Repository;
use tagkeeper_core::model::{Container, Image};

/// How Kubernetes names the containers that it makes on Docker: `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`.
const KUBERNETES: &str = "k8s_";
/// The container of each pod that only holds its network.
const POD_SANDBOX: &str = "POD";

pub(super) fn is_kubernetes(container: &Container) -> bool {
    container.names.iter().any(|n| n.starts_with(KUBERNETES))
}

/// A name that a policy can have.
fn legal_name(container: &Container) -> Option<&str> {
    container
        .names
        .iter()
        .map(String::as_str)
        .find(|name| is_name(name))
}

/// The containers of the host, and whose local container each is.
pub(super) struct Containers<'w> {
    lists: &'w Lists,
    /// The local container of each repository that has one, and others that could be it.
    pub(super) locals: BTreeMap<&'w Repository, (&'w Container, Vec<&'w Container>)>,
}

impl<'w> Containers<'w> {
    pub(super) fn find(lists: &'w Lists, shelves: &Shelves<'w>, locals: &[&'w Repository]) -> Self {
        let mut found = Self {
            lists,
            locals: BTreeMap::new(),
        };
        // By the reference, which belongs to one repository only; then, for those that have none, by the image, since the
        // engine forgets the reference when the name moves on.
        for by_image in [false, true] {
            for &repository in locals {
                if found.locals.contains_key(repository) {
                    continue;
                }
                let mut candidates: Vec<&Container> = lists
                    .containers
                    .iter()
                    .filter(|c| match &c.reference {
                        Some(reference) => !by_image && reference.repository() == repository,
                        None => {
                            by_image
                                && shelves.get(repository).is_some_and(|shelf| {
                                    c.image.as_ref().is_some_and(|id| shelf.images.contains(id))
                                })
                        }
                    })
                    .filter(|c| !is_kubernetes(c) && found.is_free(c))
                    .collect();
                candidates.sort_by_key(|c| unlikeliness(c, repository));
                if let Some((first, others)) = candidates.split_first() {
                    found.locals.insert(repository, (first, others.to_vec()));
                }
            }
        }
        found
    }

    /// Whether it has a name that a policy can have, and nobody else has that name.
    fn is_free(&self, container: &Container) -> bool {
        legal_name(container).is_some_and(|name| {
            let taken = self.locals.values();
            taken
                .into_iter()
                .all(|(taken, _)| legal_name(taken) != Some(name))
        })
    }

    pub(super) fn guess(
        &self,
        repository: &'w Repository,
        latest: &'w Image,
        remotes: Vec<Remote<'w>>,
        shelves: &Shelves<'w>,
        names: &mut Names<'w>,
    ) -> Guess<'w> {
        let mut unsure = Vec::new();
        let local = self.locals.get(repository);
        let orchestrated = self.orchestrated(repository, &remotes, shelves);
        let in_pods: BTreeSet<Option<&str>> = orchestrated.iter().map(|c| name_in_pod(c)).collect();
        let of_pods = match in_pods.iter().collect::<Vec<_>>().as_slice() {
            [Some(only)] => Some(*only),
            [] => None,
            _ => {
                let seen = listed(orchestrated.iter().map(|c| c.name()));
                unsure.push(format!(
                    "no one pattern fits the names of the orchestrator's containers ({seen}), so all of them count"
                ));
                None
            }
        };
        let (name, container) = if let Some((container, others)) = local {
            if !others.is_empty() {
                let seen = listed(others.iter().map(|c| c.name()));
                unsure.push(format!("the local container may also be one of: {seen}"));
            }
            let name = legal_name(container).unwrap_or_default();
            names.containers.insert(name.to_owned());
            (names.take_workload(name), name.to_owned())
        } else {
            let name = names.take_workload(of_pods.unwrap_or_else(|| short_name(repository)));
            let container = names.take_container(&name);
            unsure.push(format!(
                "no container was created from {}; what does the local service call its own?",
                repository.latest()
            ));
            (name, container)
        };
        Guess {
            name,
            repository,
            latest,
            remotes,
            container,
            local: local.map(|(container, _)| *container),
            pattern: of_pods.map(|name| format!("{KUBERNETES}{name}_*")),
            orchestrated,
            unsure,
        }
    }

    /// The containers of the workload other than local ones: its own, and those that somebody made by hand.
    fn orchestrated(
        &self,
        repository: &Repository,
        remotes: &[Remote],
        shelves: &Shelves,
    ) -> Vec<&'w Container> {
        let repositories =
            || std::iter::once(repository).chain(remotes.iter().map(|r| r.repository));
        let is_local = |container: &Container| {
            let locals = self.locals.values();
            locals.into_iter().any(|(local, others)| {
                local.id == container.id || others.iter().any(|o| o.id == container.id)
            })
        };
        let belongs = |container: &Container| match &container.reference {
            Some(reference) => repositories().any(|r| r == reference.repository()),
            None => repositories().filter_map(|r| shelves.get(r)).any(|shelf| {
                container
                    .image
                    .as_ref()
                    .is_some_and(|id| shelf.images.contains(id))
            }),
        };
        let containers = self.lists.containers.iter();
        containers.filter(|c| belongs(c) && !is_local(c)).collect()
    }
}

/// What makes a container unlikely to be the local one, the weightiest first.
fn unlikeliness<'c>(container: &'c Container, repository: &Repository) -> (bool, bool, &'c str) {
    let name = legal_name(container).unwrap_or_default();
    let from_latest = container.reference.as_ref() == Some(&repository.latest());
    let last = repository.path().rsplit('/').next().unwrap_or_default();
    let named_so = last
        .strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('-'));
    (!from_latest, !named_so, name)
}

/// `telemetry` of `k8s_telemetry_pod_namespace_uid_0`.
fn name_in_pod(container: &Container) -> Option<&str> {
    let plain = |name: &&str| is_name(name) && *name != POD_SANDBOX && !name.contains('_');
    container
        .names
        .iter()
        .find_map(|name| name.strip_prefix(KUBERNETES)?.split_once('_'))
        .map(|(name, _)| name)
        .filter(plain)
}
