//! One HTTP connection to the engine's socket, kept for the calls to come, and a bound on what an answer may weigh.
//!
//! An answer is collected whole before anybody looks at it; so the bound is on the bytes that come in from the socket,
//! before they are collected. Knows hyper and sockets, and not what is asked.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

/// The most that one answer may weigh on the wire, in bytes, its headers included. Ten thousand containers with all the
/// labels and mounts that Kubernetes gives them (3.5 KB each) take more than half of it.
pub(super) const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;

/// The way to the engine. A connection is opened when it is needed, and kept while the engine keeps it.
pub(super) struct Transport {
    socket: PathBuf,
    idle: Option<Line>,
}

/// An open connection.
struct Line {
    sender: SendRequest<String>,
    /// What the present answer may still weigh.
    allowance_bytes: Arc<AtomicU64>,
}

/// An answer, whole.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl Transport {
    pub(super) fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            idle: None,
        }
    }

    /// Sends a request, whose body is JSON or empty, and reads the answer to its end. Fails once that weighs more than [`MAX_ANSWER_BYTES`].
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: String,
    ) -> io::Result<Reply> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, HeaderValue::from_static("localhost"));
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let request = request.body(body).map_err(io::Error::other)?;
        let (line, response) = self.send(request).await?;
        let status = response.status();
        let body = collect(response.into_body()).await;
        let body = body.map_err(io::Error::other)?;
        // A connection is away while a request is on it: one that is given up in the middle is not used again.
        self.idle = Some(line);
        Ok(Reply { status, body })
    }

    /// Sends a request, and returns when the answer's headers are there.
    async fn send(&mut self, request: Request<String>) -> io::Result<(Line, Response<Incoming>)> {
        let request = match self.usable_line().await {
            None => request,
            Some(line) => match line.send(request).await {
                Ok(answered) => return Ok(answered),
                // The engine closed the connection before any of the request was on it (a restart, say): nothing has
                // been asked yet, so asking again is safe for every request.
                Err(Failure::Unsent(request)) => *request,
                Err(Failure::Lost(error)) => return Err(error),
            },
        };
        let line = self.open().await?;
        line.send(request).await.map_err(|failure| match failure {
            Failure::Unsent(_) => io::ErrorKind::ConnectionReset.into(),
            Failure::Lost(error) => error,
        })
    }

    async fn usable_line(&mut self) -> Option<Line> {
        let mut line = self.idle.take()?;
        line.sender.ready().await.ok()?;
        Some(line)
    }

    async fn open(&self) -> io::Result<Line> {
        let allowance_bytes = Arc::new(AtomicU64::new(MAX_ANSWER_BYTES));
        let stream = Bounded {
            stream: UnixStream::connect(&self.socket).await?,
            allowance_bytes: Arc::clone(&allowance_bytes),
        };
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        // Whoever waits for an answer hears of the connection's errors.
        tokio::spawn(async move { connection.await.unwrap_or_default() });
        Ok(Line {
            sender,
            allowance_bytes,
        })
    }
}

impl Line {
    async fn send(
        mut self,
        request: Request<String>,
    ) -> Result<(Self, Response<Incoming>), Failure> {
        self.allowance_bytes
            .store(MAX_ANSWER_BYTES, Ordering::Relaxed);
        match self.sender.try_send_request(request).await {
            Ok(response) => Ok((self, response)),
            Err(mut failure) => Err(match failure.take_message() {
                Some(request) => Failure::Unsent(Box::new(request)),
                None => Failure::Lost(io::Error::other(failure.into_error())),
            }),
        }
    }
}

async fn collect(mut body: Incoming) -> Result<Vec<u8>, hyper::Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        // What is no data is trailers, which say nothing here.
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

/// Why there is no answer.
enum Failure {
    /// No byte of the request was sent.
    Unsent(Box<Request<String>>),
    /// Nobody knows what became of it.
    Lost(io::Error),
}

/// A stream that fails when more comes in than is allowed.
struct Bounded {
    stream: UnixStream,
    allowance_bytes: Arc<AtomicU64>,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read_bytes = u64::try_from(buffer.filled().len() - before).unwrap_or(u64::MAX);
        let allowed = self.allowance_bytes.load(Ordering::Relaxed);
        Poll::Ready(match allowed.checked_sub(read_bytes) {
            Some(rest) => {
                self.allowance_bytes.store(rest, Ordering::Relaxed);
                Ok(())
            }
            None => Err(io::Error::other(TooLarge)),
        })
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The answer weighs more than is allowed.
#[derive(Debug)]
struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the answer is larger than {} MiB, which no sound engine sends",
            MAX_ANSWER_BYTES >> 20
        )
    }
}

impl Error for TooLarge {}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// Answers two requests, on a connection each, which it closes without a word of warning.
    #[test]
    fn a_connection_that_was_closed_while_idle_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let (closed, when_closed) = mpsc::channel();
        let engine = thread::spawn(move || {
            for _ in 0..2 {
                let (stream, _) = listener.accept().unwrap();
                let mut lines = BufReader::new(&stream).lines();
                while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                (&stream)
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    .unwrap();
                drop(stream);
                closed.send(()).unwrap();
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        let mut transport = Transport::new(socket);
        for _ in 0..2 {
            let reply = runtime
                .block_on(transport.ask(Method::GET, "/x", String::new()))
                .unwrap();
            assert_eq!((reply.status, reply.body), (StatusCode::OK, Vec::new()));
            when_closed.recv().unwrap();
        }
        engine.join().unwrap();
    }
}
