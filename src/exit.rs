//! How the program ends: the exit codes of design section 7, in one place.

use std::process::ExitCode;

/// An exit code with a meaning. The numbers from 64 on are those of `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// The pass failed or an action did; the next pass tries again.
    Failed,
    /// Wrong usage.
    Usage,
    /// `wait`: the timeout is over, and the upgrade is neither proven nor has failed.
    TimedOut,
    /// The engine cannot be reached, did not answer in time, or its answer cannot be read; nothing
    /// was changed.
    Unavailable,
    /// Another pass holds the lock.
    Locked,
    /// The policy, or a newer state, is refused; nothing was changed.
    Refused,
}

impl Exit {
    /// The number that the caller sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::TimedOut => 3,
            Self::Unavailable => 69,
            Self::Locked => 75,
            Self::Refused => 78,
        }
    }
}

impl Exit {
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
