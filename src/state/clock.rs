//! The only clock that decisions use: host uptime added up over reboots (design 5.2). Pure; `main` reads the time.

use serde::{Deserialize, Serialize};

/// The clock as it was last written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Uptime added up over reboots, in milliseconds.
    pub clock_ms: u64,
    /// `CLOCK_MONOTONIC` at that moment, in milliseconds since boot.
    pub monotonic_ms: u64,
}

/// What `main` read once, at the start of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// `CLOCK_MONOTONIC`, in milliseconds since boot. Time asleep does not count: nothing serves then.
    pub monotonic_ms: u64,
    /// Wall time, RFC 3339; for people.
    pub wall: String,
}

/// The present moment, as decisions see it.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    pub fn moment(&self) -> super::Moment {
        super::Moment {
            clock_ms: self.ms(),
            at: self.wall.clone(),
        }
    }
}

impl Clock {
    /// The clock at a later reading. Monotonic time that went back means a reboot, and then all of it has passed since;
    /// so the clock never runs backwards and never too fast.
    pub fn advance(self, reading: &Reading) -> Now {
        let passed_ms = reading
            .monotonic_ms
            .checked_sub(self.monotonic_ms)
            .unwrap_or(reading.monotonic_ms);
        let clock_ms = self.clock_ms.saturating_add(passed_ms);
        Now {
            clock: Self {
                clock_ms,
                monotonic_ms: reading.monotonic_ms,
            },
            wall: reading.wall.clone(),
        }
    }
}
