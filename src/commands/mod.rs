//! The commands: each puts policy, state, engine and report together, and says how it ended.
//!
//! The only place where files, engine and report meet. It decides nothing; the planner does,
//! through `reconcile`. A file for each kind: [`reconcile`] is the pass, [`show`] is `plan` and
//! `status`, [`explain`] shows one image, [`watch`] does so each second, [`check`] reads the policy
//! alone, [`init`] drafts one, [`rollback`] is what a person asks for, [`wait`] waits for an
//! upgrade. [`terminal`] is what they know of the terminal, [`timer`] of systemd; here is what they
//! share.

mod check;
mod explain;
mod init;
mod reconcile;
mod rollback;
mod show;
mod terminal;
mod timer;
mod wait;
mod watch;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use tagkeeper_core::Gather;
use tagkeeper_core::model::{Event, Now, Observation, Reading, State, Undelivered, WorkloadName};
use tagkeeper_core::planner::RollbackTarget;

use crate::cli::{Cli, Command, Options};
use crate::deadline::Deadline;
use crate::engine::{Docker, Engine};
use crate::exit::Exit;
use crate::hooks::{self, outbox::Notified};
use crate::notify;
use crate::policy_file::{self, CheckedPolicy, EngineSettings, Refused, Settings};
use crate::random;
use crate::reconcile::{EventSink, PassError};
use crate::report;
use crate::store::{LoadError, Lock, LockError, StateDir, Store};
use crate::suggest::closest;

use show::{Screen, View};

/// Where the state is kept when neither the command line nor systemd says.
const DEFAULT_STATE_DIR: &str = "/var/lib/tagkeeper";
/// The pass's own deadline: after it no call begins, and what is left is left to the next pass
/// (design 4.7). Shorter than the unit's, so that the pass can say what happened.
const PASS_MS: u64 = 5 * 60 * 1000;
/// Bytes of the id of an event: receivers tell repeats by it, over all hosts and for ever.
const EVENT_ID_BYTES: usize = 16;
/// How long a person's command waits for the lock (design 7).
const LOCK_WAIT_MS: u64 = 30 * 1000;

/// Why a command ends without having done its work: the exit code, and the message for people.
struct CommandError {
    exit: Exit,
    error: anyhow::Error,
}

impl CommandError {
    fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            error: error.into(),
        }
    }

    fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self::new(Exit::Failed, error)
    }

    /// Says, where the engine is to blame, that nothing was changed.
    fn unchanged(self) -> Self {
        match self.exit {
            Exit::Unavailable => Self {
                error: self.error.context("nothing was changed"),
                ..self
            },
            _ => self,
        }
    }

    /// What went wrong, for where there is room for one line.
    fn brief(&self) -> String {
        match self.error.downcast_ref::<Refused>() {
            Some(refused) => refused.brief(),
            None => report::log::in_words(&self.error),
        }
    }
}

impl From<PassError> for CommandError {
    fn from(error: PassError) -> Self {
        match error {
            PassError::Unobserved(error) => Self::new(Exit::Unavailable, error),
            PassError::Broken(error) => Self::failed(error),
        }
    }
}

/// Reads the clocks. `main` has the only one; what lasts longer than a moment asks it more than
/// once.
pub type Clocks = dyn Fn() -> Reading;

/// The lock for what a person asked for: a pass may hold it for as long as it lasts.
fn lock_patiently(dir: &StateDir, clocks: &Clocks) -> Result<Lock, CommandError> {
    let deadline = Deadline::after(clocks, LOCK_WAIT_MS);
    let tell = || report::log::log_note("waiting for the lock: another pass is running");
    dir.lock_within(deadline, &tell)
        .map_err(|error| error_of_lock(dir, error))
}

/// Runs what the command line asks for.
pub fn run(cli: &Cli, clocks: &Clocks) -> Exit {
    let options = match cli.options() {
        Ok(options) => options,
        Err(usage) => usage.exit(),
    };
    let ended = match &cli.command {
        Command::Reconcile(_) => reconcile::reconcile(&options, clocks),
        Command::Plan(args) => {
            let screen = Screen::new(View::Plan, args.workload.name(), true);
            show::show(&options, clocks, &screen)
        }
        Command::Status(args) => {
            let details = args.verbose || args.all || args.workload.name().is_some();
            let screen =
                Screen::new(View::Status, args.workload.name(), details).with_all(args.all);
            if args.watch {
                watch::watch(&options, clocks, &screen)
            } else {
                show::show(&options, clocks, &screen)
            }
        }
        Command::Explain(args) => explain::explain(&options, clocks, args.subject()),
        Command::Check(_) => check::check(&options, clocks),
        Command::Init(args) => init::init(&options, clocks, args.sonic.as_deref()),
        Command::Rollback(args) => {
            let target = if args.latest {
                RollbackTarget::Latest
            } else {
                RollbackTarget::InPlay
            };
            rollback::rollback(&options, clocks, &args.workload, target, args.yes)
        }
        Command::Accept(args) => rollback::accept(&options, clocks, &args.workload, &args.version),
        Command::Wait(args) => wait::wait(&options, clocks, args),
    };
    ended.unwrap_or_else(|failed| {
        match failed.error.downcast_ref::<Refused>() {
            Some(refused) if terminal::errors_have_colors(&options) => {
                report::log::show_refused(refused);
            }
            _ => report::log::log_error(None, &failed.error),
        }
        notify::status(&format!("failed: {}", failed.brief()));
        failed.exit
    })
}

