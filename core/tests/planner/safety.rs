//! The promises that no decision may break, checked in every round of every test and on random
//! hosts. Written from the design, without the decision's own look-ups.

use std::collections::{BTreeMap, BTreeSet};

use tagkeeper_core::model::{
    Action, ActionKind, Container, ContainerState, Disk, Guard, Image, ImageId, LATEST, Memory,
    NameVerdict, Observation, Pending, Plan, Policy, Reason, Reference, State, TagPurpose, Verdict,
    Workload, WorkloadName, WorkloadPlan,
};
use tagkeeper_core::planner::{Decision, decide, queries};

use crate::host::digit;

/// Checks one decision against everything that the design promises of each.
pub(crate) fn check(policy: &Policy, state: &State, observed: &Observation, decision: &Decision) {
    assert_eq!(
        *decision,
        decide(policy, state, observed),
        "the same input, another output"
    );
    check_settled(policy, state, observed, decision);
    check_pressure(policy, state, observed, decision);
    check_pins(policy, state, observed, decision);
    assert_eq!(
        policy.workloads.keys().collect::<Vec<_>>(),
        decision.plan.workloads.keys().collect::<Vec<_>>()
    );
    for (name, workload) in &policy.workloads {
        let view = View {
            name,
            workload,
            memory: &decision.state.workloads[name].memory,
            plan: &decision.plan.workloads[name],
            observed,
            decision,
        };
        view.check_state();
        view.check_verdicts();
        view.check_latest_moves_alone();
        for action in &view.plan.actions {
            view.check_action(action);
            check_claims(decision, observed, action);
        }
    }
}

/// Deciding again on the saved state and the same observation changes nothing, needs no save and
/// says nothing.
///
/// A pending upgrade, its provisional fallback and an entry of the lineage lend their version to
/// their image (4.2): where another upgrade begins, or none, or an entry is cut, what its
/// containers are beside a local one, or whose it is under a foreign name, may take two decisions
/// more, or three where what is cut runs under two versions. The pending upgrade of a disk that
/// comes back is one of those that were there before.
fn check_settled(policy: &Policy, state: &State, observed: &Observation, decision: &Decision) {
    if !queries(policy, &decision.state, observed).is_empty() {
        return; // The next round asks first.
    }
    let is_another = decision.state.workloads.iter().any(|(name, known)| {
        let before = state.workloads.get(name);
        let returned = before
            .and_then(|before| before.parked.as_ref())
            .filter(|parked| known.parked.as_ref() != Some(parked));
        let memories: Vec<&Memory> = before
            .map(|before| &before.memory)
            .into_iter()
            .chain(returned.map(|parked| &**parked))
            .collect();
        let before_it = memories.iter().filter_map(|m| m.pending.as_ref());
        let before_it: Vec<_> = before_it.collect();
        let lends = |p: &Pending| {
            let provisional = p.provisional_fallback.as_ref().map(|p| p.image.clone());
            (p.image.clone(), provisional)
        };
        let now = known.memory.pending.as_ref().map(lends);
        let is_same = match before_it.as_slice() {
            [] => now.is_none(),
            pending => pending.iter().all(|p| Some(lends(p)) == now),
        };
        let is_cut = |memory: &&Memory| {
            let mut lineage = memory.lineage.iter();
            lineage.any(|proven| known.memory.proven(&proven.image).is_none())
        };
        !is_same || memories.iter().any(is_cut)
    });
    let mut last = decision.clone();
    let mut again = decide(policy, &last.state, observed);
    for _ in 0..if is_another { 3 } else { 0 } {
        last = again;
        if !queries(policy, &last.state, observed).is_empty() {
            return;
        }
        again = decide(policy, &last.state, observed);
    }
    let decision = last;
    assert_eq!(
        again.state.workloads, decision.state.workloads,
        "the state does not settle"
    );
    assert!(!again.save, "saved twice");
    assert!(again.events.is_empty(), "said twice: {:?}", again.events);
    assert_eq!(
        to_do(&again.plan),
        to_do(&decision.plan),
        "the plan does not settle"
    );
}

type ToDo<'a> = (&'a WorkloadName, &'a [NameVerdict], &'a [Action]);

