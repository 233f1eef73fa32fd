//! The API of Docker over its unix socket, and Podman's compatible one, through bollard: which call
//! asks what, and what comes of its errors.
//!
//! Every call is in a deadline of its own, its body included, and in the deadline of the pass;
//! bollard's own covers no body. The paths have no version, so that each engine speaks its own.
//! What decisions read is read from its bytes (`answer`); what changes the host is bollard's. What
//! cannot be understood is an error and never a guess, and so is an answer about anything but what
//! was asked for.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use bollard::errors::Error as ClientError;
use bollard::models::{
    ContainerCreateBody, HostConfig, Mount, MountType, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptions, RemoveImageOptionsBuilder,
    TagImageOptionsBuilder,
};
use tokio::runtime::Runtime;
use tokio::time::Sleep;

use crate::text::clean;
use tagkeeper_core::Gather;
use tagkeeper_core::model::{Container, ContainerId, Disk, Image, PinLabel};
use tagkeeper_core::model::{ImageId, Reference};

use super::answer::{self, FoundImage};
use super::transport::{MAX_ANSWER_BYTES, MAX_LIST_BYTES, Transport};
use super::{Answer, Engine, ImageName, Inspected, Lists, PassOver, access, disk};

/// The versions of Docker's API that this is tested with, by docs/compatibility.md: Docker 20.10 to
/// 28, Podman 4.3 to 5.
const OLDEST_API: &str = "1.41";
const NEWEST_API: &str = "1.51";

const IMAGES: &str = "/images/json?all=true";
const CONTAINERS: &str = "/containers/json?all=true";

/// An engine behind a unix socket.
pub struct Docker {
    client: bollard::Docker,
    /// The same way that the client takes.
    transport: Transport,
    calls: Calls,
}

/// Runs calls in their deadlines, one at a time.
struct Calls {
    socket: String,
    call_timeout: Duration,
    pass_deadline: Pin<Box<Sleep>>,
    runtime: Runtime,
}

impl Docker {
    /// Prepares the client; the engine is not asked anything yet.
    ///
    /// # Errors
    /// When the socket's path is not UTF-8, or the host is short of something.
    pub fn connect(
        socket: &Path,
        call_timeout: Duration,
        pass_deadline: Duration,
    ) -> anyhow::Result<Self> {
        const FAILED: &str = "failed to set up the connection to the engine";
        let path = socket
            .to_str()
            .with_context(|| format!("the socket path '{}' is not UTF-8", socket.display()))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .context(FAILED)?;
        let pass_deadline = {
            let _inside = runtime.enter();
            Box::pin(tokio::time::sleep(pass_deadline))
        };
        let transport = Transport::new(socket);
        let client = transport.client().context(FAILED)?;
        Ok(Self {
            client,
            transport,
            calls: Calls {
                socket: path.to_owned(),
                call_timeout,
                pass_deadline,
                runtime,
            },
        })
    }

    fn look(&mut self, labels: &[&str]) -> anyhow::Result<Lists> {
        let images = self.read("list the images", IMAGES, MAX_LIST_BYTES, |body| {
            answer::parse_images(body, labels)
        })?;
        Ok(Lists {
            images,
            containers: self.containers()?,
        })
    }

    /// What is at a path.
    fn read<T>(
        &mut self,
        what: &str,
        path: &str,
        max_bytes: u64,
        parse: impl FnOnce(&[u8]) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let body = self.transport.clone().read(path.to_owned(), max_bytes);
        let body = self.calls.ask(what, body)?;
        parse(&body).map_err(|error| self.calls.unread(what, &error))
    }

    /// One image as it is now; none if there is no such image.
    fn found_image(&mut self, what: &str, name: &ImageName) -> anyhow::Result<Option<FoundImage>> {
        let asked_name = match name {
            ImageName::Reference(reference) => part(reference.in_full())?,
            ImageName::Id(id) => part(id)?,
        };
        self.found(what, &format!("/images/{asked_name}/json"), |body| {
            let found = answer::read_image(body)?;
            check_is_asked_for(&found.image, name)?;
            Ok(found)
        })
    }

    /// What is at a path, if anything is.
    fn found<T>(
        &mut self,
        what: &str,
        path: &str,
        parse: impl FnOnce(&[u8]) -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        let found = self.read(what, path, MAX_ANSWER_BYTES, parse).map(Some);
        found.or_else(|error| match error.downcast_ref() {
            Some(Refused { status: 404, .. }) => Ok(None),
            _ => Err(error),
        })
    }

