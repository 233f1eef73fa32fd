//! What the answers of an engine mean: the few fields that decisions read, made into plain data of
//! the model.
//!
//! Knows no requests. Each answer is read from its bytes, by a struct that skips all that no
//! decision reads; those of the two lists borrow what they keep, for an idle pass does little but
//! read them. A field that decisions rest on must be there: without it the answer is a partial one,
//! and an error. What is odd in one item (a state that is not known, a size of -1, names that are
//! `null`) is no reason to give up on an answer.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use anyhow::{Context, bail, ensure};
use chrono::DateTime;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::text::{MAX_CHARS, clean};
use tagkeeper_core::Gather;
use tagkeeper_core::model::{
    Container, ContainerId, ContainerState, Details, Health, Image, PinLabel,
};
use tagkeeper_core::model::{ImageId, Reference};

use super::{Inspected, Lists};

/// How the engine prints a moment that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";
/// What Docker lists as the name of an image without one.
const NO_NAME: &str = "<none>";
/// More than this of one kind are on no host: an engine that lists them is broken, and would cost
/// memory without measure.
const MAX_ITEMS: usize = 100_000;
/// More names than this, of all that one list has, are on no host.
const MAX_NAMES: usize = 500_000;
/// Labels of one image that are longer, in bytes, are not looked at.
const MAX_LABELS: usize = 1 << 20;
/// Up to so many names are compared with each other; more are sorted.
const FEW_NAMES: usize = 8;

/// Reads the bodies of the two lists: what [`Engine::observe`](super::Engine::observe) makes of
/// them.
///
/// # Errors
/// When one of them is no such list, or lacks what an image or a container cannot be without.
pub fn parse_lists(images: &[u8], containers: &[u8]) -> anyhow::Result<Lists> {
    Ok(Lists {
        images: parse_images(images, &[])?,
        containers: parse_containers(containers)?,
    })
}

/// Reads the body of the list of images, with these of their labels.
pub(super) fn parse_images(body: &[u8], labels: &[&str]) -> anyhow::Result<Vec<Image>> {
    if labels.is_empty() {
        read_images(body, |_: IgnoredAny| BTreeMap::new())
    } else {
        read_images(body, |all: &RawValue| pick(all, labels))
    }
}

fn read_images<'a, L: Deserialize<'a>>(
    body: &'a [u8],
    labels: impl Fn(L) -> BTreeMap<String, String>,
) -> anyhow::Result<Vec<Image>> {
    let mut images: Vec<Image> = Vec::new();
    let mut names = 0;
    read_list(body, |listed: ListedImage<'a, L>| {
        count_names(&mut names, listed.tags.len() + listed.digests.len())?;
        let neighbours = images.last().map(|image| image.references.as_slice());
        let image = listed.beside(neighbours.unwrap_or_default(), &labels)?;
        images.push(image);
        Ok(())
    })?;
    Ok(merge_repeated(images))
}

/// Reads the body of the list of containers.
pub(super) fn parse_containers(body: &[u8]) -> anyhow::Result<Vec<Container>> {
    let mut containers = Vec::new();
    let mut names = 0;
    read_list(body, |listed: ListedContainer<'_>| {
        count_names(&mut names, listed.names.as_ref().map_or(0, Vec::len))?;
        containers.push(listed.try_into()?);
        Ok(())
    })?;
    let again = repeats(&containers, |container: &Container| &container.id);
    Ok(without(containers, &again))
}

fn count_names(so_far: &mut usize, more: usize) -> anyhow::Result<()> {
    *so_far += more;
    ensure!(
        *so_far <= MAX_NAMES,
        "it lists more than {MAX_NAMES} names, which no host has"
    );
    Ok(())
}

/// Reads a list item by item, so that no second list of what was read is in memory.
fn read_list<'a, T: Deserialize<'a>>(
    body: &'a [u8],
    take: impl FnMut(T) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    struct Items<F, T>(F, PhantomData<T>);
    impl<'de, T, F> Visitor<'de> for Items<F, T>
    where
        T: Deserialize<'de>,
        F: FnMut(T) -> anyhow::Result<()>,
    {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
            let mut count = 0;
            while let Some(item) = items.next_element()? {
                count += 1;
                if count > MAX_ITEMS {
                    return Err(A::Error::custom(format_args!(
                        "it lists more than {MAX_ITEMS}, which no host has"
                    )));
                }
                (self.0)(item).map_err(|error| A::Error::custom(format_args!("{error:#}")))?;
            }
            Ok(())
        }
        fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
            Err(E::custom("it is a text, and no list"))
        }
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    (&mut json).deserialize_seq(Items(take, PhantomData))?;
    Ok(json.end()?)
}

