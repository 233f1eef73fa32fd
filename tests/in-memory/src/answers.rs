//! What the engine answers: the JSON of Docker 20.10, and its refusals.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::docker::{Container, Docker, Image, NEVER};
use crate::names::{is_id_prefix, short_form};

/// An answer: status and JSON body, empty where the engine sends none.
pub type Answer = (u16, String);

/// A container as the list shows it, its fields in the engine's order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed<'a> {
    id: &'a str,
    names: Vec<String>,
    image: &'a str,
    #[serde(rename = "ImageID")]
    image_id: &'a str,
    command: &'static str,
    created: i64,
    ports: [(); 0],
    labels: &'a BTreeMap<String, String>,
    state: &'a str,
    status: String,
    host_config: Value,
    network_settings: Value,
    mounts: [(); 0],
}

impl Docker {
    /// `GET /images/json`.
    pub fn list_images(&self) -> Answer {
        let images = self.images.iter().map(|(id, image)| summary(id, image));
        found(&images.collect::<Value>())
    }

    /// `GET /containers/json`: the newest first, and without `all` only those that are active.
    pub fn list_containers(&self, all: bool) -> Answer {
        let newest_first = self.containers.iter().rev();
        let shown = newest_first.filter(|c| all || c.is_active());
        found(&shown.map(|c| self.listed(c)).collect::<Vec<_>>())
    }

