//! The floor under every measurement: the least that a program can do and still have asked the
//! engine.
//!
//! ```text
//! floor SOCKET                    the two lists that an idle pass needs, read to their end
//! floor SOCKET NAME...            the removal of these images, one request each
//! floor SOCKET --asking NAME...   before each removal, what the image is, and all containers
//! ```
//!
//! One connection, plain `std`, nothing parsed but the frames of HTTP, nothing kept.

use std::io::{BufRead, BufReader, Error, ErrorKind, Result, Write};
use std::os::unix::net::UnixStream;

/// What is read at once, and all the memory that an answer gets.
const BUFFER_BYTES: usize = 16 * 1024;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    let socket = arguments
        .next()
        .ok_or_else(|| Error::other("usage: floor SOCKET [[--asking] NAME...]"))?;
    let mut engine = BufReader::with_capacity(BUFFER_BYTES, UnixStream::connect(socket)?);
    let asking = arguments.next_if(|word| word == "--asking").is_some();
    let names: Vec<String> = arguments.collect();
    if names.is_empty() {
        ask(&mut engine, "GET", "/images/json?all=true")?;
        ask(&mut engine, "GET", "/containers/json?all=true")?;
    }
    for name in names {
        if asking {
            ask(&mut engine, "GET", &format!("/images/{name}/json"))?;
            ask(&mut engine, "GET", "/containers/json?all=true")?;
        }
        ask(
            &mut engine,
            "DELETE",
            &format!("/images/{name}?noprune=true"),
        )?;
    }
    Ok(())
}

fn ask(engine: &mut BufReader<UnixStream>, method: &str, path: &str) -> Result<()> {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    engine.get_mut().write_all(request.as_bytes())?;
    let mut line = String::new();
    read_line(engine, &mut line)?;
    if !line.starts_with("HTTP/1.1 200") {
        return Err(Error::other(format!("{method} {path}: {line}")));
    }
    let mut length = None;
    loop {
        read_line(engine, &mut line)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        }
    }
    match length {
        Some(length) => skip(engine, length),
        None => skip_chunks(engine),
    }
}

fn skip_chunks(engine: &mut BufReader<UnixStream>) -> Result<()> {
    let mut line = String::new();
    loop {
        read_line(engine, &mut line)?;
        let bytes = u64::from_str_radix(line.trim(), 16).map_err(Error::other)?;
        skip(engine, bytes + 2)?;
        if bytes == 0 {
            return Ok(());
        }
    }
}

fn read_line(engine: &mut BufReader<UnixStream>, line: &mut String) -> Result<()> {
    line.clear();
    engine.read_line(line).map(drop)
}

/// Reads so many bytes and forgets them.
fn skip(engine: &mut BufReader<UnixStream>, bytes: u64) -> Result<()> {
    let mut left = bytes;
    while left > 0 {
        let got = engine
            .fill_buf()?
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        if got == 0 {
            return Err(Error::from(ErrorKind::UnexpectedEof));
        }
        engine.consume(got);
        left -= got as u64;
    }
    Ok(())
}
