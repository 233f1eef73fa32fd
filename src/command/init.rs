//! `init`: looks at the engine and prints a first policy. Needs none, and changes nothing.

use super::{Clocks, PASS_MS, Stop, connect, print, socket};
use crate::cli::Options;
use crate::deadline::Deadline;
use crate::engine::Engine;
use crate::exit::Exit;
use crate::init::first_policy;
use crate::policy::EnginePolicy;
use crate::report;

pub(super) fn init(options: &Options, clocks: &Clocks) -> Result<Exit, Stop> {
    let engine = EnginePolicy::default();
    let world = connect(options, &engine, Deadline::after(clocks, PASS_MS))?
        .observe()
        .map_err(|error| Stop::new(Exit::Unavailable, error))?;
    let socket = socket(options, &engine);
    let first = first_policy(&world, socket);
    print(&first.text)?;
    if first.workloads == 0 {
        report::log::log_nothing_found(socket);
    }
    Ok(Exit::Done)
}
