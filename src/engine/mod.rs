//! The seam to the container engine: one small trait, in the model's words.
//!
//! [`docker`] makes the calls, through bollard, with full names; [`answer`] says what their answers
//! mean; [`transport`] carries them, each on a connection of its own, and bounds what comes in from
//! the socket; [`access`] says why it could not be had. Tests put other engines behind the trait.
//! The engine knows no policy. There is no way to ask for `force` or a prune through it (design
//! section 8).

mod access;
mod answer;
mod disk;
mod docker;
mod transport;

use tagkeeper_core::model::{
    Container, ContainerId, ContainerState, Details, Disk, Image, PinLabel,
};
use tagkeeper_core::model::{ImageId, Reference};

pub use answer::{parse_container, parse_image, parse_lists};
pub use docker::Docker;
pub use transport::{Transport, answer_over};

/// The two lists that every observation begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// Every image on the disk, each id once.
    pub images: Vec<Image>,
    /// Every container, in any state.
    pub containers: Vec<Container>,
}

/// What tagkeeper asks of a container engine. Each call is one round trip with a deadline.
///
/// An error means that the answer is not known: nothing may be concluded from it.
pub trait Engine {
    /// Every image and every container: two calls, whatever there is. `labels` are the names of the
    /// image labels that are wanted; an image has no others.
    fn observe(&mut self, labels: &[&str]) -> anyhow::Result<Lists>;

    /// Every container, in any state.
    fn containers(&mut self) -> anyhow::Result<Vec<Container>>;

    /// One container; none if there is no such container. An answer about another container is an
    /// error.
    fn inspect_container(&mut self, id: &ContainerId) -> anyhow::Result<Option<Inspected>>;

    /// How full the filesystem of the engine's data is.
    fn disk(&mut self) -> anyhow::Result<Disk>;

    /// The image that a name or an id means now; none if there is no such image. An answer about an
    /// image of another id, or without the tag, is an error.
    fn find_image(&mut self, name: &ImageName) -> anyhow::Result<Option<Image>>;

    /// Gives a name to an image, taking it from another if need be. One call, so a crash cannot
    /// lose the name.
    fn tag(&mut self, image: &ImageId, name: &Reference) -> anyhow::Result<Answer>;

    /// Creates a container that is never started, and does nothing but refer to an image: a pin.
    /// [`Answer::Gone`] where there is no such image, [`Answer::InUse`] where the name is taken.
    fn create_pin(
        &mut self,
        name: &str,
        label: &PinLabel,
        image: &ImageId,
    ) -> anyhow::Result<Answer>;

    /// Removes a container that does not run; its volumes stay.
    fn remove_container(&mut self, id: &ContainerId) -> anyhow::Result<Answer>;

    /// Removes one name of an image (and with the last one the image), or a nameless image by its
    /// id.
    fn remove_image(&mut self, name: &ImageName) -> anyhow::Result<Answer>;
}

/// The pass has run for too long: from here on every call fails, and none is worth trying.
#[derive(Debug)]
pub struct PassOver;

impl std::fmt::Display for PassOver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the pass has run for too long and ends here; the next one goes on")
    }
}

impl std::error::Error for PassOver {}

/// How an image is named in a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImageName {
    /// By tag or digest.
    Reference(Reference),
    /// By id.
    Id(ImageId),
}

impl std::fmt::Display for ImageName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reference(reference) => reference.fmt(f),
            Self::Id(id) => id.fmt(f),
        }
    }
}

/// How the engine answered a request to change something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// A name of an image was removed, and the image itself has left the disk with it.
    Deleted,
    /// There is no such thing: for a removal that is success (design 4.7).
    Gone,
    /// Something uses it (409): deferred, no error. What the engine said, in one clean line.
    InUse(String),
}

/// A container as an inspect tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Which container it is.
    pub id: ContainerId,
    /// The image that it was created from; none where the engine names none.
    pub image: Option<ImageId>,
    /// What it does at this instant.
    pub state: ContainerState,
    /// The rest.
    pub details: Details,
}
