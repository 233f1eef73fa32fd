//! The tables of the pure decision. A model host stands in for the engine; every round that it runs is held against
//! the promises of [`safety`], whatever story is being told.

mod belonging;
mod cases;
mod failures;
mod history;
mod hold;
mod latest_moves;
mod lineage;
mod memory;
mod model;
mod model_engine;
mod pending;
mod pin_promises;
mod pins;
mod pressure;
mod pressure_promises;
mod properties;
mod requirements;
mod rollback;
mod safety;
mod serving;
mod story;
mod traps;
mod verdicts;
mod verdicts_unwanted;
mod versions;
