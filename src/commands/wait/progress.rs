//! What has become of what is waited for, by the records of the passes. Pure.

use tagkeeper_core::model::{
    Failure, ImageId, LineageEntry, Outcome, Pending, Rejected, Rejection, State, Version,
    WorkloadName, WorkloadState,
};

use crate::duration::compact;
use crate::report::words;

/// How long a failure from before the wait counts for nothing, in milliseconds: two passes look at
/// what was deployed since.
const OLD_FAILURE_MS: u64 = 150 * 1000;

/// What has become of what is waited for.
pub(super) enum Progress {
    Proven(Version),
    Failed(Version, String),
    /// It failed before the wait began, and why. It may have been deployed again, and no pass has
    /// seen that yet.
    FailedBefore(Version, String),
    /// Nothing is pending, and no version was named.
    Nothing,
    /// Still on its way; how far, for people.
    Pending(String),
}

/// What is waited for: the version that was named, or the one that was pending first.
pub(super) struct Wanted {
    version: Option<Version>,
    /// The image that was pending by that version: a tag may move on to another one meanwhile.
    image: Option<ImageId>,
    /// The clock when the wait began.
    since_ms: u64,
}

impl Wanted {
    /// A version, or whatever is pending at the first look; the clock when the wait begins.
    pub(super) fn new(version: Option<Version>, since_ms: u64) -> Self {
        Self {
            version,
            image: None,
            since_ms,
        }
    }

    /// What is waited for, for people.
    pub(super) fn called(&self) -> String {
        let version = self.version.as_ref();
        version.map_or("the upgrade".to_owned(), Version::to_string)
    }

