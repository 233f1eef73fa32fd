//! The promises that no decision may break, checked in every round of every story and on random worlds. Written from
//! the design, without the decision's own look-ups.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::{
    Action, Decision, Judgement, Plan, Reason, Verdict, WorkloadPlan, decide, inquiries,
};
use crate::image::{ImageId, LATEST, Reference};
use crate::policy::{Policy, Workload, WorkloadName};
use crate::state::{Now, State, WorkloadState};
use crate::world::{Container, ContainerState, Image, World};

use super::{pin_promises, pressure_promises};

/// Checks one decision against everything that the design promises of each.
pub(super) fn check(policy: &Policy, state: &State, world: &World, now: &Now, decision: &Decision) {
    assert_eq!(
        *decision,
        decide(policy, state, world, now),
        "the same input, another output"
    );
    check_rest(policy, state, world, now, decision);
    pressure_promises::check(policy, state, world, now, decision);
    pin_promises::check(policy, state, world, now, decision);
    assert_eq!(
        policy.workloads.keys().collect::<Vec<_>>(),
        decision.plan.workloads.keys().collect::<Vec<_>>()
    );
    for (name, workload) in &policy.workloads {
        let view = View {
            workload,
            known: &decision.state.workloads[name],
            plan: &decision.plan.workloads[name],
            world,
        };
        view.check_state();
        view.check_judgements();
        view.check_latest_is_restful();
        for action in &view.plan.actions {
            view.check_action(action);
            check_claims(policy, decision, name, world, action);
        }
    }
}

/// Deciding again in the same world changes nothing. Who serves may look otherwise, for what the state lets go of no
/// longer lends its version (design 4.2) or its belonging (4.1) to anyone. The latter, for an image under none but
/// foreign names, may take a decision more to come to rest.
fn check_rest(policy: &Policy, state: &State, world: &World, now: &Now, decision: &Decision) {
    let by_state_only = policy.workloads.iter().any(|(name, workload)| {
        let own = |r: &Reference| workload.repositories().any(|own| own == r.repository());
        let foreign = |image: &&Image| !image.is_nameless() && !image.references.iter().any(own);
        let known = |image: &Image| {
            state
                .workloads
                .get(name)
                .is_some_and(|known| remembers(known, &image.id))
        };
        world.images.iter().filter(foreign).any(known)
    });
    let patience = if by_state_only { 3 } else { 1 };
    let mut last = decision.clone();
    for _ in 0..patience {
        if !inquiries(policy, &last.state, world, now).is_empty() {
            return; // The next round asks first.
        }
        let again = decide(policy, &last.state, world, now);
        if again.state == last.state && todo(&again.plan) == todo(&last.plan) {
            assert!(
                !again.save && again.events.is_empty(),
                "told twice: {:?}",
                again.events
            );
            return;
        }
        last = again;
    }
    assert_eq!(last.state, decision.state, "the state does not settle");
    assert_eq!(last.plan, decision.plan, "the plan does not settle");
}

/// What the plan does, and why.
fn todo(plan: &Plan) -> Vec<(&[Judgement], &[Action])> {
    plan.workloads
        .values()
        .map(|w| (w.images.as_slice(), w.actions.as_slice()))
        .collect()
}

/// Whether the state knows an image, whatever its names.
fn remembers(known: &WorkloadState, id: &ImageId) -> bool {
    let pending = known.pending.iter();
    let of_pending = pending
        .flat_map(|p| std::iter::once(&p.image).chain(p.stand_in.as_ref().map(|s| &s.image)));
    known.lineage.iter().any(|proven| proven.image == *id)
        || of_pending.into_iter().any(|image| image == id)
        || known.retired.contains(id)
        || known.rejected.contains_key(id)
        || known.images.contains_key(id)
}

struct View<'a> {
    workload: &'a Workload,
    known: &'a WorkloadState,
    plan: &'a WorkloadPlan,
    world: &'a World,
}

