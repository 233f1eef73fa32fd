//! What happened on the model host, written down by the host alone: no record, no state and no
//! rule of the planner is asked. [`crate::outcomes`] judges by it.
//!
//! Where the host cannot tell for certain what the planner may know (a disk that was swapped, a
//! state that was lost), it writes down what permits more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use tagkeeper_core::model::{
    Action, ActionKind, Container, ContainerId, ContainerState, Disk, Health, Image, ImageId,
    LATEST, Reference, TagPurpose, Workload, WorkloadName,
};

use crate::host::{Host, telemetry};

/// Something that is so since a time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Since<T> {
    pub(crate) what: T,
    pub(crate) since_ms: u64,
}

/// What the host went through. What later judgements depend on is serialized, each time by a name
/// with `_ms` ([`crate::exhaustive`]).
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Witness {
    /// How long the host has been up in its life, reboots added up.
    pub(crate) lived_ms: u64,
    /// Uptime at the last look.
    #[serde(skip)]
    uptime_ms: u64,
    /// The containers that run and are not unhealthy: their start, and since when at least.
    pub(crate) up: BTreeMap<ContainerId, Since<String>>,
    /// Every image that some repository's `latest` has meant.
    pub(crate) was_latest: BTreeSet<ImageId>,
    /// The images on the disk, as far as passes have seen it, and what befell them there.
    pub(crate) lives: BTreeMap<ImageId, Life>,
    /// The same of the disk that was here before this one, and may come back.
    away: BTreeMap<ImageId, Life>,
    /// When the current pass began.
    #[serde(skip)]
    pub(crate) pass_began_ms: u64,
    /// When the first pass looked at this disk with this state.
    pub(crate) first_pass_ms: Option<u64>,
    /// What the workload's `latest` means, and since when.
    latest: Option<Since<ImageId>>,
    /// What `latest` meant to passes since then.
    latest_seen: BTreeSet<ImageId>,
    /// When the last one was, at the latest, that replaced another image.
    pub(crate) replaced_ms: Option<u64>,
    /// Every image that was proven, or may have been.
    pub(crate) was_proven: BTreeSet<ImageId>,
    /// Those that are now, newest first, as far as the host can tell.
    pub(crate) proven: Vec<Proof>,
    /// What does the work without any doubt, and since which pass.
    service: Option<Since<Service>>,
    /// Containers that ran beside a running local one: they may be dry runs.
    beside_local: BTreeSet<ContainerId>,
    /// Whether something has come back that no pass has seen yet: what the current one promotes may
    /// be forgotten for what is known of that.
    #[serde(skip)]
    has_come_back: bool,
    /// Whether a person has rejected something.
    pub(crate) has_rejections: bool,
    /// Whether a pass found the disk fuller than some workload wants it.
    #[serde(skip)]
    pub(crate) is_pressed: bool,
}

/// An image on the disk.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Life {
    /// When it came.
    pub(crate) arrived_ms: u64,
    /// Since when no pass has seen a container use it.
    pub(crate) idle_since_ms: Option<u64>,
    /// When a pass, or a command that saves what it saw, first saw it at all.
    pub(crate) met_ms: Option<u64>,
    /// When a pass first saw it under a name of the workload.
    pub(crate) seen_ms: Option<u64>,
    /// Whether a container of it ever ran, for however short a time.
    pub(crate) has_run: bool,
    /// Whether a pass saw it do the work, deployed by the orchestrator, while it was not latest.
    pub(crate) was_tried: bool,
    /// Whether a pass saw that the orchestrator has deployed it, or holds it.
    pub(crate) is_rolled_out: bool,
}

impl Life {
    /// Either life may be the one that the planner knows.
    fn permit_more(&mut self, other: &Self) {
        self.arrived_ms = self.arrived_ms.min(other.arrived_ms);
        let earlier = |one: Option<u64>, other| one.into_iter().chain(other).min();
        self.idle_since_ms = earlier(self.idle_since_ms, other.idle_since_ms);
        self.met_ms = earlier(self.met_ms, other.met_ms);
        self.has_run |= other.has_run;
        self.was_tried &= other.was_tried;
        self.is_rolled_out &= other.is_rolled_out;
    }
}

/// An image of which `latest` has been promoted, or may have been.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Proof {
    pub(crate) image: ImageId,
    pub(crate) certainty: Certainty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Certainty {
    /// The host cannot tell: it takes a place, and is owed nothing.
    Possible,
    /// `latest` was moved to it, and no pass has seen that since.
    Moved,
    Certain,
}

