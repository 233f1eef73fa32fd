//! Everything that is said about a decision, in words: the one place where the enums of the model
//! become sentences.
//!
//! Text, JSON, journal, hooks, the man page and the schemas read it. Also sizes, counts and names
//! as people read them. Pure.

use tagkeeper_core::model::{
    ActionKind, ContainerState, Detail, End, EndedBy, Event, EventKind, Failure, HeldBy, ImageId,
    KeptUntil, Note, Outcome, Reason, Reference, RefusedView, RemovedBy, SoakTrouble, TagPurpose,
    Verdict, Version, Waits, WhyDropped, WorkloadName,
};
use tagkeeper_core::planner::{Refusal, RollbackTarget};

use crate::duration::{compact, left};

/// Digits of a digest that are shown to people, as many as of an image id.
const DIGEST_DIGITS: usize = 12;

const OTHER_DISK: &str = "the engine uses another disk: none of the images on record is on it. What is known of \
    them is kept until they are back, or a version is promoted on this disk";

const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];

/// A size in bytes as people read it, in powers of ten as `docker images` prints them: `999 B`,
/// `1.2 kB`, `120 MB`.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut unit_bytes = 1000_u128;
    let mut shown = String::new();
    for unit in UNITS {
        let tenths = (u128::from(bytes) * 10 + unit_bytes / 2) / unit_bytes;
        let whole = (u128::from(bytes) + unit_bytes / 2) / unit_bytes;
        shown = if tenths < 100 {
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        } else {
            format!("{whole} {unit}")
        };
        if whole < 1000 {
            break;
        }
        unit_bytes *= 1000;
    }
    shown
}

/// A number of things: `1 image`, `2 images`.
pub(crate) fn count(number: impl std::fmt::Display, thing: &str) -> String {
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// That a local container is in the way of its own removal (R2).
fn local_runs(container: &str, state: &ContainerState, version: &Version) -> String {
    format!(
        "the local container {container} is {} with {version}, not latest: it is removed once it has stopped",
        state.as_str()
    )
}

/// What came of a removal that the engine refused, and when it is tried again.
pub(crate) fn refused(removal: &RefusedView) -> String {
    format!(
        "the engine refused to remove {}: {}; tried again in {}",
        removal.called,
        removal.reason,
        left(removal.retry_in_ms)
    )
}

/// A name for people; a digest is shortened, JSON has the whole of it.
pub(crate) fn name(reference: Option<&Reference>) -> String {
    let Some(reference) = reference else {
        return "<none>".to_owned();
    };
    let whole = reference.to_string();
    match whole.split_once(':') {
        Some(_) if reference.is_digest() => {
            let start = whole.rfind(':').map_or(0, |colon| colon + 1);
            let short = whole.get(..start + DIGEST_DIGITS).unwrap_or(&whole);
            format!("{short}..")
        }
        _ => whole,
    }
}

/// The word for a verdict in text, JSON and logs.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Keep => "keep",
        Verdict::Remove => "remove",
        Verdict::Retag => "retag",
    }
}

/// The word for a reason in text, JSON, metrics and logs, and what it says.
pub fn reason(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::Latest => ("latest", "what the local service would start"),
        Reason::Pending => ("pending", "soaking"),
        Reason::Fallback => ("fallback", "kept as fallback"),
        Reason::InUse => ("in-use", "used by a container"),
        Reason::Twin => (
            "twin",
            "another build of a version that is kept; never ran here",
        ),
        Reason::Retired => ("retired", "made obsolete by a promotion"),
        Reason::Inherited => (
            "inherited",
            "existed before tagkeeper; removed at the first upgrade",
        ),
        Reason::Grace => (
            "grace",
            "idle, and not proven; removed after the grace period",
        ),
        Reason::Idle => ("idle", "idle for the grace period, and not proven"),
        Reason::Renamed => ("renamed", "the fallback has its remote name"),
        Reason::Adopt => ("adopt", "moves to the fallback"),
    }
}

/// The word for a reason alone.
pub fn reason_word(of: Reason) -> &'static str {
    reason(of).0
}

