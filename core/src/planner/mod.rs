//! The decision: `(policy, state, observation) -> (state', plan, events)`, a pure function (design 4).
//!
//! `plan` prints what `reconcile` does because both call [`decide`]. It is a column of stages. Each takes named values and
//! gives one named value, and none changes what an earlier one gave:
//!
//! | stage | from | gives |
//! |---|---|---|
//! | `disk::recall` | state, observation | what is known of the disk that the engine shows, and what is on hold |
//! | 1 `ownership::assign` | policy, recalled, observation | whose each image and container is |
//! | 2 `serving::of` | inventory | which containers do the work |
//! | 3 `records::update` | inventory, serving | what was seen, written down |
//! | 4 `upgrade::advance` | records, serving | the pending upgrade, the lineage, moves of `latest`, stale containers |
//! | 5 `rules::judge` | upgrades | a verdict and a reason for each image |
//! | 6 `eviction::apply`, `shared::resolve`, `names::judge` | verdicts | the same for a full disk, for images of several workloads, and for each name |
//! | 7 `actions::derive` | upgrades, verdicts | the round's actions with their guards |

mod actions;
mod disk;
mod eviction;
mod explain;
mod history;
mod hold;
mod names;
mod naming;
mod ownership;
mod pins;
mod preview;
mod promotion;
mod queries;
mod records;
mod rollback;
mod rules;
mod serving;
mod shared;
mod stale;
mod upgrade;
mod version;
mod view;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;

use crate::model::{
    Event, HeldBy, ImageId, Memory, Observation, Pending, Plan, Policy, Readiness, Reason,
    Rejected, State, WorkloadName, WorkloadState,
};

use ownership::{Inventory, WorkloadInventory};

pub use explain::image_reports;
pub use pins::is_idle_pin;
pub use preview::{MAX_ROUNDS, PlannedRound, rounds};
pub use queries::{Query, queries};
pub use rollback::{
    Refusal, RollbackPlan, RollbackTarget, accept, rollback, rollback_actions, rollback_steps,
};
pub use view::{plan_as_saved, status};

/// Failures that are remembered of one workload: the last few images, for people (design 4.3).
pub const FAILURES_KEPT: usize = 5;

/// How often the clock alone is saved while an image is in grace or an event waits for its hook, so that their age survives
/// reboots (design 5.1).
const CLOCK_SAVE_INTERVAL_MS: u64 = 60 * 60 * 1000;

/// What a decision gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The state to save before anything of the plan is acted on.
    pub state: State,
    /// Whether it must be saved: it differs in more than the clock, or something that ages needs the clock (design 5.1).
    pub save: bool,
    /// The next round.
    pub plan: Plan,
    /// What changed between the old state and the new one, for the log.
    pub events: alloc::vec::Vec<Event>,
}

/// What `rollback` rejected, by workload and image.
type Rejections = BTreeMap<WorkloadName, BTreeMap<ImageId, Rejected>>;

/// What is remembered, as far as it concerns the disk that the engine shows (design 4.6), and what is on hold.
struct Recalled {
    instance: String,
    workloads: BTreeMap<WorkloadName, WorkloadState>,
    rejected: Rejections,
    held: BTreeMap<WorkloadName, HeldBy>,
    holds: BTreeMap<String, u64>,
    /// What is known of a workload that no pass has seen.
    nothing: WorkloadState,
}

/// One workload as every stage is given it: nothing here changes in the course of a decision.
#[derive(Clone, Copy)]
struct Subject<'a> {
    name: &'a WorkloadName,
    policy: &'a crate::model::Workload,
    /// What `[reject]` says of it.
    rejections: &'a [crate::model::Rejection],
    /// What `rollback` rejected of it.
    rejected: Option<&'a BTreeMap<ImageId, Rejected>>,
    held: Option<&'a HeldBy>,
    own: &'a WorkloadInventory<'a>,
    inventory: &'a Inventory<'a>,
}

