//! The decision of tagkeeper, and the words that it is made in.
//!
//! - [`model`]: plain data. What the operator wants, what is remembered, what was observed, what is
//!   to be done.
//! - [`planner`]: the pure function from the first three to the last, as a column of stages.
//!
//! This crate is `no_std`: it has no file, no clock, no randomness, no process and no engine, and
//! the compiler sees to it.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod gather;
pub mod model;
pub mod planner;

pub use gather::Gather;
