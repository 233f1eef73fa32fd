//! One host of the fleet: the model host, what its orchestrator and its local service do there, and
//! the troubles that befall it.

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use tagkeeper_core::model::{EventKind, Outcome};

use super::rollout::{HORIZON, Keeper, OUTAGE, SECOND_ROLLOUT};
use super::single_look::SingleLook;
use crate::host::{Host, MINUTE_MS};
use crate::properties::roll_back_if_it_may;

/// The versions are 1 to 4; the third is bad.
pub(super) type VersionNumber = usize;
pub(super) const SHIPPED: VersionNumber = 1;
pub(super) const GOOD: VersionNumber = 2;
pub(super) const BAD: VersionNumber = 3;
pub(super) const FIXED: VersionNumber = 4;
/// The image of each version. What is pulled for a dry run of the first is another build.
const DIGITS: [char; 5] = ['-', 'a', 'b', 'c', 'd'];
const DRY_RUN_DIGIT: char = 'e';
const MEBIBYTE: u64 = 1 << 20;
/// Images grow.
const SIZE_BYTES: [u64; 5] = [
    0,
    400 * MEBIBYTE,
    420 * MEBIBYTE,
    450 * MEBIBYTE,
    460 * MEBIBYTE,
];
const DISK_BYTES: u64 = 16 * 1024 * MEBIBYTE;
/// What a disk that fills has left for images: v1 to v3 fit, and v4 only where v3 is gone.
const ROOM_BYTES: u64 = 1300 * MEBIBYTE;

/// A switch is busy for so many minutes after something happened there: it is passed over each
/// minute. Nothing changes in the passes of an idle one but the age of what is in grace, so it gets
/// one in so many minutes.
const BUSY_MINUTES: u64 = 4;
const IDLE_MINUTES: u64 = 60;

/// On how many hosts the bad version crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    All,
    /// On 3 % of them.
    Some,
}

/// What the host is like, and what befalls it.
struct Nature {
    /// How long the bad version lasts here; none: it runs well.
    lasts_minutes: Option<u64>,
    /// Whether it is where the orchestrator is away for an hour.
    is_in_outage: bool,
    reboots_at: Option<u64>,
    /// When its timer does not fire: a stuck pass, a timer that is switched off.
    is_stuck: Option<(u64, u64)>,
    /// When its wall clock jumps ahead: NTP, and no clock that runs while the power is off.
    wall_jumps_at: Option<u64>,
    /// What is written to its disk beside the images, until it is full.
    fills_bytes_per_minute: u64,
}

/// A container that something restarts when it ends.
struct Service {
    container: String,
    version: VersionNumber,
    /// Since when it is up; none: it is down.
    up_since: Option<u64>,
    /// When it ends or comes back.
    changes_at: Option<u64>,
    restarts: u32,
}

/// What a switch tells the fleet.
#[derive(Default)]
pub(super) struct Told {
    pub(super) has_got_bad: bool,
    /// What the local service ran in the outage.
    pub(super) fell_back_to: Option<VersionNumber>,
    pub(super) down_minutes: u64,
    pub(super) reclaimed_bytes: u64,
    /// Whether an image did not fit on the disk.
    pub(super) has_refused_pull: bool,
    /// Hooks that this minute's pass would have run.
    pub(super) hooks_now: u64,
    pub(super) is_lost: bool,
}

/// One host.
pub(super) struct Switch {
    pub(super) host: Host,
    nature: Nature,
    chance: TestRng,
    single_look: Option<SingleLook>,
    /// What the orchestrator is to deploy here, and when.
    deploys: Option<(VersionNumber, u64)>,
    rejects_at: Option<u64>,
    /// What the orchestrator wants here.
    wanted: Option<VersionNumber>,
    pod: Option<Service>,
    local: Service,
    booted_at: u64,
    down_since: Option<u64>,
    /// The newest good version that was latest after it had run for a soak.
    proved: VersionNumber,
    busy_until: u64,
    passes_at: u64,
    pub(super) told: Told,
}

impl Nature {
    fn of(chance: &mut TestRng, reach: Reach) -> Self {
        let crashes = chance.random_bool(0.03) || reach == Reach::All;
        // Most crash loops are over before the soak is. Some are slow leaks.
        let is_early = chance.random_bool(0.7);
        let lasts = if is_early {
            chance.random_range(1..9)
        } else {
            chance.random_range(15..60)
        };
        let anywhen = chance.random_range(1..HORIZON);
        let around_rollout = SECOND_ROLLOUT + chance.random_range(0..120);
        let reboots = chance.random_range(0..100);
        let is_stuck = chance.random_bool(0.02);
        let wall_jumps = chance.random_bool(0.02);
        let is_small = chance.random_bool(0.1);
        Self {
            lasts_minutes: crashes.then_some(lasts),
            is_in_outage: chance.random_bool(0.4),
            reboots_at: match reboots {
                0..5 => Some(around_rollout),
                5..30 => Some(anywhen),
                _ => None,
            },
            is_stuck: is_stuck.then_some((around_rollout, around_rollout + 180)),
            wall_jumps_at: wall_jumps.then_some(around_rollout),
            fills_bytes_per_minute: if is_small {
                DISK_BYTES / SECOND_ROLLOUT
            } else {
                0
            },
        }
    }
}

