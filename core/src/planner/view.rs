//! How a workload is shown: the part of the plan that is said and not done.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::serving::{Group, Serving, WhyNone};
use super::{
    Subject, actions, claimed, disk, each, eviction, names, ownership, pins, records, rollback,
    rules, serving, shared, stale, subjects, upgrade, version,
};
use crate::Gather;
use crate::model::{
    Action, Container, ContainerId, ImageId, Latest, Member, Memory, NameVerdict, NoFallback, Note,
    Observation, Pending, PendingView, Plan, Policy, Reason, RefusedView, State, Verdict, Version,
    Waits, WorkloadPlan, WorkloadState,
};

/// What a workload's plan is put together from.
pub(super) struct Parts<'p, 'a> {
    pub(super) upgrade: &'p upgrade::Upgrade<'a>,
    pub(super) serving: &'p Serving<'a>,
    pub(super) names: &'p [NameVerdict],
    pub(super) actions: Vec<Action>,
    pub(super) notes: Option<&'p Note>,
}

/// The records and observations, with the verdicts of a decision that nothing has made yet (design
/// 7, `status`).
///
/// What is latest, proven, pending and failed is what the state says; no decision is made from it.
pub fn status(policy: &Policy, state: &State, observed: &Observation) -> Plan {
    as_saved(policy, state, observed, |recalled, advanced| {
        // How long an image has been idle is an observation; whose it is to be is not.
        let memory = Memory {
            images: advanced.state.memory.images,
            ..recalled.memory.clone()
        };
        let state = WorkloadState {
            memory,
            held_since_ms: advanced.state.held_since_ms,
            held_at: advanced.state.held_at,
            ..recalled.clone()
        };
        (state, advanced.notes)
    })
}

/// The plan that follows from the state as it is saved: what to do while a later one cannot be
/// saved. Names are kept as they are; what the saved state has retired, or knows to be idle, is
/// removed.
pub fn plan_as_saved(policy: &Policy, state: &State, observed: &Observation) -> Plan {
    as_saved(policy, state, observed, |recalled, _| {
        (recalled.clone(), Vec::new())
    })
}

