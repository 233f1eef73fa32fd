//! The story of each image, for a person who asks: what happened to it, what becomes of it and when. Pure.
//!
//! Told from what was decided and remembered: it decides nothing itself.

use std::collections::BTreeMap;

use crate::image::{ImageId, Reference, Version};
use crate::policy::{Policy, Workload, WorkloadName};
use crate::state::{Failure, Now, Rejected, Removed, Replaced, Retired, WorkloadState};

use super::Decision;
use super::detail::Detail;
use super::plan::{Judgement, PendingView, Reason, WorkloadPlan};

/// All that is known of one image of one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// Whose image it is.
    pub workload: WorkloadName,
    /// Its identity.
    pub image: ImageId,
    /// The version that it has, or had.
    pub version: Version,
    /// Size in bytes; none of an image that is not on the disk.
    pub size_bytes: Option<u64>,
    /// When it was first seen.
    pub first_seen: FirstSeen,
    /// When it was last promoted, RFC 3339.
    pub promoted_at: Option<String>,
    /// What took `latest` from it.
    pub replaced: Option<Replaced>,
    /// What made it obsolete.
    pub retired: Option<Retired>,
    /// The rejection by a person, if it stands.
    pub rejected: Option<Rejected>,
    /// The upgrade to it that is being soaked.
    pub pending: Option<PendingView>,
    /// The upgrades to it that failed.
    pub failure: Option<Failure>,
    /// How it left the disk.
    pub removed: Option<Removed>,
    /// Its names on the disk, one of them none for a nameless image; empty once it has left.
    pub names: Vec<Fate>,
}

/// When an image was first seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstSeen {
    /// At this time, RFC 3339.
    At(String),
    /// It was there when the records began, at this time.
    Before(String),
    /// So many milliseconds of host uptime ago; the time of day was not written down.
    Ago(u64),
    /// Nobody remembers.
    Unknown,
}

/// What becomes of one name, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The name; none for a nameless image.
    pub reference: Option<Reference>,
    /// Why it stays, moves or goes.
    pub reason: Reason,
    /// The same with its particulars.
    pub detail: Detail,
    /// When that changes.
    pub until: Until,
}

/// When what becomes of a name changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// Nothing happens while the workload is on hold.
    HoldEnds,
    /// Another version is promoted.
    OtherPromoted,
    /// Its soak is over, in so many milliseconds of an unbroken run.
    Soaked(u64),
    /// So many promotions are made.
    Promotions(usize),
    /// The other workload that wants it does so no more.
    OtherWorkload,
    /// Its version is wanted no more.
    VersionUnwanted,
    /// No container uses it any more; then it goes at once, or has its grace.
    Unused {
        /// The name of the one, or of the first.
        container: String,
        /// How many others there are.
        others: usize,
        /// Whether it goes at once then.
        at_once: bool,
    },
    /// A promotion replaces something.
    AnyReplaced,
    /// Its grace period is over, or the disk is too full for one.
    GraceOver {
        /// Milliseconds of host uptime.
        left_ms: u64,
        /// How full the disk may become before it goes sooner; none if that never makes it go.
        pressure_percent: Option<u8>,
    },
    /// The next pass.
    NextPass,
}

/// The stories of all images that are known of the workloads of the policy, by workload; those on the disk come first.
pub fn stories(policy: &Policy, decision: &Decision, now: &Now) -> Vec<Story> {
    let mut stories = Vec::new();
    for (name, plan) in &decision.plan.workloads {
        let (Some(workload), Some(known)) = (
            policy.workloads.get(name),
            decision.state.workloads.get(name),
        ) else {
            continue;
        };
        let teller = Teller {
            name,
            workload,
            plan,
            known,
            now,
        };
        teller.tell(&mut stories);
    }
    stories
}

struct Teller<'a> {
    name: &'a WorkloadName,
    workload: &'a Workload,
    plan: &'a WorkloadPlan,
    known: &'a WorkloadState,
    now: &'a Now,
}

impl<'a> Teller<'a> {
    fn tell(&self, stories: &mut Vec<Story>) {
        let mut names: BTreeMap<&ImageId, Vec<&Judgement>> = BTreeMap::new();
        let mut order: Vec<&ImageId> = Vec::new();
        for judgement in &self.plan.images {
            let of_image = names.entry(&judgement.image).or_default();
            if of_image.is_empty() {
                order.push(&judgement.image);
            }
            of_image.push(judgement);
        }
        for id in self.remembered() {
            if names.entry(id).or_default().is_empty() && !order.contains(&id) {
                order.push(id);
            }
        }
        stories.extend(
            order
                .into_iter()
                .map(|id| self.story(id, names.get(id).map_or(&[], Vec::as_slice))),
        );
    }