/// What the plan does, and why.
fn to_do(plan: &Plan) -> Vec<ToDo<'_>> {
    let workloads = plan.workloads.iter();
    workloads
        .map(|(name, w)| (name, w.images.as_slice(), w.actions.as_slice()))
        .collect()
}

struct View<'a> {
    name: &'a WorkloadName,
    workload: &'a Workload,
    memory: &'a Memory,
    plan: &'a WorkloadPlan,
    observed: &'a Observation,
    decision: &'a Decision,
}

fn means<'a>(observed: &'a Observation, reference: &Reference) -> Option<&'a ImageId> {
    let mut images = observed.images.iter();
    let found = images.find(|image| image.references.contains(reference));
    found.map(|image| &image.id)
}

impl View<'_> {
    fn image(&self, id: &ImageId) -> Option<&Image> {
        self.observed.images.iter().find(|image| image.id == *id)
    }

    fn latest(&self) -> Option<&ImageId> {
        means(self.observed, &self.workload.repository.latest())
    }

    fn is_own(&self, reference: &Reference) -> bool {
        self.workload
            .repositories()
            .any(|repository| repository == reference.repository())
    }

    fn is_claimed(&self, id: &ImageId) -> bool {
        self.memory.claimed().any(|claimed| claimed == id)
    }

    fn check_state(&self) {
        let lineage: BTreeSet<_> = self.memory.lineage.iter().map(|p| &p.image).collect();
        assert_eq!(
            lineage.len(),
            self.memory.lineage.len(),
            "an image twice in the lineage"
        );
        for id in &self.memory.retired {
            assert!(!lineage.contains(id), "retired and in the lineage");
            assert!(
                self.memory.pending.as_ref().is_none_or(|p| p.image != *id),
                "retired and pending"
            );
        }
        if self.plan.held.is_none() {
            let on_disk = lineage.iter().filter(|id| self.image(id).is_some());
            assert!(
                on_disk.count() <= 1 + self.workload.fallbacks,
                "the lineage is longer than the policy wants"
            );
        }
    }

    /// Each name of the workload once; digests beside a tag of their repository aside. All names of
    /// an image have one reason, the exceptions of R4 aside.
    fn check_verdicts(&self) {
        let mut expected: BTreeSet<(&Reference, &ImageId)> = BTreeSet::new();
        for image in &self.observed.images {
            for reference in image.references.iter().filter(|r| self.is_own(r)) {
                let mut tags = image.tags();
                let goes_along = reference.is_digest()
                    && tags.any(|tag| tag.repository() == reference.repository());
                if !goes_along {
                    expected.insert((reference, &image.id));
                }
            }
        }
        let mut found: BTreeSet<(&Reference, &ImageId)> = BTreeSet::new();
        let mut reasons: BTreeMap<&ImageId, Reason> = BTreeMap::new();
        for verdict in &self.plan.images {
            if let Some(reference) = &verdict.reference {
                let is_new = found.insert((reference, &verdict.image));
                assert!(is_new, "a name twice: {reference}");
            } else {
                let image = self.image(&verdict.image).unwrap();
                assert!(image.is_nameless(), "judged by id, and it has names");
            }
            if !matches!(verdict.reason, Reason::Renamed | Reason::Adopt) {
                let reason = reasons.entry(&verdict.image).or_insert(verdict.reason);
                assert_eq!(*reason, verdict.reason, "one image, two reasons");
            }
        }
        assert_eq!(found, expected, "not every name once");
    }

    /// Nothing is removed in the round that gives a needed name, and latest moves alone.
    fn check_latest_moves_alone(&self) {
        let latest = self.workload.repository.latest();
        let is_move = |a: &&Action| matches!(&a.kind, ActionKind::Tag { reference, .. } if *reference == latest);
        let moves = self.plan.actions.iter().filter(is_move).count();
        assert!(
            moves == 0 || self.plan.actions.len() == 1,
            "latest does not move alone"
        );
        assert!(
            self.plan.held.is_none() || self.plan.actions.is_empty(),
            "an action on hold"
        );
        let order = self.decision.plan.actions();
        let phases: Vec<_> = order.iter().map(|(_, a)| a.kind.phase()).collect();
        assert!(phases.is_sorted(), "tags, pins, containers, images");
    }

    fn check_action(&self, action: &Action) {
        match &action.kind {
            ActionKind::Tag {
                image,
                reference,
                purpose,
            } => self.check_tag(action, image, reference, *purpose),
            // Those are looked at by `check_pins`.
            ActionKind::CreatePin { .. } | ActionKind::RemovePin { .. } => {}
            ActionKind::RemoveContainer { id, image, .. } => {
                let container = self.observed.containers.iter().find(|c| c.id == *id);
                self.check_container_removal(container.unwrap(), image);
                let is_guard = |g: &Guard| matches!(g, Guard::Stopped { container, image: i, .. } if container == id && i == image);
                assert!(action.guards.iter().any(is_guard), "unguarded: {action:?}");
            }
            ActionKind::RemoveImage {
                reference, image, ..
            } => {
                let guards_id = |g: &Guard| match g {
                    Guard::Means { image: i, .. } => i.as_ref() == Some(image),
                    Guard::Nameless { image: i } => i == image,
                    _ => false,
                };
                let guards_use = |g: &Guard| match g {
                    // Another name of it.
                    Guard::Means {
                        reference: r,
                        image: i,
                    } => Some(r) != reference.as_ref() && i.as_ref() == Some(image),
                    Guard::KeepsTag { image: i, .. }
                    | Guard::UnusedIfLast { image: i, .. }
                    | Guard::Unused { image: i } => i == image,
                    _ => false,
                };
                assert!(action.guards.iter().any(guards_id), "unguarded: {action:?}");
                assert!(
                    action.guards.iter().any(guards_use),
                    "unguarded: {action:?}"
                );
                self.check_image_removal(reference.as_ref(), image);
            }
        }
    }

    fn check_tag(
        &self,
        action: &Action,
        image: &ImageId,
        reference: &Reference,
        purpose: TagPurpose,
    ) {
        assert!(self.is_own(reference), "a foreign name: {reference}");
        assert!(self.image(image).is_some(), "an image that is not there");
        let before = means(self.observed, reference);
        let guard = Guard::Means {
            reference: reference.clone(),
            image: before.cloned(),
        };
        assert!(action.guards.contains(&guard), "unguarded: {action:?}");
        if before == Some(image) {
            let is_latest = matches!(purpose, TagPurpose::Promote | TagPurpose::Restore);
            let is_in_doubt = is_latest && self.memory.latest_in_doubt;
            assert!(is_in_doubt, "a name that it has: {action:?}");
            return;
        }
        let is_running = |g: &Guard| matches!(g, Guard::Running { image: i, members } if i == image && !members.is_empty());
        assert!(
            purpose != TagPurpose::Promote || action.guards.iter().any(is_running),
            "promoted without a last look"
        );
        // The image that loses the name keeps another tag, or is on its way out.
        if let Some(before) = before {
            let keeps = self.image(before).unwrap().tags().count() > 1;
            assert!(
                keeps || (purpose == TagPurpose::Adopt && self.memory.retired.contains(before)),
                "an image is left nameless"
            );
            assert!(
                purpose != TagPurpose::Adopt || !self.is_claimed(before),
                "a needed image loses a name"
            );
        }
    }

    fn check_container_removal(&self, container: &Container, image: &ImageId) {
        let names = &container.names;
        assert!(
            names.iter().any(|name| self.workload.is_local_name(name)),
            "not a local container"
        );
        assert!(
            matches!(
                container.state,
                ContainerState::Exited | ContainerState::Dead | ContainerState::Created
            ),
            "a {} container",
            container.state.as_str()
        );
        let latest = self.latest().unwrap();
        assert_ne!(image, latest, "the local container of latest");
        assert!(container.uses(image));
        let mut lineage = self.memory.lineage.iter();
        let head = lineage.find(|proven| self.image(&proven.image).is_some());
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
        let stays = |tag: &Reference| Some(tag) != reference && !self.is_removed(tag);
        if image.tags().any(stays) {
            return;
        }
        assert_ne!(self.latest(), Some(id), "latest's image is removed");
        assert!(!self.is_claimed(id), "a needed image is removed");
        let leaves = |c: &Container| {
            let removal = |a: &Action| matches!(&a.kind, ActionKind::RemoveContainer { id, .. } if *id == c.id);
            self.plan.actions.iter().any(removal)
        };
        let mut containers = self.observed.containers.iter();
        let is_used =
            containers.any(|c| c.uses(id) && !leaves(c) && !is_idle_pin(c, &self.decision.state));
        assert!(!is_used, "an image in use is removed");
        assert!(
            self.plan
                .images
                .iter()
                .all(|v| v.image != *id || v.verdict() != Verdict::Keep),
            "an image that {} keeps is removed",
            self.name
        );
    }

    fn is_removed(&self, tag: &Reference) -> bool {
        let removes = |a: &Action| matches!(&a.kind, ActionKind::RemoveImage { reference: Some(reference), .. } if reference == tag);
        self.plan.actions.iter().any(removes)
    }
}

