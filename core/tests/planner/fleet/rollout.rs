//! What the operators do: two rollouts, ring by ring, and what they do about the second.

use std::ops::Range;

use super::figures::Figures;
use super::switch::{BAD, FIXED, GOOD, Reach, Switch, VersionNumber};

/// When v2, v3 and v4 begin, and when the run ends.
const FIRST_ROLLOUT: u64 = 30;
pub(super) const SECOND_ROLLOUT: u64 = 8 * 60;
const THIRD_ROLLOUT: u64 = 18 * 60;
const ROLLOUTS: [(VersionNumber, u64); 3] = [
    (GOOD, FIRST_ROLLOUT),
    (BAD, SECOND_ROLLOUT),
    (FIXED, THIRD_ROLLOUT),
];
pub(super) const HORIZON: u64 = 24 * 60;
/// The orchestrator is away on some hosts, in the middle of the second rollout.
pub(super) const OUTAGE: Range<u64> = SECOND_ROLLOUT + 60..SECOND_ROLLOUT + 120;
/// A person needs this long from the alert to the push.
const REACTION_MINUTES: u64 = 10;
/// A push reaches every host within this time; the orchestrator, which replaces containers, needs
/// more to take a version back.
const PUSH_MINUTES: u64 = 10;
const WITHDRAWAL_MINUTES: u64 = 60;
/// The alert: the version fails on more than this share of a ring.
const ALERT_PERCENT: usize = 1;
/// How long the gate waits for the last of a ring, and how many of it may be late.
const GATE_MINUTES: u64 = 30;
const LATE_PERCENT: usize = 5;
const THREADS: usize = 2;

/// What looks after `latest` on each host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeper {
    Planner,
    SingleLook,
}

/// How a fleet is run.
#[derive(Clone, Copy)]
pub(super) struct Practice {
    pub(super) name: &'static str,
    pub(super) keeper: Keeper,
    pub(super) has_canaries: bool,
    pub(super) rejects: bool,
}

/// Part of the fleet that gets a version together.
struct Ring {
    hosts: Range<usize>,
    /// The deployments of a ring are spread over so many minutes.
    minutes: u64,
}

/// A version on its way.
struct Rollout {
    version: VersionNumber,
    /// The ring that gets it, or is waited for; and since when.
    ring: usize,
    since: u64,
    /// When the alert fired or the gate closed.
    stopped_at: Option<u64>,
    is_over: bool,
}

/// The fleet.
pub(super) struct Fleet {
    practice: Practice,
    switches: Vec<Switch>,
    rings: Vec<Ring>,
    rollout: Rollout,
    figures: Figures,
}

impl Fleet {
    pub(super) fn new(hosts: usize, practice: Practice, reach: Reach) -> Self {
        let canaries = (hosts / 100).max(3);
        let early = canaries + hosts / 10;
        let ring = |hosts, minutes| Ring { hosts, minutes };
        let rings = if practice.has_canaries {
            vec![
                ring(0..canaries, 10),
                ring(canaries..early, 30),
                ring(early..hosts, 120),
            ]
        } else {
            vec![ring(0..hosts, 120)]
        };
        let switches = (0..hosts).map(|number| Switch::new(number, practice.keeper, reach));
        Self {
            practice,
            switches: switches.collect(),
            rings,
            rollout: Rollout::begun(GOOD, FIRST_ROLLOUT),
            figures: Figures {
                practice: practice.name.to_owned(),
                crashes: match reach {
                    Reach::All => "all hosts",
                    Reach::Some => "3 % of the hosts",
                }
                .to_owned(),
                hosts,
                canaries,
                ..Figures::default()
            },
        }
    }

    pub(super) fn play(mut self) -> Figures {
        for minute in 0..HORIZON {
            if let Some((version, _)) = ROLLOUTS.iter().find(|(_, at)| *at == minute) {
                self.rollout = Rollout::begun(*version, minute);
            }
            if minute == self.rollout.since {
                self.deploy_to_ring(minute);
            }
            self.live(minute);
            self.count(minute);
            self.watch(minute);
        }
        self.sum_up()
    }

    fn live(&mut self, minute: u64) {
        let share = self.switches.len().div_ceil(THREADS);
        std::thread::scope(|scope| {
            for part in self.switches.chunks_mut(share) {
                scope.spawn(move || part.iter_mut().for_each(|switch| switch.live(minute)));
            }
        });
    }

