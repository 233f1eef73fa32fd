//! The contract, row by row.
//!
//! Images are called by labels, and have names such as `local:v1` and `remote:v1`, of two
//! repositories; `remote@` is the digest that an image was pulled by, `remote@a` that of the image
//! `a`. The image `absent` is none.

use crate::grounds::Family;

use Fact::{But, Held, Is, Lost, Means, NoContainer, Only, Shows, ShowsId, Unnamed};
use Given::{Child, Container, From, Image, Pulled};
use How::{Created, Running, Stopped};
use Said::{Deleted, Done, Failed, Gone, InUse, NotPlayed};

/// What is on the host before the call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Given {
    /// An image that was made here, with these names.
    Image(&'static str, &'static [&'static str]),
    /// An image that was pulled by the first of these names, and was given the others.
    Pulled(&'static str, &'static [&'static str]),
    /// A container of an image, made by its id.
    Container(&'static str, &'static str, How),
    /// A container that was made from a name.
    From(&'static str, &'static str, How),
    /// A nameless image that was made from a container of another image, which is gone: its child.
    Child(&'static str, &'static str),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Running,
    Stopped,
    /// Created, and never started: what a pin is.
    Created,
}

/// A call of the program's client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    /// Gives a name to an image.
    Tag(&'static str, &'static str),
    /// Removes an image by a name.
    Remove(&'static str),
    /// Removes an image by its id.
    RemoveId(&'static str),
    /// Makes a pin of this name, on an image.
    Pin(&'static str, &'static str),
    RemoveContainer(&'static str),
}

/// What the client makes of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Done,
    Deleted,
    Gone,
    InUse,
    /// The engine's answer was an error that is no refusal: the pass says so, and the next one
    /// tries again.
    Failed,
    /// Podman 4.3 cannot commit for Docker's client.
    NotPlayed,
}

/// What is so afterwards.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fact {
    /// The name means the image.
    Means(&'static str, &'static str),
    /// The name means nothing.
    Unnamed(&'static str),
    /// The image is on the disk.
    Held(&'static str),
    /// The image is not on the disk.
    Lost(&'static str),
    /// The container is there, in this state and of this image.
    Is(&'static str, How, &'static str),
    NoContainer(&'static str),
    /// The list shows that the container was made from this name.
    Shows(&'static str, &'static str),
    /// The list shows its image's id in place of that name.
    ShowsId(&'static str),
    /// So everywhere but with these engines, where it depends on the version.
    But(Family, &'static Fact),
    /// So with these engines.
    Only(Family, &'static Fact),
}

pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) given: &'static [Given],
    pub(crate) call: Call,
    /// With Docker's graph drivers, with containerd's image store, and with Podman.
    pub(crate) said: [Said; 3],
    pub(crate) then: &'static [Fact],
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        what: "a tag moves in one call",
        given: &[Image("a", &["local:latest"]), Image("b", &["local:v2"])],
        call: Call::Tag("b", "local:latest"),
        said: [Done; 3],
        then: &[
            Means("local:latest", "b"),
            Means("local:v2", "b"),
            Held("a"),
        ],
    },
    Row {
        what: "a tag moves from an image that a container runs",
        given: &[
            Image("a", &["local:latest"]),
            Image("b", &["local:v2"]),
            Container("c", "a", Running),
        ],
        call: Call::Tag("b", "local:latest"),
        said: [Done; 3],
        then: &[Means("local:latest", "b"), Held("a"), Is("c", Running, "a")],
    },
    Row {
        what: "a tag that is there already may be given again",
        given: &[Image("a", &["local:latest", "local:v1"])],
        call: Call::Tag("a", "local:latest"),
        said: [Done; 3],
        then: &[Means("local:latest", "a"), Means("local:v1", "a")],
    },
    Row {
        what: "a tag that is given again keeps its digest",
        given: &[Pulled("a", &["remote:v1"])],
        call: Call::Tag("a", "remote:v1"),
        said: [Done; 3],
        then: &[Means("remote:v1", "a"), Means("remote@a", "a")],
    },
    Row {
        what: "a nameless image gets a name",
        given: &[Image("a", &[])],
        call: Call::Tag("a", "local:v1"),
        said: [Done; 3],
        then: &[Means("local:v1", "a")],
    },
    Row {
        what: "an image that is not there gets no name, and takes none",
        given: &[Image("a", &["local:latest"])],
        call: Call::Tag("absent", "local:latest"),
        said: [Gone; 3],
        then: &[Means("local:latest", "a")],
    },
    Row {
        what: "a container shows the name that it was made from",
        given: &[Image("a", &["local:v1"]), From("c", "local:v1", Running)],
        call: Call::Tag("a", "local:latest"),
        said: [Done; 3],
        then: &[Shows("c", "local:v1"), Is("c", Running, "a")],
    },
    Row {
        what: "a container whose name is another image's now shows an id",
        given: &[
            Image("a", &["local:v1"]),
            Image("b", &["local:v2"]),
            From("c", "local:v1", Running),
        ],
        call: Call::Tag("b", "local:v1"),
        said: [Done; 3],
        then: &[
            But(Family::Podman, &ShowsId("c")),
            Only(Family::Podman, &Shows("c", "local:v1")),
            Is("c", Running, "a"),
        ],
    },
    Row {
        what: "a container whose name is gone shows an id",
        given: &[
            Image("a", &["local:latest", "local:v1"]),
            From("c", "local:v1", Stopped),
        ],
        call: Call::Remove("local:v1"),
        said: [Done; 3],
        then: &[But(Family::Podman, &ShowsId("c")), Is("c", Stopped, "a")],
    },
    // Podman lists it no more, and some versions of it still find the image by it.
    Row {
        what: "of a tag with a digest, the digest counts",
        given: &[
            Pulled("a", &["remote:v1"]),
            Image("b", &["local:v2"]),
            From("c", "remote:v1@a", Running),
        ],
        call: Call::Tag("b", "remote:v1"),
        said: [Done; 3],
        then: &[
            Means("remote:v1", "b"),
            Only(Family::Graph, &Means("remote@a", "a")),
            Only(Family::Containerd, &Unnamed("remote@a")),
            Only(Family::Graph, &Shows("c", "remote:v1@a")),
            Is("c", Running, "a"),
        ],
    },
    Row {
        what: "one of two names leaves the other",
        given: &[Image("a", &["local:latest", "local:v1"])],
        call: Call::Remove("local:v1"),
        said: [Done; 3],
        then: &[Means("local:latest", "a"), Unnamed("local:v1")],
    },
    Row {
        what: "the last name takes the image along",
        given: &[Image("a", &["local:v1"])],
        call: Call::Remove("local:v1"),
        said: [Deleted; 3],
        then: &[Unnamed("local:v1"), Lost("a")],
    },
    Row {
        what: "the last name of an image that runs is refused",
        given: &[Image("a", &["local:v1"]), Container("c", "a", Running)],
        call: Call::Remove("local:v1"),
        said: [InUse; 3],
        then: &[Means("local:v1", "a"), Is("c", Running, "a")],
    },
    Row {
        what: "a stopped container protects its image",
        given: &[Image("a", &["local:v1"]), Container("c", "a", Stopped)],
        call: Call::Remove("local:v1"),
        said: [InUse; 3],
        then: &[Means("local:v1", "a"), Is("c", Stopped, "a")],
    },
    Row {
        what: "a container that was never started protects its image",
        given: &[Image("a", &["local:v1"]), Container("c", "a", Created)],
        call: Call::Remove("local:v1"),
        said: [InUse; 3],
        then: &[Means("local:v1", "a"), Is("c", Created, "a")],
    },
    Row {
        what: "one of two names of an image that runs is only a name",
        given: &[
            Image("a", &["local:latest", "remote:v1"]),
            Container("c", "a", Running),
        ],
        call: Call::Remove("remote:v1"),
        said: [Done; 3],
        then: &[
            Means("local:latest", "a"),
            Unnamed("remote:v1"),
            Is("c", Running, "a"),
        ],
    },
    Row {
        what: "by id with names in two repositories is refused",
        given: &[Image("a", &["local:latest", "remote:v1"])],
        call: Call::RemoveId("a"),
        said: [InUse, InUse, Failed],
        then: &[Means("local:latest", "a"), Means("remote:v1", "a")],
    },
    Row {
        what: "a nameless image is removed by id",
        given: &[Image("a", &[])],
        call: Call::RemoveId("a"),
        said: [Deleted; 3],
        then: &[Lost("a")],
    },
    Row {
        what: "a nameless image that a stopped container uses is refused by id",
        given: &[Image("a", &[]), Container("c", "a", Stopped)],
        call: Call::RemoveId("a"),
        said: [InUse; 3],
        then: &[Held("a")],
    },
    Row {
        what: "a name that is not there",
        given: &[Image("a", &["local:latest"])],
        call: Call::Remove("local:v1"),
        said: [Gone; 3],
        then: &[Means("local:latest", "a")],
    },
    Row {
        what: "an id that is not there",
        given: &[],
        call: Call::RemoveId("absent"),
        said: [Gone; 3],
        then: &[],
    },
    Row {
        what: "an image that was pulled by digest is removed by it",
        given: &[Pulled("a", &["remote@"])],
        call: Call::Remove("remote@a"),
        said: [Deleted; 3],
        then: &[Unnamed("remote@a"), Lost("a")],
    },
    Row {
        what: "an image that was pulled by digest is protected by a stopped container",
        given: &[Pulled("a", &["remote@"]), Container("c", "a", Stopped)],
        call: Call::Remove("remote@a"),
        said: [InUse; 3],
        then: &[Means("remote@a", "a"), Is("c", Stopped, "a")],
    },
    Row {
        what: "a digest is removed from beside a local name",
        given: &[Pulled("a", &["remote@", "local:latest"])],
        call: Call::Remove("remote@a"),
        said: [Done; 3],
        then: &[Means("local:latest", "a")],
    },
    Row {
        what: "the one tag of an image that runs goes from beside another repository's digest",
        given: &[
            Pulled("a", &["remote@", "local:v1"]),
            Container("c", "a", Running),
        ],
        call: Call::Remove("local:v1"),
        said: [Done; 3],
        then: &[
            Unnamed("local:v1"),
            Means("remote@a", "a"),
            Is("c", Running, "a"),
        ],
    },
    Row {
        what: "the last tag of a repository takes its digests along",
        given: &[Pulled("a", &["remote:v1", "local:latest"])],
        call: Call::Remove("remote:v1"),
        said: [Done; 3],
        then: &[
            Unnamed("remote:v1"),
            But(Family::Podman, &Unnamed("remote@a")),
            Means("local:latest", "a"),
        ],
    },
    Row {
        what: "a tag and its digest count as one name",
        given: &[Pulled("a", &["remote:v1"])],
        call: Call::Remove("remote:v1"),
        said: [Deleted; 3],
        then: &[Lost("a")],
    },
    Row {
        what: "a tag and its digest do not outvote a container",
        given: &[Pulled("a", &["remote:v1"]), Container("c", "a", Running)],
        call: Call::Remove("remote:v1"),
        said: [InUse; 3],
        then: &[Means("remote:v1", "a")],
    },
    Row {
        what: "the last name of an image with a child leaves the image",
        given: &[Image("a", &["local:v1"]), Child("b", "a")],
        call: Call::Remove("local:v1"),
        said: [Done, Deleted, NotPlayed],
        then: &[Unnamed("local:v1"), Held("a"), Held("b")],
    },
    Row {
        what: "a nameless image with a child is refused by id",
        given: &[Image("a", &[]), Child("b", "a")],
        call: Call::RemoveId("a"),
        said: [InUse, Deleted, NotPlayed],
        then: &[Only(Family::Graph, &Held("a")), Held("b")],
    },
    Row {
        what: "a pin is made, and is not started",
        given: &[Image("a", &["local:v1"])],
        call: Call::Pin("p", "a"),
        said: [Done; 3],
        then: &[Is("p", Created, "a"), Means("local:v1", "a")],
    },
    Row {
        what: "a pin of an image that is not there",
        given: &[],
        call: Call::Pin("p", "absent"),
        said: [Gone; 3],
        then: &[NoContainer("p")],
    },
    Row {
        what: "a pin whose name is taken",
        given: &[
            Image("a", &["local:v1"]),
            Image("b", &["local:v2"]),
            Container("p", "b", Stopped),
        ],
        call: Call::Pin("p", "a"),
        said: [InUse, InUse, Failed],
        then: &[Is("p", Stopped, "b")],
    },
    Row {
        what: "a container that runs is not removed",
        given: &[Image("a", &["local:v1"]), Container("c", "a", Running)],
        call: Call::RemoveContainer("c"),
        said: [InUse, InUse, Failed],
        then: &[Is("c", Running, "a")],
    },
    Row {
        what: "a container that has stopped is removed, and its image stays",
        given: &[Image("a", &["local:v1"]), Container("c", "a", Stopped)],
        call: Call::RemoveContainer("c"),
        said: [Done; 3],
        then: &[NoContainer("c"), Means("local:v1", "a")],
    },
    Row {
        what: "a container that is not there",
        given: &[],
        call: Call::RemoveContainer("absent"),
        said: [Gone; 3],
        then: &[],
    },
];
