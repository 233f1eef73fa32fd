//! The state on disk, against real file systems: reading, locking, saving, a full disk (design
//! 5.1).
//!
//! Needs root, `unshare`, `setpriv` and `mount` (util-linux), `mkfs.ext4` and `chattr` (e2fsprogs),
//! `strace` and a loop device. Nothing is skipped: where one of them is missing, the test fails and
//! says which.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests"
)]

mod damage;
mod disk;
mod formats;
mod lock;
mod read;
mod rejections;
mod save;
mod support;
mod unknown;
