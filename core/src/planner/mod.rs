//! The decision: `(policy, state, observation) -> (state', plan, events)`, a pure function (design
//! 4).
//!
//! `plan` prints what `reconcile` does because both call [`decide`]. It is a column of stages. Each
//! takes named values and gives one named value, and none changes what an earlier one gave:
//!
//! | stage | from | gives |
//! |---|---|---|
//! | `disk::recall` | state, observation | what is known of the disk that the engine shows, and what is on hold |
//! | 1 `ownership::assign` | policy, recalled, observation | whose each image and container is |
//! | 2 `serving::of` | inventory, recalled | which containers do the work |
//! | 3 `records::update` | inventory, recalled | what was seen, written down |
//! | 4 `upgrade::advance` | records, serving; recalled, to tell what is news | the pending upgrade, the lineage, moves of `latest`, stale containers |
//! | 5 `rules::judge` | upgrades | a verdict and a reason for each image |
//! | 6 `eviction::apply`, `shared::resolve`, `names::judge` | verdicts | the same for a full disk, for images of several workloads, and for each name |
//! | 7 `actions::derive` | upgrades, verdicts | the round's actions with their guards |
//!
//! Stages 5 to 7 are one function, `follow`: `status`, and a state that cannot be saved, are judged
//! by them too.

// The stages.
mod actions;
mod disk;
mod eviction;
mod names;
mod ownership;
mod records;
mod rules;
mod serving;
mod shared;
mod upgrade;

// Parts of stage 4.
mod naming;
mod promotion;
mod stale;

// What the stages share.
mod history;
mod hold;
mod pins;
mod subject;
mod version;

// What is said of a workload besides what is done.
mod notes;
mod view;

// Other questions than that for the next round.
mod accept;
mod explain;
mod preview;
mod queries;
mod rollback;
mod saved;

use alloc::collections::{BTreeMap, BTreeSet};

use crate::Gather;
use crate::model::{
    Disk, Event, HeldBy, ImageId, Memory, Observation, Plan, Policy, Reason, State, WorkloadName,
    WorkloadPlan,
};

use disk::Recalled;
use subject::{Subject, subjects};

pub use accept::accept;
pub use explain::image_reports;
pub use preview::{MAX_ROUNDS, PlannedRound, Rounds, rounds};
pub use queries::{Query, Services, queries, service_queries};
pub use rollback::{
    Refusal, RollbackPlan, RollbackTarget, rollback, rollback_actions, rollback_steps,
};
pub use saved::{plan_as_saved, status};
pub use upgrade::FAILURES_KEPT;

/// How often the clock alone is saved while something ages by it, so that its age survives reboots
/// (design 5.1).
const CLOCK_SAVE_INTERVAL_MS: u64 = 60 * 60 * 1000;

/// What a decision gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The state to save before anything of the plan is acted on.
    pub state: State,
    /// Whether it must be saved: it differs in more than the clock, or something that ages needs
    /// the clock (design 5.1).
    pub save: bool,
    /// The next round.
    pub plan: Plan,
    /// What changed between the old state and the new one, for the log.
    pub events: alloc::vec::Vec<Event>,
}

/// Decides the next round.
///
/// The observation should answer what [`queries`] asks; a container that was not inspected is not
/// taken to soak.
pub fn decide(policy: &Policy, state: &State, observed: &Observation) -> Decision {
    let recalled = disk::recall(policy, state, observed);
    let inventory = ownership::assign(policy, &recalled, observed);
    let subjects = subjects(policy, &recalled, &inventory);

    let serving = each(&subjects, |s| serving::of(s, recalled.memory(s.name)));
    let records = each(&subjects, |s| records::update(s, recalled.of(s.name)));
    let upgrades = each(&subjects, |s| {
        upgrade::advance(s, &records[s.name], recalled.of(s.name), &serving[s.name])
    });
    let plan = Plan {
        departed: pins::of_departed(policy, state, &inventory),
        disk: observed.disk.clone(),
        ..follow(&subjects, &serving, &upgrades, observed.disk.as_ref())
    };
    let of_policy = upgrades
        .iter()
        .map(|(name, upgrade)| ((*name).clone(), upgrade.state.clone()));
    let departed = disk::departed(policy, state, observed.until.ms());
    let decided = State {
        instance: state.instance.clone(),
        clock: observed.until.clock,
        holds: recalled.holds.clone(),
        workloads: of_policy.chain(departed).gather(),
        undelivered: state.undelivered.clone(),
        rejected: state.rejected.clone(),
    };
    let elapsed_ms = observed.until.ms().saturating_sub(state.clock.clock_ms);
    let clock_due = elapsed_ms >= CLOCK_SAVE_INTERVAL_MS && ages(&plan, &decided);
    Decision {
        save: decided.differs_from(state) || clock_due,
        events: events(state, &recalled, upgrades),
        state: decided,
        plan,
    }
}