impl View<'_> {
    fn image(&self, id: &ImageId) -> Option<&Image> {
        self.world.images.iter().find(|image| image.id == *id)
    }

    fn latest(&self) -> Option<&Image> {
        let latest = self.workload.repository.latest();
        self.world
            .images
            .iter()
            .find(|image| image.references.contains(&latest))
    }

    fn is_own(&self, reference: &Reference) -> bool {
        self.workload
            .repositories()
            .any(|repository| repository == reference.repository())
    }

    fn is_proven(&self, id: &ImageId) -> bool {
        self.known.lineage.iter().any(|proven| proven.image == *id)
    }

    fn check_state(&self) {
        let lineage: BTreeSet<_> = self
            .known
            .lineage
            .iter()
            .map(|proven| &proven.image)
            .collect();
        assert_eq!(
            lineage.len(),
            self.known.lineage.len(),
            "an image twice in the lineage"
        );
        for id in &self.known.retired {
            assert!(!lineage.contains(id), "retired and in the lineage");
        }
        if !self.workload.hold {
            let on_disk = self
                .known
                .lineage
                .iter()
                .filter(|p| self.image(&p.image).is_some())
                .count();
            assert!(
                on_disk <= 1 + self.workload.fallbacks,
                "the lineage is longer than the policy wants"
            );
        }
    }

    /// Each name of the workload once, and each nameless image that the state knows; digests beside a tag of their
    /// repository aside.
    fn check_judgements(&self) {
        let mut expected: BTreeMap<(Option<&Reference>, &ImageId), usize> = BTreeMap::new();
        for image in &self.world.images {
            for reference in image.references.iter().filter(|r| self.is_own(r)) {
                let goes_along = reference.is_digest()
                    && image
                        .tags()
                        .any(|tag| tag.repository() == reference.repository());
                if !goes_along {
                    expected.insert((Some(reference), &image.id), 1);
                }
            }
            if image.is_nameless() && remembers(self.known, &image.id) {
                expected.insert((None, &image.id), 1);
            }
        }
        let mut found: BTreeMap<_, usize> = BTreeMap::new();
        for judgement in &self.plan.images {
            *found
                .entry((judgement.reference.as_ref(), &judgement.image))
                .or_default() += 1;
            self.check_judgement(judgement);
        }
        assert_eq!(found, expected, "not every name once");
    }

    fn check_judgement(&self, judgement: &Judgement) {
        assert_eq!(judgement.reason == Reason::Held, self.workload.hold);
        assert!(!judgement.detail.to_string().is_empty());
    }

    /// Nothing is removed in the round that moves latest, and latest moves once.
    fn check_latest_is_restful(&self) {
        let latest = self.workload.repository.latest();
        let moves =
            |a: &&Action| matches!(a, Action::Tag { reference, .. } if *reference == latest);
        let moves = self.plan.actions.iter().filter(moves).count();
        let removals = self
            .plan
            .actions
            .iter()
            .filter(|a| !matches!(a, Action::Tag { .. }))
            .count();
        assert!(moves <= 1, "latest moves twice");
        assert!(
            moves == 0 || removals == 0,
            "a removal in the round that moves latest"
        );
        assert!(
            !self.workload.hold || self.plan.actions.is_empty(),
            "an action on hold"
        );
        let phases: Vec<_> = self.plan.actions.iter().map(Action::phase).collect();
        assert!(phases.is_sorted(), "tags, then containers, then images");
    }

    fn check_action(&self, action: &Action) {
        match action {
            Action::Tag {
                image,
                reference,
                replaces,
                ..
            } => {
                assert!(self.is_own(reference), "a foreign name: {reference}");
                assert!(
                    self.image(image).is_some(),
                    "an image that is not there gets a name"
                );
                let means = self
                    .world
                    .images
                    .iter()
                    .find(|found| found.references.contains(reference));
                assert_eq!(
                    means.map(|found| &found.id),
                    replaces.as_ref(),
                    "what {reference} means"
                );
                self.check_bereft(replaces.as_ref());
            }
            // Those are looked at by `pin_promises`.
            Action::CreatePin { .. } | Action::RemovePin { .. } => {}
            Action::RemoveContainer { id, .. } => {
                let container = self.world.containers.iter().find(|c| c.id == *id).unwrap();
                self.check_container_removal(container);
            }
            Action::RemoveImage {
                reference, image, ..
            } => self.check_image_removal(reference.as_ref(), image),
        }
    }

    /// An image that loses a name keeps another one, or was written down as obsolete.
    fn check_bereft(&self, bereft: Option<&ImageId>) {
        let Some(bereft) = bereft else { return };
        let named =
            |action: &Action| matches!(action, Action::Tag { image, .. } if image == bereft);
        let keeps_a_name =
            self.image(bereft).unwrap().tags().count() > 1 || self.plan.actions.iter().any(named);
        assert!(
            keeps_a_name || self.known.retired.contains(bereft),
            "an image is left nameless"
        );
    }

    fn check_container_removal(&self, container: &Container) {
        assert!(
            container.names.contains(&self.workload.container),
            "not the local container"
        );
        let stopped = [
            ContainerState::Exited,
            ContainerState::Dead,
            ContainerState::Created,
        ];
        assert!(
            stopped.contains(&container.state),
            "a {} container",
            container.state.as_str()
        );
        let latest = &self.latest().unwrap().id;
        assert_ne!(container.image, *latest, "the local container of latest");
        let head = self
            .known
            .lineage
            .iter()
            .find(|proven| self.image(&proven.image).is_some());
        assert_eq!(
            head.map(|head| &head.image),
            Some(latest),
            "latest is not proven"
        );
    }

    fn check_image_removal(&self, reference: Option<&Reference>, id: &ImageId) {
        let image = self.image(id).unwrap();
        match reference {
            Some(reference) => {
                assert!(
                    self.is_own(reference) && image.references.contains(reference),
                    "a foreign name"
                );
                assert!(
                    *reference.repository() != self.workload.repository
                        || reference.tag() != Some(LATEST),
                    "latest is removed"
                );
            }
            None => assert!(image.is_nameless(), "removed by id, and it has names"),
        }
        let goes_on = image
            .tags()
            .any(|tag| Some(tag) != reference && self.stays(tag));
        if goes_on {
            return;
        }
        assert_ne!(
            self.latest().map(|latest| &latest.id),
            Some(id),
            "latest's image is removed"
        );
        assert!(!self.is_proven(id), "an image of the lineage is removed");
        assert_ne!(
            self.known.pending.as_ref().map(|p| &p.image),
            Some(id),
            "the pending image is removed"
        );
        let leaves = |c: &Container| {
            let removal =
                |a: &Action| matches!(a, Action::RemoveContainer { id, .. } if *id == c.id);
            self.plan.actions.iter().any(removal)
        };
        let used = self
            .world
            .containers
            .iter()
            .any(|c| c.image == *id && !leaves(c) && !pin_promises::is_pin(c));
        assert!(!used, "an image in use is removed");
    }

    fn stays(&self, tag: &Reference) -> bool {
        let goes = |a: &Action| matches!(a, Action::RemoveImage { reference: Some(reference), .. } if reference == tag);
        !self.plan.actions.iter().any(goes)
    }
}

