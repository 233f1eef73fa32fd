//! `ready/http`: whether a path answers with success.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, bail, ensure};
use hyper::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Uri};
use tagkeeper::engine::answer_over;
use tokio::net::TcpStream;

use crate::deadline;
use crate::engine::Engine;
use crate::options::{Options, Usage};
use crate::subject::Subject;
use crate::wait_for;

pub(crate) const USAGE: &str =
    "http [--host ADDRESS|container] [--socket PATH] [--timeout TIME] PORT [PATH]";
pub(crate) const OPTIONS: &[&str] = &["host", "socket", "timeout"];

/// Content if `GET` of the path is answered with 200 to 299. Nothing is followed, and no more than
/// the headers is read.
pub(crate) fn ask(subject: &Subject, options: &Options) -> Result<()> {
    wait_for(get(subject, options))
}

async fn get(subject: &Subject, options: &Options) -> Result<()> {
    let (port, path) = match options.words.as_slice() {
        [port] => (port, "/"),
        [port, path] => (port, path.as_str()),
        _ => bail!(Usage("a port and a path are wanted".to_owned())),
    };
    let is_path = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_path || path.parse::<Uri>().is_err() {
        bail!(Usage(format!("'{path}' is no path such as /ready")));
    }
    let port = match port.parse() {
        Ok(port) if port > 0 => port,
        _ => bail!(Usage(format!("'{port}' is no port"))),
    };
    let peer = SocketAddr::new(address(subject, options).await?, port);
    deadline::doing(format!("connecting to {peer}"));
    let stream = TcpStream::connect(peer)
        .await
        .with_context(|| format!("failed to connect to {peer}"))?;

    let what = format!("GET http://{peer}{path}");
    deadline::doing(what.clone());
    let status = status_of(stream, peer, path)
        .await
        .with_context(|| what.clone())?;
    ensure!((200..300).contains(&status), "{what}: it answered {status}");
    Ok(())
}

/// Loopback, an address as it was typed, or the container's.
async fn address(subject: &Subject, options: &Options) -> Result<IpAddr> {
    match options.text("host") {
        None => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        Some("container") => {
            let engine = Engine::at(options.text("socket"))?;
            engine.address_of(subject.container_id()?).await
        }
        // No names: to resolve one takes more than the hardened unit has, and may take long.
        Some(_) => Ok(options
            .value("host", "127.0.0.1, ::1 or container")?
            .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))),
    }
}

async fn status_of(stream: TcpStream, peer: SocketAddr, path: &str) -> Result<u16> {
    let request = Request::get(path)
        .header(HOST, peer.to_string())
        .header(USER_AGENT, "tagkeeper-ready")
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(String::new())?;
    Ok(answer_over(stream, request).await?.status().as_u16())
}
