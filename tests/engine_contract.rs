//! What tagkeeper relies on an engine for, as a table of calls: each is made by the program's own
//! client, on the engine of the fault tests, which is in memory, and on a real one. What the fault
//! tests prove on the one is so on the other.
//!
//! The real engine is that of `scripts/with-engine`; `scripts/test-engines` runs this on all of
//! them. A row that comes out differently from engine to engine says so: nothing may be concluded
//! from such an answer alone.
#![cfg(test)]

#[path = "engine_contract/calls.rs"]
mod calls;
#[path = "support/engine.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "shared with tests/requirements.rs, which uses all of it"
)]
mod engine;
#[path = "engine_contract/grounds.rs"]
mod grounds;
#[path = "engine_contract/table.rs"]
mod table;

use anyhow::{Result, ensure};

use calls::broken;
use grounds::{Family, Ground, InMemory, Real};
use table::{ROWS, Row};

/// Plays each row on a ground of its own, and names those that came out differently.
fn holds_on<G: Ground>(family: Family, new: impl Fn() -> Result<G>) -> Result<()> {
    holds_for(family, |_| true, new)
}

fn holds_for<G: Ground>(
    family: Family,
    is_played: impl Fn(&Row) -> bool,
    new: impl Fn() -> Result<G>,
) -> Result<()> {
    let mut failed = Vec::new();
    for row in ROWS.iter().filter(|row| is_played(row)) {
        if let Some(why) = broken(&mut new()?, family, row)? {
            failed.push(format!("{}: {why}", row.what));
        }
    }
    ensure!(failed.is_empty(), "{family:?}:\n{}", failed.join("\n"));
    Ok(())
}

#[test]
fn contract_of_the_engine_in_memory() -> Result<()> {
    holds_on(Family::Graph, || InMemory::like(Family::Graph))
}

/// It refuses as graph drivers do; where all engines say the same, it is like each of them.
#[test]
fn contract_of_the_engine_in_memory_as_another_one() -> Result<()> {
    let all_agree = |row: &Row| row.said.iter().all(|said| *said == row.said[0]);
    for family in [Family::Containerd, Family::Podman] {
        holds_for(family, all_agree, || InMemory::like(family))?;
    }
    Ok(())
}

#[test]
fn contract_of_the_real_engine() -> Result<()> {
    holds_on(Family::of_the_rig()?, Real::new)
}
