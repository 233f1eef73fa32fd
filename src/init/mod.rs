//! A first policy for a host that has none: what its engine shows, made into commented TOML for a person to mend.
//!
//! Pure: `guess` reads a [`Lists`] and says which workloads there seem to be and what is unsure about each, `containers` who
//! runs them, and `text` writes that down. None of them asks anybody anything. What is printed is a sound policy, whatever the
//! world (a property test), and where a guess could cost an image, it is on hold or commented out: a person decides.

use std::path::Path;

use crate::engine::Lists;

mod containers;
mod guess;
#[cfg(test)]
mod tests;
mod text;

/// A first policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstPolicy {
    /// TOML with comments; a sound policy.
    pub text: String,
    /// How many workloads it has, those that are commented out aside.
    pub workloads: usize,
}

/// The first policy of a host. Pins that were left behind say nothing of who runs what. `socket` is where its engine was found; the policy names it if it is not the default.
pub fn first_policy(lists: &Lists, socket: &Path) -> FirstPolicy {
    let mut lists = lists.clone();
    lists.containers.retain(|container| container.pin.is_none());
    let draft = guess::draft(&lists);
    FirstPolicy {
        text: text::write(&draft, &lists, socket),
        workloads: draft.workloads.len(),
    }
}