    /// An engine that answers, and not what is understood, may be older or newer than what is known
    /// here: both are named, unless the engine says that it is neither.
    fn with_versions(&mut self, error: anyhow::Error) -> anyhow::Error {
        let refused = error.downcast_ref::<Refused>();
        let odd = refused.map_or(error.is::<Unread>(), |refused| {
            (400..500).contains(&refused.status)
        });
        if !odd {
            return error;
        }
        let known = format!("tagkeeper is made for the API from {OLDEST_API} to {NEWEST_API}");
        let told = self.calls.ask("ask for the version", self.client.version());
        let told = told
            .ok()
            .and_then(|told| told.version.zip(told.api_version));
        match told {
            Some((_, api)) if is_known_api(&api) => error,
            Some((version, api)) => error.context(format!(
                "{known}, and this engine is version {} with API {}",
                clean(version),
                clean(api)
            )),
            None => error.context(format!(
                "{known}, and this engine does not tell its version"
            )),
        }
    }
}

/// Whether a version of the API is one that this is made for.
fn is_known_api(api: &str) -> bool {
    let number = |version: &str| {
        let (major, minor) = version.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    };
    let known = number(OLDEST_API)..=number(NEWEST_API);
    let api = number(api);
    api.is_some() && known.contains(&api)
}

impl Calls {
    /// Runs one call to its end, the body included, or to a deadline.
    fn ask<T>(
        &mut self,
        what: &str,
        asked: impl Future<Output = Result<T, ClientError>>,
    ) -> anyhow::Result<T> {
        let pass_deadline = &mut self.pass_deadline;
        let bounded = async {
            let mut asked = std::pin::pin!(asked);
            std::future::poll_fn(|context| {
                if pass_deadline.as_mut().poll(context).is_ready() {
                    return Poll::Ready(None);
                }
                asked.as_mut().poll(context).map(Some)
            })
            .await
        };
        let call_timeout = self.call_timeout;
        match self
            .runtime
            .block_on(async { tokio::time::timeout(call_timeout, bounded).await })
        {
            Ok(Some(Ok(answered))) => Ok(answered),
            Ok(Some(Err(error))) => {
                Err(explain(error, &self.socket)).with_context(|| self.failed_to(what))
            }
            Ok(None) => {
                Err(anyhow::Error::new(PassOver).context(format!("failed to {}", clean(what))))
            }
            Err(_) => Err(anyhow!(
                "failed to {}: the engine at '{}' did not answer within {}; it hangs, or is busier than [engine] timeout allows for",
                clean(what),
                self.socket,
                humantime::format_duration(call_timeout)
            )),
        }
    }

    /// Changes something. What the engine says when it is done may be anything: it is done.
    fn change<T: Default>(
        &mut self,
        what: &str,
        asked: impl Future<Output = Result<T, ClientError>>,
        understood: impl FnOnce(T) -> Answer,
    ) -> anyhow::Result<Answer> {
        match self.ask(what, asked) {
            Ok(said) => Ok(understood(said)),
            Err(error) => match error.downcast_ref() {
                Some(Refused { status: 404, .. }) => Ok(Answer::Gone),
                Some(Refused {
                    status: 409,
                    message,
                }) => Ok(Answer::InUse(message.clone())),
                None if error.is::<Unread>() => Ok(understood(T::default())),
                _ => Err(error),
            },
        }
    }

    fn unread(&self, what: &str, error: &anyhow::Error) -> anyhow::Error {
        anyhow::Error::new(Unread(clean(format_args!("{error:#}")))).context(self.failed_to(what))
    }

    fn failed_to(&self, what: &str) -> String {
        // The ids in it are the engine's words as well.
        format!("failed to {} at '{}'", clean(what), self.socket)
    }
}

/// An error of the client's, with what an operator can do about it, and with what the engine said
/// in one clean line.
fn explain(error: ClientError, socket: &str) -> anyhow::Error {
    match error {
        ClientError::IOError { err } => access::explain(err, socket),
        ClientError::DockerResponseServerError {
            status_code,
            message,
        } => anyhow::Error::new(Refused {
            status: status_code,
            message: clean(message),
        }),
        ClientError::JsonDataError { .. } | ClientError::JsonSerdeError { .. } => {
            anyhow::Error::new(Unread(clean(error)))
        }
        other => anyhow::Error::new(other),
    }
}

