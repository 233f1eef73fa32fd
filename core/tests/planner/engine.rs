//! The engine of a model host, which is the one of the program's tests (`tests/in-memory`): what
//! happens on it, how the decision sees it, and the check of each action's guards.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;
use std::sync::Arc;

use in_memory_engine::{Answer, Docker};
use serde_json::json;
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

/// The engine, as the decision's words have it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) images: Vec<Image>,
    pub(crate) containers: Vec<Container>,
    pub(crate) details: BTreeMap<ContainerId, Details>,
}

impl Seen {
    fn of(docker: &Docker) -> Self {
        let images = docker.images.iter();
        let containers = docker.containers.iter();
        let details = containers.clone();
        Self {
            images: images.map(|(id, image)| seen_image(id, image)).collect(),
            containers: containers.map(seen_container).collect(),
            details: details
                .map(|c| (ContainerId::new(&c.id), seen_details(c)))
                .collect(),
        }
    }
}

fn seen_image(id: &str, image: &in_memory_engine::Image) -> Image {
    let parsed = image.references().map(|name| Reference::parse(name));
    let references: Vec<Reference> = parsed.flatten().collect();
    Image {
        id: ImageId::new(id),
        unparsed_names: image.references().count() - references.len(),
        references,
        size_bytes: image.size_bytes,
        labels: image.labels.clone(),
    }
}

fn seen_container(container: &in_memory_engine::Container) -> Container {
    let label = |key: &str| container.labels.get(key).cloned();
    Container {
        id: ContainerId::new(&container.id),
        names: container.names.clone(),
        image: container.image.as_ref().map(ImageId::new),
        reference: reference(container),
        state: state(&container.state),
        exit_code: container.exit_code,
        created_secs: container.created_secs,
        one_off: label("com.docker.compose.oneoff").is_some_and(|is| is == "True"),
        pin: label("tagkeeper.pin").map(|workload| PinLabel {
            workload,
            instance: label("tagkeeper.instance"),
        }),
    }
}

fn seen_details(container: &in_memory_engine::Container) -> Details {
    Details {
        started_at: container.started_at.clone(),
        health: container.health.as_deref().map(|health| match health {
            "healthy" => Health::Healthy,
            "unhealthy" => Health::Unhealthy,
            _ => Health::Starting,
        }),
        exit_code: container.exit_code,
        ran_secs: None,
        interactive: container.interactive,
        created_from: reference(container),
    }
}

/// What it was made from, unless that was an id.
fn reference(container: &in_memory_engine::Container) -> Option<Reference> {
    let name = Some(&container.reference).filter(|name| !name.starts_with("sha256:"));
    name.and_then(|name| Reference::parse(name).ok())
}

fn state(word: &str) -> ContainerState {
    let mut known = crate::host::every_state().into_iter();
    let state = known.find(|state| state.as_str() == word);
    state.unwrap_or_else(|| ContainerState::Unknown(word.into()))
}

/// The images and containers of a data disk.
pub(crate) type DataDisk = (
    BTreeMap<String, in_memory_engine::Image>,
    Vec<in_memory_engine::Container>,
);

/// What happens on the engine.
impl Host {
    /// The engine, to be changed at will.
    pub(crate) fn docker(&mut self) -> &mut Docker {
        self.seen.take();
        &mut self.docker
    }

    /// What the engine knows now.
    pub(crate) fn seen(&self) -> &Arc<Seen> {
        self.seen.get_or_init(|| Arc::new(Seen::of(&self.docker)))
    }

    pub(crate) fn images(&self) -> &[Image] {
        &self.seen().images
    }

    pub(crate) fn containers(&self) -> &[Container] {
        &self.seen().containers
    }

    pub(crate) fn details(&self) -> &BTreeMap<ContainerId, Details> {
        &self.seen().details
    }

    /// Puts an image on the disk, or gives it more names.
    pub(crate) fn image(&mut self, digit: char, names: &[&str]) {
        if !self.is_on_disk(digit) {
            self.disk_image(digit).size_bytes = 1;
        }
        for text in names {
            self.tag(digit, text);
        }
    }

    /// Puts an image of this size on the disk.
    pub(crate) fn sized_image(&mut self, digit: char, size_bytes: u64, names: &[&str]) {
        self.image(digit, names);
        self.disk_image(digit).size_bytes = size_bytes;
    }

    /// An image on the disk, to be changed at will.
    pub(crate) fn disk_image(&mut self, digit: char) -> &mut in_memory_engine::Image {
        self.docker().image_with_id(&id(digit).to_string(), &[])
    }

    /// A name is given to an image, and moves if need be; to one that is not on the disk, it is
    /// lost.
    pub(crate) fn tag(&mut self, digit: char, text: &str) {
        if self.is_on_disk(digit) {
            let name = name(text).to_string();
            self.docker().name_image(&id(digit).to_string(), &name);
        } else {
            self.untag(text);
        }
    }

    /// A name is removed; the image stays, even nameless.
    pub(crate) fn untag(&mut self, text: &str) {
        self.docker().take_name(&name(text).to_string());
    }

