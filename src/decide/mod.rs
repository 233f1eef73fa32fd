//! The decision: `(policy, state, world, now) -> (state', plan, events)`, a pure function (design section 4).
//!
//! No I/O, no clock, no randomness, no engine types. `plan` prints exactly what `reconcile` does next because both
//! call [`decide`]. A workload goes through it in this order:
//!
//! 1. [`scene`]: who belongs to whom; [`serving`]: who serves, and which version that is.
//! 2. [`memory`]: what was seen is written down: arrivals, sightings, dry runs, what was rolled out, the lineage's cut.
//! 3. [`promotion`] and [`pending`]: the upgrade being soaked; when it has proved itself, `latest` moves.
//! 4. [`verdict`]: one verdict and one reason for every name on the disk; [`pressure`]: whether the disk is too full to wait;
//!    [`shared`]: what several workloads know; [`actions`]: what follows from them.
//!
//! [`pin`] keeps the containers apart that hold the fallbacks; [`rollback`] holds the two decisions that a person asks for;
//! [`history`] writes down what happened to images, for people, and [`story`] tells it.

mod actions;
mod case;
mod detail;
mod event;
mod history;
mod inquiry;
mod lookup;
mod memory;
mod pending;
mod pin;
mod plan;
mod pressure;
mod promotion;
mod rollback;
mod scene;
mod serving;
mod shared;
mod story;
#[cfg(test)]
mod tests;
mod verdict;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use crate::image::ImageId;
use crate::policy::{Policy, WorkloadName};
use crate::state::{Now, State, WorkloadState};
use crate::world::World;

use case::Case;
use scene::Scene;

pub use detail::Detail;
pub use event::{Event, EventKind};
pub use inquiry::{Inquiry, inquiries};
pub(crate) use pin::is_idle_pin;
pub use plan::{
    Action, Judgement, Latest, PendingView, Plan, Reason, Serving, TagPurpose, Verdict,
    WorkloadPlan,
};
pub use rollback::{Refusal, RollbackPlan, accept, rollback, rollback_actions, rollback_steps};
pub use story::{Fate, FirstSeen, Story, Until, stories};

/// Failures that are remembered of one workload: the last few images, for people (design 4.3).
pub const FAILURES_KEPT: usize = 5;

/// How often the clock alone is saved while an image is in grace, so that its age survives reboots (design 5.1).
const CLOCK_SAVE_INTERVAL_MS: u64 = 60 * 60 * 1000;

/// What a decision comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The state to save before anything of the plan is acted on.
    pub state: State,
    /// Whether it must be saved: it differs in more than the clock, or an image's grace needs the clock (design 5.1).
    pub save: bool,
    /// The next round.
    pub plan: Plan,
    /// What changed between the old state and the new one, for the log.
    pub events: Vec<Event>,
}

/// Decides the next round.
///
/// `world` should answer what [`inquiries`] asks; a container that was not inspected is not taken to serve.
pub fn decide(policy: &Policy, state: &State, world: &World, now: &Now) -> Decision {
    let scene = Scene::new(policy, state, world);
    let mut cases = judged(policy, state, &scene, now);
    pressure::press(&mut cases, &scene);
    shared::agree(&mut cases);

    let mut plan = Plan {
        departed: pin::of_departed(policy, &scene),
        ..Plan::default()
    };
    let mut events = Vec::new();
    let mut workloads = departed(policy, state);
    for mut case in cases {
        events.append(&mut case.events);
        plan.workloads.insert(case.name.clone(), case.view());
        workloads.insert(case.name.clone(), case.state);
    }
    let decided = State {
        version: state.version,
        clock: now.clock,
        workloads,
    };
    let clock_due =
        now.ms().saturating_sub(state.clock.clock_ms) >= CLOCK_SAVE_INTERVAL_MS && in_grace(&plan);
    let save = decided.differs_from(state) || clock_due;
    Decision {
        state: decided,
        save,
        plan,
        events,
    }
}

/// Each workload of the policy with its verdicts, the disk's fullness aside.
fn judged<'a>(
    policy: &'a Policy,
    state: &State,
    scene: &'a Scene<'a>,
    now: &'a Now,
) -> Vec<Case<'a>> {
    let mut cases: Vec<Case<'a>> = policy
        .workloads
        .iter()
        .filter_map(|(name, workload)| {
            let known = state.workloads.get(name).cloned().unwrap_or_default();
            let mut case = Case::new(name, workload, known, scene, now)?;
            case.remember();
            case.follow_upgrade();
            case.note_dry_runs();
            Some(case)
        })
        .collect();

    let wanted = actions::claims_of(&cases);
    for case in &mut cases {
        case.forget();
        case.settle_idleness();
        case.judge(&wanted);
    }
    cases
}

/// A workload that is not in the policy keeps its lineage and its rejections; the rest goes (design 4.5).
fn departed(policy: &Policy, state: &State) -> BTreeMap<WorkloadName, WorkloadState> {
    let gone = state
        .workloads
        .iter()
        .filter(|(name, _)| !policy.workloads.contains_key(*name));
    gone.map(|(name, known)| {
        let kept = WorkloadState {
            lineage: known.lineage.clone(),
            rejected: known.rejected.clone(),
            ..WorkloadState::default()
        };
        (name.clone(), kept)
    })
    .filter(|(_, kept)| !kept.lineage.is_empty() || !kept.rejected.is_empty())
    .collect()
}

/// The images that the workloads of the policy want kept by their ids. Nothing that is decided may delete one: `pass`
/// holds what it is about to do against this list, because between decision and act other names may have gone.
pub(crate) fn wanted_ids(policy: &Policy, state: &State) -> BTreeSet<ImageId> {
    let known = policy
        .workloads
        .keys()
        .filter_map(|name| state.workloads.get(name));
    known.flat_map(scene::claimed_ids).cloned().collect()
}

fn in_grace(plan: &Plan) -> bool {
    plan.workloads
        .values()
        .flat_map(|w| &w.images)
        .any(|judgement| judgement.reason == Reason::Grace)
}
