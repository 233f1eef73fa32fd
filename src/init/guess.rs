//! Which workloads a host seems to have. Pure.
//!
//! A workload has a local repository with a `latest`, and others that carry the same images under other names. Images
//! are proof, names are hints; what rests on a hint is marked as unsure.

use std::collections::{BTreeMap, BTreeSet};

use super::containers::{Containers, is_kubernetes};
use super::text::listed;
use crate::engine::Lists;
use tagkeeper_core::model::{Container, Image};
use tagkeeper_core::model::{ImageId, LATEST, Repository};

/// What the host seems to have.
#[derive(Debug, Default)]
pub(super) struct Draft<'w> {
    /// Repositories that others carry images of: workloads.
    pub(super) workloads: Vec<Guess<'w>>,
    /// Repositories that may be workloads whose remotes have left no trace here.
    pub(super) alone: Vec<Guess<'w>>,
    /// Repositories with a `latest` and no sign of being a workload.
    pub(super) left: Vec<&'w Repository>,
}

/// One workload, as far as it can be told.
#[derive(Debug)]
pub(super) struct Guess<'w> {
    pub(super) name: String,
    pub(super) repository: &'w Repository,
    pub(super) latest: &'w Image,
    pub(super) remotes: Vec<Remote<'w>>,
    /// The exact name of the local container.
    pub(super) container: String,
    /// The container that has this name; none if no local container was found.
    pub(super) local: Option<&'w Container>,
    /// The orchestrator's containers.
    pub(super) orchestrated: Vec<&'w Container>,
    /// A pattern that all of their names have.
    pub(super) pattern: Option<String>,
    /// What a person should look at.
    pub(super) unsure: Vec<String>,
}

/// A repository that the orchestrator seems to pull a workload's image from.
#[derive(Debug)]
pub(super) struct Remote<'w> {
    pub(super) repository: &'w Repository,
    /// It carries an image of the local repository; else only the names are alike.
    pub(super) shares_an_image: bool,
}

impl Guess<'_> {
    /// Whether a remote rests on its name alone. Its images would be cleaned up, so a person has to look first.
    pub(super) fn rests_on_a_name(&self) -> bool {
        self.remotes.iter().any(|remote| !remote.shares_an_image)
    }
}

/// What an engine has of one repository.
#[derive(Default)]
pub(super) struct Shelf<'w> {
    pub(super) images: BTreeSet<&'w ImageId>,
    /// Tags that can be versions.
    versions: BTreeSet<&'w str>,
    latest: Option<&'w Image>,
}

pub(super) type Shelves<'w> = BTreeMap<&'w Repository, Shelf<'w>>;

/// Guesses.
pub(super) fn draft(lists: &Lists) -> Draft<'_> {
    let shelves = shelves(lists);
    let locals = locals(&shelves, lists);
    let (remotes, mut unsure) = remotes(&shelves, &locals);
    let containers = Containers::find(lists, &shelves, &locals);

    let mut draft = Draft::default();
    let mut names = Names::of(lists);
    // Who has a container has its name; the others take what is left.
    let mut order = locals.clone();
    order.sort_by_key(|local| !containers.locals.contains_key(local));
    for repository in order {
        let remotes: Vec<Remote> = remotes
            .iter()
            .filter(|(local, _)| *local == repository)
            .map(|(_, remote)| Remote { ..*remote })
            .collect();
        let Some(shelf) = shelves.get(repository) else {
            continue;
        };
        let Some(latest) = shelf.latest else { continue };
        let ran = containers.locals.contains_key(repository);
        if remotes.is_empty() && !ran && shelf.versions.is_empty() {
            draft.left.push(repository);
            continue;
        }
        let doubts = unsure.remove(repository).unwrap_or_default();
        let mut guess = containers.guess(repository, latest, remotes, &shelves, &mut names);
        guess.unsure.splice(0..0, doubts);
        if guess.remotes.is_empty() {
            draft.alone.push(guess);
        } else {
            draft.workloads.push(guess);
        }
    }
    draft.workloads.sort_by(|a, b| a.name.cmp(&b.name));
    draft.alone.sort_by(|a, b| a.name.cmp(&b.name));
    draft.left.sort_unstable();
    draft
}

fn shelves(lists: &Lists) -> Shelves<'_> {
    let mut shelves = Shelves::new();
    for image in &lists.images {
        for reference in &image.references {
            let shelf = shelves.entry(reference.repository()).or_default();
            shelf.images.insert(&image.id);
            shelf.versions.extend(reference.version_tag());
            if reference.tag() == Some(LATEST) {
                shelf.latest = Some(image);
            }
        }
    }
    shelves
}

