//! The API of Docker over its unix socket, and Podman's compatible one: which request asks what, and what its status means.
//!
//! Every call is in a deadline of its own, its body included, and in the deadline of the pass. The paths bear no version, so
//! that each engine speaks its own. `transport` carries a request, `answer` makes plain `world` data of what comes back;
//! what cannot be understood is an error and never a guess.

use std::fmt::{self, Display};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::Sleep;

use crate::image::{ImageId, Reference};
use crate::world::{Container, ContainerId, Disk, Image, World};

use super::answer::{self, EngineVersion};
use super::transport::{Reply, Transport};
use super::{Answer, Engine, ImageName, Inspected, PassOver, access, disk};

/// The versions of Docker's API that this is tested with, by docs/compatibility.md: Docker 20.10 to 28, Podman 4.3 to 5.
const OLDEST_API: &str = "1.41";
const NEWEST_API: &str = "1.51";

/// The label of pins; its value is the workload.
const PIN_LABEL: &str = "tagkeeper.pin";

/// An engine behind a unix socket.
pub struct Docker {
    transport: Transport,
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
            transport: Transport::new(socket),
            socket: path.to_owned(),
            call_timeout,
            pass_deadline,
            runtime,
        })
    }

    /// Runs one call to its end, the body included, or to a deadline.
    fn call(
        &mut self,
        what: &str,
        method: Method,
        path: &str,
        body: String,
    ) -> anyhow::Result<Reply> {
        let pass_deadline = &mut self.pass_deadline;
        let transport = &mut self.transport;
        let bounded = async {
            let mut request = std::pin::pin!(transport.ask(method, path, body));
            std::future::poll_fn(|context| {
                if pass_deadline.as_mut().poll(context).is_ready() {
                    return Poll::Ready(None);
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
            Ok(Some(reply)) => reply
                .map_err(|error| access::explain(error, &self.socket))
                .with_context(|| self.failed_to(what)),
            Ok(None) => Err(anyhow::Error::new(PassOver).context(format!("failed to {what}"))),
            Err(_) => Err(anyhow!(
                "failed to {what}: the engine at '{}' did not answer within {}; it hangs, or is busier than [engine] timeout allows for",
                self.socket,
                humantime::format_duration(call_timeout)
            )),
        }
    }

    /// Reads what has to be there.
    fn read<T>(
        &mut self,
        what: &str,
        path: &str,
        parse: impl FnOnce(&[u8]) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let reply = self.call(what, Method::GET, path, String::new())?;
        if reply.status.is_success() {
            parse(&reply.body)
                .context(Unread)
                .with_context(|| self.failed_to(what))
        } else {
            Err(Refused::from(reply)).with_context(|| self.failed_to(what))
        }
    }

    /// Reads what may not be there.
    fn find<T>(
        &mut self,
        what: &str,
        path: &str,
        parse: impl FnOnce(&[u8]) -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        let found = self.read(what, path, parse).map(Some);
        found.or_else(|error| match error.downcast_ref() {
            Some(Refused { status, .. }) if *status == StatusCode::NOT_FOUND => Ok(None),
            _ => Err(error),
        })
    }

    /// Changes something. `understood` reads what the engine says when it is done.
    fn change(
        &mut self,
        what: &str,
        method: Method,
        path: &str,
        understood: impl FnOnce(&[u8]) -> Answer,
    ) -> anyhow::Result<Answer> {
        let reply = self.call(what, method, path, String::new())?;
        self.answered(what, reply, understood)
    }

    fn answered(
        &self,
        what: &str,
        reply: Reply,
        understood: impl FnOnce(&[u8]) -> Answer,
    ) -> anyhow::Result<Answer> {
        match reply.status {
            status if status.is_success() => Ok(understood(&reply.body)),
            StatusCode::NOT_FOUND => Ok(Answer::Gone),
            StatusCode::CONFLICT => Ok(Answer::InUse(Refused::from(reply).message)),
            _ => Err(Refused::from(reply)).with_context(|| self.failed_to(what)),
        }
    }

    fn look(&mut self) -> anyhow::Result<World> {
        let path = "/images/json?all=true";
        let images = self.read("list the images", path, answer::parse_images)?;
        Ok(World {
            images,
            containers: self.containers()?,
            ..World::default()
        })
    }

    /// An engine that answers, and not what is understood, may be older or newer than what is known here: both are named.
    fn with_versions(&mut self, error: anyhow::Error) -> anyhow::Error {
        let refused = error.downcast_ref::<Refused>();
        let odd = refused.map_or(error.is::<Unread>(), |r| r.status.is_client_error());
        if !odd {
            return error;
        }
        let known = format!("tagkeeper is made for the API from {OLDEST_API} to {NEWEST_API}");
        match self.read("ask for the version", "/version", answer::parse_version) {
            Ok(EngineVersion { version, api }) => error.context(format!(
                "{known}, and this engine is version {version} with API {api}"
            )),
            Err(_) => error.context(format!(
                "{known}, and this engine does not tell its version"
            )),
        }
    }

    fn failed_to(&self, what: &str) -> String {
        format!("failed to {what} at '{}'", self.socket)
    }
}

impl Engine for Docker {
    fn observe(&mut self) -> anyhow::Result<World> {
        self.look().map_err(|error| self.with_versions(error))
    }

    fn containers(&mut self) -> anyhow::Result<Vec<Container>> {
        let path = "/containers/json?all=true";
        self.read("list the containers", path, answer::parse_containers)
    }

    fn inspect_container(&mut self, id: &ContainerId) -> anyhow::Result<Option<Inspected>> {
        let path = format!("/containers/{}/json", part(id)?);
        let what = format!("inspect container {id}");
        self.find(&what, &path, answer::parse_container)
    }

    fn disk(&mut self) -> anyhow::Result<Disk> {
        let root = self.read("ask where the data is", "/info", answer::parse_data_root)?;
        disk::measure(&root)
    }

    fn find_image(&mut self, name: &ImageName) -> anyhow::Result<Option<Image>> {
        let path = format!("/images/{}/json", part(name)?);
        self.find(&format!("inspect image {name}"), &path, answer::parse_image)
    }

    fn tag(&mut self, image: &ImageId, name: &Reference) -> anyhow::Result<Answer> {
        let Some(tag) = name.tag() else {
            bail!("failed to tag {image} as {name}: that is a digest")
        };
        let repository = part(name.repository())?;
        let path = format!("/images/{}/tag?repo={repository}&tag={tag}", part(image)?);
        let what = format!("tag {} as {name}", image.short());
        self.change(&what, Method::POST, &path, |_| Answer::Done)
    }

    fn create_pin(
        &mut self,
        name: &str,
        workload: &str,
        image: &ImageId,
    ) -> anyhow::Result<Answer> {
        let what = format!("create container {name}");
        let path = format!("/images/{}/json", part(image)?);
        let Some(volumes) = self.find(&what, &path, answer::parse_volumes)? else {
            return Ok(Answer::Gone);
        };
        let path = format!("/containers/create?name={}", part(name)?);
        let body = pin_body(workload, image, &volumes).to_string();
        let reply = self.call(&what, Method::POST, &path, body)?;
        self.answered(&what, reply, |_| Answer::Done)
    }

    fn remove_container(&mut self, id: &ContainerId) -> anyhow::Result<Answer> {
        let path = format!("/containers/{}", part(id)?);
        let what = format!("remove container {id}");
        self.change(&what, Method::DELETE, &path, |_| Answer::Done)
    }

    fn remove_image(&mut self, name: &ImageName) -> anyhow::Result<Answer> {
        // `noprune` spares untagged parents: they may be somebody else's (R10).
        let path = format!("/images/{}?noprune=true", part(name)?);
        let what = format!("remove image {name}");
        self.change(&what, Method::DELETE, &path, answer::parse_removal)
    }
}

/// A container that holds an image and does no more: no network, no restarts, and a program that no image has, for whoever
/// starts it; so that an image without a command can be held too. What the image declares as a volume is a tmpfs here, which
/// exists only while a container runs: no volume is made that would have to be cleaned up.
fn pin_body(workload: &str, image: &ImageId, volumes: &[String]) -> Value {
    let mounts: Vec<Value> = volumes
        .iter()
        .map(|target| json!({"Type": "tmpfs", "Target": target}))
        .collect();
    json!({
        "Image": image,
        "Entrypoint": ["tagkeeper-pin"],
        "Cmd": [],
        "Labels": {PIN_LABEL: workload},
        "NetworkDisabled": true,
        "HostConfig": {"NetworkMode": "none", "RestartPolicy": {"Name": "no"}, "Mounts": mounts},
    })
}

/// What is part of a path: names and ids, which stand in one as they are. An engine's odd id might say something else there.
fn part(name: impl Display) -> anyhow::Result<String> {
    let text = name.to_string();
    let stands_for_itself = |b: u8| b.is_ascii_alphanumeric() || b".:-_/@".contains(&b);
    let stays = |step: &str| !step.is_empty() && step != "..";
    if text.bytes().all(stands_for_itself) && text.split('/').all(stays) {
        Ok(text)
    } else {
        bail!("'{text}' cannot be asked for: it is neither an id nor a name")
    }
}

/// The engine understood, and refused.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    message: String,
}

impl From<Reply> for Refused {
    fn from(reply: Reply) -> Self {
        Self {
            status: reply.status,
            message: answer::parse_refusal(&reply.body),
        }
    }
}

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, message } = self;
        write!(f, "the engine answered {}: {message}", status.as_u16())
    }
}

impl std::error::Error for Refused {}

/// The engine answered, and what it said is not understood.
#[derive(Debug)]
struct Unread;

impl Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its answer cannot be read")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
