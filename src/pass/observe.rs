//! Observing: the two lists, then what the decision asks about them.

use std::collections::BTreeMap;

use crate::decide::{self, Decision, Inquiry};
use crate::engine::Engine;
use crate::policy::{Policy, WorkloadName};
use crate::ready::Question;
use crate::state::{Now, State};
use crate::world::{ContainerId, Disk, Readiness, World};

/// Runs the `ready` commands of these questions at the same time. The answers come in the order of the questions; none means
/// that there was no time to ask.
pub type RunReady<'a> = dyn FnMut(&[Question<'_>]) -> Vec<Option<Readiness>> + 'a;

/// Asks the workloads whether they are ready, each container at most once in a pass (design 4.3).
pub struct ReadyAsker<'a> {
    run: &'a mut RunReady<'a>,
    /// None of those that there was no time for: they are not asked again in this pass.
    answers: BTreeMap<(WorkloadName, ContainerId), Option<Readiness>>,
}

impl<'a> ReadyAsker<'a> {
    /// An asker that runs commands by `run`.
    pub fn new(run: &'a mut RunReady<'a>) -> Self {
        Self {
            run,
            answers: BTreeMap::new(),
        }
    }

    /// The answers to these questions, as far as there are any.
    fn answers(&mut self, questions: &[Question<'_>]) -> Vec<(WorkloadName, Readiness)> {
        let open: Vec<_> = questions
            .iter()
            .filter(|(_, inquiry)| key(inquiry).is_some_and(|key| !self.answers.contains_key(&key)))
            .copied()
            .collect();
        let answers = (self.run)(&open);
        let keys = open.iter().filter_map(|(_, inquiry)| key(inquiry));
        self.answers.extend(keys.zip(answers));
        questions
            .iter()
            .filter_map(|(_, inquiry)| {
                let key = key(inquiry)?;
                let answer = self.answers.get(&key)?.clone()?;
                Some((key.0, answer))
            })
            .collect()
    }
}

fn key(inquiry: &Inquiry) -> Option<(WorkloadName, ContainerId)> {
    match inquiry {
        Inquiry::AskReady {
            workload,
            container,
            ..
        } => Some((workload.clone(), container.clone())),
        Inquiry::Inspect(_) | Inquiry::MeasureDisk => None,
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
        let inquiries = decide::inquiries(policy, state, &world, now);
        let mut of_ready = Vec::new();
        for inquiry in &inquiries {
            match inquiry {
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
                    of_ready.extend(ready.map(|ready| (ready, inquiry)));
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
        if let (Some(asker), false) = (may_ask.ready.as_mut(), of_ready.is_empty()) {
            let answers = asker.answers(&of_ready);
            answered |= !answers.is_empty();
            world.readiness.extend(answers);
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