impl Switch {
    /// A host that was shipped with v1. Half of them have had a dry run of that version.
    pub(super) fn new(number: usize, keeper: Keeper, reach: Reach) -> Self {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let mut chance = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let nature = Nature::of(&mut chance, reach);
        let mut host = Host::new();
        host.disk_bytes = Some(DISK_BYTES);
        if chance.random_bool(0.02) {
            host.look_ms = 150_000; // An engine that is slow to answer.
        }
        host.workload().pressure_percent = (nature.fills_bytes_per_minute > 0).then_some(85);
        host.sized_image(DIGITS[1], SIZE_BYTES[1], &["local:latest", "local:v1"]);
        host.run("telemetry", "local:latest");
        if chance.random_bool(0.5) {
            host.sized_image(DRY_RUN_DIGIT, SIZE_BYTES[1], &["remote:v1"]);
            host.run("k8s_v1", "remote:v1");
        }
        Self {
            host,
            nature,
            chance,
            single_look: (keeper == Keeper::SingleLook).then(SingleLook::default),
            deploys: None,
            rejects_at: None,
            wanted: None,
            pod: None,
            local: Service {
                container: "telemetry".to_owned(),
                version: 1,
                up_since: Some(0),
                changes_at: None,
                restarts: 0,
            },
            booted_at: 0,
            down_since: None,
            proved: 1,
            busy_until: 0,
            passes_at: 0,
            told: Told::default(),
        }
    }

    pub(super) fn image_bytes(&self) -> u64 {
        let images = self.host.images().iter();
        images.map(|image| image.size_bytes).sum()
    }

    /// The orchestrator is told to deploy a version.
    pub(super) fn deploy(&mut self, version: VersionNumber, at: u64) {
        self.deploys = Some((version, at));
    }

    /// The orchestrator is to take the bad version back: what is not there yet never comes.
    pub(super) fn withdraw(&mut self, at: u64) {
        let is_on_its_way = self.deploys.take_if(|(version, _)| *version == BAD);
        if self.wanted == Some(BAD) {
            self.deploys = Some((GOOD, at));
        } else if is_on_its_way.is_some() {
            self.deploys = None;
        }
    }

    /// `[reject]` for the bad version arrives, and `rollback` where it is latest already.
    pub(super) fn reject(&mut self, at: u64) {
        self.rejects_at = Some(at);
    }

    pub(super) fn latest(&self) -> Option<VersionNumber> {
        let latest = self.host.latest()?;
        DIGITS.iter().position(|digit| *digit == latest)
    }

    /// Whether a version is proven here, as `tagkeeper wait` or the tag tells.
    pub(super) fn has_proven(&self, version: VersionNumber) -> bool {
        self.latest() == Some(version)
    }

    /// Whether a version has failed here, as `tagkeeper wait` tells; where there is only the look,
    /// as the orchestrator's count of restarts does.
    pub(super) fn has_failed(&self, version: VersionNumber) -> bool {
        if self.single_look.is_some() {
            let mut pod = self.pod.iter();
            return pod.any(|pod| pod.version == version && pod.restarts > 1);
        }
        let Some(known) = self.host.state.workloads.values().next() else {
            return false;
        };
        let mut failures = known.failures.iter();
        failures.any(|failure| {
            failure.outcome == Outcome::Failed
                && failure.version.to_string() == format!("v{version}")
        })
    }

    /// One minute of it.
    pub(super) fn live(&mut self, minute: u64) {
        self.told.hooks_now = 0;
        let happens = self.is_due(minute);
        if !happens && self.passes_at > minute {
            return;
        }
        self.advance(minute);
        if happens {
            self.happen(minute);
            self.busy_until = minute + BUSY_MINUTES;
            self.passes_at = self.passes_at.min(minute);
        }
        self.note_service(minute);
        if self.passes_at <= minute {
            self.pass(minute);
        }
        self.note_proof(minute);
    }

