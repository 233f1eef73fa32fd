//! The images and containers of a Docker engine 20.10, in memory, with its rules of removal.
//!
//! Plain data and the rules on it; knows neither sockets nor faults (`fake` does). The rules are
//! those of the engine with graph drivers: what it refuses is part of what tagkeeper relies on
//! (design section 8).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::names::{hex_id, is_id_prefix, repository_of, short_form};

/// An answer: status and JSON body; no body where the engine sends none.
pub(crate) type Answer = (u16, Option<Value>);

/// One image. Its id is the key of [`Docker::images`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub(crate) tags: Vec<String>,
    pub(crate) digests: Vec<String>,
    pub(crate) size_bytes: u64,
    /// Paths that the image declares as volumes.
    pub(crate) volumes: Vec<String>,
    /// The image that it was made from on this host.
    pub(crate) parent: Option<String>,
}

impl Image {
    fn references(&self) -> impl Iterator<Item = &String> {
        self.tags.iter().chain(&self.digests)
    }

    /// Whether the engine takes all names of the image for one: a tag and the digest it was pulled
    /// by, or less.
    fn has_single_reference(&self) -> bool {
        match (self.tags.as_slice(), self.digests.as_slice()) {
            ([] | [_], []) | ([], [_]) => true,
            ([], digests) => all_in_one_repository(digests, repository_of(&digests[0])),
            ([tag], digests) => all_in_one_repository(digests, repository_of(tag)),
            _ => false,
        }
    }
}

fn all_in_one_repository(digests: &[String], repository: &str) -> bool {
    digests.iter().all(|d| repository_of(d) == repository)
}

/// One container.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) image: String,
    /// What it was created from; the engine prints the image's id in its place once the name means
    /// another image.
    pub(crate) reference: String,
    pub(crate) state: String,
    pub(crate) created_secs: i64,
    pub(crate) started_at: String,
    pub(crate) exit_code: i64,
    pub(crate) health: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    /// Volumes that were made for it, and that would outlive it.
    pub(crate) volumes: Vec<String>,
}

impl Container {
    fn is_active(&self) -> bool {
        matches!(self.state.as_str(), "running" | "paused" | "restarting")
    }

    /// What a list says to people.
    fn status(&self) -> String {
        match self.state.as_str() {
            "running" => "Up 2 hours".to_owned(),
            "exited" => format!("Exited ({}) 2 hours ago", self.exit_code),
            state => format!("{state} for a while"),
        }
    }
}

/// What is on the disk of the engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Docker {
    pub(crate) images: BTreeMap<String, Image>,
    pub(crate) containers: Vec<Container>,
    /// Where it says that its data is.
    pub(crate) root_dir: Value,
    /// Whether a name without a registry may mean any repository that ends in it, as for Podman.
    pub(crate) resolves_short_names: bool,
    /// Makes container ids, creation times and `StartedAt` distinct.
    moment: u32,
}

/// What a test does to the host, as the orchestrator, the local service or a person would.
impl Docker {
    /// Puts an image on the disk; its id follows from the label. A name that another image has
    /// moves here.
    pub(crate) fn image(&mut self, label: &str, names: &[&str]) -> String {
        let id = format!("sha256:{}", hex_id(label));
        self.images.entry(id.clone()).or_default().size_bytes = 1_000_000;
        for name in names {
            self.name_image(&id, name);
        }
        id
    }

    /// Gives the image a tag or a digest, taking it from the image that had it.
    pub(crate) fn name_image(&mut self, id: &str, name: &str) {
        for image in self.images.values_mut() {
            image.tags.retain(|t| t != name);
            image.digests.retain(|d| d != name);
        }
        let image = self.images.get_mut(id).expect("the image is on the disk");
        let names = if name.contains('@') {
            &mut image.digests
        } else {
            &mut image.tags
        };
        names.push(name.to_owned());
    }

