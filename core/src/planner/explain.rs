//! The history of each image, for a person who asks: what happened to it, and why and until when it
//! is kept. It decides nothing.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Decision;
use crate::model::{
    Detail, FirstSeen, ImageId, ImageReport, KeptUntil, NameReport, NameVerdict, Now, Policy,
    Reason, Reference, Rejected, Version, Workload, WorkloadName, WorkloadPlan, WorkloadState,
};

/// All images that are known of the workloads of the policy, by workload; those on the disk come
/// first.
pub fn image_reports(policy: &Policy, decision: &Decision, now: &Now) -> Vec<ImageReport> {
    let mut reports = Vec::new();
    for (name, plan) in &decision.plan.workloads {
        let known = decision.state.workloads.get(name);
        if let (Some(workload), Some(known)) = (policy.workloads.get(name), known) {
            let reporter = Reporter {
                name,
                workload,
                plan,
                known,
                now,
            };
            reports.extend(reporter.reports());
        }
    }
    reports
}

struct Reporter<'a> {
    name: &'a WorkloadName,
    workload: &'a Workload,
    plan: &'a WorkloadPlan,
    known: &'a WorkloadState,
    now: &'a Now,
}

impl<'a> Reporter<'a> {
    fn reports(&self) -> Vec<ImageReport> {
        let mut names: BTreeMap<&ImageId, Vec<&NameVerdict>> = BTreeMap::new();
        let mut order: Vec<&ImageId> = Vec::new();
        for verdict in &self.plan.images {
            let of_image = names.entry(&verdict.image).or_default();
            if of_image.is_empty() {
                order.push(&verdict.image);
            }
            of_image.push(verdict);
        }
        for id in self.remembered() {
            if !names.contains_key(id) {
                names.insert(id, Vec::new());
                order.push(id);
            }
        }
        let report = |id| self.report(id, names.get(id).map_or(&[], Vec::as_slice));
        order.into_iter().map(report).collect()
    }

