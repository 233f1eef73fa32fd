//! Disk pressure (policy `pressure`): while the filesystem of the engine's data is too full, idle images that proved
//! nothing do not get all of their grace. Pure.
//!
//! The one step that looks at all workloads at once, because they share the disk: the images that have been idle longest go
//! first, whosever they are, and no more of them than make up for what is too much. It only ever turns `grace` into `idle`:
//! what any other row of the verdict table keeps, or another name, it does not look at.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::image::ImageId;
use crate::world::{Disk, Image};

use super::case::Case;
use super::detail::Detail;
use super::lookup::Table;
use super::plan::{Judgement, Reason, Verdict};
use super::scene::Scene;

/// Whether anything could go on account of a full disk, so that it is worth asking how full it is.
pub(crate) fn is_worth_asking(cases: &[Case<'_>]) -> bool {
    cases
        .iter()
        .any(|case| case.judgements.iter().any(|j| case.limit(j).is_some()))
}

/// Turns `grace` into `idle` where the disk is too full, and says what a person should know of it.
pub(crate) fn press(cases: &mut [Case<'_>], scene: &Scene<'_>) {
    let Some(disk) = &scene.world.disk else {
        return;
    };
    match disk {
        Disk::Unknown(why) => {
            for case in cases.iter_mut().filter(|case| case.could_press()) {
                case.notes.push(format!(
                    "the disk could not be measured, so that nothing goes before its grace is over: {why}"
                ));
            }
        }
        Disk::Measured {
            used_bytes,
            available_bytes,
        } => {
            let usage = Usage {
                used_bytes: *used_bytes,
                total_bytes: used_bytes.saturating_add(*available_bytes),
            };
            let taken = choose(usage, &fates(cases, scene));
            for case in cases {
                case.press(usage, &taken);
            }
        }
    }
}

/// How full a filesystem is for everyone but root, as `df` counts it.
#[derive(Clone, Copy)]
struct Usage {
    used_bytes: u64,
    total_bytes: u64,
}

impl Usage {
    fn is_over(self, limit_percent: u8) -> bool {
        u128::from(self.used_bytes) * 100 > u128::from(self.total_bytes) * u128::from(limit_percent)
    }

    /// Rounded up, as `df` prints it: so it is above a limit where [`Self::is_over`] is.
    fn percent(self) -> u128 {
        let total = u128::from(self.total_bytes).max(1);
        (u128::from(self.used_bytes) * 100).div_ceil(total)
    }

    fn without(self, bytes: u64) -> Self {
        Self {
            used_bytes: self.used_bytes.saturating_sub(bytes),
            ..self
        }
    }
}

/// What the verdicts on all names of an image come to.
struct Fate<'a> {
    image: &'a Image,
    /// The least eager limit of the workloads that give it grace; none while no name of it is in grace.
    limit_percent: Option<u8>,
    /// The shortest time that one of them has had it idle.
    idle_ms: u64,
    /// Something keeps it, or one of its names: to take the others would free nothing.
    stays: bool,
}

fn fates<'a>(cases: &[Case<'a>], scene: &Scene<'a>) -> Vec<Fate<'a>> {
    let mut fates: Table<&'a ImageId, Fate<'a>> = Table::default();
    for case in cases {
        for judgement in &case.judgements {
            let Some(image) = scene.image(&judgement.image) else {
                continue;
            };
            let fate = fates.entry(&image.id).or_insert_with(|| Fate {
                image,
                limit_percent: None,
                idle_ms: u64::MAX,
                stays: image.foreign_names > 0
                    || !image
                        .references
                        .iter()
                        .all(|name| cases.iter().any(|case| case.is_own(name))),
            });
            match case.limit(judgement) {
                Some(limit) => {
                    fate.limit_percent = fate.limit_percent.max(Some(limit));
                    fate.idle_ms = fate.idle_ms.min(case.idle_ms(&image.id));
                }
                None => fate.stays |= judgement.verdict() != Verdict::Remove,
            }
        }
    }
    fates.into_values().collect()
}

/// The images that go on account of the disk, oldest first: as many as it takes, by their sizes. What goes anyway counts
/// first. Sizes count shared layers in full, so this may be too few of them, never too many; the next pass looks again.
fn choose(usage: Usage, fates: &[Fate<'_>]) -> Vec<ImageId> {
    let goes_anyway = |fate: &&Fate<'_>| !fate.stays && fate.limit_percent.is_none();
    let mut usage = fates
        .iter()
        .filter(goes_anyway)
        .fold(usage, |usage, fate| usage.without(fate.image.size_bytes));
    let mut pressed: Vec<_> = fates
        .iter()
        .filter(|fate| !fate.stays)
        .filter_map(|fate| Some((fate, fate.limit_percent?)))
        .collect();
    pressed.sort_unstable_by_key(|(fate, _)| (Reverse(fate.idle_ms), &fate.image.id));
    let mut taken = Vec::new();
    for (fate, limit_percent) in pressed {
        if usage.is_over(limit_percent) {
            usage = usage.without(fate.image.size_bytes);
            taken.push(fate.image.id.clone());
        }
    }
    taken
}

impl Case<'_> {
    /// The limit above which a judged name may go on account of the disk; none if it may not. What this pass is the first to
    /// see idle stays: from its pull to the start of its container an image is idle too, and a disk is fullest right after
    /// a pull.
    fn limit(&self, judgement: &Judgement) -> Option<u8> {
        let limit = self.workload.pressure_percent?;
        let may_go = judgement.reason == Reason::Grace && self.idle_ms(&judgement.image) > 0;
        may_go.then_some(limit)
    }

    fn could_press(&self) -> bool {
        self.judgements.iter().any(|j| self.limit(j).is_some())
    }

    fn press(&mut self, usage: Usage, taken: &[ImageId]) {
        let Some(limit) = self.workload.pressure_percent else {
            return;
        };
        if !usage.is_over(limit) || !self.could_press() {
            return;
        }
        let full = format!("the disk is {}% full, more than {limit}%", usage.percent());
        let goes: BTreeSet<&ImageId> = taken.iter().collect();
        let mut gone = 0_usize;
        for judgement in &mut self.judgements {
            if judgement.reason == Reason::Grace && goes.contains(&judgement.image) {
                judgement.reason = Reason::Idle;
                if let Detail::Idle { cut_short, .. } = &mut judgement.detail {
                    *cut_short = Some(full.clone());
                }
                gone += 1;
            }
        }
        self.pressed = taken.to_vec();
        self.notes.push(match gone {
            0 => format!("{full}; of what is in grace here nothing goes: what is older suffices, or it would free nothing"),
            _ => format!("{full}: idle images do not get all of their grace"),
        });
    }

    /// How long an image has been idle; nothing while it is in use.
    pub(crate) fn idle_ms(&self, id: &ImageId) -> u64 {
        let sighting = self.state.images.get(id);
        sighting
            .and_then(|s| s.idle_since_ms)
            .map_or(0, |since| self.now.ms().saturating_sub(since))
    }

    /// The detail of an image in grace, or after it.
    pub(crate) fn idle_detail(&self, id: &ImageId) -> Detail {
        Detail::Idle {
            idle_ms: self.idle_ms(id),
            grace_ms: self.workload.grace_ms,
            cut_short: None,
        }
    }
}
