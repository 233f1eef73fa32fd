//! The engine over its unix socket, as far as `exec` and what a container's address and environment
//! need it; never anything that changes more than that. The calls are bollard's, over the transport
//! of a pass.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, EndpointSettings};
use bollard::query_parameters::InspectContainerOptions;
use tagkeeper::engine::Transport;
use tagkeeper::text::clean;

use crate::deadline;
use crate::subject::is_hex;

const SOCKET: &str = "/run/docker.sock";
/// How often a container may borrow its network from another: a pod's container does once.
const BORROWS: usize = 3;

/// The engine at a socket.
pub(crate) struct Engine<'a> {
    pub(crate) client: Docker,
    socket: &'a str,
}

impl<'a> Engine<'a> {
    pub(crate) fn at(socket: Option<&'a str>) -> Result<Self> {
        let socket = socket.unwrap_or(SOCKET);
        deadline::doing(format!("asking the engine at '{socket}'"));
        let client = Transport::new(Path::new(socket)).client();
        let client = client.context("failed to set up the connection to the engine")?;
        Ok(Self { client, socket })
    }

    /// What the engine answered, or why it did not, in its own words.
    pub(crate) fn answer<T>(&self, answer: Result<T, Error>) -> Result<T> {
        match answer {
            Ok(answer) => Ok(answer),
            Err(Error::DockerResponseServerError {
                status_code,
                message,
            }) => bail!("the engine answered {status_code}: {}", clean(message)),
            Err(error) => {
                let why = clean(format_args!("{:#}", anyhow::Error::new(error)));
                bail!("failed to ask the engine at '{}': {why}", self.socket)
            }
        }
    }

    /// The address that a container is reached at from the host: loopback, if it has the host's
    /// network.
    pub(crate) async fn address_of(&self, container: &str) -> Result<IpAddr> {
        let mut owner = container.to_owned();
        for _ in 0..=BORROWS {
            match network_of(self.inspect(&owner).await?)? {
                Network::Own(address) => return Ok(address),
                Network::Borrowed(other) => owner = other,
            }
        }
        bail!("the container's network belongs to no one within reach")
    }

    /// The environment that a container was created with, `NAME=value`.
    pub(crate) async fn environment_of(&self, container: &str) -> Result<Vec<String>> {
        let config = self.inspect(container).await?.config;
        Ok(config.and_then(|config| config.env).unwrap_or_default())
    }

    async fn inspect(&self, container: &str) -> Result<ContainerInspectResponse> {
        let asked = self
            .client
            .inspect_container(container, None::<InspectContainerOptions>);
        let seen = self.answer(asked.await)?;
        ensure!(
            seen.id.as_deref() == Some(container),
            "the engine answered about container '{}'",
            clean(seen.id.unwrap_or_default())
        );
        Ok(seen)
    }
}

/// Where a container's network comes from.
#[derive(Debug, PartialEq)]
enum Network {
    Own(IpAddr),
    /// From the container with this id: the way of pods.
    Borrowed(String),
}

fn network_of(seen: ContainerInspectResponse) -> Result<Network> {
    let mode = seen.host_config.and_then(|host| host.network_mode);
    let mode = mode.unwrap_or_default();
    if mode == "host" {
        return Ok(Network::Own(IpAddr::from([127, 0, 0, 1])));
    }
    if let Some(other) = mode.strip_prefix("container:") {
        ensure!(
            !other.is_empty() && is_hex(other),
            "the container's network is '{}', which names no id",
            clean(mode)
        );
        return Ok(Network::Borrowed(other.to_owned()));
    }
    let networks = seen.network_settings.and_then(|settings| settings.networks);
    first_address(networks.unwrap_or_default())
        .map(Network::Own)
        .with_context(|| {
            let mode = clean(mode);
            format!("the engine knows no address of the container (network '{mode}'): name one with --host")
        })
}

/// By the networks' names, so that the same one is taken each time.
fn first_address(networks: HashMap<String, EndpointSettings>) -> Option<IpAddr> {
    let mut networks: Vec<_> = networks.into_iter().collect();
    networks.sort_by(|(name, _), (other, _)| name.cmp(other));
    networks
        .into_iter()
        .flat_map(|(_, network)| [network.ip_address, network.global_ipv6_address])
        .find_map(|address| address?.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    #[test]
    fn a_container_is_reached_where_its_network_is() {
        let on = |mode: &str, networks: Value| {
            let seen = json!({
                "HostConfig": {"NetworkMode": mode}, "NetworkSettings": {"Networks": networks}
            });
            network_of(from_value(seen).unwrap())
        };
        let own = |address: &str| Network::Own(address.parse().unwrap());
        let bridge = json!({"bridge": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": ""}});
        assert_eq!(on("default", bridge).unwrap(), own("172.17.0.2"));
        let two = json!({"b": {"IPAddress": "10.0.0.2"}, "a": {"IPAddress": "10.1.0.2"}});
        assert_eq!(on("b", two).unwrap(), own("10.1.0.2"), "the first by name");
        let six = json!({"six": {"IPAddress": "", "GlobalIPv6Address": "fd00::2"}});
        assert_eq!(on("six", six).unwrap(), own("fd00::2"));
        assert_eq!(on("host", json!({})).unwrap(), own("127.0.0.1"));
        let pod = Network::Borrowed("a1b2".to_owned());
        assert_eq!(on("container:a1b2", json!({})).unwrap(), pod);
        for (mode, networks) in [
            ("none", json!({"none": {"IPAddress": ""}})),
            ("default", json!({"bridge": {"IPAddress": "../.."}})),
            ("default", Value::Null),
            ("container:../x", json!({})),
            ("container:", json!({})),
        ] {
            assert!(on(mode, networks.clone()).is_err(), "{mode} {networks}");
        }
    }
}
