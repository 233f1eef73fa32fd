//! `rejected.json`: what `rollback` rejected, until `accept` lifts it. The format; no I/O.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tagkeeper_core::model::{ImageId, Rejected, WorkloadName};

use super::document::{self, Format, Problem};

/// Rejections by a person, by workload and image.
pub type Rejections = BTreeMap<WorkloadName, BTreeMap<ImageId, Rejected>>;

/// Its format has a number of its own: it changes when this file's format does.
pub(super) const FORMAT: Format = Format {
    current: 1,
    first_with_checksum: 1,
};

/// What the file holds.
#[derive(Serialize, Deserialize)]
pub(super) struct Content {
    rejected: Rejections,
}

impl Content {
    pub(super) fn new(rejected: &Rejections) -> Self {
        Self {
            rejected: rejected.clone(),
        }
    }
}

/// Turns the content of a file into rejections.
pub(super) fn parse(bytes: &[u8]) -> Result<Rejections, Problem> {
    let opened = document::open(bytes, FORMAT)?;
    let Content { rejected } =
        serde_json::from_str(opened.text).map_err(|e| Problem::Bad(e.to_string()))?;
    Ok(rejected)
}