impl Engine for Docker {
    fn observe(&mut self, labels: &[&str]) -> anyhow::Result<Lists> {
        self.look(labels).map_err(|error| self.with_versions(error))
    }

    fn containers(&mut self) -> anyhow::Result<Vec<Container>> {
        self.read(
            "list the containers",
            CONTAINERS,
            MAX_LIST_BYTES,
            answer::parse_containers,
        )
    }

    fn inspect_container(&mut self, id: &ContainerId) -> anyhow::Result<Option<Inspected>> {
        let what = format!("inspect container {id}");
        let path = format!("/containers/{}/json", part(id)?);
        self.found(&what, &path, |body| {
            let inspected = answer::parse_container(body)?;
            ensure!(
                inspected.id == *id,
                "the engine answered about container '{}'",
                clean(&inspected.id)
            );
            Ok(inspected)
        })
    }

    fn disk(&mut self) -> anyhow::Result<Disk> {
        let root = self.read(
            "ask where the data is",
            "/info",
            MAX_ANSWER_BYTES,
            answer::read_data_root,
        )?;
        disk::measure(&root).map_err(|error| anyhow!(clean(format_args!("{error:#}"))))
    }

    fn find_image(&mut self, name: &ImageName) -> anyhow::Result<Option<Image>> {
        let found = self.found_image(&format!("inspect image {name}"), name)?;
        Ok(found.map(|found| found.image))
    }

    fn tag(&mut self, image: &ImageId, name: &Reference) -> anyhow::Result<Answer> {
        let Some(tag) = name.tag() else {
            bail!("failed to tag {image} as {name}: that is a digest")
        };
        let what = format!("tag {} as {name}", image.short());
        let options = TagImageOptionsBuilder::default()
            .repo(&name.repository().in_full())
            .tag(tag)
            .build();
        let image = part(image)?;
        let asked = self.client.tag_image(&image, Some(options));
        self.calls.change(&what, asked, |()| Answer::Done)
    }

    fn create_pin(
        &mut self,
        name: &str,
        label: &PinLabel,
        image: &ImageId,
    ) -> anyhow::Result<Answer> {
        let what = format!("create container {name}");
        let Some(found) = self.found_image(&what, &ImageName::Id(image.clone()))? else {
            return Ok(Answer::Gone);
        };
        let options = CreateContainerOptionsBuilder::default()
            .name(&part(name)?)
            .build();
        let body = pin_body(label, image, found.volumes);
        let asked = self.client.create_container(Some(options), body);
        let asked = async { asked.await.map(drop) };
        self.calls.change(&what, asked, |()| Answer::Done)
    }

    fn remove_container(&mut self, id: &ContainerId) -> anyhow::Result<Answer> {
        let what = format!("remove container {id:.12}");
        let id = part(id)?;
        let asked = self
            .client
            .remove_container(&id, None::<RemoveContainerOptions>);
        self.calls.change(&what, asked, |()| Answer::Done)
    }

    fn remove_image(&mut self, name: &ImageName) -> anyhow::Result<Answer> {
        let what = format!("remove image {name}");
        // `noprune` spares untagged parents: they may be somebody else's (R10).
        let options = RemoveImageOptionsBuilder::default().noprune(true).build();
        let name = match name {
            ImageName::Reference(reference) => part(reference.in_full())?,
            ImageName::Id(id) => part(id)?,
        };
        let asked = self.client.remove_image(&name, Some(options), None);
        self.calls.change(&what, asked, |report| {
            if report.iter().any(|item| item.deleted.is_some()) {
                Answer::Deleted
            } else {
                Answer::Done
            }
        })
    }
}

/// By id it has to be that image; by tag, one that has the tag. A digest need not be listed as it
/// was asked for: Podman knows an image by the digest of its index, too.
fn check_is_asked_for(image: &Image, name: &ImageName) -> anyhow::Result<()> {
    let fits = match name {
        ImageName::Id(id) => image.id == *id,
        ImageName::Reference(reference) if reference.is_digest() => true,
        ImageName::Reference(reference) => image.references.contains(reference),
    };
    ensure!(fits, "the engine answered about image {}", clean(&image.id));
    Ok(())
}