    /// Whether something happens now besides a pass.
    fn is_due(&self, minute: u64) -> bool {
        let nature = &self.nature;
        let is_alone = nature.is_in_outage && (OUTAGE.start..=OUTAGE.end).contains(&minute);
        let looks = |look: &SingleLook| look.is_due(minute);
        let deploys_at = self.deploys.map(|(_, at)| at);
        let pod_changes_at = self.pod.as_ref().and_then(|pod| pod.changes_at);
        let local_changes_at = self.local.changes_at;
        let times = [
            deploys_at,
            self.rejects_at,
            pod_changes_at,
            local_changes_at,
        ];
        is_alone
            || nature.reboots_at == Some(minute)
            || self.single_look.as_ref().is_some_and(looks)
            || times.into_iter().flatten().any(|at| at <= minute)
    }

    /// The host's own clock goes on to this minute. A pass may have taken it further.
    fn advance(&mut self, minute: u64) {
        self.host.later(0);
        let uptime_ms = (minute - self.booted_at) * MINUTE_MS;
        self.host.uptime_ms = self.host.uptime_ms.max(uptime_ms);
        let filled = self.nature.fills_bytes_per_minute * minute;
        self.host.other_bytes = filled.min(DISK_BYTES - ROOM_BYTES);
    }

    fn happen(&mut self, minute: u64) {
        if self.rejects_at.take_if(|at| *at <= minute).is_some() {
            self.reject_now(minute);
        }
        if self.nature.reboots_at == Some(minute) {
            self.reboot(minute);
        }
        if self.nature.is_in_outage && OUTAGE.contains(&minute) {
            self.be_alone(minute);
        } else {
            self.follow_orchestrator(minute);
        }
        self.restart_services(minute);
    }

    fn reject_now(&mut self, minute: u64) {
        self.host.reject("v3");
        if self.latest() != Some(BAD) {
            return;
        }
        if self.local.up_since.take().is_some() {
            self.host.exit("telemetry", 0);
            self.local.changes_at = Some(minute);
        }
        roll_back_if_it_may(&mut self.host, true);
    }

    fn reboot(&mut self, minute: u64) {
        self.host.reboot_stopped(255);
        self.booted_at = minute;
        for service in self.pod.iter_mut().chain([&mut self.local]) {
            if service.up_since.take().is_some() {
                service.changes_at = Some(minute + 1);
            }
        }
    }

    /// The orchestrator is away: its containers with it, and the local service starts.
    fn be_alone(&mut self, minute: u64) {
        if let Some(pod) = self.pod.take() {
            self.host.remove_container(&pod.container);
        }
        if self.local.up_since.is_none() && self.local.changes_at.is_none() {
            self.local.changes_at = Some(minute);
        }
    }

    fn follow_orchestrator(&mut self, minute: u64) {
        let deploys = self.deploys.take_if(|(_, at)| *at <= minute);
        if let Some((version, _)) = deploys {
            self.wanted = Some(version);
        }
        let Some(wanted) = self.wanted else { return };
        if self.pod.as_ref().is_some_and(|pod| pod.version == wanted) {
            return;
        }
        if !self.pull(wanted) {
            self.told.has_refused_pull = true;
            self.deploys = Some((wanted, minute + IDLE_MINUTES));
            self.wanted = self.pod.as_ref().map(|pod| pod.version);
            return;
        }
        for old in self.host.container_names() {
            if old.starts_with("k8s_") {
                self.host.remove_container(&old);
            }
        }
        if self.local.up_since.take().is_some() {
            self.host.exit("telemetry", 0);
        }
        self.local.changes_at = None;
        self.told.has_got_bad |= wanted == BAD;
        self.pod = Some(Service {
            container: format!("k8s_v{wanted}"),
            version: wanted,
            up_since: None,
            changes_at: Some(minute),
            restarts: 0,
        });
    }

    /// Whether the image is on the disk now.
    fn pull(&mut self, version: VersionNumber) -> bool {
        let name = format!("remote:v{version}");
        if self.host.meaning(&name).is_some() {
            return true;
        }
        let images = self.image_bytes();
        let is_there = self.host.is_on_disk(DIGITS[version]);
        let free = DISK_BYTES.saturating_sub(images + self.host.other_bytes);
        if !is_there && free < SIZE_BYTES[version] {
            return false;
        }
        let names = [name.as_str()];
        self.host
            .sized_image(DIGITS[version], SIZE_BYTES[version], &names);
        true
    }

