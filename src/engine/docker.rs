//! Docker's API over its unix socket, and Podman's compatible one: the only file that knows bollard.
//!
//! Every call is wrapped in a deadline of its own, because bollard's covers headers only and a stalled body would hang
//! for ever (design section 8), and in the deadline of the pass. `answer` makes plain `world` data of what comes back;
//! what cannot be understood is an error and never a guess.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerSummary, ImageInspect, ImageSummary};
use bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptions, ListImagesOptions, RemoveContainerOptions,
    RemoveImageOptions, TagImageOptions,
};
use bollard::{API_DEFAULT_VERSION, BollardRequest};
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use tokio::time::Sleep;

use crate::image::{ImageId, Reference};
use crate::world::{Container, ContainerId, Image, World};

use super::answer::{Found, FoundHealth, FoundState, Listed, image};
use super::transport::Transport;
use super::{Answer, Engine, ImageName, Inspected, PassOver};

/// bollard's own timeout in seconds: longer than any of ours, so that ours is the one that ends a call.
const BOLLARD_TIMEOUT_SECS: u64 = 24 * 60 * 60;
/// What bollard puts before each path; the transport, which knows the socket, takes it off again.
const BASE_URL: &str = "http://localhost";

/// An engine behind a unix socket.
pub struct Docker {
    client: bollard::Docker,
    socket: String,
    call_timeout: Duration,
    pass_deadline: Pin<Box<Sleep>>,
    runtime: Runtime,
}

impl Docker {
    /// Prepares the connection; the engine is not asked anything yet.
    ///
    /// # Errors
    /// When the socket's path is not UTF-8, or the host is short of something.
    pub fn connect(
        socket: &Path,
        call_timeout: Duration,
        pass_deadline: Duration,
    ) -> anyhow::Result<Self> {
        let path = socket
            .to_str()
            .with_context(|| format!("the socket path '{}' is not UTF-8", socket.display()))?;
        let transport = Arc::new(Transport::new(socket));
        let client = bollard::Docker::connect_with_custom_transport(
            move |request: BollardRequest| {
                let transport = Arc::clone(&transport);
                async move { Ok(transport.send(request).await?) }
            },
            Some(BASE_URL),
            BOLLARD_TIMEOUT_SECS,
            API_DEFAULT_VERSION,
        )
        .context("failed to set up the client of the engine")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .context("failed to set up the connection to the engine")?;
        let pass_deadline = {
            let _inside = runtime.enter();
            Box::pin(tokio::time::sleep(pass_deadline))
        };
        Ok(Self {
            client,
            socket: path.to_owned(),
            call_timeout,
            pass_deadline,
            runtime,
        })
    }

