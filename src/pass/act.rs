//! Acting: right before each change the engine is asked once more whether it is still what was decided (design 4.6).

use std::collections::BTreeSet;

use anyhow::Context;

use crate::decide::{self, Action, Detail, Event, EventKind, TagPurpose};
use crate::engine::{Answer, Engine, ImageName, PassOver};
use crate::image::{ImageId, Reference, Version};
use crate::policy::WorkloadName;
use crate::state::Store;
use crate::world::{ContainerId, ContainerState, Image};

use super::{Pass, Record, Witness};

/// What became of an action.
#[derive(Debug)]
enum Acted {
    /// The engine has changed.
    Done,
    /// A name of an image was removed; the size of the image, if it has left the disk with it.
    Removed { won_back_bytes: Option<u64> },
    /// What was to be removed is gone already: success, and nothing changed.
    Gone,
    /// The world has moved on since the decision, or something uses the image; no failure. Why.
    Deferred(String),
}

impl<E: Engine, S: Store, W: Witness> Pass<'_, E, S, W> {
    /// Tries one action and tells the witness; `why` is what it is told of the reason, where that says more than a word.
    pub(super) fn try_action(
        &mut self,
        workload: &WorkloadName,
        action: &Action,
        why: Option<&Detail>,
        record: &mut Record,
    ) {
        let acted = match action {
            Action::Tag {
                image,
                reference,
                replaces,
                purpose,
            } => {
                // What adopt takes a name from has never run here, and is on its way out.
                let may_lose_last =
                    |left: &ImageId| *purpose == TagPurpose::Adopt && !record.wanted.contains(left);
                self.tag(image, reference, replaces.as_ref(), may_lose_last)
            }
            Action::CreatePin { container, image } => self.create_pin(workload, container, image),
            Action::RemoveContainer {
                container,
                id,
                image,
            }
            | Action::RemovePin {
                container,
                id,
                image,
            } => {
                self.witness.before_removal();
                self.remove_container(container, id, image)
            }
            Action::RemoveImage {
                reference, image, ..
            } => {
                self.witness.before_removal();
                self.remove_image(reference.as_ref(), image, &record.wanted)
            }
        };
        let is_given = matches!(acted, Ok(Acted::Done | Acted::Gone));
        if matches!(action, Action::Tag { .. }) && !is_given {
            record.stuck.insert(workload.clone());
        }
        record.changed |= matches!(acted, Ok(Acted::Done | Acted::Removed { .. }));
        if let Ok(Acted::Removed { won_back_bytes }) = acted {
            record.count_removal(workload, action, won_back_bytes);
        }
        match acted {
            Ok(acted) => {
                if let Some(event) = tell(workload, action, why, &acted) {
                    self.witness.event(&event);
                }
            }
            Err(error) => {
                record.failed_actions += 1;
                record.over |= error.is::<PassOver>();
                self.witness.failure(
                    Some(workload),
                    &error.context(format!("{workload}: {action} failed")),
                );
            }
        }
    }

    fn tag(
        &mut self,
        image: &ImageId,
        name: &Reference,
        replaces: Option<&ImageId>,
        may_lose_last: impl Fn(&ImageId) -> bool,
    ) -> anyhow::Result<Acted> {
        let named = self
            .engine
            .find_image(&ImageName::Reference(name.clone()))?;
        let means = named.as_ref().map(|found| &found.id);
        if means == Some(image) {
            return Ok(Acted::Gone);
        }
        if means != replaces {
            return Ok(Acted::Deferred(format!(
                "{name} has come to mean something else"
            )));
        }
        if let Some(left) = named
            && would_delete(&left, Some(name))
            && !may_lose_last(&left.id)
        {
            return Ok(Acted::Deferred(format!(
                "{name} has become the last name of image {}",
                left.id.short()
            )));
        }
        Ok(match self.engine.tag(image, name)? {
            Answer::Done | Answer::Deleted => Acted::Done,
            Answer::Gone => Acted::Deferred(format!("image {} is gone", image.short())),
            Answer::InUse(why) => Acted::Deferred(why),
        })
    }

    /// The engine is the one to say whether image and name can be had: it does both in one call.
    fn create_pin(
        &mut self,
        workload: &WorkloadName,
        container: &str,
        image: &ImageId,
    ) -> anyhow::Result<Acted> {
        let created = self
            .engine
            .create_pin(container, workload.as_str(), image)?;
        Ok(match created {
            Answer::Done | Answer::Deleted => Acted::Done,
            Answer::Gone => Acted::Deferred(format!("image {} is gone", image.short())),
            Answer::InUse(why) => Acted::Deferred(why),
        })
    }

    fn remove_container(
        &mut self,
        name: &str,
        id: &ContainerId,
        image: &ImageId,
    ) -> anyhow::Result<Acted> {
        let Some(found) = self.engine.inspect_container(id)? else {
            return Ok(Acted::Gone);
        };
        let stopped = matches!(
            found.state,
            ContainerState::Exited | ContainerState::Dead | ContainerState::Created
        );
        if !stopped || found.image != *image {
            return Ok(Acted::Deferred(format!(
                "container {name} is {} now",
                found.state.as_str()
            )));
        }
        Ok(match self.engine.remove_container(id)? {
            Answer::Done | Answer::Deleted => Acted::Done,
            Answer::Gone => Acted::Gone,
            Answer::InUse(why) => Acted::Deferred(why),
        })
    }

    fn remove_image(
        &mut self,
        reference: Option<&Reference>,
        image: &ImageId,
        wanted: &BTreeSet<ImageId>,
    ) -> anyhow::Result<Acted> {
        let name = reference.map_or_else(
            || ImageName::Id(image.clone()),
            |r| ImageName::Reference(r.clone()),
        );
        let Some(found) = self.engine.find_image(&name)? else {
            return Ok(Acted::Gone);
        };
        if found.id != *image {
            return Ok(Acted::Deferred(format!(
                "{name} has come to mean something else"
            )));
        }
        if reference.is_none() && !found.is_nameless() {
            return Ok(Acted::Deferred("it has a name again".to_owned()));
        }
        if !would_delete(&found, reference) {
            return Ok(removed(&found, self.engine.remove_image(&name)?));
        }
        if wanted.contains(image) {
            return Ok(Acted::Deferred(
                "it has become the last name of an image that is to be kept".to_owned(),
            ));
        }
        if let Some(user) = self
            .user_of(image)
            .context("failed to see what uses the image")?
        {
            return Ok(Acted::Deferred(format!("container {user} uses it")));
        }
        Ok(removed(&found, self.engine.remove_image(&name)?))
    }

    fn user_of(&mut self, image: &ImageId) -> anyhow::Result<Option<String>> {
        let containers = self.engine.containers()?;
        Ok(containers
            .iter()
            .find(|c| c.image == *image && !decide::is_idle_pin(c))
            .map(|container| container.name().into_owned()))
    }
}

