//! What may happen, as data: a history is a setting and a list of steps. Steps are decoded from numbers, so that a fast
//! generator and a shrinking one make the same histories; smaller numbers make plainer steps.

use tagkeeper::world::Health;

use super::names::{REMOTES, VERSIONS, WORKLOADS};

/// One step of a history.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Passes, a minute apart, in which nothing goes wrong.
    Passes(u64),
    /// One pass in which something goes wrong.
    Disturbed(Fault),
    /// Time goes by without a pass.
    Wait { minutes: u64 },
    /// Something happens on the host.
    Event(Event),
    /// A person rolls back, undisturbed or not.
    RollBack { workload: usize, fault: Fault },
    /// A person lifts the rejections of a version.
    Accept { workload: usize, version: usize },
    /// The state file is gone.
    LoseState,
}

/// What goes wrong in a pass; calls of engine and store are counted together.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The process is killed at a call: before it takes effect, or after.
    Kill { call: u64, after: bool },
    /// A call answers 500, and has taken effect or not.
    Error { call: u64, after: bool },
    /// A change is refused with 409.
    Refuse { call: u64 },
    /// Something happens right before a call.
    Meanwhile { call: u64, event: Event },
    /// The first saves fail.
    DiskFull { saves: u64 },
}

/// What the orchestrator, the local service, the operator and the host do.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Pull {
        workload: usize,
        version: usize,
        remote: usize,
    },
    Start {
        workload: usize,
        version: usize,
    },
    /// The orchestrator replaces what it runs.
    Upgrade {
        workload: usize,
        version: usize,
        removes: bool,
    },
    Republish {
        workload: usize,
        version: usize,
    },
    Stop {
        pick: usize,
        code: i64,
    },
    Restart {
        pick: usize,
    },
    RemoveContainer {
        pick: usize,
    },
    Pause {
        pick: usize,
    },
    Health {
        pick: usize,
        health: Option<Health>,
    },
    LocalStart {
        workload: usize,
    },
    LocalStop {
        workload: usize,
    },
    /// A local build is loaded, and made latest or not, as an installer does.
    Install {
        workload: usize,
        version: usize,
        latest: bool,
    },
    /// A debug shell from whatever image.
    Shell {
        pick: usize,
    },
    HandLatest {
        workload: usize,
        pick: usize,
    },
    DropLatest {
        workload: usize,
    },
    Rmi {
        pick: usize,
    },
    TagForeign {
        pick: usize,
    },
    TagLocal {
        workload: usize,
        version: usize,
        pick: usize,
    },
    Prune,
    Hold {
        workload: usize,
    },
    Fallbacks {
        workload: usize,
        kept: usize,
    },
    Soak {
        workload: usize,
        minutes: u64,
    },
    Grace {
        workload: usize,
        minutes: u64,
    },
    LocalFallback {
        workload: usize,
    },
    AskReady {
        workload: usize,
    },
    NotReady {
        workload: usize,
    },
    Remote {
        workload: usize,
    },
    Glob {
        workload: usize,
    },
    Pin {
        workload: usize,
    },
    Pressure {
        workload: usize,
    },
    /// The data disk fills up, or has room again.
    Fill,
    Leave {
        workload: usize,
    },
    Reboot {
        restarts: bool,
    },
    SwapDisk,
    WallJump {
        hours: i64,
    },
}

/// How the host of a history is made.
#[derive(Clone, Copy, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent switches of a test host"
)]
pub(crate) struct Setting {
    /// The engine refuses to delete images in use.
    pub(crate) protects: bool,
    /// Some versions of the two workloads are one image.
    pub(crate) shares: bool,
    /// Local builds are other images than remote ones of the same version.
    pub(crate) twins: bool,
    /// The workloads have remotes.
    pub(crate) remotes: bool,
    /// The soak, in minutes.
    pub(crate) soak_minutes: u64,
    /// The host comes with `v1` installed, and its service running.
    pub(crate) installed: bool,
}

/// Takes small numbers off a large one.
struct Bits(u64);

impl Bits {
    fn take(&mut self, below: u64) -> u64 {
        let taken = self.0 % below;
        self.0 /= below;
        taken
    }

    fn index(&mut self, below: usize) -> usize {
        usize::try_from(self.take(below as u64)).unwrap_or(0)
    }

    fn flag(&mut self) -> bool {
        self.take(2) == 1
    }
}

impl Setting {
    pub(crate) fn decode(bits: u64) -> Self {
        let mut bits = Bits(bits);
        Self {
            protects: bits.flag(),
            shares: bits.take(3) == 1,
            twins: bits.flag(),
            remotes: bits.take(8) != 1,
            soak_minutes: [3, 1, 10][bits.index(3)],
            installed: bits.take(4) != 1,
        }
    }
}

