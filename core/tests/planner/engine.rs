//! The model's engine, by the rules that were measured on real ones (design 8): what names,
//! containers and removals do, and the check of each action's guards.

use std::collections::{BTreeMap, BTreeSet};

use tagkeeper_core::model::{
    Action, ActionKind, Container, ContainerId, ContainerState, Details, Disk, Guard, Health,
    Image, ImageId, Observation, PinLabel, Reference, WorkloadName,
};

use crate::host::{Host, digit, id, name, short_name};

/// What came of an action.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    Done,
    /// A guard failed.
    Dropped,
    /// 409.
    Refused(String),
    /// 500.
    Failed,
}

impl Host {
    /// An image comes to the disk, or gets more names.
    pub(crate) fn image(&mut self, digit: char, names: &[&str]) {
        if !self.images.iter().any(|image| image.id == id(digit)) {
            self.images.push(Image {
                id: id(digit),
                references: Vec::new(),
                foreign_names: 0,
                size_bytes: 1,
                labels: BTreeMap::new(),
            });
        }
        for text in names {
            self.tag(digit, text);
        }
    }

    /// A name is given to an image, and moves if need be.
    pub(crate) fn tag(&mut self, digit: char, text: &str) {
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

    /// A name is removed; the image stays, even nameless.
    pub(crate) fn untag(&mut self, text: &str) {
        let reference = name(text);
        self.images
            .iter_mut()
            .for_each(|image| image.references.retain(|r| *r != reference));
    }

    /// An image is removed with force.
    pub(crate) fn lose_image(&mut self, digit: char) {
        self.images.retain(|image| image.id != id(digit));
    }

    /// Where a reference has a digest, the engine looks at that and not at the tag.
    fn named(&self, reference: &Reference) -> Option<&Image> {
        let is_it = |name: &Reference| match reference.digest() {
            None => name == reference,
            digest => name.digest() == digest && name.repository() == reference.repository(),
        };
        let mut images = self.images.iter();
        images.find(|image| image.references.iter().any(is_it))
    }

    /// The image that a name means.
    pub(crate) fn meaning(&self, text: &str) -> Option<char> {
        self.named(&name(text)).map(|image| digit(&image.id))
    }

    pub(crate) fn is_on_disk(&self, digit: char) -> bool {
        self.images.iter().any(|image| image.id == id(digit))
    }

    /// Creates and starts a container.
    pub(crate) fn run(&mut self, container: &str, text: &str) {
        self.create(container, text);
        self.set_state(container, ContainerState::Running);
        let started_at = format!("start {}", self.starts);
        self.details_of(container).started_at = started_at;
    }

    /// Creates a container, and does not start it.
    pub(crate) fn create(&mut self, container: &str, text: &str) {
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
            image: Some(image),
            reference: Some(reference),
            state: ContainerState::Created,
            exit_code: None,
            created_secs: i64::from(self.starts),
            one_off: false,
            pin: None,
        });
        let details = Details {
            started_at: "0001-01-01T00:00:00Z".to_owned(),
            health: None,
            exit_code: None,
            ran_secs: None,
            interactive: false,
            created_from: Some(name(text)),
        };
        self.details.insert(container_id, details);
    }

    /// `docker run -it`: a shell in a container of the image.
    pub(crate) fn run_shell(&mut self, container: &str, text: &str) {
        self.run(container, text);
        self.details_of(container).interactive = true;
    }

    pub(crate) fn container(&mut self, container: &str) -> &mut Container {
        let found = self
            .containers
            .iter_mut()
            .find(|c| c.names.iter().any(|n| n == container));
        found.unwrap_or_else(|| panic!("no container {container}"))
    }

    pub(crate) fn details_of(&mut self, container: &str) -> &mut Details {
        let container_id = self.container(container).id.clone();
        self.details.get_mut(&container_id).unwrap()
    }

    pub(crate) fn set_state(&mut self, container: &str, state: ContainerState) {
        self.container(container).state = state;
    }

    pub(crate) fn set_health(&mut self, container: &str, health: Health) {
        self.details_of(container).health = Some(health);
    }

    /// The container's process ends.
    pub(crate) fn exit(&mut self, container: &str, code: i64) {
        self.set_state(container, ContainerState::Exited);
        self.container(container).exit_code = Some(code);
        self.details_of(container).exit_code = Some(code);
    }

    /// The same container starts again: a new incarnation.
    pub(crate) fn start(&mut self, container: &str) {
        self.starts += 1;
        let started_at = format!("start {}", self.starts);
        self.set_state(container, ContainerState::Running);
        self.container(container).exit_code = None;
        self.details_of(container).started_at = started_at;
    }

    pub(crate) fn remove_container(&mut self, container: &str) {
        self.containers
            .retain(|c| c.names.iter().all(|n| n != container));
    }

    pub(crate) fn has_container(&self, container: &str) -> bool {
        self.container_names().iter().any(|n| n == container)
    }

    pub(crate) fn container_names(&self) -> Vec<String> {
        self.containers
            .iter()
            .flat_map(|c| c.names.clone())
            .collect()
    }

    /// The host goes down and comes up: uptime begins anew, what ran starts again.
    pub(crate) fn reboot(&mut self) {
        self.uptime_ms = 0;
        self.restart_engine();
    }

    /// The engine ends and is started: what ran runs again.
    pub(crate) fn restart_engine(&mut self) {
        for container in self.container_names() {
            if self.container(&container).state == ContainerState::Running {
                self.start(&container);
            }
        }
    }

    /// The host goes down and comes up, and nothing is started yet: containers exited with this
    /// code.
    pub(crate) fn reboot_stopped(&mut self, code: i64) {
        self.uptime_ms = 0;
        for container in self.container_names() {
            if self.container(&container).state == ContainerState::Running {
                self.exit(&container, code);
            }
        }
    }

    /// What the two list calls say.
    pub(crate) fn listed(&self) -> Observation {
        let hidden = self.hidden_references();
        let mut containers = self.containers.clone();
        for container in &mut containers {
            if hidden.contains(&container.id) {
                container.reference = None;
            }
        }
        Observation {
            images: self.images.clone(),
            containers,
            ..Observation::default()
        }
    }

    /// The containers whose reference Docker does not show, since it does not name their image now.
    pub(crate) fn hidden_references(&self) -> BTreeSet<ContainerId> {
        let is_hidden = |container: &&Container| {
            let reference = container.reference.as_ref();
            let means = reference.and_then(|r| self.named(r)).map(|image| &image.id);
            !self.keeps_references && means != container.image.as_ref()
        };
        let hidden = self.containers.iter().filter(is_hidden);
        hidden.map(|container| container.id.clone()).collect()
    }

    /// How full the disk is: what is on it, and the images.
    pub(crate) fn disk_now(&self) -> Disk {
        let Some(disk_bytes) = self.disk_bytes else {
            return Disk::Unknown("no such file or directory".to_owned());
        };
        let images: u64 = self.images.iter().map(|image| image.size_bytes).sum();
        let used_bytes = images + self.other_bytes;
        Disk::Measured {
            used_bytes,
            available_bytes: disk_bytes.saturating_sub(used_bytes),
        }
    }

    /// An image of a size comes to the disk.
    pub(crate) fn sized_image(&mut self, digit: char, size_bytes: u64, names: &[&str]) {
        self.image(digit, names);
        self.listed_image(digit).size_bytes = size_bytes;
    }

    /// An image on the disk, as the engine lists it.
    pub(crate) fn listed_image(&mut self, digit: char) -> &mut Image {
        let image = self.images.iter_mut().find(|image| image.id == id(digit));
        image.unwrap()
    }

    /// Every name on the disk as `name=digit`, nameless images as `=digit`; sorted.
    pub(crate) fn disk(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for image in &self.images {
            if image.is_nameless() {
                lines.push(format!("={}", digit(&image.id)));
            }
            let names = image.references.iter();
            lines.extend(names.map(|r| format!("{}={}", short_name(r), digit(&image.id))));
        }
        lines.sort();
        lines
    }

    fn is_used(&self, image: &ImageId) -> bool {
        self.containers.iter().any(|c| c.uses(image))
    }

    /// Whether a guard holds right now, as the code that acts would ask.
    fn holds(&self, guard: &Guard) -> bool {
        let image = |id: &ImageId| self.images.iter().find(|image| image.id == *id);
        let has_other_tag = |id: &ImageId, without: &Reference| {
            image(id).is_some_and(|i| i.tags().any(|t| t != without))
        };
        match guard {
            Guard::Means { reference, image } => {
                self.named(reference).map(|found| &found.id) == image.as_ref()
            }
            Guard::KeepsTag { image, without } => has_other_tag(image, without),
            Guard::UnusedIfLast { image, without } => {
                !self.is_used(image) || has_other_tag(image, without)
            }
            Guard::Unused { image } => !self.is_used(image),
            Guard::Nameless { image: id } => image(id).is_some_and(Image::is_nameless),
            Guard::Running { image, members } => members.iter().all(|member| {
                let container = self.containers.iter().find(|c| c.id == member.id);
                let details = self.details.get(&member.id);
                container.is_some_and(|c| c.is_running() && c.uses(image))
                    && details.is_some_and(|d| {
                        d.started_at == member.started_at
                            && d.health.is_none_or(|h| h == Health::Healthy)
                    })
            }),
            Guard::Stopped {
                container,
                started_at,
                image,
            } => {
                let found = self.containers.iter().find(|c| c.id == *container);
                let details = self.details.get(container);
                let is_same = started_at
                    .as_ref()
                    .is_none_or(|at| details.is_some_and(|d| d.started_at == *at));
                is_same && found.is_some_and(|c| c.state.is_stopped() && c.uses(image))
            }
        }
    }

    /// Carries an action out once its guards hold.
    pub(crate) fn apply(&mut self, action: &Action) -> Applied {
        if !action.guards.iter().all(|guard| self.holds(guard)) {
            return Applied::Dropped;
        }
        if let Some(target) = action.kind.removal_target() {
            if let Some(reason) = self.refuses.get(&target) {
                return Applied::Refused(reason.clone());
            }
            if self.fails.contains(&target) {
                return Applied::Failed;
            }
        }
        let done = match &action.kind {
            ActionKind::Tag {
                image, reference, ..
            } => {
                let exists = self.images.iter().any(|found| found.id == *image);
                let can = exists && !self.refuses_tags;
                if can {
                    self.give_name(image, reference);
                }
                can
            }
            ActionKind::CreatePin { container, image } => self.create_pin(container, image),
            ActionKind::RemoveContainer { id, .. } | ActionKind::RemovePin { id, .. } => {
                let before = self.containers.len();
                self.containers
                    .retain(|c| c.id != *id || !c.state.is_stopped());
                self.containers.len() < before
            }
            ActionKind::RemoveImage {
                reference: Some(reference),
                image,
                ..
            } => return self.remove_name(reference, image),
            ActionKind::RemoveImage {
                reference: None,
                image,
                ..
            } => {
                self.images.retain(|found| found.id != *image);
                true
            }
        };
        if done { Applied::Done } else { Applied::Failed }
    }

    /// Creates a pin, for the workload that its name names. An image that is gone, or a name that
    /// is taken, is refused.
    fn create_pin(&mut self, container: &str, image: &ImageId) -> bool {
        let is_free = !self.has_container(container);
        let exists = self.images.iter().any(|found| found.id == *image);
        if is_free && exists {
            self.starts += 1;
            let rest = container.strip_prefix("tagkeeper-pin-").unwrap();
            let (workload, _) = rest.rsplit_once('-').unwrap();
            self.containers.push(Container {
                id: ContainerId::new(format!("{:064x}", self.starts)),
                names: vec![container.to_owned()],
                image: Some(image.clone()),
                reference: None,
                state: ContainerState::Created,
                exit_code: None,
                created_secs: i64::from(self.starts),
                one_off: false,
                pin: Some(PinLabel {
                    workload: workload.to_owned(),
                    instance: Some(self.state.instance.clone()),
                }),
            });
        }
        is_free && exists
    }

    /// Removes one name. Digests are removed with the last tag of their repository, the image with
    /// its last name; the last tag of an image in use is refused.
    fn remove_name(&mut self, reference: &Reference, image: &ImageId) -> Applied {
        let is_used = self.is_used(image);
        let Some(found) = self.images.iter_mut().find(|found| found.id == *image) else {
            return Applied::Failed;
        };
        let is_last = found.foreign_names == 0 && !found.tags().any(|tag| tag != reference);
        if is_last && is_used {
            return Applied::Refused("container uses the image".to_owned());
        }
        found.references.retain(|r| r != reference);
        let repository = reference.repository();
        if !found.tags().any(|tag| tag.repository() == repository) {
            found.references.retain(|r| r.repository() != repository);
        }
        let is_gone = found.is_nameless();
        self.images.retain(|found| found.id != *image || !is_gone);
        Applied::Done
    }

    /// What the program writes down of a 409.
    pub(crate) fn note_refused(
        &mut self,
        workload: &WorkloadName,
        action: &ActionKind,
        reason: String,
    ) {
        let now = self.tick();
        let Some(target) = action.removal_target() else {
            return;
        };
        let Some(known) = self.state.workloads.get_mut(workload) else {
            return;
        };
        known.memory.note_refused(target, reason, &now);
        self.state.clock = now.clock;
        self.saves += 1;
    }
}