    fn listed<'a>(&self, container: &'a Container) -> Listed<'a> {
        let image_id = container.image.as_deref().unwrap_or_default();
        let shows_reference = self.shows_reference(container);
        Listed {
            id: &container.id,
            names: container.names.iter().map(|n| format!("/{n}")).collect(),
            image: if shows_reference {
                &container.reference
            } else {
                image_id
            },
            image_id,
            command: "sleep infinity",
            created: container.created_secs,
            ports: [],
            labels: &container.labels,
            state: &container.state,
            status: status(container),
            host_config: json!({"NetworkMode": "none"}),
            network_settings: json!({"Networks": {"none": {
                "IPAMConfig": null, "Links": null, "Aliases": null, "NetworkID": container.id, "EndpointID": "",
                "Gateway": "", "IPAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "", "GlobalIPv6Address": "",
                "GlobalIPv6PrefixLen": 0, "MacAddress": "", "DriverOpts": null,
            }}}),
            mounts: [],
        }
    }

    /// `GET /info`.
    pub(crate) fn info(&self) -> Answer {
        found(&json!({
            "ID": "F4KE", "Containers": self.containers.len(), "Images": self.images.len(), "Driver": "overlay2",
            "DriverStatus": [["Backing Filesystem", "extfs"]], "DockerRootDir": self.root_dir,
            "ServerVersion": "20.10.24", "Name": "fake", "Warnings": null,
        }))
    }

    /// `GET /containers/NAME/json`.
    pub fn inspect_container(&self, name: &str) -> Answer {
        let Some(c) = self.find_container(name) else {
            return no_such("container", name);
        };
        let finished = if c.is_active() || c.started_at == NEVER {
            NEVER
        } else {
            "2026-01-02T00:00:00.5Z"
        };
        let mut state = json!({
            "Status": c.state, "Running": c.is_active(), "Paused": c.state == "paused",
            "Restarting": c.state == "restarting", "OOMKilled": false, "Dead": c.state == "dead",
            "Pid": 1, "ExitCode": c.exit_code.unwrap_or_default(), "Error": "",
            "StartedAt": c.started_at, "FinishedAt": finished,
        });
        if let Some(health) = &c.health {
            state["Health"] = json!({"Status": health, "FailingStreak": 0, "Log": []});
        }
        found(&json!({
            "Id": c.id, "Created": "2026-01-01T00:00:00.123456789Z", "Path": "sleep", "Args": ["infinity"],
            "State": state, "Image": c.image.as_deref().unwrap_or_default(), "Name": format!("/{}", c.name()),
            "RestartCount": 0, "Driver": "overlay2", "Platform": "linux", "Mounts": [],
            "Config": {
                "Image": c.reference, "Env": [], "Cmd": ["sleep", "infinity"], "Labels": {}, "Volumes": null,
                "OpenStdin": c.interactive,
            },
            "HostConfig": {"NetworkMode": "none"}, "NetworkSettings": {"Networks": {}},
        }))
    }

    /// `GET /images/NAME/json`.
    pub(crate) fn inspect_image(&self, name: &str) -> Answer {
        let Some(id) = self.resolve(name) else {
            return no_such("image", &short_form(name));
        };
        let image = &self.images[&id];
        let volumes: BTreeMap<&String, Value> =
            image.volumes.iter().map(|path| (path, json!({}))).collect();
        found(&json!({
            "Id": id, "RepoTags": image.tags, "RepoDigests": image.digests, "Parent": "", "Comment": "",
            "Created": "2026-01-01T00:00:00Z", "DockerVersion": "20.10.24", "Author": "", "Architecture": "amd64",
            "Os": "linux", "Size": image.size_bytes, "VirtualSize": image.size_bytes,
            "Config": {"Cmd": ["sleep", "infinity"], "Labels": image.labels, "Volumes": volumes},
            "RootFS": {"Type": "layers", "Layers": [id]}, "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
        }))
    }

    /// `POST /containers/create`: a container that is not started. One volume is made for each that
    /// the image declares, but where something is mounted.
    pub fn create_container(&mut self, name: &str, body: &str) -> Answer {
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
        let container = self.create(name, &reference);
        container.labels = labels;
        container.volumes = volumes;
        (201, json(&json!({"Id": container.id, "Warnings": []})))
    }

    /// `POST /images/NAME/tag`.
    pub fn tag(&mut self, source: &str, repository: &str, tag: &str) -> Answer {
        let Some(id) = self.resolve(source) else {
            return no_such("image", &short_form(source));
        };
        if repository.is_empty() || repository.contains('@') {
            return refusal(400, "invalid reference format");
        }
        let tag = if tag.is_empty() { "latest" } else { tag };
        self.name_image(&id, &short_form(&format!("{repository}:{tag}")));
        (201, String::new())
    }

    /// `DELETE /images/NAME`: a name goes, and with its last one the image; by an id, the image.
    pub fn remove_image(&mut self, name: &str) -> Answer {
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
        let has_child = self.has_child(id);
        let image = self.images.get_mut(id).expect("resolved");
        image.remove_name(name);
        let mut report = vec![json!({"Untagged": name})];
        if !name.contains('@') {
            let gone = image.remove_digests_without_tag(name);
            report.extend(gone.into_iter().map(|d| json!({"Untagged": d})));
        }
        if image.references().next().is_none() && !has_child {
            self.images.remove(id);
            report.push(json!({"Deleted": id}));
        }
        found(&report)
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
        found(&report)
    }

    /// `DELETE /containers/NAME`.
    pub fn remove_container(&mut self, name: &str) -> Answer {
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
        (204, String::new())
    }
}

/// What a list says of a container to people.
fn status(container: &Container) -> String {
    match container.state.as_str() {
        "running" => "Up 2 hours".to_owned(),
        "exited" => {
            let code = container.exit_code.unwrap_or_default();
            format!("Exited ({code}) 2 hours ago")
        }
        state => format!("{state} for a while"),
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
    let labels = Some(&image.labels).filter(|labels| !labels.is_empty());
    json!({
        "Id": id, "ParentId": "", "RepoTags": tags, "RepoDigests": digests, "Created": 1_700_000_000,
        "Size": image.size_bytes, "VirtualSize": image.size_bytes, "SharedSize": -1, "Labels": labels, "Containers": -1,
    })
}

fn json(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("maps have keys of text")
}

fn found(body: &impl Serialize) -> Answer {
    (200, json(body))
}

/// An error as the engine words it.
pub(crate) fn refusal(status: u16, message: &str) -> Answer {
    (status, json(&json!({ "message": message })))
}

fn no_such(kind: &str, name: &str) -> Answer {
    refusal(404, &format!("No such {kind}: {name}"))
}
