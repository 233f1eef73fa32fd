//! Safety of removals: nothing in use, nothing wanted, nothing out of scope, nothing before its time.

use tagkeeper::engine::ImageName;
use tagkeeper::image::{ImageId, Reference};
use tagkeeper::state::WorkloadState;
use tagkeeper::world::ContainerId;

use super::Model;
use super::host::names_after;
use super::names::{WORKLOADS, is_version};

impl Model {
    pub(crate) fn check_remove_container(&mut self, id: &ContainerId) {
        let Some(at) = self
            .host
            .disk
            .containers
            .iter()
            .position(|held| held.listed.id == *id)
        else {
            return;
        };
        let held = self.host.disk.containers[at].clone();
        let name = held.listed.name().into_owned();
        if let Some(workload) = held.pinned_for() {
            return self.check_remove_pin(&held, workload);
        }
        let local =
            (0..WORKLOADS).find(|&w| self.entry(w).is_some_and(|entry| entry.container == name));
        let Some(workload) = local else {
            return self.violated(format!("{name} was removed and is no local container"));
        };
        if self.names_raced {
            return;
        }
        let held_back = self.entry(workload).is_some_and(|entry| entry.hold)
            && self.rolling_back != Some(workload);
        self.require(!held_back, || format!("{name} was removed on hold"));
        self.require(held.is_stopped(), || {
            format!("{name} was removed and is not stopped")
        });
        let moved = self.moved[workload];
        self.require(!moved, || {
            format!("{name} was removed in the round that moved latest")
        });
        if !self.interfered {
            let latest = self.latest(workload);
            let proven = self
                .lineage(workload)
                .first()
                .is_some_and(|head| Some(&head.image) == latest.as_ref());
            let stale = latest
                .as_ref()
                .is_some_and(|latest| !held.listed.is_of(latest));
            self.require(proven && stale, || {
                format!("{name} was removed and is not stale")
            });
        }
    }

    pub(crate) fn check_remove_image(&mut self, name: &ImageName) {
        let Some(image) = self.host.find(name).cloned() else {
            return;
        };
        let left = match name {
            ImageName::Reference(removed) => names_after(&image, removed),
            ImageName::Id(_) => Vec::new(),
        };
        if left.is_empty() && !self.users_raced {
            let used = self.host.is_used(&image.id);
            self.require(!used, || {
                format!("{name} was the last name of an image in use")
            });
        }
        if self.names_raced {
            return;
        }
        let workloads = match name {
            ImageName::Reference(reference) => {
                let Some((workload, _)) = self.owner_in_policy(reference) else {
                    return self.violated(format!("{name} was removed and is out of scope"));
                };
                vec![workload]
            }
            ImageName::Id(_) => {
                self.require(image.is_nameless(), || {
                    format!("{name} has a name and was removed by id")
                });
                (0..WORKLOADS)
                    .filter(|&w| self.entry(w).is_some() && self.belongs(w, &image.id))
                    .collect()
            }
        };
        let any_held = workloads
            .iter()
            .any(|&w| self.entry(w).is_some_and(|entry| entry.hold));
        self.require(!any_held, || format!("{name} was removed on hold"));
        let any_moved = workloads.iter().any(|&w| self.moved[w]);
        self.require(!any_moved, || {
            format!("{name} was removed in the round that moved latest")
        });
        // A name has one owner; what goes by its id has to be let go by all who know it.
        let justified = workloads
            .iter()
            .all(|&w| self.may_remove(w, name, &image.id));
        let idle: Vec<_> = workloads
            .iter()
            .map(|&w| self.truth.idle_ms(w, &image.id, self.host.uptime_ms) / 1000)
            .collect();
        self.require(justified || (self.interfered && !left.is_empty()), || {
            format!("{name} was removed and is neither retired nor idle (idle for {idle:?} s)")
        });
        for workload in 0..WORKLOADS {
            self.check_not_wanted(workload, name, &image.id, left.is_empty());
        }
    }

    /// Whether an image has a reason to go, by the model's own count of idle time. What is on the retired list was
    /// checked when it came there.
    fn may_remove(&self, workload: usize, name: &ImageName, id: &ImageId) -> bool {
        let (Some(entry), Some(known)) = (self.entry(workload), self.known(workload)) else {
            return false;
        };
        let idle_ms = self.truth.idle_ms(workload, id, self.host.uptime_ms);
        let idle = (idle_ms >= entry.grace_ms || self.is_pressed(workload, idle_ms))
            && !self.truth.is_inherited(workload, id);
        known.retired.contains(id) || idle || self.is_renamed(workload, name, id)
    }

    fn is_renamed(&self, workload: usize, name: &ImageName, id: &ImageId) -> bool {
        let (ImageName::Reference(name), Some(entry)) = (name, self.entry(workload)) else {
            return false;
        };
        *name.repository() == entry.repository
            && name.tag().is_some_and(is_version)
            && self
                .lineage(workload)
                .iter()
                .skip(1)
                .any(|proven| proven.image == *id)
            && self
                .host
                .image(id)
                .is_some_and(|i| i.tags().any(|tag| entry.remotes.contains(tag.repository())))
    }

    fn check_not_wanted(&mut self, workload: usize, name: &ImageName, id: &ImageId, deletes: bool) {
        let Some(known) = self
            .known(workload)
            .filter(|_| self.entry(workload).is_some())
        else {
            return;
        };
        let of_workload = match name {
            ImageName::Reference(name) => self
                .owner_in_policy(name)
                .is_some_and(|(owner, _)| owner == workload),
            ImageName::Id(_) => true,
        };
        let proven = known.lineage.iter().any(|proven| proven.image == *id);
        let pending = known
            .pending
            .iter()
            .any(|p| p.image == *id || p.stand_in.iter().any(|s| s.image == *id));
        let twin = matches!(name, ImageName::Reference(r) if self.is_twin(known, workload, r));
        let renamed = self.is_renamed(workload, name, id);
        let latest = self.latest(workload).as_ref() == Some(id);
        let in_use = self.truth.window.iter().any(|sample| sample.is_in_use(id));
        if deletes || (of_workload && !self.interfered) {
            let wanted = proven || (pending && (deletes || self.is_upgrading(workload, id)));
            self.require(!wanted || renamed, || {
                format!("{name} was removed and is wanted")
            });
        }
        if of_workload && !self.interfered {
            self.require(!latest || renamed, || {
                format!("{name} was removed and its image is latest")
            });
            self.require(!twin || renamed, || {
                format!("{name} was removed and is a twin")
            });
            self.require(!in_use || renamed, || {
                format!("{name} was removed and its image is in use")
            });
        }
    }

    fn is_upgrading(&self, workload: usize, id: &ImageId) -> bool {
        self.known(workload)
            .and_then(|known| known.pending.as_ref())
            .is_some_and(|p| p.image == *id)
    }

    fn is_twin(&self, known: &WorkloadState, workload: usize, name: &Reference) -> bool {
        let head = self
            .lineage(workload)
            .first()
            .map(|head| head.version.clone());
        let pending = known.pending.iter().map(|p| &p.version);
        let stand_in = known
            .pending
            .iter()
            .filter_map(|p| p.stand_in.as_ref())
            .map(|s| &s.version);
        let mut wanted = head.iter().chain(pending).chain(stand_in);
        name.tag()
            .filter(|tag| is_version(tag))
            .is_some_and(|tag| wanted.any(|version| version.as_str() == tag))
    }
}
