//! Observing: the two lists between two readings of the clock, then what the decision asks about
//! them.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use tagkeeper_core::model::{
    Container, ContainerId, Disk, Now, Observation, Policy, Readiness, Reading, State, WorkloadName,
};
use tagkeeper_core::planner::{self, Query, Services};

use super::Timekeeper;
use crate::engine::Engine;

/// Runs the `ready` commands that are asked for, all at the same time; none for one that was not
/// asked in time.
pub type AskReady<'a> = dyn FnMut(&[Query]) -> Vec<Option<Readiness>> + 'a;

/// The answers of the workloads' `ready` commands, each asked at most once in a pass (design 4.3).
pub struct ReadyAnswers<'a> {
    ask: &'a mut AskReady<'a>,
    answers: BTreeMap<(WorkloadName, ContainerId), Option<Readiness>>,
}

impl<'a> ReadyAnswers<'a> {
    /// Answers that come from running the commands by `ask`.
    pub fn new(ask: &'a mut AskReady<'a>) -> Self {
        Self {
            ask,
            answers: BTreeMap::new(),
        }
    }

    /// The answers to some queries. A workload that could not be asked has none.
    fn answer(&mut self, queries: &[Query]) -> Vec<(WorkloadName, Option<Readiness>)> {
        let key = |query: &Query| match query {
            Query::AskReady {
                workload,
                container,
                ..
            } => Some((workload.clone(), container.clone())),
            Query::Inspect(_) | Query::MeasureDisk => None,
        };
        let is_open =
            |query: &&Query| key(query).is_some_and(|key| !self.answers.contains_key(&key));
        let open: Vec<Query> = queries.iter().filter(is_open).cloned().collect();
        if !open.is_empty() {
            let answers = (self.ask)(&open);
            self.answers
                .extend(open.iter().filter_map(key).zip(answers));
        }
        let known = queries.iter().filter_map(key).map(|key| {
            let answer = self.answers.get(&key).cloned().flatten();
            (key.0, answer)
        });
        known.collect()
    }
}

/// What may be asked of others than the engine, and how full the disk is. A query that may not be
/// asked stays open, and the decision takes it for neither yes nor no.
#[derive(Default)]
pub(crate) struct AllowedQueries<'q, 'a> {
    /// The `ready` commands.
    pub(crate) ready: Option<&'q mut ReadyAnswers<'a>>,
    /// The disk's usage. To be asked until the first removal of a pass: what that has freed may
    /// show later (containerd collects in its own time), and shared layers are freed with their
    /// last image, so a second look in the same pass would evict more than is needed.
    pub(crate) disk: bool,
    /// Which services to inspect for a person.
    pub(crate) services: Option<Services<'q>>,
}

/// Observes the engine until the decision has no more queries that may be asked.
pub(crate) fn observe<E: Engine>(
    engine: &mut E,
    policy: &Policy,
    state: &State,
    clock: &mut Timekeeper<'_>,
    began: &Now,
    mut allowed: AllowedQueries<'_, '_>,
) -> anyhow::Result<Observation> {
    let from = clock.now();
    let mut observed = Observation {
        pass_ms: began.ms(),
        until: from.clone(),
        from,
        ..Observation::default()
    };
    if policy.workloads.is_empty() {
        // Nothing to look after: the engine need not even be there.
        return Ok(observed);
    }
    let labels = policy
        .workloads
        .values()
        .filter_map(|w| w.version_label.as_deref());
    let labels: Vec<&str> = labels.collect();
    let lists = engine.observe(&labels)?;
    observed.images = lists.images;
    observed.containers = lists.containers;
    let mut asked_ready = false;
    loop {
        observed.until = clock.now();
        let services = allowed.services.take();
        let queries = queries(policy, state, &observed, services);
        let (ready, others): (Vec<Query>, Vec<Query>) = queries
            .into_iter()
            .partition(|q| matches!(q, Query::AskReady { .. }));
        let mut answered = false;
        for query in others {
            match query {
                Query::Inspect(id) => {
                    answered = true;
                    inspect(engine, &mut observed, &id)?;
                }
                Query::MeasureDisk if allowed.disk => {
                    answered = true;
                    // No failed observation: without the figures all goes on but for the eviction.
                    let measured = engine.disk();
                    observed.disk =
                        Some(measured.unwrap_or_else(|e| Disk::Unknown(format!("{e:#}"))));
                }
                Query::MeasureDisk | Query::AskReady { .. } => {}
            }
        }
        // Asked once everything else is known, so that all commands run at the same time.
        if !answered && !asked_ready && !ready.is_empty() {
            if let Some(answers) = allowed.ready.as_mut() {
                asked_ready = true;
                answered = true;
                for (workload, answer) in answers.answer(&ready) {
                    observed
                        .readiness
                        .extend(answer.map(|answer| (workload, answer)));
                }
            }
        }
        if !answered {
            observed.until = clock.now();
            return Ok(observed);
        }
    }
}

/// What the decision asks, and what a person's command does, each once.
fn queries(
    policy: &Policy,
    state: &State,
    observed: &Observation,
    services: Option<Services<'_>>,
) -> Vec<Query> {
    let mut queries = planner::queries(policy, state, observed);
    let services = services.map(|which| planner::service_queries(policy, state, observed, which));
    for query in services.into_iter().flatten() {
        if !queries.contains(&query) {
            queries.push(query);
        }
    }
    queries
}

fn inspect<E: Engine>(
    engine: &mut E,
    observed: &mut Observation,
    id: &ContainerId,
) -> anyhow::Result<()> {
    let inspected = engine.inspect_container(id).with_context(|| {
        let mut listed = observed.containers.iter();
        let name = listed.find(|c| c.id == *id).map(Container::name);
        let name = name.unwrap_or_default();
        format!("nothing is decided while it is not known what container '{name}' does")
    });
    let Some(inspected) = inspected? else {
        // It went between the list and now: as if it had not been listed.
        observed.containers.retain(|container| container.id != *id);
        return Ok(());
    };
    for listed in observed.containers.iter_mut().filter(|c| c.id == *id) {
        // An image is for life: an answer with another one is about another container, whatever its
        // id says.
        if listed.image != inspected.image {
            bail!("the engine lists container {id} with another image than its inspect names");
        }
        listed.state = inspected.state.clone();
    }
    observed.details.insert(id.clone(), inspected.details);
    Ok(())
}

/// Observes for a command that only looks. Without answers no `ready` command is run, and what runs
/// is inspected: what is shown is not what a pass does next.
///
/// # Errors
/// The engine could not be observed.
pub fn observe_for<E: Engine>(
    engine: &mut E,
    policy: &Policy,
    state: &State,
    now: &Now,
    ready: Option<&mut ReadyAnswers<'_>>,
) -> anyhow::Result<Observation> {
    let services = ready.is_none().then_some(Services::Running);
    let allowed = AllowedQueries {
        ready,
        disk: true,
        services,
    };
    let still = standing_at(now);
    let mut clock = Timekeeper::new(now.clock, &still);
    observe(engine, policy, state, &mut clock, now, allowed)
}

/// The clocks of a command that only looks: all that it sees is of one moment.
pub(super) fn standing_at(now: &Now) -> impl Fn() -> Reading {
    let reading = Reading {
        monotonic_ms: now.clock.monotonic_ms,
        wall: now.wall.clone(),
    };
    move || reading.clone()
}
