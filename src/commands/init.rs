//! `init`: looks at the engine and prints a starter policy; on a SONiC switch, also at `CONFIG_DB`.
//! Needs no policy, and changes nothing.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Clocks, CommandError, lists, print, socket};
use crate::cli::Options;
use crate::exit::Exit;
use crate::init::{Feature, sonic_policy, starter_policy};
use crate::policy_file::EngineSettings;
use crate::redis::Redis;
use crate::report;

/// The number of `CONFIG_DB` in SONiC's `database_config.json`.
const CONFIG_DB: u32 = 4;
/// For each answer of the Redis server.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn init(
    options: &Options,
    clocks: &Clocks,
    sonic: Option<&Path>,
) -> Result<Exit, CommandError> {
    let unavailable = |error| CommandError::new(Exit::Unavailable, error);
    let features = sonic.map(features).transpose().map_err(unavailable)?;
    let engine = EngineSettings::default();
    let seen = lists(options, &engine, clocks)?;
    let socket = socket(options, &engine);
    let first = match features {
        Some(features) => sonic_policy(&seen, &features, socket),
        None => starter_policy(&seen, socket),
    };
    print(&first.text)?;
    if first.workloads == 0 && sonic.is_none() {
        report::log::log_nothing_found(socket);
    }
    Ok(Exit::Done)
}

/// The table `FEATURE` of `CONFIG_DB`.
fn features(socket: &Path) -> Result<Vec<Feature>> {
    let socket = socket
        .to_str()
        .context("the path of the socket is not UTF-8")?;
    let mut redis = Redis::connect(socket, CONFIG_DB, Some(PATIENCE))
        .context("--sonic is for SONiC switches, and asks the Redis server there; --sonic=SOCKET names another")?;
    let mut features = Vec::new();
    for key in redis.keys("FEATURE|*")? {
        let [set_owner, state, per_asic] =
            redis.fields(&key, ["set_owner", "state", "has_per_asic_scope"])?;
        features.push(Feature {
            name: key.strip_prefix("FEATURE|").unwrap_or(&key).to_owned(),
            set_owner: set_owner.unwrap_or_default(),
            state: state.unwrap_or_default(),
            per_asic: per_asic.is_some_and(|text| text.eq_ignore_ascii_case("true")),
        });
    }
    Ok(features)
}
