//! The real program against a fake engine that fails in every way that an engine can.
//!
//! `fake` proves the fake itself, with a raw client.

#[cfg(test)]
#[path = "support/docker.rs"]
mod docker;
#[cfg(test)]
#[path = "support/fake.rs"]
mod fake;
#[cfg(test)]
#[path = "support/names.rs"]
mod names;
#[cfg(test)]
#[path = "support/requests.rs"]
mod requests;

#[cfg(test)]
#[path = "faults/fake.rs"]
mod fake_itself;