/// A reason with its particulars, in a sentence.
pub fn detail(of: Reason, detail: &Detail) -> String {
    match detail {
        Detail::None => reason(of).1.to_owned(),
        Detail::MovesTo { image, version } => {
            format!("moves to {}, which ran here as {version}", image.short())
        }
        Detail::KeptByOther { workload, why } => match &**why {
            Detail::None => format!("workload {workload} keeps it"),
            why => format!("workload {workload} keeps it: {}", self::detail(of, why)),
        },
        Detail::Proven(version) => format!("{version} is kept as fallback"),
        Detail::Provisional(version) => {
            format!(
                "{version} was latest when the upgrade began; kept as fallback until one is proven"
            )
        }
        Detail::UsedBy {
            container,
            state,
            others,
        } => {
            let more = match others {
                0 => String::new(),
                others => format!(" and {others} more"),
            };
            format!("used by {container} ({}){more}", state.as_str())
        }
        Detail::Idle {
            idle_ms,
            grace_ms,
            cut_short,
        } => {
            let idle = format!("idle for {} of {}", compact(*idle_ms), compact(*grace_ms));
            match cut_short {
                None => idle,
                Some((percent, threshold)) => {
                    format!("{idle}; the disk is {percent}% full, more than {threshold}%")
                }
            }
        }
    }
}

/// What an action does, as the object of "failed to".
pub fn action(action: &ActionKind) -> String {
    match action {
        ActionKind::Tag {
            image, reference, ..
        } => format!("tag {} as {reference}", image.short()),
        ActionKind::CreatePin { container, image } => {
            format!("pin image {} by container {container}", image.short())
        }
        ActionKind::RemovePin { container, .. } => format!("remove pin {container}"),
        ActionKind::RemoveContainer { container, .. } => format!("remove container {container}"),
        ActionKind::RemoveImage {
            reference: Some(reference),
            ..
        } => format!("remove image {reference}"),
        ActionKind::RemoveImage { image, .. } => format!("remove image {} by id", image.short()),
    }
}

/// The word for what a name is given for.
pub fn purpose(purpose: TagPurpose) -> &'static str {
    match purpose {
        TagPurpose::Promote => "promote",
        TagPurpose::Restore => "restore",
        TagPurpose::KeepName => "keep-name",
        TagPurpose::Adopt => "adopt",
    }
}

/// How an upgrade ended, in words: `exited (3)`, `replaced`.
pub fn ending(own_end: Option<&End>, outcome: Outcome, ended_by: EndedBy) -> String {
    match (own_end, outcome) {
        (
            Some(End {
                exit_code: Some(code),
                ..
            }),
            _,
        ) => format!("exited ({code})"),
        (Some(_), _) => "exited".to_owned(),
        (None, Outcome::Superseded) => "replaced after its soak, on hold".to_owned(),
        (None, _) => match ended_by {
            EndedBy::Stopped => "stopped",
            EndedBy::Removed => "removed",
            EndedBy::Replaced => "replaced",
            EndedBy::NotAlone => "another version runs too",
        }
        .to_owned(),
    }
}

/// How a remembered upgrade ended.
pub fn failure_reason(failure: &Failure) -> String {
    ending(failure.own_end.as_ref(), failure.outcome, failure.ended_by)
}

/// Why a soak begins again, or does not run, as the predicate of its version.
pub fn cause(cause: &SoakTrouble) -> String {
    match cause {
        SoakTrouble::Restarted => "restarted".to_owned(),
        SoakTrouble::Joined => "runs in another container".to_owned(),
        SoakTrouble::Ended(End {
            exit_code: Some(code),
            ..
        }) => format!("exited ({code})"),
        SoakTrouble::Ended(_) => "exited".to_owned(),
        SoakTrouble::NotRunning(state) => format!("is {}", state.as_str()),
        SoakTrouble::Stopped => "is stopped".to_owned(),
        SoakTrouble::Unclear => "has not been inspected yet".to_owned(),
        SoakTrouble::Unhealthy => "is unhealthy".to_owned(),
        SoakTrouble::NotHealthyYet => "is not healthy yet".to_owned(),
        SoakTrouble::NotReady(why) => format!("is not ready ({why})"),
    }
}