    /// Whether the passes have had the time to see what was deployed before the wait began.
    pub(super) fn is_seen_by(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.since_ms) >= OLD_FAILURE_MS
    }

    /// What has become of it, by the state and the policy's rejections.
    pub(super) fn progress(
        &mut self,
        state: &State,
        name: &WorkloadName,
        rejections: &[Rejection],
        now_ms: u64,
    ) -> Progress {
        let unknown = WorkloadState::default();
        let known = state.workloads.get(name).unwrap_or(&unknown);
        let pending = known.memory.pending.as_ref();
        if self.version.is_none() {
            self.version = pending.map(|pending| pending.version.clone());
        }
        let Some(version) = self.version.clone() else {
            return Progress::Nothing;
        };
        let mut failures = known.failures.iter();
        let failure = failures.find(|failure| self.is_it(&failure.version, &failure.image));
        let new = failure.filter(|failure| failure.ended_ms > self.since_ms);
        if let Some(failure) = new.filter(|failure| failure.outcome == Outcome::Failed) {
            return Progress::Failed(version, words::failure_reason(failure));
        }
        if let Some(pending) = pending.filter(|p| self.is_it(&p.version, &p.image)) {
            self.image = Some(pending.image.clone());
            return Progress::Pending(soaking(&version, pending, known, now_ms));
        }
        let by_a_person: Vec<_> = state.rejected_of(name).collect();
        // As the last pass saw it: the rejection may have been lifted since.
        let serves = self.rejected_serves(known).filter(|image| {
            !rejections.is_empty() || by_a_person.iter().any(|(rejected, _)| rejected == image)
        });
        if let Some(head) = self.head(known) {
            let is_other = serves.is_some_and(|image| *image != head.image);
            if is_other || self.newer_is_rejected(known, head, &by_a_person) {
                return Progress::Failed(version, "it is rejected".to_owned());
            }
            return self.proven(known, version);
        }
        if let Some(why) = self.rejected(serves, &by_a_person, rejections) {
            return Progress::Failed(version, why.to_owned());
        }
        if let Some(failure) = new {
            return Progress::Failed(version, words::failure_reason(failure));
        }
        if self.image.is_some() {
            return Progress::Failed(version, "it is not pending any more".to_owned());
        }
        let is_in_lineage = self.is_any_of(known.memory.lineage.iter());
        match failure {
            Some(failure) if is_failed(failure, known, is_in_lineage) => {
                Progress::FailedBefore(version, words::failure_reason(failure))
            }
            _ if self.is_any_of(on_disk(known)) => {
                Progress::Pending(format!("{version} is a fallback"))
            }
            _ if is_in_lineage => {
                Progress::Pending(format!("{version} is not on the disk any more"))
            }
            Some(_) => Progress::Pending(unseen_again(&version)),
            None => Progress::Pending(format!("no pass has seen {version} serve")),
        }
    }

    /// Whether another build of what is proven came later, is not away, and is rejected: then it is
    /// that one which was deployed.
    fn newer_is_rejected(
        &self,
        known: &WorkloadState,
        head: &LineageEntry,
        rejected: &[(&ImageId, &Rejected)],
    ) -> bool {
        // What was itself promoted before it was rejected has come before the last promotion.
        let was_promoted_later = |rejected: &Rejected| {
            let proven = rejected.proven.as_ref();
            proven.is_some_and(|proven| proven.promoted_at > head.promoted_at)
        };
        rejected.iter().any(|(image, rejected)| {
            self.is_it(&rejected.version, image)
                && is_there(known, image)
                && (has_come(known, image) || was_promoted_later(rejected))
        })
    }

    /// What is waited for is proven, unless another build of the same label has come since, is not
    /// away, and has failed.
    fn proven(&self, known: &WorkloadState, version: Version) -> Progress {
        let mut failed = known
            .failed_since_promotion()
            .filter(|failure| self.is_it(&failure.version, &failure.image));
        match failed.find(|f| is_there(known, &f.image) && has_come(known, &f.image)) {
            Some(failure) => Progress::FailedBefore(version, words::failure_reason(failure)),
            // The engine has failed to move the name, whatever it shows.
            None if known.memory.latest_in_doubt => {
                Progress::Pending(format!("{version} is not tagged as latest yet"))
            }
            None => Progress::Proven(version),
        }
    }

    /// Who rejects what is waited for.
    fn rejected(
        &self,
        serves: Option<&ImageId>,
        by_a_person: &[(&ImageId, &Rejected)],
        by_the_policy: &[Rejection],
    ) -> Option<&'static str> {
        let is_named = |rejection: &Rejection| {
            let version = self.version.as_ref();
            let image = self.image.as_ref();
            version.is_some_and(|version| rejection.is_version(version.as_str()))
                || image.is_some_and(|image| rejection.is_id(image))
        };
        let mut by_a_person = by_a_person.iter();
        if by_a_person.any(|(image, rejected)| self.is_it(&rejected.version, image)) {
            Some("it is rejected")
        // By an id or a digest: a pass has seen it run.
        } else if serves.is_some() || by_the_policy.iter().any(is_named) {
            Some("the policy rejects it ([reject])")
        } else {
            None
        }
    }

    /// What is proven and latest, if it is what is waited for.
    fn head<'k>(&self, known: &'k WorkloadState) -> Option<&'k LineageEntry> {
        let head = on_disk(known).next();
        head.filter(|head| self.is_it(&head.version, &head.image))
    }

    fn is_any_of<'k>(&self, mut lineage: impl Iterator<Item = &'k LineageEntry>) -> bool {
        lineage.any(|proven| self.is_it(&proven.version, &proven.image))
    }

    /// What serves and is rejected, if it is what is waited for.
    fn rejected_serves<'k>(&self, known: &'k WorkloadState) -> Option<&'k ImageId> {
        let image = known.rejected_serves.as_ref()?;
        let past = known.past(image)?;
        self.is_it(&past.version, image).then_some(image)
    }

    /// Whether a version of an image is what is waited for: the image that was pending, if there
    /// was one; otherwise by the version, or by the id or its first digits.
    fn is_it(&self, version: &Version, image: &ImageId) -> bool {
        match (&self.image, &self.version) {
            (Some(followed), _) => followed == image,
            (None, Some(wanted)) => wanted.names(version, image),
            (None, None) => false,
        }
    }
}

