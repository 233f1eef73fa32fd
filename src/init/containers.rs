//! Whose container each is: the local container of a workload, and the orchestrator's. Pure.

use std::collections::{BTreeMap, BTreeSet};

use tagkeeper_core::Gather;
use tagkeeper_core::model::{Container, Image, Observation, Pattern, Repository};

use super::candidate::{Candidate, ImagesByRepository, Names, Remote, name_in_pod, short_name};
use super::text::listed;
use crate::policy_file::{KUBERNETES, is_name, is_of_a_pod, moving_tag};

/// A name that a policy can have.
fn valid_name(container: &Container) -> Option<&str> {
    container
        .names
        .iter()
        .map(String::as_str)
        .find(|name| is_name(name))
}

/// The containers of the host, and whose local container each is.
pub(super) struct Containers<'w> {
    seen: &'w Observation,
    /// The local container of each repository that has one, and others that could be it.
    pub(super) locals: BTreeMap<&'w Repository, (&'w Container, Vec<&'w Container>)>,
}

impl<'w> Containers<'w> {
    pub(super) fn find(
        seen: &'w Observation,
        repositories: &ImagesByRepository<'w>,
        locals: &[&'w Repository],
        remotes: &[(&'w Repository, Remote<'w>)],
    ) -> Self {
        let mut found = Self {
            seen,
            locals: BTreeMap::new(),
        };
        // By the reference, which belongs to one repository only; then, for those that have none,
        // by the image, since the engine forgets the reference when the name moves on.
        for by_image in [false, true] {
            for &repository in locals {
                if found.locals.contains_key(repository) {
                    continue;
                }
                let mut candidates: Vec<&Container> = seen
                    .containers
                    .iter()
                    .filter(|c| match &c.reference {
                        Some(reference) => !by_image && reference.repository() == repository,
                        None => by_image && uses_an_image_of(c, repository, repositories),
                    })
                    .filter(|c| !is_of_a_pod(c) && found.is_free(c))
                    .collect();
                candidates.sort_by_key(|c| unlikeliness(c, repository));
                if let Some((first, others)) = candidates.split_first() {
                    let mut others = others.to_vec();
                    let carriers: Vec<&Repository> = remotes
                        .iter()
                        .filter(|(local, _)| *local == repository)
                        .map(|(_, remote)| remote.repository)
                        .chain([repository])
                        .collect();
                    others.extend(found.stale_siblings(first, &carriers, repositories));
                    found.locals.insert(repository, (first, others));
                }
            }
        }
        found
    }

    /// The siblings of a container whose reference the engine has forgotten, with an image of one
    /// of these repositories: after a promotion, those that still run the version before it.
    fn stale_siblings(
        &self,
        container: &'w Container,
        carriers: &[&Repository],
        repositories: &ImagesByRepository<'w>,
    ) -> Vec<&'w Container> {
        let own = valid_name(container).unwrap_or_default();
        let is_stale = |c: &&Container| {
            let is_sibling =
                valid_name(c).is_some_and(|name| siblings(own, &[own, name]).is_some());
            let is_forgotten = c.reference.is_none() && container.reference.is_some();
            is_forgotten
                && is_sibling
                && carriers
                    .iter()
                    .any(|carrier| uses_an_image_of(c, carrier, repositories))
                && self.is_free(c)
        };
        self.seen.containers.iter().filter(is_stale).collect()
    }

    /// Whether it has a name that a policy can have, and nobody else has that name.
    fn is_free(&self, container: &Container) -> bool {
        valid_name(container).is_some_and(|name| {
            let taken = self.locals.values();
            taken
                .into_iter()
                .all(|(taken, _)| valid_name(taken) != Some(name))
        })
    }

    pub(super) fn candidate(
        &self,
        repository: &'w Repository,
        latest: &'w Image,
        remotes: Vec<Remote<'w>>,
        repositories: &ImagesByRepository<'w>,
        names: &mut Names<'w>,
    ) -> Candidate<'w> {
        let mut unsure = Vec::new();
        let local = self.locals.get(repository);
        let orchestrated = self.orchestrated(repository, &remotes, repositories);
        let in_pods: BTreeSet<Option<&str>> = orchestrated.iter().map(|c| name_in_pod(c)).gather();
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
        let (name, containers) = if let Some((container, others)) = local {
            let (wanted, containers) =
                local_names((container, others), of_pods, names, &mut unsure);
            (names.take_workload(wanted), containers)
        } else {
            let name = names.take_workload(of_pods.unwrap_or_else(|| short_name(repository)));
            let container = names.take_container(&name);
            unsure.push(format!(
                "no container was created from {}; what does the local service call its own?",
                repository.latest()
            ));
            (name, vec![container])
        };
        let mut moving_tags = remotes
            .iter()
            .filter_map(|remote| moving_tag(&self.seen.images, remote.repository));
        let moving_tag = moving_tags.next();
        Candidate {
            name,
            repository,
            latest,
            remotes,
            containers,
            local: local.map(|(container, _)| *container),
            pattern: of_pods.map(|name| format!("{KUBERNETES}{name}_*")),
            moving_tag,
            orchestrated,
            unsure,
        }
    }

    /// The containers of the workload other than local ones: its own, and those that somebody made
    /// by hand.
    fn orchestrated(
        &self,
        repository: &Repository,
        remotes: &[Remote],
        repositories: &ImagesByRepository,
    ) -> Vec<&'w Container> {
        let own = || std::iter::once(repository).chain(remotes.iter().map(|r| r.repository));
        let is_local = |container: &Container| {
            let locals = self.locals.values();
            locals.into_iter().any(|(local, others)| {
                local.id == container.id || others.iter().any(|o| o.id == container.id)
            })
        };
        let belongs = |container: &Container| match &container.reference {
            Some(reference) => own().any(|r| r == reference.repository()),
            None => own().any(|r| uses_an_image_of(container, r, repositories)),
        };
        let containers = self.seen.containers.iter();
        containers.filter(|c| belongs(c) && !is_local(c)).collect()
    }
}