/// What the soak of a version waits for.
pub(crate) fn waits(version: &Version, waits: &Waits) -> String {
    match waits {
        Waits::Trouble(cause) => format!("{version} {}, the soak waits", self::cause(cause)),
        Waits::Running => format!("{version} is not running, the soak waits"),
        Waits::Ready => format!("{version} was not ready when it was last asked, the soak waits"),
        Waits::NextPass => format!("{version} soaks from the next pass on"),
    }
}

/// What holds a workload.
pub fn held(held: &HeldBy) -> String {
    match held {
        HeldBy::Workload => "on hold".to_owned(),
        HeldBy::Section { reason, left_ms } => {
            let reason = reason
                .as_ref()
                .map_or_else(String::new, |r| format!(": {r}"));
            let left = left_ms.map_or_else(String::new, |ms| {
                format!(" for {}", compact(ms.saturating_add(999)))
            });
            format!("on hold{left}{reason}")
        }
    }
}

fn no_changes(by: &HeldBy) -> String {
    format!("{}; no changes are made", held(by))
}

/// What an older image is called in a sentence about a newer one: a tag may have named both.
pub(crate) fn older<'v>(older: &'v Version, newer: &Version) -> &'v str {
    if older == newer {
        "an earlier build of it"
    } else {
        older.as_str()
    }
}

/// What an image is called where its version alone may be that of several.
pub(crate) fn called(version: &Version, image: &ImageId) -> String {
    format!("{version} ({})", image.short())
}

/// What to type to lift a rejection. A version may be from the label of an image, which can say
/// anything; a shell takes it for one word.
pub(crate) fn accept_command(workload: &WorkloadName, version: &Version) -> String {
    let version = version.as_str();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-+:@/=,".contains(c);
    let typed = if version.chars().all(is_plain) {
        version.to_owned()
    } else {
        format!("'{}'", version.replace('\'', r"'\''"))
    };
    format!("tagkeeper accept {workload} {typed}")
}

fn rejected_serves(
    workload: &WorkloadName,
    version: &Version,
    lifted_by: Option<&Version>,
) -> String {
    let lift = match lifted_by {
        None => "the policy's [reject] names it".to_owned(),
        Some(typed) => format!("`{}` allows it again", accept_command(workload, typed)),
    };
    format!("{version} is running although it is rejected; {lift}")
}

