//! The commands: each puts policy, state, engine and report together, and says how it ended.
//!
//! The only place where files, engine and report meet. It decides nothing; `decide` does, through `pass`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};

use crate::cli::{Cli, Command, Format, Options};
use crate::decide::{Decision, Event};
use crate::engine::Docker;
use crate::exit::Exit;
use crate::image::Version;
use crate::notify;
use crate::pass::{self, Pass, PassError, ReadyAsker, Witness};
use crate::policy::{self, Policy, Refused, WorkloadName};
use crate::report::{self, Preface};
use crate::state::{LoadError, Loaded, Lock, LockError, Reading, State, StateDir};

/// Where the state lives when neither the command line nor systemd says.
const DEFAULT_STATE_DIR: &str = "/var/lib/tagkeeper";
/// The pass's own deadline: after it no call begins, and what is left is left to the next pass (design section 3). Shorter
/// than the unit's, so that the pass can say what happened.
const PASS_DEADLINE: Duration = Duration::from_secs(5 * 60);

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

/// Runs what the command line asks for. `reading` is the one look at the clocks.
pub fn run(cli: &Cli, reading: &Reading) -> Exit {
    let options = &cli.options;
    let ended = match &cli.command {
        Command::Reconcile => reconcile(options, reading),
        Command::Plan => show(options, reading, View::Plan),
        Command::Status => show(options, reading, View::Status),
        Command::Check => check(options),
        Command::Rollback { workload } => rollback(options, reading, workload),
        Command::Accept { workload, version } => accept(options, reading, workload, version),
    };
    ended.unwrap_or_else(|stop| {
        report::log::log_error(None, &stop.error);
        notify::status(&format!("failed: {}", report::log::in_words(&stop.error)));
        stop.exit
    })
}

fn reconcile(options: &Options, reading: &Reading) -> Result<Exit, Stop> {
    let policy = load_policy(options)?;
    let dir = state_dir(options);
    let mut lock = dir.lock().map_err(|error| match error {
        LockError::Held => Stop::new(Exit::Locked, anyhow::Error::new(error)),
        LockError::Io(_) => Stop::failed(error),
    })?;
    let (state, set_aside) = load_or_set_aside(&dir, &mut lock, reading)?;
    let now = state.clock.advance(reading);
    if policy.workloads.is_empty() {
        report::log::log_empty_policy(&policy_file(options));
    }

    let mut engine = connect(options, &policy)?;
    let mut witness = Log {
        call_timeout_ms: policy.engine.timeout_ms,
    };
    let mut run_ready = crate::ready::ask;
    let outcome = Pass {
        policy: &policy,
        now: &now,
        engine: &mut engine,
        store: &mut lock,
        witness: &mut witness,
        ready: ReadyAsker::new(&mut run_ready),
    }
    .run(state)
    .map_err(stop_of)?;
    notify::status(&report::status_line(&outcome.plan));
    Ok(if outcome.failed_actions > 0 || set_aside {
        Exit::Failed
    } else {
        Exit::Done
    })
}

/// What `plan` and `status` have in common: they look, print, and move nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    Plan,
    Status,
}

