//! Stage 4, the upgrade (design 4.3, 4.4): it begins, its soak begins again, it waits, it ends, or it is promoted.
//!
//! Steps of their own, each from values to a value: a committed promotion is recorded, the pending upgrade is followed, what has
//! soaked is promoted, `latest` is restored, images get the names they need, and stale local containers are found.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::serving::{Group, Serving, WhyNone};
use super::stale::{self, Stale};
use super::{FAILURES_KEPT, Subject, history, naming, promotion, serving, version};
use crate::model::{
    Action, Container, ContainerId, ContainerState, Details, End, EndedBy, EventKind, Failure,
    Health, ImageId, Incarnation, Note, Outcome, Pending, Proven, Readiness, RestartCause,
    WorkloadState,
};

/// Exit codes of a container that was told to stop: none at all, SIGKILL, SIGTERM, and what a restart of the engine leaves.
const STOP_CODES: [i64; 4] = [0, 128 + 9, 128 + 15, 255];

/// What becomes of a workload's upgrade in this round.
pub(super) struct Upgrade<'a> {
    /// The new state.
    pub(super) state: WorkloadState,
    pub(super) events: Vec<EventKind>,
    pub(super) notes: Vec<Note>,
    /// The names that are given in this round: that of `latest`, or first those that images need. While there is one, nothing
    /// of the workload is removed.
    pub(super) tags: Vec<Action>,
    /// The local containers that R2 removes in this round.
    pub(super) stale: Vec<Stale<'a>>,
}

/// Where the pending upgrade has come to.
struct Followed {
    state: WorkloadState,
    events: Vec<EventKind>,
    /// Why the candidate does not soak.
    trouble: Option<RestartCause>,
    /// The soak is over, and `latest` is to move to the candidate.
    due: bool,
}

/// Follows the upgrade through one round.
pub(super) fn advance<'a>(
    subject: Subject<'a>,
    records: &WorkloadState,
    recalled: &WorkloadState,
    serving: &Serving<'a>,
) -> Upgrade<'a> {
    let committed = record_committed(subject, records.clone());
    let followed = follow(subject, committed, recalled, serving);
    let soaked = promote_soaked(subject, followed, serving);
    let tags = naming::tags(subject, &soaked.state.memory, soaked.due);
    let Followed {
        mut state,
        mut events,
        trouble,
        ..
    } = soaked;
    let found = stale::find(subject, &state.memory, !tags.is_empty());
    let promoted_now = events
        .iter()
        .any(|e| matches!(e, EventKind::Promoted { .. }));
    if promoted_now {
        events.extend(found.running_events());
    }
    state.memory.stopped = found.stopped;
    events.extend(hold_events(subject, recalled, &state));
    events.extend(note_rejected(subject, &mut state, serving));
    let mut notes = found.notes;
    if let (Some(cause), Some(pending)) = (trouble, &state.memory.pending) {
        notes.push(Note::NotSoaking {
            version: pending.version.clone(),
            cause,
        });
    }
    Upgrade {
        events,
        notes,
        tags,
        stale: found.stale,
        state,
    }
}

/// A hold is said when it begins and when it ends.
fn hold_events(
    subject: Subject<'_>,
    recalled: &WorkloadState,
    state: &WorkloadState,
) -> Option<EventKind> {
    match (recalled.held_since_ms, state.held_since_ms) {
        (None, Some(_)) => subject.held.cloned().map(EventKind::Held),
        (Some(_), None) => Some(EventKind::Released),
        _ => None,
    }
}

/// That an image serves although it is rejected is said once.
fn note_rejected(
    subject: Subject<'_>,
    state: &mut WorkloadState,
    serving: &Serving<'_>,
) -> Option<EventKind> {
    let memory = &state.memory;
    let rejected = serving
        .group()
        .filter(|group| subject.is_rejected(memory, group.image));
    let event = rejected.map(|group| EventKind::RejectedServes {
        version: version::of(subject, memory, group.image, group.newest()),
        image: group.image.clone(),
        by_policy: subject.is_rejected_by_policy(memory, group.image),
    });
    let image = rejected.map(|group| group.image.clone());
    let is_news = image != state.rejected_serves;
    state.rejected_serves = image;
    event.filter(|_| is_news)
}

