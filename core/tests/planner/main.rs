//! The tables of the pure decision. A model host is the engine; every round that it runs is held
//! against the promises of [`safety`], whatever the test is about.

#![cfg(test)]

/// A person is shown a note of this kind.
macro_rules! assert_note {
    ($host:expr, $pattern:pat) => {
        let notes = $host.notes();
        assert!(
            notes.iter().any(|note| matches!(note, $pattern)),
            "no {}: {notes:?}",
            stringify!($pattern)
        );
    };
}

mod cases;
mod engine;
mod eviction;
mod exhaustive;
mod explain;
mod failures;
mod field_memory;
mod field_odd;
mod field_others;
mod field_references;
mod field_removals;
mod field_sonic;
mod field_tags;
mod field_time;
mod fleet;
mod history;
mod hold;
mod host;
mod latest_moves;
mod lineage;
mod memory;
mod outcomes;
mod ownership;
mod pending;
mod pins;
mod properties;
mod requirements;
mod rollback;
mod safety;
mod serving;
mod traps;
mod traps_found;
mod verdicts;
mod verdicts_removed;
mod versions;
mod witness;