    /// An image is removed with force.
    pub(crate) fn lose_image(&mut self, digit: char) {
        self.docker().images.remove(&id(digit).to_string());
    }

    /// Images without a name are removed with force.
    pub(crate) fn prune_images(&mut self) {
        let images = &mut self.docker().images;
        images.retain(|_, image| image.references().next().is_some());
    }

    /// Containers that do not run are removed.
    pub(crate) fn prune_containers(&mut self) {
        self.docker().containers.retain(|c| c.state == "running");
    }

    /// The data root is emptied, or another disk takes its place.
    pub(crate) fn take_disk(&mut self) -> DataDisk {
        let docker = self.docker();
        (take(&mut docker.images), take(&mut docker.containers))
    }

    pub(crate) fn put_disk(&mut self, disk: DataDisk) {
        let docker = self.docker();
        (docker.images, docker.containers) = disk;
    }

    fn named(&self, reference: &Reference) -> Option<ImageId> {
        self.docker
            .resolve(&reference.to_string())
            .map(ImageId::new)
    }

    /// The image that a name means.
    pub(crate) fn meaning(&self, text: &str) -> Option<char> {
        self.named(&name(text)).as_ref().map(digit)
    }

    pub(crate) fn is_on_disk(&self, digit: char) -> bool {
        self.docker.images.contains_key(&id(digit).to_string())
    }

    /// Creates and starts a container.
    pub(crate) fn run(&mut self, container: &str, text: &str) {
        self.docker().run(container, &name(text).to_string());
    }

    /// Creates a container, and does not start it.
    pub(crate) fn create(&mut self, container: &str, text: &str) {
        self.docker().create(container, &name(text).to_string());
    }

    /// `docker run -it`: a shell in a container of the image.
    pub(crate) fn run_shell(&mut self, container: &str, text: &str) {
        self.run(container, text);
        self.container(container).interactive = true;
    }

    /// `docker compose run`: a command beside the service.
    pub(crate) fn run_one_off(&mut self, container: &str, text: &str) {
        self.run(container, text);
        self.label_as_one_off(container);
    }

    /// The container has the label that Compose gives to a command beside the service.
    pub(crate) fn label_as_one_off(&mut self, container: &str) {
        let labels = &mut self.container(container).labels;
        labels.insert("com.docker.compose.oneoff".to_owned(), "True".to_owned());
    }

    pub(crate) fn container(&mut self, container: &str) -> &mut in_memory_engine::Container {
        self.docker().container(container)
    }

    /// The list shows an id where it showed what the container was created from.
    pub(crate) fn hide_reference(&mut self, container: &str) {
        let container = self.container_id(container);
        self.hidden.insert(container);
    }

    pub(crate) fn container_id(&mut self, container: &str) -> ContainerId {
        ContainerId::new(&self.container(container).id)
    }

    pub(crate) fn set_state(&mut self, container: &str, state: ContainerState) {
        self.container(container).state = match state {
            ContainerState::Unknown(word) => word.to_string(),
            known => known.as_str().to_owned(),
        };
    }

    pub(crate) fn set_health(&mut self, container: &str, health: Health) {
        let word = match health {
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy",
            Health::Starting => "starting",
        };
        self.container(container).health = Some(word.to_owned());
    }

    /// The container has the labels of a pin of this host.
    pub(crate) fn label_as_pin(&mut self, container: &str) {
        let labels = PinLabel {
            workload: "telemetry".to_owned(),
            instance: Some(self.state.instance.clone()),
        };
        self.container(container).labels.extend(labels.labels());
    }

    /// The container's process ends.
    pub(crate) fn exit(&mut self, container: &str, code: i64) {
        self.docker().exit(container, code);
    }

    /// The same container starts again: a new incarnation.
    pub(crate) fn start(&mut self, container: &str) {
        self.docker().start(container);
    }

    pub(crate) fn remove_container(&mut self, container: &str) {
        self.docker().drop_container(container);
    }

    pub(crate) fn has_container(&self, container: &str) -> bool {
        self.container_names().iter().any(|n| n == container)
    }

    pub(crate) fn container_names(&self) -> Vec<String> {
        let containers = self.docker.containers.iter();
        containers.flat_map(|c| c.names.clone()).collect()
    }

    fn running_names(&self) -> Vec<String> {
        let running = self
            .docker
            .containers
            .iter()
            .filter(|c| c.state == "running");
        running.filter_map(|c| c.names.first().cloned()).collect()
    }

    /// The host goes down and comes up: uptime begins anew, what ran starts again.
    pub(crate) fn reboot(&mut self) {
        self.uptime_ms = 0;
        self.restart_engine();
    }

    /// The engine ends and is started: what ran runs again.
    pub(crate) fn restart_engine(&mut self) {
        for container in self.running_names() {
            self.start(&container);
        }
    }

    /// The host goes down and comes up, and nothing is started yet: containers exited with this
    /// code.
    pub(crate) fn reboot_stopped(&mut self, code: i64) {
        self.uptime_ms = 0;
        for container in self.running_names() {
            self.exit(&container, code);
        }
    }

