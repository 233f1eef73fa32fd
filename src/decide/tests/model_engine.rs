//! The model's engine, by the rules that were measured on real ones (design section 8): what names, containers and
//! removals do.

use crate::decide::Action;
use crate::image::{ImageId, Reference};
use crate::world::{Container, ContainerId, ContainerState, Details, Disk, Health, Image, World};

use super::model::{Host, digit, id, name, short_name};

impl Host {
    /// An image comes to the disk, or gets more names.
    pub(super) fn image(&mut self, digit: char, names: &[&str]) {
        if !self.images.iter().any(|image| image.id == id(digit)) {
            self.images.push(Image {
                id: id(digit),
                references: Vec::new(),
                foreign_names: 0,
                size_bytes: 1,
            });
        }
        for text in names {
            self.tag(digit, text);
        }
    }

    /// Somebody gives a name to an image, moving it if need be.
    pub(super) fn tag(&mut self, digit: char, text: &str) {
        self.give_name(&id(digit), &name(text));
    }

    fn give_name(&mut self, to: &ImageId, reference: &Reference) {
        for image in &mut self.images {
            image.references.retain(|r| r != reference);
            if image.id == *to {
                image.references.push(reference.clone());
            }
        }
    }

    /// Somebody takes a name off; the image stays, be it nameless.
    pub(super) fn untag(&mut self, text: &str) {
        let reference = name(text);
        self.images
            .iter_mut()
            .for_each(|image| image.references.retain(|r| *r != reference));
    }

    /// Somebody removes an image with force.
    pub(super) fn lose_image(&mut self, digit: char) {
        self.images.retain(|image| image.id != id(digit));
    }

    fn named(&self, reference: &Reference) -> Option<&Image> {
        self.images
            .iter()
            .find(|image| image.references.contains(reference))
    }

    /// Creates and starts a container.
    pub(super) fn run(&mut self, container: &str, text: &str) {
        let reference = name(text);
        let image = self
            .named(&reference)
            .unwrap_or_else(|| panic!("no image {text}"))
            .id
            .clone();
        self.starts += 1;
        let container_id = ContainerId::new(format!("{:064x}", self.starts));
        self.containers.push(Container {
            id: container_id.clone(),
            names: vec![container.to_owned()],
            image,
            reference: Some(reference),
            state: ContainerState::Running,
            created_secs: i64::from(self.starts),
            pin: None,
        });
        let details = Details {
            started_at: format!("start {}", self.starts),
            health: None,
            exit_code: None,
            ran_secs: None,
        };
        self.details.insert(container_id, details);
    }

    pub(super) fn container(&mut self, container: &str) -> &mut Container {
        let found = self
            .containers
            .iter_mut()
            .find(|c| c.names.iter().any(|n| n == container));
        found.unwrap_or_else(|| panic!("no container {container}"))
    }

    pub(super) fn details_of(&mut self, container: &str) -> &mut Details {
        let container_id = self.container(container).id.clone();
        self.details.get_mut(&container_id).unwrap()
    }

    pub(super) fn set_state(&mut self, container: &str, state: ContainerState) {
        self.container(container).state = state;
    }

    pub(super) fn set_health(&mut self, container: &str, health: Health) {
        self.details_of(container).health = Some(health);
    }

    /// The container's process ends.
    pub(super) fn exit(&mut self, container: &str, code: i64) {
        self.set_state(container, ContainerState::Exited);
        self.details_of(container).exit_code = Some(code);
    }

    /// The same container starts again: a new incarnation.
    pub(super) fn start(&mut self, container: &str) {
        self.starts += 1;
        let started_at = format!("start {}", self.starts);
        self.set_state(container, ContainerState::Running);
        self.details_of(container).started_at = started_at;
    }

    pub(super) fn remove_container(&mut self, container: &str) {
        self.containers
            .retain(|c| c.names.iter().all(|n| n != container));
    }

    pub(super) fn container_names(&self) -> Vec<String> {
        self.containers
            .iter()
            .flat_map(|c| c.names.clone())
            .collect()
    }

    /// The host goes down and comes up: uptime begins anew, containers with a restart policy start again.
    pub(super) fn reboot(&mut self) {
        self.uptime_ms = 0;
        for container in self.container_names() {
            if self.container(&container).state == ContainerState::Running {
                self.start(&container);
            }
        }
    }

    /// What the two list calls tell.
    pub(super) fn listed(&self) -> World {
        let mut containers = self.containers.clone();
        if !self.keeps_references {
            for container in &mut containers {
                let means = container
                    .reference
                    .as_ref()
                    .and_then(|r| self.named(r))
                    .map(|image| &image.id);
                if means != Some(&container.image) {
                    container.reference = None;
                }
            }
        }
        World {
            images: self.images.clone(),
            containers,
            ..World::default()
        }
    }

