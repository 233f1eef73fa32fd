//! The model host: images, containers and the engine's rules about them (design section 8), reboots, the data disk.
//!
//! Knows nothing of tagkeeper's decisions. Time is the host's own: true uptime, monotonic time since boot, wall time.

use tagkeeper::engine::{Answer, ImageName, Inspected};
use tagkeeper::image::{ImageId, Reference};
use tagkeeper::state::Reading;
use tagkeeper::world::{
    Container, ContainerId, ContainerState, Details, Health, Image, PinLabel, World,
};

/// A container, with what only an inspect tells.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// As listed; `reference` is what it was created from, whether or not the engine still shows it.
    pub(crate) listed: Container,
    /// When this incarnation started.
    pub(crate) started_at: u64,
    /// What the health check says.
    pub(crate) health: Option<Health>,
    /// The last exit code.
    pub(crate) exit_code: Option<i64>,
}

impl Held {
    pub(crate) fn is_running(&self) -> bool {
        self.listed.state == ContainerState::Running
    }

    pub(crate) fn is_stopped(&self) -> bool {
        matches!(
            self.listed.state,
            ContainerState::Exited | ContainerState::Dead | ContainerState::Created
        )
    }
}

/// What the engine's data disk holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) images: Vec<Image>,
    pub(crate) containers: Vec<Held>,
}

/// The whole host.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// What the engine sees.
    pub(crate) disk: Disk,
    /// The other disk: the empty mount point while the data disk is mounted, the data disk while it is not.
    pub(crate) other_disk: Disk,
    pub(crate) mounted: bool,
    /// Whether the engine refuses to remove the last name of an image in use (the containerd store does not).
    pub(crate) protects: bool,
    /// Whether the data disk is fuller than any limit.
    pub(crate) full: bool,
    /// True uptime in milliseconds, summed over reboots.
    pub(crate) uptime_ms: u64,
    pub(crate) monotonic_ms: u64,
    pub(crate) wall_secs: i64,
    /// Counts containers and incarnations.
    counter: u64,
}

