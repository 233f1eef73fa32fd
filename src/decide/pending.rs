//! The pending upgrade (design 4.3): it begins, starts again, goes on, or fails.

use crate::image::ImageId;
use crate::span;
use crate::state::{Failure, Pending, Proven};
use crate::world::{Container, ContainerId, ContainerState, Details, Health, Readiness};

use super::FAILURES_KEPT;
use super::case::Case;
use super::event::EventKind;
use super::serving::Serves;

/// Exit codes of a container that was told to stop: none at all, SIGTERM, SIGKILL.
const STOPPED_EXIT_CODES: [i64; 3] = [0, 128 + 15, 128 + 9];

impl Case<'_> {
    /// Follows the upgrade through one round: a promotion that was committed is recorded, the pending upgrade is brought
    /// up to the world, and one that has proved itself is promoted.
    pub(crate) fn follow_upgrade(&mut self) {
        self.record_committed_promotion();
        self.observe_upgrade();
        self.promote_if_soaked();
        self.restore_latest();
        self.find_stale_local();
    }

    /// Whether what a container runs could become latest: an image of the workload, not rejected, not proven yet. A
    /// foreign image under the local container's name is never promoted.
    pub(crate) fn is_upgradable(&self, container: &Container) -> bool {
        self.is_member(&container.image)
            && !self.state.rejected.contains_key(&container.image)
            && !self.is_proven(&container.image)
    }

    fn observe_upgrade(&mut self) {
        if self
            .state
            .pending
            .as_ref()
            .is_some_and(|pending| self.is_committed(pending))
        {
            return; // It is on hold, or it would be recorded by now; it is recorded when the hold ends.
        }
        let candidate = self
            .serves
            .container()
            .filter(|c| self.is_upgradable(c))
            .and_then(|container| self.details(container).map(|details| (container, details)));
        let before = self.state.pending.take();
        let pending = match (before, candidate) {
            (None, None) => return,
            (None, Some((container, details))) => self.begin(container, details, None),
            (Some(pending), Some((container, details))) if pending.image == container.image => {
                self.go_on(pending, container, details)
            }
            // An engine that came up with its data disk unmounted, and so without containers: nothing is forgotten, and
            // nothing soaks.
            (Some(mut pending), None) if self.is_disk_strange() && !self.exists(&pending.id) => {
                pending.soaking_since_ms = None;
                self.state.pending = Some(pending);
                return;
            }
            (Some(pending), candidate) => {
                self.end(&pending);
                let Some((container, details)) = candidate else {
                    return;
                };
                self.begin(container, details, pending.stand_in)
            }
        };
        self.state.pending = Some(self.soak(pending, candidate.map(|(_, details)| details)));
    }

    fn begin(
        &mut self,
        container: &Container,
        details: &Details,
        stood_in: Option<Proven>,
    ) -> Pending {
        // What stood in has its version written down: it is not guessed again (design 4.2).
        let version = match &stood_in {
            Some(known) if known.image == container.image => known.version.clone(),
            _ => self.version_run_by(container),
        };
        let message = format!(
            "{version} serves in {}: soaking for {}",
            container.name(),
            span::compact(self.workload.soak_ms)
        );
        self.event(EventKind::Pending, &version, &container.image, message);
        if self.state.retired.remove(&container.image) {
            self.note_wanted(&container.image);
        }
        self.count_sighting(&container.image, 1);
        Pending {
            version,
            image: container.image.clone(),
            container: container.name().into_owned(),
            id: container.id.clone(),
            started_at: details.started_at.clone(),
            orchestrated: matches!(self.serves, Serves::Orchestrated(_)),
            began: self.now.moment(),
            soaking_since_ms: Some(self.now.ms()),
            restarts: 0,
            soaked: false,
            stand_in: self.stand_in(&container.image, stood_in),
        }
    }

    /// What is latest now, to become the fallback in place of a lineage that is not on the disk. What is known of it from
    /// the upgrade that this one replaces stays known: its version, and that it was rolled out.
    fn stand_in(&self, upgrade: &ImageId, stood_in: Option<Proven>) -> Option<Proven> {
        let latest = self
            .cast
            .latest
            .filter(|image| image.id != *upgrade && self.head().is_none())?;
        if stood_in
            .as_ref()
            .is_some_and(|known| known.image == latest.id)
        {
            return stood_in;
        }
        Some(Proven {
            version: self.version_of(latest),
            image: latest.id.clone(),
            rolled_out: self.is_rolled_out(latest),
            promoted_at: None,
        })
    }

    /// The same image still serves. A new incarnation starts the soak again and keeps the stand-in.
    fn go_on(&mut self, mut pending: Pending, container: &Container, details: &Details) -> Pending {
        // The rounds of the pass in which it began share one moment; a later one is a second pass.
        if self.now.ms() > pending.began.clock_ms {
            self.count_sighting(&pending.image, 2);
        }
        if pending.id == container.id && pending.started_at == details.started_at {
            return pending;
        }
        self.tell_restart(&pending, "restarted");
        self.count(|tally| &mut tally.restarts);
        pending.container = container.name().into_owned();
        pending.id = container.id.clone();
        pending.started_at.clone_from(&details.started_at);
        pending.orchestrated = matches!(self.serves, Serves::Orchestrated(_));
        pending.soaking_since_ms = Some(self.now.ms());
        pending.restarts = pending.restarts.saturating_add(1);
        pending.soaked = false;
        pending
    }

    /// An incarnation that is unhealthy or not ready does not soak, and a note that its soak is over is taken back.
    fn soak(&mut self, mut pending: Pending, details: Option<&Details>) -> Pending {
        let Some(trouble) = self.trouble(details) else {
            if !self.is_unasked() {
                pending.soaking_since_ms.get_or_insert(self.now.ms());
            }
            return pending;
        };
        if pending.soaking_since_ms.is_some() {
            self.tell_restart(&pending, &trouble);
        }
        self.notes.push(format!(
            "{} {trouble}: its soak has not begun",
            pending.version
        ));
        pending.soaking_since_ms = None;
        pending.soaked = false;
        pending
    }

    fn tell_restart(&mut self, pending: &Pending, why: &str) {
        let (version, up) = (&pending.version, self.up_for(pending));
        let message = format!("{version} {why} after {up}: the soak starts again");
        self.event(EventKind::Restarted, version, &pending.image, message);
    }

    fn trouble(&self, details: Option<&Details>) -> Option<String> {
        match details.and_then(|d| d.health) {
            Some(Health::Unhealthy) => return Some("is unhealthy".to_owned()),
            Some(Health::Starting) => return Some("is not healthy yet".to_owned()),
            Some(Health::Healthy) | None => {}
        }
        match self.readiness() {
            Some(Readiness::NotReady(why)) => Some(format!("is not ready ({why})")),
            Some(Readiness::Ready) | None => None,
        }
    }

    fn count_sighting(&mut self, image: &ImageId, passes: u8) {
        if let Some(sighting) = self.state.images.get_mut(image) {
            sighting.times_pending = (sighting.times_pending + passes).min(2);
        }
    }

    /// The pending upgrade's image is no candidate any more: it failed, unless it is proven by now or was rejected.
    fn end(&mut self, pending: &Pending) {
        if self.is_proven(&pending.image) || self.state.rejected.contains_key(&pending.image) {
            return;
        }
        let (reason, up_secs) = self.why_ended(pending);
        let message = format!(
            "{} failed after {}: {reason}",
            pending.version,
            span::compact(up_secs * 1000)
        );
        self.warning(EventKind::Failed, &pending.version, &pending.image, message);
        self.count(|tally| &mut tally.failures);
        let seen_twice = self
            .state
            .images
            .get(&pending.image)
            .is_none_or(|s| s.times_pending >= 2);
        if !seen_twice {
            return;
        }
        let incarnations = pending.restarts.saturating_add(1);
        let known = self
            .state
            .failures
            .iter()
            .position(|f| f.image == pending.image);
        let before = known.map_or(0, |at| self.state.failures.remove(at).attempts);
        let failure = Failure {
            version: pending.version.clone(),
            image: pending.image.clone(),
            attempts: before.saturating_add(incarnations),
            up_secs,
            reason,
            at: self.now.wall.clone(),
        };
        self.state.failures.insert(0, failure);
        self.state.failures.truncate(FAILURES_KEPT);
    }

    fn why_ended(&self, pending: &Pending) -> (String, u64) {
        let up_secs = self.up_ms(pending) / 1000;
        let ended = self
            .scene
            .world
            .containers
            .iter()
            .find(|c| c.id == pending.id);
        let details = ended.and_then(|c| self.details(c));
        let exit_code = details.and_then(|d| d.exit_code);
        let ran_secs = details.and_then(|d| d.ran_secs).unwrap_or(up_secs);
        let replaced = self
            .serves
            .container()
            .is_some_and(|c| c.image != pending.image);
        let reason = match ended.map(|c| c.state) {
            _ if matches!(self.serves, Serves::SeveralImages(..)) => {
                "several images at once".to_owned()
            }
            Some(ContainerState::Exited | ContainerState::Dead | ContainerState::Restarting) => {
                match exit_code {
                    Some(code) if !(replaced && STOPPED_EXIT_CODES.contains(&code)) => {
                        return (format!("exited ({code})"), ran_secs);
                    }
                    _ if replaced => "replaced".to_owned(),
                    _ => "exited".to_owned(),
                }
            }
            _ if replaced => "replaced".to_owned(),
            None => "removed".to_owned(),
            Some(ContainerState::Running) => "serves no longer".to_owned(),
            Some(state) => state.as_str().to_owned(),
        };
        (reason, up_secs)
    }

    fn exists(&self, container: &ContainerId) -> bool {
        let mut containers = self.scene.world.containers.iter();
        containers.any(|c| c.id == *container)
    }

    /// Whether nobody asked the workload's `ready` command (`status` and `rollback` do not): no answer is neither a yes nor
    /// a no, so a soak neither begins nor ends by it.
    pub(crate) fn is_unasked(&self) -> bool {
        self.workload.ready.is_some() && self.readiness().is_none()
    }

    /// How long the incarnation has soaked, in milliseconds.
    pub(crate) fn up_ms(&self, pending: &Pending) -> u64 {
        pending
            .soaking_since_ms
            .map_or(0, |since_ms| self.now.ms().saturating_sub(since_ms))
    }

    pub(crate) fn up_for(&self, pending: &Pending) -> String {
        span::compact(self.up_ms(pending))
    }
}
