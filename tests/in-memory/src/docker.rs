//! The images and containers of a Docker engine 20.10, in memory, with its rules of removal.
//!
//! The rules are those of the engine with graph drivers: what it refuses is part of what tagkeeper
//! relies on (design section 8).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::names::{hex_id, is_id_prefix, is_name, short_form, short_repository};

/// When a container started that never did.
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

/// One image. Its id is the key of [`Docker::images`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// `repository:tag`, as the engine prints them.
    pub tags: Vec<String>,
    /// `repository@sha256:…`.
    pub digests: Vec<String>,
    /// Its size on the disk.
    pub size_bytes: u64,
    /// The labels of the build.
    pub labels: BTreeMap<String, String>,
    /// Paths that the image declares as volumes.
    pub volumes: Vec<String>,
    /// The image that it was made from on this host.
    pub parent: Option<String>,
}

impl Image {
    /// Its tags, then its digests.
    pub fn references(&self) -> impl Iterator<Item = &String> {
        self.tags.iter().chain(&self.digests)
    }

    /// Whether the engine takes all names of the image for one: a tag and the digest it was pulled
    /// by, or less.
    pub(crate) fn has_single_reference(&self) -> bool {
        match (self.tags.as_slice(), self.digests.as_slice()) {
            ([] | [_], []) | ([], [_]) => true,
            ([], digests) => all_in_one_repository(digests, &digests[0]),
            ([tag], digests) => all_in_one_repository(digests, tag),
            _ => false,
        }
    }

    /// The digests of a name's repository are removed if the image has no tag there any more:
    /// those.
    pub(crate) fn remove_digests_without_tag(&mut self, name: &str) -> Vec<String> {
        let repository = short_repository(name);
        let is_of = |name: &String| short_repository(name) == repository;
        if self.tags.iter().any(is_of) {
            return Vec::new();
        }
        let (gone, kept) = self.digests.drain(..).partition(is_of);
        self.digests = kept;
        gone
    }

    pub(crate) fn remove_name(&mut self, name: &str) {
        self.tags.retain(|tag| !is_name(tag, name));
        self.digests.retain(|digest| !is_name(digest, name));
    }
}

fn all_in_one_repository(digests: &[String], name: &str) -> bool {
    let repository = short_repository(name);
    digests.iter().all(|d| short_repository(d) == repository)
}

/// One container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// 64 hexadecimal digits, in the order of creation.
    pub id: String,
    /// Its own name first, then others that it is known by.
    pub names: Vec<String>,
    /// The id of its image; none if the engine does not know it any more.
    pub image: Option<String>,
    /// What it was created from.
    pub reference: String,
    /// The engine's word: `running`.
    pub state: String,
    /// When it was created, in seconds.
    pub created_secs: i64,
    /// When this incarnation started; `0001-01-01` if none did.
    pub started_at: String,
    /// How its process ended, once it has.
    pub exit_code: Option<i64>,
    /// What its health check says, if it has one.
    pub health: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Standard input is kept open.
    pub interactive: bool,
    /// Volumes that were made for it, and that would outlive it.
    pub volumes: Vec<String>,
}

impl Container {
    /// Its own name; empty if it has none.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// Whether the engine keeps it from being removed without force.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self.state.as_str(), "running" | "paused" | "restarting")
    }

    /// Whether it was made from this image.
    pub fn uses(&self, image: &str) -> bool {
        self.image.as_deref() == Some(image)
    }
}

/// What is on the disk of the engine.
#[derive(Clone, Debug, Default)]
pub struct Docker {
    /// By their ids: `sha256:` and 64 hexadecimal digits.
    pub images: BTreeMap<String, Image>,
    /// The oldest first.
    pub containers: Vec<Container>,
    /// Where it says that its data is.
    pub root_dir: Value,
    /// Whether a name without a registry may mean any repository that ends in it, as for Podman.
    pub resolves_short_names: bool,
    /// Whether the list shows what a container was created from although that name means another
    /// image now, as Podman does.
    pub keeps_references: bool,
    /// Whether the last tag of a repository takes the repository's digests along also when it moves
    /// to another image, as with containerd's store and Podman.
    pub moves_digests: bool,
    /// Makes container ids, creation times and `StartedAt` distinct.
    moment: u32,
}

/// What happens on the host, by the hand of the orchestrator, the local service or a person.
impl Docker {
    /// Puts an image on the disk; its id follows from the label. A name that another image has
    /// moves here.
    pub fn image(&mut self, label: &str, names: &[&str]) -> String {
        let id = format!("sha256:{}", hex_id(label));
        self.image_with_id(&id, names).size_bytes = 1_000_000;
        id
    }

    /// The same with an id of its own: an image, or more names for it.
    pub fn image_with_id(&mut self, id: &str, names: &[&str]) -> &mut Image {
        self.images.entry(id.to_owned()).or_default();
        for name in names {
            self.name_image(id, name);
        }
        self.images.get_mut(id).expect("just put there")
    }