/// Decides the next round.
///
/// The observation should answer what [`queries`] asks; a container that was not inspected is not taken to soak.
pub fn decide(policy: &Policy, state: &State, observed: &Observation) -> Decision {
    let recalled = disk::recall(policy, state, observed);
    let inventory = ownership::assign(policy, &recalled, observed);
    let subjects = subjects(policy, &recalled, &inventory);

    let serving = each(&subjects, |s| serving::of(s, recalled.memory(s.name)));
    let records = each(&subjects, |s| records::update(s, recalled.of(s.name)));
    let upgrades = each(&subjects, |s| {
        upgrade::advance(s, &records[s.name], recalled.of(s.name), &serving[s.name])
    });
    let verdicts = each(&subjects, |s| rules::judge(s, &upgrades[s.name]));
    let evicted = eviction::apply(&subjects, verdicts, &upgrades, observed.disk.as_ref());
    let resolved = shared::resolve(&subjects, evicted.verdicts, &upgrades);
    let names = each(&subjects, |s| {
        names::judge(s, &upgrades[s.name], &resolved.verdicts[s.name])
    });
    let claimed = claimed(upgrades.values().map(|upgrade| &upgrade.state.memory));
    let actions = each(&subjects, |s| {
        let round = actions::Round {
            claimed: &claimed,
            deferred: &resolved.deferred,
        };
        actions::derive(s, &upgrades[s.name], &names[s.name], round)
    });

    let shown = |s: &Subject<'_>| {
        let parts = view::Parts {
            upgrade: &upgrades[s.name],
            serving: &serving[s.name],
            names: &names[s.name],
            actions: actions[s.name].clone(),
            notes: evicted.notes.get(s.name),
        };
        (s.name.clone(), view::of(*s, parts))
    };
    let plan = Plan {
        departed: pins::of_departed(policy, state, &inventory),
        evicted: evicted.order,
        workloads: subjects.iter().map(shown).collect(),
        disk: observed.disk.clone(),
    };
    let of_policy = upgrades
        .iter()
        .map(|(name, upgrade)| ((*name).clone(), upgrade.state.clone()));
    let departed = disk::departed(policy, state, observed.until.ms());
    let decided = State {
        instance: state.instance.clone(),
        clock: observed.until.clock,
        holds: recalled.holds.clone(),
        workloads: of_policy.chain(departed).collect(),
        undelivered: state.undelivered.clone(),
        rejected: state.rejected.clone(),
    };
    let elapsed_ms = observed.until.ms().saturating_sub(state.clock.clock_ms);
    let ages = is_in_grace(&plan) || !state.undelivered.is_empty();
    let clock_due = elapsed_ms >= CLOCK_SAVE_INTERVAL_MS && ages;
    Decision {
        save: decided.differs_from(state) || clock_due,
        events: events(state, &recalled, upgrades),
        state: decided,
        plan,
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
        .collect()
}

fn subjects<'a>(
    policy: &'a Policy,
    recalled: &'a Recalled,
    inventory: &'a Inventory<'a>,
) -> alloc::vec::Vec<Subject<'a>> {
    let workloads = policy.workloads.iter();
    let subjects = workloads.filter_map(|(name, workload)| {
        Some(Subject {
            name,
            policy: workload,
            rejections: policy.rejections.get(name).map_or(&[], |r| r.as_slice()),
            rejected: recalled.rejected.get(name),
            held: recalled.held.get(name),
            own: inventory.of(name)?,
            inventory,
        })
    });
    subjects.collect()
}

/// The images that are needed by their ids: no action may take the last name of one.
fn claimed<'m>(memories: impl Iterator<Item = &'m Memory>) -> BTreeSet<ImageId> {
    memories.flat_map(Memory::claimed).cloned().collect()
}

fn is_in_grace(plan: &Plan) -> bool {
    let workloads = plan.workloads.values();
    workloads
        .flat_map(|w| &w.images)
        .any(|verdict| verdict.reason == Reason::Grace)
}

impl Recalled {
    fn of(&self, name: &WorkloadName) -> &WorkloadState {
        self.workloads.get(name).unwrap_or(&self.nothing)
    }

    fn memory(&self, name: &WorkloadName) -> &Memory {
        &self.of(name).memory
    }
}

