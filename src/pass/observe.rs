//! Observing: the two lists, then what the decision asks about them.

use crate::decide::{self, Decision, Inquiry};
use crate::engine::Engine;
use crate::policy::{Policy, Ready};
use crate::state::{Now, State};
use crate::world::{Readiness, World};

/// Runs a workload's `ready` command. Called at most once for each workload and container in a pass by whoever
/// remembers the answers.
pub type AskReady<'a> = &'a mut dyn FnMut(&Ready, &Inquiry) -> Readiness;

/// Observes the engine until the decision has no more questions.
pub(crate) fn observe<E: Engine>(
    engine: &mut E,
    policy: &Policy,
    state: &State,
    now: &Now,
    mut ask_ready: Option<AskReady<'_>>,
) -> anyhow::Result<World> {
    let mut world = engine.observe()?;
    loop {
        let mut answered = false;
        for inquiry in decide::inquiries(policy, state, &world, now) {
            match &inquiry {
                Inquiry::Inspect(id) => {
                    answered = true;
                    match engine.inspect_container(id)? {
                        Some(inspected) => {
                            let listed = world.containers.iter_mut().filter(|container| container.id == *id);
                            listed.for_each(|container| container.state = inspected.state);
                            world.details.insert(id.clone(), inspected.details);
                        }
                        // It went between the list and now: as if it had not been listed.
                        None => world.containers.retain(|container| container.id != *id),
                    }
                }
                Inquiry::AskReady { workload, .. } => {
                    let ready = policy.workloads.get(workload).and_then(|w| w.ready.as_ref());
                    if let (Some(ask), Some(ready)) = (ask_ready.as_mut(), ready) {
                        answered = true;
                        world.readiness.insert(workload.clone(), ask(ready, &inquiry));
                    }
                }
            }
        }
        if !answered {
            return Ok(world);
        }
    }
}

/// What a pass would do now: observes and decides, and changes nothing. Without `ask_ready` no command is run.
///
/// # Errors
/// The engine could not be observed.
pub fn look<E: Engine>(
    engine: &mut E,
    policy: &Policy,
    state: &State,
    now: &Now,
    ask_ready: Option<AskReady<'_>>,
) -> anyhow::Result<Decision> {
    let world = observe(engine, policy, state, now, ask_ready)?;
    Ok(decide::decide(policy, state, &world, now))
}
