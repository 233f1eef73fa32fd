//! What is true of the model host, kept on the host's own clock and never by asking the code under test: since when each
//! incarnation has been seen to serve, how long each image has lain idle, when it came.
//!
//! A pass that breaks off has learnt nothing, so what a round saw counts once its state is saved or it has gone on.
//! Where something happened in the middle of a round, each state that the round may have seen is given credit.

use std::collections::{BTreeSet, HashMap};

use tagkeeper::image::ImageId;
use tagkeeper::policy::{Workload, WorkloadName};
use tagkeeper::state::{State, WorkloadState};
use tagkeeper::world::ContainerId;

use super::Model;
use super::names::WORKLOADS;

/// One incarnation that serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Incarnation {
    pub(crate) image: ImageId,
    pub(crate) id: ContainerId,
    pub(crate) started_at: u64,
    pub(crate) local: bool,
}

/// What one look showed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Who serves each workload, in good health.
    pub(crate) serving: [Option<Incarnation>; WORKLOADS],
    /// Containers that run dry.
    dry: [Vec<ContainerId>; WORKLOADS],
    /// Images in use; those that only a stale local container uses aside.
    used: Vec<ImageId>,
}

/// How long an image has lain idle, for each workload.
#[derive(Clone, Debug, Default)]
struct Idle {
    was_idle: bool,
    idle_ms: [u64; WORKLOADS],
}

/// What the truth knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    /// The incarnations that may be soaking, with the uptime at which each began to serve.
    series: [Vec<(Incarnation, u64)>; WORKLOADS],
    /// Who serves in this round.
    pub(crate) window: Vec<Sample>,
    window_counted: bool,
    /// The model's stamp when the window was taken, and the one that was counted last: while nothing changes, there is
    /// nothing to look at again.
    sampled_at: u64,
    counted_stamp: Option<u64>,
    pub(crate) dry: [BTreeSet<ContainerId>; WORKLOADS],
    idle: HashMap<ImageId, Idle>,
    counted_at: u64,
    was_held: [bool; WORKLOADS],
    first_arrival: HashMap<ImageId, u64>,
    last_naming: HashMap<ImageId, u64>,
    /// When the policy or the disk last changed under a workload: what was there by then may be inherited.
    upheaval_at: [u64; WORKLOADS],
    /// What was there when the workload came into the state, until a promotion replaces something.
    pub(crate) inherited: [BTreeSet<ImageId>; WORKLOADS],
    /// Lineage entries and stand-ins that the orchestrator is known to have deployed or held.
    pub(crate) rolled_out: [BTreeSet<ImageId>; WORKLOADS],
    /// What a tag call made latest after its soak, until `latest` is moved again.
    pub(crate) committed: [Option<ImageId>; WORKLOADS],
}

impl Truth {
    pub(crate) fn arrived(&mut self, id: &ImageId, now: u64) {
        self.first_arrival.insert(id.clone(), now);
        self.last_naming.insert(id.clone(), now);
    }

    pub(crate) fn named(&mut self, id: &ImageId, now: u64) {
        self.last_naming.insert(id.clone(), now);
    }

    pub(crate) fn upheaval(&mut self, workload: usize, now: u64) {
        self.upheaval_at[workload] = now;
    }

    pub(crate) fn upheaval_everywhere(&mut self, now: u64) {
        self.upheaval_at = [now; WORKLOADS];
    }

    /// The state was lost: what hung on it starts anew.
    pub(crate) fn forget(&mut self, now: u64) {
        self.upheaval_everywhere(now);
        self.rolled_out = Default::default();
        self.committed = Default::default();
        self.dry = Default::default();
    }

    /// A pass begins: what one that broke off saw does not count.
    pub(crate) fn begin_pass(&mut self) {
        if !self.window_counted {
            self.window.clear();
            self.window_counted = true;
            self.counted_stamp = None;
        }
    }