/// Some engines list an image once for each of its platforms or names: it is one image, with all
/// that was said of it.
fn merge_repeated(mut images: Vec<Image>) -> Vec<Image> {
    let repeats = repeats(&images, |image: &Image| &image.id);
    let mut kept = BTreeSet::new();
    for &(first, again) in &repeats {
        let repeat = &mut images[again];
        let references = std::mem::take(&mut repeat.references);
        let labels = std::mem::take(&mut repeat.labels);
        let (unparsed_names, size_bytes) = (repeat.unparsed_names, repeat.size_bytes);
        let image = &mut images[first];
        image.references.extend(references);
        image.unparsed_names += unparsed_names;
        image.size_bytes = image.size_bytes.max(size_bytes);
        image.labels.extend(labels);
        kept.insert(first);
    }
    for first in kept {
        name_once(&mut images[first].references);
    }
    without(images, &repeats)
}

/// Where an item is that the list has had before, each behind the place of the first.
fn repeats<T, I: Ord>(items: &[T], id: impl Fn(&T) -> &I) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|&at| id(&items[at]));
    let mut repeats = Vec::new();
    let mut first = 0;
    for at in 1..order.len() {
        if id(&items[order[first]]) == id(&items[order[at]]) {
            repeats.push((order[first], order[at]));
        } else {
            first = at;
        }
    }
    repeats
}

/// The items without those that are repeats.
fn without<T>(items: Vec<T>, repeats: &[(usize, usize)]) -> Vec<T> {
    if repeats.is_empty() {
        return items;
    }
    let gone: BTreeSet<usize> = repeats.iter().map(|&(_, again)| again).gather();
    let all = items.into_iter().enumerate();
    all.filter(|(at, _)| !gone.contains(at))
        .map(|(_, item)| item)
        .collect()
}

/// Each name once, in the order in which they came. Docker lists a digest among the tags as well
/// (moby/moby#48063).
fn name_once(references: &mut Vec<Reference>) {
    if references.len() <= FEW_NAMES {
        let mut at = 1;
        while at < references.len() {
            if references[..at].contains(&references[at]) {
                references.remove(at);
            } else {
                at += 1;
            }
        }
    } else {
        let mut seen = BTreeSet::new();
        references.retain(|name| seen.insert(name.clone()));
    }
}

