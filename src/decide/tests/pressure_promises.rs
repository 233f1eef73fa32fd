//! What disk pressure may do, and what never: held against every decision, beside the promises of [`super::safety`]. Written
//! from the policy's documentation, by what the same decision is without the disk.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::{Action, Decision, Judgement, Reason, Verdict, decide};
use crate::image::ImageId;
use crate::policy::Policy;
use crate::state::{Now, State};
use crate::world::{Container, Disk, World};

use super::pin_promises::is_pin;

/// Pressure turns `grace` into `idle` where the disk is fuller than the workload's limit, for images that an earlier
/// pass has seen idle and that nothing else keeps, oldest first, and no more than it takes. It changes nothing else.
pub(super) fn check(policy: &Policy, state: &State, world: &World, now: &Now, decision: &Decision) {
    let unpressed = World {
        disk: None,
        ..world.clone()
    };
    let without = decide(policy, state, &unpressed, now);
    assert_eq!(without.state, decision.state, "pressure is remembered");
    assert_eq!(without.events, decision.events, "pressure is an event");

    let pressed = differences(&without, decision);
    if pressed.is_empty() {
        return;
    }
    let Some(Disk::Measured {
        used_bytes,
        available_bytes,
    }) = world.disk
    else {
        panic!("pressure from a disk that was not measured")
    };
    let total = used_bytes + available_bytes;
    let mut ages: Vec<(u64, u64, u8)> = Vec::new();
    for id in &pressed {
        let image = world.images.iter().find(|image| image.id == *id).unwrap();
        let uses = |c: &&Container| c.image == *id && !is_pin(c);
        assert!(!world.containers.iter().any(|c| uses(&c)), "in use");
        let (mut idle_ms, mut limit) = (u64::MAX, 0);
        for (name, workload) in &policy.workloads {
            let known = &decision.state.workloads[name];
            assert!(known.lineage.iter().all(|proven| proven.image != *id));
            assert!(known.pending.as_ref().is_none_or(|p| p.image != *id));
            let graced = without.plan.workloads[name]
                .images
                .iter()
                .filter(|j| j.image == *id);
            if graced.clone().any(|j| j.reason == Reason::Grace) {
                assert!(!workload.hold);
                limit = limit.max(workload.pressure_percent.expect("pressure is off"));
                let since = known.images[id].idle_since_ms.unwrap();
                idle_ms = idle_ms.min(now.ms() - since);
                assert!(!known.images[id].inherited);
            }
        }
        assert!(idle_ms > 0, "no earlier pass has seen it idle");
        assert!(used_bytes * 100 > total * u64::from(limit), "not that full");
        for reference in &image.references {
            let goes = decision.plan.workloads.values().any(|w| {
                w.images.iter().any(|j| {
                    j.image == *id
                        && j.verdict() == Verdict::Remove
                        && j.reference
                            .as_ref()
                            .is_some_and(|r| r.repository() == reference.repository())
                })
            });
            assert!(goes, "{reference} keeps the image, and nothing is freed");
        }
        ages.push((idle_ms, image.size_bytes, limit));
    }
    check_measure(&ages, used_bytes, total);
    check_order(decision, &pressed);
}

/// The names that are judged otherwise than without the disk; all of them by `idle` in place of `grace`.
fn differences(without: &Decision, decision: &Decision) -> BTreeSet<ImageId> {
    let mut pressed = BTreeSet::new();
    for (name, plan) in &decision.plan.workloads {
        let before = &without.plan.workloads[name];
        assert_eq!(before.images.len(), plan.images.len());
        for (was, is) in before.images.iter().zip(&plan.images) {
            if was != is {
                assert_eq!((was.reason, is.reason), (Reason::Grace, Reason::Idle));
                assert_eq!((&was.reference, &was.image), (&is.reference, &is.image));
                let detail = is.detail.to_string();
                assert!(detail.contains("% full, more than "), "{detail}");
                pressed.insert(is.image.clone());
            }
        }
        let lost: Vec<_> = before
            .actions
            .iter()
            .filter(|a| !plan.actions.contains(a))
            .collect();
        assert!(lost.is_empty(), "pressure keeps something: {lost:?}");
        for action in plan.actions.iter().filter(|a| !before.actions.contains(a)) {
            let Action::RemoveImage {
                image,
                reason: Reason::Idle,
                ..
            } = action
            else {
                panic!("pressure does more than remove: {action}")
            };
            assert!(pressed.contains(image));
        }
    }
    pressed
}

/// Without the youngest of them, the disk would still be fuller than that one's limit.
fn check_measure(ages: &[(u64, u64, u8)], used_bytes: u64, total: u64) {
    let youngest = ages.iter().map(|(idle_ms, ..)| *idle_ms).min().unwrap();
    let older: u64 = ages
        .iter()
        .filter(|(idle_ms, ..)| *idle_ms > youngest)
        .map(|(_, size_bytes, _)| *size_bytes)
        .sum();
    let eager = ages
        .iter()
        .filter(|(idle_ms, ..)| *idle_ms == youngest)
        .map(|(.., limit)| *limit)
        .min()
        .unwrap();
    let left = used_bytes.saturating_sub(older);
    assert!(left * 100 > total * u64::from(eager), "more than it takes");
}

/// Within a workload they go oldest first, behind all other removals.
fn check_order(decision: &Decision, pressed: &BTreeSet<ImageId>) {
    let mut since: BTreeMap<&ImageId, u64> = BTreeMap::new();
    for (id, sighting) in decision.state.workloads.values().flat_map(|w| &w.images) {
        let latest = since.entry(id).or_default();
        *latest = sighting.idle_since_ms.max(Some(*latest)).unwrap();
    }
    for plan in decision.plan.workloads.values() {
        let key = |judged: &ImageId| pressed.contains(judged).then(|| since[judged]);
        let removals = plan.actions.iter().filter_map(|action| match action {
            Action::RemoveImage { image, .. } => Some(key(image)),
            _ => None,
        });
        assert!(removals.is_sorted(), "not oldest first");
    }
}

/// What is judged to go on account of the disk.
pub(super) fn is_pressed(judgement: &Judgement) -> bool {
    judgement.reason == Reason::Idle && judgement.detail.to_string().contains("% full")
}
