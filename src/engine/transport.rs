//! One HTTP connection to the engine's socket, kept for the calls to come, and a bound on what an answer may weigh.
//!
//! bollard collects an answer whole before it looks at it, however long it is; so the bound is on the bytes that come
//! in from the socket, before anybody collects them. Knows hyper and sockets, and none of bollard's models.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

/// The most that one answer may weigh on the wire, in bytes, its headers included. Ten thousand containers with all the
/// labels and mounts that Kubernetes gives them (3.5 KB each) take more than half of it.
pub(super) const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;

/// The way to the engine. A connection is opened when it is needed, and kept while the engine keeps it.
pub(super) struct Transport<B> {
    socket: PathBuf,
    idle: Mutex<Option<Line<B>>>,
}

/// An open connection.
struct Line<B> {
    sender: SendRequest<B>,
    /// What the present answer may still weigh.
    allowance_bytes: Arc<AtomicU64>,
}

impl<B> Transport<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    pub(super) fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            idle: Mutex::new(None),
        }
    }

    /// Sends a request, and returns when the answer's headers are there. Reading its body fails once the answer weighs
    /// more than [`MAX_ANSWER_BYTES`].
    pub(super) async fn send(&self, mut request: Request<B>) -> io::Result<Response<Incoming>> {
        let target = request.uri().path_and_query().cloned();
        *request.uri_mut() = target.map_or_else(Uri::default, Uri::from);
        request
            .headers_mut()
            .insert(HOST, HeaderValue::from_static("localhost"));
        let request = match self.usable_line().await {
            None => request,
            Some(line) => match self.send_on(line, request).await {
                Ok(response) => return Ok(response),
                // The engine closed the connection before any of the request was on it (a restart, say): nothing has
                // been asked yet, so asking again is safe for every request.
                Err(Failure::Unsent(request)) => *request,
                Err(Failure::Lost(error)) => return Err(error),
            },
        };
        let line = self.open().await?;
        self.send_on(line, request)
            .await
            .map_err(|failure| match failure {
                Failure::Unsent(_) => io::ErrorKind::ConnectionReset.into(),
                Failure::Lost(error) => error,
            })
    }

    /// The connection is away while a request is on it: one that is given up in the middle is not used again.
    async fn usable_line(&self) -> Option<Line<B>> {
        let mut line = self.slot().take()?;
        line.sender.ready().await.ok()?;
        Some(line)
    }

    async fn send_on(
        &self,
        mut line: Line<B>,
        request: Request<B>,
    ) -> Result<Response<Incoming>, Failure<B>> {
        line.allowance_bytes
            .store(MAX_ANSWER_BYTES, Ordering::Relaxed);
        match line.sender.try_send_request(request).await {
            Ok(response) => {
                *self.slot() = Some(line);
                Ok(response)
            }
            Err(mut failure) => Err(match failure.take_message() {
                Some(request) => Failure::Unsent(Box::new(request)),
                None => Failure::Lost(io::Error::other(failure.into_error())),
            }),
        }
    }

    async fn open(&self) -> io::Result<Line<B>> {
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

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Line<B>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no answer.
enum Failure<B> {
    /// No byte of the request was sent.
    Unsent(Box<Request<B>>),
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
        let transport = Transport::new(socket);
        for _ in 0..2 {
            let request = Request::get("http://localhost/x")
                .body(String::new())
                .unwrap();
            let response = runtime.block_on(transport.send(request)).unwrap();
            assert_eq!(response.status(), 200);
            drop(response);
            when_closed.recv().unwrap();
        }
        engine.join().unwrap();
    }
}