/// No workload takes an image's last tag while another one needs it by its id.
fn check_claims(decision: &Decision, observed: &Observation, action: &Action) {
    let ActionKind::RemoveImage {
        reference,
        image: id,
        ..
    } = &action.kind
    else {
        return;
    };
    let image = observed
        .images
        .iter()
        .find(|image| image.id == *id)
        .unwrap();
    if image.tags().any(|tag| Some(tag) != reference.as_ref()) {
        return;
    }
    for (name, known) in &decision.state.workloads {
        if decision.plan.workloads.contains_key(name) {
            assert!(
                known.memory.claimed().all(|claimed| claimed != id),
                "{name} needs what is removed"
            );
        }
    }
}

/// The name that a workload's pin on an image has.
pub(crate) fn pin_name(workload: &str, image_digit: char) -> String {
    let digits = image_digit.to_string().repeat(12);
    format!("tagkeeper-pin-{workload}-{digits}")
}

/// Whether a container is a pin that this state made, and was not started.
pub(crate) fn is_idle_pin(container: &Container, state: &State) -> bool {
    container.state.is_stopped() && is_pin(container, state)
}

/// Whether all that makes a pin agrees: labels, name and image.
fn is_pin(container: &Container, state: &State) -> bool {
    let Some(image) = &container.image else {
        return false;
    };
    container.pin.as_ref().is_some_and(|label| {
        label.instance.as_deref() == Some(&state.instance)
            && container
                .names
                .contains(&pin_name(&label.workload, digit(image)))
    })
}