/// Whether the image goes with this name (or is left nameless when it moves): no other tag is left to keep it. A digest
/// is not relied on: in a repository it goes with the last tag (design 4.5).
fn would_delete(image: &Image, reference: Option<&Reference>) -> bool {
    image.foreign_names == 0 && !image.tags().any(|tag| Some(tag) != reference)
}

/// What became of a removal. Whether the image has left the disk is the engine's word.
fn removed(image: &Image, answer: Answer) -> Acted {
    match answer {
        Answer::Done => Acted::Removed {
            won_back_bytes: None,
        },
        Answer::Deleted => Acted::Removed {
            won_back_bytes: Some(image.size_bytes),
        },
        Answer::Gone => Acted::Gone,
        Answer::InUse(why) => Acted::Deferred(why),
    }
}

/// One line for what changed. The move of `latest` in a promotion has its line when the promotion is recorded.
fn tell(
    workload: &WorkloadName,
    action: &Action,
    why: Option<&Detail>,
    acted: &Acted,
) -> Option<Event> {
    let (kind, message) = match acted {
        Acted::Gone => return None,
        Acted::Deferred(why) => (EventKind::Deferred, format!("did not {action}: {why}")),
        Acted::Done | Acted::Removed { .. } => told_when_done(action, why)?,
    };
    Some(Event {
        kind,
        workload: workload.clone(),
        version: named_version(action),
        image: Some(action.image().clone()),
        other: None,
        message,
        warning: kind == EventKind::Restored,
    })
}

fn told_when_done(action: &Action, why: Option<&Detail>) -> Option<(EventKind, String)> {
    let short = action.image().short();
    Some(match action {
        Action::Tag {
            reference, purpose, ..
        } => match purpose {
            TagPurpose::Promote => return None,
            TagPurpose::Restore => (
                EventKind::Restored,
                format!("{reference} is back on the proven image {short}"),
            ),
            TagPurpose::KeepName => (
                EventKind::Retagged,
                format!("image {short} is named {reference}, so that it keeps a name"),
            ),
            TagPurpose::Adopt => (
                EventKind::Retagged,
                format!("{reference} names the image that ran here, {short}"),
            ),
        },
        Action::CreatePin { container, .. } => (
            EventKind::Pinned,
            format!("container {container} holds the fallback's image {short}"),
        ),
        Action::RemovePin { container, .. } => (
            EventKind::Removed,
            format!("removed {container}: nothing calls for holding image {short} any more"),
        ),
        Action::RemoveContainer { container, .. } => (
            EventKind::Removed,
            format!(
                "removed the stopped local container {container}: its image is not latest any more"
            ),
        ),
        Action::RemoveImage {
            reference, reason, ..
        } => {
            let name = reference
                .as_ref()
                .map_or_else(|| format!("image {short}"), ToString::to_string);
            (
                EventKind::Removed,
                match why {
                    Some(why) => format!("removed {name} ({why})"),
                    None => format!("removed {name} ({})", reason.as_str()),
                },
            )
        }
    })
}

fn named_version(action: &Action) -> Option<Version> {
    match action {
        Action::Tag { reference, .. }
        | Action::RemoveImage {
            reference: Some(reference),
            ..
        } => reference.version_tag().map(Version::new),
        Action::CreatePin { .. }
        | Action::RemovePin { .. }
        | Action::RemoveContainer { .. }
        | Action::RemoveImage {
            reference: None, ..
        } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Reason;

    /// The journal has the version as a field of its own, to search by.
    #[test]
    fn what_changed_is_told_with_the_version_that_its_name_says() {
        let image = ImageId::new(format!("sha256:{}", "a".repeat(64)));
        let reference = |text| Reference::parse(text).unwrap();
        let removal = |reference| Action::RemoveImage {
            reference,
            image: image.clone(),
            reason: Reason::Idle,
        };
        let adoption = Action::Tag {
            image: image.clone(),
            reference: reference("app:v1"),
            replaces: None,
            purpose: TagPurpose::Adopt,
        };
        for (action, version) in [
            (removal(Some(reference("app:v9"))), Some("v9")),
            (removal(Some(reference("app:latest"))), None),
            (removal(None), None),
            (adoption, Some("v1")),
        ] {
            let told = tell(&WorkloadName::new("app"), &action, None, &Acted::Done).unwrap();
            let told = told.version.as_ref().map(Version::as_str);
            assert_eq!(told, version, "{action}");
        }
    }
}
