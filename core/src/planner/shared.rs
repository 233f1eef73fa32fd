//! Stage 6, sharing (design 4.5): an image of several workloads is removed if none of them keeps
//! it.
//!
//! A workload on hold keeps what it has. And none removes an image in the round in which one of the
//! others gives names.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::eviction::{Upgrades, Verdicts};
use super::subject::Subject;
use crate::model::{Detail, ImageId, Reason, Verdict, WorkloadName};

/// The verdicts that all workloads agree on.
pub(super) struct Resolved<'a> {
    pub(super) verdicts: Verdicts<'a>,
    /// The images that are not removed in this round, because a workload that has them gives names.
    pub(super) deferred: BTreeSet<ImageId>,
}

/// Turns a removal into the verdict of whoever keeps the image.
pub(super) fn resolve<'a>(
    subjects: &[Subject<'a>],
    mut verdicts: Verdicts<'a>,
    upgrades: &Upgrades<'a>,
) -> Resolved<'a> {
    let mut deferred = BTreeSet::new();
    for (place, owners) in of_several(&verdicts) {
        let keeper = subjects
            .iter()
            .filter(|s| owners.contains(&s.name))
            .find_map(|s| {
                let own = verdicts[s.name].iter().find(|v| v.place == place)?;
                let kept = own.reason.verdict() == Verdict::Keep;
                let reason = if kept { own.reason } else { Reason::Grace };
                (kept || s.is_held()).then(|| (s.name, reason, own.detail.clone()))
            });
        for owner in &owners {
            let own = verdicts.get_mut(*owner).into_iter().flatten();
            for verdict in own.filter(|v| v.place == place) {
                let removed = verdict.reason.verdict() == Verdict::Remove;
                match &keeper {
                    Some((name, reason, why)) if removed && name != owner => {
                        verdict.reason = *reason;
                        verdict.detail = Detail::KeptByOther {
                            workload: (*name).clone(),
                            why: Box::new(why.clone()),
                        };
                    }
                    None if removed && owners.iter().any(|o| !upgrades[o].tags.is_empty()) => {
                        deferred.insert(verdict.image.clone());
                    }
                    _ => {}
                }
            }
        }
    }
    Resolved { verdicts, deferred }
}

/// The images that belong to several workloads, by their places.
fn of_several<'a>(verdicts: &Verdicts<'a>) -> BTreeMap<usize, Vec<&'a WorkloadName>> {
    if verdicts.len() < 2 {
        return BTreeMap::new();
    }
    let mut owners: BTreeMap<usize, Vec<&'a WorkloadName>> = BTreeMap::new();
    for (name, own) in verdicts {
        for verdict in own {
            owners.entry(verdict.place).or_default().push(name);
        }
    }
    owners.retain(|_, names| names.len() > 1);
    owners
}
