//! The real program against a fake engine that fails in every way that an engine can, and the
//! stories of the design on a clock that the tests move.
//!
//! `fake` proves the fake itself, with a raw client. Everything else runs the program: `observing`
//! spoils what it sees, `answers` has answers that no question fits, `acting` spoils what it does,
//! `files` what it reads and writes; `idle` counts, and `tally` what is counted; `stories`,
//! `ready`, `pins`, `pressure` and `people` tell what must happen, and `examples` what the policies
//! in `config/examples` do; `asking` and `watching` sit before a terminal, `explaining` asks about
//! one image, `schema` reads what is printed for programs, `messages` what is said of failures.
//! Needs root, for the clock.

#[cfg(test)]
#[path = "faults/acting.rs"]
mod acting;
#[cfg(test)]
#[path = "faults/answers.rs"]
mod answers;
#[cfg(test)]
#[path = "faults/asking.rs"]
mod asking;
#[cfg(test)]
#[path = "support/example.rs"]
mod example;
#[cfg(test)]
#[path = "faults/examples.rs"]
mod examples;
#[cfg(test)]
#[path = "support/executable.rs"]
mod executable;
#[cfg(test)]
#[path = "faults/explaining.rs"]
mod explaining;
#[cfg(test)]
#[path = "faults/fake.rs"]
mod fake_itself;
#[cfg(test)]
#[path = "faults/files.rs"]
mod files;
#[cfg(test)]
#[path = "faults/from_outside.rs"]
mod from_outside;
#[cfg(test)]
#[path = "faults/hooks.rs"]
mod hooks;
#[cfg(test)]
#[path = "support/host.rs"]
mod host;
#[cfg(test)]
#[path = "faults/idle.rs"]
mod idle;
#[cfg(test)]
#[path = "faults/messages.rs"]
mod messages;
#[cfg(test)]
#[path = "faults/metrics.rs"]
mod metrics;
#[cfg(test)]
#[path = "faults/observing.rs"]
mod observing;
#[cfg(test)]
#[path = "faults/people.rs"]
mod people;
#[cfg(test)]
#[path = "faults/pins.rs"]
mod pins;
#[cfg(test)]
#[path = "faults/pressure.rs"]
mod pressure;
#[cfg(test)]
#[path = "faults/ready.rs"]
mod ready;
#[cfg(test)]
#[path = "faults/scene.rs"]
mod scene;
#[cfg(test)]
#[path = "faults/schema.rs"]
mod schema;
#[cfg(test)]
#[path = "faults/shared.rs"]
mod shared;
#[cfg(test)]
#[path = "faults/stories.rs"]
mod stories;
#[cfg(test)]
#[path = "faults/tally.rs"]
mod tally;
#[cfg(test)]
#[path = "support/terminal.rs"]
mod terminal;
#[cfg(test)]
#[path = "faults/watching.rs"]
mod watching;