    /// The images that are remembered, whether they are on the disk or not.
    fn remembered(&self) -> impl Iterator<Item = &'a ImageId> {
        let known = self.known;
        let history = known.history.iter().map(|past| &past.image);
        let lineage = known.memory.lineage.iter().map(|proven| &proven.image);
        let failures = known.failures.iter().map(|failure| &failure.image);
        history
            .chain(lineage)
            .chain(failures)
            .chain(self.plan.rejected.keys())
    }

    fn report(&self, id: &ImageId, names: &[&NameVerdict]) -> ImageReport {
        let known = self.known;
        let past = known.past(id);
        let proven = known.memory.proven(id);
        let is_here = !names.is_empty();
        let rejected = self.plan.rejected.get(id);
        ImageReport {
            workload: self.name.clone(),
            image: id.clone(),
            version: self.version(id, names),
            size_bytes: names.first().map(|verdict| verdict.size_bytes),
            first_seen: self.first_seen(id),
            promoted_at: past
                .and_then(|past| past.promoted_at.clone())
                .or_else(|| proven?.promoted_at.clone()),
            replaced: past.and_then(|past| past.replaced.clone()),
            retired: past.and_then(|past| past.retired.clone()),
            rejected: rejected.cloned(),
            lifted_by: rejected
                .map(|r| Rejected::lifted_by(&r.version, id, self.plan.rejected.values())),
            rejected_by_policy: self.plan.rejected_by_policy.contains_key(id),
            pending: self.plan.pending.clone().filter(|p| p.image == *id),
            failure: known.failure(id).cloned(),
            removed: past
                .and_then(|past| past.removed.clone())
                .filter(|_| !is_here),
            past_names: past
                .filter(|_| !is_here)
                .map(|past| past.names.clone())
                .unwrap_or_default(),
            names: names
                .iter()
                .map(|verdict| self.name_report(verdict))
                .collect(),
        }
    }

    fn version(&self, id: &ImageId, names: &[&NameVerdict]) -> Version {
        let known = self.known;
        let pending = known
            .memory
            .pending
            .iter()
            .find(|pending| pending.image == *id);
        // Said of it at the time, with its container; the history may have guessed without one.
        let failed = known.failure(id);
        let recorded = known
            .memory
            .proven(id)
            .map(|proven| &proven.version)
            .or(pending.map(|pending| &pending.version))
            .or(self.plan.rejected.get(id).map(|rejected| &rejected.version))
            .or(failed.map(|failure| &failure.version))
            .or(known.past(id).map(|past| &past.version));
        if let Some(version) = recorded {
            return version.clone();
        }
        let tags = |local: bool| {
            let names = names.iter().filter_map(|v| v.reference.as_ref());
            let names = names.filter(|r| (*r.repository() == self.workload.repository) == local);
            names.filter_map(Reference::version_tag).min()
        };
        let tag = tags(false).or_else(|| tags(true));
        tag.map_or_else(|| id.short_version(), Version::new)
    }

    fn first_seen(&self, id: &ImageId) -> FirstSeen {
        let since = self.known.since.as_ref();
        let record = self.known.memory.images.get(id);
        if let (Some(since), Some(record)) = (since, record) {
            if since.clock_ms == record.first_seen_ms {
                return FirstSeen::Before(since.at.clone());
            }
        }
        let past = self.known.past(id);
        if let Some(at) = past.and_then(|past| past.first_seen_at.clone()) {
            return if since.is_some_and(|since| since.at == at) {
                FirstSeen::Before(at)
            } else {
                FirstSeen::At(at)
            };
        }
        record.map_or(FirstSeen::Unknown, |record| {
            FirstSeen::Ago(self.now.ms().saturating_sub(record.first_seen_ms))
        })
    }

    fn name_report(&self, verdict: &NameVerdict) -> NameReport {
        NameReport {
            reference: verdict.reference.clone(),
            reason: verdict.reason,
            detail: verdict.detail.clone(),
            until: if self.plan.held.is_some() {
                KeptUntil::HoldEnds
            } else {
                self.until(verdict)
            },
        }
    }

    /// In how many milliseconds the engine is asked again, if it has refused to remove the name, or
    /// the nameless image.
    fn put_off_ms(&self, verdict: &NameVerdict) -> Option<u64> {
        let target = verdict.removal_target();
        let mut refused = self.plan.refused.iter();
        let refused = refused.find(|refused| refused.target == target)?;
        Some(refused.retry_in_ms).filter(|ms| *ms > 0)
    }

    fn until(&self, verdict: &NameVerdict) -> KeptUntil {
        let id = &verdict.image;
        if matches!(verdict.detail, Detail::KeptByOther { .. }) {
            return KeptUntil::OtherWorkload;
        }
        match verdict.reason {
            Reason::Latest => KeptUntil::OtherPromoted,
            Reason::Pending => {
                let pending = self.plan.pending.as_ref();
                let left = pending.map_or(0, |p| p.soak_ms.saturating_sub(p.up_ms));
                let waits = pending.and_then(|p| p.waits.clone());
                waits.map_or(KeptUntil::Soaked(left), KeptUntil::Waits)
            }
            Reason::Fallback => {
                let behind = self.plan.fallbacks.iter().position(|f| f.image == *id);
                behind.map_or(KeptUntil::OtherPromoted, |at| {
                    KeptUntil::Promotions(self.workload.fallbacks.saturating_sub(at).max(1))
                })
            }
            Reason::Twin => KeptUntil::VersionUnneeded,
            Reason::InUse => {
                let (container, others) = match &verdict.detail {
                    Detail::UsedBy {
                        container, others, ..
                    } => ((**container).into(), *others),
                    _ => Default::default(),
                };
                KeptUntil::Unused {
                    container,
                    others,
                    at_once: self.known.memory.retired.contains(id),
                }
            }
            Reason::Inherited => KeptUntil::AnyReplaced,
            Reason::Grace => KeptUntil::GraceOver {
                left_ms: match verdict.detail {
                    Detail::Idle {
                        idle_ms, grace_ms, ..
                    } => grace_ms.saturating_sub(idle_ms),
                    _ => 0,
                },
                // What the engine refuses to remove makes no room.
                pressure_percent: self
                    .workload
                    .pressure_percent
                    .filter(|_| self.put_off_ms(verdict).is_none()),
            },
            Reason::Adopt | Reason::Renamed | Reason::Retired | Reason::Idle => {
                let put_off = self.put_off_ms(verdict);
                put_off.map_or(KeptUntil::NextPass, KeptUntil::AskedAgain)
            }
        }
    }
}