/// A promotion that was committed to is recorded once `latest` names its image, whether or not the candidate still serves; a
/// look that does not find it so withdraws the note.
fn record_committed(subject: Subject<'_>, mut state: WorkloadState) -> Followed {
    let committed = state
        .memory
        .pending
        .as_ref()
        .filter(|pending| pending.promoting);
    let Some(pending) = committed else {
        return Followed::quiet(state);
    };
    if subject.latest() != Some(&pending.image) {
        if let Some(pending) = &mut state.memory.pending {
            pending.promoting = false;
        }
        return Followed::quiet(state);
    }
    if subject.is_held() {
        return Followed::quiet(state);
    }
    record(subject, Followed::quiet(state))
}

impl Followed {
    fn quiet(state: WorkloadState) -> Self {
        Self {
            state,
            events: Vec::new(),
            trouble: None,
            due: false,
        }
    }

    /// The same with another state.
    fn with(self, state: WorkloadState) -> Self {
        Self { state, ..self }
    }
}

/// Records the promotion of the pending upgrade.
fn record(subject: Subject<'_>, mut followed: Followed) -> Followed {
    let Some(pending) = followed.state.memory.pending.take() else {
        return followed;
    };
    let promoted = promotion::record(subject, followed.state, &pending);
    followed.events.push(promoted.event);
    Followed {
        state: promoted.state,
        trouble: None,
        ..followed
    }
}

/// The serving group, if its image is to be soaked: the workload's own, not rejected, not proven, and each container inspected.
fn candidate<'s, 'a>(
    subject: Subject<'_>,
    state: &WorkloadState,
    serving: &'s Serving<'a>,
) -> Option<&'s Group<'a>> {
    let inspected = |group: &&Group<'_>| {
        group
            .members
            .iter()
            .all(|c| serving::details(subject, c).is_some())
    };
    let group = serving
        .group()
        .filter(|g| is_upgradable(subject, state, g.image));
    group.filter(inspected)
}

/// Whether an image could become latest.
pub(super) fn is_upgradable(subject: Subject<'_>, state: &WorkloadState, image: &ImageId) -> bool {
    subject.is_own(image)
        && !subject.is_rejected(&state.memory, image)
        && !subject.is_proven(&state.memory, image)
}

/// Brings the pending upgrade up to the observation.
fn follow(
    subject: Subject<'_>,
    committed: Followed,
    recalled: &WorkloadState,
    serving: &Serving<'_>,
) -> Followed {
    let Followed {
        mut state, events, ..
    } = committed;
    let so_far = Followed {
        events,
        ..Followed::quiet(WorkloadState::default())
    };
    let candidate = candidate(subject, &state, serving);
    let is_unclear = matches!(serving, Serving::None(WhyNone::Nameless(_)));
    let pending = state.memory.pending.take();
    match (pending, candidate) {
        // On hold, a committed promotion waits to be recorded; and a look in which roles cannot be told changes nothing.
        (Some(pending), _) if pending.promoting || is_unclear => {
            state.memory.pending = Some(pending);
            so_far.with(state)
        }
        (None, None) => so_far.with(state),
        (None, Some(group)) => begin(subject, so_far.with(state), group, serving, None),
        (Some(pending), Some(group)) if pending.image == *group.image => {
            go_on(subject, so_far.with(state), pending, group, serving)
        }
        (Some(pending), Some(group)) => {
            let provisional = pending.provisional_fallback.clone();
            let ended = end(subject, so_far.with(state), recalled, &pending, serving);
            begin(subject, ended, group, serving, provisional)
        }
        (Some(pending), None) => match waits(subject, &state, &pending, serving) {
            Some(cause) => wait(subject, so_far.with(state), pending, cause),
            None => end(subject, so_far.with(state), recalled, &pending, serving),
        },
    }
}