/// How far the pending upgrade has soaked.
fn soaking(version: &Version, pending: &Pending, known: &WorkloadState, now_ms: u64) -> String {
    let held = known.held_since_ms.map_or("", |_| ", on hold");
    match pending.soaking_since_ms {
        Some(since_ms) => {
            let up = compact(now_ms.saturating_sub(since_ms));
            format!("{version} has soaked for {up}{held}")
        }
        None => format!("{version} is pending{held} and does not soak"),
    }
}

/// What of the lineage is on the disk, as far as the last pass knows.
fn on_disk(known: &WorkloadState) -> impl Iterator<Item = &LineageEntry> {
    let lineage = known.memory.lineage.iter();
    lineage.filter(|proven| known.memory.images.contains_key(&proven.image))
}

/// Whether a container uses an image, as far as the last pass knows.
fn is_there(known: &WorkloadState, image: &ImageId) -> bool {
    let record = known.memory.images.get(image);
    record.is_some_and(|record| record.idle_since_ms.is_none())
}

/// Whether an image has come after the last promotion.
fn has_come(known: &WorkloadState, image: &ImageId) -> bool {
    let record = known.memory.images.get(image);
    record.is_some_and(|record| known.memory.promoted_ms < Some(record.first_seen_ms))
}

/// Whether it failed by itself; what is proven is taken to have failed only if that came after the
/// last promotion.
fn is_failed(failure: &Failure, known: &WorkloadState, is_proven: bool) -> bool {
    failure.outcome == Outcome::Failed
        && (!is_proven || known.failed_since_promotion().any(|since| since == failure))
}