/// What a person should know of this workload.
#[allow(clippy::too_many_lines, reason = "a table: a row for each case")]
pub fn note(workload: &WorkloadName, note: &Note) -> String {
    let runs = |(container, version): &(String, Version)| format!("{container} runs {version}");
    match note {
        Note::Held(by) => no_changes(by),
        Note::OtherDisk => OTHER_DISK.to_owned(),
        Note::NothingRuns => "no container of this workload is running".to_owned(),
        Note::Loops { container, version } => format!(
            "{container} runs {version} and keeps ending and being restarted; `docker logs {container}` says why"
        ),
        Note::OnlyDryRuns { container, version } => {
            format!("{container} idles with {version}: a dry run beside the local container")
        }
        Note::WaitsForLocal {
            container,
            version,
            locals,
        } => {
            let (what, have) = match locals.as_slice() {
                [_] => ("local container", "has"),
                _ => ("local containers", "have"),
            };
            let locals = locals.join(" and ");
            format!(
                "{version} is running in {container}, and soaks once the {what} {locals} {have} stopped"
            )
        }
        Note::SeveralImages { one, other } => format!(
            "cannot tell which one serves: several versions are running ({}, {})",
            runs(one),
            runs(other)
        ),
        Note::LocalsDiffer { one, other } => format!(
            "the local containers run different versions ({}, {}); nothing soaks",
            runs(one),
            runs(other)
        ),
        Note::ForeignLocal {
            container,
            runs,
            state,
        } => format!(
            "{container} ({}) uses {runs}, which is not an image of this workload: it is never promoted and never removed",
            state.as_str()
        ),
        Note::NamelessContainer { container } => format!(
            "the engine lists container {container:.12} without a name; nothing is decided until it has one"
        ),
        Note::RejectedServes { version, lifted_by } => {
            rejected_serves(workload, version, lifted_by.as_ref())
        }
        Note::HeadNamedByPolicy { version } => format!(
            "the policy's [reject] names {version}, which is proven: it stays latest until a rollback"
        ),
        Note::LatestMissing {
            repository,
            restored,
        } => {
            let cure = if *restored {
                "the next pass restores it"
            } else {
                "the local service has nothing to start"
            };
            format!("{repository}:latest is missing: {cure}")
        }
        Note::LatestMoved {
            repository,
            version,
            proven,
        } if version == proven => {
            format!("{repository}:latest names a build of {version} that is not the proven one")
        }
        Note::LatestMoved {
            repository,
            version,
            proven,
        } => format!("{repository}:latest names {version}, but the proven version is {proven}"),
        Note::LocalRuns {
            container,
            state,
            version,
        } => local_runs(container, state, version),
        Note::LocalStopped { container, version } => format!(
            "the local container {container} is stopped with {version}, not latest: it is removed if it is still stopped in a minute"
        ),
        Note::LocalTag {
            container,
            reference,
        } => format!(
            "the local container {container} was created from {reference}, so its service does not start latest; the container and that name are kept"
        ),
        Note::NotSoaking { version, cause } => {
            format!("{version} {}: it does not soak", self::cause(cause))
        }
        Note::TagMoved { container, version } => format!(
            "{container} idles as a dry run of {version}, but that tag has moved to another build; if the orchestrator does no dry runs, set dry_runs = false"
        ),
        Note::HeadLost { version, now } => format!(
            "{version}, the last promoted version, is not on the disk any more; tagkeeper did not remove it. The proven version is {now} now"
        ),
        Note::FallbackLost { version } => {
            format!(
                "the fallback {version} is not on the disk any more; tagkeeper did not remove it"
            )
        }
        Note::PinNameTaken { image, name, state } => format!(
            "image {} is not pinned: '{name}' is another container ({})",
            image.short(),
            state.as_str()
        ),
        Note::PinOfOtherState { name } => format!(
            "the pin {name} belongs to another state, perhaps to one that was lost, and keeps its image on the disk; unless another tagkeeper uses it, remove it: `docker rm {name}`"
        ),
        Note::PinStarted { name, state } => {
            format!(
                "the pin {name} is {}: it was started, and is kept",
                state.as_str()
            )
        }
        Note::DiskUnknown { why } => {
            format!("the disk could not be measured, so no grace period is cut short: {why}")
        }
        Note::DiskFull {
            percent,
            threshold,
            evicted,
        } => {
            let full = format!("the disk is {percent}% full, more than {threshold}%");
            match evicted {
                0 => format!("{full}; no image of this workload can be removed to make room"),
                _ => format!("{full}: idle images are removed before their grace is over"),
            }
        }
    }
}

/// The word for an event in the journal and for hooks.
pub fn event_word(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Pending { .. } => "pending",
        EventKind::Restarted { .. } => "restarted",
        EventKind::Ended { outcome, .. } => outcome.as_str(),
        EventKind::Promoted { .. } => "promoted",
        EventKind::Restored { .. } => "restored",
        EventKind::LocalRuns { .. } | EventKind::Dropped { .. } => "deferred",
        EventKind::Refused { .. } => "refused",
        EventKind::RolledBack { .. } => "rolled-back",
        EventKind::Held(_) => "held",
        EventKind::Released => "released",
        EventKind::OtherDisk => "other-disk",
        EventKind::DiskBack => "disk-back",
        EventKind::RejectedServes { .. } => "rejected",
        EventKind::Done { action, .. } => match action {
            ActionKind::Tag { purpose, .. } => match purpose {
                TagPurpose::Promote => "promoted",
                TagPurpose::Restore => "restored",
                TagPurpose::KeepName | TagPurpose::Adopt => "retagged",
            },
            ActionKind::CreatePin { .. } => "pinned",
            ActionKind::RemovePin { .. }
            | ActionKind::RemoveContainer { .. }
            | ActionKind::RemoveImage { .. } => "removed",
        },
    }
}

