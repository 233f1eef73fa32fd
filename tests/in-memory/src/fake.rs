//! A fake container engine on a unix socket: HTTP/1.1 by hand, one thread a connection, and faults
//! on demand.
//!
//! What it answers comes from [`Docker`]; this module knows requests, records each of them, and
//! spoils the answers that a test asks it to. It holds the program to what design section 8
//! forbids: a request that forces, prunes or takes volumes along, or that the fake does not know,
//! fails the test when the fake is dropped.

use std::io::{self, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::answers::{Answer, refusal};
use crate::docker::Docker;
use crate::requests::{API_MINOR, Request, Route, read_request, versionless};

/// How an answer is spoilt. But for [`Fault::Status`], the engine has done what was asked, and only
/// the answer is bad.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// This status with this message; the engine does nothing.
    Status(u16, &'static str),
    /// It is done, for as long as the engine runs, and this status with this message: what a full
    /// disk leaves of a new tag.
    Unsaved(u16, &'static str),
    /// Status 200 with this body.
    Body(&'static str),
    /// Half of the body, then the end of the connection.
    Truncated,
    /// Silence.
    StalledHeaders,
    /// Half of the body, then silence.
    StalledBody,
    /// The body at two bytes a second: each arrives in time, all of them never do.
    Dripping,
    /// The whole answer, its head too, at one byte a second.
    Trickle,
    /// A list of so many bytes that goes on and on; its length is announced, or it comes in chunks.
    Endless {
        /// Its length.
        bytes: usize,
        /// Whether it comes in chunks.
        chunked: bool,
    },
    /// An answer with a head of a MiB.
    LongHead,
    /// These bytes in place of an answer, then so many of the piece, over and over, then the end of
    /// the connection.
    Raw {
        /// These bytes.
        start: &'static str,
        /// The piece.
        piece: &'static str,
        /// How many bytes of it.
        bytes: usize,
    },
    /// The answer, and a moment later on the same connection another one with this body, which
    /// nobody asked for.
    Surplus(&'static str),
    /// The engine dies before it has done it, and says nothing more to anybody until
    /// [`Engine::heal`].
    Crashed,
    /// The connection ends without an answer.
    Closed,
}

type Hook = Box<dyn FnOnce(&mut Engine) + Send>;

/// When a watcher looks at a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The engine has done nothing yet of what it asks for.
    Before,
    /// The engine has done it, and no answer has been sent.
    After,
}

/// Looks at every request at both moments. False makes the engine fall silent: it does no more, and
/// sends no answer.
type Watcher = Box<dyn FnMut(Moment, &Request, &Docker) -> bool + Send>;

/// What happens when: a fault on each request that fits, or on the nth; a hook once.
struct Rule {
    route: Route,
    about: Option<&'static str>,
    nth: Option<usize>,
    seen: usize,
    effect: Effect,
}

enum Effect {
    Fault(Fault),
    Hook(Option<Hook>),
}

/// The engine behind the socket: its disk, the faults to come, the requests so far.
#[derive(Default)]
pub struct Engine {
    /// What is on it.
    pub docker: Docker,
    rules: Vec<Rule>,
    /// Waits until both lists have been answered, then for the next request.
    after_lists: Option<(Vec<Route>, Hook)>,
    watchers: Vec<Watcher>,
    log: Vec<Request>,
    offences: Vec<String>,
    /// Every connection ends without an answer.
    crashed: bool,
    /// The next connection ends the listener.
    ended: bool,
}

impl Engine {
    /// Spoils every answer of a route.
    pub fn fail(&mut self, route: Route, fault: Fault) {
        self.add_rule(route, None, None, Effect::Fault(fault));
    }

    /// Spoils the nth answer of a route, counted from now and from one.
    pub fn fail_nth(&mut self, route: Route, nth: usize, fault: Fault) {
        self.add_rule(route, None, Some(nth), Effect::Fault(fault));
    }

    /// Spoils the answers of a route to requests with this text in their path.
    pub fn fail_about(&mut self, route: Route, about: &'static str, fault: Fault) {
        self.add_rule(route, Some(about), None, Effect::Fault(fault));
    }

    /// Runs a hook right before the nth request of a route is answered, counted from now and from
    /// one.
    pub fn before(
        &mut self,
        route: Route,
        nth: usize,
        hook: impl FnOnce(&mut Self) + Send + 'static,
    ) {
        self.add_rule(route, None, Some(nth), Effect::Hook(Some(Box::new(hook))));
    }

    /// Runs a hook once between a look and an act: when both lists have been answered and another
    /// request comes in.
    pub fn after_lists(&mut self, hook: impl FnOnce(&mut Self) + Send + 'static) {
        self.after_lists = Some((
            vec![Route::ListImages, Route::ListContainers],
            Box::new(hook),
        ));
    }

    /// Lets one more watcher look at every request from now on.
    pub fn watch(
        &mut self,
        watcher: impl FnMut(Moment, &Request, &Docker) -> bool + Send + 'static,
    ) {
        self.watchers.push(Box::new(watcher));
    }

    /// No more faults, hooks and watchers.
    pub fn heal(&mut self) {
        self.rules.clear();
        self.crashed = false;
        self.after_lists = None;
        self.watchers.clear();
    }

    /// The requests since the last call of this.
    pub fn take_log(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.log)
    }

    /// The offences since the last call of this; whoever takes them has to judge them.
    pub fn take_offences(&mut self) -> Vec<String> {
        std::mem::take(&mut self.offences)
    }

    fn add_rule(
        &mut self,
        route: Route,
        about: Option<&'static str>,
        nth: Option<usize>,
        effect: Effect,
    ) {
        self.rules.push(Rule {
            route,
            about,
            nth,
            seen: 0,
            effect,
        });
    }

    fn take_request(&mut self, request: &Request) -> (Answer, Option<Fault>) {
        const NOBODY: Answer = (503, String::new());
        if self.crashed {
            return (NOBODY, Some(Fault::Crashed));
        }
        if let Some(offence) = request.offence() {
            self.offences.push(format!("{request}: {offence}"));
        }
        self.log.push(request.clone());
        self.run_after_lists(request.route);
        let fault = self.apply_rules(request);
        if let Some(Fault::Status(status, message)) = fault {
            return (refusal(status, message), None);
        }
        if let Some(Fault::Crashed) = fault {
            self.crashed = true;
            return (NOBODY, fault);
        }
        if self.falls_silent(Moment::Before, request) {
            return ((200, String::new()), Some(Fault::StalledHeaders));
        }
        let mut answer = self.answer(request);
        let fault = match fault {
            Some(Fault::Unsaved(status, message)) => {
                answer = refusal(status, message);
                None
            }
            fault => fault,
        };
        if self.falls_silent(Moment::After, request) {
            return (answer, Some(Fault::StalledHeaders));
        }
        (answer, fault)
    }

    fn falls_silent(&mut self, moment: Moment, request: &Request) -> bool {
        let mut is_silent = false;
        for watcher in &mut self.watchers {
            // Each of them looks, whatever another one says.
            is_silent |= !watcher(moment, request, &self.docker);
        }
        is_silent
    }

    fn run_after_lists(&mut self, route: Route) {
        if let Some((_, hook)) = self.after_lists.take_if(|(missing, _)| missing.is_empty()) {
            hook(self);
        } else if let Some((missing, _)) = &mut self.after_lists {
            missing.retain(|r| *r != route);
        }
    }

    fn apply_rules(&mut self, request: &Request) -> Option<Fault> {
        let mut hooks = Vec::new();
        let mut fault = None;
        for rule in &mut self.rules {
            if rule.route != request.route || rule.about.is_some_and(|a| !request.path.contains(a))
            {
                continue;
            }
            rule.seen += 1;
            if rule.nth.is_some_and(|nth| nth != rule.seen) {
                continue;
            }
            match &mut rule.effect {
                Effect::Fault(f) => fault = fault.or(Some(*f)),
                Effect::Hook(hook) => hooks.extend(hook.take()),
            }
        }
        for hook in hooks {
            hook(self);
        }
        fault
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let docker = &mut self.docker;
        match request.route {
            Route::Ping => (200, "OK".to_owned()),
            Route::Version => (200, version()),
            Route::Info => docker.info(),
            Route::ListImages => docker.list_images(),
            Route::ListContainers => docker.list_containers(request.is_set("all")),
            Route::InspectImage => docker.inspect_image(request.subject()),
            Route::InspectContainer => docker.inspect_container(request.subject()),
            Route::CreateContainer => docker.create_container(request.value("name"), &request.body),
            Route::Tag => docker.tag(
                request.subject(),
                request.value("repo"),
                request.value("tag"),
            ),
            Route::RemoveImage => docker.remove_image(request.subject()),
            Route::RemoveContainer => docker.remove_container(request.subject()),
            Route::Unknown => refusal(404, "page not found"),
        }
    }
}

fn version() -> String {
    json!({
        "Version": "20.10.24", "ApiVersion": format!("1.{API_MINOR}"), "MinAPIVersion": "1.12", "GitCommit": "5d6db84",
        "GoVersion": "go1.19.8", "Os": "linux", "Arch": "amd64", "KernelVersion": "6.1.0", "BuildTime": "2026-01-01",
        "Platform": {"Name": "Docker Engine"}, "Components": [],
    })
    .to_string()
}

/// The engine and its socket. Dropping it ends the listener and judges the requests.
pub struct Fake {
    socket: PathBuf,
    engine: Arc<Mutex<Engine>>,
}

impl Fake {
    /// Listens on a socket that does not exist yet.
    pub fn start(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).expect("the socket's directory is writable");
        let engine = Arc::new(Mutex::new(Engine::default()));
        let shared = Arc::clone(&engine);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.lock().is_ok_and(|engine| engine.ended) {
                    break;
                }
                let (stream, shared) = (stream.expect("accept works"), Arc::clone(&shared));
                // A client that goes away in the middle of an answer is what the faults provoke.
                thread::spawn(move || serve(stream, &shared).unwrap_or_default());
            }
        });
        Self {
            socket: socket.to_owned(),
            engine,
        }
    }

    /// The engine, for a look or a change; locked while the guard lives.
    pub fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().expect("no hook panics")
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Ok(mut engine) = self.engine.lock() {
            engine.ended = true;
        }
        drop(UnixStream::connect(&self.socket));
        if !thread::panicking() {
            let offences = self.engine().take_offences();
            assert!(
                offences.is_empty(),
                "requests that must never be made: {offences:#?}"
            );
        }
    }
}

