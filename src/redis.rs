//! A few fields of a few hashes of a Redis server, over its unix socket: as little of the protocol
//! (RESP2) as that takes. Writes nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::text::clean;

/// No field or key that is asked for is longer; a longer one is not what it should be.
const FIELD_BYTES: usize = 256;
/// A line of the protocol: a length, or an error for people.
const LINE_BYTES: u64 = 1024;
/// A switch has some thirty features.
const MAX_KEYS: usize = 1000;

/// A connection to one database of a server.
pub struct Redis {
    stream: BufReader<UnixStream>,
    socket: String,
}

impl Redis {
    /// Connects to a database. With a limit, no read or write takes longer; without one, the caller
    /// sees to it.
    ///
    /// # Errors
    /// The server cannot be reached, or does not have that database.
    pub fn connect(socket: &str, database: u32, limit: Option<Duration>) -> Result<Self> {
        let connected = UnixStream::connect(socket).and_then(|stream| {
            stream.set_read_timeout(limit)?;
            stream.set_write_timeout(limit)?;
            Ok(stream)
        });
        let stream = connected.with_context(|| failed(socket))?;
        let mut redis = Self {
            stream: BufReader::new(stream),
            socket: socket.to_owned(),
        };
        redis.ask(&["SELECT", &database.to_string()], read_ok)?;
        Ok(redis)
    }

    /// `HMGET key fields...`; none for a field that is not there.
    ///
    /// # Errors
    /// The server does not answer, or with something else.
    pub fn fields<const N: usize>(
        &mut self,
        key: &str,
        fields: [&str; N],
    ) -> Result<[Option<String>; N]> {
        let mut words = vec!["HMGET", key];
        words.extend(fields);
        self.ask(&words, read_fields)
    }

    /// `KEYS pattern`, in order.
    ///
    /// # Errors
    /// The server does not answer, or with something else, or has more keys than a table of a
    /// switch.
    pub fn keys(&mut self, pattern: &str) -> Result<Vec<String>> {
        let mut keys = self.ask(&["KEYS", pattern], read_keys)?;
        keys.sort();
        Ok(keys)
    }

    fn ask<T>(
        &mut self,
        words: &[&str],
        read: impl FnOnce(&mut BufReader<UnixStream>) -> Result<T>,
    ) -> Result<T> {
        let sent = self.stream.get_mut().write_all(&encode(words));
        sent.with_context(|| failed(&self.socket))?;
        read(&mut self.stream).with_context(|| failed(&self.socket))
    }
}

fn failed(socket: &str) -> String {
    format!("failed to ask the Redis server at '{socket}'")
}

/// A request: an array of strings, each with its length, so that no name can end one early.
fn encode(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
    }
    bytes
}

fn read_ok(reader: &mut impl BufRead) -> Result<()> {
    let line = read_line(reader)?;
    ensure!(line == "+OK", "it answered '{}'", clean(&line));
    Ok(())
}

fn read_fields<const N: usize>(reader: &mut impl BufRead) -> Result<[Option<String>; N]> {
    let count = read_line(reader)?;
    ensure!(count == format!("*{N}"), "it answered '{}'", clean(&count));
    let mut fields = [const { None }; N];
    for field in &mut fields {
        *field = read_field(reader)?;
    }
    Ok(fields)
}

fn read_keys(reader: &mut impl BufRead) -> Result<Vec<String>> {
    let line = read_line(reader)?;
    let Some(count) = line.strip_prefix('*').and_then(|n| n.parse::<usize>().ok()) else {
        bail!("it answered '{}'", clean(&line));
    };
    ensure!(count <= MAX_KEYS, "a table of {count} keys");
    let mut keys = Vec::new();
    for _ in 0..count {
        keys.extend(read_field(reader)?);
    }
    Ok(keys)
}

fn read_field(reader: &mut impl BufRead) -> Result<Option<String>> {
    let line = read_line(reader)?;
    if line == "$-1" {
        return Ok(None);
    }
    let Some(length) = line.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()) else {
        bail!("it answered '{}'", clean(&line));
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

    /// The answers to `SELECT` and to `HMGET`.
    fn parse(mut answer: &[u8]) -> Result<[Option<String>; 2]> {
        read_ok(&mut answer)?;
        read_fields(&mut answer)
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
        let fields = parse(b"+OK\r\n*2\r\n$3\r\na\r\n\r\n$-1\r\n").unwrap();
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
            let error = format!("{:#}", parse(answer.as_bytes()).unwrap_err());
            assert!(error.contains(problem), "{answer:?}: {error}");
        }
    }

    #[test]
    fn keys_are_read_and_no_more_than_a_switch_has() {
        let mut answer = &b"*2\r\n$1\r\na\r\n$1\r\nb\r\n"[..];
        assert_eq!(read_keys(&mut answer).unwrap(), ["a", "b"]);
        for (answer, problem) in [
            ("*-1\r\n", "it answered '*-1'"),
            ("*1001\r\n", "a table of 1001 keys"),
            ("-ERR no\r\n", "it answered '-ERR no'"),
            ("*2\r\n$1\r\na\r\n", "without an end"),
        ] {
            let error = format!("{:#}", read_keys(&mut answer.as_bytes()).unwrap_err());
            assert!(error.contains(problem), "{answer:?}: {error}");
        }
    }
}
