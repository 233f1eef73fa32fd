//! The commands: each puts policy, state, engine and report together, and says how it ended.
//!
//! The only place where files, engine and report meet. It decides nothing; `decide` does, through `pass`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};

use crate::cli::{Cli, Command, Format};
use crate::decide::{Event, Plan};
use crate::engine::Docker;
use crate::exit::Exit;
use crate::image::Version;
use crate::pass::{self, Pass, PassError, ReadyAsker, Witness};
use crate::policy::{self, Policy, WorkloadName};
use crate::report;
use crate::state::{LoadError, Loaded, Lock, LockError, Now, Reading, State, StateDir, Store};

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
        Self { exit, error: error.into() }
    }

    fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self::new(Exit::Failed, error)
    }
}

/// Runs what the command line asks for. `reading` is the one look at the clocks.
pub fn run(cli: &Cli, reading: &Reading) -> Exit {
    let ended = match &cli.command {
        Command::Reconcile => reconcile(cli, reading),
        Command::Plan => show(cli, reading, View::Plan),
        Command::Status => show(cli, reading, View::Status),
        Command::Check => check(cli),
        Command::Rollback { workload } => rollback(cli, reading, workload),
        Command::Accept { workload, version } => accept(cli, reading, workload, version),
    };
    ended.unwrap_or_else(|stop| {
        report::log::error(None, &stop.error);
        stop.exit
    })
}

fn reconcile(cli: &Cli, reading: &Reading) -> Result<Exit, Stop> {
    let policy = load_policy(cli)?;
    let dir = state_dir(cli);
    let mut lock = dir.lock().map_err(|error| match error {
        LockError::Held => Stop::new(Exit::Locked, anyhow::Error::new(error)),
        other => Stop::failed(other),
    })?;
    let (state, set_aside) = load_or_set_aside(&dir, &mut lock, reading)?;
    let now = state.clock.advance(reading);
    if policy.workloads.is_empty() {
        report::log::idle_policy();
    }

    let mut engine = connect(cli, &policy)?;
    let mut witness = Log { call_timeout_ms: policy.engine.timeout_ms };
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
    report::notify_status(&outcome.plan);
    Ok(if outcome.failed_actions > 0 || set_aside { Exit::Failed } else { Exit::Done })
}

/// What `plan` and `status` have in common: they look, print, and move nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    Plan,
    Status,
}

fn show(cli: &Cli, reading: &Reading, view: View) -> Result<Exit, Stop> {
    let policy = load_policy(cli)?;
    let dir = state_dir(cli);
    let (state, readable) = match dir.load() {
        Ok(Loaded::State(state)) => (state, true),
        Ok(Loaded::Absent) => (State::fresh(), true),
        Err(error @ LoadError::Corrupt { .. }) => {
            let error = anyhow::Error::new(error).context(
                "the state cannot be read; this is what a fresh start would do, and the next pass sets the file aside",
            );
            report::log::error(None, &error);
            (State::fresh(), false)
        }
        Err(error) => return Err(stop_of_load(error)),
    };
    let now = state.clock.advance(reading);
    let mut engine = connect(cli, &policy)?;
    let mut run_ready = crate::ready::ask;
    let mut asker = ReadyAsker::new(&mut run_ready);
    // `ready` commands are for passes and for what shows the next pass; `status` runs none (design 4.3).
    let asker = (view == View::Plan).then_some(&mut asker);
    let decision = pass::look(&mut engine, &policy, &state, &now, asker)
        .map_err(|error| Stop::new(Exit::Unavailable, error))?;
    print(&render(&decision.plan, view, cli.format))?;
    Ok(if readable { Exit::Done } else { Exit::Failed })
}

fn render(plan: &Plan, view: View, format: Format) -> String {
    match (view, format) {
        (View::Plan, Format::Text) => report::plan_text(plan),
        (View::Plan, Format::Json) => report::plan_json(plan),
        (View::Status, Format::Text) => report::status_text(plan),
        (View::Status, Format::Json) => report::status_json(plan),
    }
}

fn check(cli: &Cli) -> Result<Exit, Stop> {
    let policy = load_policy(cli)?;
    print(&match cli.format {
        Format::Text => report::check_text(&policy),
        Format::Json => report::check_json(&policy),
    })?;
    Ok(Exit::Done)
}

fn rollback(cli: &Cli, reading: &Reading, workload: &str) -> Result<Exit, Stop> {
    let policy = load_policy(cli)?;
    let name = known_workload(policy.workloads.keys(), workload)?;
    let dir = state_dir(cli);
    let mut lock = dir.lock_waiting().map_err(Stop::failed)?;
    let state = load_or_fresh(&dir)?;
    let now = state.clock.advance(reading);
    let mut engine = connect(cli, &policy)?;
    let mut witness = Log { call_timeout_ms: policy.engine.timeout_ms };
    let mut run_ready = crate::ready::ask;
    let mut pass = Pass {
        policy: &policy,
        now: &now,
        engine: &mut engine,
        store: &mut lock,
        witness: &mut witness,
        ready: ReadyAsker::new(&mut run_ready),
    };
    let done = pass::roll_back(&mut pass, &state, &name).map_err(stop_of)?.map_err(Stop::failed)?;
    print(&report::rollback_text(&name, &done))?;
    Ok(if done.failed_actions > 0 { Exit::Failed } else { Exit::Done })
}

