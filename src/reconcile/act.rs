//! Acting: right before each change the engine is asked whether the action's guards still hold
//! (design 4.7).
//!
//! Knows no lineage, no twin and no claim: what must be true travels with the action as data.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow};
use tagkeeper_core::model::{
    Action, ActionKind, ContainerId, ContainerState, Detail, Event, EventKind, Guard, Health,
    Image, ImageId, Incarnation, NameVerdict, PinLabel, Reason, Reference, WhyDropped,
    WorkloadName,
};

use super::{EventSink, Pass, Record};
use crate::engine::{Answer, Engine, ImageName, PassOver};
use crate::store::Store;

/// What became of an action.
#[derive(Debug)]
enum ActionOutcome {
    /// The engine has changed.
    Done,
    /// A name of an image was removed; the size of the image, if it has left the disk with it.
    Removed { reclaimed_bytes: Option<u64> },
    /// It is as the action wants it already: success, and nothing changed.
    AlreadySo,
    /// A guard does not hold any more, or what the action needs is gone; no failure.
    Dropped(WhyDropped),
    /// The engine refused (409); no failure. What it said.
    Refused(String),
    /// It was not tried, for it could not be seen whether it may be.
    Unseen(anyhow::Error),
}

/// The images that were looked up for one action's guards.
type Found = BTreeMap<ImageName, Option<Image>>;