    /// Starts a new container; panics if its name is taken or its image is not there.
    pub(crate) fn run(&mut self, name: &str, reference: &str) -> String {
        assert!(
            self.find_container(name).is_none(),
            "the container '{name}' is there already"
        );
        let image = self
            .resolve(reference)
            .expect("the image of the new container is on the disk");
        let created = self.tick();
        self.containers.push(Container {
            id: hex_id(&format!("container {name} {created}")),
            name: name.to_owned(),
            image,
            reference: reference.to_owned(),
            state: "running".to_owned(),
            created_secs: 1_700_000_000 + i64::from(created),
            started_at: date(created),
            exit_code: 0,
            health: None,
            labels: BTreeMap::new(),
            volumes: Vec::new(),
        });
        self.container(name).id.clone()
    }

    /// The container of this name, to be changed at will.
    pub(crate) fn container(&mut self, name: &str) -> &mut Container {
        let found = self.containers.iter_mut().find(|c| c.name == name);
        found.unwrap_or_else(|| panic!("there is no container '{name}'"))
    }

    /// The container ended with this exit code.
    pub(crate) fn exit(&mut self, name: &str, code: i64) {
        let container = self.container(name);
        "exited".clone_into(&mut container.state);
        container.exit_code = code;
    }

    /// The container is started, or started again: a new incarnation.
    pub(crate) fn restart(&mut self, name: &str) {
        let started_at = date(self.tick());
        let container = self.container(name);
        "running".clone_into(&mut container.state);
        container.started_at = started_at;
    }

    /// The container is gone.
    pub(crate) fn drop_container(&mut self, name: &str) {
        self.containers.retain(|c| c.name != name);
    }

    /// The id that a name means, if any: a tag, a digest, or an id of which the first digits will
    /// do.
    pub(crate) fn resolve(&self, name: &str) -> Option<String> {
        let short = short_form(name);
        let named = self
            .images
            .iter()
            .find(|(_, i)| i.references().any(|r| *r == short));
        let has_registry = name.starts_with("docker.io/") || name.starts_with("reg.example/");
        let ending = format!("/{short}");
        let elsewhere = self.images.iter().find(|(_, image)| {
            let mut all = image.references();
            self.resolves_short_names && !has_registry && all.any(|r| r.ends_with(&ending))
        });
        let found = named
            .or(elsewhere)
            .or_else(|| self.images.iter().find(|(id, _)| is_id_prefix(id, name)));
        found.map(|(id, _)| id.clone())
    }

    /// Every tag and digest with the id it means.
    pub(crate) fn names(&self) -> BTreeMap<String, String> {
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

    fn find_container(&self, name_or_id: &str) -> Option<&Container> {
        let by_name = self.containers.iter().find(|c| c.name == name_or_id);
        by_name.or_else(|| {
            self.containers
                .iter()
                .find(|c| is_id_prefix(&c.id, name_or_id))
        })
    }
}

/// What the engine answers.
impl Docker {
    pub(crate) fn list_images(&self) -> Answer {
        (
            200,
            Some(
                self.images
                    .iter()
                    .map(|(id, image)| summary(id, image))
                    .collect(),
            ),
        )
    }

    pub(crate) fn list_containers(&self, all: bool) -> Answer {
        let shown = self
            .containers
            .iter()
            .rev()
            .filter(|c| all || c.is_active());
        (
            200,
            Some(shown.map(|c| self.container_summary(c)).collect()),
        )
    }

    fn container_summary(&self, container: &Container) -> Value {
        let is_current = self.resolve(&container.reference).as_ref() == Some(&container.image);
        json!({
            "Id": container.id,
            "Names": [format!("/{}", container.name)],
            "Image": if is_current { &container.reference } else { &container.image },
            "ImageID": container.image,
            "Command": "sleep infinity",
            "Created": container.created_secs,
            "Ports": [],
            "Labels": container.labels,
            "State": container.state,
            "Status": container.status(),
            "HostConfig": {"NetworkMode": "default"},
            "NetworkSettings": {"Networks": {}},
            "Mounts": [],
        })
    }

    pub(crate) fn info(&self) -> Answer {
        let body = json!({
            "ID": "F4KE", "Containers": self.containers.len(), "Images": self.images.len(), "Driver": "overlay2",
            "DriverStatus": [["Backing Filesystem", "extfs"]], "DockerRootDir": self.root_dir,
            "ServerVersion": "20.10.24", "Name": "fake", "Warnings": null,
        });
        (200, Some(body))
    }