impl Host {
    pub(crate) fn new(protects: bool) -> Self {
        Self {
            disk: Disk::default(),
            other_disk: Disk::default(),
            mounted: true,
            protects,
            full: false,
            uptime_ms: 60_000,
            monotonic_ms: 60_000,
            wall_secs: 1_700_000_000,
            counter: 0,
        }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub(crate) fn wait(&mut self, ms: u64) {
        self.uptime_ms += ms;
        self.monotonic_ms += ms;
        self.wall_secs += i64::try_from(ms / 1000).unwrap_or(0);
    }

    pub(crate) fn reading(&self) -> Reading {
        Reading {
            monotonic_ms: self.monotonic_ms,
            wall: String::from("2026-01-01T00:00:00Z"),
        }
    }

    /// The machine goes down for a while and comes up; what ran is started again, or is not.
    pub(crate) fn reboot(&mut self, restarts: bool) {
        self.monotonic_ms = 20_000;
        self.uptime_ms += 20_000;
        self.wall_secs += 90;
        self.restart_engine(restarts);
    }

    /// The data disk goes away, or comes back; the engine restarts over it.
    pub(crate) fn swap_disk(&mut self) {
        std::mem::swap(&mut self.disk, &mut self.other_disk);
        self.mounted = !self.mounted;
        self.restart_engine(true);
    }

    fn restart_engine(&mut self, restarts: bool) {
        for at in 0..self.disk.containers.len() {
            if self.disk.containers[at].is_running() {
                if restarts {
                    self.start(at);
                } else {
                    self.stop(at, 255);
                }
            }
        }
    }

    // The engine's own view.

    pub(crate) fn image(&self, id: &ImageId) -> Option<&Image> {
        self.disk.images.iter().find(|image| image.id == *id)
    }

    pub(crate) fn named(&self, name: &Reference) -> Option<&Image> {
        self.disk
            .images
            .iter()
            .find(|image| image.references.contains(name))
    }

    pub(crate) fn find(&self, name: &ImageName) -> Option<&Image> {
        match name {
            ImageName::Reference(reference) => self.named(reference),
            ImageName::Id(id) => self.image(id),
        }
    }

    /// Whether a container uses the image; a pin that nobody has started does not.
    pub(crate) fn is_used(&self, id: &ImageId) -> bool {
        let mut containers = self.disk.containers.iter();
        containers.any(|held| held.listed.is_of(id) && !held.is_idle_pin())
    }

    /// Whether a container refers to the image: what the engine goes by.
    fn is_referred_to(&self, id: &ImageId) -> bool {
        self.disk.containers.iter().any(|c| c.listed.is_of(id))
    }

    /// The list of containers. A reference that no longer means the container's image is shown as a bare id.
    pub(crate) fn containers(&self) -> Vec<Container> {
        let shown = |held: &Held| {
            let mut listed = held.listed.clone();
            listed.reference = self.shown_reference(held).cloned();
            listed
        };
        self.disk.containers.iter().map(shown).collect()
    }

    pub(crate) fn shown_reference<'h>(&self, held: &'h Held) -> Option<&'h Reference> {
        let means_it = |r: &&Reference| {
            self.image(held.listed.image_id())
                .is_some_and(|i| i.references.contains(r))
        };
        held.listed.reference.as_ref().filter(means_it)
    }

    pub(crate) fn world(&self) -> World {
        World {
            images: self.disk.images.clone(),
            containers: self.containers(),
            ..World::default()
        }
    }

    pub(crate) fn inspect(&self, id: &ContainerId) -> Option<Inspected> {
        let held = self
            .disk
            .containers
            .iter()
            .find(|held| held.listed.id == *id)?;
        Some(Inspected {
            id: id.clone(),
            image: held.listed.image.clone(),
            state: held.listed.state.clone(),
            details: Details {
                started_at: format!("start-{}", held.started_at),
                health: held.health.filter(|_| held.is_running()),
                exit_code: held.exit_code,
                ran_secs: Some(5),
                interactive: false,
            },
        })
    }

    // Changes, by whoever asks.

    pub(crate) fn tag(&mut self, id: &ImageId, name: &Reference) -> Answer {
        if self.image(id).is_none() {
            return Answer::Gone;
        }
        for image in &mut self.disk.images {
            image.references.retain(|r| r != name);
        }
        if let Some(image) = self.disk.images.iter_mut().find(|image| image.id == *id) {
            image.references.push(name.clone());
        }
        Answer::Done
    }

    /// Unpacks an image, if it is not there, without a name.
    pub(crate) fn unpack(&mut self, id: &ImageId) {
        if self.image(id).is_none() {
            let image = Image {
                id: id.clone(),
                references: Vec::new(),
                foreign_names: 0,
                size_bytes: 1,
                labels: std::collections::BTreeMap::new(),
            };
            self.disk.images.push(image);
        }
    }

    /// Removes one name, and with the last one the image; or an image by its id.
    pub(crate) fn remove_image(&mut self, name: &ImageName) -> Answer {
        let Some(image) = self.find(name) else {
            return Answer::Gone;
        };
        let id = image.id.clone();
        let left = match name {
            ImageName::Id(_) if image.references.len() > 1 => {
                return Answer::InUse("several names".to_owned());
            }
            ImageName::Id(_) => Vec::new(),
            ImageName::Reference(removed) => names_after(image, removed),
        };
        if left.is_empty() && self.protects && self.is_referred_to(&id) {
            return Answer::InUse("a container uses it".to_owned());
        }
        if left.is_empty() {
            self.disk.images.retain(|image| image.id != id);
            return Answer::Deleted;
        }
        if let Some(image) = self.disk.images.iter_mut().find(|image| image.id == id) {
            image.references = left;
        }
        Answer::Done
    }

    /// What `docker image prune` takes: images without a tag that no container uses.
    pub(crate) fn prune(&mut self) {
        let used: Vec<ImageId> = self
            .disk
            .containers
            .iter()
            .map(|held| held.listed.image_id().clone())
            .collect();
        self.disk
            .images
            .retain(|image| image.tags().next().is_some() || used.contains(&image.id));
    }

    pub(crate) fn remove_container(&mut self, id: &ContainerId) -> Answer {
        let Some(at) = self
            .disk
            .containers
            .iter()
            .position(|held| held.listed.id == *id)
        else {
            return Answer::Gone;
        };
        if !self.disk.containers[at].is_stopped() {
            return Answer::InUse("it runs".to_owned());
        }
        self.disk.containers.remove(at);
        Answer::Done
    }

    /// Creates a container from what a name means now. None where it means nothing.
    pub(crate) fn create(&mut self, name: String, from: &Reference) -> Option<usize> {
        let image = self.named(from)?.id.clone();
        let id = ContainerId::new(format!("{:064x}", self.next()));
        let listed = Container {
            id,
            names: vec![name],
            image: Some(image),
            reference: Some(from.clone()),
            state: ContainerState::Created,
            created_secs: self.wall_secs,
            one_off: false,
            pin: None,
        };
        self.disk.containers.push(Held {
            listed,
            started_at: 0,
            health: None,
            exit_code: None,
        });
        Some(self.disk.containers.len() - 1)
    }

    /// Creates a container that holds an image by its id, and is not started.
    pub(crate) fn create_pin(&mut self, name: &str, label: &PinLabel, image: &ImageId) -> Answer {
        if self.image(image).is_none() {
            return Answer::Gone;
        }
        let taken = |held: &Held| held.listed.name() == name;
        if self.disk.containers.iter().any(taken) {
            return Answer::InUse("the name is taken".to_owned());
        }
        let id = ContainerId::new(format!("{:064x}", self.next()));
        let listed = Container {
            id,
            names: vec![name.to_owned()],
            image: Some(image.clone()),
            reference: None,
            state: ContainerState::Created,
            created_secs: self.wall_secs,
            one_off: false,
            pin: Some(label.clone()),
        };
        self.disk.containers.push(Held {
            listed,
            started_at: 0,
            health: None,
            exit_code: None,
        });
        Answer::Done
    }

    /// Starts a container, or starts it again: a new incarnation.
    pub(crate) fn start(&mut self, at: usize) {
        let started_at = self.next();
        let held = &mut self.disk.containers[at];
        held.listed.state = ContainerState::Running;
        held.started_at = started_at;
        held.exit_code = None;
        if held.health.is_some() {
            held.health = Some(Health::Healthy);
        }
    }

    pub(crate) fn stop(&mut self, at: usize, exit_code: i64) {
        let held = &mut self.disk.containers[at];
        held.listed.state = ContainerState::Exited;
        held.exit_code = Some(exit_code);
    }
}

/// The names that are left when one goes: a digest goes with the last tag of its repository.
pub(crate) fn names_after(image: &Image, removed: &Reference) -> Vec<Reference> {
    let others = || image.references.iter().filter(|r| *r != removed);
    let still_tagged = others().any(|r| !r.is_digest() && r.repository() == removed.repository());
    let goes_along = |r: &Reference| {
        !still_tagged && !removed.is_digest() && r.repository() == removed.repository()
    };
    others()
        .filter(|r| !(r.is_digest() && goes_along(r)))
        .cloned()
        .collect()
}
