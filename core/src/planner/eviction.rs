//! Stage 6, eviction (policy `pressure`): while the filesystem of the engine's data is too full,
//! idle images that proved nothing do not get all of their grace.
//!
//! It looks at all workloads at once, because they share the disk: the images that have been idle
//! longest are removed first, and no more of them than make up for what is too much. It only ever
//! turns `grace` into `idle`.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::rules::{ImageVerdict, idle_ms};
use super::subject::Subject;
use super::upgrade::Upgrade;
use crate::Gather;
use crate::model::{Detail, Disk, Image, ImageId, Note, Reason, Verdict, WorkloadName};

/// The verdicts of every workload.
pub(super) type Verdicts<'a> = BTreeMap<&'a WorkloadName, Vec<ImageVerdict<'a>>>;
/// What the upgrade stage gave for every workload.
pub(super) type Upgrades<'a> = BTreeMap<&'a WorkloadName, Upgrade<'a>>;

/// The verdicts with the disk's usage in them.
pub(super) struct Evicted<'a> {
    pub(super) verdicts: Verdicts<'a>,
    /// The images that are removed for the disk's sake, longest idle first.
    pub(super) order: Vec<ImageId>,
    pub(super) notes: BTreeMap<&'a WorkloadName, Note>,
}

/// Whether anything could be removed for the disk's sake, so that its usage is worth a question.
pub(super) fn is_worth_asking(
    subjects: &[Subject<'_>],
    verdicts: &Verdicts<'_>,
    upgrades: &Upgrades<'_>,
) -> bool {
    subjects
        .iter()
        .any(|s| could_evict(*s, &verdicts[s.name], &upgrades[s.name]))
}

/// Turns `grace` into `idle` where the disk is too full.
pub(super) fn apply<'a>(
    subjects: &[Subject<'a>],
    mut verdicts: Verdicts<'a>,
    upgrades: &Upgrades<'a>,
    disk: Option<&Disk>,
) -> Evicted<'a> {
    let mut notes = BTreeMap::new();
    let mut order = Vec::new();
    match disk {
        None => {}
        Some(Disk::Unknown(why)) => {
            for s in subjects {
                if could_evict(*s, &verdicts[s.name], &upgrades[s.name]) {
                    notes.insert(s.name, Note::DiskUnknown { why: why.clone() });
                }
            }
        }
        Some(Disk::Measured {
            used_bytes,
            available_bytes,
        }) => {
            let usage = Usage {
                used_bytes: *used_bytes,
                total_bytes: used_bytes.saturating_add(*available_bytes),
            };
            order = select_victims(usage, candidates(subjects, &verdicts, upgrades));
            let victims: BTreeSet<&ImageId> = order.iter().gather();
            for s in subjects {
                if let Some(own) = verdicts.get_mut(s.name) {
                    if let Some(note) = evict(*s, own, &upgrades[s.name], usage, &victims) {
                        notes.insert(s.name, note);
                    }
                }
            }
        }
    }
    Evicted {
        verdicts,
        order,
        notes,
    }
}

/// How full a filesystem is for everyone but root, as `df` counts it.
#[derive(Clone, Copy)]
struct Usage {
    used_bytes: u64,
    total_bytes: u64,
}

impl Usage {
    fn is_over(self, threshold_percent: u8) -> bool {
        let threshold = u128::from(self.total_bytes) * u128::from(threshold_percent);
        u128::from(self.used_bytes) * 100 > threshold
    }

    /// Rounded up, as `df` prints it: so it is above a threshold where [`Self::is_over`] is.
    fn percent(self) -> u8 {
        let total = u128::from(self.total_bytes).max(1);
        let percent = (u128::from(self.used_bytes) * 100).div_ceil(total);
        u8::try_from(percent).unwrap_or(u8::MAX)
    }

    fn without(self, bytes: u64) -> Self {
        Self {
            used_bytes: self.used_bytes.saturating_sub(bytes),
            ..self
        }
    }
}

/// What the workloads' verdicts on an image say together.
struct Candidate<'a> {
    image: &'a Image,
    /// The least eager threshold of the workloads that give it grace; none while none does.
    threshold_percent: Option<u8>,
    /// The shortest time that one of them has had it idle.
    idle_ms: u64,
    /// Something keeps it, or one of its names: to remove the others would free nothing.
    kept: bool,
}

