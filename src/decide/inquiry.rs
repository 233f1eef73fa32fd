//! What the two lists do not tell: which container to inspect, which workload to ask whether it is ready, how full the disk
//! is.
//!
//! An idle pass asks nothing (design section 8). Pure: it names the questions, `pass` asks them.

use crate::image::{ImageId, Version};
use crate::policy::{Policy, WorkloadName};
use crate::state::{Now, State};
use crate::world::{ContainerId, World};

use super::case::Case;
use super::pressure;
use super::scene::Scene;

/// A question that the decision has to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inquiry {
    /// Inspect this container: it serves an image that is not proven, or it did, and why it ended is not known.
    Inspect(ContainerId),
    /// Run the workload's `ready` command for its serving container (design 4.3).
    AskReady {
        /// The workload whose command it is.
        workload: WorkloadName,
        /// Id of the serving container.
        container: ContainerId,
        /// Name of the serving container.
        container_name: String,
        /// The image that it runs.
        image: ImageId,
        /// The version of that image.
        version: Version,
    },
    /// Measure the filesystem of the engine's data: something is idle, and would go if that were too full.
    MeasureDisk,
}

/// The questions that the world has not answered yet. Empty on an idle host.
pub fn inquiries(policy: &Policy, state: &State, world: &World, now: &Now) -> Vec<Inquiry> {
    let scene = Scene::new(policy, state, world);
    let mut open = Vec::new();
    for (name, workload) in &policy.workloads {
        let known = state.workloads.get(name).cloned().unwrap_or_default();
        if let Some(case) = Case::new(name, workload, known, &scene, now) {
            for inquiry in case.ask() {
                // Two workloads may ask about one container, when it has gone over from one to the other.
                if !open.contains(&inquiry) {
                    open.push(inquiry);
                }
            }
        }
    }
    if is_disk_in_question(policy, state, &scene, now, &open) {
        open.push(Inquiry::MeasureDisk);
    }
    open
}

/// Whether how full the disk is could change what is decided. Asked last: until a container that serves is inspected, its
/// image may look idle.
fn is_disk_in_question(
    policy: &Policy,
    state: &State,
    scene: &Scene<'_>,
    now: &Now,
    open: &[Inquiry],
) -> bool {
    scene.world.disk.is_none()
        && policy
            .workloads
            .values()
            .any(|workload| workload.pressure_percent.is_some())
        && !open.iter().any(|i| matches!(i, Inquiry::Inspect(_)))
        && pressure::is_worth_asking(&super::judged(policy, state, scene, now))
}

impl Case<'_> {
    fn ask(&self) -> Vec<Inquiry> {
        let mut open = Vec::new();
        let unproven = self.serves.container().filter(|c| self.is_upgradable(c));
        if let Some(container) = unproven {
            if self.details(container).is_none() {
                open.push(Inquiry::Inspect(container.id.clone()));
            } else if self.workload.ready.is_some() && self.readiness().is_none() {
                open.push(Inquiry::AskReady {
                    workload: self.name.clone(),
                    container: container.id.clone(),
                    container_name: container.name().into_owned(),
                    image: container.image.clone(),
                    version: self.version_run_by(container),
                });
            }
        }
        let ended = self
            .state
            .pending
            .as_ref()
            .map(|p| &p.id)
            .filter(|id| unproven.is_none_or(|c| c.id != **id));
        if let Some(id) = ended
            && !self.scene.world.details.contains_key(id)
            && self.scene.world.containers.iter().any(|c| c.id == *id)
        {
            open.push(Inquiry::Inspect(id.clone()));
        }
        open
    }
}
