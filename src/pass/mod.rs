//! A pass: rounds of observe, decide, save, act, until nothing is left to do (design 4.6).
//!
//! Knows no socket and no file: the engine, the store and the witness are behind traits, so that a model host can
//! drive this very code. It decides nothing: it carries out what `decide` said, asking the engine once more before
//! each change. It may be killed at any instruction; the next pass goes on.

mod act;
mod observe;
mod person;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::anyhow;

use crate::decide::{self, Action, Event, Plan, Reason};
use crate::engine::Engine;
use crate::image::{ImageId, Reference, Version};
use crate::policy::{Policy, WorkloadName};
use crate::state::{Departure, Now, Removed, State, Store, Tally, WorkloadState};

use observe::Questions;
pub use observe::{ReadyAsker, RunReady, look};
pub use person::{Foreseen, RolledBack, foresee, roll_back, roll_back_as};

/// A pass that needs more rounds than this is going in circles, which is a bug (design 4.6).
pub const MAX_ROUNDS: usize = 6;

/// Who is told what happens, as it happens.
pub trait Witness {
    /// Something changed.
    fn event(&mut self, event: &Event);
    /// Something went wrong; the pass goes on. `workload` is none where it concerns them all.
    fn failure(&mut self, workload: Option<&WorkloadName>, error: &anyhow::Error);
    /// A removal comes next, and may take long.
    fn before_removal(&mut self) {}
}

/// What a pass works with.
pub struct Pass<'a, E, S, W> {
    /// What the operator wants.
    pub policy: &'a Policy,
    /// The present, read once.
    pub now: &'a Now,
    /// The engine.
    pub engine: &'a mut E,
    /// The state's store; whoever holds it holds the lock.
    pub store: &'a mut S,
    /// The log.
    pub witness: &'a mut W,
    /// The `ready` commands.
    pub ready: ReadyAsker<'a>,
}

/// How a pass ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How the workloads stand at the end.
    pub plan: Plan,
    /// Actions that failed; the next pass tries again.
    pub failed_actions: usize,
}

/// Why a pass broke off.
#[derive(Debug)]
pub enum PassError {
    /// The engine could not be observed, and nothing has been changed on it.
    Unobserved(anyhow::Error),
    /// Anything else, or after something was changed.
    Broken(anyhow::Error),
}

impl<E: Engine, S: Store, W: Witness> Pass<'_, E, S, W> {
    /// Runs the pass from a loaded state.
    pub fn run(&mut self, mut state: State) -> Result<Outcome, PassError> {
        let mut record = Record::default();
        for _ in 0..MAX_ROUNDS {
            let may_ask = Questions {
                ready: Some(&mut self.ready),
                disk: !record.tried_removal,
            };
            let world = observe::observe(self.engine, self.policy, &state, self.now, may_ask);
            let world = world.map_err(|error| record.broke_off(error))?;
            let counted = record.tell_removals(&mut state, self.now);
            let decision = decide::decide(self.policy, &state, &world, self.now);
            if decision.save || counted {
                if let Err(error) = self.store.save(&decision.state) {
                    record.wanted = decide::wanted_ids(self.policy, &state);
                    self.make_room(&state, &decision.plan, &mut record);
                    self.store
                        .save(&decision.state)
                        .map_err(|_| PassError::Broken(error))?;
                }
                state = decision.state;
            }
            record.wanted = decide::wanted_ids(self.policy, &state);
            for event in &decision.events {
                self.witness.event(event);
            }
            if !self.act(&decision.plan, &mut record) {
                return Ok(Outcome {
                    plan: decision.plan,
                    failed_actions: record.failed_actions,
                });
            }
        }
        Err(PassError::Broken(anyhow!(
            "the pass has not come to rest within {MAX_ROUNDS} rounds, which is a bug: please report it with `tagkeeper plan`"
        )))
    }

    /// Acts on everything of the plan that this pass has not tried. Whether there was anything.
    fn act(&mut self, plan: &Plan, record: &mut Record) -> bool {
        let mut acted = false;
        for (workload, action) in plan.actions() {
            if record.may_try(workload, action) {
                acted = true;
                let why = plan.why_idle(workload, action);
                self.try_action(workload, action, why, record);
            }
        }
        acted
    }

    /// The state could not be saved, most likely because the disk is full: the removals that the *saved* state already
    /// calls for go ahead (design 5.1).
    fn make_room(&mut self, saved: &State, plan: &Plan, record: &mut Record) {
        for (workload, action) in plan.actions() {
            if is_called_for(saved, workload, action) && record.may_try(workload, action) {
                let why = plan.why_idle(workload, action);
                self.try_action(workload, action, why, record);
            }
        }
    }
}