/// Which containers of which image do the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Service {
    image: ImageId,
    incarnations: Vec<(ContainerId, String)>,
    is_local: bool,
}

pub(crate) fn is_own(workload: &Workload, reference: &Reference) -> bool {
    let mut repositories = workload.repositories();
    repositories.any(|repository| repository == reference.repository())
}

fn is_remote(workload: &Workload, reference: &Reference) -> bool {
    workload.remotes.contains(reference.repository())
}

impl Host {
    /// Looks at the host as it is now. Called whenever time passes, and around each action.
    pub(crate) fn witness(&mut self) {
        let since_ms = self.witness.uptime_ms;
        let passed_ms = if self.uptime_ms < since_ms {
            self.uptime_ms
        } else {
            self.uptime_ms - since_ms
        };
        self.witness.uptime_ms = self.uptime_ms;
        self.witness.lived_ms += passed_ms;
        self.witness_containers();
        self.witness_images();
    }

    fn witness_containers(&mut self) {
        let now_ms = self.witness.lived_ms;
        let before = std::mem::take(&mut self.witness.up);
        let seen = Arc::clone(self.seen());
        for container in seen.containers.iter().filter(|c| c.is_running()) {
            let details = &seen.details[&container.id];
            if details.health.is_some_and(|h| h != Health::Healthy) {
                continue;
            }
            let known = before.get(&container.id);
            let known = known.filter(|up| up.what == details.started_at);
            let incarnation = Since {
                what: details.started_at.clone(),
                since_ms: known.map_or(now_ms, |up| up.since_ms),
            };
            self.witness.up.insert(container.id.clone(), incarnation);
        }
    }

    fn witness_images(&mut self) {
        let now_ms = self.witness.lived_ms;
        let latest = self
            .latest_image(&telemetry())
            .map(|image| image.id.clone());
        let known = self.witness.latest.take();
        self.witness.latest = latest.map(|latest| {
            let known = known.filter(|known| known.what == latest);
            known.unwrap_or(Since {
                what: latest,
                since_ms: now_ms,
            })
        });
        let seen = Arc::clone(self.seen());
        for image in &seen.images {
            if image.references.iter().any(|r| r.tag() == Some(LATEST)) {
                self.witness.was_latest.insert(image.id.clone());
            }
            // It takes its old place again, or brings back what was known of its disk.
            let is_back = self.witness.proven.iter().any(|p| p.image == image.id)
                || self.witness.away.contains_key(&image.id);
            if is_back && !self.witness.lives.contains_key(&image.id) {
                self.witness.doubt();
                self.witness.has_come_back = true;
            }
            let away = self.witness.away.get(&image.id).cloned();
            let life = self.witness.lives.entry(image.id.clone());
            let life = life.or_insert(away.unwrap_or(Life {
                arrived_ms: now_ms,
                idle_since_ms: Some(now_ms),
                met_ms: None,
                seen_ms: None,
                has_run: false,
                was_tried: false,
                is_rolled_out: false,
            }));
            let mut users = seen.containers.iter().filter(|c| c.uses(&image.id));
            life.has_run |= users.any(|c| c.state != ContainerState::Created);
        }
    }

    /// The image that a workload's `latest` means.
    pub(crate) fn latest_image(&self, workload: &WorkloadName) -> Option<&Image> {
        let latest = self.policy.workloads.get(workload)?.repository.latest();
        let mut images = self.images().iter();
        images.find(|image| image.references.contains(&latest))
    }

    /// What a pass has just seen, and saved.
    pub(crate) fn witness_pass(&mut self) {
        self.witness_look();
        self.witness.has_come_back = false;
        // What left the disk and came back between two passes never left it, for all that the
        // planner may know.
        let seen = Arc::clone(self.seen());
        let is_on_disk = |id: &ImageId| seen.images.iter().any(|image| image.id == *id);
        self.witness.lives.retain(|id, _| is_on_disk(id));
        let Some(workload) = self.policy.workloads.get(&telemetry()).cloned() else {
            return;
        };
        let now_ms = self.witness.lived_ms;
        self.witness.first_pass_ms.get_or_insert(now_ms);
        self.witness_rollouts(&workload);
        let is_full = |percent: u8| match self.disk_now() {
            Disk::Measured {
                used_bytes,
                available_bytes,
            } => used_bytes * 100 > (used_bytes + available_bytes) * u64::from(percent),
            Disk::Unknown(_) => false,
        };
        let mut thresholds = self.policy.workloads.values();
        self.witness.is_pressed |=
            thresholds.any(|workload| workload.pressure_percent.is_some_and(is_full));
        self.witness_proofs(&workload);
    }