impl<E: Engine, S: Store, W: EventSink> Pass<'_, E, S, W> {
    /// Tries one action and tells the sink; `judged` is the name that it removes.
    pub(super) fn try_action(
        &mut self,
        workload: &WorkloadName,
        action: &Action,
        judged: Option<&NameVerdict>,
        record: &mut Record,
    ) {
        let detail = detail_of(action, judged);
        if action.kind.phase() > 1 {
            self.sink.before_removal();
        }
        let size_bytes = judged.map(|name| name.size_bytes);
        let outcome = self.carry_out(workload, action, &record.instance, size_bytes);
        let is_given = matches!(outcome, Ok(ActionOutcome::Done | ActionOutcome::AlreadySo));
        if is_given || matches!(outcome, Ok(ActionOutcome::Removed { .. })) {
            let done = (workload.clone(), action.kind.clone());
            record.done.insert(done);
        }
        if matches!(action.kind, ActionKind::Tag { .. }) && !is_given {
            record.stuck.insert(workload.clone());
        }
        match outcome {
            Ok(ActionOutcome::Done) if action.kind.moves_latest() => {
                record.note_latest(workload, false);
            }
            Err(_) if action.kind.moves_latest() => record.note_latest(workload, true),
            _ => {}
        }
        let kind = action.kind.clone();
        let event = match outcome {
            Ok(ActionOutcome::AlreadySo) => return,
            Ok(ActionOutcome::Done) => {
                record.changed = true;
                EventKind::Done {
                    action: kind,
                    detail,
                }
            }
            Ok(ActionOutcome::Removed { reclaimed_bytes }) => {
                record.changed = true;
                record.count_removal(workload, &kind, reclaimed_bytes);
                EventKind::Done {
                    action: kind,
                    detail,
                }
            }
            Ok(ActionOutcome::Dropped(why)) => EventKind::Dropped { action: kind, why },
            Ok(ActionOutcome::Refused(reason)) => {
                return self.note_refusal(workload, kind, reason, record);
            }
            Ok(ActionOutcome::Unseen(error)) | Err(error) => {
                record.over |= error.is::<PassOver>();
                // What failed is in the engine's error.
                return self.note_failure(workload, error, record);
            }
        };
        self.sink.event(&Event {
            workload: workload.clone(),
            kind: event,
        });
    }

    /// Notes a refusal, and tells what is news of it.
    fn note_refusal(
        &mut self,
        workload: &WorkloadName,
        action: ActionKind,
        reason: String,
        record: &mut Record,
    ) {
        if record.note_refusal(workload, &action, &reason) {
            self.sink.event(&Event {
                workload: workload.clone(),
                kind: EventKind::Refused { action, reason },
            });
        }
    }

    fn note_failure(&mut self, workload: &WorkloadName, error: anyhow::Error, record: &mut Record) {
        record.failed_actions += 1;
        let error = error.context(workload.to_string());
        self.sink.failure(Some(workload), &error);
    }

    /// The engine has said that an action is done, and shows that it is not. A removal is then one
    /// that it refuses. Whether there is something to note.
    pub(super) fn tell_in_vain(
        &mut self,
        workload: &WorkloadName,
        action: &Action,
        record: &mut Record,
    ) -> bool {
        const SAID: &str = "it says that this is done, but nothing has changed";
        let is_removal = action.kind.removal_target().is_some();
        if is_removal {
            self.note_refusal(workload, action.kind.clone(), SAID.to_owned(), record);
        } else {
            let what = crate::report::words::action(&action.kind);
            let error = anyhow!("the engine did not {what}: {SAID}");
            self.note_failure(workload, error, record);
        }
        is_removal
    }

    /// What became of it; an error is the engine's answer to the action itself.
    fn carry_out(
        &mut self,
        workload: &WorkloadName,
        action: &Action,
        instance: &str,
        size_bytes: Option<u64>,
    ) -> anyhow::Result<ActionOutcome> {
        let mut found = Found::new();
        match self.look_again(action, instance, &mut found) {
            Ok(None) => {}
            Ok(Some(outcome)) => return Ok(outcome),
            Err(error) => {
                let what = crate::report::words::action(&action.kind);
                return Ok(ActionOutcome::Unseen(
                    error.context(format!("did not {what}")),
                ));
            }
        }
        let answer = match &action.kind {
            ActionKind::Tag {
                image, reference, ..
            } => self.engine.tag(image, reference)?,
            ActionKind::CreatePin { container, image } => {
                let label = PinLabel {
                    workload: workload.as_str().to_owned(),
                    instance: Some(instance.to_owned()),
                };
                self.engine.create_pin(container, &label, image)?
            }
            ActionKind::RemovePin { id, .. } | ActionKind::RemoveContainer { id, .. } => {
                self.engine.remove_container(id)?
            }
            ActionKind::RemoveImage {
                reference, image, ..
            } => {
                let name = name_of(reference.as_ref(), image);
                // By the list: with containerd's store an inspect leaves out what is unpacked.
                let inspected = || found.get(&name)?.as_ref().map(|image| image.size_bytes);
                let size_bytes = size_bytes.or_else(inspected);
                return Ok(removed(self.engine.remove_image(&name)?, size_bytes));
            }
        };
        let gives = action.kind.phase() <= 1;
        Ok(match answer {
            Answer::Done | Answer::Deleted => ActionOutcome::Done,
            Answer::Gone if gives => {
                ActionOutcome::Dropped(WhyDropped::ImageGone(action.kind.image().clone()))
            }
            Answer::Gone => ActionOutcome::AlreadySo,
            Answer::InUse(why) if gives => ActionOutcome::Dropped(WhyDropped::Engine(why)),
            Answer::InUse(why) => ActionOutcome::Refused(why),
        })
    }

    /// Whether the action is needed, and may be done: what becomes of it if not.
    fn look_again(
        &mut self,
        action: &Action,
        instance: &str,
        found: &mut Found,
    ) -> anyhow::Result<Option<ActionOutcome>> {
        if self.is_already_so(action, found)? {
            return Ok(Some(ActionOutcome::AlreadySo));
        }
        for guard in &action.guards {
            if let Some(why) = self.broken(guard, instance, found)? {
                return Ok(Some(ActionOutcome::Dropped(why)));
            }
        }
        Ok(None)
    }

    fn is_already_so(&mut self, action: &Action, found: &mut Found) -> anyhow::Result<bool> {
        Ok(match &action.kind {
            ActionKind::Tag {
                image, reference, ..
            } => {
                // What it is to be given once more, because that is in doubt, it shows already.
                let repeats = |guard: &Guard| matches!(guard, Guard::Means { reference: of, image: now } if of == reference && now.as_ref() == Some(image));
                let named = self.find(&ImageName::Reference(reference.clone()), found)?;
                named.is_some_and(|named| named.id == *image) && !action.guards.iter().any(repeats)
            }
            ActionKind::RemoveImage {
                reference, image, ..
            } => self
                .find(&name_of(reference.as_ref(), image), found)?
                .is_none(),
            ActionKind::RemoveContainer { id, .. } | ActionKind::RemovePin { id, .. } => {
                self.engine.inspect_container(id)?.is_none()
            }
            ActionKind::CreatePin { .. } => false,
        })
    }

    /// Why a guard does not hold; none if it does.
    fn broken(
        &mut self,
        guard: &Guard,
        instance: &str,
        found: &mut Found,
    ) -> anyhow::Result<Option<WhyDropped>> {
        Ok(match guard {
            Guard::Means { reference, image } => {
                let named = self.find(&ImageName::Reference(reference.clone()), found)?;
                let means = named.map(|named| named.id);
                (means != *image).then(|| WhyDropped::Moved(reference.clone()))
            }
            Guard::KeepsTag { image, without } => {
                let losing = self.losing(image, without, found)?;
                let keeps = |tag: &Reference| tag != without && tag.version_tag().is_some();
                let is_kept = losing.is_some_and(|image| image.tags().any(keeps));
                (!is_kept).then(|| WhyDropped::LastName(without.clone()))
            }
            Guard::UnusedIfLast { image, without } => {
                let losing = self.losing(image, without, found)?;
                let is_last = losing.is_none_or(|image| {
                    image.unparsed_names == 0 && !image.tags().any(|tag| tag != without)
                });
                if is_last {
                    self.user_of(image, instance)?
                } else {
                    None
                }
            }
            Guard::Unused { image } => self.user_of(image, instance)?,
            Guard::Nameless { image } => {
                let image = self.find(&ImageName::Id(image.clone()), found)?;
                let has_name = image.is_some_and(|image| !image.is_nameless());
                has_name.then_some(WhyDropped::Named)
            }
            Guard::Running { image, members } => self.not_running(image, members)?,
            Guard::Stopped {
                container,
                started_at,
                image,
            } => self.not_stopped(container, started_at.as_deref(), image)?,
        })
    }

    fn find(&mut self, name: &ImageName, found: &mut Found) -> anyhow::Result<Option<Image>> {
        if let Some(known) = found.get(name) {
            return Ok(known.clone());
        }
        let image = self.engine.find_image(name)?;
        found.insert(name.clone(), image.clone());
        Ok(image)
    }

    /// The image that is to lose a name, as it is now. Of its other names, tags count: in a
    /// repository a digest is removed with the last tag.
    fn losing(
        &mut self,
        image: &ImageId,
        name: &Reference,
        found: &mut Found,
    ) -> anyhow::Result<Option<Image>> {
        let named = self.find(&ImageName::Reference(name.clone()), found)?;
        match named.filter(|named| named.id == *image) {
            Some(named) => Ok(Some(named)),
            None => self.find(&ImageName::Id(image.clone()), found),
        }
    }

    fn user_of(&mut self, image: &ImageId, instance: &str) -> anyhow::Result<Option<WhyDropped>> {
        let containers = self
            .engine
            .containers()
            .context("failed to see what uses the image")?;
        let mut users = containers
            .iter()
            .filter(|c| c.uses(image) && !c.is_idle_pin(instance));
        Ok(users
            .next()
            .map(|container| WhyDropped::UsedBy(container.name().into_owned())))
    }

    fn not_running(
        &mut self,
        image: &ImageId,
        members: &[Incarnation],
    ) -> anyhow::Result<Option<WhyDropped>> {
        if members.is_empty() {
            return Ok(Some(WhyDropped::NoneRuns));
        }
        for member in members {
            let name = || member.name.clone();
            let Some(now) = self.engine.inspect_container(&member.id)? else {
                return Ok(Some(WhyDropped::ContainerGone(name())));
            };
            let details = &now.details;
            let healthy = matches!(details.health, None | Some(Health::Healthy));
            let same = details.started_at == member.started_at && now.image.as_ref() == Some(image);
            let running = now.state == ContainerState::Running;
            if !running || !same || !healthy {
                return Ok(Some(match (running, same) {
                    (false, _) => WhyDropped::DoesNow(name(), now.state),
                    (true, false) => WhyDropped::OtherIncarnation(name()),
                    (true, true) => WhyDropped::NotHealthy(name()),
                }));
            }
        }
        Ok(None)
    }

    fn not_stopped(
        &mut self,
        container: &ContainerId,
        started_at: Option<&str>,
        image: &ImageId,
    ) -> anyhow::Result<Option<WhyDropped>> {
        let name = || format!("{container:.12}");
        let Some(now) = self.engine.inspect_container(container)? else {
            return Ok(Some(WhyDropped::ContainerGone(name())));
        };
        let same_start = started_at.is_none_or(|started_at| now.details.started_at == started_at);
        let same = same_start && now.image.as_ref() == Some(image);
        Ok(match (now.state.is_stopped(), same) {
            (true, true) => None,
            (true, false) => Some(WhyDropped::OtherIncarnation(name())),
            (false, _) => Some(WhyDropped::DoesNow(name(), now.state)),
        })
    }
}

/// The particulars of a removal's reason, for the log.
fn detail_of(action: &Action, judged: Option<&NameVerdict>) -> Detail {
    match action.kind {
        ActionKind::RemoveImage {
            reason: Reason::Idle,
            ..
        } => judged.map_or(Detail::None, |name| name.detail.clone()),
        _ => Detail::None,
    }
}

fn name_of(reference: Option<&Reference>, image: &ImageId) -> ImageName {
    let by_id = || ImageName::Id(image.clone());
    reference.map_or_else(by_id, |r| ImageName::Reference(r.clone()))
}

/// What became of a removal. Whether the image has left the disk is the engine's word.
fn removed(answer: Answer, size_bytes: Option<u64>) -> ActionOutcome {
    match answer {
        Answer::Done => ActionOutcome::Removed {
            reclaimed_bytes: None,
        },
        Answer::Deleted => ActionOutcome::Removed {
            reclaimed_bytes: Some(size_bytes.unwrap_or_default()),
        },
        Answer::Gone => ActionOutcome::AlreadySo,
        Answer::InUse(why) => ActionOutcome::Refused(why),
    }
}