    /// How full the disk is: what is on it, and the images.
    pub(super) fn disk_now(&self) -> Disk {
        let Some(disk_bytes) = self.disk_bytes else {
            return Disk::Unknown("nobody knows".to_owned());
        };
        let images: u64 = self.images.iter().map(|image| image.size_bytes).sum();
        let used_bytes = images + self.other_bytes;
        Disk::Measured {
            used_bytes,
            available_bytes: disk_bytes.saturating_sub(used_bytes),
        }
    }

    /// An image of a size comes to the disk.
    pub(super) fn sized_image(&mut self, digit: char, size_bytes: u64, names: &[&str]) {
        self.image(digit, names);
        self.listed_image(digit).size_bytes = size_bytes;
    }

    /// An image on the disk, as the engine lists it.
    pub(super) fn listed_image(&mut self, digit: char) -> &mut Image {
        let image = self.images.iter_mut().find(|image| image.id == id(digit));
        image.unwrap()
    }

    /// Every name on the disk as `name=digit`, nameless images as `=digit`; sorted.
    pub(super) fn disk(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for image in &self.images {
            if image.is_nameless() {
                lines.push(format!("={}", digit(&image.id)));
            }
            lines.extend(
                image
                    .references
                    .iter()
                    .map(|r| format!("{}={}", short_name(r), digit(&image.id))),
            );
        }
        lines.sort();
        lines
    }

    fn is_used(&self, image: &ImageId) -> bool {
        self.containers.iter().any(|c| c.image == *image)
    }

    /// Carries an action out, after asking once more. Whether anything changed.
    pub(super) fn apply(&mut self, action: &Action) -> bool {
        match action {
            Action::Tag {
                image,
                reference,
                replaces,
                ..
            } => {
                let means = self.named(reference).map(|found| found.id.clone());
                let exists = self.images.iter().any(|found| found.id == *image);
                let as_decided = means == *replaces && exists && !self.refuses_tags;
                if as_decided {
                    self.give_name(image, reference);
                }
                as_decided
            }
            Action::CreatePin { container, image } => self.create_pin(container, image),
            Action::RemoveContainer { id, .. } | Action::RemovePin { id, .. } => {
                let before = self.containers.len();
                self.containers
                    .retain(|c| c.id != *id || c.state == ContainerState::Running);
                self.containers.len() < before
            }
            Action::RemoveImage {
                reference: Some(reference),
                image,
                ..
            } => self.remove_name(reference, image),
            Action::RemoveImage {
                reference: None,
                image,
                ..
            } => {
                let before = self.images.len();
                let used = self.is_used(image);
                self.images
                    .retain(|found| found.id != *image || used || !found.is_nameless());
                self.images.len() < before
            }
        }
    }

    /// Creates what a pin is, for the workload that its name names. An image that is gone, or a name that is taken, is refused.
    fn create_pin(&mut self, container: &str, image: &ImageId) -> bool {
        let free = !self.container_names().iter().any(|name| name == container);
        let exists = self.images.iter().any(|found| found.id == *image);
        if free && exists {
            self.starts += 1;
            let rest = container.strip_prefix("tagkeeper-pin-").unwrap();
            let (workload, _) = rest.rsplit_once('-').unwrap();
            self.containers.push(Container {
                id: ContainerId::new(format!("{:064x}", self.starts)),
                names: vec![container.to_owned()],
                image: image.clone(),
                reference: None,
                state: ContainerState::Created,
                created_secs: i64::from(self.starts),
                pin: Some(workload.to_owned()),
            });
        }
        free && exists
    }

    /// Removes one name. Digests go along with the last tag of their repository, the image with its last name; the last
    /// tag of an image in use stays.
    fn remove_name(&mut self, reference: &Reference, image: &ImageId) -> bool {
        let used = self.is_used(image);
        let Some(found) = self.images.iter_mut().find(|found| found.id == *image) else {
            return false;
        };
        let last_tag = found.foreign_names == 0 && !found.tags().any(|tag| tag != reference);
        if !found.references.contains(reference) || (last_tag && used) {
            return false;
        }
        found.references.retain(|r| r != reference);
        let repository = reference.repository();
        if !found.tags().any(|tag| tag.repository() == repository) {
            found.references.retain(|r| r.repository() != repository);
        }
        let gone = found.is_nameless();
        self.images.retain(|found| found.id != *image || !gone);
        true
    }
}