    pub(crate) fn inspect_container(&self, name: &str) -> Answer {
        let Some(c) = self.find_container(name) else {
            return no_such("container", name);
        };
        let finished = if c.is_active() {
            "0001-01-01T00:00:00Z"
        } else {
            "2026-01-02T00:00:00.5Z"
        };
        let mut state = json!({
            "Status": c.state, "Running": c.is_active(), "Paused": c.state == "paused",
            "Restarting": c.state == "restarting", "OOMKilled": false, "Dead": c.state == "dead",
            "Pid": 1, "ExitCode": c.exit_code, "Error": "",
            "StartedAt": c.started_at, "FinishedAt": finished,
        });
        if let Some(health) = &c.health {
            state["Health"] = json!({"Status": health, "FailingStreak": 0, "Log": []});
        }
        let body = json!({
            "Id": c.id, "Created": "2026-01-01T00:00:00.123456789Z", "Path": "sleep", "Args": ["infinity"],
            "State": state, "Image": c.image, "Name": format!("/{}", c.name), "RestartCount": 0,
            "Driver": "overlay2", "Platform": "linux", "Mounts": [],
            "Config": {"Image": c.reference, "Env": [], "Cmd": ["sleep", "infinity"], "Labels": {}, "Volumes": null},
            "HostConfig": {"NetworkMode": "none"}, "NetworkSettings": {"Networks": {}},
        });
        (200, Some(body))
    }

    pub(crate) fn inspect_image(&self, name: &str) -> Answer {
        let Some(id) = self.resolve(name) else {
            return no_such("image", &short_form(name));
        };
        let image = &self.images[&id];
        let volumes: BTreeMap<&String, Value> =
            image.volumes.iter().map(|path| (path, json!({}))).collect();
        let body = json!({
            "Id": id, "RepoTags": image.tags, "RepoDigests": image.digests, "Parent": "", "Comment": "",
            "Created": "2026-01-01T00:00:00Z", "DockerVersion": "20.10.24", "Author": "", "Architecture": "amd64",
            "Os": "linux", "Size": image.size_bytes, "VirtualSize": image.size_bytes,
            "Config": {"Cmd": ["sleep", "infinity"], "Labels": null, "Volumes": volumes},
            "RootFS": {"Type": "layers", "Layers": [id]}, "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
        });
        (200, Some(body))
    }

    /// A container that is not started. One volume is made for each that the image declares, but
    /// where something is mounted.
    pub(crate) fn create_container(&mut self, name: &str, body: &str) -> Answer {
        let Ok(asked) = serde_json::from_str::<Value>(body) else {
            return refusal(400, "invalid JSON");
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if let Some(taken) = self.find_container(name) {
            let text = format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{}\".",
                taken.id
            );
            return refusal(409, &text);
        }
        let reference = text(&asked["Image"]);
        let Some(image) = self.resolve(&reference) else {
            return no_such("image", &reference);
        };
        let none = Vec::new();
        let mounts = asked["HostConfig"]["Mounts"].as_array().unwrap_or(&none);
        let is_mounted = |path: &String| mounts.iter().any(|m| m["Target"] == **path);
        let volumes = self.images[&image].volumes.iter();
        let volumes = volumes.filter(|path| !is_mounted(path)).cloned().collect();
        let labels = serde_json::from_value(asked["Labels"].clone()).unwrap_or_default();
        self.run(name, &reference);
        let container = self.container(name);
        "created".clone_into(&mut container.state);
        container.labels = labels;
        container.volumes = volumes;
        (201, Some(json!({"Id": container.id, "Warnings": []})))
    }

    pub(crate) fn tag(&mut self, source: &str, repository: &str, tag: &str) -> Answer {
        let Some(id) = self.resolve(source) else {
            return no_such("image", &short_form(source));
        };
        if repository.is_empty() || repository.contains('@') {
            return refusal(400, "invalid reference format");
        }
        self.name_image(
            &id,
            &short_form(&format!(
                "{repository}:{}",
                if tag.is_empty() { "latest" } else { tag }
            )),
        );
        (201, None)
    }

    pub(crate) fn remove_image(&mut self, name: &str) -> Answer {
        let Some(id) = self.resolve(name) else {
            return no_such("image", &short_form(name));
        };
        if is_id_prefix(&id, name) {
            self.remove_image_by_id(&id)
        } else {
            self.untag(&id, &short_form(name))
        }
    }