/// The name of one of the known workloads; a similar one is suggested.
fn known_workload<'n>(
    mut known: impl Iterator<Item = &'n WorkloadName> + Clone,
    name: &WorkloadName,
) -> Result<WorkloadName, CommandError> {
    // Policy and state may both have it.
    let names: BTreeSet<&str> = known.clone().map(WorkloadName::as_str).gather();
    known
        .find(|workload| *workload == name)
        .cloned()
        .ok_or_else(|| {
            let hint = match closest(name.as_str(), names.iter().copied()) {
                Some(meant) => format!("did you mean '{meant}'?"),
                None if names.is_empty() => "the policy has no workload".to_owned(),
                None => {
                    let names: Vec<&str> = names.into_iter().collect();
                    format!("the policy has {}", names.join(", "))
                }
            };
            CommandError::new(
                Exit::Usage,
                anyhow!("there is no workload '{name}': {hint}"),
            )
        })
}

fn check_policy(options: &Options) -> Result<CheckedPolicy, Refused> {
    match &options.policy {
        Some(file) => policy_file::check_file(file),
        None => policy_file::check(&policy_file::Roots::default()),
    }
}

fn load_policy(options: &Options) -> Result<Settings, CommandError> {
    match check_policy(options) {
        Ok(checked) => Ok(checked.settings),
        Err(refused) => Err(CommandError::new(Exit::Refused, refused)),
    }
}

/// The file that a person would write a first workload into: `--policy`, else a drop-in.
fn operators_file(options: &Options) -> PathBuf {
    let drop_in = || policy_file::Roots::default().dropin_dir.join("host.toml");
    options.policy.clone().unwrap_or_else(drop_in)
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

/// Whether a state directory is the one of the service that the packages install.
fn is_default_state_dir(dir: &Path) -> bool {
    dir == Path::new(DEFAULT_STATE_DIR)
}

/// That the directory which was named is not there: a slip, most likely.
fn missing_state_dir(options: &Options, dir: &StateDir) -> Option<String> {
    let is_missing = options.state_dir.is_some() && !dir.path().is_dir();
    is_missing.then(|| format!("there is no directory '{}'", dir.path().display()))
}

/// An error where that directory is not there: a person who mistypes it makes none, and no gate
/// opens on it.
fn check_state_dir(
    options: &Options,
    dir: &StateDir,
    workload: &WorkloadName,
) -> Result<(), CommandError> {
    missing_state_dir(options, dir).map_or(Ok(()), |missing| {
        Err(CommandError::failed(anyhow!(
            "{missing}, so nothing is known of {workload}; is --state-dir right?"
        )))
    })
}

/// The state for a command that does not go on without it.
fn load_or_fresh(dir: &StateDir, lock: Option<&mut Lock>) -> Result<State, CommandError> {
    let loaded = match lock {
        Some(lock) => lock.load(),
        None => dir.load(),
    };
    match loaded {
        Ok(state) => Ok(state.unwrap_or_default()),
        Err(error @ LoadError::Corrupt { .. }) => Err(CommandError::failed(
            about_file(dir, error)
                .context("the state cannot be read; run `tagkeeper reconcile`, which sets it aside, and try again"),
        )),
        Err(error) => Err(error_of_load(dir, error)),
    }
}

fn error_of_load(dir: &StateDir, error: LoadError) -> CommandError {
    let exit = if matches!(error, LoadError::Newer { .. }) {
        Exit::Refused
    } else {
        Exit::Failed
    };
    let help = error.help();
    let error = about_file(dir, error).context("nothing was changed");
    CommandError::new(exit, help.into_iter().fold(error, anyhow::Error::context))
}

/// Why the lock was not had, and what to do.
fn error_of_lock(dir: &StateDir, error: LockError) -> CommandError {
    let shown = dir.path().display();
    match error {
        LockError::Held => CommandError::new(
            Exit::Locked,
            anyhow!(
                "another pass holds the lock of '{shown}'; nothing was done, try again when it has ended"
            ),
        ),
        LockError::Io(error) => {
            let help = match error.downcast_ref().map(io::Error::kind) {
                Some(ErrorKind::PermissionDenied) => format!(
                    "nothing was done: '{shown}' is not writable for this user: run as root or as user tagkeeper, or name another directory by --state-dir"
                ),
                Some(ErrorKind::ReadOnlyFilesystem) => format!(
                    "nothing was done: '{shown}' is read-only, as a disk with errors becomes (see `dmesg`): make it writable, or name another directory by --state-dir"
                ),
                _ => format!("'{shown}' cannot be used as the state directory; nothing was done"),
            };
            CommandError::failed(error.context(help))
        }
    }
}

/// What is wrong with the state. All errors but one name their file.
fn about_file(dir: &StateDir, error: LoadError) -> anyhow::Error {
    let names_file = !matches!(error, LoadError::Corrupt { .. });
    let error = anyhow::Error::new(error);
    if names_file {
        return error;
    }
    error.context(format!("failed to read '{}'", dir.state_file().display()))
}

fn connect(
    options: &Options,
    engine: &EngineSettings,
    deadline: Deadline<'_>,
) -> Result<Docker, CommandError> {
    Docker::connect(
        socket(options, engine),
        Duration::from_millis(engine.timeout_ms),
        Duration::from_millis(deadline.remaining_ms()),
    )
    .map_err(|error| CommandError::new(Exit::Unavailable, error))
}

/// What the engine lists now.
fn lists(
    options: &Options,
    engine: &EngineSettings,
    clocks: &Clocks,
) -> Result<Observation, CommandError> {
    let deadline = Deadline::after(clocks, PASS_MS);
    let lists = connect(options, engine, deadline)?
        .observe(&[])
        .map_err(|error| CommandError::new(Exit::Unavailable, error))?;
    Ok(Observation {
        images: lists.images,
        containers: lists.containers,
        ..Observation::default()
    })
}

/// The socket to ask: the command line's, else the policy's.
fn socket<'a>(options: &'a Options, engine: &'a EngineSettings) -> &'a Path {
    options.socket.as_deref().unwrap_or(&engine.socket)
}

/// Says what was done. It is done, whether or not that can be said.
fn tell(text: &str) {
    if let Err(failed) = print(text) {
        report::log::log_warning(None, &report::log::in_words(&failed.error));
    }
}

fn print(text: &str) -> Result<(), CommandError> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // A reader that has seen enough (`tagkeeper status | head`) is no failure.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other
            .context("failed to write to standard output")
            .map_err(CommandError::failed),
    }
}