    /// What a look has just seen, and saved.
    pub(crate) fn witness_look(&mut self) {
        self.witness();
        let now_ms = self.witness.lived_ms;
        let is_in_policy = self.policy.workloads.contains_key(&telemetry());
        let seen = Arc::clone(self.seen());
        for image in &seen.images {
            let life = self.witness.lives.get_mut(&image.id).unwrap();
            life.met_ms.get_or_insert(now_ms);
            if is_in_policy {
                let mut users = seen.containers.iter().filter(|c| c.uses(&image.id));
                let is_used = users.any(|c| c.pin.is_none());
                let since_ms = life.idle_since_ms.unwrap_or(now_ms);
                life.idle_since_ms = (!is_used).then_some(since_ms);
            }
        }
    }

    /// The planner has done something.
    pub(crate) fn witness_action(&mut self, name: &WorkloadName, action: &Action, before: &Self) {
        self.witness();
        let ActionKind::Tag {
            image,
            purpose: TagPurpose::Promote,
            ..
        } = &action.kind
        else {
            return;
        };
        if *name == telemetry() {
            let workload = self.policy.workloads[name].clone();
            let before = before.latest_image(name).map(|image| &image.id);
            self.witness.moved(image, before, &workload);
        }
    }

    fn witness_rollouts(&mut self, workload: &Workload) {
        let now_ms = self.witness.lived_ms;
        // As the engine lists them: the name that a container was created from is not there once it
        // has moved.
        let seen = self.listed();
        let names = seen.images.iter().flat_map(|image| &image.references);
        let created_from = seen.containers.iter().filter_map(|c| c.reference.as_ref());
        let remote_tags: BTreeSet<&str> = names
            .chain(created_from)
            .filter(|reference| is_remote(workload, reference))
            .filter_map(Reference::version_tag)
            .collect();
        for image in &seen.images {
            let life = self.witness.lives.get_mut(&image.id).unwrap();
            if !image.references.iter().any(|r| is_own(workload, r)) {
                life.is_rolled_out = false;
                life.seen_ms = None;
                continue;
            }
            life.seen_ms.get_or_insert(now_ms);
            life.is_rolled_out |= image.references.iter().any(|reference| {
                let tag = reference.version_tag();
                is_remote(workload, reference)
                    || (is_own(workload, reference) && tag.is_some_and(|t| remote_tags.contains(t)))
            });
        }
    }

    /// A look may write down that `latest` was moved by hand to what has soaked, and retire what
    /// that replaces: also that of a rollback, which moves it back.
    pub(crate) fn witness_latest(&mut self) {
        let latest = self.latest_image(&telemetry());
        let Some(latest) = latest.map(|image| image.id.clone()) else {
            return;
        };
        let workload = self.policy.workloads[&telemetry()].clone();
        if self.witness.lives[&latest].has_run {
            self.witness.may_be_proven(&latest, &workload);
        }
        self.witness.latest_seen.insert(latest);
    }

    fn witness_proofs(&mut self, workload: &Workload) {
        let latest = self
            .latest_image(&telemetry())
            .map(|image| image.id.clone());
        let may_be_held = workload.hold || !self.policy.holds.is_empty();
        let front = self.witness.proven.first();
        let is_lost = front.is_some_and(|front| {
            Some(&front.image) != latest.as_ref() || self.is_rejected_by_a_name(&front.image)
        });
        if let Some(front) = self.witness.proven.first_mut() {
            if front.certainty == Certainty::Moved && is_lost {
                front.certainty = Certainty::Possible;
            } else if front.certainty == Certainty::Moved && !may_be_held {
                front.certainty = Certainty::Certain;
            }
        }
        self.witness_latest();
        let service = self.service(workload);
        self.witness_service(workload, service, latest.as_ref(), may_be_held);
        self.cut_proofs(workload);
    }