    fn deploy_to_ring(&mut self, minute: u64) {
        let ring = &self.rings[self.rollout.ring];
        let size = ring.hosts.len() as u64;
        for (number, switch) in (0..).zip(&mut self.switches[ring.hosts.clone()]) {
            switch.deploy(self.rollout.version, minute + number * ring.minutes / size);
        }
    }

    /// The gate, the alert, and the operator.
    fn watch(&mut self, minute: u64) {
        let rollout = &self.rollout;
        if rollout.since > minute || rollout.is_over {
            return;
        }
        if let Some(stopped_at) = rollout.stopped_at {
            if minute >= stopped_at + REACTION_MINUTES {
                self.act(minute);
            }
            return;
        }
        let version = rollout.version;
        let fires = self.rings.iter().any(|ring| {
            let hosts = &self.switches[ring.hosts.clone()];
            let failed = hosts.iter().filter(|switch| switch.has_failed(version));
            failed.count() * 100 > ring.hosts.len() * ALERT_PERCENT
        });
        if fires {
            self.rollout.stopped_at = Some(minute);
        } else if rollout.ring + 1 < self.rings.len() {
            self.ask_gate(minute);
        }
    }

    /// The next ring gets the version when this one has proven it.
    fn ask_gate(&mut self, minute: u64) {
        let ring = &self.rings[self.rollout.ring];
        let hosts = &self.switches[ring.hosts.clone()];
        let version = self.rollout.version;
        let has_word = self.practice.keeper == Keeper::Planner && self.rollout.ring == 0;
        let has_failed = has_word && hosts.iter().any(|switch| switch.has_failed(version));
        let late = hosts.iter().filter(|switch| !switch.has_proven(version));
        let late = late.count();
        let is_over = minute >= self.rollout.since + ring.minutes + GATE_MINUTES;
        if has_failed || (is_over && late * 100 > hosts.len() * LATE_PERCENT) {
            self.rollout.stopped_at = Some(minute);
        } else if late == 0 || is_over {
            self.rollout.ring += 1;
            self.rollout.since = minute + 1;
        }
    }

    /// The operator takes the version back, and rejects it if that is the practice.
    fn act(&mut self, minute: u64) {
        self.rollout.is_over = true;
        if self.rollout.version != BAD {
            return; // It goes no further; what has it keeps it.
        }
        self.figures.stopped_after = Some(minute - SECOND_ROLLOUT);
        for (number, switch) in (0..).zip(&mut self.switches) {
            switch.withdraw(minute + 1 + number % WITHDRAWAL_MINUTES);
            if self.practice.rejects {
                switch.reject(minute + 1 + number % PUSH_MINUTES);
            }
        }
    }

    fn count(&mut self, minute: u64) {
        let hooks = self.switches.iter().map(|switch| switch.told.hooks_now);
        let hooks = hooks.sum();
        if minute >= FIRST_ROLLOUT && hooks > self.figures.hooks_at_most {
            self.figures.hooks_at_most = hooks;
        }
        if minute >= SECOND_ROLLOUT {
            let bad = self.switches.iter().filter(|s| s.latest() == Some(BAD));
            let bad = bad.count();
            self.figures.at_worst = self.figures.at_worst.max(bad);
            self.figures.bad_latest_minutes += bad;
            self.figures.bad_latest.push((minute - SECOND_ROLLOUT, bad));
        }
    }

    fn sum_up(self) -> Figures {
        let mut figures = self.figures;
        for switch in &self.switches {
            let told = &switch.told;
            figures.deployed += usize::from(told.has_got_bad);
            figures.lost += usize::from(told.is_lost);
            figures.down_minutes += told.down_minutes;
            figures.reclaimed_bytes += told.reclaimed_bytes;
            figures.refused_pulls += usize::from(told.has_refused_pull);
            figures.left_bytes += switch.image_bytes();
            if let Some(version) = told.fell_back_to {
                *figures.fell_back.entry(format!("v{version}")).or_default() += 1;
            }
            let latest = switch.latest();
            let latest = latest.map_or("none".to_owned(), |version| format!("v{version}"));
            *figures.at_end.entry(latest).or_default() += 1;
        }
        figures
    }
}

impl Rollout {
    fn begun(version: VersionNumber, at: u64) -> Self {
        Self {
            version,
            ring: 0,
            since: at,
            stopped_at: None,
            is_over: false,
        }
    }
}