/// What a real pass tells: the log, the hooks, and systemd's start timeout.
struct Log<'a> {
    call_timeout_ms: u64,
    hooks: &'a policy_file::Hooks,
    /// What hooks are to be notified of, once it is saved.
    spooled: Vec<Undelivered>,
    /// What is saved, and claimed by this process.
    for_hooks: Vec<Undelivered>,
}

impl<'a> Log<'a> {
    fn new(settings: &'a Settings) -> Self {
        Self {
            call_timeout_ms: settings.engine.timeout_ms,
            hooks: &settings.hooks,
            spooled: Vec::new(),
            for_hooks: Vec::new(),
        }
    }

    /// Runs the hooks for what happened. Takes the lock, once they have ended, to note which of
    /// them succeeded.
    fn run_hooks(&self, dir: &StateDir, clocks: &Clocks) {
        if self.for_hooks.is_empty() {
            return;
        }
        let notified = hooks::notify(self.hooks, &self.for_hooks, clocks);
        if notified == Notified::default() {
            return;
        }
        if let Err(failed) = settle(dir, &notified, clocks) {
            let why = report::log::in_words(&failed.error);
            let message =
                format!("failed to note that hooks were run; they will be run again: {why}");
            report::log::log_warning(None, &message);
        }
    }
}

/// Notes in the state what became of the events.
fn settle(dir: &StateDir, notified: &Notified, clocks: &Clocks) -> Result<(), CommandError> {
    let mut lock = lock_patiently(dir, clocks)?;
    let mut state = load_or_fresh(dir, Some(&mut lock))?;
    hooks::outbox::settle(&mut state, notified);
    state.clock = state.clock.advance(&clocks()).clock;
    lock.save(&state).map_err(CommandError::failed)
}

impl EventSink for Log<'_> {
    fn spool(&mut self, state: &mut State, events: &[Event], now: &Now) -> bool {
        let mut concerned = Vec::new();
        for event in events {
            if hooks::concerns(self.hooks, event) {
                match random::hex_digits::<EVENT_ID_BYTES>() {
                    Ok(id) => concerned.push((id, event.clone())),
                    Err(error) => {
                        let error = anyhow::Error::new(error);
                        self.failure(
                            Some(&event.workload),
                            &error.context("no random id, so no hook"),
                        );
                    }
                }
            }
        }
        let (spooled, dropped) = hooks::outbox::spool(state, concerned, self.hooks, now);
        hooks::warn_of_lost(&dropped, "too many events wait for their hooks");
        self.spooled = spooled;
        !self.spooled.is_empty()
    }

    fn event(&mut self, event: &Event) {
        report::log::log_event(event);
        let spooled = self.spooled.iter().position(|s| s.event == *event);
        self.for_hooks
            .extend(spooled.map(|at| self.spooled.swap_remove(at)));
    }

    fn failure(&mut self, workload: Option<&WorkloadName>, error: &anyhow::Error) {
        report::log::log_error(workload, error);
    }

    fn before_removal(&mut self) {
        notify::long_call(self.call_timeout_ms);
    }
}
