//! One workload on its way through the decision: what is given, and what has been decided so far.

use std::collections::BTreeSet;

use crate::image::{ImageId, Reference, Version};
use crate::policy::{Workload, WorkloadName};
use crate::state::{Now, Proven, Tally, WorkloadState};
use crate::world::{Container, Details, Image, Readiness};

use super::event::{Event, EventKind};
use super::plan::{Action, Judgement};
use super::scene::{Cast, Scene};
use super::serving::{self, Serves};

/// One workload, being decided.
pub(crate) struct Case<'a> {
    pub(crate) name: &'a WorkloadName,
    pub(crate) workload: &'a Workload,
    pub(crate) scene: &'a Scene<'a>,
    pub(crate) cast: &'a Cast<'a>,
    pub(crate) now: &'a Now,
    pub(crate) serves: Serves<'a>,
    /// The new state, as far as it has come.
    pub(crate) state: WorkloadState,
    /// What changed on the way.
    pub(crate) events: Vec<Event>,
    /// The one move of `latest` that this round makes, with the name that its old image gets.
    pub(crate) latest_move: Vec<Action>,
    /// R2: the stale local container, if it goes in this round.
    pub(crate) stale_local: Option<&'a Container>,
    /// One verdict for each name.
    pub(crate) judgements: Vec<Judgement>,
    /// What goes on account of a full disk, oldest first.
    pub(crate) pressed: Vec<ImageId>,
    /// Nameless images that do not go in this round, because another workload that knows them moves its `latest`.
    pub(crate) waiting: BTreeSet<ImageId>,
    /// What a person should know.
    pub(crate) notes: Vec<String>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(
        name: &'a WorkloadName,
        workload: &'a Workload,
        state: WorkloadState,
        scene: &'a Scene<'a>,
        now: &'a Now,
    ) -> Option<Self> {
        let cast = scene.cast(name)?;
        let serves = serving::who_serves(workload, &state, scene, cast);
        Some(Self {
            name,
            workload,
            scene,
            cast,
            now,
            serves,
            state,
            events: Vec::new(),
            latest_move: Vec::new(),
            stale_local: None,
            judgements: Vec::new(),
            pressed: Vec::new(),
            waiting: BTreeSet::new(),
            notes: Vec::new(),
        })
    }

    /// Whether a name is in one of the workload's repositories.
    pub(crate) fn is_own(&self, reference: &Reference) -> bool {
        self.workload
            .repositories()
            .any(|repository| repository == reference.repository())
    }

    /// Whether an image on the disk is the workload's.
    pub(crate) fn is_member(&self, id: &ImageId) -> bool {
        let place = self.scene.place(id);
        place.is_some_and(|place| self.cast.member(place).is_some())
    }

    pub(crate) fn is_on_disk(&self, id: &ImageId) -> bool {
        self.scene.image(id).is_some()
    }

    /// The lineage as far as it is on the disk. The rest is skipped, not forgotten: an engine can come up with its data
    /// disk unmounted (design 4.4).
    pub(crate) fn lineage_on_disk(&self) -> impl Iterator<Item = &Proven> {
        self.state
            .lineage
            .iter()
            .filter(|proven| self.is_on_disk(&proven.image))
    }

    /// The first entry of the lineage that is on the disk.
    pub(crate) fn head(&self) -> Option<&Proven> {
        self.lineage_on_disk().next()
    }

    /// The entries behind the head.
    pub(crate) fn fallbacks(&self) -> impl Iterator<Item = &Proven> {
        self.lineage_on_disk().skip(1)
    }

    /// The image that `repository:latest` names.
    pub(crate) fn latest_id(&self) -> Option<&'a ImageId> {
        self.cast.latest.map(|image| &image.id)
    }

    /// Whether an image is proven: the head of the lineage and `repository:latest` (design 4.3).
    pub(crate) fn is_proven(&self, id: &ImageId) -> bool {
        self.latest_id() == Some(id) && self.head().is_some_and(|head| head.image == *id)
    }

    pub(crate) fn version_of(&self, image: &Image) -> Version {
        serving::image_version(self.workload, &self.state, image)
    }

    pub(crate) fn version_run_by(&self, container: &Container) -> Version {
        serving::container_version(self.workload, &self.state, self.scene, container)
    }

    /// What an inspect told of a container, if it was asked.
    pub(crate) fn details(&self, container: &Container) -> Option<&'a Details> {
        self.scene.world.details.get(&container.id)
    }

    pub(crate) fn readiness(&self) -> Option<&'a Readiness> {
        self.scene.world.readiness.get(self.name)
    }

    /// While none of the known images is on the disk, the disk is not the one that is known: nothing is forgotten, and
    /// what appears is inherited (design 4.4; before the first promotion the sightings stand for the lineage).
    pub(crate) fn is_disk_strange(&self) -> bool {
        if self.state.lineage.is_empty() {
            !self.state.images.is_empty() && !self.state.images.keys().any(|id| self.is_on_disk(id))
        } else {
            self.head().is_none()
        }
    }

    /// Adds one to a counter of the workload.
    pub(crate) fn count(&mut self, counter: impl FnOnce(&mut Tally) -> &mut u64) {
        let counter = counter(&mut self.state.tally);
        *counter = counter.saturating_add(1);
    }

    pub(crate) fn event(
        &mut self,
        kind: EventKind,
        version: &Version,
        image: &ImageId,
        message: String,
    ) {
        self.push_event(kind, version, image, message, false);
    }

    pub(crate) fn warning(
        &mut self,
        kind: EventKind,
        version: &Version,
        image: &ImageId,
        message: String,
    ) {
        self.push_event(kind, version, image, message, true);
    }

    fn push_event(
        &mut self,
        kind: EventKind,
        version: &Version,
        image: &ImageId,
        message: String,
        warning: bool,
    ) {
        self.events.push(Event {
            kind,
            workload: self.name.clone(),
            version: Some(version.clone()),
            image: Some(image.clone()),
            other: None,
            message,
            warning,
        });
    }
}
