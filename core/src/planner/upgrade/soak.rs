//! The pending upgrade while it lasts: it begins, whatever breaks its run begins the soak again,
//! and it waits while its containers are stopped.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::ended::{
    Crash, containers_of, ended_containers, ended_since, is_member, is_plain_stop, loops, own_end,
};
use super::{Followed, Next};
use crate::model::{
    Container, ContainerState, Details, End, EventKind, Health, ImageId, Incarnation, LineageEntry,
    Pending, Readiness, SoakTrouble, WorkloadState,
};
use crate::planner::serving::{self, Group, Serving, WhyNone};
use crate::planner::subject::Subject;
use crate::planner::{history, version};

/// What the record of an upgrade begins with.
struct Beginning<'a> {
    /// The container that speaks for the image.
    container: Option<&'a Container>,
    members: Vec<Incarnation>,
    orchestrated: bool,
    trouble: Option<SoakTrouble>,
    own_end: Option<End>,
}

impl<'a> Beginning<'a> {
    fn of(subject: Subject<'a>, next: Next<'_, 'a>, serving: &Serving<'a>) -> Self {
        match next {
            Next::Candidate(group) => Self {
                container: group.newest(),
                members: incarnations(subject, group),
                orchestrated: serving.is_orchestrated(),
                trouble: trouble(subject, group),
                own_end: None,
            },
            Next::Crash(Crash { container, end, .. }) => Self {
                container: Some(container),
                members: Vec::new(),
                orchestrated: !subject.own.is_local(container),
                trouble: Some(SoakTrouble::Ended(end.clone())),
                own_end: Some(end),
            },
        }
    }
}

pub(super) fn begin<'a>(
    subject: Subject<'a>,
    before: Followed,
    next: Next<'_, 'a>,
    serving: &Serving<'a>,
    known_provisional: Option<LineageEntry>,
) -> Followed {
    let Followed {
        mut state,
        mut events,
        ..
    } = before;
    let image = next.image();
    let Beginning {
        container,
        members,
        orchestrated,
        trouble,
        own_end,
    } = Beginning::of(subject, next, serving);
    // What was latest when the upgrade began has its version written down: it is not guessed again
    // (design 4.2).
    let version = match &known_provisional {
        Some(known) if known.image == *image => known.version.clone(),
        _ => version::of(subject, &state.memory, image, container),
    };
    let failed_before = state.has_failed(image);
    let times = times_pending(&state, image);
    // What has crashed is said when the next look finds it so.
    if !failed_before && own_end.is_none() {
        events.push(EventKind::Pending {
            version: version.clone(),
            image: image.clone(),
            container: container.map_or_else(String::new, |c| c.name().into_owned()),
            soak_ms: subject.policy.soak_ms,
        });
    }
    if state.memory.retired.remove(image) {
        state = history::needed_again(subject, state, image);
    }
    count_pending(&mut state, image, times.saturating_add(1));
    let provisional_fallback = provisional_fallback(subject, &state, image, known_provisional);
    woken(&mut state, &members);
    let soaks = trouble.is_none() && !subject.is_unasked();
    let pending = Pending {
        version,
        image: image.clone(),
        members,
        ended: ended_containers(subject, image, &BTreeMap::new()),
        orchestrated,
        began: subject.observed().until.moment(),
        pass_ms: subject.observed().pass_ms,
        soaking_since_ms: soaks.then(|| subject.until_ms()),
        restarts: 0,
        soaked: false,
        promoting: false,
        own_end,
        provisional_fallback,
    };
    // It may never be ready, so that no later look has a soak to begin again.
    if let (Some(cause @ SoakTrouble::NotReady(_)), false) = (&trouble, failed_before) {
        events.push(restarted(&pending, cause.clone(), 0));
    }
    state.memory.pending = Some(pending);
    Followed {
        state,
        events,
        trouble,
        due: false,
    }
}

