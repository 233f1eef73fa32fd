//! What the answers of an engine mean: the few fields that decisions read, made into plain `world` data.
//!
//! Knows neither bollard nor requests. An answer gets here in one of two ways: out of bollard's models, or, where bollard
//! gives up on a word that it has never heard, straight from the engine's JSON (`docker`, `read_again`).

use anyhow::Context;
use chrono::DateTime;
use serde::Deserialize;

use crate::image::{ImageId, Reference};
use crate::world::{Container, ContainerId, ContainerState, Details, Health, Image};

use super::Inspected;

/// How the engine prints a moment that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";
/// What Docker lists as the name of an image without one.
const NO_NAME: &str = "<none>";

/// An image by its id, names and size.
pub(super) fn image(id: String, tags: &[String], digests: &[String], size: i64) -> Image {
    let mut references = Vec::with_capacity(tags.len() + digests.len());
    let mut foreign_names = 0;
    for name in tags
        .iter()
        .chain(digests)
        .filter(|name| !name.starts_with(NO_NAME))
    {
        match Reference::parse(name) {
            Ok(reference) => references.push(reference),
            Err(_) => foreign_names += 1,
        }
    }
    Image {
        id: ImageId::new(id),
        references,
        foreign_names,
        size_bytes: u64::try_from(size).unwrap_or_default(),
    }
}

/// A container as the list has it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    pub(super) id: Option<String>,
    pub(super) names: Option<Vec<String>>,
    pub(super) image: Option<String>,
    #[serde(rename = "ImageID")]
    pub(super) image_id: Option<String>,
    pub(super) state: Option<String>,
    pub(super) created: Option<i64>,
}

impl TryFrom<Listed> for Container {
    type Error = anyhow::Error;

    fn try_from(listed: Listed) -> anyhow::Result<Self> {
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
                .map(|name| name.strip_prefix('/').unwrap_or(name).to_owned())
                .collect(),
            reference: listed.image.and_then(|text| created_from(&text, &image)),
            id: ContainerId::new(id),
            image: ImageId::new(image),
            state: state(&listed.state.unwrap_or_default()),
            created_secs: listed.created.unwrap_or_default(),
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
pub(super) struct Found {
    pub(super) id: Option<String>,
    pub(super) image: Option<String>,
    pub(super) state: Option<FoundState>,
}

/// What it does, and did.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FoundState {
    pub(super) status: Option<String>,
    pub(super) started_at: Option<String>,
    pub(super) finished_at: Option<String>,
    pub(super) exit_code: Option<i64>,
    pub(super) health: Option<FoundHealth>,
}

/// What it says of its health.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FoundHealth {
    pub(super) status: Option<String>,
}

impl TryFrom<Found> for Inspected {
    type Error = anyhow::Error;

    fn try_from(found: Found) -> anyhow::Result<Self> {
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
