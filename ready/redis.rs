//! Some fields of one hash of a Redis server, over its unix socket: as little of the protocol (RESP2) as that takes.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, Result, bail, ensure};

use crate::text::tame;

/// No field that is asked for here is longer; a longer one is not what it should be.
const FIELD_BYTES: usize = 256;
/// A line of the protocol: a length, or an error for people.
const LINE_BYTES: u64 = 1024;

/// `HMGET key fields...` in database `db`; none for a field that is not there.
pub(crate) fn read_fields<const N: usize>(
    socket: &str,
    db: u32,
    key: &str,
    fields: [&str; N],
) -> Result<[Option<String>; N]> {
    let failed = || format!("failed to ask the Redis server at '{socket}'");
    let stream = UnixStream::connect(socket).with_context(failed)?;
    let db = db.to_string();
    let mut hmget = vec!["HMGET", key];
    hmget.extend(fields);
    let mut request = encode(&["SELECT", &db]);
    request.extend(encode(&hmget));
    (&stream).write_all(&request).with_context(failed)?;
    parse_answer(&mut BufReader::new(&stream)).with_context(failed)
}

/// A request: an array of strings, each with its length, so that no name can end one early.
fn encode(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
    }
    bytes
}

/// The answers to `SELECT` and to `HMGET`.
fn parse_answer<const N: usize>(reader: &mut impl BufRead) -> Result<[Option<String>; N]> {
    let selected = read_line(reader)?;
    ensure!(
        selected == "+OK",
        "it answered '{}'",
        tame(selected.as_bytes())
    );
    let count = read_line(reader)?;
    ensure!(
        count == format!("*{N}"),
        "it answered '{}'",
        tame(count.as_bytes())
    );
    let mut fields = [const { None }; N];
    for field in &mut fields {
        *field = read_field(reader)?;
    }
    Ok(fields)
}

fn read_field(reader: &mut impl BufRead) -> Result<Option<String>> {
    let line = read_line(reader)?;
    if line == "$-1" {
        return Ok(None);
    }
    let Some(length) = line.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()) else {
        bail!("it answered '{}'", tame(line.as_bytes()));
    };
    ensure!(length <= FIELD_BYTES, "a field of {length} bytes");
    let mut bytes = vec![0; length + 2];
    reader
        .read_exact(&mut bytes)
        .context("a field was cut off")?;
    ensure!(bytes.ends_with(b"\r\n"), "a field has no end");
    bytes.truncate(length);
    let text = String::from_utf8(bytes).context("a field is not text")?;
    Ok(Some(text))
}

fn read_line(reader: &mut impl BufRead) -> Result<String> {
    let mut bytes = Vec::new();
    reader
        .by_ref()
        .take(LINE_BYTES)
        .read_until(b'\n', &mut bytes)?;
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        bail!("an answer of {} bytes without an end", bytes.len());
    };
    String::from_utf8(line.to_vec()).context("an answer that is not text")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(answer: &str) -> Result<[Option<String>; 2]> {
        parse_answer(&mut answer.as_bytes())
    }

    #[test]
    fn a_request_cannot_be_ended_by_a_name() {
        let request = encode(&["HMGET", "FEATURE|a\r\nDEL b"]);
        assert_eq!(
            request,
            b"*2\r\n$5\r\nHMGET\r\n$16\r\nFEATURE|a\r\nDEL b\r\n"
        );
    }

    #[test]
    fn fields_are_read_and_missing_ones_are_none() {
        let fields = parse("+OK\r\n*2\r\n$3\r\na\r\n\r\n$-1\r\n").unwrap();
        assert_eq!(fields, [Some("a\r\n".to_owned()), None]);
    }

    #[test]
    fn anything_else_is_refused_with_the_servers_words() {
        let wrong_type = "WRONGTYPE Operation against a key holding the wrong kind of value";
        let endless = "x".repeat(5000);
        for (answer, problem) in [
            ("", "an answer of 0 bytes without an end"),
            ("+OK\r\n", "an answer of 0 bytes without an end"),
            ("-NOAUTH go away\r\n", "it answered '-NOAUTH go away'"),
            (&format!("+OK\r\n-{wrong_type}\r\n"), wrong_type),
            ("+OK\r\n*3\r\n$-1\r\n$-1\r\n$-1\r\n", "it answered '*3'"),
            ("+OK\r\n*2\r\n:1\r\n", "it answered ':1'"),
            ("+OK\r\n*2\r\n$-7\r\n", "it answered '$-7'"),
            (
                "+OK\r\n*2\r\n$99999999999\r\n",
                "a field of 99999999999 bytes",
            ),
            ("+OK\r\n*2\r\n$5\r\nab", "a field was cut off"),
            ("+OK\r\n*2\r\n$1\r\nabc", "a field has no end"),
            (&endless, "an answer of 1024 bytes without an end"),
        ] {
            let error = format!("{:#}", parse(answer).unwrap_err());
            assert!(error.contains(problem), "{answer:?}: {error}");
        }
    }
}