fn uses_an_image_of(
    container: &Container,
    repository: &Repository,
    repositories: &ImagesByRepository,
) -> bool {
    let images = repositories.get(repository).map(|all| &all.images);
    let image = container.image.as_ref();
    image.is_some_and(|image| images.is_some_and(|images| images.contains(image)))
}

/// What to call the workload of a local container, and the names or patterns of all its local
/// containers, seen and to come.
fn local_names<'w>(
    (container, others): (&'w Container, &[&'w Container]),
    of_pods: Option<&str>,
    names: &mut Names<'w>,
    unsure: &mut Vec<String>,
) -> (&'w str, Vec<String>) {
    let all = [container].into_iter().chain(others.iter().copied());
    let all: Vec<&str> = all.filter_map(valid_name).collect();
    let own = valid_name(container).unwrap_or_default();
    let siblings = siblings(own, &all).filter(|siblings| {
        let mut patterns = siblings.patterns(of_pods);
        patterns.all(|pattern| names.is_free(&pattern, &siblings.members))
    });
    let (name, containers, members) = match siblings {
        Some(siblings) => (
            siblings.name(own),
            siblings.texts(of_pods),
            siblings.members,
        ),
        None => (own, vec![own.to_owned()], vec![own]),
    };
    let others = listed(all.iter().filter(|name| !members.contains(name)));
    if !others.is_empty() {
        unsure.push(format!("the local container may also be one of: {others}"));
    }
    for container in &containers {
        names.reserve(container);
    }
    (name, containers)
}

/// Containers of one repository that differ in a number: `lldp`, `lldp0` and `lldp1` of a switch
/// with several ASICs.
struct Siblings<'w> {
    /// What their names begin with.
    base: &'w str,
    /// Their names.
    members: Vec<&'w str>,
}

/// The siblings of a container among others; none if it has none.
fn siblings<'w>(own: &'w str, all: &[&'w str]) -> Option<Siblings<'w>> {
    let base = own.trim_end_matches(|c: char| c.is_ascii_digit());
    let is_sibling = |name: &&&str| {
        let number = name.strip_prefix(base);
        number.is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
    };
    let members: Vec<&str> = all.iter().filter(is_sibling).copied().collect();
    (!base.is_empty() && members.len() > 1).then_some(Siblings { base, members })
}

/// The pattern of the instances of a name: `lldp0`, `lldp1` of `lldp`.
pub(super) fn numbered(base: &str) -> String {
    format!("{base}[0-9]*")
}

impl<'w> Siblings<'w> {
    /// What `container` has to say for all of them. The one without a number is there, or is to be
    /// expected: its work is done by a pod's container of that name.
    fn texts(&self, of_pods: Option<&str>) -> Vec<String> {
        let has_plain = self.members.contains(&self.base) || of_pods == Some(self.base);
        let plain = has_plain.then(|| self.base.to_owned());
        let numbered = numbered(self.base);
        plain.into_iter().chain([numbered]).collect()
    }

    fn patterns(&self, of_pods: Option<&str>) -> impl Iterator<Item = Pattern> {
        self.texts(of_pods)
            .into_iter()
            .filter_map(|text| Pattern::parse(&text).ok())
    }

    /// What to call the workload.
    fn name(&self, own: &'w str) -> &'w str {
        let name = self.base.trim_end_matches(['-', '_', '.']);
        if is_name(name) { name } else { own }
    }
}

/// What makes a container unlikely to be the local one, the weightiest first.
fn unlikeliness<'c>(container: &'c Container, repository: &Repository) -> (bool, bool, &'c str) {
    let name = valid_name(container).unwrap_or_default();
    let from_latest = container.reference.as_ref() == Some(&repository.latest());
    let last = repository.path().rsplit('/').next().unwrap_or_default();
    let named_so = last
        .strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('-'));
    (!from_latest, !named_so, name)
}
