//! A starter policy for a host that has none: what its engine shows, made into commented TOML for a
//! person to edit.
//!
//! Pure: `find` reads an [`Observation`] and says which workloads there seem to be and what is
//! unsure about each, `containers` says who runs them, and `text` writes that down; `sonic` does
//! for the features of a switch. What is printed is a valid policy, whatever the host (a property
//! test), and where a guess could cost an image, it is on hold or commented out: a person decides.

use std::path::Path;

use tagkeeper_core::model::Observation;

mod candidate;
mod containers;
mod find;
mod sonic;
#[cfg(test)]
mod tests;
mod text;

pub use sonic::{Feature, sonic_policy};

/// A starter policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StarterPolicy {
    /// TOML with comments; a valid policy.
    pub text: String,
    /// How many workloads it has, those that are commented out aside.
    pub workloads: usize,
}

/// The starter policy of a host. Pins that were left behind say nothing of who runs what. `socket`
/// is where its engine was found; the policy names it if it is not the default.
pub fn starter_policy(seen: &Observation, socket: &Path) -> StarterPolicy {
    let seen = of_services(seen);
    let candidates = find::candidates(&seen);
    StarterPolicy {
        text: text::write(&candidates, &seen, socket),
        workloads: candidates.workloads.len(),
    }
}

/// Without the containers that are no services: pins, and commands that Compose ran once.
fn of_services(seen: &Observation) -> Observation {
    let mut seen = seen.clone();
    seen.containers
        .retain(|container| container.pin.is_none() && !container.one_off);
    seen
}
