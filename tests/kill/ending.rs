//! How a host stands, for comparing two of them; and what must hold on it at every moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;
use tagkeeper::store::{LoadError, StateDir};

use crate::host::Host;
use in_memory_engine::{Docker, hex_id};

/// The name that must never be missing.
const LATEST: &str = "app:latest";

/// A host as people would compare two: what the engine holds, and what the state means, whenever it
/// came to that.
#[derive(Debug, PartialEq)]
pub(crate) struct Ending {
    /// Names, by image id.
    images: BTreeMap<String, BTreeSet<String>>,
    /// Name, id, image, state.
    containers: BTreeSet<[String; 4]>,
    state: Value,
    /// What was set aside as corrupt.
    set_aside: Vec<Vec<u8>>,
}

impl Ending {
    pub(crate) fn of(host: &Host) -> Self {
        let bytes = host.state_bytes();
        let mut state = bytes.map_or(Value::Null, |bytes| {
            serde_json::from_slice(&bytes).expect("a saved state is JSON")
        });
        take_times(&mut state);
        let engine = host.engine();
        let images = engine
            .docker
            .images
            .iter()
            .map(|(id, image)| (id.clone(), image.references().cloned().collect()));
        let containers = engine.docker.containers.iter().map(|c| {
            let image = c.image.clone().unwrap_or_default();
            [c.name().to_owned(), c.id.clone(), image, c.state.clone()]
        });
        Self {
            images: images.collect(),
            containers: containers.collect(),
            state,
            set_aside: set_aside(host),
        }
    }
}

impl Ending {
    /// Holds the disk to these names and the labels of their images: no other name, and no image
    /// without one.
    pub(crate) fn assert_names(&self, wanted: &[(&str, &str)]) {
        let mut images: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, label) in wanted {
            let names = images.entry(id(label)).or_default();
            names.insert((*name).to_owned());
        }
        assert_eq!(self.images, images, "on the disk (left) and wanted (right)");
    }
}

fn set_aside(host: &Host) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(host.state_dir()).expect("the state directory is there");
    let paths = entries.map(|entry| entry.expect("readable").path());
    let corrupt = paths.filter(|path| path.to_string_lossy().contains(".corrupt-"));
    corrupt
        .map(|path| fs::read(path).expect("readable"))
        .collect()
}

/// The id of the image with this label.
fn id(label: &str) -> String {
    format!("sha256:{}", hex_id(label))
}

/// Takes the clock and what may be lost out of a state, and leaves of each time only that there is
/// one.
fn take_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("clock");
            // Made anew for each state, and over all that is written here.
            fields.remove("checksum");
            fields.remove("instance");
            // Another pass more or less has seen the upgrade.
            fields.remove("times_pending");
            // A pass that is killed between a removal and the save that follows loses the name that
            // it removed, and the count (`Counters`).
            fields.remove("names");
            // A rollback that is killed between the rejection and the state loses what took the
            // rejected image's place, which only `explain` tells.
            fields.remove("replaced");
            if let Some(Value::Array(past)) = fields.get_mut("history") {
                past.sort_by_key(|image| image["image"].to_string());
            }
            if let Some(Value::Object(counters)) = fields.get_mut("counters") {
                counters.remove("removals");
                // The rejection is saved before the state that counts it.
                counters.remove("rollbacks");
                counters.remove("reclaimed_bytes");
                if counters.is_empty() {
                    fields.remove("counters");
                }
            }
            for (key, field) in fields {
                let is_time = ["_ms", "_secs", "_at"].iter().any(|end| key.ends_with(end));
                if is_time || key == "at" {
                    *field = Value::from("a time");
                } else {
                    take_times(field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(take_times),
        _ => {}
    }
}

/// What is wrong at this moment, if anything: `latest` is missing; an image that is to be kept, or
/// that the saved state holds for proven, is gone or has no tag; the saved state cannot be read,
/// and nobody else has made it so.
pub(crate) fn damage(
    docker: &Docker,
    dir: &StateDir,
    kept: &[&str],
    may_be_corrupt: bool,
) -> Option<String> {
    if !docker.names().contains_key(LATEST) {
        return Some(format!("there is no {LATEST}"));
    }
    let state = match dir.load() {
        Ok(Some(state)) => Some(state),
        Ok(None) => None,
        Err(LoadError::Corrupt { .. }) if may_be_corrupt => None,
        Err(error) => return Some(error.to_string()),
    };
    let proven = state.iter().flat_map(|state| state.workloads.values());
    let proven =
        proven.flat_map(|workload| workload.memory.lineage.iter().map(|p| p.image.to_string()));
    let kept = kept.iter().map(|label| format!("sha256:{}", hex_id(label)));
    kept.chain(proven)
        .find(|id| {
            docker
                .images
                .get(id)
                .is_none_or(|image| image.tags.is_empty())
        })
        .map(|id| format!("{id} is gone or has no tag"))
}
