//! How the program ends: the exit codes of design section 7, in one place.

use std::process::ExitCode;

/// An exit code with a meaning. The numbers from 64 on are those of `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// The pass failed or an action did; the next pass tries again.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// `wait`: the timeout is over, and the upgrade is neither proven nor has failed.
    TimedOut = 3,
    /// The engine cannot be reached, did not answer in time, or its answer cannot be read; nothing
    /// was changed.
    Unavailable = 69,
    /// Another pass holds the lock.
    Locked = 75,
    /// The policy, or a newer state, is refused; nothing was changed.
    Refused = 78,
}

impl Exit {
    /// The number that the caller sees.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The word for it in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::TimedOut => "timed-out",
            Self::Unavailable => "unavailable",
            Self::Locked => "locked",
            Self::Refused => "refused",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