/// What is latest now, to become the fallback in place of a lineage that is not on the disk. What
/// is known of it from the upgrade that this one replaces stays known.
fn provisional_fallback(
    subject: Subject<'_>,
    state: &WorkloadState,
    upgrade: &ImageId,
    known: Option<LineageEntry>,
) -> Option<LineageEntry> {
    let latest = subject.own.latest.filter(|image| image.id != *upgrade)?;
    let mut proven = subject
        .lineage(&state.memory)
        .filter(|p| p.image != *upgrade);
    if proven.next().is_some() {
        return None;
    }
    // A head that comes back to a disk has no fallback there; what was `latest` there before
    // anything was proven is one. What somebody moved `latest` to later is not.
    let is_inherited = |id: &ImageId| state.memory.images.get(id).is_some_and(|r| r.inherited);
    if subject.head(&state.memory).is_some() && !is_inherited(&latest.id) {
        return None;
    }
    if known.as_ref().is_some_and(|known| known.image == latest.id) {
        return known;
    }
    // As its containers have it: or what is a dry run beside them would change once it is on
    // record.
    let user = containers_of(subject, &latest.id).next();
    Some(LineageEntry {
        version: version::of(subject, &state.memory, &latest.id, user),
        image: latest.id.clone(),
        rolled_out: state
            .memory
            .images
            .get(&latest.id)
            .is_some_and(|r| r.rolled_out),
        promoted_at: None,
    })
}

/// The same image still serves. Whatever breaks the run begins the soak again.
pub(super) fn go_on(
    subject: Subject<'_>,
    before: Followed,
    mut pending: Pending,
    group: &Group<'_>,
    serving: &Serving<'_>,
) -> Followed {
    let Followed {
        mut state,
        mut events,
        ..
    } = before;
    if is_later_pass(subject, &pending) {
        count_pending(&mut state, &pending.image, 2);
    }
    let broken = interruption(subject, &pending, group);
    let trouble = trouble(subject, group);
    if let Some(end) = broken.own_end {
        pending.own_end = Some(end);
    }
    let up_ms = subject.soaked_ms(&pending);
    let soaked = pending.soaking_since_ms.is_some();
    if let Some(cause) = broken.cause {
        events.push(restarted(&pending, cause, up_ms));
        state.counters.restarts = state.counters.restarts.saturating_add(1);
        pending.restarts = pending.restarts.saturating_add(1);
        pending.soaking_since_ms = None;
        pending.soaked = false;
        if let (Some(cause @ SoakTrouble::NotReady(_)), true) = (&trouble, soaked) {
            events.push(restarted(&pending, cause.clone(), 0));
        }
    } else if let (Some(cause), true) = (&trouble, soaked) {
        events.push(restarted(&pending, cause.clone(), up_ms));
    }
    if trouble.is_some() {
        pending.soaking_since_ms = None;
        pending.soaked = false;
    } else if !subject.is_unasked() {
        pending.soaking_since_ms.get_or_insert(subject.until_ms());
    }
    if pending.version.is_unknown() {
        let newest = group.newest();
        pending.version = version::of(subject, &state.memory, &pending.image, newest);
    }
    pending.members = incarnations(subject, group);
    woken(&mut state, &pending.members);
    pending.ended = ended_containers(subject, &pending.image, &pending.ended);
    pending.orchestrated = serving.is_orchestrated();
    state.memory.pending = Some(pending);
    Followed {
        state,
        events,
        trouble,
        due: false,
    }
}

/// What broke the run of a group since the last look.
#[derive(Default)]
struct Interruption {
    cause: Option<SoakTrouble>,
    /// An end that was no stop.
    own_end: Option<End>,
}

fn interruption(subject: Subject<'_>, pending: &Pending, group: &Group<'_>) -> Interruption {
    let mut found = Interruption::default();
    for container in ended_since(subject, pending) {
        if let Some(end) = own_end(subject, container) {
            found.cause.get_or_insert(SoakTrouble::Ended(end.clone()));
            found.own_end = Some(end);
        } else if !is_plain_stop(subject, container) && is_member(pending, container) {
            found
                .cause
                .get_or_insert(SoakTrouble::NotRunning(container.state.clone()));
        }
    }
    for container in &group.members {
        let started_at = serving::details(subject, container).map(|d| &d.started_at);
        let known = pending.members.iter().find(|m| m.id == container.id);
        let cause = match known {
            Some(known) if Some(&known.started_at) == started_at => continue,
            Some(_) => SoakTrouble::Restarted,
            None if pending.ended.contains_key(&container.id) => SoakTrouble::Restarted,
            None => SoakTrouble::Joined,
        };
        found.cause.get_or_insert(cause);
    }
    found
}

