//! Runs programs of the operator, without a shell: `ready` commands and hooks. Several at the same
//! time, each within a timeout of its own and all of them within one deadline, without a thread.
//!
//! Whatever a program does, its caller is not held up beyond these: output that a grandchild keeps
//! open, ignored signals, a program that stops itself, that leaves its process group, that never
//! reads or never stops writing. What cannot be run is a value, also where the user may start no
//! more processes. Decides nothing about what follows.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::confine::{self, NotStarted};
use crate::deadline::Deadline;
use crate::duration as span;
use crate::text::is_hidden;

/// Programs that run at the same time; the next one starts when one of them ends. The unit allows
/// 32 tasks (`TasksMax=`), and a script needs more than one.
const AT_ONCE: usize = 16;
/// How often to look whether a program has ended where the kernel has no pidfd (before 5.3) or
/// refuses one.
const POLLING_MS: u64 = 20;
/// How long to wait for what was killed. Only a process that the kernel cannot end, such as one
/// that waits for a dead NFS server, takes longer.
const REAPING_MS: u64 = 1_000;
/// Bytes of output that are kept: the last ones, where a program says what went wrong.
const KEPT_OUTPUT: usize = 4 * 1024;
/// Bytes that are read at once.
const READ_SIZE: usize = 16 * 1024;
/// Reads of one program's output before others have their turn. More than a pipe holds.
const READS_AT_ONCE: usize = 8;
/// Characters of output in a message.
const SHOWN_OUTPUT: usize = 400;

/// What is to be run.
#[derive(Clone)]
pub(crate) struct Invocation<'a> {
    /// Program and arguments.
    pub(crate) command: &'a [String],
    /// Variables in addition to the caller's own.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// What it reads on standard input.
    pub(crate) input: String,
    /// How long it may run, in milliseconds from its start.
    pub(crate) timeout_ms: u64,
}

/// How one of them ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// By itself.
    Exited(ExitStatus),
    /// It did not end within its own timeout and was killed.
    TimedOut,
    /// It could not be started, or the system does not say what became of it.
    Failed(io::Error),
    /// The deadline of all came before its start or its end, or it waited in vain for another one
    /// to start: nothing is known.
    OutOfTime,
}

/// What came of one of them.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) ending: Ending,
    /// The end of its standard output and standard error: one line, at most 400 characters, nothing
    /// that a terminal acts on.
    pub(crate) output: String,
}

impl Finished {
    fn without_output(ending: Ending) -> Self {
        Self {
            ending,
            output: String::new(),
        }
    }

    /// What is to be said of everything but exit code 0, with the output.
    pub(crate) fn complaint(&self, invocation: &Invocation<'_>) -> Option<String> {
        let program = invocation.command.first().map_or("", String::as_str);
        let complaint = match &self.ending {
            Ending::Exited(status) if status.success() => return None,
            Ending::Exited(status) => format!("'{program}': {status}"),
            Ending::Failed(error) => format!("failed to run '{program}': {error}"),
            Ending::TimedOut => {
                let timeout = span::compact(invocation.timeout_ms);
                format!("'{program}' did not end within {timeout}")
            }
            Ending::OutOfTime => format!("no time was left for '{program}'"),
        };
        Some(if self.output.is_empty() {
            complaint
        } else {
            format!("{complaint}: {}", self.output)
        })
    }
}

