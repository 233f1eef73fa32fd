//! A pass: rounds of observe, decide, save, act, until nothing is left to do (design 4.7).
//!
//! Knows no socket and no file: the engine, the store and the clocks are behind traits and
//! closures, so that tests can stand in for each of them. It decides nothing: it carries out what
//! the planner said, and checks each action's guards right before. It may be killed at any
//! instruction; the next pass goes on.

mod act;
mod observe;
mod rollback;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::anyhow;
use tagkeeper_core::Gather;
use tagkeeper_core::model::{
    Action, ActionKind, Clock, Counters, Event, ImageId, Now, Observation, Plan, Policy, Reading,
    Reason, Reference, State, WorkloadName,
};
use tagkeeper_core::planner::{self, MAX_ROUNDS};

use crate::engine::Engine;
use crate::store::Store;

use observe::AllowedQueries;
pub use observe::{AskReady, ReadyAnswers, observe_for};
pub use rollback::{RollbackPreview, RolledBack, preview, roll_back};

/// Who is told what happens, as it happens.
pub trait EventSink {
    /// Puts what hooks are to be notified of into the state that is saved next. Whether there was
    /// anything. Of what could not be saved then, [`event`](Self::event) is not called.
    fn spool(&mut self, state: &mut State, events: &[Event], now: &Now) -> bool;
    /// Something changed.
    fn event(&mut self, event: &Event);
    /// Something went wrong; the pass goes on. `workload` is none where it concerns them all.
    fn failure(&mut self, workload: Option<&WorkloadName>, error: &anyhow::Error);
    /// A removal comes next, and may take long.
    fn before_removal(&mut self) {}
}

/// The clock of one process: each reading goes on from the one before. Made under the lock (design
/// 5.2).
pub struct Timekeeper<'c> {
    clock: Clock,
    read: &'c dyn Fn() -> Reading,
}

impl<'c> Timekeeper<'c> {
    /// Goes on from the clock that a state was saved with.
    pub fn new(clock: Clock, read: &'c dyn Fn() -> Reading) -> Self {
        Self { clock, read }
    }

    /// The present.
    pub fn now(&mut self) -> Now {
        let now = self.clock.advance(&(self.read)());
        self.clock = now.clock;
        now
    }
}

/// What a pass works with.
pub struct Pass<'a, E, S, W> {
    /// What the operator wants.
    pub policy: &'a Policy,
    /// The clock, read under the lock.
    pub clock: Timekeeper<'a>,
    /// The engine.
    pub engine: &'a mut E,
    /// The state's store; whoever holds it holds the lock.
    pub store: &'a mut S,
    /// The log.
    pub sink: &'a mut W,
    /// The `ready` commands.
    pub ready: ReadyAnswers<'a>,
}

/// How a pass ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassOutcome {
    /// The workloads at the end.
    pub plan: Plan,
    /// The clock after the last observation.
    pub until: Now,
    /// Actions that failed; the next pass tries again.
    pub failed_actions: usize,
}

/// What it means that a state was not saved.
const UNSAVED: &str = "the state was not saved, so nothing new was promoted or removed: make room on its disk, or repair it; the next pass tries again";

/// Why a pass broke off.
#[derive(Debug)]
pub enum PassError {
    /// The engine could not be observed, and nothing has been changed on it.
    Unobserved(anyhow::Error),
    /// Anything else, or after something was changed.
    Broken(anyhow::Error),
}