/// Why an upgrade whose image does not serve at this look has not ended: its containers are still
/// there.
pub(super) fn waits(
    subject: Subject<'_>,
    state: &WorkloadState,
    pending: &Pending,
    serving: &Serving<'_>,
) -> Option<SoakTrouble> {
    if subject.is_rejected(&state.memory, &pending.image)
        || subject.is_proven(&state.memory, &pending.image)
    {
        return None;
    }
    if !pending.has_run() && !is_later_pass(subject, pending) {
        return pending.own_end.clone().map(SoakTrouble::Ended);
    }
    let mut left = containers_of(subject, &pending.image)
        .filter(|c| c.is_running() || is_member(pending, c) || !pending.ended.contains_key(&c.id))
        .filter(|c| !matches!(c.state, ContainerState::Removing | ContainerState::Dead))
        .peekable();
    left.peek()?;
    match serving {
        // A dry run serves nothing either. One of this very image is none of the upgrade's
        // containers any more.
        Serving::None(WhyNone::NothingRuns | WhyNone::OnlyDryRuns(_)) => {
            let mut left = left.filter(|c| !c.is_running()).peekable();
            left.peek()?;
            let failed = |c: &Container| own_end(subject, c).is_some();
            let mut paused = None;
            for container in left {
                if failed(container) {
                    return None;
                }
                if container.state != ContainerState::Exited {
                    paused = Some(container.state.clone());
                }
            }
            Some(paused.map_or(SoakTrouble::Stopped, SoakTrouble::NotRunning))
        }
        // Not inspected yet, or it became a dry run.
        Serving::Local(group) | Serving::Orchestrated(group) => {
            (*group.image == pending.image).then_some(SoakTrouble::Unclear)
        }
        // Another image runs too, or in its place: the image no longer serves.
        Serving::None(_) => None,
    }
}

pub(super) fn wait(
    subject: Subject<'_>,
    before: Followed,
    mut pending: Pending,
    cause: SoakTrouble,
) -> Followed {
    let Followed {
        mut state,
        mut events,
        ..
    } = before;
    if pending.soaking_since_ms.is_some() {
        let up_ms = subject.soaked_ms(&pending);
        events.push(restarted(&pending, cause.clone(), up_ms));
    }
    pending.soaking_since_ms = None;
    pending.soaked = false;
    state.memory.pending = Some(pending);
    Followed {
        state,
        events,
        trouble: Some(cause),
        due: false,
    }
}

/// What keeps a group from soaking although it runs.
pub(super) fn trouble(subject: Subject<'_>, group: &Group<'_>) -> Option<SoakTrouble> {
    let health = |c: &&Container| serving::details(subject, c).and_then(|d: &Details| d.health);
    let reported: Vec<Health> = group.members.iter().filter_map(health).collect();
    if reported.contains(&Health::Unhealthy) {
        return Some(SoakTrouble::Unhealthy);
    }
    if reported.contains(&Health::Starting) {
        return Some(SoakTrouble::NotHealthyYet);
    }
    // For as long as it does: the look that found it began the soak again once.
    if let Some(looping) = containers_of(subject, group.image).find(|c| loops(c)) {
        return Some(SoakTrouble::NotRunning(looping.state.clone()));
    }
    match subject.readiness() {
        Some(Readiness::NotReady(why)) if subject.policy.ready.is_some() => {
            Some(SoakTrouble::NotReady(why.clone()))
        }
        _ => None,
    }
}

/// What a `ready` command has woken is a dry run no longer, whatever the command says later.
fn woken(state: &mut WorkloadState, members: &[Incarnation]) {
    for member in members {
        state.memory.dry_runs.remove(&member.id);
    }
}

fn incarnations(subject: Subject<'_>, group: &Group<'_>) -> Vec<Incarnation> {
    let incarnation = |c: &&Container| {
        let details = serving::details(subject, c)?;
        Some(Incarnation {
            id: c.id.clone(),
            name: c.name().into_owned(),
            started_at: details.started_at.clone(),
        })
    };
    group.members.iter().filter_map(incarnation).collect()
}

fn restarted(pending: &Pending, cause: SoakTrouble, up_ms: u64) -> EventKind {
    EventKind::Restarted {
        version: pending.version.clone(),
        image: pending.image.clone(),
        cause,
        up_ms,
    }
}

/// Whether this is another pass than the one in which the upgrade began.
pub(super) fn is_later_pass(subject: Subject<'_>, pending: &Pending) -> bool {
    subject.is_of_earlier_pass(pending.pass_ms)
}

fn times_pending(state: &WorkloadState, image: &ImageId) -> u8 {
    let record = state.memory.images.get(image);
    record.map_or(0, |record| record.times_pending)
}

/// So many passes have seen the image pending; more than two are not told apart.
fn count_pending(state: &mut WorkloadState, image: &ImageId, times: u8) {
    let times = times.min(2);
    let counted = state.memory.images.get(image).map(|r| r.times_pending);
    if counted.is_some_and(|counted| counted < times) {
        if let Some(record) = state.memory.images.get_mut(image) {
            record.times_pending = times;
        }
    }
}