fn is_called_for(saved: &State, workload: &WorkloadName, action: &Action) -> bool {
    let (
        Action::RemoveImage {
            reference,
            image,
            reason,
        },
        Some(known),
    ) = (action, saved.workloads.get(workload))
    else {
        return false;
    };
    if wants(known, reference.as_ref(), image) {
        return false;
    }
    match reason {
        Reason::Retired => known.retired.contains(image),
        Reason::Idle => known
            .images
            .get(image)
            .is_some_and(|sighting| sighting.idle_since_ms.is_some()),
        _ => false,
    }
}

/// Whether a state wants an image, or another one of the same version, for its lineage or its pending upgrade. What was
/// decided since and could not be saved may be decided otherwise by the next pass.
fn wants(known: &WorkloadState, reference: Option<&Reference>, image: &ImageId) -> bool {
    let pending = known.pending.iter();
    let stand_ins = pending.clone().filter_map(|p| p.stand_in.as_ref());
    let proven = known
        .lineage
        .iter()
        .chain(stand_ins)
        .map(|p| (&p.image, &p.version));
    let tag = reference.and_then(Reference::version_tag);
    proven
        .chain(pending.map(|p| (&p.image, &p.version)))
        .any(|(wanted, version)| wanted == image || tag == Some(version.as_str()))
}

/// What a pass has tried so far: an action that failed or was dropped is not tried again in it.
#[derive(Default)]
pub(crate) struct Record {
    tried: BTreeSet<(WorkloadName, Action)>,
    /// Workloads where a name could not be given: no name may be taken from an image that needed it.
    stuck: BTreeSet<WorkloadName>,
    /// What the workloads of the policy want by its id: such an image may lose a name, and never its last one.
    wanted: BTreeSet<ImageId>,
    /// Removals that the engine confirmed, and that the state does not know of yet.
    removals: BTreeMap<WorkloadName, Removals>,
    failed_actions: usize,
    changed: bool,
    /// A removal of an image was tried.
    tried_removal: bool,
    /// The pass's deadline has passed: no action is worth trying any more.
    over: bool,
}

/// What the engine has confirmed, of one workload.
#[derive(Default)]
struct Removals {
    tally: Tally,
    /// The removals that took an image off the disk.
    gone: Vec<Action>,
}

/// Writes down for people what took an image off the disk.
fn note_gone(known: &mut WorkloadState, action: &Action, now: &Now) {
    let Action::RemoveImage {
        reference,
        image,
        reason,
    } = action
    else {
        return;
    };
    let why = if *reason == Reason::Idle {
        Departure::Idle
    } else {
        Departure::Retired
    };
    let removed = Removed {
        why,
        at: now.wall.clone(),
    };
    let tag = reference.as_ref().and_then(Reference::version_tag);
    let version = || tag.map_or_else(|| image.short_version(), Version::new);
    known.note(image, version, |past| past.removed = Some(removed));
}

impl Record {
    fn may_try(&mut self, workload: &WorkloadName, action: &Action) -> bool {
        let moves_a_name = matches!(action, Action::Tag { .. });
        let pointless = self.over || (moves_a_name && self.stuck.contains(workload));
        let tries = !pointless && self.tried.insert((workload.clone(), action.clone()));
        self.tried_removal |= tries && matches!(action, Action::RemoveImage { .. });
        tries
    }

    /// The engine has confirmed a removal. With a size, the image itself has left the disk.
    fn count_removal(
        &mut self,
        workload: &WorkloadName,
        action: &Action,
        won_back_bytes: Option<u64>,
    ) {
        let removals = self.removals.entry(workload.clone()).or_default();
        removals.tally.add(&Tally {
            removals: 1,
            bytes_won_back: won_back_bytes.unwrap_or_default(),
            ..Tally::default()
        });
        if won_back_bytes.is_some() {
            removals.gone.push(action.clone());
        }
    }

    /// Adds the removals since the last round to the state, which is saved before anything else is removed. Whether there
    /// were any. The engine has confirmed each of them once, so nothing is counted twice; a pass that is killed before it
    /// gets here loses them.
    fn tell_removals(&mut self, state: &mut State, now: &Now) -> bool {
        let removals = std::mem::take(&mut self.removals);
        let counted = !removals.is_empty();
        for (workload, removed) in removals {
            if let Some(known) = state.workloads.get_mut(&workload) {
                known.tally.add(&removed.tally);
                removed
                    .gone
                    .iter()
                    .for_each(|action| note_gone(known, action, now));
            }
        }
        counted
    }

    fn broke_off(&self, error: anyhow::Error) -> PassError {
        if self.changed || self.failed_actions > 0 {
            PassError::Broken(error)
        } else {
            PassError::Unobserved(error)
        }
    }
}