fn begin(
    subject: Subject<'_>,
    before: Followed,
    group: &Group<'_>,
    serving: &Serving<'_>,
    known_provisional: Option<Proven>,
) -> Followed {
    let Followed {
        mut state,
        mut events,
        ..
    } = before;
    let image = group.image;
    // What was latest when the upgrade began has its version written down: it is not guessed again (design 4.2).
    let version = match &known_provisional {
        Some(known) if known.image == *image => known.version.clone(),
        _ => version::of(subject, &state.memory, image, group.newest()),
    };
    let trouble = trouble(subject, group);
    let failed_before = state
        .failures
        .iter()
        .any(|f| f.image == *image && f.outcome == Outcome::Failed);
    if !failed_before {
        events.push(EventKind::Pending {
            version: version.clone(),
            image: image.clone(),
            container: newest_name(group),
            soak_ms: subject.policy.soak_ms,
        });
    }
    if state.memory.retired.remove(image) {
        state = history::needed_again(subject, state, image);
    }
    let times = state
        .memory
        .images
        .get(image)
        .map_or(0, |r| r.times_pending);
    count_pending(&mut state, image, times.saturating_add(1));
    let provisional_fallback = provisional_fallback(subject, &state, image, known_provisional);
    let soaks = trouble.is_none() && !subject.is_unasked();
    state.memory.pending = Some(Pending {
        version,
        image: image.clone(),
        members: incarnations(subject, group),
        ended: ended_containers(subject, image, &BTreeMap::new()),
        orchestrated: serving.is_orchestrated(),
        began: subject.observed().until.moment(),
        pass_ms: subject.observed().pass_ms,
        soaking_since_ms: soaks.then(|| subject.until_ms()),
        restarts: 0,
        soaked: false,
        promoting: false,
        own_end: None,
        provisional_fallback,
    });
    Followed {
        state,
        events,
        trouble,
        due: false,
    }
}

/// What is latest now, to become the fallback in place of a lineage that is not on the disk. What is known of it from the upgrade
/// that this one replaces stays known.
fn provisional_fallback(
    subject: Subject<'_>,
    state: &WorkloadState,
    upgrade: &ImageId,
    known: Option<Proven>,
) -> Option<Proven> {
    let nothing_proven = subject.head(&state.memory).is_none();
    let latest = subject
        .own
        .latest
        .filter(|image| image.id != *upgrade && nothing_proven)?;
    if known.as_ref().is_some_and(|known| known.image == latest.id) {
        return known;
    }
    // As its containers have it: or what is a dry run beside them would change once it is on record.
    let user = containers_of(subject, &latest.id).next();
    Some(Proven {
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
fn go_on(
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
    if subject.observed().pass_ms > pending.pass_ms {
        count_pending(&mut state, &pending.image, 2);
    }
    let broken = interruption(subject, &pending, group);
    let trouble = trouble(subject, group);
    if let Some(end) = broken.own_end {
        pending.own_end = Some(end);
    }
    let up_ms = soaked_ms(subject, &pending);
    if let Some(cause) = broken.cause {
        events.push(restarted(&pending, cause, up_ms));
        state.counters.restarts = state.counters.restarts.saturating_add(1);
        pending.restarts = pending.restarts.saturating_add(1);
        pending.soaking_since_ms = None;
        pending.soaked = false;
    } else if let (Some(cause), Some(_)) = (&trouble, pending.soaking_since_ms) {
        events.push(restarted(&pending, cause.clone(), up_ms));
    }
    if trouble.is_some() {
        pending.soaking_since_ms = None;
        pending.soaked = false;
    } else if !subject.is_unasked() {
        pending.soaking_since_ms.get_or_insert(subject.until_ms());
    }
    pending.members = incarnations(subject, group);
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
    cause: Option<RestartCause>,
    /// An end that was no stop.
    own_end: Option<End>,
}

fn interruption(subject: Subject<'_>, pending: &Pending, group: &Group<'_>) -> Interruption {
    let mut found = Interruption::default();
    for container in ended_since(subject, pending) {
        if let Some(end) = own_end(subject, container) {
            found.cause.get_or_insert(RestartCause::Ended(end.clone()));
            found.own_end = Some(end);
        } else if !is_plain_stop(subject, container) && is_member(pending, container) {
            found
                .cause
                .get_or_insert(RestartCause::NotRunning(container.state.clone()));
        }
    }
    for container in &group.members {
        let started_at = serving::details(subject, container).map(|d| &d.started_at);
        let known = pending.members.iter().find(|m| m.id == container.id);
        let cause = match known {
            Some(known) if Some(&known.started_at) == started_at => continue,
            Some(_) => RestartCause::Restarted,
            None => RestartCause::Joined,
        };
        found.cause.get_or_insert(cause);
    }
    found
}

fn is_member(pending: &Pending, container: &Container) -> bool {
    pending
        .members
        .iter()
        .any(|member| member.id == container.id)
}

/// The containers of the upgrade that do not run now and have run since the last look, or were not there then.
fn ended_since<'a>(
    subject: Subject<'a>,
    pending: &'a Pending,
) -> impl Iterator<Item = &'a Container> {
    containers_of(subject, &pending.image).filter(move |c| {
        !c.is_running() && c.state != ContainerState::Created && is_news(subject, pending, c)
    })
}

/// Whether a container that does not run is another incarnation than the one that was known to have ended.
fn is_news(subject: Subject<'_>, pending: &Pending, container: &Container) -> bool {
    let Some(known) = pending.ended.get(&container.id) else {
        return true;
    };
    let details = serving::details(subject, container);
    !known.is_empty() && details.is_some_and(|details| details.started_at != *known)
}

/// The ended containers of the upgrade that must be inspected: those that are new, and local ones, which their service starts again
/// and again.
pub(super) fn ended_to_inspect<'a>(
    subject: Subject<'a>,
    pending: &'a Pending,
) -> impl Iterator<Item = &'a Container> {
    let is_local = move |c: &Container| subject.own.locals.iter().any(|local| local.id == c.id);
    containers_of(subject, &pending.image).filter(move |c| {
        (has_ended(c) || loops(c)) && (!pending.ended.contains_key(&c.id) || is_local(c))
    })
}

