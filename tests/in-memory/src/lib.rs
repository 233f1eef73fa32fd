//! A container engine in memory: the one engine of the random histories, the tests of the whole
//! program and the benchmark.
//!
//! [`Docker`] is what is on the host, and the engine's rules: plain data, without sockets and
//! faults. The histories of the decision (`core/tests/planner`) change it directly. [`Fake`] serves
//! it on a unix socket, records each request, and spoils the answers that a test asks it to. The
//! benchmark (`bench/fake`) sends its lists. Names and ids are read by rules of its own, not by the
//! program's. `tests/engine_contract` holds it against real engines.
#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a helper of tests: a slip in a test ends it"
)]

mod answers;
mod docker;
mod fake;
mod names;
mod requests;

pub use answers::Answer;
pub use docker::{Container, Docker, Image};
pub use fake::{Engine, Fake, Fault, Moment};
pub use names::hex_id;
pub use requests::{Request, Route};