fn check_pins(policy: &Policy, state: &State, observed: &Observation, decision: &Decision) {
    let mut without = observed.clone();
    without.containers.retain(|c| !is_idle_pin(c, state));
    let unpinned = decide(policy, state, &without);
    assert_eq!(
        unpinned.state.workloads, decision.state.workloads,
        "a pin is remembered"
    );
    for (name, plan) in &decision.plan.workloads {
        let other = &unpinned.plan.workloads[name];
        assert_eq!(plan.serving, other.serving, "a pin serves");
        assert_eq!(plan.images, other.images, "a pin uses an image");
        for action in &plan.actions {
            check_pin_action(policy, observed, decision, name, action);
        }
    }
    for (name, actions) in &decision.plan.departed {
        assert!(!policy.workloads.contains_key(name), "{name} is there");
        for action in actions {
            assert!(
                matches!(action.kind, ActionKind::RemovePin { .. }),
                "more than its pins is removed for {name}: {action:?}"
            );
            check_pin_action(policy, observed, decision, name, action);
        }
    }
}

fn check_pin_action(
    policy: &Policy,
    observed: &Observation,
    decision: &Decision,
    name: &WorkloadName,
    action: &Action,
) {
    let workload = policy.workloads.get(name);
    let is_on_disk = |id: &ImageId| observed.images.iter().any(|image| image.id == *id);
    let is_fallback = |id: &ImageId| {
        let mut lineage = decision.state.workloads[name].memory.lineage.iter();
        let mut on_disk = lineage.by_ref().filter(|proven| is_on_disk(&proven.image));
        on_disk.next();
        on_disk.any(|proven| proven.image == *id)
    };
    match &action.kind {
        ActionKind::CreatePin { container, image } => {
            assert!(workload.unwrap().pin, "not asked for");
            assert!(is_fallback(image), "no fallback");
            assert_eq!(*container, pin_name(name.as_str(), digit(image)));
            let mut containers = observed.containers.iter();
            assert!(
                !containers.any(|c| c.names.contains(container)),
                "the name is taken"
            );
        }
        ActionKind::RemovePin { id, image, .. } => {
            let pin = observed.containers.iter().find(|c| c.id == *id).unwrap();
            assert!(
                is_idle_pin(pin, &decision.state) && pin.uses(image),
                "no pin"
            );
            assert_eq!(pin.pin.as_ref().unwrap().workload, name.as_str());
            assert!(
                workload.is_none_or(|w| !w.pin || !is_fallback(image)),
                "a fallback loses its pin"
            );
        }
        _ => {}
    }
}

