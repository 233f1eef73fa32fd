//! Which workloads a host seems to have. Pure.
//!
//! A workload has a local repository with a `latest`, and others that carry the same images under
//! other names. Images are proof, names are hints; what rests on a hint is marked as unsure.

use std::collections::{BTreeMap, BTreeSet};

use tagkeeper_core::Gather;
use tagkeeper_core::model::{Container, LATEST, Observation, Repository};

use super::candidate::{
    Candidates, ImagesByRepository, KubeOnly, Names, Remote, RepositoryImages, name_in_pod,
};
use super::containers::Containers;
use super::text::listed;
use crate::policy_file::is_of_a_pod;

/// Finds them, as far as can be told.
pub(super) fn candidates(seen: &Observation) -> Candidates<'_> {
    let repositories = repositories(seen);
    let locals = locals(&repositories, seen);
    let (remotes, mut unsure) = remotes(&repositories, &locals);
    let containers = Containers::find(seen, &repositories, &locals, &remotes);

    let mut candidates = Candidates::default();
    let mut names = Names::of(seen);
    // Who has a container has its name; the others take what is left.
    let mut order = locals.clone();
    order.sort_by_key(|local| !containers.locals.contains_key(local));
    for repository in order {
        let remotes: Vec<Remote> = remotes
            .iter()
            .filter(|(local, _)| *local == repository)
            .map(|(_, remote)| Remote { ..*remote })
            .collect();
        let Some(images) = repositories.get(repository) else {
            continue;
        };
        let Some(latest) = images.latest else {
            continue;
        };
        let ran = containers.locals.contains_key(repository);
        if remotes.is_empty() && !ran && images.versions.is_empty() {
            candidates.left.push(repository);
            continue;
        }
        let doubts = unsure.remove(repository).unwrap_or_default();
        let mut candidate =
            containers.candidate(repository, latest, remotes, &repositories, &mut names);
        candidate.unsure.splice(0..0, doubts);
        if candidate.remotes.is_empty() {
            candidates.without_remotes.push(candidate);
        } else {
            candidates.workloads.push(candidate);
        }
    }
    let known: BTreeSet<&Repository> = remotes.iter().map(|(_, remote)| remote.repository).gather();
    candidates.kube_only = kube_only(seen, &repositories, &locals, &known, &mut names);
    candidates.workloads.sort_by(|a, b| a.name.cmp(&b.name));
    candidates
        .without_remotes
        .sort_by(|a, b| a.name.cmp(&b.name));
    candidates.left.sort_unstable();
    candidates
}

/// The repositories that nothing but pods runs images of, with the name of their containers.
fn kube_only<'w>(
    seen: &'w Observation,
    repositories: &ImagesByRepository<'w>,
    locals: &[&'w Repository],
    known: &BTreeSet<&'w Repository>,
    names: &mut Names<'w>,
) -> Vec<KubeOnly<'w>> {
    let mut found = Vec::new();
    for (&remote, images) in repositories {
        let last = remote.path().rsplit('/').next().unwrap_or_default();
        let is_taken = known.contains(remote)
            || images.latest.is_some()
            || is_written_locally(remote)
            || images.versions.is_empty()
            || locals.iter().any(|local| local.as_str() == last);
        let mut users = seen
            .containers
            .iter()
            .filter(|c| {
                c.image
                    .as_ref()
                    .is_some_and(|image| images.images.contains(image))
            })
            .peekable();
        let Some(name) = users.peek().and_then(|running| name_in_pod(running)) else {
            continue;
        };
        let mut users: Vec<&Container> = users.collect();
        let is_one = users.iter().all(|c| name_in_pod(c) == Some(name));
        let repository = last.to_owned();
        let has_room = !found
            .iter()
            .any(|other: &KubeOnly| other.repository == repository);
        if let (Some(running), false, true, true) = (users.pop(), is_taken, is_one, has_room) {
            found.push(KubeOnly {
                name: names.take_workload(name),
                remote,
                repository,
                container: names.take_container(name),
                running,
            });
        }
    }
    found
}

fn repositories(seen: &Observation) -> ImagesByRepository<'_> {
    let mut repositories = ImagesByRepository::new();
    for image in &seen.images {
        for reference in &image.references {
            let images = repositories.entry(reference.repository()).or_default();
            images.images.insert(&image.id);
            images.versions.extend(reference.version_tag());
            if reference.tag() == Some(LATEST) {
                images.latest = Some(image);
            }
        }
    }
    repositories
}