/// The containers of an image that could serve: local ones, and orchestrated services.
fn containers_of<'a>(
    subject: Subject<'a>,
    image: &'a ImageId,
) -> impl Iterator<Item = &'a Container> {
    let locals = subject.own.locals.iter().copied();
    locals
        .chain(serving::services(subject))
        .filter(move |c| c.uses(image))
}

/// The containers of an image that have ended, with their incarnations as far as they are known.
fn ended_containers(
    subject: Subject<'_>,
    image: &ImageId,
    known: &BTreeMap<ContainerId, String>,
) -> BTreeMap<ContainerId, String> {
    let incarnation = |c: &Container| {
        let inspected = serving::details(subject, c).map(|details| &details.started_at);
        inspected.or_else(|| known.get(&c.id)).cloned()
    };
    let ended = containers_of(subject, image).filter(|c| has_ended(c) || loops(c));
    ended
        .map(|c| (c.id.clone(), incarnation(c).unwrap_or_default()))
        .collect()
}

fn has_ended(container: &Container) -> bool {
    matches!(
        container.state,
        ContainerState::Exited | ContainerState::Dead
    )
}

/// Whether a container waits for its restart policy to start it again.
fn loops(container: &Container) -> bool {
    container.state == ContainerState::Restarting
}

/// How a container ended by itself: with an exit code that is not a stop, or in the loop of its restart policy.
fn own_end(subject: Subject<'_>, container: &Container) -> Option<End> {
    let details = serving::details(subject, container)?;
    let failed = has_ended(container)
        && details
            .exit_code
            .is_some_and(|code| !STOP_CODES.contains(&code));
    (loops(container) || failed).then(|| End {
        exit_code: details.exit_code,
        ran_secs: details.ran_secs.unwrap_or_default(),
    })
}

/// Whether a container was stopped, removed or is about to be: that breaks no run.
fn is_plain_stop(subject: Subject<'_>, container: &Container) -> bool {
    let leaves = matches!(
        container.state,
        ContainerState::Removing | ContainerState::Dead | ContainerState::Stopping
    );
    let stopped =
        container.state == ContainerState::Exited && serving::details(subject, container).is_some();
    leaves || stopped
}