/// Runs them all at the same time; the answers come in the order of the invocations. Returns at the
/// deadline at the latest, and a second later if something cannot be killed.
pub(crate) fn run_all(invocations: &[Invocation<'_>], deadline: Deadline<'_>) -> Vec<Finished> {
    run_watched(invocations, deadline, open_pidfd)
}

/// A descriptor that tells when a child has ended; none where the kernel has no such thing to give.
type Watch = fn(&Child) -> Option<OwnedFd>;

fn open_pidfd(child: &Child) -> Option<OwnedFd> {
    pidfd_open(pid(child)?, PidfdFlags::empty()).ok()
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn run_watched(
    invocations: &[Invocation<'_>],
    deadline: Deadline<'_>,
    watch: Watch,
) -> Vec<Finished> {
    let mut finished: Vec<Option<Finished>> = invocations.iter().map(|_| None).collect();
    let mut queue: VecDeque<usize> = (0..invocations.len()).collect();
    let mut running: Vec<Running<'_>> = Vec::new();
    let mut killed: Vec<Running<'_>> = Vec::new();
    loop {
        while running.len() < AT_ONCE && !queue.is_empty() && !deadline.is_over() {
            let Some(index) = queue.pop_front() else {
                break;
            };
            match Running::start(index, &invocations[index], deadline, watch) {
                Ok(started) => running.push(started),
                // No more processes for this user or unit: wait for one of ours to end.
                Err(NotStarted::Failed(error)) if is_shortage(&error) && !running.is_empty() => {
                    queue.push_front(index);
                    break;
                }
                Err(not_started) => {
                    let ending = match not_started {
                        NotStarted::Failed(error) => Ending::Failed(error),
                        NotStarted::Waited => Ending::OutOfTime,
                    };
                    finished[index] = Some(Finished::without_output(ending));
                }
            }
        }
        if running.is_empty() {
            break;
        }
        wait_for_any(&running, running.iter().map(|r| r.due.remaining_ms()).min());
        let mut still = Vec::with_capacity(running.len());
        for mut one in running {
            match one.advance() {
                None => still.push(one),
                Some(ending) => {
                    let output = one_line(&one.output);
                    finished[one.index] = Some(Finished { ending, output });
                    if !one.is_reaped {
                        one.kill();
                        killed.push(one);
                    }
                }
            }
        }
        running = still;
    }
    reap(killed, deadline.another(REAPING_MS));
    finished
        .into_iter()
        .map(|one| one.unwrap_or_else(|| Finished::without_output(Ending::OutOfTime)))
        .collect()
}

fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| shortages.contains(&errno))
}

/// Waits until what was killed is gone, so that it is so when the caller goes on.
fn reap(mut killed: Vec<Running<'_>>, deadline: Deadline<'_>) {
    loop {
        killed.retain_mut(|one| matches!(one.child.try_wait(), Ok(None)));
        let left_ms = deadline.remaining_ms();
        if killed.is_empty() || left_ms == 0 {
            return;
        }
        wait_for_any(&killed, Some(left_ms));
    }
}

/// Waits until one of them has ended, written or read, at most for so long.
fn wait_for_any(running: &[Running<'_>], longest_ms: Option<u64>) {
    let mut fds: Vec<PollFd<'_>> = Vec::new();
    for one in running {
        if let Some(fd) = &one.ended {
            fds.push(PollFd::new(fd, PollFlags::IN));
        }
        if let Some(fd) = &one.stdout {
            fds.push(PollFd::new(fd, PollFlags::IN));
        }
        if let Some(fd) = &one.stdin {
            fds.push(PollFd::new(fd, PollFlags::OUT));
        }
    }
    let all_tell = running.iter().all(|one| one.ended.is_some());
    let most = if all_tell { u64::MAX } else { POLLING_MS };
    let timeout = longest_ms.unwrap_or_default().min(most);
    let timeout = Duration::from_millis(timeout.min(i32::MAX.unsigned_abs().into()));
    let polled = match Timespec::try_from(timeout) {
        Ok(timeout) => rustix::event::poll(&mut fds, Some(&timeout)),
        Err(_) => Err(Errno::INVAL),
    };
    if !matches!(polled, Ok(_) | Err(Errno::INTR)) {
        // The kernel has no memory for this; looking now and then will do.
        std::thread::sleep(Duration::from_millis(POLLING_MS));
    }
}

/// A program that was started.
struct Running<'c> {
    /// Of its invocation.
    index: usize,
    child: Child,
    is_reaped: bool,
    /// Readable once it has ended; none where the kernel has no pidfd.
    ended: Option<OwnedFd>,
    /// Where its output is read, until it is closed.
    stdout: Option<OwnedFd>,
    /// Where its input is written, until all of it is or nobody reads.
    stdin: Option<OwnedFd>,
    input: Vec<u8>,
    written: usize,
    /// The last bytes of its output.
    output: Vec<u8>,
    /// When its own timeout is over, or the deadline of all comes.
    due: Deadline<'c>,
    /// Whether that is its own timeout.
    is_due_itself: bool,
}

impl<'c> Running<'c> {
    fn start(
        index: usize,
        invocation: &Invocation<'_>,
        deadline: Deadline<'c>,
        watch: Watch,
    ) -> Result<Self, NotStarted> {
        let Some((program, arguments)) = invocation.command.split_first() else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
        };
        let mut command = Command::new(program);
        command.args(arguments);
        let environment = invocation.environment.iter();
        command.envs(environment.map(|(name, value)| (*name, value.as_str())));
        // What it starts is killed with it.
        command.process_group(0);
        let (ours, theirs) = pipe()?;
        set_nonblocking(&ours)?;
        command.stdout(theirs.try_clone()?).stderr(theirs);
        let mut stdin = None;
        if invocation.input.is_empty() {
            command.stdin(Stdio::null());
        } else {
            let (theirs, ours) = pipe()?;
            set_nonblocking(&ours)?;
            command.stdin(theirs);
            stdin = Some(ours);
        }
        // Before it starts, or what it does at once would be outside of its time.
        let own = deadline.another(invocation.timeout_ms);
        let due = own.earlier_of(deadline);
        let child = confine::spawn(command, Duration::from_millis(due.remaining_ms()))?;
        Ok(Self {
            index,
            ended: watch(&child),
            child,
            is_reaped: false,
            stdout: Some(ours),
            stdin,
            input: invocation.input.clone().into_bytes(),
            written: 0,
            output: Vec::new(),
            due,
            is_due_itself: own.is_no_later_than(deadline),
        })
    }

    /// Writes and reads what there is room for, without waiting. How it ended, if it did or has no
    /// more time.
    fn advance(&mut self) -> Option<Ending> {
        self.write_input();
        self.read_output();
        match self.child.try_wait() {
            Ok(Some(status)) => {
                self.is_reaped = true;
                // What it wrote last. A grandchild that keeps the other end open is not waited for.
                self.read_output();
                Some(Ending::Exited(status))
            }
            Err(error) => Some(Ending::Failed(error)),
            Ok(None) if !self.due.is_over() => None,
            Ok(None) if self.is_due_itself => Some(Ending::TimedOut),
            Ok(None) => Some(Ending::OutOfTime),
        }
    }

    fn write_input(&mut self) {
        let Some(stdin) = &self.stdin else {
            return;
        };
        let is_open = loop {
            let Some(left) = self.input.get(self.written..).filter(|l| !l.is_empty()) else {
                break false;
            };
            match rustix::io::write(stdin, left) {
                Ok(written) => self.written += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break true,
                // Whoever does not care to read says what it thinks by its exit code.
                Err(_) => break false,
            }
        };
        if !is_open {
            self.stdin = None;
        }
    }

    fn read_output(&mut self) {
        let Some(stdout) = &self.stdout else {
            return;
        };
        let is_open = read_some(stdout.as_fd(), &mut self.output);
        if !is_open {
            self.stdout = None;
        }
    }

    /// Kills it and what it started. Its own group is named after it, so this is never the
    /// caller's; and it may have left that group, so it is killed by itself as well. It was not
    /// reaped yet, so its number is nobody else's.
    fn kill(&mut self) {
        if let Some(group) = pid(&self.child) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.kill();
        self.stdout = None;
        self.stdin = None;
    }
}

