//! What the engine shows of a policy that is probably a mistake. Pure: reads an observation.

use std::collections::{BTreeMap, BTreeSet};

use tagkeeper_core::Gather;
use tagkeeper_core::model::{
    Container, Image, ImageId, Observation, Reference, Repository, Workload, WorkloadName,
};

use super::{CheckedPolicy, section};
use crate::policy_file::diagnostic::{Diagnostic, Finding};
use crate::policy_file::value::quoted;
use crate::suggest::closest;

/// How Kubernetes names the containers that it makes on Docker:
/// `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`.
pub(crate) const KUBERNETES: &str = "k8s_";

/// Whether a container is one that Kubernetes made for a pod.
pub(crate) fn is_of_a_pod(container: &Container) -> bool {
    container.names.iter().any(|n| n.starts_with(KUBERNETES))
}

/// What is probably wrong with a policy, as far as the engine shows it, in the order of the
/// policy's text.
pub fn of_engine(checked: &CheckedPolicy, seen: &Observation) -> Vec<Diagnostic> {
    let view = View::new(checked, seen);
    let mut findings = Vec::new();
    for (name, workload) in &checked.settings.policy.workloads {
        let one = One {
            view: &view,
            name,
            workload,
        };
        findings.extend(one.absent_repository());
        findings.extend(one.unlikely_remotes());
        findings.extend(one.other_container());
        findings.extend(one.excluded_container());
        findings.extend(one.other_tag());
        findings.extend(one.moving_tag());
    }
    findings.sort_by_key(|finding| finding.span);
    checked.located(findings)
}

/// A tag of a remote that by its look means another image from build to build; the first of those
/// that images have now.
pub(crate) fn moving_tag<'s>(images: &'s [Image], remote: &Repository) -> Option<&'s Reference> {
    let tags = images.iter().flat_map(Image::tags);
    tags.filter(|tag| tag.repository() == remote && tag.version_tag().is_some())
        .filter(|tag| has_no_number(tag))
        .min()
}

/// A version has a number; `stable`, `main` and `latest` mean whatever is newest.
fn has_no_number(reference: &Reference) -> bool {
    let tag = reference.tag().filter(|_| !reference.is_digest());
    tag.is_some_and(|tag| !tag.bytes().any(|b| b.is_ascii_digit()))
}

/// The engine, by what is asked of it here.
struct View<'v> {
    checked: &'v CheckedPolicy,
    seen: &'v Observation,
    images: BTreeMap<&'v ImageId, &'v Image>,
    /// The images of each repository.
    repositories: BTreeMap<&'v Repository, BTreeSet<&'v ImageId>>,
    /// The repositories that the policy names.
    named: BTreeSet<&'v Repository>,
}

impl<'v> View<'v> {
    fn new(checked: &'v CheckedPolicy, seen: &'v Observation) -> Self {
        let mut repositories: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for image in &seen.images {
            for reference in &image.references {
                let images = repositories.entry(reference.repository()).or_default();
                images.insert(&image.id);
            }
        }
        let workloads = checked.settings.policy.workloads.values();
        Self {
            checked,
            seen,
            images: seen.images.iter().map(|image| (&image.id, image)).gather(),
            repositories,
            named: workloads.flat_map(Workload::repositories).gather(),
        }
    }

    fn has(&self, repository: &Repository, image: &ImageId) -> bool {
        let images = self.repositories.get(repository);
        images.is_some_and(|images| images.contains(image))
    }

    fn share_an_image(&self, one: &Repository, other: &Repository) -> bool {
        let images = self.repositories.get(one);
        images.is_some_and(|images| images.iter().any(|image| self.has(other, image)))
    }

    /// The containers that run services: neither pins, nor one-off commands, nor local to a
    /// workload.
    fn strangers(&self) -> impl Iterator<Item = &'v Container> {
        let workloads = &self.checked.settings.policy.workloads;
        let is_local = move |container: &Container| {
            let mut names = container.names.iter();
            names.any(|name| workloads.values().any(|w| w.is_local_name(name)))
        };
        let containers = self.seen.containers.iter();
        containers.filter(move |c| c.pin.is_none() && !c.one_off && !is_local(c))
    }

    /// Whether the policy says whose a container is: by a workload's pattern.
    fn is_orchestrated(&self, container: &Container) -> bool {
        let workloads = self.checked.settings.policy.workloads.values();
        let mut patterns = workloads.filter_map(|workload| workload.orchestrated.as_ref());
        patterns.any(|pattern| container.names.iter().any(|name| pattern.matches(name)))
    }

    /// The image that a name means now.
    fn image_of(&self, name: &Reference) -> Option<&'v ImageId> {
        let images = self.seen.images.iter();
        let named = images.filter(|image| image.references.iter().any(|r| r.names_as(name)));
        named.map(|image| &image.id).next()
    }
}