/// What is said of a version that failed before the wait began.
pub(super) fn unseen_again(version: &Version) -> String {
    format!("{version} does not run yet, or not again")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use tagkeeper_core::model::{Clock, EndedBy, ImageRecord, Moment, Pending};

    use super::*;

    /// The clock when the wait begins.
    const BEGAN_MS: u64 = 1_000_000;

    fn image(digit: char) -> ImageId {
        ImageId::new(format!("sha256:{}", digit.to_string().repeat(64)))
    }

    fn known(change: impl FnOnce(&mut WorkloadState)) -> State {
        let mut known = WorkloadState::default();
        change(&mut known);
        State {
            clock: Clock {
                clock_ms: BEGAN_MS,
                monotonic_ms: BEGAN_MS,
            },
            workloads: BTreeMap::from([(WorkloadName::new("app"), known)]),
            ..State::default()
        }
    }

    fn pending(version: &str, soaking_since_ms: Option<u64>) -> Pending {
        Pending {
            version: Version::new(version),
            image: image('2'),
            members: Vec::new(),
            ended: BTreeMap::new(),
            orchestrated: true,
            began: Moment {
                clock_ms: BEGAN_MS,
                at: String::new(),
            },
            soaking_since_ms,
            restarts: 0,
            pass_ms: BEGAN_MS,
            soaked: false,
            promoting: false,
            own_end: None,
            provisional_fallback: None,
        }
    }

    fn failure(version: &str, outcome: Outcome, ended_ms: u64) -> Failure {
        Failure {
            version: Version::new(version),
            image: image('2'),
            outcome,
            attempts: 1,
            own_end: None,
            ended_by: EndedBy::Removed,
            up_secs: 3,
            ended_ms,
            at: String::new(),
        }
    }

    fn proven(version: &str) -> LineageEntry {
        LineageEntry {
            version: Version::new(version),
            image: image('2'),
            rolled_out: true,
            promoted_at: None,
        }
    }

    /// Of image 2, which is on the disk.
    fn prove(known: &mut WorkloadState, version: &str) {
        prove_as(known, version, '2');
    }

    fn prove_as(known: &mut WorkloadState, version: &str, digit: char) {
        known.memory.lineage.push(LineageEntry {
            image: image(digit),
            ..proven(version)
        });
        known.memory.images.insert(image(digit), seen(0));
    }

    fn seen(first_seen_ms: u64) -> ImageRecord {
        ImageRecord {
            first_seen_ms,
            idle_since_ms: None,
            inherited: false,
            rolled_out: true,
            times_pending: 2,
            rejected_by: None,
        }
    }

    fn rejection(version: &str) -> Rejected {
        Rejected {
            version: Version::new(version),
            at: String::new(),
            digests: BTreeSet::new(),
            proven: None,
        }
    }

    fn wanted(version: Option<&str>) -> Wanted {
        Wanted::new(version.map(Version::new), BEGAN_MS)
    }

    /// What a wait for `version` says, so many milliseconds after it began.
    fn said(version: Option<&str>, state: &State, after_ms: u64) -> String {
        shown(&mut wanted(version), state, &[], after_ms)
    }

    fn shown(
        wanted: &mut Wanted,
        state: &State,
        rejections: &[Rejection],
        after_ms: u64,
    ) -> String {
        let now_ms = BEGAN_MS + after_ms;
        match wanted.progress(state, &WorkloadName::new("app"), rejections, now_ms) {
            Progress::Proven(version) => format!("proven: {version}"),
            Progress::Failed(version, why) => format!("failed: {version}: {why}"),
            Progress::FailedBefore(version, why) => format!("failed before: {version}: {why}"),
            Progress::Nothing => "nothing".to_owned(),
            Progress::Pending(said) => said,
        }
    }

    #[test]
    fn without_a_version_it_waits_for_what_is_pending() {
        let idle = known(|_| {});
        assert_eq!(said(None, &idle, 0), "nothing");
        let soaking =
            known(|known| known.memory.pending = Some(pending("v2", Some(BEGAN_MS - 60_000))));
        assert_eq!(said(None, &soaking, 5_000), "v2 has soaked for 1m5s");
        let waiting = known(|known| known.memory.pending = Some(pending("v2", None)));
        assert_eq!(said(None, &waiting, 0), "v2 is pending and does not soak");
        let held = known(|known| {
            known.memory.pending = Some(pending("v2", Some(BEGAN_MS - 60_000)));
            known.held_since_ms = Some(BEGAN_MS);
        });
        assert_eq!(said(None, &held, 0), "v2 has soaked for 1m, on hold");
    }

    /// What is said after v2 was pending as image 2, and then the state is another one.
    fn said_after(change: impl FnOnce(&mut WorkloadState)) -> String {
        let mut wanted = wanted(None);
        let soaking = known(|known| known.memory.pending = Some(pending("v2", None)));
        assert_eq!(
            shown(&mut wanted, &soaking, &[], 0),
            "v2 is pending and does not soak"
        );
        shown(&mut wanted, &known(change), &[], 0)
    }

    #[test]
    fn the_image_that_was_pending_is_followed_to_its_end() {
        assert_eq!(said_after(|known| prove(known, "v2")), "proven: v2");
        let ended = "failed: v2: it is not pending any more";
        assert_eq!(said_after(|_| {}), ended, "after a single pass");
        // The name has moved on to another image, and the one that is proven by it was so before.
        let older = |known: &mut WorkloadState| prove_as(known, "v2", '1');
        assert_eq!(said_after(older), ended);
        let withdrawn = |known: &mut WorkloadState| {
            older(known);
            let failure = failure("v2", Outcome::Withdrawn, BEGAN_MS + 1);
            known.failures.push(failure);
        };
        assert_eq!(said_after(withdrawn), "failed: v2: removed");
    }

    #[test]
    fn what_the_policy_rejects_is_not_waited_for() {
        let of = |state: &State, rejected: &str| {
            let rejections = [Rejection::new(rejected)];
            shown(&mut wanted(Some("v2")), state, &rejections, 0)
        };
        let idle = known(|_| {});
        assert_eq!(
            of(&idle, "v2"),
            "failed: v2: the policy rejects it ([reject])"
        );
        assert_eq!(of(&idle, "v3"), "no pass has seen v2 serve");
        // By its id: a pass has seen it run, and noted that.
        let serves = known(|known| {
            known.rejected_serves = Some(image('2'));
            known.note(&image('2'), || Version::new("v2"), |_| {});
        });
        let id = image('2').to_string();
        let by_policy = "failed: v2: the policy rejects it ([reject])";
        assert_eq!(of(&serves, &id), by_policy);
        // A rejected build of the label of latest.
        let rebuilt = known(|known| {
            prove(known, "v2");
            known.rejected_serves = Some(image('9'));
            known.note(&image('9'), || Version::new("v2"), |_| {});
        });
        let of_rebuilt =
            |rejections: &[Rejection]| shown(&mut wanted(Some("v2")), &rebuilt, rejections, 0);
        let other = [Rejection::new(image('9').to_string())];
        assert_eq!(of_rebuilt(&other), "failed: v2: it is rejected");
        // The last pass saw it so, and the rejection has been lifted since.
        assert_eq!(of_rebuilt(&[]), "proven: v2");
        let lifted = shown(&mut wanted(Some(&id)), &serves, &[], 0);
        assert_eq!(lifted, format!("no pass has seen {id} serve"));
        // "From now on": what was proven before stays.
        let done = known(|known| prove(known, "v2"));
        assert_eq!(of(&done, "v2"), "proven: v2");
    }

    #[test]
    fn proven_rejected_and_failed() {
        let done = known(|known| prove(known, "v2"));
        assert_eq!(said(Some("v2"), &done, 0), "proven: v2");
        assert_eq!(said(Some("v3"), &done, 0), "no pass has seen v3 serve");
        let head = done.workloads[&WorkloadName::new("app")].memory.lineage[0]
            .image
            .to_string();
        for by_id in [head.as_str(), head.get(7..19).unwrap_or_default()] {
            let said = said(Some(by_id), &done, 0);
            assert_eq!(said, format!("proven: {by_id}"));
        }
        let behind = known(|known| {
            prove_as(known, "v3", '3');
            prove(known, "v2");
        });
        assert_eq!(said(Some("v2"), &behind, 0), "v2 is a fallback");
        let mut rejected = known(|_| {});
        rejected.rejected.insert(
            WorkloadName::new("app"),
            BTreeMap::from([(image('2'), rejection("v2"))]),
        );
        assert_eq!(said(Some("v2"), &rejected, 0), "failed: v2: it is rejected");
        for outcome in [Outcome::Failed, Outcome::Withdrawn, Outcome::Superseded] {
            let ended = known(|known| known.failures.push(failure("v2", outcome, BEGAN_MS + 1)));
            assert!(
                said(Some("v2"), &ended, 2).starts_with("failed: v2: "),
                "{outcome:?}"
            );
        }
    }

    #[test]
    fn a_head_that_is_lost_or_in_doubt_is_not_latest() {
        let lost = known(|known| {
            prove_as(known, "v3", '3');
            prove(known, "v2");
            known.memory.images.remove(&image('3'));
        });
        let gone = "v3 is not on the disk any more";
        assert_eq!(said(Some("v3"), &lost, 0), gone);
        assert_eq!(said(Some("v2"), &lost, 0), "proven: v2");
        let in_doubt = known(|known| {
            prove(known, "v2");
            known.memory.latest_in_doubt = true;
        });
        let untagged = "v2 is not tagged as latest yet";
        assert_eq!(said(Some("v2"), &in_doubt, 0), untagged);
    }

    /// A tag that moves: the older build of v2 is latest, and the newer one is what was deployed.
    #[test]
    fn what_is_proven_by_an_older_build_is_not_what_was_deployed() {
        let newer = |change: fn(&mut WorkloadState)| {
            known(|known| {
                prove(known, "v2");
                known.memory.promoted_ms = Some(5);
                known.memory.images.insert(image('3'), seen(6));
                change(known);
            })
        };
        let failed = |known: &mut WorkloadState| {
            known.failures.push(Failure {
                image: image('3'),
                ..failure("v2", Outcome::Failed, 7)
            });
        };
        let rejected = |mut state: State| {
            let rejection = rejection("v2");
            let of_app = BTreeMap::from([(image('3'), rejection)]);
            state.rejected.insert(WorkloadName::new("app"), of_app);
            state
        };
        let crash_loops = newer(failed);
        let failed_before = "failed before: v2: removed";
        assert_eq!(said(Some("v2"), &crash_loops, 0), failed_before);
        let by_rollback = rejected(newer(|_| {}));
        let refused = "failed: v2: it is rejected";
        assert_eq!(said(Some("v2"), &by_rollback, 0), refused);
        let by_id = image('2').to_string();
        let done = format!("proven: {by_id}");
        assert_eq!(said(Some(&by_id), &by_rollback, 0), done);

        // It was latest itself, until a rollback went back to the older build.
        let mut rolled_back = rejected(newer(|known| known.memory.promoted_ms = Some(9)));
        let of_app = rolled_back.rejected.get_mut(&WorkloadName::new("app"));
        let rejection = of_app.unwrap().get_mut(&image('3')).unwrap();
        rejection.proven = Some(LineageEntry {
            promoted_at: Some("2026-11-22T23:00:00Z".to_owned()),
            ..proven("v2")
        });
        assert_eq!(said(Some("v2"), &rolled_back, 0), refused);

        // Its last container is gone, or another build was promoted since.
        let gone: [fn(&mut WorkloadState); 2] = [
            |known| {
                let newer = known.memory.images.get_mut(&image('3'));
                newer.unwrap().idle_since_ms = Some(8);
            },
            |known| known.memory.promoted_ms = Some(9),
        ];
        for gone in gone {
            let state = rejected(newer(gone));
            assert_eq!(said(Some("v2"), &state, 0), "proven: v2");
        }
    }

    #[test]
    fn what_failed_before_the_wait_and_is_deployed_again_is_waited_for() {
        let old = failure("v2", Outcome::Failed, BEGAN_MS);
        let again = known(|known| {
            known.failures.push(old.clone());
            known.memory.pending = Some(pending("v2", None));
        });
        let waits = "v2 is pending and does not soak";
        assert_eq!(said(Some("v2"), &again, 0), waits);
        assert_eq!(said(Some("v2"), &again, 10 * OLD_FAILURE_MS), waits);
        // No pass has seen it yet.
        let unseen = known(|known| known.failures.push(old.clone()));
        let failed_before = "failed before: v2: removed";
        assert_eq!(said(Some("v2"), &unseen, 0), failed_before);
        let withdrawn = failure("v2", Outcome::Withdrawn, BEGAN_MS);
        let withdrawn = known(|known| known.failures.push(withdrawn));
        let waits = "v2 does not run yet, or not again";
        assert_eq!(said(Some("v2"), &withdrawn, 0), waits);
        // Two passes are given the time to.
        let is_seen = |after_ms| wanted(Some("v2")).is_seen_by(BEGAN_MS + after_ms);
        assert!(!is_seen(OLD_FAILURE_MS - 1) && is_seen(OLD_FAILURE_MS));
        // What was promoted after it had failed is proven, until it fails anew.
        let fallback = |promoted_ms| {
            known(|known| {
                prove_as(known, "v3", '3');
                prove(known, "v2");
                known.memory.promoted_ms = Some(promoted_ms);
                known.failures.push(old.clone());
            })
        };
        assert_eq!(said(Some("v2"), &fallback(BEGAN_MS), 0), "v2 is a fallback");
        assert_eq!(said(Some("v2"), &fallback(BEGAN_MS - 1), 0), failed_before);
        // What fails once more has failed, also if it is up again at this moment.
        let anew = known(|known| {
            known
                .failures
                .push(failure("v2", Outcome::Failed, BEGAN_MS + 1));
            known.memory.pending = Some(pending("v2", None));
        });
        assert_eq!(said(Some("v2"), &anew, 5), "failed: v2: removed");
    }
}
