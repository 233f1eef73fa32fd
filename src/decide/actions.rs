//! From verdicts to actions: what a round does, in the order tags, containers, images (design 4.6).

use std::collections::BTreeMap;

use crate::image::ImageId;
use crate::policy::WorkloadName;

use super::case::Case;
use super::plan::{Action, Judgement, Reason, TagPurpose, Verdict};
use super::scene::claimed_ids;

/// Which workloads want an image kept by its id.
pub(crate) struct Claims(BTreeMap<ImageId, Vec<WorkloadName>>);

impl Claims {
    /// Whether a workload other than this one wants the image.
    pub(crate) fn claimed_by_other(&self, name: &WorkloadName, image: &ImageId) -> bool {
        self.0
            .get(image)
            .is_some_and(|claimants| claimants.iter().any(|claimant| claimant != name))
    }
}

/// Gathers what every workload wants by id.
pub(crate) fn claims_of(cases: &[Case<'_>]) -> Claims {
    let mut claims: BTreeMap<ImageId, Vec<WorkloadName>> = BTreeMap::new();
    for case in cases {
        for id in claimed_ids(&case.state) {
            claims
                .entry(id.clone())
                .or_default()
                .push(case.name.clone());
        }
    }
    Claims(claims)
}

impl Case<'_> {
    /// The round's actions. In the round that moves `latest` nothing else is done: the next round sees the world as it
    /// then is.
    pub(crate) fn actions(&self) -> Vec<Action> {
        if self.workload.hold {
            return Vec::new();
        }
        if !self.latest_move.is_empty() {
            return self.latest_move.clone();
        }
        let changes = self
            .judgements
            .iter()
            .filter(|j| j.verdict() != Verdict::Keep);
        let mut changes: Vec<&Judgement> = changes.collect();
        changes.sort_by(|a, b| a.by_name(b));
        let mut actions: Vec<Action> = changes.iter().filter_map(|j| self.adoption(j)).collect();
        actions.extend(self.pin_actions());
        actions.extend(self.container_removal());
        let removals = changes
            .into_iter()
            .filter(|j| j.verdict() == Verdict::Remove)
            .filter(|j| j.reference.is_some() || !self.waiting.contains(&j.image));
        let mut removals: Vec<&Judgement> = removals.collect();
        // What goes on account of a full disk goes last, oldest first: whoever is killed on the way has begun with those.
        removals.sort_by_key(|j| self.pressed.iter().position(|id| *id == j.image));
        actions.extend(removals.into_iter().map(|judgement| Action::RemoveImage {
            reference: judgement.reference.clone(),
            image: judgement.image.clone(),
            reason: judgement.reason,
        }));
        actions
    }

    /// R2, if it applies in this round.
    pub(crate) fn container_removal(&self) -> Option<Action> {
        self.stale_local.map(|local| Action::RemoveContainer {
            container: self.workload.container.clone(),
            id: local.id.clone(),
            image: local.image.clone(),
        })
    }

    fn adoption(&self, judgement: &Judgement) -> Option<Action> {
        if judgement.reason != Reason::Adopt {
            return None;
        }
        let reference = judgement.reference.as_ref()?;
        let fallback = self.adopter(&judgement.image, reference)?;
        Some(Action::Tag {
            image: fallback.image.clone(),
            reference: reference.clone(),
            replaces: Some(judgement.image.clone()),
            purpose: TagPurpose::Adopt,
        })
    }
}
