//! Pins (policy `pin`): containers that are never started, and refer to the fallbacks so that
//! nothing removes those unforced.
//!
//! The model tells which container is a pin; one that only looks like it is never touched. No
//! other stage counts pins as containers; but one that was started after all uses its image, and is
//! kept.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::disk;
use super::ownership::Inventory;
use super::subject::Subject;
use crate::Gather;
use crate::model::{
    Action, ActionKind, Container, Guard, ImageId, Memory, Note, PinLabel, Policy, State,
    WorkloadName,
};

fn removal(pin: &Container, workload: &str) -> Option<Action> {
    let image = pin.image.clone()?;
    Some(Action {
        guards: alloc::vec![Guard::Stopped {
            container: pin.id.clone(),
            started_at: None,
            image: image.clone(),
        }],
        kind: ActionKind::RemovePin {
            container: PinLabel::container_name(workload, &image),
            id: pin.id.clone(),
            image,
        },
    })
}

/// The pins of workloads that left the policy a grace period ago. They would hold their images for
/// ever.
pub(super) fn of_departed(
    policy: &Policy,
    state: &State,
    inventory: &Inventory<'_>,
) -> BTreeMap<WorkloadName, Vec<Action>> {
    let now_ms = inventory.observed.from.ms();
    let mut departed: BTreeMap<_, Vec<Action>> = BTreeMap::new();
    for (&workload, pins) in &inventory.pins {
        let name = WorkloadName::new(workload);
        if policy.workloads.contains_key(&name) {
            continue;
        }
        let known = state.workloads.get(&name);
        if known.is_some_and(|known| disk::keeps_everything(known, now_ms)) {
            continue;
        }
        let is_put_off = |pin: &Container| {
            known.is_some_and(|known| known.memory.is_put_off(&pin.id.to_string(), now_ms))
        };
        let idle = pins
            .iter()
            .filter(|pin| pin.state.is_stopped() && !is_put_off(pin));
        let removals: Vec<_> = idle.filter_map(|pin| removal(pin, workload)).collect();
        if !removals.is_empty() {
            departed.insert(name, removals);
        }
    }
    departed
}

fn existing(subject: Subject<'_>) -> &[&Container] {
    subject
        .inventory
        .pins
        .get(subject.name.as_str())
        .map_or(&[], Vec::as_slice)
}

fn name_of(subject: Subject<'_>, image: &ImageId) -> String {
    PinLabel::container_name(subject.name.as_str(), image)
}

fn wanted<'m>(subject: Subject<'m>, memory: &'m Memory) -> impl Iterator<Item = &'m ImageId> {
    let pinned = subject
        .fallbacks(memory)
        .filter(move |_| subject.policy.pin);
    pinned.map(|fallback| &fallback.image)
}

/// The pins that are missing, then those that nothing calls for.
pub(super) fn actions(subject: Subject<'_>, memory: &Memory) -> Vec<Action> {
    let pins = existing(subject);
    let workload = subject.name.as_str();
    let is_missing = |image: &&ImageId| {
        !pins.iter().any(|pin| pin.uses(image)) && name_taken(subject, image).is_none()
    };
    let missing = wanted(subject, memory)
        .filter(is_missing)
        .map(|image| Action {
            kind: ActionKind::CreatePin {
                container: PinLabel::container_name(workload, image),
                image: image.clone(),
            },
            guards: Vec::new(),
        });
    let is_superfluous = |pin: &&&Container| {
        pin.state.is_stopped() && !wanted(subject, memory).any(|image| pin.uses(image))
    };
    let superfluous = pins.iter().filter(is_superfluous);
    missing
        .chain(superfluous.filter_map(|pin| removal(pin, workload)))
        .collect()
}

/// The container that has the name of a pin and is none.
fn name_taken<'a>(subject: Subject<'a>, image: &ImageId) -> Option<&'a Container> {
    let taker = subject
        .inventory
        .container_named(&name_of(subject, image))?;
    let is_pin = existing(subject).iter().any(|pin| pin.id == taker.id);
    (!is_pin).then_some(taker)
}

/// What is a pin of the workload but for the state that made it.
fn of_other_states(subject: Subject<'_>) -> impl Iterator<Item = &Container> {
    let is_ours = move |c: &Container| existing(subject).iter().any(|pin| pin.id == c.id);
    let is_pin = |c: &Container| {
        let instance = c.pin.as_ref().and_then(|label| label.instance.as_deref());
        let workload = instance.and_then(|instance| c.pinned_for(instance));
        workload == Some(subject.name.as_str())
    };
    let containers = subject.observed().containers.iter();
    containers.filter(move |c| is_pin(c) && !is_ours(c))
}

/// The fallbacks that a pin holds, with the pin's name.
pub(super) fn in_place(subject: Subject<'_>) -> BTreeMap<ImageId, String> {
    let pins = existing(subject)
        .iter()
        .filter_map(|pin| pin.image.as_ref());
    pins.map(|image| (image.clone(), name_of(subject, image)))
        .gather()
}

/// What a person should know of the pins.
pub(super) fn notes(subject: Subject<'_>, memory: &Memory) -> Vec<Note> {
    let taken = wanted(subject, memory).filter_map(|image| {
        let taker = name_taken(subject, image)?;
        Some(Note::PinNameTaken {
            image: image.clone(),
            name: name_of(subject, image),
            state: taker.state.clone(),
        })
    });
    let started = existing(subject)
        .iter()
        .filter(|pin| !pin.state.is_stopped());
    let started = started.map(|pin| Note::PinStarted {
        name: pin.name().into_owned(),
        state: pin.state.clone(),
    });
    let strangers =
        of_other_states(subject).filter(|pin| !wanted(subject, memory).any(|i| pin.uses(i)));
    let strangers = strangers.map(|pin| Note::PinOfOtherState {
        name: pin.name().into_owned(),
    });
    taken.chain(started).chain(strangers).collect()
}
