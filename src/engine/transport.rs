//! The way to the engine's socket: a connection for each request, and a bound on what comes back.
//!
//! bollard sends its requests through here (`Docker::connect_with_custom_transport`), and so does
//! what is read from its bytes; the ready commands that ship do so too. An answer is collected
//! whole before anything looks at it; so the bound is on the bytes that come in from the socket. No
//! connection is used twice: whatever an engine or a proxy sends beyond the answer finds no request
//! that it could be taken for the answer of.

use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bollard::BollardRequest;
use bollard::errors::Error;
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderValue, UPGRADE};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use crate::text::clean;

/// The most that a list may weigh on the wire, in bytes, its headers included. Ten thousand
/// containers with all the labels and mounts that Kubernetes gives them (3.5 KB each) take more
/// than half of it.
pub(super) const MAX_LIST_BYTES: u64 = 64 * 1024 * 1024;
/// The same for every other answer. The largest are inspects, of a few tens of KB; bollard copies
/// them more than once.
pub(super) const MAX_ANSWER_BYTES: u64 = 4 * 1024 * 1024;
/// The same for what a command in a container writes, which comes on an upgraded connection and is
/// not collected.
const MAX_OUTPUT_BYTES: u64 = 16 * 1024 * 1024;
/// What is read of the body of a refusal: enough for any message that is printed.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// The most that the headers may weigh, and what is read at once: a buffer that grows with what
/// comes is another one for each size.
const BUFFER_BYTES: usize = 128 * 1024;

/// The way to the engine; nothing is opened before a request is sent.
#[derive(Clone)]
pub struct Transport {
    socket: Arc<Path>,
}

impl Transport {
    /// The way to the engine behind this socket.
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// bollard's client with this way to the engine. It has no deadlines: its own would cover no
    /// body.
    ///
    /// # Errors
    /// None that is known: bollard's own signature has one.
    pub fn client(&self) -> Result<bollard::Docker, Error> {
        let way = self.clone();
        bollard::Docker::connect_with_custom_transport(
            move |request| way.clone().send(request),
            Some("http://localhost"),
            u64::MAX,
            bollard::API_DEFAULT_VERSION,
        )
    }

    /// Sends a request of bollard's. Any answer but a success is an error: bollard would take 101
    /// and 304 for one, and hold the body of a refusal in memory several times.
    async fn send(self, request: BollardRequest) -> Result<Response<Incoming>, Error> {
        let max_bytes = if is_upgrade(&request) {
            MAX_OUTPUT_BYTES
        } else {
            MAX_ANSWER_BYTES
        };
        self.exchange(request, max_bytes).await
    }

    /// Reads what is at a path to its end, as the bytes that come.
    pub(super) async fn read(self, path: String, max_bytes: u64) -> Result<Vec<u8>, Error> {
        let request = Request::get(path).body(String::new())?;
        let mut body = self.exchange(request, max_bytes).await?.into_body();
        let mut bytes = Vec::new();
        // What is not written to costs nothing, and a vector that grows is in memory twice.
        let _ = bytes.try_reserve_exact(usize::try_from(max_bytes).unwrap_or_default());
        while let Some(data) = next_data(&mut body).await {
            bytes.extend_from_slice(&data?);
        }
        Ok(bytes)
    }

    async fn exchange<B>(
        self,
        mut request: Request<B>,
        max_bytes: u64,
    ) -> Result<Response<Incoming>, Error>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        *request.uri_mut() = path_of(request.uri())?;
        let upgrades = is_upgrade(&request);
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        if !upgrades {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let stream = Bounded {
            stream: UnixStream::connect(&self.socket).await?,
            left_bytes: max_bytes,
            max_bytes,
        };
        let response = answer_over(stream, request).await?;
        let status = response.status();
        if status.is_success() || (upgrades && status == StatusCode::SWITCHING_PROTOCOLS) {
            Ok(response)
        } else {
            Err(refusal(response).await)
        }
    }
}

/// Sends a request over a connection that is made for it alone, and answers as soon as the headers
/// are there.
///
/// # Errors
/// When the connection breaks, or what comes is not HTTP.
pub async fn answer_over<S, B>(
    stream: S,
    request: Request<B>,
) -> Result<Response<Incoming>, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let (mut sender, connection) = http1::Builder::new()
        .read_buf_exact_size(Some(BUFFER_BYTES))
        .handshake(TokioIo::new(stream))
        .await?;
    // Whoever waits for the answer hears of the connection's errors.
    let connection = connection.with_upgrades();
    tokio::spawn(async move { connection.await.unwrap_or_default() });
    sender.send_request(request).await
}

/// Whether a request asks for the connection itself: only the start of a command in a container
/// does.
fn is_upgrade<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(UPGRADE)
}

/// What is sent to a socket: without the scheme and the host that bollard gives each request.
fn path_of(uri: &Uri) -> Result<Uri, Error> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok(path.parse()?)
}

/// The next part of a body; what is no data is trailers, which say nothing here.
async fn next_data(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await? {
            Err(error) => return Some(Err(error)),
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Some(Ok(data));
                }
            }
        }
    }
}

/// What the engine said when it refused; the status counts, even where that cannot be read.
async fn refusal(response: Response<Incoming>) -> Error {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let status_code = response.status().as_u16();
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(Ok(data)) = next_data(&mut body).await {
        bytes.extend_from_slice(&data);
        if bytes.len() >= MAX_REFUSAL_BYTES {
            break;
        }
    }
    let message = match serde_json::from_slice::<Refusal>(&bytes) {
        Ok(refusal) => clean(refusal.message),
        Err(_) => clean(String::from_utf8_lossy(&bytes)),
    };
    Error::DockerResponseServerError {
        status_code,
        message,
    }
}

/// A stream that fails when more comes in than is allowed.
struct Bounded {
    stream: UnixStream,
    left_bytes: u64,
    max_bytes: u64,
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
        Poll::Ready(match self.left_bytes.checked_sub(read_bytes) {
            Some(left) => {
                self.left_bytes = left;
                Ok(())
            }
            None => Err(io::Error::other(TooLarge(self.max_bytes))),
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
struct TooLarge(u64);

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.0 >> 20;
        write!(
            f,
            "the answer is larger than {mib} MiB, the most that is read of one"
        )
    }
}

impl StdError for TooLarge {}
