//! R8 to the letter: the program is killed at every call it makes to the engine, and nothing is lost.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::START;
use crate::engine::{Host, MINUTE, Ran, SOAKED};
use crate::story::{names, roll_out, soak, upgrade, withdraw};

/// More calls than a pass of this story makes.
const ENOUGH_CALLS: u32 = 100;

/// When to kill: the engine never hears of the call, or has done it and the program never learns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kill {
    BeforeTheCall,
    BeforeTheAnswer,
}

/// Stands between the program and the engine, counts calls and kills the program at one of them.
struct Guillotine {
    kill: Kill,
    at_call: u32,
    calls: AtomicU32,
    program: Pid,
    /// The call has gone through; its answer shall not.
    falling: AtomicBool,
    over: AtomicBool,
}

#[test]
fn r8_killed_before_any_call_nothing_is_lost() -> Result<()> {
    killed_at_every_call(Kill::BeforeTheCall)
}

#[test]
fn r8_killed_before_any_answer_nothing_is_lost() -> Result<()> {
    killed_at_every_call(Kill::BeforeTheAnswer)
}

/// A promotion with everything that follows it, by passes of which each is killed one call later than the one before.
fn killed_at_every_call(kill: Kill) -> Result<()> {
    let host = Host::new("r8-kill")?;
    let v1 = roll_out(&host, "v1")?;
    let now = soak(&host, START)?;
    let (v2, now) = upgrade(&host, "v1", "v2", now + MINUTE)?;
    withdraw(&host, "v2")?;
    let v3 = roll_out(&host, "v3")?;
    host.pass_at(now + MINUTE)?;

    let due = now + MINUTE + SOAKED;
    let mut killed = 0;
    for at_call in 1..ENOUGH_CALLS {
        let ran = pass_through_guillotine(&host, due, kill, at_call)?;
        let latest = host.id("local:latest")?;
        assert!(
            latest == v2 || latest == v3,
            "killed at call {at_call}, latest is {latest}"
        );
        assert!(
            host.holds(&v2)? && host.holds(&v3)?,
            "killed at call {at_call}"
        );
        if ran.code.is_some() {
            assert_eq!(ran.code, Some(0), "{ran:#?}");
            break;
        }
        killed += 1;
    }
    assert!(
        (2..ENOUGH_CALLS - 1).contains(&killed),
        "killed {killed} times"
    );
    assert_eq!(host.id("local:latest")?, v3);
    assert_eq!(
        host.disk()?,
        names(["local:latest", "remote:v2", "remote:v3"])
    );
    assert!(!host.holds(&v1)?);
    Ok(())
}

fn pass_through_guillotine(host: &Host, uptime_secs: u64, kill: Kill, at_call: u32) -> Result<Ran> {
    let front = host.path("guillotine.sock");
    if let Err(e) = fs::remove_file(&front) {
        assert_eq!(e.kind(), ErrorKind::NotFound);
    }
    let listener = UnixListener::bind(&front)?;
    let mut command = host.command_at(uptime_secs, &front, &["reconcile"])?;
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let guillotine = Arc::new(Guillotine {
        kill,
        at_call,
        calls: AtomicU32::new(0),
        // Killed, it takes the program in its time namespace along.
        program: Pid::from_child(&child),
        falling: AtomicBool::new(false),
        over: AtomicBool::new(false),
    });
    let server = {
        let (guillotine, engine) = (Arc::clone(&guillotine), host.socket().to_owned());
        thread::spawn(move || guillotine.serve(&listener, &engine))
    };
    let ran = Ran::new(child.wait_with_output()?);
    guillotine.over.store(true, Ordering::SeqCst);
    UnixStream::connect(&front)?;
    server
        .join()
        .ok()
        .context("the thread between program and engine panicked")??;
    ran
}

impl Guillotine {
    fn serve(self: &Arc<Self>, listener: &UnixListener, engine: &Path) -> Result<()> {
        loop {
            let (program, _) = listener.accept()?;
            if self.over.load(Ordering::SeqCst) {
                return Ok(());
            }
            let engine = UnixStream::connect(engine)?;
            let (to_engine, to_program) = (engine.try_clone()?, program.try_clone()?);
            let (calls, answers) = (Arc::clone(self), Arc::clone(self));
            thread::spawn(move || calls.pass_on(program, to_engine, Self::falls_on_call));
            thread::spawn(move || answers.pass_on(engine, to_program, Self::falls_on_answer));
        }
    }

    /// Copies until one end is gone; `falls` looks at each piece first, and ends it.
    fn pass_on(&self, mut from: UnixStream, mut to: UnixStream, falls: fn(&Self, &[u8]) -> bool) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if falls(self, &buffer[..count]) {
                // An error means that it is dead already.
                let _ = kill_process(self.program, Signal::KILL);
                return;
            }
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }

    fn falls_on_call(&self, piece: &[u8]) -> bool {
        let is_call = [&b"GET "[..], b"POST ", b"DELETE ", b"HEAD "]
            .iter()
            .any(|method| piece.starts_with(method));
        if !is_call || self.calls.fetch_add(1, Ordering::SeqCst) + 1 != self.at_call {
            return false;
        }
        self.falling.store(true, Ordering::SeqCst);
        self.kill == Kill::BeforeTheCall
    }

    fn falls_on_answer(&self, _piece: &[u8]) -> bool {
        self.kill == Kill::BeforeTheAnswer && self.falling.load(Ordering::SeqCst)
    }
}