/// What happened, in a sentence without the workload's name. None where another event says it: the
/// move of `latest` in a promotion has its line when the promotion is recorded.
#[allow(clippy::too_many_lines, reason = "a table: a row for each case")]
pub fn event(event: &Event) -> Option<String> {
    Some(match &event.kind {
        EventKind::Pending {
            version,
            container,
            soak_ms,
            ..
        } => format!(
            "{version} is running in {container}, soaking for {}",
            compact(*soak_ms)
        ),
        EventKind::Restarted {
            version,
            cause: cause @ (SoakTrouble::Restarted | SoakTrouble::Joined),
            up_ms: 0,
            ..
        } => format!("{version} {}; its soak had not begun", self::cause(cause)),
        EventKind::Restarted {
            version,
            cause,
            up_ms: 0,
            ..
        } => format!("{version} {}: not soaking yet", self::cause(cause)),
        EventKind::Restarted {
            version,
            cause,
            up_ms,
            ..
        } => format!(
            "{version} {} after {}: the soak starts again",
            self::cause(cause),
            compact(*up_ms)
        ),
        EventKind::Ended {
            version,
            outcome,
            own_end,
            ended_by,
            up_secs,
            ..
        } => {
            let up = compact(up_secs.saturating_mul(1000));
            let reason = ending(own_end.as_ref(), *outcome, *ended_by);
            match outcome {
                Outcome::Failed => format!("{version} failed after {up}: {reason}"),
                Outcome::Withdrawn => {
                    format!("{version} was withdrawn after {up}, before it was proven: {reason}")
                }
                Outcome::Superseded => {
                    format!("{version} was replaced after {up}: it had soaked, but was on hold")
                }
            }
        }
        EventKind::Promoted {
            version,
            up_ms,
            replaced,
            fallback,
            ..
        } => {
            let up = compact(*up_ms);
            match (replaced, fallback) {
                (None, _) => {
                    format!("{version} is proven after {up} and is latest (first version)")
                }
                (Some(_), Some(fallback)) => {
                    let fallback = older(fallback, version);
                    format!("{version} is latest after {up}; {fallback} is the fallback")
                }
                (Some(old), None) => {
                    let old = older(old, version);
                    format!(
                        "{version} is latest after {up}, in place of {old}; there is no fallback"
                    )
                }
            }
        }
        EventKind::Restored { version, up_ms, .. } => format!(
            "latest is back on {version}, which has soaked for {}: it was on another version",
            compact(*up_ms)
        ),
        EventKind::LocalRuns {
            container,
            state,
            version,
            ..
        } => local_runs(container, state, version),
        EventKind::RolledBack { version, to, .. } => match to {
            // It is said before `latest` moves.
            Some(to) => {
                let to = older(to, version);
                format!("{version} is rejected; latest goes back to {to}")
            }
            None => format!("{version} is rejected; latest stays"),
        },
        EventKind::Held(by) => no_changes(by),
        EventKind::Released => "no longer on hold".to_owned(),
        EventKind::OtherDisk => OTHER_DISK.to_owned(),
        EventKind::DiskBack => {
            "images on record are back on the disk: their records are restored".to_owned()
        }
        EventKind::RejectedServes {
            version, lifted_by, ..
        } => rejected_serves(&event.workload, version, lifted_by.as_ref()),
        EventKind::Done { action, detail } => return done(action, detail),
        EventKind::Dropped { action, why } => {
            format!("did not {}: {}", self::action(action), why_dropped(why))
        }
        EventKind::Refused { action, reason } => format!(
            "the engine refused to {}: {reason}; it will be tried again, at growing intervals",
            self::action(action)
        ),
    })
}

