//! What the answers of an engine mean: the few fields that decisions read, made into plain `world` data.
//!
//! Knows no requests: the bytes of an answer come in, and are read by structs that borrow from them and skip all that no
//! decision reads. An idle pass does little but this. A field that decisions rest on must be there: without it the answer
//! is a partial one, and an error. A word that is not known is no reason to give up on all of a list.

use std::borrow::Cow;

use anyhow::Context;
use chrono::DateTime;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::image::{ImageId, Reference};
use crate::world::{Container, ContainerId, ContainerState, Details, Health, Image, World};

use super::{Answer, Inspected};

/// How the engine prints a moment that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";
/// What Docker lists as the name of an image without one.
const NO_NAME: &str = "<none>";

/// Reads the bodies of the two lists: what [`Engine::observe`](super::Engine::observe) makes of them.
///
/// # Errors
/// When one of them is no such list, or lacks what an image or a container cannot be without.
pub fn parse_lists(images: &[u8], containers: &[u8]) -> anyhow::Result<World> {
    Ok(World {
        images: parse_images(images)?,
        containers: parse_containers(containers)?,
        ..World::default()
    })
}

/// Reads the body of the list of images.
pub(super) fn parse_images(body: &[u8]) -> anyhow::Result<Vec<Image>> {
    let listed: Vec<ListedImage<'_>> = serde_json::from_slice(body)?;
    let mut images: Vec<Image> = Vec::with_capacity(listed.len());
    for image in listed {
        let neighbours = images.last().map(|image| image.references.as_slice());
        let image = image.beside(neighbours.unwrap_or_default());
        images.push(image);
    }
    Ok(images)
}

/// Reads the body of the list of containers.
pub(super) fn parse_containers(body: &[u8]) -> anyhow::Result<Vec<Container>> {
    let listed: Vec<ListedContainer<'_>> = serde_json::from_slice(body)?;
    listed.into_iter().map(Container::try_from).collect()
}

/// Reads the body of a container's inspect.
///
/// # Errors
/// When it is none, or does not say what the decision needs.
pub fn parse_container(body: &[u8]) -> anyhow::Result<Inspected> {
    serde_json::from_slice::<FoundContainer<'_>>(body)?.try_into()
}

/// Reads the body of an image's inspect.
///
/// # Errors
/// When it is none, or has no id.
pub fn parse_image(body: &[u8]) -> anyhow::Result<Image> {
    let found: FoundImage<'_> = serde_json::from_slice(body)?;
    let listed = ListedImage {
        id: found.id,
        tags: found.tags.unwrap_or_default(),
        digests: found.digests.unwrap_or_default(),
        size: found.size.unwrap_or_default(),
    };
    Ok(listed.beside(&[]))
}

/// Where the engine's data is; empty where it does not say.
pub(super) fn parse_data_root(body: &[u8]) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct Info<'a> {
        #[serde(rename = "DockerRootDir", borrow)]
        data_root: Option<Cow<'a, str>>,
    }
    let info: Info<'_> = serde_json::from_slice(body)?;
    Ok(info.data_root.unwrap_or_default().into_owned())
}

/// Which engine it is, in its own words.
#[derive(Deserialize)]
pub(super) struct EngineVersion {
    /// Of the engine.
    #[serde(rename = "Version")]
    pub(super) version: String,
    /// Of the newest API that it speaks.
    #[serde(rename = "ApiVersion")]
    pub(super) api: String,
}

/// Reads what the engine says of its version.
pub(super) fn parse_version(body: &[u8]) -> anyhow::Result<EngineVersion> {
    Ok(serde_json::from_slice(body)?)
}

/// The volumes that a container of an image gets unless something is mounted in their place.
///
/// # Errors
/// When it is no image's inspect.
pub(super) fn parse_volumes(body: &[u8]) -> anyhow::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Found {
        #[serde(rename = "Config")]
        config: Option<Config>,
    }
    #[derive(Deserialize)]
    struct Config {
        #[serde(rename = "Volumes")]
        volumes: Option<serde_json::Map<String, Value>>,
    }
    let found: Found = serde_json::from_slice(body)?;
    let volumes = found.config.and_then(|config| config.volumes);
    let paths = volumes
        .unwrap_or_default()
        .into_iter()
        .map(|(path, _)| path);
    Ok(paths.collect())
}