    /// Whether an incarnation of the image has been seen serving unbroken for the soak, in this very round too.
    pub(crate) fn has_soaked(
        &self,
        workload: usize,
        image: &ImageId,
        now: u64,
        soak_ms: u64,
    ) -> bool {
        self.series[workload].iter().any(|(incarnation, since)| {
            let seen = self
                .window
                .iter()
                .any(|sample| sample.serving[workload].as_ref() == Some(incarnation));
            incarnation.image == *image && now - since >= soak_ms && seen
        })
    }

    /// How long an image has lain idle, this round included.
    pub(crate) fn idle_ms(&self, workload: usize, image: &ImageId, now: u64) -> u64 {
        let Some(idle) = self.idle.get(image) else {
            return 0;
        };
        let counts = idle.was_idle && !self.was_held[workload];
        idle.idle_ms[workload] + if counts { now - self.counted_at } else { 0 }
    }

    /// Whether a promotion of `promoted` makes an image obsolete: it was there before, or the workload inherited it.
    pub(crate) fn was_before(&self, workload: usize, image: &ImageId, promoted: &ImageId) -> bool {
        let Some(&arrived) = self.first_arrival.get(image) else {
            return false;
        };
        arrived <= self.upheaval_at[workload]
            || self
                .last_naming
                .get(promoted)
                .is_some_and(|&named| arrived <= named)
    }

    pub(crate) fn is_inherited(&self, workload: usize, image: &ImageId) -> bool {
        self.inherited[workload].contains(image)
    }
}

impl Model {
    /// Takes note of what a look shows. `again`: the world changed within the round.
    pub(crate) fn sample(&mut self, again: bool) {
        if !again {
            self.count_window();
            if self.truth.counted_stamp == Some(self.stamp) && self.rolling_back.is_none() {
                return;
            }
            self.truth.window.clear();
            self.truth.sampled_at = self.stamp;
        }
        self.truth.window_counted = false;
        for image in &self.host.disk.images {
            if !self.truth.idle.contains_key(&image.id) {
                self.truth.idle.insert(image.id.clone(), Idle::default());
            }
        }
        let mut sample = Sample::default();
        for workload in 0..WORKLOADS {
            sample.serving[workload] = self
                .serving(workload)
                .filter(|i| !self.is_troubled(workload, i));
            if let Some(local) = self.local_container(workload)
                && self.host.disk.containers[local].is_running()
                && self.entry(workload).is_some()
            {
                let idling = self.orchestrated(workload).into_iter();
                let idling = idling.filter(|&at| self.is_of_one_version(workload, local, at));
                sample.dry[workload]
                    .extend(idling.map(|at| self.host.disk.containers[at].listed.id.clone()));
            }
        }
        let counts = |at: &usize| {
            !self.host.disk.containers[*at].is_idle_pin()
                && !(0..WORKLOADS).any(|w| self.is_stale_local(w, *at))
        };
        let used = (0..self.host.disk.containers.len()).filter(counts);
        let used = used.map(|at| self.host.disk.containers[at].listed.image_id().clone());
        // Who uses an image that is away with its disk says nothing about the one that comes back with it.
        sample.used = used.filter(|id| self.host.image(id).is_some()).collect();
        self.truth.window.push(sample);
    }

    fn is_stale_local(&self, workload: usize, at: usize) -> bool {
        let held = &self.host.disk.containers[at];
        let latest = self.host.named(&self.names.latest[workload]);
        self.local_container(workload) == Some(at)
            && held.is_stopped()
            && latest.is_some_and(|latest| !held.listed.is_of(&latest.id))
    }

    fn is_troubled(&self, workload: usize, incarnation: &Incarnation) -> bool {
        let held = self
            .host
            .disk
            .containers
            .iter()
            .find(|held| held.listed.id == incarnation.id);
        let unwell = held
            .and_then(|held| held.health)
            .is_some_and(|h| h != tagkeeper::world::Health::Healthy);
        unwell
            || (!self.ready[workload]
                && self.rolling_back.is_none()
                && self.entry(workload).is_some_and(|w| w.ready.is_some()))
    }