fn accept(cli: &Cli, reading: &Reading, workload: &str, version: &str) -> Result<Exit, Stop> {
    let policy = load_policy(cli)?;
    let dir = state_dir(cli);
    let mut lock = dir.lock_waiting().map_err(Stop::failed)?;
    let state = load_or_fresh(&dir)?;
    let name = known_workload(policy.workloads.keys().chain(state.workloads.keys()), workload)?;
    let now = state.clock.advance(reading);
    let Some(accepted) = crate::decide::accept(&state, &now, &name, &Version::new(version)) else {
        let rejected = state.workloads.get(&name).map(|known| &known.rejected).into_iter().flatten();
        let versions: Vec<_> = rejected.map(|(_, rejection)| rejection.version.as_str()).collect();
        let known = if versions.is_empty() { "nothing is".to_owned() } else { versions.join(", ") };
        return Err(Stop::failed(anyhow!("version '{version}' of '{name}' is not rejected (rejected: {known})")));
    };
    lock.save(&accepted).map_err(Stop::failed)?;
    print(&format!("{name}: {version} is accepted again; it is soaked when it serves\n"))?;
    Ok(Exit::Done)
}

fn load_policy(cli: &Cli) -> Result<Policy, Stop> {
    let loaded = match &cli.policy {
        Some(file) => policy::load_file(file),
        None => policy::load(&policy::Roots::default()),
    };
    loaded.map_err(|refused| Stop::new(Exit::Refused, refused))
}

fn known_workload<'n>(mut known: impl Iterator<Item = &'n WorkloadName> + Clone, name: &str) -> Result<WorkloadName, Stop> {
    let names: Vec<_> = known.clone().map(WorkloadName::as_str).collect();
    known.find(|workload| workload.as_str() == name).cloned().ok_or_else(|| {
        let near = names.iter().find(|candidate| strsim::damerau_levenshtein(candidate, name) <= 2);
        let hint = match near {
            Some(near) => format!("did you mean '{near}'?"),
            None if names.is_empty() => "the policy names no workload".to_owned(),
            None => format!("the policy names {}", names.join(", ")),
        };
        Stop::new(Exit::Usage, anyhow!("there is no workload '{name}': {hint}"))
    })
}

fn state_dir(cli: &Cli) -> StateDir {
    let from_systemd = || {
        // With several directories systemd separates them by colons; the unit asks for one.
        let listed = std::env::var("STATE_DIRECTORY").ok().filter(|dirs| !dirs.is_empty())?;
        listed.split(':').next().map(PathBuf::from)
    };
    let dir = cli.state_dir.clone().or_else(from_systemd).unwrap_or_else(|| PathBuf::from(DEFAULT_STATE_DIR));
    StateDir::new(dir)
}

/// A pass goes on without a state that cannot be read, but the file is kept, and the pass counts as failed.
fn load_or_set_aside(dir: &StateDir, lock: &mut Lock, reading: &Reading) -> Result<(State, bool), Stop> {
    match dir.load() {
        Ok(Loaded::State(state)) => Ok((state, false)),
        Ok(Loaded::Absent) => Ok((State::fresh(), false)),
        Err(error @ LoadError::Corrupt { .. }) => {
            let kept = lock.set_aside(&reading.wall).map_err(Stop::failed)?;
            let error = anyhow::Error::new(error)
                .context(format!("the state cannot be read; it is kept as '{}', and this is a fresh start", kept.display()));
            report::log::error(None, &error);
            Ok((State::fresh(), true))
        }
        Err(error) => Err(stop_of_load(error)),
    }
}

/// A person's command does not go on without the state it would change.
fn load_or_fresh(dir: &StateDir) -> Result<State, Stop> {
    match dir.load() {
        Ok(Loaded::State(state)) => Ok(state),
        Ok(Loaded::Absent) => Ok(State::fresh()),
        Err(error @ LoadError::Corrupt { .. }) => Err(Stop::failed(
            anyhow::Error::new(error)
                .context("the state cannot be read; run `tagkeeper reconcile`, which sets it aside, and try again"),
        )),
        Err(error) => Err(stop_of_load(error)),
    }
}

fn stop_of_load(error: LoadError) -> Stop {
    let exit = if matches!(error, LoadError::Newer { .. }) { Exit::Refused } else { Exit::Failed };
    Stop::new(exit, error)
}

fn connect(cli: &Cli, policy: &Policy) -> Result<Docker, Stop> {
    let socket: &Path = cli.socket.as_deref().unwrap_or(&policy.engine.socket);
    Docker::connect(socket, Duration::from_millis(policy.engine.timeout_ms), PASS_DEADLINE)
        .map_err(|error| Stop::new(Exit::Unavailable, error))
}

fn stop_of(error: PassError) -> Stop {
    match error {
        PassError::Unobserved(error) => Stop::new(Exit::Unavailable, error.context("nothing was changed")),
        PassError::Broken(error) => Stop::failed(error),
    }
}

fn print(text: &str) -> Result<(), Stop> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // A reader that has seen enough (`tagkeeper status | head`) is no failure.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("failed to write to standard output").map_err(Stop::failed),
    }
}

/// The witness of a real pass: the log, and systemd's start timeout.
struct Log {
    call_timeout_ms: u64,
}

impl Witness for Log {
    fn event(&mut self, event: &Event) {
        report::log::event(event);
    }

    fn failure(&mut self, workload: Option<&WorkloadName>, error: &anyhow::Error) {
        report::log::error(workload, error);
    }

    fn before_removal(&mut self) {
        report::notify_long_call(self.call_timeout_ms);
    }
}