/// Built or renamed here, by the way it is written: Podman puts `localhost/` before such names.
fn is_written_locally(repository: &Repository) -> bool {
    matches!(repository.registry(), None | Some("localhost"))
}

fn shares_an_image(a: &RepositoryImages, b: &RepositoryImages) -> bool {
    a.images.intersection(&b.images).next().is_some()
}

/// `team/app` and `registry.example/mirror/team/app`.
fn names_are_alike(a: &Repository, b: &Repository) -> bool {
    let ends_with = |long: &str, short: &str| {
        long.strip_suffix(short)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    };
    ends_with(a.path(), b.path()) || ends_with(b.path(), a.path())
}

/// The repositories with a `latest` that a local service may run: of two that carry one image, or
/// that have one name, the one that is written as this host's own, or else the one that a container
/// was created from by that name.
fn locals<'w>(repositories: &ImagesByRepository<'w>, seen: &Observation) -> Vec<&'w Repository> {
    let distance = |repository: &Repository| {
        let runs = seen
            .containers
            .iter()
            .any(|c| !is_of_a_pod(c) && c.reference.as_ref() == Some(&repository.latest()));
        (!is_written_locally(repository), !runs)
    };
    let with_latest = || {
        repositories
            .iter()
            .filter(|(_, images)| images.latest.is_some())
    };
    with_latest()
        .filter(|(repository, images)| {
            let mine = distance(repository);
            !with_latest().any(|(other, its)| {
                let related =
                    names_are_alike(repository, other) || (mine.0 && shares_an_image(images, its));
                related && distance(other) < mine
            })
        })
        .map(|(repository, _)| *repository)
        .collect()
}

type Doubts<'w> = BTreeMap<&'w Repository, Vec<String>>;

/// Whose remote each other repository is: of the local one whose image it carries, or else whose
/// name it has. Where two would do equally well, nobody's.
fn remotes<'w>(
    repositories: &ImagesByRepository<'w>,
    locals: &[&'w Repository],
) -> (Vec<(&'w Repository, Remote<'w>)>, Doubts<'w>) {
    let mut remotes = Vec::new();
    let mut doubts = Doubts::new();
    for (&repository, images) in repositories {
        if locals.contains(&repository) {
            continue;
        }
        let likeness = |local: &Repository| {
            let shares = repositories
                .get(local)
                .is_some_and(|its| shares_an_image(its, images));
            // Names alone say little where nobody wrote a registry: `app` is not `grafana/app`.
            let alike =
                names_are_alike(local, repository) && (shares || !is_written_locally(repository));
            (shares, alike)
        };
        let best = locals.iter().map(|local| likeness(local)).max();
        let Some((shares, alike)) = best.filter(|&(shares, alike)| shares || alike) else {
            continue;
        };
        let mut likeliest = locals
            .iter()
            .filter(|local| likeness(local) == (shares, alike));
        match (likeliest.next(), likeliest.next()) {
            (Some(local), None) => {
                let doubts = doubts.entry(*local).or_default();
                if !shares {
                    doubts.push(doubt_of_name(repository, images, repositories.get(*local)));
                }
                if images.latest.is_some() {
                    doubts.push(format!(
                        "{repository} has a latest too; is that what the local service runs?"
                    ));
                }
                let shares_an_image = shares;
                remotes.push((
                    *local,
                    Remote {
                        repository,
                        shares_an_image,
                    },
                ));
            }
            (Some(one), Some(other)) => {
                for local in [one, other] {
                    doubts.entry(*local).or_default().push(format!(
                        "{repository} may be a remote of {one} or of {other}; write it into one of them"
                    ));
                }
            }
            _ => {}
        }
    }
    (remotes, doubts)
}

fn doubt_of_name(
    remote: &Repository,
    images: &RepositoryImages,
    local: Option<&RepositoryImages>,
) -> String {
    let common = local.map(|local| listed(local.versions.intersection(&images.versions)));
    match common.filter(|tags| !tags.is_empty()) {
        Some(tags) => {
            format!("{remote} is named alike and has the same tags ({tags}), but other images")
        }
        None => format!("{remote} is named alike, but carries no image of this repository"),
    }
}