fn show(options: &Options, reading: &Reading, view: View) -> Result<Exit, Stop> {
    let policy = load_policy(options)?;
    let mut preface = Preface::new(policy_file(options));
    let dir = state_dir(options);
    let state = match dir.load() {
        Ok(Loaded::State(state)) => state,
        Ok(Loaded::Absent) => State::fresh(),
        Err(error @ LoadError::Corrupt { .. }) => {
            let error = about_file(&dir, error);
            preface.notes.push(format!(
                "{error:#}; this is what a fresh start would do, and the next pass sets the file aside"
            ));
            report::log::log_error(None, &error);
            State::fresh()
        }
        Err(error) => return Err(stop_of_load(&dir, error)),
    };
    let now = state.clock.advance(reading);
    let mut engine = connect(options, &policy)?;
    let mut run_ready = crate::ready::ask;
    let mut asker = ReadyAsker::new(&mut run_ready);
    // `ready` commands are for passes and for what shows the next pass; `status` runs none (design 4.3).
    let asker = (view == View::Plan).then_some(&mut asker);
    let decision = pass::look(&mut engine, &policy, &state, &now, asker)
        .map_err(|error| Stop::new(Exit::Unavailable, error))?;
    print(&render(&decision, &preface, view, options.format))?;
    Ok(if preface.notes.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn render(decision: &Decision, preface: &Preface, view: View, format: Format) -> String {
    let plan = &decision.plan;
    match (view, format) {
        (View::Plan, Format::Text) => report::text::plan(plan, preface),
        (View::Plan, Format::Json) => report::json::plan(plan, preface),
        (View::Status, Format::Text) => report::text::status(plan, preface),
        (View::Status, Format::Json) => report::json::status(plan, preface),
    }
}

fn check(options: &Options) -> Result<Exit, Stop> {
    let loaded = read_policy(options);
    match (&loaded, options.format) {
        (Ok(policy), Format::Text) => print(&report::text::check(
            policy,
            &Preface::new(policy_file(options)),
        ))?,
        (loaded, Format::Json) => print(&report::json::check(loaded.as_ref()))?,
        (Err(_), Format::Text) => {}
    }
    loaded
        .map(|_| Exit::Done)
        .map_err(|refused| Stop::new(Exit::Refused, refused))
}

fn rollback(options: &Options, reading: &Reading, workload: &WorkloadName) -> Result<Exit, Stop> {
    let policy = load_policy(options)?;
    let name = known_workload(policy.workloads.keys(), workload)?;
    let dir = state_dir(options);
    let mut lock = dir.lock_waiting().map_err(Stop::failed)?;
    let state = load_or_fresh(&dir)?;
    let now = state.clock.advance(reading);
    let mut engine = connect(options, &policy)?;
    let mut witness = Log {
        call_timeout_ms: policy.engine.timeout_ms,
    };
    let mut run_ready = crate::ready::ask;
    let mut pass = Pass {
        policy: &policy,
        now: &now,
        engine: &mut engine,
        store: &mut lock,
        witness: &mut witness,
        ready: ReadyAsker::new(&mut run_ready),
    };
    let done = pass::roll_back(&mut pass, &state, &name)
        .map_err(stop_of)?
        .map_err(Stop::failed)?;
    print(&report::text::rolled_back(&name, &done))?;
    Ok(if done.failed_actions > 0 {
        Exit::Failed
    } else {
        Exit::Done
    })
}

fn accept(
    options: &Options,
    reading: &Reading,
    workload: &WorkloadName,
    version: &Version,
) -> Result<Exit, Stop> {
    let policy = load_policy(options)?;
    let dir = state_dir(options);
    let mut lock = dir.lock_waiting().map_err(Stop::failed)?;
    let state = load_or_fresh(&dir)?;
    let name = known_workload(
        policy.workloads.keys().chain(state.workloads.keys()),
        workload,
    )?;
    let now = state.clock.advance(reading);
    let Some(accepted) = crate::decide::accept(&state, &now, &name, version) else {
        let rejected = state
            .workloads
            .get(&name)
            .map(|known| &known.rejected)
            .into_iter()
            .flatten();
        let versions: Vec<_> = rejected
            .map(|(_, rejection)| rejection.version.as_str())
            .collect();
        let known = if versions.is_empty() {
            "nothing is".to_owned()
        } else {
            versions.join(", ")
        };
        return Err(Stop::failed(anyhow!(
            "version '{version}' of '{name}' is not rejected (rejected: {known})"
        )));
    };
    lock.save(&accepted).map_err(Stop::failed)?;
    print(&format!(
        "{name}: {version} is accepted again; it is soaked when it serves\n"
    ))?;
    Ok(Exit::Done)
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

fn known_workload<'n>(
    mut known: impl Iterator<Item = &'n WorkloadName> + Clone,
    name: &WorkloadName,
) -> Result<WorkloadName, Stop> {
    let names: Vec<_> = known.clone().map(WorkloadName::as_str).collect();
    known
        .find(|workload| *workload == name)
        .cloned()
        .ok_or_else(|| {
            let near = names
                .iter()
                .find(|candidate| strsim::damerau_levenshtein(candidate, name.as_str()) <= 2);
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

/// A pass goes on without a state that cannot be read, but the file is kept, and the pass counts as failed.
fn load_or_set_aside(
    dir: &StateDir,
    lock: &mut Lock,
    reading: &Reading,
) -> Result<(State, bool), Stop> {
    match dir.load() {
        Ok(Loaded::State(state)) => Ok((state, false)),
        Ok(Loaded::Absent) => Ok((State::fresh(), false)),
        Err(error @ LoadError::Corrupt { .. }) => {
            let kept = lock.set_aside(&reading.wall).map_err(Stop::failed)?;
            let error = about_file(dir, error).context(format!(
                "the state cannot be read; it is kept as '{}', and this is a fresh start",
                kept.display()
            ));
            report::log::log_error(None, &error);
            Ok((State::fresh(), true))
        }
        Err(error) => Err(stop_of_load(dir, error)),
    }
}

/// A person's command does not go on without the state it would change.
fn load_or_fresh(dir: &StateDir) -> Result<State, Stop> {
    match dir.load() {
        Ok(Loaded::State(state)) => Ok(state),
        Ok(Loaded::Absent) => Ok(State::fresh()),
        Err(error @ LoadError::Corrupt { .. }) => Err(Stop::failed(
            about_file(dir, error)
                .context("the state cannot be read; run `tagkeeper reconcile`, which sets it aside, and try again"),
        )),
        Err(error) => Err(stop_of_load(dir, error)),
    }
}

fn stop_of_load(dir: &StateDir, error: LoadError) -> Stop {
    let exit = if matches!(error, LoadError::Newer { .. }) {
        Exit::Refused
    } else {
        Exit::Failed
    };
    Stop::new(exit, about_file(dir, error))
}

fn about_file(dir: &StateDir, error: LoadError) -> anyhow::Error {
    let file = dir.state_file();
    anyhow::Error::new(error).context(format!("failed to read '{}'", file.display()))
}

fn connect(options: &Options, policy: &Policy) -> Result<Docker, Stop> {
    let socket: &Path = options.socket.as_deref().unwrap_or(&policy.engine.socket);
    Docker::connect(
        socket,
        Duration::from_millis(policy.engine.timeout_ms),
        PASS_DEADLINE,
    )
    .map_err(|error| Stop::new(Exit::Unavailable, error))
}

fn stop_of(error: PassError) -> Stop {
    match error {
        PassError::Unobserved(error) => {
            Stop::new(Exit::Unavailable, error.context("nothing was changed"))
        }
        PassError::Broken(error) => Stop::failed(error),
    }
}

fn print(text: &str) -> Result<(), Stop> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // A reader that has seen enough (`tagkeeper status | head`) is no failure.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other
            .context("failed to write to standard output")
            .map_err(Stop::failed),
    }
}

/// The witness of a real pass: the log, and systemd's start timeout.
struct Log {
    call_timeout_ms: u64,
}

impl Witness for Log {
    fn event(&mut self, event: &Event) {
        report::log::log_event(event);
    }

    fn failure(&mut self, workload: Option<&WorkloadName>, error: &anyhow::Error) {
        report::log::log_error(workload, error);
    }

    fn before_removal(&mut self) {
        notify::long_call(self.call_timeout_ms);
    }
}