/// Both ends are closed in the programs that are started.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?)
}

/// Only this end: the flag belongs to what a descriptor means, and the program has the other end.
fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)?)
}

/// Reads what is there, up to a limit, and keeps the end of it. Whether more may come.
fn read_some(fd: BorrowedFd<'_>, kept: &mut Vec<u8>) -> bool {
    let mut buffer = [0; READ_SIZE];
    for _ in 0..READS_AT_ONCE {
        match rustix::io::read(fd, &mut buffer) {
            Ok(0) => return false,
            Ok(read) => {
                kept.extend_from_slice(&buffer[..read]);
                let surplus = kept.len().saturating_sub(KEPT_OUTPUT);
                kept.drain(..surplus);
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return true,
            Err(_) => return false,
        }
    }
    true
}

/// The end of an output as part of a message.
fn one_line(output: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(output)
        .chars()
        .map(|c| if is_separator(c) { ' ' } else { c })
        .filter(|c| !is_hidden(*c))
        .collect();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let length = line.chars().count();
    if length <= SHOWN_OUTPUT {
        return line;
    }
    let surplus = length - (SHOWN_OUTPUT - 1);
    let end: String = line.chars().skip(surplus).collect();
    format!("…{end}")
}

fn is_separator(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\t')
}

#[cfg(test)]
#[path = "process/tests.rs"]
mod tests;