impl<E: Engine, S: Store, W: EventSink> Pass<'_, E, S, W> {
    /// Runs the pass from a loaded state.
    ///
    /// # Errors
    /// The observation or a save failed, or the pass does not come to an end.
    pub fn run(&mut self, mut state: State) -> Result<PassOutcome, PassError> {
        let mut record = Record::new(self.clock.now(), &state);
        let mut disk = None;
        for _ in 0..MAX_ROUNDS {
            record.next_round();
            let observed = match self.observe(&state, &record) {
                Ok(observed) => observed,
                Err(error) => {
                    self.keep_answers(state, &mut record);
                    return Err(error);
                }
            };
            // A round after a removal does not measure: what the pass went by is what is told.
            disk = observed.disk.clone().or(disk);
            let noted = record.note_in(&mut state, &observed.until);
            let mut decision = planner::decide(self.policy, &state, &observed);
            let spooled = self
                .sink
                .spool(&mut decision.state, &decision.events, &observed.until);
            let mut acted = false;
            if decision.save || noted || spooled {
                match self.store.save(&decision.state) {
                    Ok(()) => state = decision.state,
                    Err(error) => {
                        // What the state on disk calls for goes ahead: on a full disk, it makes
                        // room.
                        let plan = planner::plan_as_saved(self.policy, &state, &observed);
                        acted = self.act(&plan, &mut record);
                        let again = self.store.save(&decision.state);
                        again.map_err(|_| PassError::Broken(error.context(UNSAVED)))?;
                        state = decision.state;
                    }
                }
            }
            for event in &decision.events {
                self.sink.event(event);
            }
            acted |= self.act(&decision.plan, &mut record);
            if !acted {
                return Ok(PassOutcome {
                    plan: Plan {
                        disk,
                        ..decision.plan
                    },
                    until: observed.until,
                    failed_actions: record.failed_actions,
                });
            }
        }
        self.keep_answers(state, &mut record);
        Err(PassError::Broken(anyhow!(
            "the pass did not finish within {MAX_ROUNDS} rounds, which is a bug: please report it with the output of `tagkeeper plan`"
        )))
    }

    /// Saves what the engine answered in the last round of a pass that breaks off: no later pass
    /// could tell it.
    fn keep_answers(&mut self, mut state: State, record: &mut Record) {
        let now = self.clock.now();
        if !record.note_in(&mut state, &now) {
            return;
        }
        state.clock = now.clock;
        if let Err(error) = self.store.save(&state) {
            self.sink.failure(None, &error.context(UNSAVED));
        }
    }

    fn observe(&mut self, state: &State, record: &Record) -> Result<Observation, PassError> {
        let allowed = AllowedQueries {
            ready: Some(&mut self.ready),
            disk: !record.tried_removal,
            services: None,
        };
        let began = &record.began;
        observe::observe(
            self.engine,
            self.policy,
            state,
            &mut self.clock,
            began,
            allowed,
        )
        .map_err(|error| record.broke_off(error))
    }

    /// Acts on everything of the plan that this pass has not tried. Whether there was anything.
    fn act(&mut self, plan: &Plan, record: &mut Record) -> bool {
        let mut acted = false;
        for (workload, action) in plan.actions() {
            if record.may_try(workload, action) {
                acted = true;
                let of = plan.workloads.get(workload);
                let judged = of.and_then(|of| of.judged(&action.kind));
                self.try_action(workload, action, judged, record);
            } else if record.was_in_vain(workload, action) {
                acted |= self.tell_in_vain(workload, action, record);
            }
        }
        acted
    }
}

/// What a pass has tried so far: an action that failed or was dropped is not tried again in it.
pub(crate) struct Record {
    /// When the pass began: its rounds share it.
    began: Now,
    /// The state's, for the labels of pins.
    instance: String,
    /// The removals that the engine had refused before this pass: that is said once.
    known_refusals: BTreeSet<(WorkloadName, String)>,
    tried: BTreeSet<(WorkloadName, ActionKind)>,
    /// What is done, as the engine said in this round, and in the one before.
    done: BTreeSet<(WorkloadName, ActionKind)>,
    done_before: BTreeSet<(WorkloadName, ActionKind)>,
    /// Workloads where a name could not be given: no name may be taken from an image that needed
    /// it.
    stuck: BTreeSet<WorkloadName>,
    /// What the engine has confirmed or refused, and the state does not know of yet.
    answers: BTreeMap<WorkloadName, Answers>,
    failed_actions: usize,
    refused_actions: usize,
    changed: bool,
    /// A removal of an image was tried.
    tried_removal: bool,
    /// The pass's deadline has passed: no action is worth trying any more.
    over: bool,
}

/// What the engine has confirmed or refused, of one workload.
#[derive(Default)]
struct Answers {
    counters: Counters,
    /// The images that a removal took off the disk: by which name, if by one, and why.
    deleted: Vec<(ImageId, Option<Reference>, Reason)>,
    /// The names that were removed, with the images that they named.
    names: Vec<(ImageId, String)>,
    /// The removals that the engine refused: what was to be removed, and what the engine said.
    refused: Vec<(String, String)>,
    /// Whether it failed at the move of `latest`.
    latest_in_doubt: Option<bool>,
}

impl Answers {
    /// Whether any of them must be saved, whatever the state says so far.
    fn is_news(&self) -> bool {
        !self.refused.is_empty() || self.counters != Counters::default()
    }
}