    /// Runs one call to its end, the body included, or to a deadline.
    fn call<T, F>(
        &mut self,
        what: &str,
        request: impl FnOnce(bollard::Docker) -> F,
    ) -> anyhow::Result<Result<T, Error>>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let request = request(self.client.clone());
        let pass_deadline = &mut self.pass_deadline;
        let bounded = async move {
            let mut request = std::pin::pin!(request);
            std::future::poll_fn(move |context| {
                if pass_deadline.as_mut().poll(context).is_ready() {
                    return std::task::Poll::Ready(None);
                }
                request.as_mut().poll(context).map(Some)
            })
            .await
        };
        let call_timeout = self.call_timeout;
        match self
            .runtime
            .block_on(async { tokio::time::timeout(call_timeout, bounded).await })
        {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(anyhow::Error::new(PassOver).context(format!("failed to {what}"))),
            Err(_) => Err(anyhow!(
                "failed to {what}: the engine at '{}' did not answer within {}",
                self.socket,
                humantime::format_duration(call_timeout)
            )),
        }
    }

    /// A call whose every failure is an error.
    fn ask<T, F>(
        &mut self,
        what: &str,
        request: impl FnOnce(bollard::Docker) -> F,
    ) -> anyhow::Result<T>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let answer = self.call(what, request)?;
        answer
            .map_err(|error| explain(error, &self.socket))
            .with_context(|| self.failed_to(what))
    }

    /// A call that may find nothing.
    fn find<T, F>(
        &mut self,
        what: &str,
        request: impl FnOnce(bollard::Docker) -> F,
    ) -> anyhow::Result<Option<T>>
    where
        F: Future<Output = Result<T, Error>>,
    {
        match self.call(what, request)? {
            Ok(found) => Ok(Some(found)),
            Err(Error::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(None),
            Err(error) => Err(explain(error, &self.socket)).with_context(|| self.failed_to(what)),
        }
    }

    /// A call that changes something.
    fn change<T, F>(
        &mut self,
        what: &str,
        request: impl FnOnce(bollard::Docker) -> F,
        understood: impl FnOnce(T) -> Answer,
    ) -> anyhow::Result<Answer>
    where
        F: Future<Output = Result<T, Error>>,
    {
        match self.call(what, request)? {
            Ok(done) => Ok(understood(done)),
            Err(Error::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(Answer::Gone),
            Err(Error::DockerResponseServerError {
                status_code: 409,
                message,
            }) => Ok(Answer::InUse(message)),
            Err(error) => Err(explain(error, &self.socket)).with_context(|| self.failed_to(what)),
        }
    }

    fn failed_to(&self, what: &str) -> String {
        format!("failed to {what} at '{}'", self.socket)
    }

    fn images(&mut self) -> anyhow::Result<Vec<Image>> {
        let listed = self.ask("list the images", |client| async move {
            client
                .list_images(Some(ListImagesOptions {
                    all: true,
                    ..Default::default()
                }))
                .await
        })?;
        Ok(listed.into_iter().map(listed_image).collect())
    }

    /// bollard may speak a newer version than the engine (its issue 736). An engine that says so is asked for its own,
    /// once; the others are spared the round trip.
    fn negotiate_if_refused(&mut self) -> anyhow::Result<()> {
        let probe = self.call("ask for the engine's version", |client| async move {
            client.ping().await
        })?;
        if let Err(Error::DockerResponseServerError {
            status_code: 400, ..
        }) = probe
        {
            self.client = self.ask("agree on a version", bollard::Docker::negotiate_version)?;
        }
        Ok(())
    }
}

impl Engine for Docker {
    fn observe(&mut self) -> anyhow::Result<World> {
        let images = match self.images() {
            Ok(images) => images,
            Err(error) if is_version_refusal(&error) => {
                self.negotiate_if_refused()?;
                self.images()?
            }
            Err(error) => return Err(error),
        };
        Ok(World {
            images,
            containers: self.containers()?,
            ..World::default()
        })
    }

    fn containers(&mut self) -> anyhow::Result<Vec<Container>> {
        let listed: Vec<Listed> = self.ask("list the containers", |client| async move {
            let options = ListContainersOptions {
                all: true,
                ..Default::default()
            };
            let asked = client.list_containers(Some(options));
            asked.await.map(listed).or_else(read_again)
        })?;
        listed
            .into_iter()
            .map(Container::try_from)
            .collect::<anyhow::Result<_>>()
            .with_context(|| self.failed_to("list the containers"))
    }

    fn inspect_container(&mut self, id: &ContainerId) -> anyhow::Result<Option<Inspected>> {
        let what = format!("inspect container {id}");
        let id = id.to_string();
        let found: Option<Found> = self.find(&what, |client| async move {
            let asked = client.inspect_container(&id, None::<InspectContainerOptions>);
            asked.await.map(Found::from).or_else(read_again)
        })?;
        found
            .map(Inspected::try_from)
            .transpose()
            .with_context(|| self.failed_to(&what))
    }

    fn find_image(&mut self, name: &ImageName) -> anyhow::Result<Option<Image>> {
        let what = format!("inspect image {name}");
        let text = name.to_string();
        let found = self.find(
            &what,
            |client| async move { client.inspect_image(&text).await },
        )?;
        found
            .map(inspected_image)
            .transpose()
            .with_context(|| self.failed_to(&what))
    }

    fn tag(&mut self, image: &ImageId, name: &Reference) -> anyhow::Result<Answer> {
        let Some(tag) = name.tag() else {
            bail!("failed to tag {image} as {name}: that is a digest")
        };
        let options = TagImageOptions {
            repo: Some(name.repository().to_string()),
            tag: Some(tag.to_owned()),
        };
        self.change(
            &format!("tag {} as {name}", image.short()),
            |client| async move { client.tag_image(&image.to_string(), Some(options)).await },
            |()| Answer::Done,
        )
    }

    fn remove_container(&mut self, id: &ContainerId) -> anyhow::Result<Answer> {
        self.change(
            &format!("remove container {id}"),
            |client| async move {
                client
                    .remove_container(&id.to_string(), None::<RemoveContainerOptions>)
                    .await
            },
            |()| Answer::Done,
        )
    }

    fn remove_image(&mut self, name: &ImageName) -> anyhow::Result<Answer> {
        let text = name.to_string();
        // `noprune` spares untagged parents: they may be somebody else's (R10).
        let options = RemoveImageOptions {
            noprune: true,
            ..Default::default()
        };
        self.change(
            &format!("remove image {name}"),
            |client| async move { client.remove_image(&text, Some(options), None).await },
            |report| {
                if report.iter().any(|item| item.deleted.is_some()) {
                    Answer::Deleted
                } else {
                    Answer::Done
                }
            },
        )
    }
}

/// An engine older than the client refuses by 400 and says so.
fn is_version_refusal(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<Error>(),
        Some(Error::DockerResponseServerError { status_code: 400, message }) if message.contains("version")
    )
}