fn as_saved(
    policy: &Policy,
    state: &State,
    observed: &Observation,
    saved: impl Fn(&WorkloadState, upgrade::Upgrade<'_>) -> (WorkloadState, Vec<Note>),
) -> Plan {
    let recalled = disk::recall(policy, state, observed);
    let inventory = ownership::assign(policy, &recalled, observed);
    let subjects = subjects(policy, &recalled, &inventory);
    let serving = each(&subjects, |s| serving::of(s, recalled.memory(s.name)));
    let upgrades = each(&subjects, |s| {
        let known = recalled.of(s.name);
        let records = records::update(s, known);
        let advanced = upgrade::advance(s, &records, known, &serving[s.name]);
        let (state, notes) = saved(known, advanced);
        upgrade::Upgrade {
            state,
            notes,
            events: Vec::new(),
            tags: Vec::new(),
            stale: Vec::new(),
        }
    });
    let verdicts = each(&subjects, |s| rules::judge(s, &upgrades[s.name]));
    let evicted = eviction::apply(&subjects, verdicts, &upgrades, observed.disk.as_ref());
    let resolved = shared::resolve(&subjects, evicted.verdicts, &upgrades);
    let claimed = claimed(upgrades.values().map(|upgrade| &upgrade.state.memory));
    let workloads = subjects.iter().map(|s| {
        let upgrade = &upgrades[s.name];
        let names = names::judge(*s, upgrade, &resolved.verdicts[s.name]);
        let round = actions::Round {
            claimed: &claimed,
            deferred: &resolved.deferred,
        };
        let parts = Parts {
            upgrade,
            serving: &serving[s.name],
            names: &names,
            actions: actions::derive(*s, upgrade, &names, round),
            notes: evicted.notes.get(s.name),
        };
        (s.name.clone(), of(*s, parts))
    });
    Plan {
        workloads: workloads.gather(),
        evicted: evicted.order,
        ..Plan::default()
    }
}

/// The workload's plan, once everything has been decided.
pub(super) fn of(subject: Subject<'_>, parts: Parts<'_, '_>) -> WorkloadPlan {
    let state = &parts.upgrade.state;
    let memory = &state.memory;
    let notes = notes(subject, memory, &parts);
    let (actions, held_actions) = match subject.held {
        None => (parts.actions, Vec::new()),
        Some(_) => (Vec::new(), parts.actions),
    };
    let failing = rollback::failing(subject, state);
    WorkloadPlan {
        latest: latest(subject, memory),
        head: subject.head(memory).cloned(),
        fallbacks: subject.fallbacks(memory).cloned().collect(),
        pins: pins::in_place(subject),
        no_fallback: no_fallback(subject, memory),
        serving: parts
            .serving
            .group()
            .map(|group| crate::model::ServingView {
                members: group.members.iter().map(|c| member(c)).collect(),
                image: group.image.clone(),
                version: version::of(subject, memory, group.image, group.newest()),
                local: !parts.serving.is_orchestrated(),
            }),
        notes,
        pending: pending(subject, memory, &parts.upgrade.notes),
        failures: state.failures.clone(),
        failing_in: failing.map_or_else(Vec::new, |failure| containers(subject, &failure.image)),
        failing: failing.cloned(),
        unsettled_ms: unsettled_ms(subject, state),
        rejected: subject.rejected.cloned().unwrap_or_default(),
        rejected_by_policy: rejected_by_policy(subject, memory),
        since: state.since.clone(),
        counters: state.counters,
        held: subject.held.cloned(),
        held_at: state.held_at.clone(),
        leaving: leaving(subject, parts.names),
        refused: refused(subject, memory, parts.names),
        images: parts.names.to_vec(),
        actions,
        held_actions,
    }
}

fn member(container: &Container) -> Member {
    Member {
        container: container.name().into_owned(),
        id: container.id.clone(),
    }
}

fn latest(subject: Subject<'_>, memory: &Memory) -> Option<Latest> {
    let image = subject.own.latest?;
    let proven = memory.proven(&image.id);
    Some(Latest {
        version: version::of_image(subject, memory, image),
        image: image.id.clone(),
        proven: subject.is_head(memory, &image.id),
        promoted_at: proven.and_then(|proven| proven.promoted_at.clone()),
    })
}

fn no_fallback(subject: Subject<'_>, memory: &Memory) -> Option<NoFallback> {
    if subject.policy.fallbacks == 0 || subject.usable_fallbacks(memory).next().is_some() {
        return None;
    }
    if subject.fallbacks(memory).next().is_some() {
        return Some(NoFallback::Rejected);
    }
    let is_lost = memory.lineage.len() > 1 && subject.head(memory).is_some();
    Some(if is_lost {
        NoFallback::Lost
    } else {
        memory.no_fallback.unwrap_or(NoFallback::First)
    })
}

fn rejected_by_policy(subject: Subject<'_>, memory: &Memory) -> BTreeMap<ImageId, Version> {
    let images = subject.own.images.iter().map(|own| own.image);
    let rejected = images.filter(|image| subject.is_rejected_by_policy(memory, &image.id));
    rejected
        .map(|image| {
            let user = subject.users_of(&image.id).first().copied();
            (
                image.id.clone(),
                version::of(subject, memory, &image.id, user),
            )
        })
        .gather()
}

fn pending(subject: Subject<'_>, memory: &Memory, notes: &[Note]) -> Option<PendingView> {
    let pending = memory.pending.as_ref()?;
    Some(PendingView {
        version: pending.version.clone(),
        image: pending.image.clone(),
        members: members(subject, pending),
        up_ms: subject.soaked_ms(pending),
        soak_ms: subject.policy.soak_ms,
        waits: waits(subject, pending, notes),
        restarts: pending.restarts,
        began_at: pending.began.at.clone(),
        age_ms: subject.lasted_ms(pending.began.clock_ms),
    })
}

/// The names of an image's containers that run, or else of the newest.
fn containers(subject: Subject<'_>, image: &ImageId) -> Vec<String> {
    let all = || subject.own.containers().filter(|c| c.uses(image));
    let name = |c: &Container| c.name().into_owned();
    let running: Vec<String> = all().filter(|c| c.is_running()).map(name).collect();
    if running.is_empty() {
        return serving::newest(all()).map(name).into_iter().collect();
    }
    running
}

/// What the soak waits for, by what this look has found.
fn waits(subject: Subject<'_>, pending: &Pending, notes: &[Note]) -> Option<Waits> {
    if pending.soaking_since_ms.is_some() {
        return None;
    }
    let trouble = notes.iter().find_map(|note| match note {
        Note::NotSoaking { version, cause } if *version == pending.version => Some(cause.clone()),
        _ => None,
    });
    Some(match trouble {
        Some(cause) => Waits::Trouble(cause),
        None if !runs(subject, &pending.image) => Waits::Running,
        None if subject.is_unasked() => Waits::Ready,
        None => Waits::NextPass,
    })
}

fn runs(subject: Subject<'_>, image: &ImageId) -> bool {
    let mut containers = subject.own.containers();
    containers.any(|c| c.is_running() && c.uses(image))
}

/// The containers of the pending upgrade; of one that no pass has seen run, those that have ended.
fn members(subject: Subject<'_>, pending: &Pending) -> Vec<Member> {
    if !pending.has_run() {
        let containers = subject.own.containers();
        let ended = containers.filter(|c| pending.ended.contains_key(&c.id));
        return ended.map(member).collect();
    }
    let running = pending.members.iter().map(|m| Member {
        container: m.name.clone(),
        id: m.id.clone(),
    });
    running.collect()
}

/// How long ago each version failed that is unsettled: the last of its images, where there are
/// several.
fn unsettled_ms(subject: Subject<'_>, state: &WorkloadState) -> BTreeMap<Version, u64> {
    // An image that has left the disk has no names by which it could be rejected.
    let is_rejected = |version: &Version| {
        let mut rejections = subject.rejections.iter();
        rejections.any(|rejection| rejection.is_version(version.as_str()))
    };
    let mut ages = BTreeMap::new();
    for failure in rollback::unsettled(subject, state).filter(|f| !is_rejected(&f.version)) {
        let age_ms = subject.lasted_ms(failure.ended_ms);
        let known = ages.entry(failure.version.clone()).or_insert(age_ms);
        *known = age_ms.min(*known);
    }
    ages
}

/// The refused removals that are still called for: of names and nameless images by their verdicts,
/// of containers while they are there. What was to make room on a full disk counts until it is
/// tried again.
fn refused(subject: Subject<'_>, memory: &Memory, names: &[NameVerdict]) -> Vec<RefusedView> {
    let now_ms = subject.observed().from.ms();
    let called = |target: &str| {
        let id = ContainerId::new(target);
        let mut containers = subject.observed().containers.iter();
        if let Some(container) = containers.find(|c| c.id == id) {
            return Some(container.name().into_owned());
        }
        let mut names = names.iter().filter(|name| name.removal_target() == target);
        let is_called_for = names.any(|name| {
            let was_evicted = name.reason == Reason::Grace && subject.is_put_off(memory, target);
            name.verdict() == Verdict::Remove || was_evicted
        });
        is_called_for.then(|| target.to_owned())
    };
    let refused = memory.refused.iter().filter_map(|(target, refused)| {
        Some(RefusedView {
            called: called(target)?,
            target: target.clone(),
            reason: refused.reason.clone(),
            retry_in_ms: refused.retry_ms.saturating_sub(now_ms),
        })
    });
    refused.collect()
}

/// The images whose every name is removed or moves away. A name that is not the workload's keeps
/// its image.
fn leaving(subject: Subject<'_>, names: &[NameVerdict]) -> BTreeSet<ImageId> {
    let is_kept = |name: &&NameVerdict| name.verdict() == Verdict::Keep;
    let mut leaving: BTreeSet<ImageId> = names
        .iter()
        .filter(|n| !is_kept(n))
        .map(|n| n.image.clone())
        .gather();
    for kept in names.iter().filter(is_kept) {
        leaving.remove(&kept.image);
    }
    leaving.retain(|id| {
        let image = subject.inventory.image(id);
        image.is_some_and(|image| {
            let mut names = image.references.iter();
            image.unparsed_names == 0 && names.all(|name| subject.policy.owns(name))
        })
    });
    leaving
}

/// What a person would ask about at three in the morning.
fn notes(subject: Subject<'_>, memory: &Memory, parts: &Parts<'_, '_>) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    notes.extend(subject.held.cloned().map(Note::Held));
    if parts.upgrade.state.parked.is_some() {
        notes.push(Note::OtherDisk);
    }
    notes.extend(foreign_stopped(subject));
    notes.extend(serving_note(subject, memory, parts.serving));
    notes.extend(waits_for_local(
        subject,
        &parts.upgrade.state,
        parts.serving,
    ));
    notes.extend(latest_note(subject, memory));
    notes.extend(head_note(subject, memory));
    notes.extend(local_tags(subject, memory));
    notes.extend(moved_tags(subject, memory));
    notes.extend(lost(subject, memory));
    notes.extend(pins::notes(subject, memory));
    notes.extend(parts.upgrade.notes.iter().cloned());
    notes.extend(parts.notes.cloned());
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
