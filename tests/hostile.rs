//! Hostile surroundings, told of the whole program on the fake engine: what the disk, the clock,
//! the engine and other passes can do to it, and the outcome that the design demands.
//!
//! | surroundings | where |
//! |---|---|
//! | full disk, read-only disk, wrong owner, state directory gone | `disk` |
//! | lock held, two passes at once | `crowd` |
//! | clock stepped by years both ways | `clock` |
//! | engine restarted in the middle of a pass, one byte a second | `engine` |
//! | 10,000 images, a 200 MB answer; memory | `size` |
//!
//! Needs root, `unshare`, `setpriv`, `mount`, `mkfs.ext4`, a loop device, and GNU `time`.
#![cfg(test)]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests"
)]

#[path = "support/beside.rs"]
#[allow(dead_code, reason = "no test here is beside an engine")]
mod beside;
#[path = "support/host.rs"]
#[allow(
    dead_code,
    reason = "shared with tests/faults.rs, which uses all of it"
)]
mod host;
#[path = "faults/scene.rs"]
mod scene;
#[path = "store/support.rs"]
#[allow(dead_code, reason = "shared with tests/store, which uses all of it")]
mod store;

#[path = "hostile/clock.rs"]
mod clock;
#[path = "hostile/crowd.rs"]
mod crowd;
#[path = "hostile/disk.rs"]
mod disk;
#[path = "hostile/engine.rs"]
mod engine;
#[path = "hostile/size.rs"]
mod size;
#[path = "hostile/wrapped.rs"]
mod wrapped;