/// Puts the mend next to the failures that an operator can mend. `error` stays in the chain.
fn explain(error: Error, socket: &str) -> anyhow::Error {
    let io_kind = io_error_kind(&error);
    let error = anyhow::Error::new(error);
    match io_kind {
        Some(std::io::ErrorKind::PermissionDenied) => error.context(format!(
            "no permission for '{socket}': run as root or as a member of the group that owns the socket (often 'docker')"
        )),
        Some(std::io::ErrorKind::ConnectionRefused) => error.context(format!("nothing listens on '{socket}': is the engine running?")),
        Some(std::io::ErrorKind::NotFound) => error.context(format!("there is no socket '{socket}': is the engine running?")),
        _ => error,
    }
}

fn io_error_kind(error: &Error) -> Option<std::io::ErrorKind> {
    // The transport's own errors; bollard prints these as they are, and is no link of their chain.
    if let Error::IOError { err } = error
        && err.kind() != std::io::ErrorKind::Other
    {
        return Some(err.kind());
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}

/// bollard reads a whole answer or nothing of it: one container in a state that it has no word for (Podman's `stopped`)
/// fails the list of all of them, for as long as that container exists. Such an answer is whole all the same, and bollard
/// hands it over (its feature `json_data_content`): it is read once more, for what decisions need alone. What cannot be
/// read that way either stays the failure that it was.
fn read_again<T: DeserializeOwned>(error: Error) -> Result<T, Error> {
    let Error::JsonDataError { contents, .. } = &error else {
        return Err(error);
    };
    // bollard puts this character where the answer was not UTF-8; then it may be anywhere, in an id for one.
    if contents.contains(char::REPLACEMENT_CHARACTER) {
        return Err(error);
    }
    serde_json::from_str(contents).map_err(|_| error)
}

/// Reads the bodies of the two lists: what [`Engine::observe`] makes of them.
///
/// # Errors
/// When one of them is no such list, or lacks what a container cannot be without.
pub fn parse_lists(images: &[u8], containers: &[u8]) -> anyhow::Result<World> {
    let images: Vec<ImageSummary> = serde_json::from_slice(images)?;
    let containers: Vec<Listed> = parse(containers, listed)?;
    Ok(World {
        images: images.into_iter().map(listed_image).collect(),
        containers: containers
            .into_iter()
            .map(Container::try_from)
            .collect::<anyhow::Result<_>>()?,
        ..World::default()
    })
}

/// Reads the body of a container's inspect.
///
/// # Errors
/// When it is none, or does not say what the decision needs.
pub fn parse_container(body: &[u8]) -> anyhow::Result<Inspected> {
    parse(body, |response: ContainerInspectResponse| {
        Found::from(response)
    })?
    .try_into()
}

/// Reads the body of an image's inspect.
///
/// # Errors
/// When it is none, or has no id.
pub fn parse_image(body: &[u8]) -> anyhow::Result<Image> {
    inspected_image(serde_json::from_slice(body)?)
}

/// Reads a body as the calls do: by bollard's model, or else again.
fn parse<M: DeserializeOwned, T: DeserializeOwned>(
    body: &[u8],
    convert: impl FnOnce(M) -> T,
) -> anyhow::Result<T> {
    Ok(serde_json::from_slice(body).map(convert).or_else(|error| {
        read_again(Error::JsonDataError {
            message: error.to_string(),
            column: error.column(),
            contents: String::from_utf8_lossy(body).into_owned(),
        })
    })?)
}

fn listed_image(summary: ImageSummary) -> Image {
    let (tags, digests) = (&summary.repo_tags, &summary.repo_digests);
    image(summary.id, tags, digests, summary.size)
}

fn inspected_image(found: ImageInspect) -> anyhow::Result<Image> {
    let id = found.id.context("the answer has no id")?;
    let tags = found.repo_tags.unwrap_or_default();
    let digests = found.repo_digests.unwrap_or_default();
    Ok(image(id, &tags, &digests, found.size.unwrap_or_default()))
}

fn listed(summaries: Vec<ContainerSummary>) -> Vec<Listed> {
    summaries.into_iter().map(Listed::from).collect()
}

impl From<ContainerSummary> for Listed {
    fn from(summary: ContainerSummary) -> Self {
        Self {
            id: summary.id,
            names: summary.names,
            image: summary.image,
            image_id: summary.image_id,
            state: summary.state.map(|state| state.to_string()),
            created: summary.created,
        }
    }
}

impl From<ContainerInspectResponse> for Found {
    fn from(response: ContainerInspectResponse) -> Self {
        let state = response.state.map(|state| FoundState {
            status: state.status.map(|status| status.to_string()),
            started_at: state.started_at,
            finished_at: state.finished_at,
            exit_code: state.exit_code,
            health: state.health.map(|health| FoundHealth {
                status: health.status.map(|status| status.to_string()),
            }),
        });
        Self {
            id: response.id,
            image: response.image,
            state,
        }
    }
}