/// What the engine says when it has removed a name. Whatever it says, the name is gone.
pub(super) fn parse_removal(body: &[u8]) -> Answer {
    #[derive(Deserialize)]
    struct Item {
        #[serde(rename = "Deleted")]
        deleted: Option<IgnoredAny>,
    }
    match serde_json::from_slice::<Vec<Item>>(body) {
        Ok(report) if report.iter().any(|item| item.deleted.is_some()) => Answer::Deleted,
        Ok(_) | Err(_) => Answer::Done,
    }
}

/// Why the engine refused something, as far as it says so.
pub(super) fn parse_refusal(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal<'a> {
        #[serde(borrow)]
        message: Cow<'a, str>,
    }
    match serde_json::from_slice::<Refusal<'_>>(body) {
        Ok(refusal) => refusal.message.into_owned(),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    }
}

/// A text of an answer, borrowed from it wherever it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// An image as the list has it.
#[derive(Deserialize)]
struct ListedImage<'a> {
    #[serde(rename = "Id", borrow)]
    id: Cow<'a, str>,
    #[serde(rename = "RepoTags", borrow, deserialize_with = "null_is_none_of_them")]
    tags: Vec<Text<'a>>,
    #[serde(
        rename = "RepoDigests",
        borrow,
        deserialize_with = "null_is_none_of_them"
    )]
    digests: Vec<Text<'a>>,
    #[serde(rename = "Size")]
    size: i64,
}

/// Docker and Podman list no names at all as `null`. They have to list it: an image whose names were left out is not
/// nameless.
fn null_is_none_of_them<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl ListedImage<'_> {
    /// The image, whose names share what they can with each other and with another's: the last few are looked at.
    fn beside(&self, neighbours: &[Reference]) -> Image {
        let names = self.tags.iter().chain(&self.digests).map(|Text(name)| name);
        let mut references: Vec<Reference> =
            Vec::with_capacity(self.tags.len() + self.digests.len());
        let mut foreign_names = 0;
        for name in names.filter(|name| !name.starts_with(NO_NAME)) {
            let near = references.iter().rev().chain(neighbours).take(4);
            match Reference::parse_beside(near, name) {
                Ok(reference) => references.push(reference),
                Err(_) => foreign_names += 1,
            }
        }
        Image {
            id: ImageId::new(&self.id),
            references,
            foreign_names,
            size_bytes: u64::try_from(self.size).unwrap_or_default(),
        }
    }
}

/// An image as an inspect has it.
#[derive(Deserialize)]
struct FoundImage<'a> {
    #[serde(rename = "Id", borrow)]
    id: Cow<'a, str>,
    #[serde(rename = "RepoTags", borrow)]
    tags: Option<Vec<Text<'a>>>,
    #[serde(rename = "RepoDigests", borrow)]
    digests: Option<Vec<Text<'a>>>,
    #[serde(rename = "Size")]
    size: Option<i64>,
}

/// A container as the list has it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedContainer<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    names: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    image: Option<Cow<'a, str>>,
    #[serde(rename = "ImageID", borrow)]
    image_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    state: Option<Cow<'a, str>>,
    created: Option<i64>,
    #[serde(borrow)]
    labels: Option<Labels<'a>>,
}

/// The one label that means something here.
#[derive(Deserialize)]
struct Labels<'a> {
    #[serde(rename = "tagkeeper.pin", borrow)]
    pin: Option<Cow<'a, str>>,
}

