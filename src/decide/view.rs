//! How a workload stands, for people: the part of the plan that is told and not done.

use std::collections::BTreeSet;

use crate::image::ImageId;
use crate::world::{Container, Image};

use super::case::Case;
use super::plan::{Judgement, Latest, PendingView, Serving, Verdict, WorkloadPlan};
use super::serving::Serves;

impl Case<'_> {
    /// The workload's plan, once everything has been decided.
    pub(crate) fn view(&mut self) -> WorkloadPlan {
        self.explain();
        let serving = self.serves.container().map(|container| Serving {
            container: container.name().into_owned(),
            id: container.id.clone(),
            image: container.image.clone(),
            version: self.version_run_by(container),
            local: matches!(self.serves, Serves::Local(_)),
        });
        WorkloadPlan {
            latest: self.latest_view(),
            head: self.head().cloned(),
            fallbacks: self.fallbacks().cloned().collect(),
            pins: self.pins_in_place(),
            serving,
            pending: self.pending_view(),
            failures: self.state.failures.clone(),
            rejected: self.state.rejected.clone(),
            since: self.state.came_in.clone(),
            tally: self.state.tally,
            hold: self.workload.hold,
            actions: self.actions(),
            leaving: self.leaving(),
            images: std::mem::take(&mut self.judgements),
            notes: std::mem::take(&mut self.notes),
        }
    }

    /// The images whose every name goes or moves away. A name that is not the workload's keeps its image.
    fn leaving(&self) -> BTreeSet<ImageId> {
        let stays = |j: &Judgement| j.verdict() == Verdict::Keep;
        let judged = || self.judgements.iter();
        let mut leaving: BTreeSet<ImageId> = judged()
            .filter(|j| !stays(j))
            .map(|j| j.image.clone())
            .collect();
        if leaving.is_empty() {
            return leaving;
        }
        for kept in judged().filter(|j| stays(j)) {
            leaving.remove(&kept.image);
        }
        let only_own = |image: &Image| {
            image.foreign_names == 0 && image.references.iter().all(|name| self.is_own(name))
        };
        leaving.retain(|id| self.scene.image(id).is_some_and(only_own));
        leaving
    }

    fn latest_view(&self) -> Option<Latest> {
        let image = self.cast.latest?;
        let head = self.head().filter(|head| head.image == image.id);
        Some(Latest {
            version: self.version_of(image),
            image: image.id.clone(),
            proven: head.is_some(),
            promoted_at: head.and_then(|head| head.promoted_at.clone()),
        })
    }

    fn pending_view(&self) -> Option<PendingView> {
        let pending = self.state.pending.as_ref()?;
        Some(PendingView {
            version: pending.version.clone(),
            image: pending.image.clone(),
            container: pending.container.clone(),
            id: pending.id.clone(),
            up_ms: self.up_ms(pending),
            soak_ms: self.workload.soak_ms,
            restarts: pending.restarts,
            began_at: pending.began.at.clone(),
        })
    }

    /// Says what a person would ask about at three in the morning.
    fn explain(&mut self) {
        let mut notes = Vec::new();
        if self.workload.hold {
            notes.push("on hold: looked at, not touched".to_owned());
        }
        if self.is_disk_strange() {
            notes.push("none of the images that are known is on the disk: nothing is forgotten, nothing removed".to_owned());
        }
        notes.extend(self.explain_serving());
        notes.extend(self.explain_latest());
        notes.extend(self.explain_pins());
        notes.append(&mut self.notes);
        self.notes = notes;
    }

    fn explain_serving(&self) -> Option<String> {
        match self.serves {
            Serves::NothingRuns => {
                Some("nothing serves: no container of this workload is running".to_owned())
            }
            Serves::OnlyDryRuns(idle) => Some(format!(
                "nothing serves: {} idles, a dry run of the local container's {}",
                idle.name(),
                self.version_run_by(idle)
            )),
            Serves::SeveralImages(a, b) => Some(format!(
                "nothing is taken to serve: several images run at once ({} runs {}, {} runs {})",
                a.name(),
                self.version_run_by(a),
                b.name(),
                self.version_run_by(b)
            )),
            Serves::Local(container) | Serves::Orchestrated(container) => {
                self.explain_unpromotable(container)
            }
        }
    }

    fn explain_unpromotable(&self, container: &Container) -> Option<String> {
        if self.state.rejected.contains_key(&container.image) {
            let version = self.version_run_by(container);
            return Some(format!(
                "{version} serves but is rejected; `tagkeeper accept {} {version}` lifts that",
                self.name
            ));
        }
        let foreign = !self.is_member(&container.image);
        foreign.then(|| {
            let runs = container
                .reference
                .as_ref()
                .map_or_else(|| container.image.short(), ToString::to_string);
            format!(
                "{} runs {runs}, which is no image of this workload: it is never promoted",
                container.name()
            )
        })
    }

    fn explain_latest(&self) -> Option<String> {
        let repository = &self.workload.repository;
        let Some(latest) = self.cast.latest else {
            let cure = if self.head().is_some() {
                "it is restored"
            } else {
                "the local service has nothing to start"
            };
            return Some(format!("{repository}:latest is missing: {cure}"));
        };
        let head = self.head().filter(|head| head.image != latest.id)?;
        let soaked = self
            .state
            .pending
            .as_ref()
            .is_some_and(|p| p.soaked || p.image == latest.id);
        (!soaked && !self.state.rejected.contains_key(&latest.id)).then(|| {
            format!(
                "{repository}:latest was moved by hand to {}; {} is what is proven",
                self.version_of(latest),
                head.version
            )
        })
    }
}