/// The fields of a container's inspect that are read.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedContainer {
    id: Option<String>,
    image: Option<String>,
    state: Option<InspectedState>,
    config: Option<InspectedConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedState {
    status: Option<String>,
    started_at: Option<String>,
    #[serde(default)]
    finished_at: Loose<String>,
    #[serde(default)]
    exit_code: Loose<i64>,
    health: Option<InspectedHealth>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedHealth {
    #[serde(default)]
    status: Loose<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedConfig {
    open_stdin: Option<bool>,
    #[serde(default)]
    image: Loose<String>,
}

/// Reads the body of a container's inspect.
///
/// # Errors
/// When it is none, or does not say what the decision needs.
pub fn parse_container(body: &[u8]) -> anyhow::Result<Inspected> {
    let body: InspectedContainer = serde_json::from_slice(body)?;
    let id = body
        .id
        .filter(|id| !id.is_empty())
        .context("the engine does not say which container this is")?;
    let doing = body
        .state
        .context("the engine does not say what the container does")?;
    let started_at = doing
        .started_at
        .context("the engine does not say when the container started")?;
    let finished_at = doing.finished_at.0.filter(|finished| finished != NEVER);
    let ran_secs = finished_at.and_then(|finished| seconds_between(&started_at, &finished));
    let image = body.image.filter(|image| !image.is_empty());
    let (open_stdin, named) = body
        .config
        .map_or((None, None), |config| (config.open_stdin, config.image.0));
    let created_from =
        named.and_then(|text| created_from(&text, image.as_deref().unwrap_or_default()));
    Ok(Inspected {
        id: ContainerId::new(id),
        image: image.map(ImageId::new),
        state: state(&doing.status.unwrap_or_default()),
        details: Details {
            started_at,
            health: doing
                .health
                .and_then(|found| health(found.status.0.as_deref())),
            exit_code: doing.exit_code.0,
            ran_secs,
            interactive: open_stdin.unwrap_or_default(),
            created_from,
        },
    })
}

/// An image as an inspect has it.
pub(super) struct FoundImage {
    pub(super) image: Image,
    /// The volumes that a container of the image gets unless something is mounted in their place.
    pub(super) volumes: Vec<String>,
}

/// Reads the body of an image's inspect.
///
/// # Errors
/// When it is none, or has no id.
pub fn parse_image(body: &[u8]) -> anyhow::Result<Image> {
    Ok(read_image(body)?.image)
}

/// The same, with what only an inspect tells.
pub(super) fn read_image(body: &[u8]) -> anyhow::Result<FoundImage> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body {
        id: Option<String>,
        repo_tags: Option<Vec<Option<String>>>,
        repo_digests: Option<Vec<Option<String>>>,
        #[serde(default)]
        size: Loose<i64>,
        config: Option<Config>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Config {
        volumes: Option<serde_json::Map<String, serde_json::Value>>,
    }
    let body: Body = serde_json::from_slice(body)?;
    let lists = [body.repo_tags, body.repo_digests];
    let names: Vec<String> = lists.into_iter().flatten().flatten().flatten().collect();
    let names = names.iter().map(String::as_str);
    let volumes = body.config.and_then(|config| config.volumes);
    Ok(FoundImage {
        image: image(
            &body.id.unwrap_or_default(),
            names,
            body.size.0,
            BTreeMap::new(),
            &[],
        )?,
        volumes: volumes
            .into_iter()
            .flatten()
            .map(|(path, _)| path)
            .collect(),
    })
}

/// What Docker calls its storage driver where containerd keeps the images.
const SNAPSHOTTER: &str = "io.containerd.snapshotter.v1";
/// The socket of a containerd that is a service of the host; Docker starts one of its own
/// elsewhere, with its data below its own.
const CONTAINERD_SOCKETS: [&str; 2] = [
    "/run/containerd/containerd.sock",
    "/var/run/containerd/containerd.sock",
];
/// Where that one has its data, unless its configuration says otherwise, which it tells nobody
/// (containerd-config.toml(5)).
const CONTAINERD_ROOT: &str = "/var/lib/containerd";

/// Where the engine keeps its images, from the bytes of what it says of itself; empty where it does
/// not say.
pub(super) fn read_data_root(body: &[u8]) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Info {
        docker_root_dir: Option<String>,
        #[serde(default)]
        driver_status: Loose<Vec<(String, String)>>,
        #[serde(default)]
        containerd: Loose<Containerd>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Containerd {
        address: String,
    }
    let info: Info = serde_json::from_slice(body)?;
    let mut status = info.driver_status.0.into_iter().flatten();
    let is_snapshotter = status.any(|(_, value)| value == SNAPSHOTTER);
    let address = info.containerd.0.map(|containerd| containerd.address);
    let is_of_host = address.is_some_and(|a| CONTAINERD_SOCKETS.contains(&a.as_str()));
    Ok(if is_snapshotter && is_of_host {
        CONTAINERD_ROOT.to_owned()
    } else {
        info.docker_root_dir.unwrap_or_default()
    })
}

/// A text of an answer, borrowed from it wherever it has no escapes: in an `Option`, too, where a
/// bare `Cow` would own it.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A value on which no decision rests: none where it is missing, `null`, or of another kind, and
/// then not kept for a moment, however long it is.
struct Loose<T>(Option<T>);

impl<T> Default for Loose<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Loose<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(value.get()).unwrap_or_default()))
    }
}

/// An image as the list has it.
#[derive(Deserialize)]
struct ListedImage<'a, L> {
    #[serde(rename = "Id", borrow)]
    id: Cow<'a, str>,
    #[serde(rename = "RepoTags", borrow, deserialize_with = "null_is_none_of_them")]
    tags: Vec<Option<Text<'a>>>,
    #[serde(
        rename = "RepoDigests",
        borrow,
        deserialize_with = "null_is_none_of_them"
    )]
    digests: Vec<Option<Text<'a>>>,
    #[serde(rename = "Size", default)]
    size: Loose<i64>,
    #[serde(rename = "Labels")]
    labels: Option<L>,
}

