//! The commands: each puts policy, state, engine and report together, and says how it ended.
//!
//! The only place where files, engine and report meet. It decides nothing; `decide` does, through `pass`. A file for each
//! kind: [`reconcile`] is the pass, [`show`] looks and prints, [`explain`] tells of one image, [`watch`] does so each second, [`check`] reads the policy alone,
//! [`init`] drafts one, [`person`] does what somebody asked for by name. [`terminal`] is what they know of the terminal; here is
//! what they share.

mod check;
mod explain;
mod init;
mod person;
mod reconcile;
mod show;
mod terminal;
mod watch;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};

use crate::cli::{Cli, Command, Options};
use crate::deadline::Deadline;
use crate::decide::Event;
use crate::engine::Docker;
use crate::exit::Exit;
use crate::hooks;
use crate::near::near;
use crate::notify;
use crate::pass::{PassError, Witness};
use crate::policy::{self, EnginePolicy, Policy, Refused, WorkloadName};
use crate::report;
use crate::state::{LoadError, Lock, LockError, Now, Reading, StateDir};

use show::{Subject, View};

/// Where the state lives when neither the command line nor systemd says.
const DEFAULT_STATE_DIR: &str = "/var/lib/tagkeeper";
/// The pass's own deadline: after it no call begins, and what is left is left to the next pass (design section 3). Shorter
/// than the unit's, so that the pass can say what happened.
const PASS_MS: u64 = 5 * 60 * 1000;
/// How long a person's command waits for the lock (design section 7).
const LOCK_WAIT_MS: u64 = 30 * 1000;

/// Why a command ends without having done its work: the exit code, and the message for people.
struct Stop {
    exit: Exit,
    error: anyhow::Error,
}

impl Stop {
    fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            error: error.into(),
        }
    }

    fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self::new(Exit::Failed, error)
    }
}

/// Reads the clocks. `main` has the only one; what lasts longer than a moment asks it more than once.
pub type Clocks = dyn Fn() -> Reading;

/// The lock for what a person asked for: a pass may hold it for as long as it lasts.
fn lock_patiently(dir: &StateDir, clocks: &Clocks) -> Result<Lock, Stop> {
    let deadline = Deadline::after(clocks, LOCK_WAIT_MS);
    let tell = || report::log::log_note("waiting for the lock: another pass is running");
    dir.lock_within(deadline, &tell)
        .map_err(|error| stop_of_lock(dir, error))
}

/// Runs what the command line asks for.
pub fn run(cli: &Cli, clocks: &Clocks) -> Exit {
    let options = &cli.options;
    let ended = match &cli.command {
        Command::Reconcile => reconcile::reconcile(options, clocks),
        Command::Plan { workload } => show::show(
            options,
            clocks,
            &Subject::new(View::Plan, workload.as_ref()),
        ),
        Command::Status { workload, watch } => {
            let subject = Subject::new(View::Status, workload.as_ref());
            if *watch {
                watch::watch(options, clocks, &subject)
            } else {
                show::show(options, clocks, &subject)
            }
        }
        Command::Explain { image } => explain::explain(options, clocks, image),
        Command::Check => check::check(options, clocks),
        Command::Init => init::init(options, clocks),
        Command::Rollback { workload, yes } => person::rollback(options, clocks, workload, *yes),
        Command::Accept { workload, version } => person::accept(options, clocks, workload, version),
    };
    ended.unwrap_or_else(|stop| {
        match stop.error.downcast_ref::<Refused>() {
            Some(refused) if terminal::errors_have_colors(options) => {
                report::log::show_refused(refused);
            }
            _ => report::log::log_error(None, &stop.error),
        }
        notify::status(&format!("failed: {}", report::log::in_words(&stop.error)));
        stop.exit
    })
}

/// The name of one of the known workloads; a near one is told.
fn known_workload<'n>(
    mut known: impl Iterator<Item = &'n WorkloadName> + Clone,
    name: &WorkloadName,
) -> Result<WorkloadName, Stop> {
    let names: Vec<_> = known.clone().map(WorkloadName::as_str).collect();
    known
        .find(|workload| *workload == name)
        .cloned()
        .ok_or_else(|| {
            let near = near(name.as_str(), names.iter().copied());
            let hint = match near {
                Some(near) => format!("did you mean '{near}'?"),
                None if names.is_empty() => "the policy names no workload".to_owned(),
                None => format!("the policy names {}", names.join(", ")),
            };
            Stop::new(
                Exit::Usage,
                anyhow!("there is no workload '{name}': {hint}"),
            )
        })
}

fn load_policy(options: &Options) -> Result<Policy, Stop> {
    read_policy(options).map_err(|refused| Stop::new(Exit::Refused, refused))
}