impl<'a> Subject<'a> {
    fn observed(self) -> &'a Observation {
        self.inventory.observed
    }

    /// The clock after the last answer: what begins now begins here.
    fn until_ms(self) -> u64 {
        self.observed().until.ms()
    }

    /// How long something has certainly lasted that began at a time, in milliseconds: to the clock before the first question.
    fn lasted_ms(self, since_ms: u64) -> u64 {
        self.observed().from.ms().saturating_sub(since_ms)
    }

    /// Whether something began before the current pass did, whose rounds are one look.
    fn is_of_earlier_pass(self, since_ms: u64) -> bool {
        since_ms < self.observed().pass_ms
    }

    fn wall(self) -> String {
        self.observed().until.wall.clone()
    }

    fn is_held(self) -> bool {
        self.held.is_some()
    }

    fn is_on_disk(self, id: &ImageId) -> bool {
        self.inventory.place(id).is_some()
    }

    /// Whether an image on the disk is the workload's.
    fn is_own(self, id: &ImageId) -> bool {
        let place = self.inventory.place(id);
        place.is_some_and(|place| self.own.at(place).is_some())
    }

    /// The image that `repository:latest` names.
    fn latest(self) -> Option<&'a ImageId> {
        self.own.latest.map(|image| &image.id)
    }

    /// What the `ready` command said; none where it was not asked.
    fn readiness(self) -> Option<&'a Readiness> {
        self.observed().readiness.get(self.name)
    }

    /// Whether the workload has a `ready` command that nothing asked: then no soak begins or ends by it.
    fn is_unasked(self) -> bool {
        self.policy.ready.is_some() && self.readiness().is_none()
    }

    /// The lineage as far as it is on the disk. The rest is skipped, not forgotten (design 4.6).
    fn lineage<'m>(
        self,
        memory: &'m Memory,
    ) -> impl Iterator<Item = &'m crate::model::Proven> + use<'a, 'm> {
        memory
            .lineage
            .iter()
            .filter(move |proven| self.is_on_disk(&proven.image))
    }

    /// The first entry of the lineage that is on the disk.
    fn head(self, memory: &Memory) -> Option<&crate::model::Proven> {
        self.lineage(memory).next()
    }

    fn is_head(self, memory: &Memory, id: &ImageId) -> bool {
        self.head(memory).is_some_and(|head| head.image == *id)
    }

    /// What `latest` goes back to: the head, unless the policy has come to reject it.
    fn restorable(self, memory: &Memory) -> Option<&crate::model::Proven> {
        let head = self.head(memory);
        head.filter(|head| !self.is_rejected(memory, &head.image))
    }

    /// The entries behind the head that are on the disk.
    fn fallbacks<'m>(
        self,
        memory: &'m Memory,
    ) -> impl Iterator<Item = &'m crate::model::Proven> + use<'a, 'm> {
        self.lineage(memory).skip(1)
    }

    /// Whether the engine refused to remove something, and the time to try again has not come (design 4.7).
    fn is_put_off(self, memory: &Memory, target: &str) -> bool {
        memory.is_put_off(target, self.observed().from.ms())
    }

    /// How long the group of the pending upgrade has certainly soaked, in milliseconds.
    fn soaked_ms(self, pending: &Pending) -> u64 {
        let since_ms = pending.soaking_since_ms;
        since_ms.map_or(0, |since_ms| self.lasted_ms(since_ms))
    }

    /// Whether an image is proven: the head of the lineage and `repository:latest` (design 4.3).
    fn is_proven(self, memory: &Memory, id: &ImageId) -> bool {
        self.latest() == Some(id) && self.is_head(memory, id)
    }

    /// Whether an image is rejected: by a person, or by the policy unless it was promoted last. What is behind that in the lineage
    /// is not promoted again, whether or not the head is on the disk.
    fn is_rejected(self, memory: &Memory, id: &ImageId) -> bool {
        self.rejected
            .is_some_and(|rejected| rejected.contains_key(id))
            || self.is_rejected_by_policy(memory, id)
    }

    fn is_rejected_by_policy(self, memory: &Memory, id: &ImageId) -> bool {
        let promoted_last = memory.lineage.first();
        if self.rejections.is_empty() || promoted_last.is_some_and(|proven| proven.image == *id) {
            return false;
        }
        let image = self.inventory.image(id);
        // An image that was pulled by its digest has its version from its containers.
        let containers: alloc::vec::Vec<_> = self.own.containers().filter(|c| c.uses(id)).collect();
        let is_run_as = |text: &str| {
            let mut versions = containers
                .iter()
                .map(|c| version::of(self, memory, id, Some(c)));
            versions.any(|version| version.as_str() == text)
        };
        let is_it = |text: &str| {
            *id == ImageId::new(text)
                || is_run_as(text)
                || image.is_some_and(|image| {
                    version::of_image(self, memory, image).as_str() == text
                        || image.references.iter().any(|name| {
                            name.digest() == Some(text)
                                || name.is_written(text)
                                || (self.policy.owns(name) && name.version_tag() == Some(text))
                        })
                })
        };
        self.rejections.iter().any(|rejection| is_it(&rejection.0))
    }
}
