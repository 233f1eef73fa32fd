//! The only clock that decisions use: host uptime added up over reboots (design 5.2). The program
//! reads the time.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::Moment;

/// The clock as it was last written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Uptime added up over reboots, in milliseconds.
    pub clock_ms: u64,
    /// `CLOCK_MONOTONIC` at that moment, in milliseconds since boot.
    pub monotonic_ms: u64,
}

/// One look at the host's clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// `CLOCK_MONOTONIC`, in milliseconds since boot. Time asleep does not count: nothing serves
    /// then.
    pub monotonic_ms: u64,
    /// Wall time, RFC 3339; for people.
    pub wall: String,
}

/// The present moment, as decisions see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The clock, to be saved with the state.
    pub clock: Clock,
    /// Wall time, RFC 3339; for people.
    pub wall: String,
}

impl Now {
    /// The clock in milliseconds.
    pub fn ms(&self) -> u64 {
        self.clock.clock_ms
    }

    /// The moment to write down.
    pub fn moment(&self) -> Moment {
        Moment {
            clock_ms: self.ms(),
            at: self.wall.clone(),
        }
    }
}

impl Clock {
    /// The clock at a later reading, for whoever holds the lock: no other process can have advanced
    /// it since. Monotonic time that went back means a reboot, and then all of it has passed since;
    /// so the clock never runs backwards and never too fast.
    pub fn advance(self, reading: &Reading) -> Now {
        let passed_ms = reading
            .monotonic_ms
            .checked_sub(self.monotonic_ms)
            .unwrap_or(reading.monotonic_ms);
        self.passed(passed_ms, reading)
    }

    /// The clock at a reading that was taken *before* the state was read, for commands that only
    /// look: a pass may have saved a later one in between, and then no time has passed.
    pub fn at_most(self, reading: &Reading) -> Now {
        let passed_ms = reading.monotonic_ms.saturating_sub(self.monotonic_ms);
        self.passed(passed_ms, reading)
    }

    fn passed(self, passed_ms: u64, reading: &Reading) -> Now {
        Now {
            clock: Self {
                clock_ms: self.clock_ms.saturating_add(passed_ms),
                monotonic_ms: reading.monotonic_ms,
            },
            wall: reading.wall.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(monotonic_ms: u64) -> Reading {
        Reading {
            monotonic_ms,
            wall: String::new(),
        }
    }

    #[test]
    fn the_clock_adds_up_uptime_over_reboots() {
        let clock = Clock {
            clock_ms: 1_000_000,
            monotonic_ms: 500,
        };
        assert_eq!(clock.advance(&reading(700)).ms(), 1_000_200);
        assert_eq!(clock.advance(&reading(300)).ms(), 1_000_300, "a reboot");
        assert_eq!(clock.at_most(&reading(700)).ms(), 1_000_200);
        assert_eq!(
            clock.at_most(&reading(300)).ms(),
            1_000_000,
            "saved by a pass that read the clock later"
        );
    }
}
