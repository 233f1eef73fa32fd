//! Peers that answer as they are told, and then no more: what no real server does on demand.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread;

use serde_json::json;
use tempfile::TempDir;

use crate::asking::ID;

/// What a peer does with a connection, once it has read something from it.
#[derive(Clone)]
pub(crate) enum Manner {
    /// Answers this and closes.
    Answers(String),
    /// Answers this again and again, for ever.
    Floods(&'static str),
    /// Answers the first once, then the second again and again, for ever.
    FloodsAfter(&'static str, &'static str),
    /// Answers this, then a byte now and then, for ever.
    Drips(&'static str),
    /// An engine whose commands all end with 0, and which answers this way when one is started.
    Runs(Box<Manner>),
    /// Reads, and never answers.
    Hangs,
}

impl Manner {
    /// An HTTP answer with this status and body.
    pub(crate) fn http(status: &str, body: &str) -> Self {
        let length = body.len();
        Self::Answers(format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    fn treat(&self, mut stream: impl Read + Write) {
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap_or_default();
        self.answer(&String::from_utf8_lossy(&request[..length]), stream);
    }

    fn answer(&self, request: &str, mut stream: impl Read + Write) {
        match self {
            Self::Answers(text) => drop(stream.write_all(text.as_bytes())),
            Self::Floods(text) => flood(stream, text),
            Self::FloodsAfter(first, text) => {
                let _ = stream.write_all(first.as_bytes());
                flood(stream, text);
            }
            Self::Drips(first) => {
                let _ = stream.write_all(first.as_bytes());
                while stream.write_all(b"1").is_ok() {
                    thread::sleep(std::time::Duration::from_millis(100));
                }
            }
            Self::Runs(start) if request.contains("/start ") => start.answer(request, stream),
            Self::Runs(_) => {
                let seen = json!({"Id": ID, "ID": ID, "Running": false, "ExitCode": 0});
                Self::http("200 OK", &seen.to_string()).answer(request, stream);
            }
            // Until the other side closes.
            Self::Hangs => while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {},
        }
    }
}

fn flood(mut stream: impl Write, text: &str) {
    let text = text.repeat(1000);
    while stream.write_all(text.as_bytes()).is_ok() {}
}

/// A unix socket with a peer behind it.
pub(crate) struct Socket {
    dir: TempDir,
}

impl Socket {
    pub(crate) fn of(manner: Manner) -> Self {
        let socket = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let listener = UnixListener::bind(socket.path()).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (manner, stream): (Manner, UnixStream) = (manner.clone(), stream.unwrap());
                thread::spawn(move || manner.treat(stream));
            }
        });
        socket
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    pub(crate) fn text(&self) -> String {
        self.path().display().to_string()
    }
}

/// A port of an address of this machine's loopback with a peer behind it.
pub(crate) fn port_at(address: &str, manner: Manner) -> u16 {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (manner, stream): (Manner, TcpStream) = (manner.clone(), stream.unwrap());
            thread::spawn(move || manner.treat(stream));
        }
    });
    port
}

/// A port of loopback that nothing listens on.
pub(crate) fn closed_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
