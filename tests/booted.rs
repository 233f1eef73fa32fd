//! tagkeeper on a booted system: systemd as PID 1 in a container of the private engine, tagkeeper
//! put there by its Debian package, its timer firing by itself, its service locked down, reaching
//! that same engine and telling of it.
//!
//! Run by `make test`; without its engine every test fails. The circle takes about four minutes, as
//! it waits for a timer that nobody can hurry.

#![cfg(test)]

#[path = "booted/circle.rs"]
mod circle;
#[path = "booted/clock.rs"]
mod clock;
#[path = "booted/ends.rs"]
mod ends;
#[expect(
    dead_code,
    reason = "a host to tell stories on; the requirements use the rest of it"
)]
#[path = "support/engine.rs"]
mod engine;
#[path = "booted/machine.rs"]
mod machine;
#[path = "booted/package.rs"]
mod package;
#[path = "booted/telling.rs"]
mod telling;
#[path = "booted/units.rs"]
mod units;