/// What kept an action from being carried out.
fn why_dropped(why: &WhyDropped) -> String {
    match why {
        WhyDropped::Moved(name) => format!("{name} now means another image"),
        WhyDropped::LastName(name) => format!("{name} is the last name of an image that is needed"),
        WhyDropped::UsedBy(container) => format!("container {container} uses it"),
        WhyDropped::Named => "it has a name again".to_owned(),
        WhyDropped::ImageGone(image) => format!("image {} is gone", image.short()),
        WhyDropped::ContainerGone(container) => format!("container {container} is gone"),
        WhyDropped::DoesNow(container, state) => {
            format!("container {container} is {} now", state.as_str())
        }
        WhyDropped::OtherIncarnation(container) => format!("container {container} has restarted"),
        WhyDropped::NotHealthy(container) => format!("container {container} is not healthy"),
        WhyDropped::NoneRuns => "none of its containers runs".to_owned(),
        WhyDropped::Engine(said) => said.clone(),
    }
}

fn done(action: &ActionKind, particulars: &Detail) -> Option<String> {
    let short = action.image().short();
    Some(match action {
        ActionKind::Tag {
            reference, purpose, ..
        } => match purpose {
            TagPurpose::Promote => return None,
            TagPurpose::Restore => format!("{reference} is back on the proven image {short}"),
            TagPurpose::KeepName => {
                format!("image {short} is also named {reference} now, so that a prune keeps it")
            }
            TagPurpose::Adopt => format!("{reference} names the image that ran here, {short}"),
        },
        ActionKind::CreatePin { container, .. } => {
            format!("container {container} pins the fallback's image {short}")
        }
        ActionKind::RemovePin { container, .. } => {
            format!("removed {container}: image {short} needs no pin any more")
        }
        ActionKind::RemoveContainer { container, .. } => {
            format!(
                "removed the stopped local container {container}: its image is no longer latest"
            )
        }
        ActionKind::RemoveImage {
            reference, reason, ..
        } => {
            let name = reference
                .as_ref()
                .map_or_else(|| format!("image {short}"), ToString::to_string);
            match particulars {
                Detail::None => format!("removed {name} ({})", reason_word(*reason)),
                particulars => format!("removed {name} ({})", detail(*reason, particulars)),
            }
        }
    })
}

/// Whether a person should look at an event.
pub fn is_warning(kind: &EventKind) -> bool {
    match kind {
        EventKind::Ended { outcome, .. } => *outcome == Outcome::Failed,
        EventKind::Restored { .. }
        | EventKind::LocalRuns { .. }
        | EventKind::Refused { .. }
        | EventKind::OtherDisk
        | EventKind::RejectedServes { .. } => true,
        EventKind::Done { action, .. } => matches!(
            action,
            ActionKind::Tag {
                purpose: TagPurpose::Restore,
                ..
            }
        ),
        EventKind::Pending { .. }
        | EventKind::Restarted { .. }
        | EventKind::Promoted { .. }
        | EventKind::RolledBack { .. }
        | EventKind::Held(_)
        | EventKind::Released
        | EventKind::DiskBack
        | EventKind::Dropped { .. } => false,
    }
}

/// That local containers are in the way of a rollback, and what to type.
fn locals_in_the_way(
    workload: &WorkloadName,
    containers: &[String],
    rejected: &Version,
    again: &str,
) -> String {
    let (are_running, them, the_services) = match containers {
        [_] => ("is running", "container", "the service"),
        _ => ("are running", "containers", "the services"),
    };
    // SONiC has a unit for each ASIC of a service, and so may others.
    let of_asic = containers.iter().find_map(|container| {
        let service = container.trim_end_matches(|c: char| c.is_ascii_digit());
        let asic = container.strip_prefix(service).filter(|n| !n.is_empty())?;
        Some(format!(
            " (on a SONiC switch with several ASICs, that of {container} is {service}@{asic})"
        ))
    });
    let typed = |verb: &str| {
        let lines = containers
            .iter()
            .map(|c| format!("\n  systemctl {verb} {c}.service"));
        lines.collect::<String>()
    };
    format!(
        "the local {them} '{}' {are_running}, and systemd would start the old {them} again; \
         {rejected} was not rejected and nothing was changed. Stop {the_services}, roll back, start {the_services}{}:\
         {}\n  tagkeeper rollback {workload}{again}{}",
        containers.join("', '"),
        of_asic.unwrap_or_default(),
        typed("stop"),
        typed("start")
    )
}

