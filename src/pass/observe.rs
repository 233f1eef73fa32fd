//! Observing: the two lists, then what the decision asks about them.

use std::collections::BTreeMap;

use crate::decide::{self, Decision, Inquiry};
use crate::engine::Engine;
use crate::policy::{Policy, Ready, WorkloadName};
use crate::state::{Now, State};
use crate::world::{ContainerId, Disk, Readiness, World};

/// Asks the workloads whether they are ready, each container at most once in a pass (design 4.3).
pub struct ReadyAsker<'a> {
    run: &'a mut dyn FnMut(&Ready, &Inquiry) -> Readiness,
    answers: BTreeMap<(WorkloadName, ContainerId), Readiness>,
}

impl<'a> ReadyAsker<'a> {
    /// An asker that runs commands by `run`.
    pub fn new(run: &'a mut dyn FnMut(&Ready, &Inquiry) -> Readiness) -> Self {
        Self {
            run,
            answers: BTreeMap::new(),
        }
    }

    fn answer(&mut self, ready: &Ready, inquiry: &Inquiry) -> Option<(WorkloadName, Readiness)> {
        let Inquiry::AskReady {
            workload,
            container,
            ..
        } = inquiry
        else {
            return None;
        };
        let key = (workload.clone(), container.clone());
        let answer = self
            .answers
            .entry(key)
            .or_insert_with(|| (self.run)(ready, inquiry));
        Some((workload.clone(), answer.clone()))
    }
}

/// What may be asked of others than the engine, and how full the disk is. A question that may not be asked stays open, and
/// the decision takes it for neither yes nor no.
#[derive(Default)]
pub(crate) struct Questions<'q, 'a> {
    /// The `ready` commands.
    pub(crate) ready: Option<&'q mut ReadyAsker<'a>>,
    /// The disk's fullness. To be asked until the first removal of a pass: what that has freed may show later (containerd
    /// collects in its own time), and shared layers are freed with their last image, so a second look in the same pass
    /// would take more than is needed.
    pub(crate) disk: bool,
}

/// Observes the engine until the decision has no more questions that may be asked.
pub(crate) fn observe<E: Engine>(
    engine: &mut E,
    policy: &Policy,
    state: &State,
    now: &Now,
    mut may_ask: Questions<'_, '_>,
) -> anyhow::Result<World> {
    if policy.workloads.is_empty() {
        // Nothing to look after: the engine need not even be there.
        return Ok(World::default());
    }
    let mut world = engine.observe()?;
    loop {
        let mut answered = false;
        for inquiry in decide::inquiries(policy, state, &world, now) {
            match &inquiry {
                Inquiry::Inspect(id) => {
                    answered = true;
                    match engine.inspect_container(id)? {
                        Some(inspected) => {
                            let listed = world
                                .containers
                                .iter_mut()
                                .filter(|container| container.id == *id);
                            listed.for_each(|container| container.state = inspected.state);
                            world.details.insert(id.clone(), inspected.details);
                        }
                        // It went between the list and now: as if it had not been listed.
                        None => world.containers.retain(|container| container.id != *id),
                    }
                }
                Inquiry::AskReady { workload, .. } => {
                    let ready = policy
                        .workloads
                        .get(workload)
                        .and_then(|w| w.ready.as_ref());
                    if let (Some(asker), Some(ready)) = (may_ask.ready.as_mut(), ready) {
                        answered = true;
                        world.readiness.extend(asker.answer(ready, &inquiry));
                    }
                }
                Inquiry::MeasureDisk => {
                    if may_ask.disk {
                        answered = true;
                        // No failed observation (design section 8): without the figures all goes on but for the pressure.
                        let measured = engine.disk();
                        world.disk =
                            Some(measured.unwrap_or_else(|e| Disk::Unknown(format!("{e:#}"))));
                    }
                }
            }
        }
        if !answered {
            return Ok(world);
        }
    }
}

/// What a pass would do now: observes and decides, and changes nothing. Without an asker no command is run.
///
/// # Errors
/// The engine could not be observed.
pub fn look<E: Engine>(
    engine: &mut E,
    policy: &Policy,
    state: &State,
    now: &Now,
    asker: Option<&mut ReadyAsker<'_>>,
) -> anyhow::Result<Decision> {
    let may_ask = Questions {
        ready: asker,
        disk: true,
    };
    let world = observe(engine, policy, state, now, may_ask)?;
    let mut decision = decide::decide(policy, state, &world, now);
    decision.plan.sort_by_names();
    Ok(decision)
}
