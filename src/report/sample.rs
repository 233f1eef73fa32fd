//! Plans for the tests of the reports.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::{
    Action, Detail, Judgement, Latest, PendingView, Plan, Reason, Serving, TagPurpose, WorkloadPlan,
};
use crate::image::{ImageId, Reference, Version};
use crate::policy::WorkloadName;
use crate::state::{Failure, Moment, Proven, Rejected, Tally};
use crate::world::ContainerId;

const REMOTE_V1: &str = "registry.example/docker-sonic-telemetry:v1";

/// A wall time, plus that many minutes.
pub(crate) fn at(minute: u32) -> String {
    format!("2026-11-22T23:{minute:02}:00Z")
}

/// The whole id of an image that is called by one digit.
pub(crate) fn id(digit: char) -> ImageId {
    ImageId::new(format!("sha256:{}", digit.to_string().repeat(64)))
}

pub(crate) fn container_id(digit: char) -> ContainerId {
    ContainerId::new(digit.to_string().repeat(64))
}

pub(crate) fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

/// A pending upgrade to image `c`, 252 of 600 seconds old.
pub(crate) fn pending(version: &str) -> PendingView {
    PendingView {
        version: Version::new(version),
        image: id('c'),
        container: "k8s_telemetry_x".to_owned(),
        id: container_id('7'),
        up_ms: 252_999,
        soak_ms: 600_000,
        restarts: 1,
        began_at: at(14),
    }
}

pub(crate) fn judgement(
    name: Option<&str>,
    image: char,
    reason: Reason,
    detail: &'static str,
) -> Judgement {
    Judgement {
        reference: name.map(reference),
        image: id(image),
        size_bytes: 120_400_000,
        reason,
        detail: Detail::Words(detail),
    }
}

/// A workload whose latest is proven, with nothing else to tell.
pub(crate) fn quiet(version: &str) -> WorkloadPlan {
    WorkloadPlan {
        latest: Some(Latest {
            version: Version::new(version),
            image: id('b'),
            proven: true,
            promoted_at: Some(at(10)),
        }),
        head: Some(Proven {
            version: Version::new(version),
            image: id('b'),
            rolled_out: true,
            promoted_at: Some(at(10)),
        }),
        fallbacks: Vec::new(),
        pins: BTreeMap::new(),
        serving: None,
        notes: Vec::new(),
        pending: None,
        failures: Vec::new(),
        rejected: BTreeMap::new(),
        since: Some(Moment {
            clock_ms: 1,
            at: at(0),
        }),
        tally: Tally::default(),
        hold: false,
        images: Vec::new(),
        leaving: BTreeSet::new(),
        actions: Vec::new(),
    }
}

/// A workload with everything to tell: v3 soaks over v2, v1 is the fallback whose names R4 puts right.
pub(crate) fn busy() -> WorkloadPlan {
    WorkloadPlan {
        fallbacks: vec![Proven {
            version: Version::new("v1"),
            image: id('a'),
            rolled_out: true,
            promoted_at: Some(at(2)),
        }],
        serving: Some(Serving {
            container: "k8s_telemetry_x".to_owned(),
            id: container_id('7'),
            image: id('c'),
            version: Version::new("v3"),
            local: false,
        }),
        notes: vec![
            "a note that is long enough to need a second line, to show how it goes on there"
                .to_owned(),
            "second note".to_owned(),
        ],
        pending: Some(pending("v3")),
        failures: vec![Failure {
            version: Version::new("v9"),
            image: id('9'),
            attempts: 4,
            up_secs: 31,
            reason: "exited (1)".to_owned(),
            at: at(5),
        }],
        rejected: BTreeMap::from([(
            id('8'),
            Rejected {
                version: Version::new("v8"),
                at: at(6),
            },
        )]),
        tally: Tally {
            promotions: 12,
            failures: 3,
            restarts: 7,
            rollbacks: 1,
            removals: 20,
            bytes_won_back: 1_204_000_000,
        },
        images: busy_images(),
        leaving: BTreeSet::from([id('e'), id('f')]),
        actions: busy_actions(),
        ..quiet("v2")
    }
}

fn busy_images() -> Vec<Judgement> {
    let [latest, v1] = ["docker-sonic-telemetry:latest", "docker-sonic-telemetry:v1"].map(Some);
    let remote_v3 = Some("registry.example/docker-sonic-telemetry:v3");
    vec![
        judgement(None, 'f', Reason::Retired, "made obsolete by a promotion"),
        judgement(latest, 'b', Reason::Latest, "what the local service runs"),
        judgement(v1, 'a', Reason::Renamed, "the fallback has its remote name"),
        judgement(
            Some(REMOTE_V1),
            'e',
            Reason::Adopt,
            "moves to aaaaaaaaaaaa, which really ran as v1",
        ),
        judgement(remote_v3, 'c', Reason::Pending, "being soaked"),
    ]
}

fn busy_actions() -> Vec<Action> {
    let removal = |reference, image, reason| Action::RemoveImage {
        reference,
        image,
        reason,
    };
    vec![
        Action::Tag {
            image: id('a'),
            reference: reference(REMOTE_V1),
            replaces: Some(id('e')),
            purpose: TagPurpose::Adopt,
        },
        Action::RemoveContainer {
            container: "telemetry".to_owned(),
            id: container_id('6'),
            image: id('a'),
        },
        removal(None, id('f'), Reason::Retired),
        removal(
            Some(reference("docker-sonic-telemetry:v1")),
            id('a'),
            Reason::Renamed,
        ),
    ]
}

/// A plan of one workload, telemetry.
pub(crate) fn plan(workload: WorkloadPlan) -> Plan {
    Plan {
        workloads: BTreeMap::from([(WorkloadName::new("telemetry"), workload)]),
        ..Plan::default()
    }
}