/// Why an upgrade whose image does not serve at this look has not ended: its containers are still there.
fn waits(
    subject: Subject<'_>,
    state: &WorkloadState,
    pending: &Pending,
    serving: &Serving<'_>,
) -> Option<RestartCause> {
    if subject.is_rejected(&state.memory, &pending.image)
        || subject.is_proven(&state.memory, &pending.image)
    {
        return None;
    }
    let mut left = containers_of(subject, &pending.image)
        .filter(|c| c.is_running() || is_member(pending, c) || !pending.ended.contains_key(&c.id))
        .filter(|c| !matches!(c.state, ContainerState::Removing | ContainerState::Dead))
        .peekable();
    left.peek()?;
    match serving {
        Serving::None(WhyNone::NothingRuns) => {
            let failed = |c: &Container| own_end(subject, c).is_some();
            let mut paused = None;
            for container in left {
                if failed(container) {
                    return None;
                }
                if !has_ended(container) {
                    paused = Some(container.state.clone());
                }
            }
            Some(paused.map_or(RestartCause::Stopped, RestartCause::NotRunning))
        }
        // Not inspected yet, or it became a dry run.
        Serving::Local(group) | Serving::Orchestrated(group) => {
            (*group.image == pending.image).then_some(RestartCause::Unclear)
        }
        // Another image runs too, or in its place, or what runs is a dry run: the image no longer serves.
        Serving::None(_) => None,
    }
}

