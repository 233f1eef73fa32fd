//! The moment until which something may wait. Everything that waits is given one: calls to the
//! engine, `ready` commands, hooks, the lock.
//!
//! It asks the clock that `main` passes down, and has none of its own.

use tagkeeper_core::model::Reading;

/// A moment on the monotonic clock, and the clock that tells whether it has come.
#[derive(Clone, Copy)]
pub struct Deadline<'c> {
    clocks: &'c (dyn Fn() -> Reading + 'c),
    at_ms: u64,
}

impl<'c> Deadline<'c> {
    /// So many milliseconds from now.
    pub fn after(clocks: &'c (dyn Fn() -> Reading + 'c), span_ms: u64) -> Self {
        Self {
            clocks,
            at_ms: clocks().monotonic_ms.saturating_add(span_ms),
        }
    }

    /// Another one on the same clock, so many milliseconds from now.
    #[must_use]
    pub fn another(&self, span_ms: u64) -> Self {
        Self::after(self.clocks, span_ms)
    }

    /// Whichever comes first.
    #[must_use]
    pub fn earlier_of(self, other: Self) -> Self {
        if other.at_ms < self.at_ms {
            other
        } else {
            self
        }
    }

    /// Whether it comes before the other one, or with it.
    pub fn is_no_later_than(&self, other: Self) -> bool {
        self.at_ms <= other.at_ms
    }

    /// Milliseconds until then; none are left once it has come.
    pub fn remaining_ms(&self) -> u64 {
        self.at_ms.saturating_sub((self.clocks)().monotonic_ms)
    }

    /// Whether it has come.
    pub fn is_over(&self) -> bool {
        self.remaining_ms() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn it_comes_and_stays_over() {
        let uptime = Cell::new(1_000);
        let clocks = || Reading {
            monotonic_ms: uptime.get(),
            wall: String::new(),
        };
        let deadline = Deadline::after(&clocks, 500);
        let never = Deadline::after(&clocks, u64::MAX);
        for (now_ms, left_ms) in [(1_000, 500), (1_499, 1), (1_500, 0), (9_000, 0)] {
            uptime.set(now_ms);
            for either in [
                deadline,
                deadline.earlier_of(never),
                never.earlier_of(deadline),
            ] {
                assert_eq!(either.remaining_ms(), left_ms, "at {now_ms}");
                assert_eq!(either.is_over(), left_ms == 0);
            }
            assert!(!never.is_over());
            assert_eq!(deadline.another(7).remaining_ms(), 7);
        }
    }
}
