//! The engine's API over its unix socket, as far as `exec` and a container's address need it; never anything that changes
//! more than that.
//!
//! Requests are HTTP/1.0: the answer ends where the connection does, and there is nothing to decode.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::deadline;
use crate::subject::is_hex;
use crate::text::tame;

const SOCKET: &str = "/run/docker.sock";
const HEAD_BYTES: u64 = 16 * 1024;
/// An inspection of a container with everything in it is some tens of kilobytes.
const BODY_BYTES: u64 = 1024 * 1024;
/// How often a container may borrow its network from another: a pod's container does once.
const BORROWS: usize = 3;

/// The engine at a socket.
pub(crate) struct Engine<'a> {
    socket: &'a str,
}

/// The status of an answer, and its body as it comes.
pub(crate) struct Answer {
    status: u16,
    pub(crate) body: BufReader<UnixStream>,
}

impl<'a> Engine<'a> {
    pub(crate) fn at(socket: Option<&'a str>) -> Self {
        let socket = socket.unwrap_or(SOCKET);
        deadline::doing(format!("asking the engine at '{socket}'"));
        Self { socket }
    }

    /// Asks, and answers what a success brings. Anything else is an error with the engine's words.
    pub(crate) fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer = self
            .exchange(method, path, &body)
            .with_context(|| format!("failed to ask the engine at '{}'", self.socket))?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        let status = answer.status;
        let words = read_body(answer).unwrap_or_default();
        let message: Option<Value> = serde_json::from_slice(&words).ok();
        let message = message.as_ref().and_then(|m| m.get("message")?.as_str());
        let words = message.map_or(words.as_slice(), str::as_bytes);
        bail!("the engine answered {status}: {}", tame(words));
    }

    /// Asks for a JSON value.
    pub(crate) fn json(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let bytes = read_body(self.request(method, path, body)?)?;
        serde_json::from_slice(&bytes).context("the engine's answer is not JSON")
    }

    fn exchange(&self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let mut stream = UnixStream::connect(self.socket)?;
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        let mut body = BufReader::new(stream);
        let status = read_head(&mut body)?;
        Ok(Answer { status, body })
    }

    /// The address that a container is reached at from the host: loopback, if it has the host's network.
    pub(crate) fn address_of(&self, container: &str) -> Result<IpAddr> {
        let mut owner = container.to_owned();
        for _ in 0..=BORROWS {
            let seen = self.json("GET", &format!("/containers/{owner}/json"), None)?;
            match network_of(&seen)? {
                Network::Own(address) => return Ok(address),
                Network::Borrowed(other) => owner = other,
            }
        }
        bail!("the container's network belongs to no one within reach")
    }
}

/// Where a container's network comes from.
#[derive(Debug, PartialEq)]
enum Network {
    Own(IpAddr),
    /// From the container with this id: the way of pods.
    Borrowed(String),
}

fn network_of(seen: &Value) -> Result<Network> {
    let mode = seen
        .pointer("/HostConfig/NetworkMode")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if mode == "host" {
        return Ok(Network::Own(IpAddr::from([127, 0, 0, 1])));
    }
    if let Some(other) = mode.strip_prefix("container:") {
        ensure!(
            !other.is_empty() && is_hex(other),
            "the container's network is '{}', which names no id",
            tame(mode.as_bytes())
        );
        return Ok(Network::Borrowed(other.to_owned()));
    }
    // By name, so that the same one is taken each time.
    let mut networks: Vec<_> = seen
        .pointer("/NetworkSettings/Networks")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .collect();
    networks.sort_by_key(|(name, _)| name.as_str());
    networks
        .iter()
        .flat_map(|(_, network)| ["IPAddress", "GlobalIPv6Address"].map(|key| network.get(key)))
        .find_map(|address| address?.as_str()?.parse().ok())
        .map(Network::Own)
        .with_context(|| {
            let mode = tame(mode.as_bytes());
            format!("the engine knows no address of the container (network '{mode}'): name one with --host")
        })
}

/// Reads the status line and passes over the headers.
pub(crate) fn read_head(reader: &mut impl BufRead) -> Result<u16> {
    let mut head = reader.take(HEAD_BYTES);
    let status = read_status(&mut head)?;
    loop {
        let mut line = Vec::new();
        head.read_until(b'\n', &mut line)?;
        match line.as_slice() {
            b"\r\n" | b"\n" => return Ok(status),
            line if line.ends_with(b"\n") => {}
            _ => bail!("an answer whose head has no end"),
        }
    }
}

/// Reads the first line of an HTTP answer: its status.
pub(crate) fn read_status(reader: &mut impl BufRead) -> Result<u16> {
    let mut line = Vec::new();
    reader.take(1024).read_until(b'\n', &mut line)?;
    let text = String::from_utf8_lossy(&line);
    let mut words = text.split_ascii_whitespace();
    let is_http = words.next().is_some_and(|word| word.starts_with("HTTP/1."));
    let status = words
        .next()
        .filter(|word| is_http && word.len() == 3)
        .and_then(|word| word.parse().ok())
        .filter(|status| (100..600).contains(status));
    match status {
        Some(status) if line.ends_with(b"\n") => Ok(status),
        _ => bail!("an answer that is not HTTP: '{}'", tame(&line)),
    }
}

fn read_body(answer: Answer) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    answer.body.take(BODY_BYTES).read_to_end(&mut bytes)?;
    ensure!(
        (bytes.len() as u64) < BODY_BYTES,
        "the engine's answer is longer than {BODY_BYTES} bytes"
    );
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_is_reached_where_its_network_is() {
        let on = |mode: &str, networks: Value| {
            network_of(
                &json!({"HostConfig": {"NetworkMode": mode}, "NetworkSettings": {"Networks": networks}}),
            )
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

    #[test]
    fn a_status_line_is_read_or_refused() {
        let read = |text: &str| read_status(&mut text.as_bytes());
        assert_eq!(read("HTTP/1.1 204 No Content\r\n").unwrap(), 204);
        assert_eq!(read("HTTP/1.0 503\r\n").unwrap(), 503);
        let endless = "HTTP/1.1 200 ".to_owned() + &"x".repeat(5000);
        for text in [
            "",
            "HTTP/1.1 200",
            "SSH-2.0-x\r\n",
            "HTTP/1.1 +20 OK\r\n",
            "HTTP/1.1 2000\r\n",
            &endless,
        ] {
            assert!(read(text).is_err(), "{text:.40}");
        }
        let unending = "HTTP/1.1 200 OK\r\n".to_owned() + &"x: y\r\n".repeat(20_000);
        assert!(read_head(&mut unending.as_bytes()).is_err());
    }
}
