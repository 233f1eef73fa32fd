//! tagkeeper keeps `repository:latest` on the newest version that has proved itself on this host, and the disk free of
//! the images that nobody wants.
//!
//! Data flows one way:
//!
//! ```text
//!   policy ──┐
//!   state ───┼──> decide ──> plan ──> pass ──> engine
//!   world ───┤                 │
//!   now ─────┘                 └────> report
//! ```
//!
//! - [`policy`]: what the operator wants, from TOML.
//! - [`state`]: what is remembered between passes; locked, versioned, durably saved.
//! - [`id`], [`image`]: ids and names of images, parsed; [`world`]: what was observed at one instant. Plain data.
//! - [`decide`]: pure. Who serves, what is pending, what is promoted, what becomes of each image: a plan.
//! - [`engine`]: the one module that knows the container engine; [`ready`]: the workloads' own word on readiness, `hooks`:
//!   who is told what happened; `runner` runs the commands of both.
//! - [`confine`]: what the program may still write once it reads the engine's answers.
//! - `textfile`: where metrics are written.
//! - [`pass`]: rounds of observe, decide, save, act; the operator's `rollback` and `accept`.
//! - [`init`]: a first policy, guessed from a world. Pure.
//! - [`span`]: spans of time for people; [`near`]: the word that was probably meant.
//! - [`report`]: plan and status as text and JSON, the status line, the log.
//! - [`notify`]: what systemd is told.
//! - [`cli`], [`command`], [`exit`]: the command line, what each command does, how it ends.

pub mod cli;
pub mod command;
pub mod confine;
pub mod decide;
pub mod engine;
pub mod exit;
mod hooks;
pub mod id;
pub mod image;
pub mod init;
pub mod near;
pub mod notify;
pub mod pass;
pub mod policy;
pub mod ready;
pub mod report;
mod runner;
pub mod span;
pub mod state;
mod textfile;
pub mod world;
