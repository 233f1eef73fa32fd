//! Stands between the program and the engine: counts the calls of a pass, and strikes at one of
//! them.

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

use crate::engine::{Host, Ran};

/// What happens at the call that is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    /// The program is killed, and the engine never hears of the call.
    KillBeforeTheCall,
    /// The program is killed; the engine has done it.
    KillBeforeTheAnswer,
    /// The engine has done it, and goes away without a word.
    Hangup,
    /// Half an answer comes, then the end.
    HalfAnAnswer,
    /// Half an answer comes, and then nothing, for as long as the program cares to wait.
    Stall,
}

/// How a pass ended, and whether it got as far as the call that was to be struck.
pub(crate) struct Struck {
    pub(crate) ran: Ran,
    pub(crate) fell: bool,
}

struct Between {
    blow: Blow,
    at_call: u32,
    calls: AtomicU32,
    program: Pid,
    /// The call has gone through; its answer is what the blow is for.
    falling: AtomicBool,
    fell: AtomicBool,
    over: AtomicBool,
}

/// One pass, with a blow at the nth call that it makes, counted from one.
pub(crate) fn pass_struck_at(
    host: &Host,
    uptime_secs: u64,
    blow: Blow,
    at_call: u32,
) -> Result<Struck> {
    let front = host.path("between.sock");
    if let Err(e) = fs::remove_file(&front) {
        assert_eq!(e.kind(), ErrorKind::NotFound);
    }
    let listener = UnixListener::bind(&front)?;
    let mut command = host.command_at(uptime_secs, &front, &["reconcile"])?;
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let between = Arc::new(Between {
        blow,
        at_call,
        calls: AtomicU32::new(0),
        // Killed, it takes the program in its time namespace along.
        program: Pid::from_child(&child),
        falling: AtomicBool::new(false),
        fell: AtomicBool::new(false),
        over: AtomicBool::new(false),
    });
    let server = {
        let (between, engine) = (Arc::clone(&between), host.socket().to_owned());
        thread::spawn(move || between.serve(&listener, &engine))
    };
    let ran = Ran::new(child.wait_with_output()?);
    between.over.store(true, Ordering::SeqCst);
    UnixStream::connect(&front)?;
    server
        .join()
        .ok()
        .context("the thread between program and engine panicked")??;
    Ok(Struck {
        ran: ran?,
        fell: between.fell.load(Ordering::SeqCst),
    })
}

impl Between {
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

    /// Copies until one end is gone; `falls` looks at each piece first.
    fn pass_on(&self, mut from: UnixStream, mut to: UnixStream, falls: fn(&Self, &[u8]) -> bool) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if falls(self, &buffer[..count]) {
                self.fell.store(true, Ordering::SeqCst);
                self.strike(&mut from, &mut to, &buffer[..count / 2]);
                return;
            }
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        // Here and below an error means that the other end is gone already.
        let _ = to.shutdown(Shutdown::Write);
    }

    fn strike(&self, from: &mut UnixStream, to: &mut UnixStream, half: &[u8]) {
        match self.blow {
            Blow::KillBeforeTheCall | Blow::KillBeforeTheAnswer => {
                let _ = kill_process(self.program, Signal::KILL);
            }
            Blow::Hangup => {}
            Blow::HalfAnAnswer => {
                let _ = to.write_all(half);
            }
            Blow::Stall => {
                let _ = to.write_all(half);
                // The engine's end stays open until the program has given up and closed its own.
                let _ = std::io::copy(from, &mut std::io::sink());
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    }

    fn falls_on_call(&self, piece: &[u8]) -> bool {
        let is_call = [&b"GET "[..], b"POST ", b"DELETE ", b"HEAD "]
            .iter()
            .any(|method| piece.starts_with(method));
        if !is_call || self.calls.fetch_add(1, Ordering::SeqCst) + 1 != self.at_call {
            return false;
        }
        let is_for_the_call = self.blow == Blow::KillBeforeTheCall;
        self.falling.store(!is_for_the_call, Ordering::SeqCst);
        is_for_the_call
    }

    /// One answer is struck, and those after it are not.
    fn falls_on_answer(&self, _piece: &[u8]) -> bool {
        self.falling.swap(false, Ordering::SeqCst)
    }
}