    /// What is due to end ends, what is due to come back does.
    fn restart_services(&mut self, minute: u64) {
        let lasts = self.nature.lasts_minutes;
        if let Some(pod) = self.pod.as_mut().filter(|pod| pod.is_due(minute)) {
            if pod.up_since.is_some() {
                self.host.exit(&pod.container, 1);
                pod.crash(minute);
            } else {
                // kubelet makes a new container each time.
                let image = format!("remote:v{}", pod.version);
                self.host.remove_container(&pod.container);
                self.host.run(&pod.container, &image);
                pod.start(minute, lasts, &mut self.chance);
                if let Some(look) = &mut self.single_look {
                    let id = self.host.container_id(&pod.container);
                    look.begin(id, pod.version, minute, self.nature.wall_jumps_at);
                }
            }
        }
        if self.local.is_due(minute) {
            if self.local.up_since.is_some() {
                self.host.exit("telemetry", 1);
                self.local.crash(minute);
            } else {
                self.start_local(minute);
            }
        }
    }

    /// systemd starts the container that is there, or makes one from `latest`.
    fn start_local(&mut self, minute: u64) {
        self.local.changes_at = None;
        if self.host.has_container("telemetry") {
            self.host.start("telemetry");
        } else if self.host.latest().is_some() {
            self.host.run("telemetry", "local:latest");
        } else {
            return;
        }
        let image = self.host.container("telemetry").image.clone().unwrap();
        let runs = crate::host::digit(&tagkeeper_core::model::ImageId::new(image));
        self.local.version = DIGITS.iter().position(|digit| *digit == runs).unwrap_or(1);
        self.local
            .start(minute, self.nature.lasts_minutes, &mut self.chance);
        if self.nature.is_in_outage && OUTAGE.contains(&minute) {
            self.told.fell_back_to.get_or_insert(self.local.version);
        }
    }

    fn pass(&mut self, minute: u64) {
        let before = self.image_bytes();
        let is_stuck = self.nature.is_stuck;
        if is_stuck.is_some_and(|(from, until)| (from..until).contains(&minute)) {
            self.passes_at = is_stuck.map_or(minute, |(_, until)| until);
            return;
        }
        let mut is_busy = minute < self.busy_until;
        if let Some(mut look) = self.single_look.take() {
            self.told.hooks_now = u64::from(look.pass(&mut self.host, minute));
            self.single_look = Some(look);
        } else {
            self.host.pass();
            is_busy |= self.host.memory().pending.is_some() || !self.host.events.is_empty();
            let is_hook = |kind: &EventKind| match kind {
                EventKind::Promoted { .. } => true,
                EventKind::Ended { outcome, .. } => *outcome == Outcome::Failed,
                _ => false,
            };
            let hooks = self.host.events.iter().filter(|event| is_hook(&event.kind));
            self.told.hooks_now = hooks.count() as u64;
        }
        let after = self.image_bytes();
        self.told.reclaimed_bytes += before.saturating_sub(after);
        self.passes_at = minute + if is_busy { 1 } else { IDLE_MINUTES };
        // A pass that takes minutes ends when it ends.
        let ends_at = self.booted_at + self.host.uptime_ms.div_ceil(MINUTE_MS);
        self.passes_at = self.passes_at.max(ends_at);
    }

    /// Counts the minutes without any service, from the second rollout on.
    fn note_service(&mut self, minute: u64) {
        let is_up = self.local.up_since.is_some()
            || self.pod.as_ref().is_some_and(|pod| pod.up_since.is_some());
        if is_up {
            let since = self.down_since.take().unwrap_or(minute);
            self.told.down_minutes += minute.saturating_sub(since.max(SECOND_ROLLOUT));
        } else {
            self.down_since.get_or_insert(minute);
        }
    }

    /// The last image that was latest and has run for a soak is never gone.
    fn note_proof(&mut self, minute: u64) {
        let latest = self.latest();
        for service in self.pod.iter().chain([&self.local]) {
            let has_soaked = service.up_since.is_some_and(|since| since + 10 <= minute);
            let is_latest = latest == Some(service.version) && service.version != BAD;
            if has_soaked && is_latest {
                self.proved = service.version;
            }
        }
        self.told.is_lost |= latest.is_none() || !self.host.is_on_disk(DIGITS[self.proved]);
    }
}

impl Service {
    fn is_due(&self, minute: u64) -> bool {
        self.changes_at.is_some_and(|at| at <= minute)
    }

    fn start(&mut self, minute: u64, lasts: Option<u64>, chance: &mut TestRng) {
        self.up_since = Some(minute);
        let lasts = lasts.filter(|_| self.version == BAD);
        self.changes_at = lasts.map(|lasts| minute + lasts + chance.random_range(0..2));
    }

    /// It comes back with kubelet's delays: 10 s, doubled up to five minutes.
    fn crash(&mut self, minute: u64) {
        self.up_since = None;
        let delay_secs = 10_u64 << self.restarts.min(5);
        self.changes_at = Some(minute + delay_secs.min(300).div_ceil(60));
        self.restarts += 1;
    }
}
