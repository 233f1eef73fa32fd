//! Confinement by Landlock: from here on the calling thread writes below a few directories and
//! nowhere else, and has no TCP.
//!
//! It is for the thread that reads what the engine answers. Programs of the operator, which may
//! need more, are started by [`spawn`], from a thread that was there before and is not confined;
//! what they may do is for the unit to say. Best effort: a kernel without Landlock (before 5.13, or
//! with it off) confines nothing, and one that knows less of it confines less.

use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SendError, Sender, SyncSender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, path_beneath_rules,
};

/// What is known here of Landlock: Linux 6.7, with truncation and TCP.
const KNOWN: ABI = ABI::V4;

/// A program to start, and where to say how that went.
struct Launch {
    command: Command,
    answer: SyncSender<io::Result<Child>>,
    /// Set by whoever comes first: the launcher that starts it, or the caller that gives up.
    is_decided: Arc<AtomicBool>,
}

static LAUNCHER: OnceLock<Sender<Launch>> = OnceLock::new();

/// Confines the calling thread, and all that it starts other than by [`spawn`], to writing below
/// these directories. One that is not there is left out. Returns whether the kernel does at least a
/// part of it. Only with `spawns` may [`spawn`] start programs that are not confined.
///
/// # Errors
/// No thread can be started for [`spawn`], or the kernel refuses; nothing is confined then.
pub fn to_writing_below(directories: &[&Path], spawns: bool) -> io::Result<bool> {
    if spawns && LAUNCHER.get().is_none() {
        let (launcher, queue) = mpsc::channel::<Launch>();
        thread::Builder::new()
            .name("launcher".to_owned())
            .spawn(move || {
                for Launch {
                    mut command,
                    answer,
                    is_decided,
                } in queue
                {
                    if is_decided.swap(true, Ordering::Relaxed) {
                        continue;
                    }
                    // Nobody would end what starts after its caller has given up.
                    if let Err(SendError(Ok(mut late))) = answer.send(command.spawn()) {
                        let _ = late.kill();
                        let _ = late.wait();
                    }
                }
            })?;
        // There is one: a second one ends as its channel is dropped.
        let _ = LAUNCHER.set(launcher);
    }
    let writes = AccessFs::from_write(KNOWN);
    let confined = Ruleset::default()
        .handle_access(writes)
        .and_then(|rules| rules.handle_access(AccessNet::from_all(KNOWN)))
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rules(path_beneath_rules(directories, writes)))
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(io::Error::other)?;
    Ok(confined.ruleset != RulesetStatus::NotEnforced)
}

/// Whether the kernel has Landlock, and it is on.
pub fn is_possible() -> bool {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_write(ABI::V1))
        .and_then(Ruleset::create)
        .is_ok()
}

/// Why a program was not started.
#[derive(Debug)]
pub enum NotStarted {
    /// As [`Command::spawn`] says; `TimedOut` if it did not start in time.
    Failed(io::Error),
    /// It was not tried: an earlier one did not start all that time.
    Waited,
}

impl From<io::Error> for NotStarted {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Starts a program outside of the confinement, within a time: one on a network disk that is away
/// starts when that is back, and the next ones behind it.
///
/// # Errors
/// It was not started.
pub fn spawn(mut command: Command, within: Duration) -> Result<Child, NotStarted> {
    let Some(launcher) = LAUNCHER.get() else {
        return Ok(command.spawn()?);
    };
    let (answer, answered) = mpsc::sync_channel(1);
    let is_decided = Arc::new(AtomicBool::new(false));
    let launch = Launch {
        command,
        answer,
        is_decided: Arc::clone(&is_decided),
    };
    launcher.send(launch).map_err(io::Error::other)?;
    let late = || io::Error::new(io::ErrorKind::TimedOut, "it did not start in time");
    match answered.recv_timeout(within) {
        Ok(started) => Ok(started?),
        Err(_) if is_decided.swap(true, Ordering::Relaxed) => Err(late().into()),
        Err(_) => Err(NotStarted::Waited),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The launcher waits, as it does in the start of a program on a disk that is away.
    #[test]
    fn who_waits_behind_a_program_that_does_not_start_is_not_tried() {
        let confined = thread::spawn(|| to_writing_below(&[], true));
        confined.join().unwrap().unwrap();
        let (answer, stuck) = mpsc::sync_channel(0);
        let first = Launch {
            command: Command::new("true"),
            answer,
            is_decided: Arc::default(),
        };
        LAUNCHER.get().unwrap().send(first).unwrap();
        let temp = tempfile::tempdir().unwrap();
        let mut touch = Command::new("touch");
        touch.arg(temp.path().join("late"));
        let error = spawn(touch, Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, NotStarted::Waited), "{error:?}");

        stuck.recv().unwrap().unwrap().wait().unwrap();
        let mut next = spawn(Command::new("true"), Duration::from_secs(60)).unwrap();
        assert!(next.wait().unwrap().success());
        assert!(
            !temp.path().join("late").exists(),
            "its caller had given up"
        );
    }

    /// In a thread of its own, as there is no way back.
    #[test]
    fn it_writes_below_the_directories_and_nowhere_else_but_what_it_starts_may() {
        assert!(is_possible(), "this kernel has no Landlock");
        let (mine, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(other.path().join("there"), "x").unwrap();
        let confined = thread::spawn({
            let (mine, other) = (mine.path().to_owned(), other.path().to_owned());
            move || {
                assert!(to_writing_below(&[&mine, Path::new("/no/such/directory")], true).unwrap());
                fs::write(mine.join("state.new"), "1").unwrap();
                fs::rename(mine.join("state.new"), mine.join("state")).unwrap();
                assert_eq!(fs::read_to_string(other.join("there")).unwrap(), "x");
                for refused in [
                    fs::write(other.join("new"), ""),
                    fs::write(other.join("there"), ""),
                    fs::remove_file(other.join("there")),
                    fs::rename(mine.join("state"), other.join("state")),
                    std::net::TcpStream::connect("127.0.0.1:9").map(drop),
                ] {
                    let refused = refused.map_err(|e| e.kind());
                    assert!(
                        matches!(
                            refused,
                            Err(io::ErrorKind::PermissionDenied | io::ErrorKind::CrossesDevices)
                        ),
                        "{refused:?}"
                    );
                }
                let touch = |name: &str| {
                    let mut touch = Command::new("touch");
                    touch.arg(other.join(name));
                    touch
                };
                let touched = spawn(touch("by-spawn"), Duration::from_secs(60));
                assert!(touched.unwrap().wait().unwrap().success());
                assert!(!touch("by-itself").output().unwrap().status.success());
            }
        });
        confined.join().unwrap();
        assert!(other.path().join("by-spawn").exists() && !other.path().join("by-itself").exists());
    }
}
