//! tagkeeper keeps `repository:latest` on the newest version that has proved itself on this host,
//! and removes images that are no longer needed.
//!
//! Data flows one way:
//!
//! ```text
//!   policy ───────┐
//!   state ────────┼──> planner ──> plan ──> reconcile ──> engine
//!   observation ──┘                  │
//!                                    └────> report
//! ```
//!
//! - [`tagkeeper_core`]: the words (`model`) and the decision (`planner`); pure.
//! - [`policy_file`]: what the operator wants, from TOML.
//! - [`store`]: what is remembered between passes; locked, versioned, durably saved.
//! - [`engine`]: the one module that knows the container engine; [`ready`]: the workloads' `ready`
//!   commands; `hooks`: who is notified, and what waits for it; `process` runs the commands of
//!   both; [`deadline`]: until when something may wait.
//! - [`reconcile`]: rounds of observe, decide, save, act; the operator's `rollback`.
//! - [`init`]: a starter policy, guessed from what the engine has. Pure. [`redis`]: what SONiC's
//!   database says, for it and for the `ready` commands.
//! - [`report`]: plan and status as text and JSON, the status line, the log; `textfile`: where
//!   metrics are written; `last_pass`: when the last pass ended. [`confine`]: what the program may
//!   still write once it reads the engine's answers.
//! - [`duration`], [`text`], [`suggest`]: durations for people, texts from outside, did-you-mean.
//! - [`notify`]: what systemd is told.
//! - [`cli`], [`commands`], [`exit`]: the command line, what each command does, how it ends.

pub mod cli;
pub mod commands;
pub mod confine;
pub mod deadline;
pub mod duration;
pub mod engine;
pub mod exit;
mod hooks;
pub mod init;
mod last_pass;
pub mod notify;
pub mod policy_file;
mod process;
mod random;
pub mod ready;
pub mod reconcile;
pub mod redis;
mod regular;
pub mod report;
pub mod store;
pub mod suggest;
pub mod text;
mod textfile;