    fn untag(&mut self, id: &str, name: &str) -> Answer {
        if let (true, Some(user)) = (self.images[id].has_single_reference(), self.user_of(id)) {
            let text = format!(
                "unable to remove repository reference \"{name}\" (must force) - container {user} is using it"
            );
            return refusal(409, &format!("conflict: {text}"));
        }
        let image = self.images.get_mut(id).expect("resolved");
        image.tags.retain(|t| t != name);
        image.digests.retain(|d| d != name);
        let mut report = vec![json!({"Untagged": name})];
        let repository = repository_of(name);
        if !name.contains('@') && !image.tags.iter().any(|t| repository_of(t) == repository) {
            // The last tag of a repository takes the repository's digests along.
            let (gone, kept) = image
                .digests
                .drain(..)
                .partition(|d| repository_of(d) == repository);
            image.digests = kept;
            report.extend(gone.into_iter().map(|d: String| json!({"Untagged": d})));
        }
        if image.references().next().is_none() && !self.has_child(id) {
            self.images.remove(id);
            report.push(json!({"Deleted": id}));
        }
        (200, Some(Value::Array(report)))
    }

    fn remove_image_by_id(&mut self, id: &str) -> Answer {
        if !self.images[id].has_single_reference() {
            let text = "(must be forced) - image is referenced in multiple repositories";
            return refusal(409, &format!("conflict: unable to delete {id} {text}"));
        }
        if let Some(user) = self.user_of(id) {
            let text = format!("(must be forced) - image is being used by container {user}");
            return refusal(409, &format!("conflict: unable to delete {id} {text}"));
        }
        if self.has_child(id) {
            let text = "(cannot be forced) - image has dependent child images";
            return refusal(409, &format!("conflict: unable to delete {id} {text}"));
        }
        let image = self.images.remove(id).unwrap_or_default();
        let mut report: Vec<Value> = image.references().map(|r| json!({"Untagged": r})).collect();
        report.push(json!({"Deleted": id}));
        (200, Some(Value::Array(report)))
    }

    pub(crate) fn remove_container(&mut self, name: &str) -> Answer {
        let Some(found) = self.find_container(name).cloned() else {
            return no_such("container", name);
        };
        if found.is_active() {
            let text = format!(
                "You cannot remove a {} container {}. Stop the container first",
                found.state, found.id
            );
            return refusal(409, &text);
        }
        self.containers.retain(|c| c.id != found.id);
        (204, None)
    }

    fn has_child(&self, id: &str) -> bool {
        self.images
            .values()
            .any(|image| image.parent.as_deref() == Some(id))
    }

    /// The short id of a container, in any state, that uses the image.
    fn user_of(&self, image: &str) -> Option<String> {
        self.containers
            .iter()
            .find(|c| c.image == image)
            .map(|c| c.id[..12].to_owned())
    }
}

/// An image as the list shows it: no names at all are `<none>`, names of one kind only leave the
/// other `null`.
fn summary(id: &str, image: &Image) -> Value {
    let (tags, digests) = match (image.tags.as_slice(), image.digests.as_slice()) {
        ([], []) => (json!(["<none>:<none>"]), json!(["<none>@<none>"])),
        ([], digests) => (Value::Null, json!(digests)),
        (tags, []) => (json!(tags), Value::Null),
        (tags, digests) => (json!(tags), json!(digests)),
    };
    json!({
        "Id": id, "ParentId": "", "RepoTags": tags, "RepoDigests": digests, "Created": 1_700_000_000,
        "Size": image.size_bytes, "VirtualSize": image.size_bytes, "SharedSize": -1, "Labels": null, "Containers": -1,
    })
}

/// An error as the engine words it.
pub(crate) fn refusal(status: u16, message: &str) -> Answer {
    (status, Some(json!({ "message": message })))
}

fn no_such(kind: &str, name: &str) -> Answer {
    refusal(404, &format!("No such {kind}: {name}"))
}

fn date(moment: u32) -> String {
    format!(
        "2026-01-01T{:02}:{:02}:{:02}.123456789Z",
        moment / 3600,
        moment / 60 % 60,
        moment % 60
    )
}
