//! The ready commands that ship with tagkeeper: `sonic`, `exec` and `http` (docs/ready.md).
//!
//! One program under three names, so that a small host carries it once. It stands apart from
//! tagkeeper: it knows the environment that a `ready` command gets (design 4.3), has the bounded
//! transport to the engine and the client of Redis in common with it, and nothing else. Exit 0 is
//! ready; anything else is not, and standard error says why. What cannot be asked, read or believed
//! is not ready.

mod deadline;
mod engine;
mod exec;
mod http;
mod options;
mod sonic;
mod subject;

use std::ffi::OsString;
use std::future::Future;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use options::{Options, Usage};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use subject::Subject;

const NOT_READY: u8 = 1;
const WRONG_USAGE: u8 = 2;
/// The most that a command may have in memory, in bytes. An answer of Redis is read whole, however
/// long it is; and what takes the memory of the unit ends the pass of all workloads.
const MAX_MEMORY_BYTES: u64 = 64 * 1024 * 1024;

/// One of the three: how it is called, which options it takes, what it does.
struct Command {
    name: &'static str,
    usage: &'static str,
    options: &'static [&'static str],
    ask: fn(&Subject, &Options) -> anyhow::Result<()>,
}

const COMMANDS: [Command; 3] = [
    Command {
        name: "sonic",
        usage: sonic::USAGE,
        options: sonic::OPTIONS,
        ask: sonic::ask,
    },
    Command {
        name: "exec",
        usage: exec::USAGE,
        options: exec::OPTIONS,
        ask: exec::ask,
    },
    Command {
        name: "http",
        usage: http::USAGE,
        options: http::OPTIONS,
        ask: http::ask,
    },
];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let called = arguments.next().unwrap_or_default();
    let Some(command) = find(&called).or_else(|| find(&arguments.next()?)) else {
        let names = COMMANDS.map(|command| command.name).join("|");
        say(&format!("usage: tagkeeper-ready {names} ..."));
        return ExitCode::from(WRONG_USAGE);
    };
    let options = match Options::parse(arguments, command.options) {
        Ok(options) => options,
        Err(problem) => return refuse(command, &problem),
    };
    if options.help {
        say(&format!("usage: {}", command.usage));
        return ExitCode::SUCCESS;
    }
    let subject = Subject::from_environment();
    let label = format!("ready/{}: {}", command.name, subject.workload());
    let answer = deadline::start(&options, &label)
        .and_then(|()| bound_memory())
        .and_then(|()| (command.ask)(&subject, &options));
    let Err(problem) = answer else {
        return ExitCode::SUCCESS;
    };
    if let Some(usage) = problem.downcast_ref::<Usage>() {
        return refuse(command, usage);
    }
    say(&format!("{label}: {problem:#}"));
    ExitCode::from(NOT_READY)
}

fn bound_memory() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Data);
    let current = limit.current.unwrap_or(u64::MAX).min(MAX_MEMORY_BYTES);
    let limit = Rlimit {
        current: Some(current),
        ..limit
    };
    setrlimit(Resource::Data, limit).context("failed to bound the memory")
}

/// Runs what waits for a peer, on this thread.
fn wait_for<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to set up the wait for an answer")?
        .block_on(work)
}

/// The command of that name, or of the path that ends in it.
fn find(called: &OsString) -> Option<&'static Command> {
    let name = Path::new(called).file_name()?;
    COMMANDS.iter().find(|command| command.name == name)
}

fn refuse(command: &Command, problem: &Usage) -> ExitCode {
    say(&format!(
        "ready/{}: {problem}\nusage: {}",
        command.name, command.usage
    ));
    ExitCode::from(WRONG_USAGE)
}

/// A line for people: the journal, when tagkeeper asks.
fn say(line: &str) {
    // Whoever closed standard error does not want to know.
    let _ = writeln!(io::stderr(), "{line}");
}