impl Record {
    fn new(began: Now, state: &State) -> Self {
        let workloads = state.workloads.iter();
        let refused = workloads.flat_map(|(name, known)| {
            let targets = known.memory.refused.keys();
            targets.map(|target| (name.clone(), target.clone()))
        });
        Self {
            began,
            instance: state.instance.clone(),
            known_refusals: refused.gather(),
            tried: BTreeSet::new(),
            done: BTreeSet::new(),
            done_before: BTreeSet::new(),
            stuck: BTreeSet::new(),
            answers: BTreeMap::new(),
            failed_actions: 0,
            refused_actions: 0,
            changed: false,
            tried_removal: false,
            over: false,
        }
    }

    fn may_try(&mut self, workload: &WorkloadName, action: &Action) -> bool {
        let gives_name = matches!(action.kind, ActionKind::Tag { .. });
        let pointless = self.over || (gives_name && self.stuck.contains(workload));
        let tries = !pointless && self.tried.insert((workload.clone(), action.kind.clone()));
        self.tried_removal |= tries && matches!(action.kind, ActionKind::RemoveImage { .. });
        tries
    }

    fn next_round(&mut self) {
        self.done_before = std::mem::take(&mut self.done);
    }

    /// Whether the engine said in the round before that it is done, and it is still to be done.
    /// True once.
    fn was_in_vain(&mut self, workload: &WorkloadName, action: &Action) -> bool {
        let key = (workload.clone(), action.kind.clone());
        self.done_before.remove(&key)
    }

    /// The engine has confirmed a removal. With a size, the image itself has left the disk.
    fn count_removal(
        &mut self,
        workload: &WorkloadName,
        action: &ActionKind,
        reclaimed_bytes: Option<u64>,
    ) {
        let answers = self.answers.entry(workload.clone()).or_default();
        answers.counters.add(&Counters {
            removals: 1,
            reclaimed_bytes: reclaimed_bytes.unwrap_or_default(),
            ..Counters::default()
        });
        let ActionKind::RemoveImage {
            reference,
            image,
            reason,
        } = action
        else {
            return;
        };
        if let Some(reference) = reference {
            answers.names.push((image.clone(), reference.to_string()));
        }
        if reclaimed_bytes.is_some() {
            let deleted = (image.clone(), reference.clone(), *reason);
            answers.deleted.push(deleted);
        }
    }

    /// The engine has moved `latest`, or failed to.
    fn note_latest(&mut self, workload: &WorkloadName, in_doubt: bool) {
        let answers = self.answers.entry(workload.clone()).or_default();
        answers.latest_in_doubt = Some(in_doubt);
    }

    /// Notes a refused removal. Whether that is news.
    fn note_refusal(&mut self, workload: &WorkloadName, action: &ActionKind, reason: &str) -> bool {
        self.refused_actions += 1;
        let Some(target) = action.removal_target() else {
            return true;
        };
        let answers = self.answers.entry(workload.clone()).or_default();
        answers.refused.push((target.clone(), reason.to_owned()));
        !self.known_refusals.contains(&(workload.clone(), target))
    }

    /// Writes the engine's answers since the last round into the state, which is saved before
    /// anything else is removed. Whether there were any. Each is noted once; a pass that is killed
    /// before it gets here loses them.
    fn note_in(&mut self, state: &mut State, now: &Now) -> bool {
        let mut any = false;
        for (workload, answers) in std::mem::take(&mut self.answers) {
            any |= answers.is_news();
            if let Some(known) = state.workloads.get_mut(&workload) {
                if let Some(in_doubt) = answers.latest_in_doubt {
                    any |= known.memory.latest_in_doubt != in_doubt;
                    known.memory.latest_in_doubt = in_doubt;
                }
                known.counters.add(&answers.counters);
                for (image, reference, reason) in &answers.deleted {
                    let names = answers.names.iter().filter(|(of, _)| of == image);
                    let names = names.map(|(_, name)| name.clone()).collect();
                    known.note_deleted(image, reference.as_ref(), *reason, names, &now.wall);
                }
                for (target, reason) in answers.refused {
                    known.memory.note_refused(target, reason, now);
                }
            }
        }
        any
    }

    fn broke_off(&self, error: anyhow::Error) -> PassError {
        if self.changed || self.failed_actions > 0 {
            PassError::Broken(error)
        } else {
            PassError::Unobserved(error)
        }
    }
}
