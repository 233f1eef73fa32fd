//! What pins may be and do, held against every decision beside the promises of [`super::safety`]. Written from
//! docs/pinning.md, without the decision's own look-ups.

use crate::decide::{Action, Decision, Plan, Reason, WorkloadPlan, decide};
use crate::image::{ImageId, Reference};
use crate::policy::{Policy, WorkloadName};
use crate::state::{Now, State};
use crate::world::{Container, ContainerState, World};

use super::model::digit;

/// The name that a workload's pin on an image has.
pub(super) fn pin_name(workload: &str, image_digit: char) -> String {
    let digits = image_digit.to_string().repeat(12);
    format!("tagkeeper-pin-{workload}-{digits}")
}

/// Whether a container is a pin, and was not started.
pub(super) fn is_pin(container: &Container) -> bool {
    let idles = [
        ContainerState::Created,
        ContainerState::Exited,
        ContainerState::Dead,
    ];
    idles.contains(&container.state) && has_marks(container)
}

/// Whether all that makes a pin agrees: label, name and image.
fn has_marks(container: &Container) -> bool {
    let named_for = |workload: &String| {
        let name = pin_name(workload, digit(&container.image));
        container.names.contains(&name)
    };
    container.pin.as_ref().is_some_and(named_for)
}

pub(super) fn check(policy: &Policy, state: &State, world: &World, now: &Now, decision: &Decision) {
    check_nothing_else_sees_them(policy, state, world, now, decision);
    for (name, plan) in &decision.plan.workloads {
        for action in &plan.actions {
            check_action(policy, world, decision, name, action);
        }
    }
    for (name, actions) in &decision.plan.departed {
        assert!(!policy.workloads.contains_key(name), "{name} is there");
        for action in actions {
            let Action::RemovePin { .. } = action else {
                panic!("more than its pins is done for {name}: {action}")
            };
            check_action(policy, world, decision, name, action);
        }
    }
}

/// Without the pins, the rest of the decision is the same.
fn check_nothing_else_sees_them(
    policy: &Policy,
    state: &State,
    world: &World,
    now: &Now,
    decision: &Decision,
) {
    let mut without = world.clone();
    without.containers.retain(|c| !is_pin(c));
    // One that was started is nobody's container either, and uses its image.
    for started in without.containers.iter_mut().filter(|c| has_marks(c)) {
        started.names = vec!["somebody's".to_owned()];
        started.state = ContainerState::Paused;
    }
    let pinless = decide(policy, state, &without, now);
    assert_eq!(pinless.state, decision.state, "a pin is remembered");
    assert_eq!(pinless.events, decision.events, "a pin is an event");
    for (name, plan) in &decision.plan.workloads {
        let other = &pinless.plan.workloads[name];
        assert_eq!(plan.serving, other.serving, "a pin serves");
        assert_eq!(judged(plan), judged(other), "a pin uses an image");
    }
    assert_eq!(
        rest(&pinless.plan),
        rest(&decision.plan),
        "a pin moves more than pins"
    );
}

fn judged(plan: &WorkloadPlan) -> Vec<(Option<&Reference>, &ImageId, Reason)> {
    let images = plan.images.iter();
    images
        .map(|j| (j.reference.as_ref(), &j.image, j.reason))
        .collect()
}

/// What the plan does besides pins.
fn rest(plan: &Plan) -> Vec<(&WorkloadName, &Action)> {
    let is_pins = |a: &Action| matches!(a, Action::CreatePin { .. } | Action::RemovePin { .. });
    let actions = plan.actions().into_iter();
    actions.filter(|(_, action)| !is_pins(action)).collect()
}

fn check_action(
    policy: &Policy,
    world: &World,
    decision: &Decision,
    name: &WorkloadName,
    action: &Action,
) {
    let workload = policy.workloads.get(name);
    let on_disk = |id: &ImageId| world.images.iter().any(|image| image.id == *id);
    // In any order, behind the first that is there.
    let is_fallback = |id: &ImageId| {
        let known = &decision.state.workloads[name].lineage;
        let mut lineage = known.iter().filter(|proven| on_disk(&proven.image));
        lineage.next();
        lineage.any(|proven| proven.image == *id)
    };
    match action {
        Action::CreatePin { container, image } => {
            let workload = workload.unwrap();
            assert!(workload.pin && !workload.hold, "nobody wants a pin");
            assert!(is_fallback(image), "what is no fallback is pinned");
            assert_eq!(*container, pin_name(name.as_str(), digit(image)));
            let taken = world.containers.iter().any(|c| c.names.contains(container));
            assert!(!taken, "the name is taken");
        }
        Action::RemovePin { id, image, .. } => {
            let pin = world.containers.iter().find(|c| c.id == *id).unwrap();
            assert!(is_pin(pin) && pin.image == *image, "no pin is removed");
            assert_eq!(pin.pin.as_deref(), Some(name.as_str()), "whose pin?");
            if let Some(workload) = workload {
                assert!(!workload.hold);
                assert!(
                    !workload.pin || !is_fallback(image),
                    "a fallback loses its pin"
                );
            }
        }
        Action::RemoveImage { image, .. } => {
            // Its pin, if this workload has one, goes first.
            let is_left = |c: &&Container| {
                let goes = |a: &Action| matches!(a, Action::RemovePin { id, .. } if *id == c.id);
                let actions = &decision.plan.workloads[name].actions;
                c.image == *image
                    && is_pin(c)
                    && c.pin.as_deref() == Some(name.as_str())
                    && !actions.iter().any(goes)
            };
            let renamed = is_fallback(image);
            assert!(
                renamed || !world.containers.iter().any(|c| is_left(&c)),
                "a pin is left behind"
            );
        }
        Action::Tag { .. } | Action::RemoveContainer { .. } => {}
    }
}