/// One workload on the engine.
struct One<'v> {
    view: &'v View<'v>,
    name: &'v WorkloadName,
    workload: &'v Workload,
}

impl<'v> One<'v> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", section(self.name))
    }

    fn warning(&self, keys: &[String], message: String, help: String) -> Option<Finding> {
        self.view.checked.warning(keys, message, help)
    }

    fn absent_repository(&self) -> Option<Finding> {
        let repository = &self.workload.repository;
        let present = &self.view.repositories;
        if present.contains_key(repository) {
            return None;
        }
        let help = match closest(repository.as_str(), present.keys().map(|r| r.as_str())) {
            Some(meant) => format!("did you mean {}?", quoted(meant)),
            None => "write it as the engine prints it, or wait for its first image".to_owned(),
        };
        let message = format!("the engine has no image of '{repository}'");
        self.warning(&[self.key("repository")], message, help)
    }

    /// Remotes that have no image in common with the local repository, where one that the policy
    /// does not name has.
    fn unlikely_remotes(&self) -> Vec<Finding> {
        let local = &self.workload.repository;
        // On Docker Hub, or another registry.
        let is_elsewhere =
            |r: &Repository| r.as_str().contains('/') && r.registry() != Some("localhost");
        let others = self.view.repositories.keys().copied();
        let others: Vec<&Repository> = others
            .filter(|other| !self.view.named.contains(other) && is_elsewhere(other))
            .filter(|other| self.view.share_an_image(local, other))
            .collect();
        let remotes = || self.workload.remotes.iter();
        let is_any_right = remotes().any(|remote| self.view.share_an_image(local, remote));
        let finding = |(index, remote): (usize, &Repository)| {
            if self.view.share_an_image(local, remote) {
                return None;
            }
            let alike = closest(remote.as_str(), others.iter().map(|r| r.as_str()));
            // Beside one that is right, another is a slip only if it is spelt like what is here.
            let first = others.first().filter(|_| !is_any_right);
            let meant = alike.or(first.map(|r| r.as_str()))?;
            let key = self.key("remotes");
            let message = format!(
                "'{remote}' has no image in common with '{local}' here, while '{meant}' has"
            );
            let help = format!("did you mean {}?", quoted(meant));
            self.warning(&[format!("{key}#{index}"), key], message, help)
        };
        remotes().enumerate().filter_map(finding).collect()
    }

    /// No container has a name of the local ones, and another looks like it.
    fn other_container(&self) -> Option<Finding> {
        let workload = self.workload;
        let mut names = self.view.seen.containers.iter().flat_map(|c| &c.names);
        if names.any(|name| workload.is_local_name(name)) {
            return None;
        }
        let is_orchestrated = |container: &Container| {
            (is_of_a_pod(container) && workload.orchestrated.is_none())
                || self.view.is_orchestrated(container)
        };
        let mut candidates = self.view.strangers().filter(|container| {
            let runs_it = match &container.reference {
                Some(reference) => *reference.repository() == workload.repository,
                // Made by an id, or its tag has moved. What came from a remote is the
                // orchestrator's, more likely.
                None => {
                    self.uses_an_image_of(container, &workload.repository)
                        && !self.runs_a_remote_image(container)
                }
            };
            runs_it && container.is_running() && !is_orchestrated(container)
        });
        let container = candidates.next()?;
        let message = format!(
            "there is no container '{}', while '{}' runs an image of '{}'",
            workload.containers_in_words(),
            container.name(),
            workload.repository
        );
        let mut help = format!("write container = {}", quoted(&container.name()));
        if container.reference.is_none() {
            help += " if the local service runs it; if the orchestrator does, write orchestrated = with a pattern that matches it";
        }
        let keys = [self.key("container"), section(self.name)];
        self.warning(&keys, message, help)
    }

    /// The pattern fits none of the containers that run, and would have to fit this one.
    fn excluded_container(&self) -> Option<Finding> {
        let pattern = self.workload.orchestrated.as_ref()?;
        let running = || {
            let strangers = self.view.strangers().filter(|c| c.is_running());
            strangers.filter(|c| self.runs_a_remote_image(c))
        };
        let is_matched = |c: &&Container| c.names.iter().any(|name| pattern.matches(name));
        if running().any(|c| is_matched(&c)) {
            return None;
        }
        let excluded = running().find(|c| !self.view.is_orchestrated(c))?;
        let name = excluded.name();
        let message = format!(
            "'{pattern}' excludes '{name}', which runs an image of '{}'",
            self.name
        );
        let pod = name
            .strip_prefix(KUBERNETES)
            .and_then(|rest| rest.split_once('_'));
        let help = match pod {
            Some((container, _)) => {
                format!(
                    "write orchestrated = {}",
                    quoted(&format!("{KUBERNETES}{container}_*"))
                )
            }
            None => "write a pattern that matches it, or omit the key".to_owned(),
        };
        self.warning(&[self.key("orchestrated")], message, help)
    }

    /// The local service does not start latest.
    fn other_tag(&self) -> Option<Finding> {
        let latest = self.workload.repository.latest();
        let is_local = |c: &&Container| c.names.iter().any(|n| self.workload.is_local_name(n));
        let mut locals = self.view.seen.containers.iter().filter(is_local);
        let (container, reference) = locals.find_map(|container| {
            let reference = container.reference.as_ref()?;
            let is_ours = *reference.repository() == self.workload.repository;
            (is_ours && *reference != latest).then_some((container, reference))
        })?;
        let message = format!(
            "container '{}' was created from '{reference}', so '{latest}' does not decide what its service runs",
            container.name()
        );
        let help = format!("let the service create its container from '{latest}'");
        self.warning(&[self.key("repository")], message, help)
    }

    /// A tag means another build than it did, where one version is taken for one build.
    fn moving_tag(&self) -> Option<Finding> {
        if !self.workload.dry_runs {
            return None;
        }
        let mut strangers = self.view.strangers();
        let moved = strangers.find_map(|c| Some((c, self.moved_under(c)?)));
        let message = if let Some((container, repository)) = moved {
            format!(
                "a tag of '{repository}' has moved since '{}' was created, and dry_runs is on",
                container.name()
            )
        } else {
            let strangers = self.view.strangers();
            let ours = strangers.filter(|c| self.runs_a_remote_image(c));
            let mut references = ours.filter_map(|c| c.reference.as_ref());
            let run = references.find(|reference| has_no_number(reference));
            // The engine forgets what a container was created from when the tag moves on.
            let is_forgotten = self.view.strangers().any(|c| c.reference.is_none());
            let remotes = self.workload.remotes.iter().filter(|_| is_forgotten);
            let mut kept = remotes.filter_map(|r| moving_tag(&self.view.seen.images, r));
            let reference = run.or_else(|| kept.next())?;
            format!(
                "'{reference}' looks like a tag that moves from build to build, and dry_runs is on"
            )
        };
        let keys = [
            self.key("dry_runs"),
            "defaults.dry_runs".to_owned(),
            section(self.name),
        ];
        let help = format!(
            "write dry_runs = false in [{}], or the next build under that tag may be taken for an idle container",
            section(self.name)
        );
        self.warning(&keys, message, help)
    }

    /// The repository in which a tag has left the image of a container: the container's own
    /// reference means another image now; or no tag is left of it, while others of the repository
    /// have theirs; or only the name that a promotion gave it, while its tag is another image's.
    fn moved_under(&self, container: &Container) -> Option<&'v Repository> {
        let used = container.image.as_ref()?;
        let mut remotes = self.workload.remotes.iter();
        if let Some(reference) = &container.reference {
            if reference.is_digest() || self.view.image_of(reference)? == used {
                return None;
            }
            return remotes.find(|r| *r == reference.repository());
        }
        let image = *self.view.images.get(used)?;
        let has_tag = |remote: &Repository, version: Option<&str>| {
            let mut tags = self.view.seen.images.iter().flat_map(Image::tags);
            let is_it = |tag: &Reference| version.is_none_or(|v| tag.version_tag() == Some(v));
            tags.any(|tag| tag.repository() == remote && is_it(tag))
        };
        let mut own = image.tags();
        // Kubelet pulls by digest and creates by id: no tag has left what never had one.
        if is_of_a_pod(container) || own.any(|tag| self.workload.remotes.contains(tag.repository()))
        {
            return None;
        }
        let has_left = |remote: &Repository| {
            let own = image.tags().filter(|tag| self.workload.owns(tag));
            let mut versions = own.filter_map(|tag| tag.version_tag());
            versions.any(|version| has_tag(remote, Some(version)))
        };
        remotes
            .find(|remote| self.view.has(remote, used) && has_tag(remote, None) || has_left(remote))
    }

    fn uses_an_image_of(&self, container: &Container, repository: &Repository) -> bool {
        let image = container.image.as_ref();
        image.is_some_and(|image| self.view.has(repository, image))
    }

    fn runs_a_remote_image(&self, container: &Container) -> bool {
        let mut remotes = self.workload.remotes.iter();
        match &container.reference {
            Some(reference) => remotes.any(|remote| remote == reference.repository()),
            None => remotes.any(|remote| self.uses_an_image_of(container, remote)),
        }
    }
}