/// What is typed behind a `rollback` of what is latest.
const LATEST_OPTION: &str = " --latest";

/// Why a rollback is refused, and what to type.
pub fn refusal(refusal: &Refusal, what: RollbackTarget) -> String {
    let again = match what {
        RollbackTarget::InPlay => "",
        RollbackTarget::Latest => LATEST_OPTION,
    };
    match refusal {
        Refusal::LocalRuns {
            workload,
            containers,
            rejected,
            takes_latest,
        } => {
            let again = if *takes_latest { LATEST_OPTION } else { "" };
            locals_in_the_way(workload, containers, rejected, again)
        }
        Refusal::NothingProven(workload) => format!(
            "nothing is proven for '{workload}' yet, so there is nothing to roll back to; nothing was changed. \
             `tagkeeper status {workload}` shows what is pending"
        ),
        Refusal::RejectedAlready {
            workload,
            rejected,
            by_policy,
            head,
        } => {
            let by = if *by_policy {
                "the policy ([reject])"
            } else {
                "a rollback"
            };
            format!(
                "{rejected} is rejected already, by {by}, and latest stays at {head}: tagkeeper never stops containers, \
                 so withdraw {rejected} in the orchestrator. Nothing was changed. To go back from {head} as well:\n  \
                 tagkeeper rollback {workload} --latest"
            )
        }
        Refusal::Overtaken(workload) => format!(
            "the situation of '{workload}' has changed since you were asked; nothing was changed. \
             Look again:\n  tagkeeper rollback {workload}{again}"
        ),
        Refusal::NoFallback {
            workload,
            head,
            rejected: Some(rejected),
        } => format!(
            "the proven version behind {head} is {rejected}, which is rejected, so '{workload}' cannot go back to it; \
             nothing was changed. `tagkeeper status {workload}` says by what"
        ),
        Refusal::NoFallback { workload, head, .. } => format!(
            "there is no proven version behind {head} on the disk to roll '{workload}' back to; nothing was changed. \
             `tagkeeper status {workload}` shows what is there"
        ),
    }
}

/// Why an image left the disk.
pub fn removed_by(why: RemovedBy) -> &'static str {
    match why {
        RemovedBy::Retired => "it was obsolete",
        RemovedBy::Idle => {
            "it was idle, for its grace period or until the disk was full, and not proven"
        }
        RemovedBy::Other => "removed by something other than tagkeeper",
    }
}

fn why_no_soak(waits: &Waits) -> String {
    match waits {
        Waits::Trouble(cause) => format!("it does not soak: it {}", self::cause(cause)),
        Waits::Running => "it does not soak while no container of it runs".to_owned(),
        Waits::Ready => "it does not soak until its ready command says yes".to_owned(),
        Waits::NextPass => "its soak begins with the next pass".to_owned(),
    }
}

