//! Pins (policy `pin`): containers that are never started, and refer to the fallbacks so that nobody removes those unforced.
//! Which containers are pins, which there should be, and what follows. Pure.
//!
//! A pin is known by all that makes it one: the label that names its workload, and a name that follows from the workload and
//! the image it refers to. A container that has but one of the two is somebody else's, and is never touched.
//!
//! Nothing else in a decision sees the pins: they neither serve nor run dry, and use no image; but one that somebody has
//! started after all uses its image, and stays.

use std::collections::BTreeMap;

use crate::image::ImageId;
use crate::policy::{Policy, WorkloadName};
use crate::world::{Container, ContainerState};

use super::case::Case;
use super::plan::Action;
use super::scene::Scene;

/// What the name of each pin begins with.
const NAME: &str = "tagkeeper-pin";

/// The name of a workload's pin on an image. It names the image too, so that a new pin can be there before the old one goes.
pub(crate) fn name_of(workload: &str, image: &ImageId) -> String {
    format!("{NAME}-{workload}-{}", image.short())
}

/// Whose pin a container is; none for all that is no pin.
pub(crate) fn pinned_for(container: &Container) -> Option<&str> {
    let workload = container.pin.as_deref()?;
    let name = name_of(workload, &container.image);
    container.names.contains(&name).then_some(workload)
}

/// Whether a container is a pin that does no more than it is there for: the only kind of container that uses no image.
pub(crate) fn is_idle_pin(container: &Container) -> bool {
    pinned_for(container).is_some() && idles(container)
}

fn idles(pin: &Container) -> bool {
    matches!(
        pin.state,
        ContainerState::Created | ContainerState::Exited | ContainerState::Dead
    )
}

fn removal(pin: &Container, workload: &str) -> Action {
    Action::RemovePin {
        container: name_of(workload, &pin.image),
        id: pin.id.clone(),
        image: pin.image.clone(),
    }
}

/// The pins of workloads that the policy does not name (any more). They are ours by all that makes a pin one, and would hold
/// their images for ever.
pub(crate) fn of_departed(
    policy: &Policy,
    scene: &Scene<'_>,
) -> BTreeMap<WorkloadName, Vec<Action>> {
    let mut departed: BTreeMap<_, Vec<Action>> = BTreeMap::new();
    for (&workload, pins) in scene.all_pins() {
        if !policy.workloads.contains_key(workload) {
            let idle = pins.iter().filter(|pin| idles(pin));
            let removals: Vec<_> = idle.map(|pin| removal(pin, workload)).collect();
            if !removals.is_empty() {
                departed.insert(WorkloadName::new(workload), removals);
            }
        }
    }
    departed
}

impl Case<'_> {
    fn wanted_pins(&self) -> impl Iterator<Item = &ImageId> {
        let pinned = self.fallbacks().filter(|_| self.workload.pin);
        pinned.map(|fallback| &fallback.image)
    }

    /// The pins that are missing, then those that nothing calls for. None while the disk is not the one that is known.
    pub(crate) fn pin_actions(&self) -> Vec<Action> {
        if self.is_disk_strange() {
            return Vec::new();
        }
        let pins = self.scene.pins(self.name);
        let is_there = |image: &ImageId| pins.iter().any(|pin| pin.image == *image);
        let missing = self
            .wanted_pins()
            .filter(|image| !is_there(image) && self.pin_name_taken(image).is_none());
        let mut actions: Vec<Action> = missing
            .map(|image| Action::CreatePin {
                container: name_of(self.name.as_str(), image),
                image: image.clone(),
            })
            .collect();
        let superfluous = pins
            .iter()
            .filter(|pin| idles(pin) && self.wanted_pins().all(|image| *image != pin.image));
        actions.extend(superfluous.map(|pin| removal(pin, self.name.as_str())));
        actions
    }

    /// The container that has the name of a pin and is none.
    fn pin_name_taken(&self, image: &ImageId) -> Option<&Container> {
        let name = name_of(self.name.as_str(), image);
        let mut containers = self.scene.world.containers.iter();
        containers.find(|c| c.names.contains(&name) && pinned_for(c).is_none())
    }

    /// The fallbacks that a pin holds, with the pin's name.
    pub(crate) fn pins_in_place(&self) -> BTreeMap<ImageId, String> {
        let pins = self.scene.pins(self.name).iter();
        pins.map(|pin| (pin.image.clone(), name_of(self.name.as_str(), &pin.image)))
            .collect()
    }

    /// What a person should know of the pins.
    pub(crate) fn explain_pins(&self) -> Vec<String> {
        let taken = |image: &ImageId| {
            let taker = self.pin_name_taken(image)?;
            Some(format!(
                "image {} is not pinned: '{}' is a container that is {}, and no pin of tagkeeper's",
                image.short(),
                name_of(self.name.as_str(), image),
                taker.state.as_str()
            ))
        };
        let runs = self.scene.pins(self.name).iter().filter(|pin| !idles(pin));
        let started = runs.map(|pin| {
            let state = pin.state.as_str();
            format!(
                "the pin {} is {state}: somebody started it, and it stays",
                pin.name()
            )
        });
        self.wanted_pins()
            .filter_map(taken)
            .chain(started)
            .collect()
    }
}