    /// What the round saw counts now.
    pub(crate) fn count_window(&mut self) {
        if self.truth.window_counted || self.truth.window.is_empty() {
            return;
        }
        self.truth.window_counted = true;
        let unchanged = self.truth.sampled_at == self.stamp && self.truth.window.len() == 1;
        self.truth.counted_stamp = unchanged.then_some(self.stamp);
        let now = self.host.uptime_ms;
        for workload in self.looked_after() {
            self.count_series(workload, now);
            self.count_dry_runs(workload);
        }
        self.count_idle(now);
        for workload in self.looked_after() {
            self.note_rolled_out(workload);
            self.note_departures(workload);
        }
        if self.rolling_back.is_some() {
            self.truth.counted_stamp = None;
        }
    }

    /// A person's command writes down what it saw of one workload, and asks no `ready` commands.
    fn looked_after(&self) -> std::ops::Range<usize> {
        match self.rolling_back {
            Some(workload) => workload..workload + 1,
            None => 0..WORKLOADS,
        }
    }

    fn count_dry_runs(&mut self, workload: usize) {
        if self.entry(workload).is_none() {
            self.truth.dry[workload].clear();
        }
        if self.interfered {
            return; // Whether the local container ran beside them, only the round knows.
        }
        let dry = self
            .truth
            .window
            .iter()
            .flat_map(|sample| &sample.dry[workload]);
        self.truth.dry[workload].extend(dry.cloned());
    }

    fn count_series(&mut self, workload: usize, now: u64) {
        let before = std::mem::take(&mut self.truth.series[workload]);
        let mut series: Vec<(Incarnation, u64)> = Vec::new();
        for incarnation in self
            .truth
            .window
            .iter()
            .filter_map(|s| s.serving[workload].as_ref())
        {
            if series.iter().all(|(known, _)| known != incarnation) {
                let since = before
                    .iter()
                    .find(|(known, _)| known == incarnation)
                    .map_or(now, |(_, since)| *since);
                series.push((incarnation.clone(), since));
            }
        }
        self.truth.series[workload] = series;
    }

    fn count_idle(&mut self, now: u64) {
        let passed = now - self.truth.counted_at;
        let was_held = self.truth.was_held;
        let saved = self.saved.as_ref();
        let remembered = |id: &ImageId| {
            saved.is_some_and(|s| s.workloads.values().any(|w| w.images.contains_key(id)))
        };
        let (host, interfered) = (&self.host, self.interfered);
        self.truth
            .idle
            .retain(|id, _| interfered || host.image(id).is_some() || remembered(id));
        let window = &self.truth.window;
        for (id, idle) in &mut self.truth.idle {
            // A person's command writes down the use of its own workload's images only.
            let used = window.iter().all(|sample| sample.used.contains(id));
            if used && self.rolling_back.is_none() {
                *idle = Idle::default();
                continue;
            }
            for (idle_ms, was_held) in idle.idle_ms.iter_mut().zip(was_held) {
                if idle.was_idle && !was_held {
                    *idle_ms += passed;
                }
            }
            idle.was_idle = true;
        }
        self.truth.counted_at = now;
        for workload in self.looked_after() {
            self.truth.was_held[workload] = self.entry(workload).is_some_and(|w| w.hold);
        }
    }

    /// What the orchestrator holds is known for good once it has been seen.
    fn note_rolled_out(&mut self, workload: usize) {
        if self.interfered {
            return; // What came in between may have come after the round had looked.
        }
        let Some(entry) = self.entry(workload) else {
            return;
        };
        let known = self.known(workload);
        let stand_in = known
            .and_then(|k| k.pending.as_ref())
            .and_then(|p| p.stand_in.as_ref());
        let entries = known
            .into_iter()
            .flat_map(|k| &k.lineage)
            .chain(stand_in)
            .map(|p| &p.image);
        let rolled_out = &self.truth.rolled_out[workload];
        let is_known = |id: &ImageId| rolled_out.contains(id) || self.is_held_by_remote(entry, id);
        self.truth.rolled_out[workload] = entries.filter(|id| is_known(id)).cloned().collect();
    }