fn candidates<'a>(
    subjects: &[Subject<'a>],
    verdicts: &Verdicts<'a>,
    upgrades: &Upgrades<'a>,
) -> Vec<Candidate<'a>> {
    let mut candidates: BTreeMap<usize, Candidate<'a>> = BTreeMap::new();
    let is_anybodys = |image: &Image| {
        let mut names = image.references.iter();
        names.all(|name| subjects.iter().any(|s| s.policy.owns(name)))
    };
    for s in subjects {
        for verdict in &verdicts[s.name] {
            let Some(image) = s.inventory.image(verdict.image) else {
                continue;
            };
            let candidate = candidates
                .entry(verdict.place)
                .or_insert_with(|| Candidate {
                    image,
                    threshold_percent: None,
                    idle_ms: u64::MAX,
                    kept: image.unparsed_names > 0 || !is_anybodys(image),
                });
            candidate.kept |= is_put_off(*s, &upgrades[s.name], image);
            match threshold(*s, verdict, &upgrades[s.name]) {
                Some(threshold) => {
                    let known = candidate.threshold_percent;
                    candidate.threshold_percent = known.max(Some(threshold));
                    let idle_ms = idle_ms(*s, &upgrades[s.name], verdict.image);
                    candidate.idle_ms = candidate.idle_ms.min(idle_ms);
                }
                None => candidate.kept |= verdict.reason.verdict() == Verdict::Keep || s.is_held(),
            }
        }
    }
    candidates.into_values().collect()
}

/// Whether the engine refused to remove the image or one of its names, and the time to try again
/// has not come: it frees nothing.
fn is_put_off(subject: Subject<'_>, upgrade: &Upgrade<'_>, image: &Image) -> bool {
    let memory = &upgrade.state.memory;
    let targets = memory.refused.keys();
    let mut put_off = targets.filter(|target| subject.is_put_off(memory, target));
    put_off.any(|target| {
        image.references.iter().any(|name| name.is_written(target))
            || image.id.to_string() == *target
    })
}

/// The images that are removed for the disk's sake, longest idle first: as many as it takes, by
/// their sizes. What is removed anyway counts first. Sizes count shared layers in full, so this may
/// be too few of them, never too many; the next pass looks again.
fn select_victims(usage: Usage, candidates: Vec<Candidate<'_>>) -> Vec<ImageId> {
    let removed_anyway = candidates
        .iter()
        .filter(|c| !c.kept && c.threshold_percent.is_none());
    let mut usage = removed_anyway.fold(usage, |usage, c| usage.without(c.image.size_bytes));
    let mut idle: Vec<_> = candidates
        .into_iter()
        .filter(|c| !c.kept)
        .filter_map(|c| Some((c.threshold_percent?, c)))
        .collect();
    idle.sort_unstable_by(|(_, a), (_, b)| {
        (Reverse(a.idle_ms), &a.image.id).cmp(&(Reverse(b.idle_ms), &b.image.id))
    });
    let mut victims = Vec::new();
    for (threshold, candidate) in idle {
        if usage.is_over(threshold) {
            usage = usage.without(candidate.image.size_bytes);
            victims.push(candidate.image.id.clone());
        }
    }
    victims
}

/// The threshold above which a judged image may be removed for the disk's sake; none if it may not.
/// What this pass is the first to see idle is kept: from its pull to the start of its container an
/// image is idle too, and a disk is fullest right after a pull.
fn threshold(
    subject: Subject<'_>,
    verdict: &ImageVerdict<'_>,
    upgrade: &Upgrade<'_>,
) -> Option<u8> {
    let threshold = subject.policy.pressure_percent?;
    let record = upgrade.state.memory.images.get(verdict.image);
    let idle_since_ms = record.and_then(|r| r.idle_since_ms);
    let may_go = !subject.is_held()
        && verdict.reason == Reason::Grace
        && idle_since_ms.is_some_and(|since_ms| subject.is_of_earlier_pass(since_ms));
    may_go.then_some(threshold)
}

fn could_evict(subject: Subject<'_>, own: &[ImageVerdict<'_>], upgrade: &Upgrade<'_>) -> bool {
    own.iter()
        .any(|verdict| threshold(subject, verdict, upgrade).is_some())
}

fn evict(
    subject: Subject<'_>,
    own: &mut [ImageVerdict<'_>],
    upgrade: &Upgrade<'_>,
    usage: Usage,
    victims: &BTreeSet<&ImageId>,
) -> Option<Note> {
    let threshold_percent = subject.policy.pressure_percent?;
    if !usage.is_over(threshold_percent) || !could_evict(subject, own, upgrade) {
        return None;
    }
    let percent = usage.percent();
    let mut evicted = 0;
    for verdict in own.iter_mut() {
        if threshold(subject, verdict, upgrade).is_some() && victims.contains(verdict.image) {
            verdict.reason = Reason::Idle;
            if let Detail::Idle { cut_short, .. } = &mut verdict.detail {
                *cut_short = Some((percent, threshold_percent));
            }
            evicted += 1;
        }
    }
    Some(Note::DiskFull {
        percent,
        threshold: threshold_percent,
        evicted,
    })
}