impl TryFrom<ListedContainer<'_>> for Container {
    type Error = anyhow::Error;

    fn try_from(listed: ListedContainer<'_>) -> anyhow::Result<Self> {
        let id = listed
            .id
            .filter(|id| !id.is_empty())
            .context("the engine listed a container without an id")?;
        let image = listed
            .image_id
            .filter(|image| !image.is_empty())
            .with_context(|| format!("the engine listed container {id} without its image"))?;
        let names = listed.names.unwrap_or_default();
        Ok(Self {
            names: names
                .iter()
                .map(|Text(name)| name.strip_prefix('/').unwrap_or(name).to_owned())
                .collect(),
            reference: listed.image.and_then(|text| created_from(&text, &image)),
            id: ContainerId::new(id),
            image: ImageId::new(image),
            state: state(&listed.state.unwrap_or_default()),
            created_secs: listed.created.unwrap_or_default(),
            pin: listed.labels.and_then(|l| l.pin).map(Cow::into_owned),
        })
    }
}

/// The reference that a container was created from. The engine puts the image's id there, whole or shortened, once the
/// name has moved on; that is no reference, though it may parse as one.
fn created_from(text: &str, image: &str) -> Option<Reference> {
    let digits = image.strip_prefix("sha256:").unwrap_or(image);
    let is_id = text.starts_with("sha256:") || (!text.is_empty() && digits.starts_with(text));
    if is_id {
        None
    } else {
        Reference::parse(text).ok()
    }
}

/// A container as an inspect has it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FoundContainer<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    image: Option<Cow<'a, str>>,
    #[serde(borrow)]
    state: Option<FoundState<'a>>,
}

/// What it does, and did.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FoundState<'a> {
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    started_at: Option<String>,
    #[serde(borrow)]
    finished_at: Option<Cow<'a, str>>,
    exit_code: Option<i64>,
    #[serde(borrow)]
    health: Option<FoundHealth<'a>>,
}

/// What it says of its health.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FoundHealth<'a> {
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
}

impl TryFrom<FoundContainer<'_>> for Inspected {
    type Error = anyhow::Error;

    fn try_from(found: FoundContainer<'_>) -> anyhow::Result<Self> {
        let id = found.id.unwrap_or_default();
        let image = found
            .image
            .with_context(|| format!("the engine does not say which image container {id} runs"))?;
        let doing = found
            .state
            .with_context(|| format!("the engine does not say what container {id} does"))?;
        let started_at = doing
            .started_at
            .with_context(|| format!("the engine does not say when container {id} started"))?;
        let finished_at = doing.finished_at.filter(|finished| finished != NEVER);
        let ran_secs = finished_at.and_then(|finished| seconds_between(&started_at, &finished));
        Ok(Self {
            image: ImageId::new(image),
            state: state(&doing.status.unwrap_or_default()),
            details: Details {
                started_at,
                health: health(&doing.health.and_then(|h| h.status).unwrap_or_default()),
                exit_code: doing.exit_code,
                ran_secs,
            },
        })
    }
}

/// For people only; none when a date is odd or the last start is still up.
fn seconds_between(started: &str, finished: &str) -> Option<u64> {
    let started = DateTime::parse_from_rfc3339(started).ok()?;
    let finished = DateTime::parse_from_rfc3339(finished).ok()?;
    u64::try_from((finished - started).num_seconds()).ok()
}

/// What a container does. A word that is not known here is neither `running` nor any kind of stopped: such a container
/// does not serve, is not removed, and uses its image.
fn state(word: &str) -> ContainerState {
    match word {
        "created" => ContainerState::Created,
        "running" => ContainerState::Running,
        "paused" => ContainerState::Paused,
        "restarting" => ContainerState::Restarting,
        // Podman's `stopped` has ended as well, and waits for its mounts to be cleaned up; some stay that way for good.
        "exited" | "stopped" => ContainerState::Exited,
        "removing" => ContainerState::Removing,
        "dead" => ContainerState::Dead,
        "stopping" => ContainerState::Stopping,
        _ => ContainerState::Unknown,
    }
}

/// What a container says of its health; a word that is not known here is not `healthy`.
fn health(word: &str) -> Option<Health> {
    match word {
        "" | "none" => None,
        "healthy" => Some(Health::Healthy),
        "starting" => Some(Health::Starting),
        _ => Some(Health::Unhealthy),
    }
}

#[cfg(test)]
mod tests;
