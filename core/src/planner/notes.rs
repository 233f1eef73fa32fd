//! What is said of a workload besides its verdicts and actions.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::serving::{Group, Serving, WhyNone};
use super::subject::Subject;
use super::{pins, serving, stale, upgrade, version};
use crate::model::{Container, ImageId, Memory, Note, Version, WorkloadState};

/// What a person would ask about at three in the morning.
pub(super) fn of(
    subject: Subject<'_>,
    upgrade: &upgrade::Upgrade<'_>,
    serving: &Serving<'_>,
    of_the_disk: Option<&Note>,
) -> Vec<Note> {
    let state = &upgrade.state;
    let memory = &state.memory;
    let mut notes: Vec<Note> = Vec::new();
    notes.extend(subject.held.cloned().map(Note::Held));
    if state.parked.is_some() {
        notes.push(Note::OtherDisk);
    }
    notes.extend(foreign_stopped(subject));
    notes.extend(serving_note(subject, memory, serving));
    notes.extend(waits_for_local(subject, state, serving));
    notes.extend(latest_note(subject, memory));
    notes.extend(head_note(subject, memory));
    notes.extend(local_tags(subject, memory));
    notes.extend(moved_tags(subject, memory));
    notes.extend(lost(subject, memory));
    notes.extend(pins::notes(subject, memory));
    notes.extend(upgrade.notes.iter().cloned());
    notes.extend(of_the_disk.cloned());
    notes
}

/// Containers with the local name that are not running: reported, and never removed.
fn foreign_stopped(subject: Subject<'_>) -> impl Iterator<Item = Note> {
    let stopped = subject.own.foreign.iter().filter(|c| !c.is_running());
    stopped.map(|c| foreign(c))
}

fn foreign(container: &Container) -> Note {
    let image = || {
        container
            .image
            .as_ref()
            .map_or_else(String::new, ImageId::short)
    };
    let reference = container.reference.as_ref().map(ToString::to_string);
    Note::ForeignLocal {
        container: container.name().into_owned(),
        runs: reference.unwrap_or_else(image),
        state: container.state.clone(),
    }
}

fn serving_note(subject: Subject<'_>, memory: &Memory, serving: &Serving<'_>) -> Option<Note> {
    let named = |c: &Container| {
        let version = c
            .image
            .as_ref()
            .map(|i| version::of(subject, memory, i, Some(c)));
        let unknown = || Version::new("unknown");
        (c.name().into_owned(), version.unwrap_or_else(unknown))
    };
    match serving {
        Serving::Local(group) | Serving::Orchestrated(group) => {
            rejected_note(subject, memory, group)
        }
        Serving::None(why) => Some(match why {
            WhyNone::NothingRuns => {
                let mut looping = serving::could_serve(subject);
                let looping = looping.find(|c| upgrade::loops(c));
                looping.map_or(Note::NothingRuns, |c| {
                    let (container, version) = named(c);
                    Note::Loops { container, version }
                })
            }
            WhyNone::OnlyDryRuns(idle) => {
                let (container, version) = named(idle);
                Note::OnlyDryRuns { container, version }
            }
            WhyNone::SeveralImages(one, other) => Note::SeveralImages {
                one: named(one),
                other: named(other),
            },
            WhyNone::LocalsDiffer(one, other) => Note::LocalsDiffer {
                one: named(one),
                other: named(other),
            },
            WhyNone::ForeignLocal(container) => foreign(container),
            WhyNone::Nameless(container) => Note::NamelessContainer {
                container: container.id.to_string(),
            },
        }),
    }
}

/// An upgrade that runs beside the local containers, which do the work. Whether a container is a
/// service, and no shell, an inspect tells, which a pass does not make here.
fn waits_for_local(
    subject: Subject<'_>,
    state: &WorkloadState,
    serving: &Serving<'_>,
) -> Option<Note> {
    let Serving::Local(group) = serving else {
        return None;
    };
    let memory = &state.memory;
    let mut awake = serving::awake(subject, memory).into_iter();
    let (container, image) = awake.find_map(|c| {
        let image = c.image.as_ref().filter(|image| *image != group.image)?;
        let waits = serving::details(subject, c).is_some()
            && upgrade::is_upgradable(subject, state, image)
            && !serving::idles_beside_local(subject, memory, c);
        waits.then_some((c, image))
    })?;
    Some(Note::WaitsForLocal {
        container: container.name().into_owned(),
        version: version::of(subject, memory, image, Some(container)),
        locals: group
            .members
            .iter()
            .map(|c| c.name().into_owned())
            .collect(),
    })
}