/// Stages 5 to 7: the plan that follows from how the upgrades stand.
fn follow<'a>(
    subjects: &[Subject<'a>],
    serving: &BTreeMap<&'a WorkloadName, serving::Serving<'a>>,
    upgrades: &eviction::Upgrades<'a>,
    disk: Option<&Disk>,
) -> Plan {
    let verdicts = each(subjects, |s| rules::judge(s, &upgrades[s.name]));
    let evicted = eviction::apply(subjects, verdicts, upgrades, disk);
    let resolved = shared::resolve(subjects, evicted.verdicts, upgrades);
    let names = each(subjects, |s| {
        names::judge(s, &upgrades[s.name], &resolved.verdicts[s.name])
    });
    let claimed = claimed(upgrades.values().map(|upgrade| &upgrade.state.memory));
    let mut actions = each(subjects, |s| {
        let round = actions::Round {
            claimed: &claimed,
            deferred: &resolved.deferred,
        };
        actions::derive(s, &upgrades[s.name], &names[s.name], round)
    });

    let shown = |s: &Subject<'_>| {
        let (upgrade, serving) = (&upgrades[s.name], &serving[s.name]);
        let parts = view::Parts {
            upgrade,
            serving,
            names: &names[s.name],
            actions: actions.remove(s.name).unwrap_or_default(),
            notes: notes::of(*s, upgrade, serving, evicted.notes.get(s.name)),
        };
        (s.name.clone(), view::of(*s, parts))
    };
    Plan {
        workloads: subjects.iter().map(shown).gather(),
        evicted: evicted.order,
        ..Plan::default()
    }
}

fn events(
    state: &State,
    recalled: &Recalled,
    upgrades: eviction::Upgrades<'_>,
) -> alloc::vec::Vec<Event> {
    let of_workload = |(name, upgrade): (&WorkloadName, upgrade::Upgrade<'_>)| {
        let workload = name.clone();
        let of_disk = disk::event(state.workloads.get(name), recalled.of(name));
        let kinds = of_disk.into_iter().chain(upgrade.events);
        kinds.map(move |kind| Event {
            workload: workload.clone(),
            kind,
        })
    };
    upgrades.into_iter().flat_map(of_workload).collect()
}

/// One value of a stage for each workload.
fn each<'a, T>(
    subjects: &[Subject<'a>],
    stage: impl Fn(Subject<'a>) -> T,
) -> BTreeMap<&'a WorkloadName, T> {
    subjects
        .iter()
        .map(|subject| (subject.name, stage(*subject)))
        .gather()
}

/// The images that are needed by their ids: no action may take the last name of one.
fn claimed<'m>(memories: impl Iterator<Item = &'m Memory>) -> BTreeSet<ImageId> {
    memories.flat_map(Memory::claimed).cloned().gather()
}

/// Whether something grows old by the clock: an image in grace, what is kept of a workload that
/// left the policy, an event that waits for its hook, a hold that is to end.
fn ages(plan: &Plan, state: &State) -> bool {
    let is_timed = |by: &HeldBy| {
        matches!(
            by,
            HeldBy::Section {
                left_ms: Some(_),
                ..
            }
        )
    };
    let of_workload = |workload: &WorkloadPlan| {
        let mut verdicts = workload.images.iter();
        workload.held.as_ref().is_some_and(is_timed)
            || verdicts.any(|verdict| verdict.reason == Reason::Grace)
    };
    let mut known = state.workloads.values();
    !state.undelivered.is_empty()
        || plan.workloads.values().any(of_workload)
        || known.any(|known| {
            known.left_ms.is_some() && disk::keeps_everything(known, state.clock.clock_ms)
        })
}