/// Built or renamed here, by the way it is written: Podman puts `localhost/` before such names.
fn is_written_locally(repository: &Repository) -> bool {
    matches!(repository.registry(), None | Some("localhost"))
}

fn shares_an_image(a: &Shelf, b: &Shelf) -> bool {
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

/// The repositories with a `latest` that a local service may run: of two that carry one image, or that have one name, the
/// one that is written as this host's own, or else the one that a container was created from by that name.
fn locals<'w>(shelves: &Shelves<'w>, lists: &Lists) -> Vec<&'w Repository> {
    let distance = |repository: &Repository| {
        let runs = lists
            .containers
            .iter()
            .any(|c| !is_kubernetes(c) && c.reference.as_ref() == Some(&repository.latest()));
        (!is_written_locally(repository), !runs)
    };
    let with_latest = || shelves.iter().filter(|(_, shelf)| shelf.latest.is_some());
    with_latest()
        .filter(|(repository, shelf)| {
            let mine = distance(repository);
            !with_latest().any(|(other, its)| {
                let related =
                    names_are_alike(repository, other) || (mine.0 && shares_an_image(shelf, its));
                related && distance(other) < mine
            })
        })
        .map(|(repository, _)| *repository)
        .collect()
}

type Doubts<'w> = BTreeMap<&'w Repository, Vec<String>>;

/// Whose remote each other repository is: of the local one whose image it carries, or else whose name it has. Where two
/// would do equally well, nobody's.
fn remotes<'w>(
    shelves: &Shelves<'w>,
    locals: &[&'w Repository],
) -> (Vec<(&'w Repository, Remote<'w>)>, Doubts<'w>) {
    let mut remotes = Vec::new();
    let mut doubts = Doubts::new();
    for (&repository, shelf) in shelves {
        if locals.contains(&repository) {
            continue;
        }
        let likeness = |local: &Repository| {
            let shares = shelves
                .get(local)
                .is_some_and(|its| shares_an_image(its, shelf));
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
                    doubts.push(doubt_of_name(repository, shelf, shelves.get(*local)));
                }
                if shelf.latest.is_some() {
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

fn doubt_of_name(remote: &Repository, shelf: &Shelf, local: Option<&Shelf>) -> String {
    let common = local.map(|local| listed(local.versions.intersection(&shelf.versions)));
    match common.filter(|tags| !tags.is_empty()) {
        Some(tags) => {
            format!("{remote} is named alike and has the same tags ({tags}), but other images")
        }
        None => format!("{remote} is named alike, but carries no image of this repository"),
    }
}

/// `telemetry` of `registry.example/docker-sonic-telemetry`.
pub(super) fn short_name(repository: &Repository) -> &str {
    let last = repository.path().rsplit('/').next().unwrap_or_default();
    let short = last.strip_prefix("docker-").unwrap_or(last);
    short.strip_prefix("sonic-").unwrap_or(short)
}

/// The names that are taken: each workload has one of its own, and so has each local container.
pub(super) struct Names<'w> {
    workloads: BTreeSet<String>,
    pub(super) containers: BTreeSet<String>,
    /// A container of that name is there, and it is not the workload's.
    present: BTreeSet<&'w str>,
}

impl<'w> Names<'w> {
    fn of(lists: &'w Lists) -> Self {
        let names = lists.containers.iter().flat_map(|c| &c.names);
        Self {
            workloads: BTreeSet::new(),
            containers: BTreeSet::new(),
            present: names.map(String::as_str).collect(),
        }
    }

    pub(super) fn take_workload(&mut self, wanted: &str) -> String {
        let name = numbered(wanted, |name| !self.workloads.contains(name));
        self.workloads.insert(name.clone());
        name
    }

    pub(super) fn take_container(&mut self, wanted: &str) -> String {
        let name = numbered(wanted, |name| {
            !self.containers.contains(name) && !self.present.contains(name)
        });
        self.containers.insert(name.clone());
        name
    }
}

/// The name, or the first of `name-2`, `name-3` and so on that is free.
fn numbered(wanted: &str, is_free: impl Fn(&str) -> bool) -> String {
    let numbers = (2_u64..).map(|n| format!("{wanted}-{n}"));
    std::iter::once(wanted.to_owned())
        .chain(numbers)
        .find(|name| is_free(name))
        .unwrap_or_default()
}
