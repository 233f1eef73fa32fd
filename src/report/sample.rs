//! Plans for the tests of the reports: plain data, as the planner gives it.

use std::collections::{BTreeMap, BTreeSet};

use tagkeeper_core::Gather;
use tagkeeper_core::model::{
    Action, ActionKind, Counters, Detail, End, EndedBy, Failure, Guard, HeldBy, ImageId, Latest,
    LineageEntry, Member, Moment, NameVerdict, Note, Outcome, PendingView, Plan, Reason, Reference,
    RefusedView, Rejected, ServingView, TagPurpose, Version, WorkloadName, WorkloadPlan,
};

use super::{LastPass, LastPassView, Preface};

/// The wall clock of the screens.
const NOW: &str = "2026-11-28T12:00:00Z";

pub(crate) const REMOTE: &str = "registry.example/docker-sonic-telemetry";

/// A preface of a host whose last pass ended well, 12 s ago.
pub(crate) fn preface() -> Preface {
    Preface {
        wall: Some(NOW.to_owned()),
        timer: Some("active".to_owned()),
        last_pass: Some(LastPassView {
            seconds_ago: 12,
            pass: LastPass {
                ended_at: "2026-11-28T11:59:48Z".to_owned(),
                monotonic_ms: 1,
                exit_code: 0,
                error: None,
            },
        }),
        ..Preface::new("/etc/tagkeeper/policy.d/host.toml")
    }
}

/// The id of an image that is called by one digit.
pub(crate) fn id(digit: char) -> ImageId {
    ImageId::new(format!("sha256:{}", digit.to_string().repeat(64)))
}

pub(crate) fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

pub(crate) fn member(container: &str) -> Member {
    Member {
        container: container.to_owned(),
        id: tagkeeper_core::model::ContainerId::new("7".repeat(64)),
    }
}

pub(crate) fn proven(version: &str, image: char, at: &str) -> LineageEntry {
    LineageEntry {
        version: Version::new(version),
        image: id(image),
        rolled_out: true,
        promoted_at: Some(at.to_owned()),
    }
}

pub(crate) fn verdict(name: &str, image: char, reason: Reason, detail: Detail) -> NameVerdict {
    NameVerdict {
        reference: (!name.is_empty()).then(|| reference(name)),
        image: id(image),
        size_bytes: 120_400_000,
        reason,
        detail,
    }
}

/// A workload whose latest v2 was proven two days ago and runs in a local container.
pub(crate) fn quiet(container: &str) -> WorkloadPlan {
    let at = "2026-11-26T10:00:00Z";
    WorkloadPlan {
        latest: Some(Latest {
            version: Version::new("v2"),
            image: id('b'),
            proven: true,
            promoted_at: Some(at.to_owned()),
        }),
        head: Some(proven("v2", 'b', at)),
        fallbacks: vec![proven("v1", 'a', "2026-10-01T08:00:00Z")],
        pins: BTreeMap::new(),
        no_fallback: None,
        serving: Some(ServingView {
            members: vec![member(container)],
            image: id('b'),
            version: Version::new("v2"),
            local: true,
        }),
        notes: Vec::new(),
        pending: None,
        failures: Vec::new(),
        failing: None,
        failing_in: Vec::new(),
        unsettled_ms: BTreeMap::new(),
        rejected: BTreeMap::new(),
        since: Some(Moment {
            clock_ms: 1,
            at: "2026-09-01T08:00:00Z".to_owned(),
        }),
        counters: Counters::default(),
        held: None,
        held_at: None,
        images: vec![
            verdict("app:latest", 'b', Reason::Latest, Detail::None),
            verdict(
                "registry.example/app:v1",
                'a',
                Reason::Fallback,
                Detail::Proven(Version::new("v1")),
            ),
            verdict("registry.example/app:v2", 'b', Reason::Latest, Detail::None),
        ],
        leaving: BTreeSet::new(),
        refused: Vec::new(),
        actions: Vec::new(),
        held_actions: Vec::new(),
        rejected_by_policy: BTreeMap::new(),
    }
}

