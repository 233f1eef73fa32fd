//! `accept`: a person lifts what a rollback has rejected (design 7).

use alloc::vec::Vec;

use crate::model::{ImageId, State, Version, WorkloadName};

/// Lifts the rejections of a version, or of the image that it is the id of. What was proven and is
/// still on the disk goes back into the lineage, behind the head. None if there is no such
/// rejection.
pub fn accept(
    state: &State,
    name: &WorkloadName,
    wanted: &Version,
    is_on_disk: impl Fn(&ImageId) -> bool,
) -> Option<State> {
    let mut accepted = state.clone();
    let rejected = accepted.rejected.get_mut(name)?;
    let before = rejected.len();
    let mut proven = Vec::new();
    rejected.retain(|image, rejection| {
        let lifted = wanted.names(&rejection.version, image);
        if lifted {
            proven.extend(rejection.proven.clone());
        }
        !lifted
    });
    if rejected.len() == before {
        return None;
    }
    if rejected.is_empty() {
        accepted.rejected.remove(name);
    }
    if let Some(known) = accepted.workloads.get_mut(name) {
        let still = accepted.rejected.get(name);
        let is_lifted = |image: &mut ImageId| !still.is_some_and(|r| r.contains_key(image));
        known.rejected_serves.take_if(is_lifted);
        let memory = &mut known.memory;
        for entry in proven {
            if is_on_disk(&entry.image)
                && !memory.lineage.is_empty()
                && memory.proven(&entry.image).is_none()
            {
                memory.retired.remove(&entry.image);
                // An entry that was lost from the disk is not the head.
                let head = memory.lineage.iter().position(|p| is_on_disk(&p.image));
                memory.lineage.insert(head.unwrap_or_default() + 1, entry);
            }
        }
    }
    Some(accepted)
}