/// Answers requests until the client closes the connection or a fault does.
fn serve(mut stream: UnixStream, engine: &Mutex<Engine>) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some((method, target, body)) = read_request(&mut reader)? {
        let (fault, (status, body)) = match versionless(&target) {
            Ok(target) => {
                let request = Request::parse(&method, target, &body);
                let (answer, fault) = engine
                    .lock()
                    .expect("no hook panics")
                    .take_request(&request);
                (fault, answer)
            }
            Err(message) => (None, refusal(400, &message)),
        };
        let Some(fault) = fault else {
            write_answer(&mut stream, status, &body, body.len())?;
            continue;
        };
        spoil(&mut stream, fault, status, &body)?;
        match fault {
            Fault::Body(_) | Fault::Surplus(_) => {}
            Fault::StalledHeaders | Fault::StalledBody => {
                io::copy(&mut reader, &mut io::sink())?;
                return Ok(());
            }
            _ => return Ok(()),
        }
    }
    Ok(())
}

fn spoil(stream: &mut UnixStream, fault: Fault, status: u16, body: &str) -> io::Result<()> {
    let half = &body[..body.len() / 2];
    match fault {
        Fault::Body(instead) => write_answer(stream, 200, instead, instead.len()),
        Fault::Truncated | Fault::StalledBody => write_answer(stream, status, half, body.len()),
        Fault::Dripping => {
            write_answer(stream, status, "", body.len())?;
            drip(stream, body.as_bytes(), Duration::from_millis(500))
        }
        Fault::Trickle => {
            let mut answer = Vec::new();
            write_answer(&mut answer, status, body, body.len())?;
            drip(stream, &answer, Duration::from_secs(1))
        }
        Fault::Endless { bytes, chunked } => write_endless(stream, bytes, chunked),
        Fault::LongHead => {
            let padding = "X-Padding: ".to_owned() + &"x".repeat(1011) + "\r\n";
            write!(stream, "HTTP/1.1 200 OK\r\n{}", padding.repeat(1024))
        }
        Fault::Raw {
            start,
            piece,
            bytes,
        } => {
            stream.write_all(start.as_bytes())?;
            let many = piece.repeat((64 * 1024 / piece.len().max(1)).max(1));
            let mut left = bytes;
            while left > 0 {
                let part = &many.as_bytes()[..left.min(many.len())];
                stream.write_all(part)?;
                left -= part.len();
            }
            Ok(())
        }
        Fault::Surplus(surplus) => {
            write_answer(stream, status, body, body.len())?;
            thread::sleep(Duration::from_micros(300));
            write_answer(stream, 200, surplus, surplus.len())
        }
        Fault::Status(..)
        | Fault::Unsaved(..)
        | Fault::StalledHeaders
        | Fault::Closed
        | Fault::Crashed => Ok(()),
    }
}