/// v2 soaks for ten minutes over v1, in an orchestrated container.
pub(crate) fn soaking(container: &str, up_ms: u64) -> WorkloadPlan {
    let members = vec![member(container)];
    WorkloadPlan {
        latest: Some(Latest {
            version: Version::new("v1"),
            image: id('a'),
            proven: true,
            promoted_at: Some("2026-10-01T08:00:00Z".to_owned()),
        }),
        head: Some(proven("v1", 'a', "2026-10-01T08:00:00Z")),
        fallbacks: Vec::new(),
        serving: Some(ServingView {
            members: members.clone(),
            image: id('b'),
            version: Version::new("v2"),
            local: false,
        }),
        pending: Some(PendingView {
            version: Version::new("v2"),
            image: id('b'),
            members,
            up_ms,
            soak_ms: 600_000,
            waits: None,
            restarts: 1,
            began_at: "2026-11-28T11:55:00Z".to_owned(),
            age_ms: 700_000,
        }),
        images: vec![
            verdict("app:latest", 'a', Reason::Latest, Detail::None),
            verdict("registry.example/app:v1", 'a', Reason::Latest, Detail::None),
            verdict(
                "registry.example/app:v2",
                'b',
                Reason::Pending,
                Detail::None,
            ),
        ],
        ..quiet(container)
    }
}

/// v2 exits with 3 again and again. `is_up`: this is a second in which it runs.
pub(crate) fn failing(container: &str, is_up: bool) -> WorkloadPlan {
    let failure = Failure {
        version: Version::new("v2"),
        image: id('b'),
        outcome: Outcome::Failed,
        attempts: 6,
        own_end: Some(End {
            exit_code: Some(3),
            ran_secs: 4,
        }),
        ended_by: EndedBy::Removed,
        up_secs: 4,
        ended_ms: 1,
        at: "2026-11-28T11:59:48Z".to_owned(),
    };
    let soaks = soaking(container, 1_000);
    let in_use = |state| {
        verdict(
            "registry.example/app:v2",
            'b',
            Reason::InUse,
            Detail::UsedBy {
                container: container.into(),
                state,
                others: 0,
            },
        )
    };
    let state = if is_up {
        tagkeeper_core::model::ContainerState::Running
    } else {
        tagkeeper_core::model::ContainerState::Exited
    };
    let mut images = soaks.images;
    images[2] = in_use(state);
    WorkloadPlan {
        failures: vec![failure.clone()],
        failing: Some(failure),
        failing_in: vec![container.to_owned()],
        pending: None,
        serving: soaks.serving.filter(|_| is_up),
        notes: if is_up {
            Vec::new()
        } else {
            vec![Note::NothingRuns]
        },
        images,
        ..soaking(container, 0)
    }
}

/// On hold for an incident, while an image is idle that would be removed otherwise.
pub(crate) fn held(container: &str) -> WorkloadPlan {
    let held = HeldBy::Section {
        reason: Some("incident 4711".to_owned()),
        left_ms: Some(5_400_000),
    };
    let mut plan = WorkloadPlan {
        notes: vec![Note::Held(held.clone())],
        held: Some(held),
        ..quiet(container)
    };
    plan.images.push(verdict(
        "registry.example/app:v0",
        'c',
        Reason::Idle,
        Detail::Idle {
            idle_ms: 90_000_000,
            grace_ms: 86_400_000,
            cut_short: None,
        },
    ));
    plan
}

/// Six workloads, each with something else to tell.
pub(crate) fn mixed() -> Plan {
    let mut gnmi = quiet("gnmi");
    gnmi.pins.insert(id('a'), "tagkeeper-pin-gnmi".to_owned());
    let mut database = quiet("database");
    database.fallbacks.clear();
    database.notes.push(Note::FallbackLost {
        version: Version::new("v1"),
    });
    database.images.remove(1);
    let workloads = [
        ("database", database),
        ("gnmi", gnmi),
        ("lldp", failing("k8s_lldp_v2", true)),
        ("snmp", soaking("k8s_snmp_v2", 240_000)),
        ("syncd", held("syncd")),
        ("telemetry", promotion()),
    ];
    Plan {
        workloads: workloads
            .into_iter()
            .map(|(name, plan)| (WorkloadName::new(name), plan))
            .gather(),
        ..Plan::default()
    }
}

