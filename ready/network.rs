//! `ready/tcp`: whether a port takes connections. And where `ready/http` connects to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use anyhow::{Context as _, Result, bail};

use crate::deadline;
use crate::engine::Engine;
use crate::options::{Options, Usage};
use crate::subject::Subject;

pub(crate) const USAGE: &str =
    "tcp [--host ADDRESS|container] [--socket PATH] [--timeout TIME] PORT";
pub(crate) const OPTIONS: &[&str] = &["host", "socket", "timeout"];

/// Content if the port takes a connection.
pub(crate) fn ask(subject: &Subject, options: &Options) -> Result<()> {
    let [port] = options.words.as_slice() else {
        bail!(Usage("one port is wanted".to_owned()));
    };
    connect(subject, options, port).map(drop)
}

/// Connects to the port: on loopback, at an address, or at the container's.
pub(crate) fn connect(
    subject: &Subject,
    options: &Options,
    port: &str,
) -> Result<(TcpStream, SocketAddr)> {
    let port = match port.parse() {
        Ok(port) if port > 0 => port,
        _ => bail!(Usage(format!("'{port}' is no port"))),
    };
    let address = match options.text("host") {
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some("container") => {
            let engine = Engine::at(options.text("socket"));
            engine.address_of(subject.container_id()?)?
        }
        // No names: to resolve one takes more than the hardened unit has, and may take long.
        Some(_) => options
            .value("host", "127.0.0.1, ::1 or container")?
            .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    };
    let peer = SocketAddr::new(address, port);
    deadline::doing(format!("connecting to {peer}"));
    let stream =
        TcpStream::connect(peer).with_context(|| format!("failed to connect to {peer}"))?;
    Ok((stream, peer))
}