    /// Gives the image a tag or a digest, taking it from the image that had it.
    pub fn name_image(&mut self, id: &str, name: &str) {
        let short = short_form(name);
        let image = self.images.get(id).expect("the image is on the disk");
        if image.references().any(|own| is_name(own, &short)) {
            return;
        }
        self.take_name(name);
        let image = self.images.get_mut(id).expect("the image is on the disk");
        let names = if name.contains('@') {
            &mut image.digests
        } else {
            &mut image.tags
        };
        names.push(name.to_owned());
    }

    /// Takes a name away; its image stays, even without any.
    pub fn take_name(&mut self, name: &str) {
        let name = short_form(name);
        for image in self.images.values_mut() {
            let had_tags = image.tags.len();
            image.remove_name(&name);
            if self.moves_digests && image.tags.len() < had_tags {
                image.remove_digests_without_tag(&name);
            }
        }
    }

    /// Makes a container that is not started; panics if its name is taken or its image is not
    /// there.
    pub fn create(&mut self, name: &str, reference: &str) -> &mut Container {
        assert!(
            self.find_container(name).is_none(),
            "the container '{name}' is there already"
        );
        let image = self.resolve(reference);
        assert!(image.is_some(), "the image '{reference}' is on the disk");
        let created = self.tick();
        self.containers.push(Container {
            id: format!("{created:08x}{}", &hex_id(name)[..56]),
            names: vec![name.to_owned()],
            image,
            reference: reference.to_owned(),
            state: "created".to_owned(),
            created_secs: 1_700_000_000 + i64::from(created),
            started_at: NEVER.to_owned(),
            exit_code: None,
            health: None,
            labels: BTreeMap::new(),
            interactive: false,
            volumes: Vec::new(),
        });
        self.containers.last_mut().expect("just made")
    }

    /// Makes a container and starts it, as [`Self::create`].
    pub fn run(&mut self, name: &str, reference: &str) -> String {
        let id = self.create(name, reference).id.clone();
        self.start(name);
        id
    }

    /// The container is started, or started again: a new incarnation.
    pub fn start(&mut self, name: &str) {
        let started_at = date(self.tick());
        let container = self.container(name);
        "running".clone_into(&mut container.state);
        container.started_at = started_at;
        container.exit_code = None;
    }

    /// The container of this name, to be changed at will.
    pub fn container(&mut self, name: &str) -> &mut Container {
        let is_it = |c: &&mut Container| c.names.iter().any(|own| own == name);
        let found = self.containers.iter_mut().find(is_it);
        found.unwrap_or_else(|| panic!("there is no container '{name}'"))
    }

    /// The container ended with this exit code.
    pub fn exit(&mut self, name: &str, code: i64) {
        let container = self.container(name);
        "exited".clone_into(&mut container.state);
        container.exit_code = Some(code);
    }

    /// The container is gone.
    pub fn drop_container(&mut self, name: &str) {
        self.containers
            .retain(|c| c.names.iter().all(|own| own != name));
    }

    /// The id that a name means, if any: a tag, a digest, or an id of which the first digits will
    /// do.
    pub fn resolve(&self, name: &str) -> Option<String> {
        let short = short_form(name);
        let has = |is_it: &dyn Fn(&str) -> bool| {
            let mut images = self.images.iter();
            images.find(|(_, image)| image.references().any(|name| is_it(name)))
        };
        let elsewhere = || {
            let has_registry = name.starts_with("docker.io/") || name.starts_with("reg.example/");
            let may_be = self.resolves_short_names && !has_registry;
            let ending = format!("/{short}");
            has(&|name| may_be && name.ends_with(&ending))
        };
        let by_id = || self.images.iter().find(|(id, _)| is_id_prefix(id, name));
        let found = has(&|name| is_name(name, &short))
            .or_else(elsewhere)
            .or_else(by_id);
        found.map(|(id, _)| id.clone())
    }

    /// Whether the list of containers shows what this one was created from, and not its image's id:
    /// while that name means its image.
    pub fn shows_reference(&self, container: &Container) -> bool {
        self.keeps_references || self.resolve(&container.reference) == container.image
    }

    /// Every tag and digest with the id it means.
    pub fn names(&self) -> BTreeMap<String, String> {
        let pairs = self
            .images
            .iter()
            .flat_map(|(id, image)| image.references().map(move |r| (r.clone(), id.clone())));
        pairs.collect()
    }

    fn tick(&mut self) -> u32 {
        self.moment += 1;
        self.moment
    }

    pub(crate) fn find_container(&self, name_or_id: &str) -> Option<&Container> {
        let has_name = |c: &&Container| c.names.iter().any(|name| name == name_or_id);
        let by_name = self.containers.iter().find(has_name);
        by_name.or_else(|| {
            self.containers
                .iter()
                .find(|c| is_id_prefix(&c.id, name_or_id))
        })
    }

    pub(crate) fn has_child(&self, id: &str) -> bool {
        self.images
            .values()
            .any(|image| image.parent.as_deref() == Some(id))
    }

    /// The short id of a container, in any state, that uses the image.
    pub(crate) fn user_of(&self, image: &str) -> Option<&str> {
        let user = self.containers.iter().find(|c| c.uses(image));
        user.map(|c| &c.id[..12])
    }
}

fn date(moment: u32) -> String {
    format!(
        "2026-01-01T{:02}:{:02}:{:02}.123456789Z",
        moment / 3600,
        moment / 60 % 60,
        moment % 60
    )
}
