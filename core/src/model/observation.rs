//! What was seen of the engine: plain data, in the words of the engine, without judgement. Filled
//! by the program.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::id::{Id, Kind};
use super::{ImageId, Now, Reference, WorkloadName};

/// The id of a container, 64 hexadecimal digits.
pub type ContainerId = Id<OfContainer>;

/// The kind of thing that a container is.
#[derive(Clone, Copy, Debug)]
pub enum OfContainer {}

impl Kind for OfContainer {
    const PREFIX: &'static str = "";
}

/// Everything that a decision may know about the host, and between which two readings of the clock
/// it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// The clock when the pass began, in milliseconds: the rounds of one pass share it.
    pub pass_ms: u64,
    /// The clock before the engine was asked. What must have *ended* by now is measured to here.
    pub from: Now,
    /// The clock after the last answer. What *begins* now begins here.
    pub until: Now,
    /// Every image on the disk, each id once.
    pub images: Vec<Image>,
    /// Every container, in any state.
    pub containers: Vec<Container>,
    /// What an inspect said of the containers that the decision asked about.
    pub details: BTreeMap<ContainerId, Details>,
    /// What the `ready` commands said; a workload that is absent was not asked.
    pub readiness: BTreeMap<WorkloadName, Readiness>,
    /// The filesystem of the engine's data; none where nothing asked.
    pub disk: Option<Disk>,
}

/// How full a filesystem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disk {
    /// As it was measured.
    Measured {
        /// What is used, in bytes.
        used_bytes: u64,
        /// What is left for everyone but root, in bytes.
        available_bytes: u64,
    },
    /// It could not be measured; why, for people.
    Unknown(String),
}

/// One image on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its identity.
    pub id: ImageId,
    /// Its names that parse: tags and digests, each once.
    pub references: Vec<Reference>,
    /// Names that do not parse as references. They belong to no workload, but the image is not
    /// nameless.
    pub unparsed_names: usize,
    /// Size on disk in bytes, shared layers included.
    pub size_bytes: u64,
    /// Those labels that a policy names as `version_label`, and no others.
    pub labels: BTreeMap<String, String>,
}

impl Image {
    /// Whether nothing names the image: neither tag nor digest.
    pub fn is_nameless(&self) -> bool {
        self.references.is_empty() && self.unparsed_names == 0
    }

    /// Its tags, `latest` included.
    pub fn tags(&self) -> impl Iterator<Item = &Reference> {
        self.references.iter().filter(|r| !r.is_digest())
    }

    /// The digests that registries know it by.
    pub(crate) fn digests(&self) -> impl Iterator<Item = &str> {
        self.references.iter().filter_map(Reference::digest)
    }
}

/// One container, in any state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its identity.
    pub id: ContainerId,
    /// Its own names, without the engine's leading slash; link aliases left out.
    pub names: Vec<String>,
    /// The image it was created from; none if the engine names none. Such a container uses no
    /// image.
    pub image: Option<ImageId>,
    /// The reference it was created from; none once the engine has rewritten it to a bare id.
    pub reference: Option<Reference>,
    /// What the engine says it does.
    pub state: ContainerState,
    /// Its exit code, where it has ended and the list tells; an inspect tells it of any.
    pub exit_code: Option<i64>,
    /// When it was created, in seconds of the engine's wall clock; only compared with other
    /// containers'.
    pub created_secs: i64,
    /// A one-off container of Compose: it runs a command beside the service.
    pub one_off: bool,
    /// The labels of a pin, if it has them.
    pub pin: Option<PinLabel>,
}