    pub(crate) fn is_held_by_remote(&self, entry: &Workload, id: &ImageId) -> bool {
        let Some(image) = self.host.image(id) else {
            return false;
        };
        let of_remote = |r: &tagkeeper::image::Reference| entry.remotes.contains(r.repository());
        image.references.iter().any(of_remote)
            || image
                .references
                .iter()
                .filter_map(|r| r.version_tag())
                .any(|tag| {
                    entry
                        .remotes
                        .iter()
                        .any(|remote| self.host.named(&remote.with_tag(tag)).is_some())
                })
    }

    /// What has left the disk comes back as something new; while none of what is remembered is there, nothing has left.
    fn note_departures(&mut self, workload: usize) {
        let strange = self.is_strange(workload);
        if strange {
            self.truth.upheaval(workload, self.host.uptime_ms);
        } else {
            let containers = &self.host.disk.containers;
            self.truth.dry[workload]
                .retain(|id| containers.iter().any(|held| held.listed.id == *id));
        }
        let mut inherited = std::mem::take(&mut self.truth.inherited[workload]);
        inherited.retain(|id| strange || self.bears_a_name_of(workload, id));
        self.truth.inherited[workload] = inherited;
        let latest = self
            .host
            .named(&self.names.latest[workload])
            .map(|image| &image.id);
        let moved_on = self.truth.committed[workload].as_ref() != latest;
        if moved_on && !strange && !self.interfered {
            self.truth.committed[workload] = None;
        }
    }

    /// What was saved may know an image that is there, so that the disk is strange no more, and the rest has left it.
    pub(crate) fn note_departures_after_save(&mut self, before: Option<&State>) {
        let upgrade = |state: Option<&State>, name: &WorkloadName| {
            let known = state.and_then(|state| state.workloads.get(name));
            known.and_then(|known| known.pending.as_ref().map(|pending| pending.image.clone()))
        };
        for workload in self.looked_after() {
            let name = &self.names.workloads[workload];
            if upgrade(before, name) != upgrade(self.saved.as_ref(), name) {
                // Which version an image is may hang on the upgrade: dry runs are told by what is written down now.
                self.believe_dry_runs(workload);
                if self.is_strange(workload) {
                    // On an empty disk `latest` says nothing about the promotion before it, which has failed (4.3).
                    self.truth.committed[workload] = None;
                }
            }
            if self.interfered {
                // What the round had seen of what came and went in between, only the round knows.
                let mut inherited = std::mem::take(&mut self.truth.inherited[workload]);
                inherited.retain(|id| {
                    let sighting = self.known(workload).and_then(|known| known.images.get(id));
                    sighting.is_some_and(|sighting| sighting.inherited)
                });
                self.truth.inherited[workload] = inherited;
                self.believe_dry_runs(workload);
            } else {
                self.note_rolled_out(workload);
                self.note_departures(workload);
            }
        }
    }

    fn believe_dry_runs(&mut self, workload: usize) {
        let dry = self.known(workload).map(|known| known.dry_runs.clone());
        self.truth.dry[workload] = dry.unwrap_or_default();
    }

    fn is_strange(&self, workload: usize) -> bool {
        self.known(workload)
            .is_some_and(|known| self.is_disk_strange(known))
    }

    /// None of what is remembered is on the disk.
    pub(crate) fn is_disk_strange(&self, known: &WorkloadState) -> bool {
        let is_there = |id: &ImageId| self.host.image(id).is_some();
        match known.lineage.as_slice() {
            [] => !known.images.is_empty() && !known.images.keys().any(is_there),
            lineage => !lineage.iter().any(|proven| is_there(&proven.image)),
        }
    }

    pub(crate) fn is_dry(&self, workload: usize, id: &ContainerId) -> bool {
        self.truth.dry[workload].contains(id)
    }
}

impl Sample {
    pub(crate) fn is_in_use(&self, id: &ImageId) -> bool {
        self.used.contains(id)
    }
}
