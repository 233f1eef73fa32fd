//! `ready/exec`: whether a script inside the container is content, run through the engine.
//!
//! The engine runs it attached, so that the end of its output is the end of the wait, and its words can be said where it fails.

use std::io::{self, BufRead, Read};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::deadline;
use crate::engine::Engine;
use crate::options::{Options, Usage};
use crate::subject::{Subject, is_hex};
use crate::text::tame;

pub(crate) const USAGE: &str =
    "exec [--socket PATH] [--user USER] [--timeout TIME] COMMAND [ARGUMENT...]";
pub(crate) const OPTIONS: &[&str] = &["socket", "user", "timeout"];

/// How much of the script's last words is kept.
const KEPT_BYTES: usize = 2048;
/// Between the end of the output and the engine's knowing of the end of the script.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Content if the command ends with 0 in the container.
pub(crate) fn ask(subject: &Subject, options: &Options) -> Result<()> {
    let Some(program) = options.words.first() else {
        bail!(Usage("no command to run in the container".to_owned()));
    };
    let container = subject.container_id()?;
    let engine = Engine::at(options.text("socket"));
    let mut create = json!({"Cmd": options.words, "AttachStdout": true, "AttachStderr": true});
    if let Some(user) = options.text("user") {
        create["User"] = json!(user);
    }
    let created = engine.json(
        "POST",
        &format!("/containers/{container}/exec"),
        Some(&create),
    )?;
    let id = created
        .get("Id")
        .and_then(Value::as_str)
        .unwrap_or_default();
    ensure!(
        !id.is_empty() && is_hex(id),
        "the engine gave the command no id"
    );

    deadline::doing(format!("running '{program}' in the container"));
    let start = json!({"Detach": false, "Tty": false});
    let mut answer = engine.request("POST", &format!("/exec/{id}/start"), Some(&start))?;
    let words = last_words(&mut answer.body).context("the engine broke off")?;
    let code = loop {
        let seen = engine.json("GET", &format!("/exec/{id}/json"), None)?;
        if seen.get("Running").and_then(Value::as_bool) == Some(false) {
            break seen.get("ExitCode").and_then(Value::as_i64);
        }
        std::thread::sleep(LOOK_AGAIN);
    };
    match code {
        Some(0) => Ok(()),
        Some(code) => bail!("'{program}' ended with {code}: {}", tame(&words)),
        None => bail!("the engine does not know how '{program}' ended"),
    }
}

/// Reads the output to its end and keeps the last of it. It comes in frames: which stream, three zeros, a length.
fn last_words(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut words = Vec::new();
    while !reader.fill_buf()?.is_empty() {
        let mut head = [0; 8];
        reader.read_exact(&mut head)?;
        let [stream, 0, 0, 0, length @ ..] = head else {
            return Err(io::Error::other("output that is in no frame"));
        };
        if stream > 2 {
            return Err(io::Error::other("output of no stream"));
        }
        let mut left = u64::from(u32::from_be_bytes(length));
        while left > 0 {
            // Piece by piece: a frame may say that it holds 4 GiB.
            let piece = left.min(KEPT_BYTES as u64);
            let read = reader.by_ref().take(piece).read_to_end(&mut words)? as u64;
            if read < piece {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= read;
            words.drain(..words.len().saturating_sub(KEPT_BYTES));
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, text: &[u8]) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&[stream, 0, 0, 0], length.as_slice(), text].concat()
    }

    #[test]
    fn the_last_words_of_both_streams_are_kept() {
        let output = [frame(1, b"one "), frame(2, b"two"), frame(1, b"")].concat();
        assert_eq!(last_words(&mut output.as_slice()).unwrap(), b"one two");
        let flood = [frame(1, &vec![b'x'; 100_000]), frame(2, b"the end")].concat();
        let words = last_words(&mut flood.as_slice()).unwrap();
        assert_eq!(words.len(), KEPT_BYTES);
        assert!(words.ends_with(b"xthe end"));
    }

    #[test]
    fn output_in_no_frame_or_cut_off_is_an_error() {
        let mut cut = frame(1, b"words");
        cut.pop();
        for output in [
            cut.as_slice(),
            b"\x01\0\0",
            b"\x03\0\0\0\0\0\0\0",
            b"plain text, no frame",
        ] {
            assert!(last_words(&mut &*output).is_err(), "{output:?}");
        }
    }
}