    /// What the two list calls say.
    pub(crate) fn listed(&self) -> Observation {
        let hidden = self.hidden_references();
        let mut containers = self.containers().to_vec();
        for container in &mut containers {
            if hidden.contains(&container.id) {
                container.reference = None;
            }
        }
        Observation {
            images: self.images().to_vec(),
            containers,
            ..Observation::default()
        }
    }

    /// The containers whose reference the list does not show: the engine does not name their image
    /// now, or a test says so.
    pub(crate) fn hidden_references(&self) -> BTreeSet<ContainerId> {
        let containers = self.docker.containers.iter();
        let hidden = containers.filter(|c| !self.docker.shows_reference(c));
        let hidden = hidden.map(|c| ContainerId::new(&c.id));
        hidden.chain(self.hidden.iter().cloned()).collect()
    }

    /// How full the disk is: what is on it, and the images.
    pub(crate) fn disk_now(&self) -> Disk {
        let Some(disk_bytes) = self.disk_bytes else {
            return Disk::Unknown("no such file or directory".to_owned());
        };
        let images: u64 = self.docker.images.values().map(|i| i.size_bytes).sum();
        let used_bytes = images + self.other_bytes;
        Disk::Measured {
            used_bytes,
            available_bytes: disk_bytes.saturating_sub(used_bytes),
        }
    }

    /// Every name on the disk as `name=digit`, nameless images as `=digit`; sorted.
    pub(crate) fn disk(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for image in self.images() {
            if image.is_nameless() {
                lines.push(format!("={}", digit(&image.id)));
            }
            let names = image.references.iter();
            lines.extend(names.map(|r| format!("{}={}", short_name(r), digit(&image.id))));
        }
        lines.sort();
        lines
    }
}

/// What the program does to the engine.
impl Host {
    fn is_used(&self, image: &ImageId) -> bool {
        self.containers().iter().any(|c| c.uses(image))
    }

    /// Whether a guard holds right now, as the code that acts would ask.
    fn holds(&self, guard: &Guard) -> bool {
        let image = |id: &ImageId| self.images().iter().find(|image| image.id == *id);
        let has_other_tag = |id: &ImageId, without: &Reference| {
            image(id).is_some_and(|i| i.tags().any(|t| t != without))
        };
        match guard {
            Guard::Means { reference, image } => self.named(reference) == *image,
            Guard::KeepsTag { image: id, without } => image(id).is_some_and(|image| {
                let mut others = image.tags().filter(|tag| *tag != without);
                others.any(|tag| tag.version_tag().is_some())
            }),
            Guard::UnusedIfLast { image, without } => {
                !self.is_used(image) || has_other_tag(image, without)
            }
            Guard::Unused { image } => !self.is_used(image),
            Guard::Nameless { image: id } => image(id).is_some_and(Image::is_nameless),
            Guard::Running { image, members } => members.iter().all(|member| {
                let container = self.containers().iter().find(|c| c.id == member.id);
                let details = self.details().get(&member.id);
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
                let found = self.containers().iter().find(|c| c.id == *container);
                let details = self.details().get(container);
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
        let gives = matches!(
            action.kind,
            ActionKind::Tag { .. } | ActionKind::CreatePin { .. }
        );
        match self.ask(&action.kind) {
            (404 | 409, _) if gives => Applied::Dropped,
            // What is to be removed and is not there is so already.
            (200..=299 | 404, _) => Applied::Done,
            (409, why) => Applied::Refused(why),
            _ => Applied::Failed,
        }
    }

    /// The one request that an action makes.
    fn ask(&mut self, action: &ActionKind) -> Answer {
        match action {
            ActionKind::Tag { .. } if self.refuses_tags => (500, String::new()),
            ActionKind::Tag {
                image, reference, ..
            } => {
                let tag = reference.tag().unwrap_or_default();
                let repository = reference.repository().as_str();
                self.docker().tag(&image.to_string(), repository, tag)
            }
            ActionKind::CreatePin { container, image } => self.create_pin(container, image),
            ActionKind::RemoveContainer { id, .. } | ActionKind::RemovePin { id, .. } => {
                self.docker().remove_container(&id.to_string())
            }
            ActionKind::RemoveImage {
                reference, image, ..
            } => {
                let by_id = || image.to_string();
                let target = reference.as_ref().map_or_else(by_id, ToString::to_string);
                self.docker().remove_image(&target)
            }
        }
    }

    /// Creates a pin, for the workload that its name names.
    fn create_pin(&mut self, container: &str, image: &ImageId) -> Answer {
        let rest = container.strip_prefix("tagkeeper-pin-").unwrap();
        let (workload, _) = rest.rsplit_once('-').unwrap();
        let label = PinLabel {
            workload: workload.to_owned(),
            instance: Some(self.state.instance.clone()),
        };
        let labels: BTreeMap<String, String> = label.labels().collect();
        let body = json!({"Image": image.to_string(), "Labels": labels});
        self.docker().create_container(container, &body.to_string())
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
