//! `ready/http`: whether a path answers with success.

use std::io::{BufReader, Write};

use anyhow::{Context as _, Result, bail, ensure};

use crate::deadline;
use crate::engine::read_status;
use crate::network;
use crate::options::{Options, Usage};
use crate::subject::Subject;

pub(crate) const USAGE: &str =
    "http [--host ADDRESS|container] [--socket PATH] [--timeout TIME] PORT [PATH]";

/// Content if `GET` of the path is answered with 200 to 299. Nothing is followed, and no more than the status is read.
pub(crate) fn ask(subject: &Subject, options: &Options) -> Result<()> {
    let (port, path) = match options.words.as_slice() {
        [port] => (port, "/"),
        [port, path] => (port, path.as_str()),
        _ => bail!(Usage("a port and a path are wanted".to_owned())),
    };
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!(Usage(format!("'{path}' is no path such as /ready")));
    }
    let (mut stream, peer) = network::connect(subject, options, port)?;
    let what = format!("GET http://{peer}{path}");
    deadline::doing(what.clone());
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {peer}\r\nUser-Agent: tagkeeper-ready\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .with_context(|| what.clone())?;
    let status = read_status(&mut BufReader::new(stream)).with_context(|| what.clone())?;
    ensure!((200..300).contains(&status), "{what}: it answered {status}");
    Ok(())
}