fn rejected_note(subject: Subject<'_>, memory: &Memory, group: &Group<'_>) -> Option<Note> {
    subject
        .is_rejected(memory, group.image)
        .then(|| Note::RejectedServes {
            version: version::of(subject, memory, group.image, group.newest()),
            lifted_by: subject.rejection_lifted_by(memory, group.image),
        })
}

fn latest_note(subject: Subject<'_>, memory: &Memory) -> Option<Note> {
    let repository = subject.policy.repository.clone();
    let head = subject.head(memory);
    let Some(latest) = subject.own.latest else {
        return Some(Note::LatestMissing {
            repository,
            restored: subject.restorable(memory).is_some() && !subject.is_held(),
        });
    };
    let head = head.filter(|head| head.image != latest.id)?;
    let soaks = memory
        .pending
        .as_ref()
        .is_some_and(|p| p.promoting || p.image == latest.id);
    (!soaks && !subject.is_rejected(memory, &latest.id)).then(|| Note::LatestMoved {
        repository,
        version: version::of_image(subject, memory, latest),
        proven: head.version.clone(),
    })
}

fn head_note(subject: Subject<'_>, memory: &Memory) -> Option<Note> {
    let head = subject.head(memory)?;
    let is_kept = !subject.is_rejected(memory, &head.image);
    (is_kept && subject.is_named_by_policy(memory, &head.image)).then(|| Note::HeadNamedByPolicy {
        version: head.version.clone(),
    })
}

fn local_tags<'a>(subject: Subject<'a>, memory: &'a Memory) -> impl Iterator<Item = Note> + 'a {
    subject.own.locals.iter().filter_map(move |container| {
        Some(Note::LocalTag {
            container: container.name().into_owned(),
            reference: stale::other_name(subject, memory, container)?.clone(),
        })
    })
}

/// A dry run whose image is another build than the local container's, although both have one tag:
/// by the rule of dry runs it would idle for ever, where the orchestrator does none.
fn moved_tags(subject: Subject<'_>, memory: &Memory) -> Option<Note> {
    if !subject.policy.dry_runs {
        return None;
    }
    let idle = serving::services(subject)
        .filter(|c| c.is_running())
        .find(|c| {
            let Some(image) = &c.image else { return false };
            subject.own.locals.iter().any(|local| {
                local.image != c.image
                    && !local.is_running()
                    && version::is_same(subject, memory, local, c)
                    && !memory.dry_runs.contains(&c.id)
                    && seen_after_local(memory, local, image)
            })
        })?;
    Some(Note::TagMoved {
        container: idle.name().into_owned(),
        version: version::of(subject, memory, idle.image.as_ref()?, Some(idle)),
    })
}

fn seen_after_local(memory: &Memory, local: &Container, image: &ImageId) -> bool {
    let first_seen = |id: &ImageId| memory.images.get(id).map(|record| record.first_seen_ms);
    let local_seen = local.image.as_ref().and_then(first_seen);
    matches!((local_seen, first_seen(image)), (Some(local), Some(other)) if other > local)
}

/// What is in the lineage and not on the disk: tagkeeper removes none of that. Nothing where all of
/// it is gone: then it is another disk.
fn lost(subject: Subject<'_>, memory: &Memory) -> Vec<Note> {
    let Some(head) = subject.head(memory) else {
        return Vec::new();
    };
    let lost = memory.lineage.iter().enumerate();
    let lost = lost.filter(|(_, p)| !subject.is_on_disk(&p.image));
    lost.map(|(at, p)| {
        let version = p.version.clone();
        if at == 0 {
            let now = head.version.clone();
            Note::HeadLost { version, now }
        } else {
            Note::FallbackLost { version }
        }
    })
    .collect()
}