impl Container {
    /// The name for people: the first, or the id of a container without one.
    pub fn name(&self) -> Cow<'_, str> {
        match self.names.first() {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(self.id.to_string()),
        }
    }

    /// Whether it is up. Paused, restarting, created, exited and dead are not.
    pub fn is_running(&self) -> bool {
        self.state == ContainerState::Running
    }

    /// Whether it was created from this image.
    pub fn uses(&self, image: &ImageId) -> bool {
        self.image.as_ref() == Some(image)
    }

    /// The workload that it is this state's pin for; none for all that is no pin of it.
    ///
    /// A pin is known by all that makes it one: labels that name its workload and the state that
    /// made it, and its name. A container that has but some of them is somebody else's.
    pub fn pinned_for(&self, instance: &str) -> Option<&str> {
        let label = self.pin.as_ref()?;
        let name = PinLabel::container_name(&label.workload, self.image.as_ref()?);
        let is_ours = label.instance.as_deref() == Some(instance) && !instance.is_empty();
        (is_ours && self.names.contains(&name)).then_some(label.workload.as_str())
    }

    /// Whether it is this state's pin and does no more than it is there for: the only kind of
    /// container that uses no image.
    pub fn is_idle_pin(&self, instance: &str) -> bool {
        self.state.is_stopped() && self.pinned_for(instance).is_some()
    }
}

/// The labels of a pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinLabel {
    /// The workload that it is for.
    pub workload: String,
    /// The state that made it; a pin of another state is another tagkeeper's.
    pub instance: Option<String>,
}

impl PinLabel {
    /// What a workload's pin on an image is called. The name tells the image too, so that a new pin
    /// can be there before the old one is gone.
    pub fn container_name(workload: &str, image: &ImageId) -> String {
        format!("tagkeeper-pin-{workload}-{}", image.short())
    }

    /// The labels as the engine keeps them.
    pub fn labels(&self) -> impl Iterator<Item = (String, String)> {
        let workload = ("tagkeeper.pin".into(), self.workload.clone());
        let instance = self.instance.clone();
        let instance = instance.map(|value| ("tagkeeper.instance".into(), value));
        core::iter::once(workload).chain(instance)
    }
}

/// What the engine says a container does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContainerState {
    /// Made and never started.
    Created,
    /// Up. The only state that counts as running (design 4.1).
    Running,
    /// Frozen by the engine.
    Paused,
    /// Between two starts.
    Restarting,
    /// Ended.
    Exited,
    /// On its way out.
    Removing,
    /// Could not be removed.
    Dead,
    /// On its way to `exited` (Podman).
    Stopping,
    /// A word that is not known here, as the engine printed it.
    Unknown(Arc<str>),
}

impl ContainerState {
    /// The engine's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Removing => "removing",
            Self::Dead => "dead",
            Self::Stopping => "stopping",
            Self::Unknown(word) if word.is_empty() => "unknown",
            Self::Unknown(word) => word,
        }
    }

    /// Whether R2 may remove a container in this state: it does nothing, and nothing is being done
    /// to it.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Created | Self::Exited | Self::Dead)
    }

    /// Whether it has run and its process has ended; its restart policy may be about to start it
    /// again.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self, Self::Exited | Self::Dead | Self::Restarting)
    }
}

/// What only an inspect of a container says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// When this incarnation started, as the engine prints it; opaque, only compared for equality.
    pub started_at: String,
    /// What the engine's health check says; none where there is no health check.
    pub health: Option<Health>,
    /// The last exit code.
    pub exit_code: Option<i64>,
    /// How long the last, ended incarnation was up, in seconds of the engine's wall clock; for
    /// people.
    pub ran_secs: Option<u64>,
    /// Standard input is kept open: a shell, not a service.
    pub interactive: bool,
    /// The reference it was created from, also where the list hides it because that name has moved
    /// on; none if it is no reference.
    pub created_from: Option<Reference>,
}

/// The engine's health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The check succeeds.
    Healthy,
    /// The check fails.
    Unhealthy,
    /// No verdict yet.
    Starting,
}

/// What a workload's `ready` command said (design 4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Exit 0.
    Ready,
    /// Anything else; why, for people.
    NotReady(String),
}