/// Until when a verdict holds.
pub fn until(until: &KeptUntil) -> String {
    match until {
        KeptUntil::HoldEnds => "kept until the hold ends".to_owned(),
        KeptUntil::OtherPromoted => "kept until another version is promoted".to_owned(),
        KeptUntil::Soaked(0) => "has soaked; becomes latest in the next pass".to_owned(),
        KeptUntil::Soaked(left_ms) => format!(
            "becomes latest in {}, if it stays up",
            compact(left_ms.saturating_add(999))
        ),
        KeptUntil::Waits(waits) => {
            format!("kept while it is pending; {}", why_no_soak(waits))
        }
        KeptUntil::Promotions(1) => "removed after the next promotion".to_owned(),
        KeptUntil::Promotions(count) => format!("removed after {count} more promotions"),
        KeptUntil::OtherWorkload => "kept while another workload needs it".to_owned(),
        KeptUntil::VersionUnneeded => {
            "kept while its version is latest, pending, or was latest when the upgrade began"
                .to_owned()
        }
        KeptUntil::Unused {
            container,
            others,
            at_once,
        } => {
            let users = match others {
                0 => format!("container {container} no longer uses it"),
                others => format!("container {container} and {others} more no longer use it"),
            };
            if *at_once {
                format!("removed once {users}")
            } else {
                format!("kept until {users}; then its grace period begins")
            }
        }
        KeptUntil::AnyReplaced => "kept until a promotion replaces another version".to_owned(),
        KeptUntil::GraceOver {
            left_ms,
            pressure_percent,
        } => {
            let in_time = compact(left_ms.saturating_add(999));
            let sooner = pressure_percent.map_or_else(String::new, |percent| {
                format!(", or before if the disk becomes more than {percent}% full")
            });
            format!("removed when its grace period ends, in {in_time} of host uptime{sooner}")
        }
        KeptUntil::NextPass => "in the next pass".to_owned(),
        KeptUntil::AskedAgain(ms) => {
            format!("the engine refused; it is asked again in {}", left(*ms))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1249, "1.2 kB"),
            (1250, "1.3 kB"),
            (9949, "9.9 kB"),
            (9950, "10 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (119_600_000, "120 MB"),
            (1_210_000_000, "1.2 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(size(bytes), shown, "{bytes}");
        }
    }

    #[test]
    fn the_command_that_accepts_a_version_can_be_typed() {
        let app = WorkloadName::new("app");
        for (version, typed) in [
            ("v1.2-3_b+x", "v1.2-3_b+x"),
            ("v1;reboot", "'v1;reboot'"),
            ("it's", r"'it'\''s'"),
        ] {
            let command = accept_command(&app, &Version::new(version));
            assert_eq!(command, format!("tagkeeper accept app {typed}"));
        }
    }

    #[test]
    fn what_is_in_the_way_of_a_rollback_is_told_with_its_services() {
        let told = |containers: &[&str]| {
            let refused = Refusal::LocalRuns {
                workload: WorkloadName::new("lldp"),
                containers: containers.iter().map(ToString::to_string).collect(),
                rejected: Version::new("v2"),
                takes_latest: false,
            };
            refusal(&refused, RollbackTarget::InPlay)
        };
        let one = told(&["lldp"]);
        assert!(
            one.starts_with("the local container 'lldp' is running"),
            "{one}"
        );
        assert!(!one.contains("SONiC"), "{one}");
        let several = told(&["lldp", "lldp0"]);
        for said in [
            "the local containers 'lldp', 'lldp0' are running",
            "several ASICs, that of lldp0 is lldp@0)",
            "\n  systemctl stop lldp.service\n  systemctl stop lldp0.service\n",
        ] {
            assert!(several.contains(said), "{several}");
        }
    }

    /// A tag that moves: `stable` is latest, and `stable` is behind it.
    #[test]
    fn two_builds_of_a_version_are_told_apart() {
        let stable = || Version::new("stable");
        let said = |kind| {
            let workload = WorkloadName::new("app");
            event(&Event { workload, kind }).unwrap()
        };
        let image = ImageId::new("sha256:00");
        let promoted = |fallback| EventKind::Promoted {
            version: stable(),
            image: image.clone(),
            up_ms: 600_000,
            replaced: Some(stable()),
            fallback,
        };
        let rolled_back = EventKind::RolledBack {
            version: stable(),
            image: image.clone(),
            to: Some(stable()),
        };
        for (kind, sentence) in [
            (
                promoted(Some(stable())),
                "stable is latest after 10m; an earlier build of it is the fallback",
            ),
            (
                promoted(None),
                "stable is latest after 10m, in place of an earlier build of it; there is no fallback",
            ),
            (
                rolled_back,
                "stable is rejected; latest goes back to an earlier build of it",
            ),
        ] {
            assert_eq!(said(kind), sentence);
        }
    }

    #[test]
    fn names() {
        let digest = format!("registry.example:5000/app@sha256:{}", "ab".repeat(32));
        for (reference, shown) in [
            (
                Some("registry.example:5000/app:v1"),
                "registry.example:5000/app:v1",
            ),
            (
                Some(digest.as_str()),
                "registry.example:5000/app@sha256:abababababab..",
            ),
            (None, "<none>"),
        ] {
            let reference = reference.map(|text| Reference::parse(text).unwrap());
            assert_eq!(name(reference.as_ref()), shown);
        }
    }
}