/// Docker and Podman list no names at all as `null`. They have to list it: an image whose names
/// were left out is not nameless.
fn null_is_none_of_them<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl<L> ListedImage<'_, L> {
    /// The image, whose names share what they can with each other and with another's: the last few
    /// are looked at.
    fn beside(
        self,
        neighbours: &[Reference],
        labels: impl Fn(L) -> BTreeMap<String, String>,
    ) -> anyhow::Result<Image> {
        let names = self.tags.iter().chain(&self.digests).flatten();
        let labels = self.labels.map(labels);
        image(
            &self.id,
            names.map(|Text(name)| &**name),
            self.size.0,
            labels.unwrap_or_default(),
            neighbours,
        )
    }
}

fn image<'a>(
    id: &str,
    names: impl Iterator<Item = &'a str> + Clone,
    size: Option<i64>,
    labels: BTreeMap<String, String>,
    neighbours: &[Reference],
) -> anyhow::Result<Image> {
    ensure!(!id.is_empty(), "the engine names an image without an id");
    let names = names.filter(|name| !name.starts_with(NO_NAME));
    let mut references: Vec<Reference> = Vec::with_capacity(names.clone().count());
    let mut unparsed_names = 0;
    for name in names {
        let near = references.iter().rev().chain(neighbours).take(4);
        match Reference::parse_beside(near, name) {
            Ok(reference) => references.push(reference),
            Err(_) => unparsed_names += 1,
        }
    }
    name_once(&mut references);
    Ok(Image {
        id: ImageId::new(id),
        references,
        unparsed_names,
        size_bytes: size
            .and_then(|size| u64::try_from(size).ok())
            .unwrap_or_default(),
        labels,
    })
}

/// Those of an image's labels that are wanted.
fn pick(labels: &RawValue, wanted: &[&str]) -> BTreeMap<String, String> {
    let text = labels.get();
    if text.len() > MAX_LABELS {
        return BTreeMap::new();
    }
    let all: Result<BTreeMap<Cow<'_, str>, Loose<String>>, _> = serde_json::from_str(text);
    let mut all = all.unwrap_or_default();
    let found = wanted.iter().filter_map(|&name| {
        let value = all.remove(name)?.0?;
        Some((name.to_owned(), value))
    });
    found.gather()
}

/// A container as the list has it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedContainer<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    names: Option<Vec<Option<Text<'a>>>>,
    #[serde(borrow)]
    image: Option<Text<'a>>,
    #[serde(rename = "ImageID", default, borrow, deserialize_with = "present")]
    image_id: Listed<'a>,
    #[serde(borrow)]
    state: Option<Text<'a>>,
    #[serde(default)]
    status: Loose<String>,
    #[serde(default)]
    created: Loose<i64>,
    labels: Option<Labels>,
}

/// The exit code in `Exited (137) 2 hours ago`: a list has it nowhere else.
fn exit_code(status: &str) -> Option<i64> {
    let (code, _) = status.strip_prefix("Exited (")?.split_once(')')?;
    code.parse().ok()
}

/// The labels that mean something here.
#[derive(Deserialize)]
struct Labels {
    #[serde(rename = "tagkeeper.pin", default)]
    pin: Loose<String>,
    #[serde(rename = "tagkeeper.instance", default)]
    instance: Loose<String>,
    #[serde(rename = "com.docker.compose.oneoff", default)]
    one_off: Loose<String>,
}

/// What a list says of a container's image.
#[derive(Default)]
enum Listed<'a> {
    /// Nothing: then the list does not say what uses which image.
    #[default]
    Absent,
    /// That there is none: null, or nothing in it.
    None,
    Image(Text<'a>),
}

/// A field that is there, be it null.
fn present<'de, D: Deserializer<'de>>(field: D) -> Result<Listed<'de>, D::Error> {
    let id = Option::<Text<'de>>::deserialize(field)?;
    Ok(id
        .filter(|Text(id)| !id.is_empty())
        .map_or(Listed::None, Listed::Image))
}