    /// The images that are remembered, whether they are on the disk or not.
    fn remembered(&self) -> impl Iterator<Item = &'a ImageId> {
        let known = self.known;
        let history = known.history.iter().map(|past| &past.image);
        let lineage = known.lineage.iter().map(|proven| &proven.image);
        let failures = known.failures.iter().map(|failure| &failure.image);
        history
            .chain(lineage)
            .chain(failures)
            .chain(known.rejected.keys())
    }

    fn story(&self, id: &ImageId, names: &[&Judgement]) -> Story {
        let known = self.known;
        let past = known.past(id);
        let proven = known.lineage.iter().find(|proven| proven.image == *id);
        let is_here = !names.is_empty();
        Story {
            workload: self.name.clone(),
            image: id.clone(),
            version: self.version(id, names),
            size_bytes: names.first().map(|judgement| judgement.size_bytes),
            first_seen: self.first_seen(id),
            promoted_at: past
                .and_then(|past| past.promoted_at.clone())
                .or_else(|| proven?.promoted_at.clone()),
            replaced: past.and_then(|past| past.replaced.clone()),
            retired: past.and_then(|past| past.retired.clone()),
            rejected: known.rejected.get(id).cloned(),
            pending: self.plan.pending.clone().filter(|p| p.image == *id),
            failure: known.failures.iter().find(|f| f.image == *id).cloned(),
            removed: past
                .and_then(|past| past.removed.clone())
                .filter(|_| !is_here),
            names: names.iter().map(|judgement| self.fate(judgement)).collect(),
        }
    }

    fn version(&self, id: &ImageId, names: &[&Judgement]) -> Version {
        let known = self.known;
        let proven = known.lineage.iter().find(|proven| proven.image == *id);
        let pending = known.pending.iter().find(|pending| pending.image == *id);
        let recorded = proven
            .map(|proven| &proven.version)
            .or(pending.map(|pending| &pending.version))
            .or(known.rejected.get(id).map(|rejected| &rejected.version))
            .or(known.past(id).map(|past| &past.version));
        if let Some(version) = recorded {
            return version.clone();
        }
        let failed = known.failures.iter().find(|failure| failure.image == *id);
        if let Some(failure) = failed {
            return failure.version.clone();
        }
        let tags = |local: bool| {
            let names = names.iter().filter_map(|j| j.reference.as_ref());
            let names = names.filter(|r| (*r.repository() == self.workload.repository) == local);
            names.filter_map(Reference::version_tag).min()
        };
        let tag = tags(false).or_else(|| tags(true));
        tag.map_or_else(|| id.short_version(), Version::new)
    }

    fn first_seen(&self, id: &ImageId) -> FirstSeen {
        let came_in = self.known.came_in.as_ref();
        let sighting = self.known.images.get(id);
        if let (Some(came_in), Some(sighting)) = (came_in, sighting)
            && came_in.clock_ms == sighting.first_seen_ms
        {
            return FirstSeen::Before(came_in.at.clone());
        }
        let past = self.known.past(id);
        if let Some(at) = past.and_then(|past| past.first_seen_at.clone()) {
            return if came_in.is_some_and(|came_in| came_in.at == at) {
                FirstSeen::Before(at)
            } else {
                FirstSeen::At(at)
            };
        }
        sighting.map_or(FirstSeen::Unknown, |sighting| {
            FirstSeen::Ago(self.now.ms().saturating_sub(sighting.first_seen_ms))
        })
    }

    fn fate(&self, judgement: &Judgement) -> Fate {
        Fate {
            reference: judgement.reference.clone(),
            reason: judgement.reason,
            detail: judgement.detail.clone(),
            until: self.until(judgement),
        }
    }

    fn until(&self, judgement: &Judgement) -> Until {
        let id = &judgement.image;
        if matches!(judgement.detail, Detail::KeptBy { .. }) {
            return Until::OtherWorkload;
        }
        match judgement.reason {
            Reason::Held => Until::HoldEnds,
            Reason::Latest => Until::OtherPromoted,
            Reason::Pending => {
                let pending = self.plan.pending.as_ref();
                Until::Soaked(pending.map_or(0, |p| p.soak_ms.saturating_sub(p.up_ms)))
            }
            Reason::Fallback => {
                let behind = self.plan.fallbacks.iter().position(|f| f.image == *id);
                let is_head = self.known.lineage.iter().any(|f| f.image == *id);
                match behind {
                    Some(at) => {
                        Until::Promotions(self.workload.fallbacks.saturating_sub(at).max(1))
                    }
                    None if is_head => Until::OtherPromoted,
                    None => Until::OtherWorkload,
                }
            }
            Reason::Twin => Until::VersionUnwanted,
            Reason::InUse => {
                let (container, others) = match &judgement.detail {
                    Detail::UsedBy {
                        container, others, ..
                    } => (container.clone(), *others),
                    _ => (String::new(), 0),
                };
                Until::Unused {
                    container,
                    others,
                    at_once: self.known.retired.contains(id),
                }
            }
            Reason::Inherited => Until::AnyReplaced,
            Reason::Grace => Until::GraceOver {
                left_ms: match judgement.detail {
                    Detail::Idle {
                        idle_ms, grace_ms, ..
                    } => grace_ms.saturating_sub(idle_ms),
                    _ => 0,
                },
                pressure_percent: self.workload.pressure_percent,
            },
            Reason::Adopt | Reason::Renamed | Reason::Retired | Reason::Idle => Until::NextPass,
        }
    }
}
