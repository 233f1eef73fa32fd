//! `init`: looks at the engine and prints a starter policy. Needs none, and changes nothing.

use tagkeeper_core::model::Observation;

use super::{Clocks, CommandError, PASS_MS, connect, print, socket};
use crate::cli::Options;
use crate::deadline::Deadline;
use crate::engine::Engine;
use crate::exit::Exit;
use crate::init::starter_policy;
use crate::policy_file::EngineSettings;
use crate::report;

pub(super) fn init(options: &Options, clocks: &Clocks) -> Result<Exit, CommandError> {
    let engine = EngineSettings::default();
    let lists = connect(options, &engine, Deadline::after(clocks, PASS_MS))?
        .observe(&[])
        .map_err(|error| CommandError::new(Exit::Unavailable, error))?;
    let socket = socket(options, &engine);
    let seen = Observation {
        images: lists.images,
        containers: lists.containers,
        ..Observation::default()
    };
    let first = starter_policy(&seen, socket);
    print(&first.text)?;
    if first.workloads == 0 {
        report::log::log_nothing_found(socket);
    }
    Ok(Exit::Done)
}