    /// Whether the policy rejects an image by a name that it has. One that came while `latest` was
    /// being moved takes that back.
    fn is_rejected_by_a_name(&self, id: &ImageId) -> bool {
        let images = self.images().iter().filter(|image| image.id == *id);
        let mut versions = images
            .flat_map(Image::tags)
            .filter_map(Reference::version_tag);
        let rejections = || self.policy.rejections.values().flatten();
        versions.any(|version| rejections().any(|rejection| rejection.is_version(version)))
    }

    fn witness_service(
        &mut self,
        workload: &Workload,
        service: Option<Service>,
        latest: Option<&ImageId>,
        may_be_held: bool,
    ) {
        let now_ms = self.witness.lived_ms;
        let known = self.witness.service.take();
        let known = known.filter(|known| Some(&known.what) == service.as_ref());
        let since_ms = known.map_or(now_ms, |known| known.since_ms);
        let Some(service) = service else { return };
        let is_trial = !service.is_local && latest != Some(&service.image);
        let is_doubted = self.witness.has_rejections || !self.policy.rejections.is_empty();
        if is_trial && !is_doubted {
            let life = self.witness.lives.get_mut(&service.image).unwrap();
            life.was_tried = true;
        }
        let has_soaked = since_ms + workload.soak_ms + self.look_ms <= now_ms;
        // Its soak begins when it is ready, and when nothing rejects it.
        if is_doubted || workload.ready.is_some() && !self.readiness.is_empty() {
            return;
        }
        // Nor does a move by hand count for as long as the engine fails on the pass's own.
        let is_recorded = has_soaked && !may_be_held && !self.refuses_tags;
        if latest == Some(&service.image) && is_recorded {
            let front = self.witness.proven.first_mut();
            if let Some(front) = front.filter(|front| front.image == service.image) {
                front.certainty = Certainty::Certain;
            }
        }
        self.witness.service = Some(Since {
            what: service,
            since_ms,
        });
    }

    /// Those behind what the policy wants are owed nothing any more.
    fn cut_proofs(&mut self, workload: &Workload) {
        let mut on_disk = 0;
        let images = &Arc::clone(self.seen()).images;
        self.witness.proven.retain_mut(|proof| {
            if !images.iter().any(|image| image.id == proof.image) {
                proof.certainty = Certainty::Possible;
                return true;
            }
            on_disk += 1;
            on_disk <= 1 + workload.fallbacks
        });
    }

    /// What does the work, where nobody could see it otherwise: the local containers that run, or
    /// with no local container at all the orchestrated ones; of one image, all of them healthy.
    fn service(&mut self, workload: &Workload) -> Option<Service> {
        let seen = Arc::clone(self.seen());
        let is_local = |c: &Container| c.names.iter().any(|name| workload.is_local_name(name));
        let image = |id: &ImageId| seen.images.iter().find(|image| image.id == *id);
        let is_of_workload = |image: &Image| image.references.iter().any(|r| is_own(workload, r));
        let counts = |c: &&Container| {
            let details = seen.details.get(&c.id);
            c.pin.is_none() && !c.one_off && details.is_some_and(|d| !d.interactive)
        };
        let containers: Vec<&Container> = seen.containers.iter().filter(counts).collect();
        let has_local_running = containers.iter().any(|c| is_local(c) && c.is_running());
        if has_local_running {
            let beside = containers.iter().filter(|c| !is_local(c));
            self.witness
                .beside_local
                .extend(beside.map(|c| c.id.clone()));
        }
        let has_local = seen.containers.iter().any(is_local);
        let does_work = |c: &&&Container| c.is_running() && (is_local(c) || !has_local_running);
        let working: Vec<&Container> = containers
            .iter()
            .filter(|c| is_local(c) || c.image.as_ref().and_then(image).is_some_and(is_of_workload))
            .filter(does_work)
            .copied()
            .collect();
        let of = working.first()?.image.clone()?;
        // An image without a name of the workload may be known to it by its id.
        let is_known =
            |c: &&Container| c.image.as_ref().and_then(image).is_some_and(is_of_workload);
        let is_clear = self.policy.workloads.len() == 1
            && containers.iter().filter(|c| c.is_running()).all(is_known)
            && seen.containers.iter().all(|c| !c.names.is_empty())
            && image(&of).is_some_and(is_of_workload)
            && working
                .iter()
                .all(|c| c.uses(&of) && self.witness.up.contains_key(&c.id))
            && seen
                .containers
                .iter()
                .all(|c| !c.uses(&of) || c.is_running())
            && has_local == has_local_running
            && working
                .iter()
                .all(|c| !self.witness.beside_local.contains(&c.id));
        let incarnation = |c: &&Container| (c.id.clone(), seen.details[&c.id].started_at.clone());
        is_clear.then(|| Service {
            image: of,
            incarnations: working.iter().map(incarnation).collect(),
            is_local: has_local_running,
        })
    }
}