/// v3 has soaked: it becomes latest, and v1 is removed in the round after that.
#[allow(clippy::too_many_lines, reason = "plain data")]
pub(crate) fn promotion() -> WorkloadPlan {
    let container = "k8s_telemetry_telemetry-7d9fbc_default_a5a0e3f2-64e1-4c2c-9b6f-5a2d8c7e1f00_0";
    let latest = "docker-sonic-telemetry:latest";
    let remote = |version: &str| format!("{REMOTE}:{version}");
    let members = vec![member(container)];
    let at = "2026-11-26T10:00:00Z";
    WorkloadPlan {
        latest: Some(Latest {
            version: Version::new("v2"),
            image: id('e'),
            proven: true,
            promoted_at: Some(at.to_owned()),
        }),
        head: Some(proven("v2", 'e', at)),
        fallbacks: vec![proven("v1", 'd', "2026-10-01T08:00:00Z")],
        serving: Some(ServingView {
            members: members.clone(),
            image: id('f'),
            version: Version::new("v3"),
            local: false,
        }),
        pending: Some(PendingView {
            version: Version::new("v3"),
            image: id('f'),
            members,
            up_ms: 612_000,
            soak_ms: 600_000,
            waits: None,
            restarts: 0,
            began_at: "2026-11-28T11:49:40Z".to_owned(),
            age_ms: 700_000,
        }),
        images: vec![
            verdict(latest, 'e', Reason::Latest, Detail::None),
            verdict(
                &remote("v1"),
                'd',
                Reason::Fallback,
                Detail::Proven(Version::new("v1")),
            ),
            verdict(&remote("v2"), 'e', Reason::Latest, Detail::None),
            verdict(&remote("v3"), 'f', Reason::Pending, Detail::None),
        ],
        refused: vec![RefusedView {
            target: remote("v0"),
            called: remote("v0"),
            reason: "conflict: unable to delete 0f0f (cannot be forced): image has dependent child images"
                .to_owned(),
            retry_in_ms: 240_000,
        }],
        rejected: BTreeMap::from([(
            id('9'),
            Rejected {
                version: Version::new("v9"),
                at: "2026-11-20T12:00:00Z".to_owned(),
                digests: BTreeSet::new(),
                proven: None,
            },
        )]),
        counters: Counters {
            promotions: 2,
            removals: 20,
            reclaimed_bytes: 1_204_000_000,
            ..Counters::default()
        },
        actions: vec![Action {
            kind: ActionKind::Tag {
                image: id('f'),
                reference: reference(latest),
                purpose: TagPurpose::Promote,
            },
            guards: vec![Guard::Means {
                reference: reference(latest),
                image: Some(id('e')),
            }],
        }],
        ..quiet(container)
    }
}

/// The rounds that follow [`promotion`].
pub(crate) fn later() -> Vec<Vec<(WorkloadName, Action)>> {
    let removal = Action {
        kind: ActionKind::RemoveImage {
            reference: Some(reference(&format!("{REMOTE}:v1"))),
            image: id('d'),
            reason: Reason::Retired,
        },
        guards: Vec::new(),
    };
    vec![vec![(WorkloadName::new("telemetry"), removal)]]
}

/// A host that tagkeeper has just been installed on: v1 soaks, and so many images were there
/// before.
pub(crate) fn fresh(inherited: usize) -> WorkloadPlan {
    let digits = ['3', '4', '5', '6', '7', '8'];
    let mut plan = soaking("telemetry", 60_000);
    plan.latest = plan.latest.map(|latest| Latest {
        proven: false,
        promoted_at: None,
        ..latest
    });
    plan.head = None;
    for digit in digits.into_iter().take(inherited) {
        let name = format!("{REMOTE}:old-{digit}");
        plan.images
            .push(verdict(&name, digit, Reason::Inherited, Detail::None));
    }
    plan
}