fn wait(
    subject: Subject<'_>,
    before: Followed,
    mut pending: Pending,
    cause: RestartCause,
) -> Followed {
    let Followed {
        mut state,
        mut events,
        ..
    } = before;
    if pending.soaking_since_ms.is_some() {
        let up_ms = soaked_ms(subject, &pending);
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

/// The pending upgrade's image is no candidate any more.
fn end(
    subject: Subject<'_>,
    before: Followed,
    recalled: &WorkloadState,
    pending: &Pending,
    serving: &Serving<'_>,
) -> Followed {
    let Followed {
        state, mut events, ..
    } = before;
    if subject.is_proven(&state.memory, &pending.image)
        || subject.is_rejected(&state.memory, &pending.image)
    {
        return Followed {
            state,
            events,
            trouble: None,
            due: false,
        };
    }
    let ending = ending(subject, pending, serving);
    let (state, is_news) = failure_recorded(subject, state, recalled, pending, &ending);
    if is_news {
        events.push(EventKind::Ended {
            version: pending.version.clone(),
            image: pending.image.clone(),
            outcome: ending.outcome,
            own_end: ending.own_end,
            ended_by: ending.ended_by,
            up_secs: ending.up_secs,
        });
    }
    Followed {
        state,
        events,
        trouble: None,
        due: false,
    }
}

/// How an upgrade ended that was not promoted.
struct Ending {
    outcome: Outcome,
    /// The last end of its containers by themselves.
    own_end: Option<End>,
    ended_by: EndedBy,
    /// How long the last attempt stayed up, in seconds.
    up_secs: u64,
}

fn ending(subject: Subject<'_>, pending: &Pending, serving: &Serving<'_>) -> Ending {
    let mut ends = ended_since(subject, pending).filter_map(|c| own_end(subject, c));
    let own_end = ends.next().or_else(|| pending.own_end.clone());
    let outcome = if pending.soaked {
        Outcome::Superseded
    } else if own_end.is_some() {
        Outcome::Failed
    } else {
        Outcome::Withdrawn
    };
    Ending {
        outcome,
        ended_by: ended_by(subject, pending, serving),
        up_secs: own_end
            .as_ref()
            .map_or_else(|| soaked_ms(subject, pending) / 1000, |end| end.ran_secs),
        own_end,
    }
}

/// Writes down what at least two passes have seen pending, and tells whether that is news: a failure is said once, with its entry;
/// later attempts only raise a number.
fn failure_recorded(
    subject: Subject<'_>,
    mut state: WorkloadState,
    recalled: &WorkloadState,
    pending: &Pending,
    ending: &Ending,
) -> (WorkloadState, bool) {
    let records = recalled.memory.images.get(&pending.image);
    let seen_twice = records
        .into_iter()
        .chain(state.memory.images.get(&pending.image))
        .any(|record| record.times_pending >= 2);
    let known = state.failures.iter().position(|f| f.image == pending.image);
    let before = known.map(|at| state.failures.remove(at));
    let was_failed = before
        .as_ref()
        .is_some_and(|f| f.outcome == Outcome::Failed);
    let failed = ending.outcome == Outcome::Failed;
    if !seen_twice && before.is_none() {
        return (state, !failed);
    }
    let attempts = before.as_ref().map_or(0, |f| f.attempts);
    let failure = Failure {
        version: pending.version.clone(),
        image: pending.image.clone(),
        outcome: if was_failed {
            Outcome::Failed
        } else {
            ending.outcome
        },
        attempts: attempts.saturating_add(pending.restarts).saturating_add(1),
        // A later "replaced" never overwrites how it ended by itself.
        own_end: ending
            .own_end
            .clone()
            .or_else(|| before.and_then(|f| f.own_end)),
        ended_by: ending.ended_by,
        up_secs: ending.up_secs,
        ended_ms: subject.until_ms(),
        at: subject.wall(),
    };
    state.failures.insert(0, failure);
    state.failures.truncate(FAILURES_KEPT);
    if failed && !was_failed {
        state.counters.failures = state.counters.failures.saturating_add(1);
    }
    (state, !was_failed)
}

fn ended_by(subject: Subject<'_>, pending: &Pending, serving: &Serving<'_>) -> EndedBy {
    if serving.group().is_some() {
        EndedBy::Replaced
    } else if containers_of(subject, &pending.image).next().is_none() {
        EndedBy::Removed
    } else {
        EndedBy::Stopped
    }
}

/// What has soaked is promoted: recorded if `latest` names it already, by hand; else committed to, to be saved before the one
/// engine call that moves `latest`, in a round that finds the names given that the move needs. Only what serves at this look is
/// promoted.
fn promote_soaked(subject: Subject<'_>, mut followed: Followed, serving: &Serving<'_>) -> Followed {
    let Some(pending) = followed.state.memory.pending.clone() else {
        return followed;
    };
    let serves = serving.group().is_some_and(|g| *g.image == pending.image);
    let over = serves
        && pending.soaking_since_ms.is_some()
        && soaked_ms(subject, &pending) >= subject.policy.soak_ms
        && !subject.is_unasked()
        && followed.trouble.is_none();
    if !over || pending.promoting {
        return followed;
    }
    if subject.is_held() {
        if let Some(pending) = &mut followed.state.memory.pending {
            pending.soaked = true;
        }
        return followed;
    }
    if subject.latest() == Some(&pending.image) {
        return record(subject, followed);
    }
    let names_given = naming::may_leave_latest(subject, &followed.state.memory);
    if let Some(pending) = &mut followed.state.memory.pending {
        pending.promoting = names_given;
    }
    Followed {
        due: true,
        ..followed
    }
}

/// How long the group has certainly soaked, in milliseconds.
pub(super) fn soaked_ms(subject: Subject<'_>, pending: &Pending) -> u64 {
    pending
        .soaking_since_ms
        .map_or(0, |since_ms| subject.lasted_ms(since_ms))
}

/// What keeps a group from soaking although it runs.
fn trouble(subject: Subject<'_>, group: &Group<'_>) -> Option<RestartCause> {
    let health = |c: &&Container| serving::details(subject, c).and_then(|d: &Details| d.health);
    let reported: Vec<Health> = group.members.iter().filter_map(health).collect();
    if reported.contains(&Health::Unhealthy) {
        return Some(RestartCause::Unhealthy);
    }
    if reported.contains(&Health::Starting) {
        return Some(RestartCause::NotHealthyYet);
    }
    // For as long as it does: the look that found it began the soak again once.
    if let Some(looping) = containers_of(subject, group.image).find(|c| loops(c)) {
        return Some(RestartCause::NotRunning(looping.state.clone()));
    }
    match subject.readiness() {
        Some(Readiness::NotReady(why)) if subject.policy.ready.is_some() => {
            Some(RestartCause::NotReady(why.clone()))
        }
        _ => None,
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

fn newest_name(group: &Group<'_>) -> String {
    group
        .newest()
        .map_or_else(Default::default, |c| c.name().into_owned())
}

fn restarted(pending: &Pending, cause: RestartCause, up_ms: u64) -> EventKind {
    EventKind::Restarted {
        version: pending.version.clone(),
        image: pending.image.clone(),
        cause,
        up_ms,
    }
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