/// A container that holds an image and does no more: no network, no restarts, and a program that no
/// image has, for whoever starts it; so that an image without a command can be held too. What the
/// image declares as a volume is a tmpfs here, which exists only while a container runs: no volume
/// is made that would have to be cleaned up.
fn pin_body(label: &PinLabel, image: &ImageId, volumes: Vec<String>) -> ContainerCreateBody {
    let mounts = mount_points(volumes).into_iter().map(|target| Mount {
        typ: Some(MountType::TMPFS),
        target: Some(target),
        ..Mount::default()
    });
    ContainerCreateBody {
        image: Some(image.to_string()),
        entrypoint: Some(vec!["tagkeeper-pin".to_owned()]),
        cmd: Some(Vec::new()),
        labels: Some(label.labels().collect()),
        network_disabled: Some(true),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            mounts: Some(mounts.collect()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// The paths of volumes, each once: for the engine `/data` and `/data/` are one place, and two
/// mounts in one are an error.
fn mount_points(volumes: Vec<String>) -> BTreeSet<String> {
    let normalised = |path: String| {
        let steps = path.split('/').filter(|step| !matches!(*step, "" | "."));
        steps.fold(String::new(), |path, step| path + "/" + step)
    };
    let paths = volumes.into_iter().map(normalised);
    paths.filter(|path| !path.is_empty()).gather()
}

/// What is part of a path: names and ids, which stand in one as they are. An engine's odd id might
/// say something else there.
fn part(name: impl Display) -> anyhow::Result<String> {
    let text = name.to_string();
    let stands_for_itself = |b: u8| b.is_ascii_alphanumeric() || b".:-_/@[]".contains(&b);
    let stays = |step: &str| !step.is_empty() && step != "..";
    if text.bytes().all(stands_for_itself) && text.split('/').all(stays) {
        Ok(text)
    } else {
        bail!(
            "'{}' cannot be asked for: it is neither an id nor a name",
            clean(text)
        )
    }
}

/// The engine understood, and refused.
#[derive(Debug)]
struct Refused {
    status: u16,
    /// Clean.
    message: String,
}

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, message } = self;
        write!(f, "the engine answered {status}: {message}")
    }
}

impl std::error::Error for Refused {}

/// The engine answered, and what it said is not understood, or not about what was asked. Why;
/// clean.
#[derive(Debug)]
struct Unread(String);

impl Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its answer cannot be read: {}", self.0)
    }
}

impl std::error::Error for Unread {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_mounted_over_once_each() {
        let volumes = [
            "/data",
            "/data/",
            "//data",
            "/var/./lib/",
            "/",
            "",
            "data/b",
        ];
        let points = mount_points(volumes.map(str::to_owned).to_vec());
        assert_eq!(
            points.into_iter().collect::<Vec<_>>(),
            ["/data", "/data/b", "/var/lib"]
        );
    }

    #[test]
    fn a_pin_bears_the_labels_of_its_workload_and_its_instance() {
        let label = PinLabel {
            workload: "app".to_owned(),
            instance: Some("i".to_owned()),
        };
        let body = pin_body(&label, &ImageId::new("sha256:aa"), Vec::new());
        let json = serde_json::to_value(&body).unwrap();
        assert_eq!(
            json["Labels"],
            serde_json::json!({"tagkeeper.pin": "app", "tagkeeper.instance": "i"})
        );
        assert_eq!(json["Image"], "sha256:aa");
        assert_eq!(json["HostConfig"]["NetworkMode"], "none");
    }

    #[test]
    fn versions_of_the_api_are_compared_as_numbers() {
        for (api, is_known) in [
            ("1.40", false),
            (OLDEST_API, true),
            ("1.45", true),
            (NEWEST_API, true),
            ("1.52", false),
            ("1.9", false),
            ("2.0", false),
            ("1", false),
            ("", false),
        ] {
            assert_eq!(is_known_api(api), is_known, "{api}");
        }
    }

    #[test]
    fn only_ids_and_names_stand_in_a_path() {
        let digest = format!("reg.example:5000/a_b/c--d@sha256:{}", "0".repeat(64));
        for name in ["sha256:aa", "k8s_app_1", "x:v1.2-3", digest.as_str()] {
            assert_eq!(part(name).unwrap(), name);
        }
        for odd in [
            "",
            "a?force=true",
            "a b",
            "a%2e",
            "a#b",
            "../images/x",
            "a/../b",
            "\u{e9}",
        ] {
            assert!(part(odd).is_err(), "{odd}");
        }
    }
}