impl TryFrom<ListedContainer<'_>> for Container {
    type Error = anyhow::Error;

    fn try_from(listed: ListedContainer<'_>) -> anyhow::Result<Self> {
        let id = listed
            .id
            .map(|Text(id)| id)
            .filter(|id| !id.is_empty())
            .context("the engine listed a container without an id")?;
        let image = match listed.image_id {
            Listed::Absent => bail!("the engine listed container {id} without its image"),
            Listed::None => None,
            Listed::Image(Text(image)) => Some(image),
        };
        let names = listed.names.unwrap_or_default();
        let reference = listed
            .image
            .and_then(|Text(text)| created_from(&text, image.as_deref().unwrap_or_default()));
        let labels = listed.labels;
        let (pin, one_off) = labels.map_or((None, false), |labels| {
            let instance = labels.instance.0;
            let pin = labels.pin.0.map(|workload| PinLabel { workload, instance });
            let one_off = labels.one_off.0;
            (
                pin,
                one_off.is_some_and(|value| value.eq_ignore_ascii_case("true")),
            )
        });
        Ok(Self {
            id: ContainerId::new(id),
            names: names
                .iter()
                .flatten()
                .filter_map(|Text(name)| own_name(name))
                .collect(),
            image: image.map(ImageId::new),
            reference,
            state: listed
                .state
                .map_or_else(|| state(""), |Text(word)| state(&word)),
            exit_code: listed.status.0.as_deref().and_then(exit_code),
            created_secs: listed.created.0.unwrap_or_default(),
            one_off,
            pin,
        })
    }
}

/// A name of a container's own, without the engine's leading slash. `/web/app` is what another
/// container calls this one: a link. What no engine takes for a name is quoted, and is none that a
/// policy could mean.
fn own_name(name: &str) -> Option<String> {
    let name = name.strip_prefix('/').unwrap_or(name);
    if name.is_empty() || name.contains('/') {
        return None;
    }
    let is_usual = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    if name.len() <= MAX_CHARS && name.bytes().all(is_usual) {
        return Some(name.to_owned());
    }
    Some(clean(format_args!("{name:?}")))
}

/// The reference that a container was created from. The engine puts the image's id there, whole or
/// shortened, once the name has moved on; that is no reference, though it may parse as one.
fn created_from(text: &str, image: &str) -> Option<Reference> {
    let digits = image.strip_prefix("sha256:").unwrap_or(image);
    let is_hex = text.bytes().all(|b| b.is_ascii_hexdigit());
    let is_id = text.starts_with("sha256:")
        || digits.starts_with(text)
        || (is_hex && matches!(text.len(), 12 | 64));
    if is_id {
        None
    } else {
        Reference::parse(text).ok()
    }
}

/// For people only; none when a date is odd or the last start is still up.
fn seconds_between(started: &str, finished: &str) -> Option<u64> {
    let started = DateTime::parse_from_rfc3339(started).ok()?;
    let finished = DateTime::parse_from_rfc3339(finished).ok()?;
    u64::try_from((finished - started).num_seconds()).ok()
}

/// What a container does. A word that is not known here is neither `running` nor any kind of
/// stopped: such a container does not serve, is not removed, and uses its image.
fn state(word: &str) -> ContainerState {
    match word {
        // Podman's `configured` and `initialized` were made and never started.
        "created" | "configured" | "initialized" => ContainerState::Created,
        "running" => ContainerState::Running,
        "paused" => ContainerState::Paused,
        "restarting" => ContainerState::Restarting,
        // Podman's `stopped` has ended as well, and waits for its mounts to be cleaned up; some
        // stay that way for good.
        "exited" | "stopped" => ContainerState::Exited,
        "removing" => ContainerState::Removing,
        "dead" => ContainerState::Dead,
        "stopping" => ContainerState::Stopping,
        other => ContainerState::Unknown(clean(other).into()),
    }
}

/// What a container says of its health. A word that is not known here, or none, is not `healthy`;
/// Podman has an empty one where there is no health check.
fn health(word: Option<&str>) -> Option<Health> {
    match word {
        Some("" | "none") => None,
        Some("healthy") => Some(Health::Healthy),
        Some("starting") => Some(Health::Starting),
        _ => Some(Health::Unhealthy),
    }
}

#[cfg(test)]
mod tests;
