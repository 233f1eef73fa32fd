//! Pins and pressure: what the policy may ask for beyond the design's section 6, held to the same safety.
//!
//! A pin holds a fallback and nothing else. It uses no image, serves nothing, and is told by all that makes it one. A full
//! disk takes idle images before their grace is over, and no others.

use tagkeeper::image::ImageId;
use tagkeeper::world::Disk;

use super::Model;
use super::host::{Held, Host};
use super::names::WORKLOADS;

/// How full a disk may be before it presses, where the policy says so.
pub(crate) const LIMIT_PERCENT: u8 = 80;

impl Held {
    /// Whether this is a pin that nobody has started: the one kind of container that uses no image.
    pub(crate) fn is_idle_pin(&self) -> bool {
        self.is_stopped() && self.pinned_for().is_some()
    }

    /// The workload that this is a pin of.
    pub(crate) fn pinned_for(&self) -> Option<&str> {
        let workload = self
            .listed
            .pin
            .as_ref()
            .map(|label| label.workload.as_str())?;
        (self.listed.name() == pin_name(workload, self.listed.image_id())).then_some(workload)
    }
}

fn pin_name(workload: &str, image: &ImageId) -> String {
    format!("tagkeeper-pin-{workload}-{}", image.short())
}

impl Host {
    /// What a measurement of the data disk says: a disk of a hundred bytes, on which each image takes one.
    pub(crate) fn usage(&self) -> Disk {
        let used_bytes = if self.full { 90 } else { 10 };
        Disk::Measured {
            used_bytes,
            available_bytes: 100 - used_bytes,
        }
    }
}

impl Model {
    pub(crate) fn check_create_pin(&mut self, name: &str, workload: &str, image: &ImageId) {
        let at = (0..WORKLOADS).find(|&w| self.names.workloads[w].as_str() == workload);
        let Some((at, entry)) = at.and_then(|at| Some((at, self.entry(at)?.clone()))) else {
            return self.violated(format!("{name} was created for no workload"));
        };
        self.require(entry.pin && !entry.hold, || {
            format!("{name} was created and nobody asked for it")
        });
        self.require(name == pin_name(workload, image), || {
            format!("{name} is no name of a pin")
        });
        let is_fallback = self
            .known(at)
            .is_some_and(|known| known.lineage.iter().any(|proven| proven.image == *image));
        self.require(is_fallback, || format!("{name} holds no fallback"));
    }

    /// The containers that are there must be those of the pins that are wanted, as far as nobody has started one.
    pub(crate) fn check_remove_pin(&mut self, pin: &Held, workload: &str) {
        let name = pin.listed.name();
        let at = (0..WORKLOADS).find(|&w| self.names.workloads[w].as_str() == workload);
        let entry = at.and_then(|at| Some((at, self.entry(at)?.clone())));
        self.require(pin.is_stopped() || self.names_raced, || {
            format!("{name} was removed and is not stopped")
        });
        let Some((at, entry)) = entry else {
            return;
        };
        let wanted = entry.pin
            && self
                .lineage(at)
                .iter()
                .skip(1)
                .any(|fallback| pin.listed.is_of(&fallback.image));
        self.require(!wanted || self.interfered, || {
            format!("{name} was removed and holds a fallback")
        });
        self.require(!entry.hold, || format!("{name} was removed on hold"));
    }

    /// Whether a full disk may take an image that has been idle for so long.
    pub(crate) fn is_pressed(&self, workload: usize, idle_ms: u64) -> bool {
        let limit = self
            .entry(workload)
            .and_then(|entry| entry.pressure_percent);
        // It may have had room again since the round measured it.
        (self.host.full || self.interfered) && limit.is_some() && idle_ms > 0
    }

    /// What is wrong with the pins at rest.
    pub(crate) fn pins_left(&self, workload: usize) -> Option<String> {
        let entry = self.entry(workload)?;
        let known = self.known(workload)?;
        if self.is_disk_strange(known) {
            return None;
        }
        let name = self.names.workloads[workload].as_str();
        let pins = || {
            let containers = self.host.disk.containers.iter();
            containers.filter(|held| held.pinned_for() == Some(name))
        };
        let fallbacks: Vec<_> = self.lineage(workload).into_iter().skip(1).collect();
        if entry.pin
            && let Some(bare) = fallbacks
                .iter()
                .find(|fallback| pins().all(|pin| !pin.listed.is_of(&fallback.image)))
        {
            return Some(format!("{} has no pin", bare.image.short()));
        }
        let holds = |pin: &&Held| {
            entry.pin
                && fallbacks
                    .iter()
                    .any(|fallback| pin.listed.is_of(&fallback.image))
        };
        let idle = pins().find(|pin| pin.is_idle_pin() && !holds(pin))?;
        Some(format!("{} is of no use", idle.listed.name()))
    }
}