impl Witness {
    /// `latest` means an image that runs: sooner or later this may be written down as a promotion.
    fn may_be_proven(&mut self, latest: &ImageId, workload: &Workload) {
        let front = self.proven.first();
        if let Some(front) = front.filter(|front| front.image == *latest) {
            // It may not have been written down yet, and replace what was latest in between.
            let is_open = front.certainty == Certainty::Possible;
            if is_open {
                self.note_promotion(latest);
            }
            return;
        }
        self.note_promotion(latest);
        self.strike(workload);
        self.put_first(latest, Certainty::Possible);
    }

    /// The planner has moved `latest`.
    pub(crate) fn moved(&mut self, image: &ImageId, before: Option<&ImageId>, workload: &Workload) {
        self.note_promotion(image);
        let is_first = self.proven.is_empty();
        if is_first {
            // What was latest when the upgrade began is its fallback, also if it was away from the
            // disk in between.
            self.was_proven.extend(self.latest_seen.iter().cloned());
        }
        if let Some(before) = before.filter(|before| is_first && *before != image) {
            // It was latest when the upgrade began if it was so before the upgrade was here.
            let arrived_ms = self.lives.get(image).map_or(0, |life| life.arrived_ms);
            let known = self.latest.as_ref().filter(|known| known.what == *before);
            let was_latest = known.is_some_and(|known| known.since_ms <= arrived_ms);
            let is_certain = was_latest && !self.has_rejections;
            let certainty = if is_certain {
                Certainty::Certain
            } else {
                Certainty::Possible
            };
            self.put_first(before, certainty);
        }
        self.strike(workload);
        let certainty = if self.has_come_back {
            Certainty::Possible
        } else {
            Certainty::Moved
        };
        self.put_first(image, certainty);
    }

    /// R5 may strike what the orchestrator never deployed.
    fn strike(&mut self, workload: &Workload) {
        let may_strike = workload.dry_runs && !workload.remotes.is_empty();
        for proof in &mut self.proven {
            let life = self.lives.get(&proof.image);
            if may_strike && !life.is_some_and(|life| life.is_rolled_out) {
                proof.certainty = Certainty::Possible;
            }
        }
    }

    /// `latest` came to mean an image that runs, and may have meant another one.
    fn note_promotion(&mut self, image: &ImageId) {
        if self.latest_seen.iter().any(|seen| seen != image) {
            self.replaced_ms = Some(self.lived_ms);
        }
    }

    fn put_first(&mut self, image: &ImageId, certainty: Certainty) {
        self.was_proven.insert(image.clone());
        self.proven.retain(|proof| proof.image != *image);
        let image = image.clone();
        self.proven.insert(0, Proof { image, certainty });
    }

    /// Something came between after which the host cannot tell what the planner knows: a swapped
    /// disk, a policy without the workload, a person's command.
    pub(crate) fn doubt(&mut self) {
        for proof in &mut self.proven {
            proof.certainty = Certainty::Possible;
        }
        self.service = None;
    }

    /// The engine shows another disk. What befell an image on the one that leaves may be remembered
    /// of it on this one.
    pub(crate) fn sees_another_disk(&mut self) {
        self.doubt();
        std::mem::swap(&mut self.lives, &mut self.away);
        for (id, life) in &mut self.lives {
            if let Some(other) = self.away.get(id) {
                life.permit_more(other);
            }
        }
        for life in self.lives.values_mut().chain(self.away.values_mut()) {
            life.seen_ms = None;
        }
    }

    /// The state is lost: the next pass finds a host that it does not know.
    pub(crate) fn state_is_lost(&mut self) {
        self.doubt();
        self.proven.clear();
        self.replaced_ms = None;
        self.latest_seen.clear();
        self.first_pass_ms = None;
        self.beside_local.clear();
        // Also what was known of a disk that is away.
        for life in self.lives.values_mut().chain(self.away.values_mut()) {
            life.seen_ms = None;
            life.was_tried = false;
            life.is_rolled_out = false;
            life.idle_since_ms = None;
        }
    }
}