/// No workload takes an image's last name while another one has it in its lineage or soaks it.
fn check_claims(
    policy: &Policy,
    decision: &Decision,
    name: &WorkloadName,
    world: &World,
    action: &Action,
) {
    let Action::RemoveImage {
        reference,
        image: id,
        ..
    } = action
    else {
        return;
    };
    let image = world.images.iter().find(|image| image.id == *id).unwrap();
    if image.tags().any(|tag| Some(tag) != reference.as_ref()) || image.foreign_names > 0 {
        return;
    }
    for other in policy.workloads.keys().filter(|other| *other != name) {
        let known = &decision.state.workloads[other];
        let wanted = known.lineage.iter().any(|p| p.image == *id)
            || known.pending.as_ref().is_some_and(|p| p.image == *id);
        assert!(!wanted, "{name} removes what {other} wants");
        let plan = &decision.plan.workloads[other];
        let judged = |judgement: &&Judgement| {
            reference.is_none() && judgement.reference.is_none() && judgement.image == *id
        };
        let lets_it_go = |judgement: &Judgement| {
            let moves_latest = |action: &Action| matches!(action, Action::Tag { reference, .. } if reference.tag() == Some(LATEST));
            judgement.verdict() == Verdict::Remove && !plan.actions.iter().any(moves_latest)
        };
        assert!(
            plan.images.iter().find(judged).is_none_or(lets_it_go),
            "{name} removes by its id what {other} does not let go"
        );
    }
}