/// Pressure turns `grace` into `idle` where the disk is fuller than the workload's threshold, for
/// images that an earlier pass has seen idle and that nothing else keeps. It changes nothing else.
fn check_pressure(policy: &Policy, state: &State, observed: &Observation, decision: &Decision) {
    let unmeasured = Observation {
        disk: None,
        ..observed.clone()
    };
    let without = decide(policy, state, &unmeasured);
    assert_eq!(without.state, decision.state, "pressure is remembered");
    assert_eq!(without.events, decision.events, "pressure is an event");
    let evicted = differences(&without, decision);
    if evicted.is_empty() {
        return;
    }
    let Some(Disk::Measured {
        used_bytes,
        available_bytes,
    }) = observed.disk
    else {
        panic!("eviction by a disk that was not measured")
    };
    for id in &evicted {
        let owners = policy.workloads.iter().filter(|(name, _)| {
            let judged = &without.plan.workloads[*name].images;
            judged.iter().any(|v| v.image == *id)
        });
        let thresholds = owners.filter_map(|(_, workload)| workload.pressure_percent);
        let threshold = thresholds.max().expect("pressure is off");
        let total = used_bytes + available_bytes;
        assert!(used_bytes * 100 > total * u64::from(threshold), "not full");
        let uses = |c: &Container| c.uses(id) && !is_idle_pin(c, state);
        assert!(!observed.containers.iter().any(uses), "in use");
        // What is on record of a workload that has left the policy keeps its own names, and no
        // other image.
        let judging = policy.workloads.keys();
        for known in judging.map(|name| &decision.state.workloads[name]) {
            let record = known.memory.images.get(id);
            let is_inherited = record.is_some_and(|r| r.inherited && r.times_pending == 0);
            assert!(!is_inherited, "inherited");
            let since = record.and_then(|r| r.idle_since_ms);
            assert!(
                since.is_none_or(|since| since < observed.pass_ms),
                "no earlier pass has seen it idle"
            );
        }
    }
}

/// The images that are judged otherwise than without the disk: by `idle` in place of `grace`, and
/// by what another workload says of an image that it lets go of, once the grace period of this one
/// does not keep it.
fn differences(without: &Decision, decision: &Decision) -> BTreeSet<ImageId> {
    let mut changed = BTreeSet::new();
    let mut evicted = BTreeSet::new();
    for (name, plan) in &decision.plan.workloads {
        let before = &without.plan.workloads[name];
        assert_eq!(before.images.len(), plan.images.len());
        for (was, is) in before.images.iter().zip(&plan.images) {
            if was != is {
                assert_eq!(was.reason, Reason::Grace);
                assert_eq!(is.reason.verdict(), Verdict::Remove, "{is:?}");
                assert_eq!((&was.reference, &was.image), (&is.reference, &is.image));
                changed.insert(is.image.clone());
                if is.reason == Reason::Idle {
                    evicted.insert(is.image.clone());
                }
            }
        }
        for action in &before.actions {
            assert!(plan.actions.contains(action), "pressure keeps: {action:?}");
        }
    }
    assert_eq!(changed, evicted, "only grace gives way");
    for (name, plan) in &decision.plan.workloads {
        let before = &without.plan.workloads[name];
        for action in plan.actions.iter().filter(|a| !before.actions.contains(a)) {
            let ActionKind::RemoveImage { image, reason, .. } = &action.kind else {
                panic!("pressure does more than remove: {action:?}")
            };
            assert!(evicted.contains(image));
            let mut verdicts = plan.images.iter().filter(|v| v.image == *image);
            assert!(verdicts.any(|v| v.reason == *reason), "{action:?}");
        }
    }
    evicted
}