fn read_policy(options: &Options) -> Result<Policy, Refused> {
    match &options.policy {
        Some(file) => policy::load_file(file),
        None => policy::load(&policy::Roots::default()),
    }
}

/// The file that a person would edit.
fn policy_file(options: &Options) -> PathBuf {
    options
        .policy
        .clone()
        .unwrap_or_else(|| policy::Roots::default().file)
}

fn state_dir(options: &Options) -> StateDir {
    let from_systemd = || {
        // With several directories systemd separates them by colons; the unit asks for one.
        let listed = std::env::var("STATE_DIRECTORY")
            .ok()
            .filter(|dirs| !dirs.is_empty())?;
        listed.split(':').next().map(PathBuf::from)
    };
    let dir = options
        .state_dir
        .clone()
        .or_else(from_systemd)
        .unwrap_or_else(|| PathBuf::from(DEFAULT_STATE_DIR));
    StateDir::new(dir)
}

fn stop_of_load(dir: &StateDir, error: LoadError) -> Stop {
    if matches!(error, LoadError::Newer { .. }) {
        let mend = "nothing was changed; install the later tagkeeper again, or move the file away for a fresh start, which removes nothing at first";
        return Stop::new(Exit::Refused, about_file(dir, error).context(mend));
    }
    Stop::failed(about_file(dir, error))
}

/// Why the lock was not had, and what to do.
fn stop_of_lock(dir: &StateDir, error: LockError) -> Stop {
    let shown = dir.path().display();
    match error {
        LockError::Held => Stop::new(
            Exit::Locked,
            anyhow::Error::new(error).context(format!(
                "nothing was done in '{shown}'; the next pass, or a try when that one has ended, goes on"
            )),
        ),
        LockError::Io(file) => {
            let mend = match file.io_error().kind() {
                ErrorKind::PermissionDenied => format!(
                    "'{shown}' is closed to this user: run as root or as user tagkeeper, or name another directory by --state-dir"
                ),
                ErrorKind::ReadOnlyFilesystem => {
                    format!("'{shown}' cannot be written: name another directory by --state-dir")
                }
                _ => format!("'{shown}' cannot be used as the state directory; nothing was done"),
            };
            Stop::failed(anyhow::Error::new(file).context(mend))
        }
    }
}

fn about_file(dir: &StateDir, error: LoadError) -> anyhow::Error {
    let file = dir.state_file();
    anyhow::Error::new(error).context(format!("failed to read '{}'", file.display()))
}

fn connect(
    options: &Options,
    engine: &EnginePolicy,
    deadline: Deadline<'_>,
) -> Result<Docker, Stop> {
    Docker::connect(
        socket(options, engine),
        Duration::from_millis(engine.timeout_ms),
        Duration::from_millis(deadline.remaining_ms()),
    )
    .map_err(|error| Stop::new(Exit::Unavailable, error))
}

/// The socket to ask: the command line's, else the policy's.
fn socket<'a>(options: &'a Options, engine: &'a EnginePolicy) -> &'a Path {
    options.socket.as_deref().unwrap_or(&engine.socket)
}

fn print(text: &str) -> Result<(), Stop> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // A reader that has seen enough (`tagkeeper status | head`) is no failure.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other
            .context("failed to write to standard output")
            .map_err(Stop::failed),
    }
}

fn stop_of(error: PassError) -> Stop {
    match error {
        PassError::Unobserved(error) => {
            Stop::new(Exit::Unavailable, error.context("nothing was changed"))
        }
        PassError::Broken(error) => Stop::failed(error),
    }
}

/// The witness of a real pass: the log, and systemd's start timeout.
struct Log<'a> {
    call_timeout_ms: u64,
    hooks: &'a policy::Hooks,
    /// What hooks are told, once what they are told of is over.
    to_tell: Vec<Event>,
}

impl<'a> Log<'a> {
    fn new(policy: &'a Policy) -> Self {
        Self {
            call_timeout_ms: policy.engine.timeout_ms,
            hooks: &policy.hooks,
            to_tell: Vec::new(),
        }
    }

    /// Tells the hooks what was heard.
    fn tell_hooks(&self, now: &Now, clocks: &Clocks) {
        hooks::tell(self.hooks, &self.to_tell, now, clocks);
    }
}

impl Witness for Log<'_> {
    fn event(&mut self, event: &Event) {
        report::log::log_event(event);
        if hooks::concerns(self.hooks, event) {
            self.to_tell.push(event.clone());
        }
    }

    fn failure(&mut self, workload: Option<&WorkloadName>, error: &anyhow::Error) {
        report::log::log_error(workload, error);
    }

    fn before_removal(&mut self) {
        notify::long_call(self.call_timeout_ms);
    }
}