fn drip(stream: &mut UnixStream, bytes: &[u8], pause: Duration) -> io::Result<()> {
    for byte in bytes {
        stream.write_all(&[*byte])?;
        thread::sleep(pause);
    }
    Ok(())
}

/// Nothing but opening brackets: the client has to take them all before it can see that this is no
/// list.
fn write_endless(stream: &mut UnixStream, bytes: usize, chunked: bool) -> io::Result<()> {
    let head = if chunked {
        "Transfer-Encoding: chunked".to_owned()
    } else {
        format!("Content-Length: {bytes}")
    };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{head}\r\n\r\n"
    )?;
    let piece = vec![b'['; 64 * 1024];
    for _ in 0..bytes / piece.len() {
        if chunked {
            write!(stream, "{:x}\r\n", piece.len())?;
        }
        stream.write_all(&piece)?;
        if chunked {
            stream.write_all(b"\r\n")?;
        }
    }
    Ok(())
}

fn write_answer(
    stream: &mut impl Write,
    status: u16,
    body: &str,
    announced_bytes: usize,
) -> io::Result<()> {
    let length = if status == 204 {
        String::new()
    } else {
        format!("Content-Length: {announced_bytes}\r\n")
    };
    let head = format!(
        "HTTP/1.1 {status} Some Reason\r\nApi-Version: 1.{API_MINOR}\r\nContent-Type: application/json\r\n\
         Ostype: linux\r\nServer: Docker/20.10.24 (linux)\r\n{length}\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes())
}
