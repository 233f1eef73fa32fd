//! What must come of all that the planner does, by what happened on the model host alone: no
//! record, no state and no rule of the planner is asked (design 9).

use std::collections::BTreeMap;

use tagkeeper_core::model::{
    Action, ActionKind, ContainerId, Health, ImageId, LATEST, TagPurpose, WorkloadName,
};

use crate::host::Host;

/// What the host went through.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witness {
    /// How long the host has been up in its life, reboots added up.
    lived_ms: u64,
    /// Uptime at the last look.
    uptime_ms: u64,
    /// The containers that run and are not unhealthy: their start, and since when at least.
    up: BTreeMap<ContainerId, (String, u64)>,
    /// Every image that some repository's `latest` has meant.
    was_latest: Vec<ImageId>,
}

impl Host {
    /// Looks at the host as it is now. Called whenever time passes, and before each action.
    pub(crate) fn witness(&mut self) {
        let since_ms = self.witness.uptime_ms;
        let passed_ms = if self.uptime_ms < since_ms {
            self.uptime_ms
        } else {
            self.uptime_ms - since_ms
        };
        self.witness.uptime_ms = self.uptime_ms;
        self.witness.lived_ms += passed_ms;
        let now_ms = self.witness.lived_ms;
        let before = std::mem::take(&mut self.witness.up);
        for container in self.containers.iter().filter(|c| c.is_running()) {
            let Some(details) = self.details.get(&container.id) else {
                continue;
            };
            if details.health.is_some_and(|h| h != Health::Healthy) {
                continue;
            }
            let known = before.get(&container.id);
            let known = known.filter(|(started_at, _)| *started_at == details.started_at);
            let since_ms = known.map_or(now_ms, |(_, since_ms)| *since_ms);
            let incarnation = (details.started_at.clone(), since_ms);
            self.witness.up.insert(container.id.clone(), incarnation);
        }
        for image in &self.images {
            let is_latest = image.references.iter().any(|r| r.tag() == Some(LATEST));
            if is_latest && !self.witness.was_latest.contains(&image.id) {
                self.witness.was_latest.push(image.id.clone());
            }
        }
    }

    /// (a) Whenever `latest` is promoted, a container of that image has run without a break for
    /// the soak, and runs now. Whenever it is restored, the image was latest before.
    pub(crate) fn judge(&self, workload: &WorkloadName, action: &Action) {
        let ActionKind::Tag { image, purpose, .. } = &action.kind else {
            return;
        };
        let soak_ms = self.policy.workloads[workload].soak_ms;
        let proved_itself = || {
            self.containers.iter().any(|container| {
                let up = self.witness.up.get(&container.id);
                container.uses(image)
                    && up.is_some_and(|(_, since)| since + soak_ms <= self.witness.lived_ms)
            })
        };
        match purpose {
            TagPurpose::Promote => assert!(
                proved_itself(),
                "{image} becomes latest, and no container of it ran for the soak: {:?} at {}",
                self.witness.up,
                self.witness.lived_ms
            ),
            TagPurpose::Restore => assert!(
                self.witness.was_latest.contains(image),
                "{image} is restored, and was never latest"
            ),
            TagPurpose::KeepName | TagPurpose::Adopt => {}
        }
    }

    /// (f) Nothing that the planner does takes the `latest` of a workload, or its image.
    pub(crate) fn has_latest(&self, workload: &WorkloadName) -> bool {
        let workload = self.policy.workloads.get(workload);
        workload.is_some_and(|workload| {
            let latest = workload.repository.latest();
            let mut images = self.images.iter();
            images.any(|image| image.references.contains(&latest))
        })
    }
}