impl Step {
    pub(crate) fn decode(bits: u64) -> Self {
        let mut bits = Bits(bits);
        match bits.take(64) {
            0..=19 => Self::Passes(1 + bits.take(6)),
            20..=22 => Self::Passes(12),
            23 if bits.take(16) == 1 => Self::LoseState,
            23 => Self::Passes(8),
            24..=33 => Self::Disturbed(Fault::decode(&mut bits)),
            34 | 35 => Self::Wait {
                minutes: 1 + bits.take(30),
            },
            36 => Self::Wait {
                minutes: 60 * (1 + bits.take(30)),
            },
            37 => Self::RollBack {
                workload: bits.index(WORKLOADS),
                fault: Fault::None,
            },
            38 => Self::RollBack {
                workload: bits.index(WORKLOADS),
                fault: Fault::decode(&mut bits),
            },
            39 => Self::Accept {
                workload: bits.index(WORKLOADS),
                version: bits.index(VERSIONS),
            },
            _ => Self::Event(Event::decode(&mut bits)),
        }
    }
}

impl Fault {
    fn decode(bits: &mut Bits) -> Self {
        let kind = bits.take(8);
        let call = bits.take(16);
        match kind {
            0 | 1 => Self::Kill {
                call,
                after: bits.flag(),
            },
            2 | 3 => Self::Error {
                call,
                after: bits.flag(),
            },
            4 => Self::Refuse { call },
            5 | 6 => Self::Meanwhile {
                call,
                event: Event::decode(bits),
            },
            _ => Self::DiskFull {
                saves: 1 + bits.take(2),
            },
        }
    }
}

impl Event {
    fn decode(bits: &mut Bits) -> Self {
        let kind = bits.take(64);
        let workload = bits.index(WORKLOADS);
        let version = bits.index(VERSIONS);
        let pick = bits.index(12);
        match kind {
            0..=8 => Self::Upgrade {
                workload,
                version,
                removes: !pick.is_multiple_of(3),
            },
            9..=11 => Self::Start { workload, version },
            12..=14 => Self::Pull {
                workload,
                version,
                remote: pick % REMOTES,
            },
            15 => Self::Republish { workload, version },
            16..=18 => Self::Stop {
                pick,
                code: [0, 1, 137][version % 3],
            },
            19 | 20 => Self::Restart { pick },
            21 | 22 => Self::RemoveContainer { pick },
            23 => Self::Pause { pick },
            24 | 25 => Self::Health {
                pick,
                health: [
                    None,
                    Some(Health::Healthy),
                    Some(Health::Unhealthy),
                    Some(Health::Starting),
                ][version],
            },
            26..=28 => Self::LocalStart { workload },
            29..=31 => Self::LocalStop { workload },
            32 | 33 => Self::Install {
                workload,
                version,
                latest: pick.is_multiple_of(2),
            },
            34 => Self::Shell { pick },
            35 => Self::HandLatest { workload, pick },
            36 => Self::DropLatest { workload },
            37..=39 => Self::Rmi { pick },
            40 => Self::TagForeign { pick },
            41 => Self::TagLocal {
                workload,
                version,
                pick,
            },
            42 | 43 => Self::Prune,
            _ => Self::decode_rare(kind, workload, version, pick),
        }
    }

    fn decode_rare(kind: u64, workload: usize, version: usize, pick: usize) -> Self {
        match kind {
            44 | 45 => Self::Hold { workload },
            46 => Self::Fallbacks {
                workload,
                kept: version % 3,
            },
            47 => Self::Soak {
                workload,
                minutes: [1, 3, 5, 10][version],
            },
            48 => Self::Grace {
                workload,
                minutes: [2, 10, 60, 24 * 60][version],
            },
            49 => Self::LocalFallback { workload },
            50 => Self::AskReady { workload },
            51 | 52 => Self::NotReady { workload },
            53 => Self::Remote { workload },
            54 => Self::Glob { workload },
            55 => Self::Leave { workload },
            56 | 57 => Self::Reboot {
                restarts: !pick.is_multiple_of(3),
            },
            58 => Self::SwapDisk,
            59 => Self::WallJump {
                hours: [-9, -1, 1, 800][version],
            },
            60 => Self::Pin { workload },
            61 => Self::Pressure { workload },
            62 => Self::Fill,
            _ => Self::Upgrade {
                workload,
                version,
                removes: true,
            },
        }
    }
}
