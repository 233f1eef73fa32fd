//! What people see, whole: each screen is a file in `screens`, as it is printed.
//!
//! `TAGKEEPER_SCREENS=write cargo test --lib screens` writes the files anew, to be read before they
//! are committed.

use std::fs;
use std::path::Path;

use tagkeeper_core::model::{
    Detail, FirstSeen, ImageReport, KeptUntil, NameReport, Note, Reason, Removed, RemovedBy,
    Replaced, RetiredBy, TagPurpose, Version, Waits,
};

use super::*;
use crate::report::sample::{
    REMOTE, failing, fresh, held, id, later, mixed, preface, promotion, quiet, reference, soaking,
};
use crate::report::{LastPass, LastPassView};

const DETAILS: Shown = Shown {
    details: true,
    all: false,
};

#[track_caller]
fn assert_screen(name: &str, shown: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/report/text/screens")
        .join(name);
    if std::env::var_os("TAGKEEPER_SCREENS").is_some() {
        fs::write(&file, shown).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(shown, expected, "{name}:\n{shown}");
}

fn one(workload: WorkloadPlan) -> Plan {
    Plan {
        workloads: [(WorkloadName::new("telemetry"), workload)].into(),
        ..Plan::default()
    }
}

type Later = [Vec<(WorkloadName, model::Action)>];

/// A plan on a host where no image has a name of somebody else's.
fn plan(plan: &Plan, later: &Later, preface: &Preface, page: Page) -> String {
    let first = plan.actions().into_iter().map(|(_, action)| action);
    let all = first.chain(later.iter().flatten().map(|(_, action)| action));
    let removed = all.filter(|a| matches!(a.kind, model::ActionKind::RemoveImage { .. }));
    let leaving = removed.map(|a| a.kind.image().clone()).collect();
    super::plan(plan, later, &leaving, preface, page)
}

fn details(workload: WorkloadPlan) -> String {
    status(&one(workload), &preface(), DETAILS, Page::default())
}

fn first_line(preface: &Preface) -> String {
    let page = Page::new(false, 160);
    let shown = status(&one(quiet("telemetry")), preface, Shown::default(), page);
    shown.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn screens_of_six_mixed_workloads_at_every_width() {
    for width in [60, 80, 160] {
        let page = Page::new(false, width);
        let overview = status(&mixed(), &preface(), Shown::default(), page);
        assert_screen(&format!("status-mixed-{width}.txt"), &overview);
        let planned = plan(&mixed(), &later(), &preface(), page);
        assert_screen(&format!("plan-mixed-{width}.txt"), &planned);
        // Names are in one piece, whatever the width.
        let container =
            "k8s_telemetry_telemetry-7d9fbc_default_a5a0e3f2-64e1-4c2c-9b6f-5a2d8c7e1f00_0";
        assert!(overview.contains(container), "{overview}");
        let is_wide = |line: &&str| columns(line) > width && !line.contains(container);
        assert_eq!(overview.lines().chain(planned.lines()).find(is_wide), None);
    }
}

/// The details have the order of the overview: what fails comes first.
#[test]
fn what_fails_comes_first_in_the_details_too() {
    let shown = status(&mixed(), &preface(), DETAILS, Page::default());
    let place = |name: &str| {
        shown
            .find(&format!("\n\n{name}"))
            .expect("a block for each")
    };
    let order = ["lldp", "snmp", "telemetry", "syncd", "database", "gnmi"];
    assert!(order.map(place).is_sorted(), "{shown}");
}

#[test]
fn screens_of_one_workload() {
    for (name, workload) in [
        ("status-soaking.txt", soaking("k8s_telemetry_v2", 252_999)),
        ("status-failing.txt", failing("k8s_telemetry_v2", true)),
        ("status-held.txt", held("telemetry")),
        ("status-promotion.txt", promotion()),
        ("status-fresh.txt", fresh(6)),
    ] {
        assert_screen(name, &details(workload));
    }
    let all = Shown {
        details: true,
        all: true,
    };
    let shown = status(&one(quiet("telemetry")), &preface(), all, Page::default());
    assert_screen("status-all.txt", &shown);
}

/// What keeps a soak from beginning is said, and what to type where the engine cannot tell.
#[test]
fn status_says_what_a_soak_waits_for() {
    for (waits, overview, detailed) in [
        (
            Waits::Trouble(model::SoakTrouble::Unhealthy),
            "v2 is unhealthy, the soak waits",
            "v2 is unhealthy",
        ),
        (
            Waits::Ready,
            "v2 was not ready when it was last asked, the soak waits",
            "`tagkeeper plan telemetry` asks its ready command",
        ),
        (
            Waits::Running,
            "v2 is not running, the soak waits",
            "v2 is not running, the soak waits",
        ),
        (
            Waits::NextPass,
            "v2 soaks from the next pass on",
            "v2 soaks from the next pass on",
        ),
    ] {
        let mut workload = soaking("k8s_v2", 0);
        if let Some(pending) = &mut workload.pending {
            pending.waits = Some(waits);
        }
        let one_line = |text: String| one_line(&text);
        let shown = one_line(status(
            &one(workload.clone()),
            &preface(),
            Shown::default(),
            Page::default(),
        ));
        assert!(shown.contains(overview), "{shown}");
        let shown = one_line(details(workload));
        assert!(shown.contains(detailed), "{shown}");
    }
}

/// What has crashed six times and is up for the seventh may be the one that lasts.
#[test]
fn an_attempt_that_lasts_is_shown_beside_those_that_failed() {
    let of = |image, up_ms| {
        let mut workload = failing("k8s_v2", true);
        workload.pending = soaking("k8s_v2", up_ms).pending;
        if let Some(pending) = &mut workload.pending {
            pending.image = id(image);
        }
        one_line(&status(
            &one(workload),
            &preface(),
            Shown::default(),
            Page::default(),
        ))
    };
    for (image, up_ms) in [('b', 59_000), ('c', 252_999)] {
        let shown = of(image, up_ms);
        assert!(!shown.contains("up again"), "{shown}");
    }
    let lasting = of('b', 252_999);
    assert!(lasting.contains("FAILING"), "{lasting}");
    assert!(lasting.contains("up again, 42 %, 6 min left"), "{lasting}");
}

#[test]
fn what_the_policy_rejects_is_shown_as_rejected() {
    let mut workload = quiet("telemetry");
    let rejected = [(id('a'), Version::new("v1"))];
    workload.rejected_by_policy = rejected.into();
    let shown = details(workload);
    assert!(
        shown.contains("rejected   v1 (aaaaaaaaaaaa) by [reject] in the policy"),
        "{shown}"
    );
}

#[test]
fn a_crash_loop_looks_the_same_whichever_second_it_is() {
    let (up, down) = (failing("k8s_x", true), failing("k8s_x", false));
    assert_eq!(details(up.clone()), details(down.clone()));
    let overview = |workload| {
        status(
            &one(workload),
            &preface(),
            Shown::default(),
            Page::default(),
        )
    };
    assert_eq!(overview(up), overview(down));
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table: a row for each case")]
fn the_first_line_says_whether_passes_are_made() {
    let with = |secs: u64, code: u8, error: Option<&str>, timer: Option<&str>| Preface {
        timer: timer.map(str::to_owned),
        last_pass: Some(LastPassView {
            seconds_ago: secs,
            pass: LastPass {
                ended_at: "2026-11-28T11:59:48Z".to_owned(),
                monotonic_ms: 1,
                exit_code: code,
                error: error.map(str::to_owned),
            },
        }),
        ..preface()
    };
    let never = |timer: Option<&str>| Preface {
        last_pass: None,
        timer: timer.map(str::to_owned),
        ..preface()
    };
    let enable = "so no pass follows: systemctl enable --now tagkeeper.timer";
    for (preface, said) in [
        (
            with(12, 0, None, Some("active")),
            "last pass 12 s ago, ok, timer active".to_owned(),
        ),
        (with(12, 0, None, None), "last pass 12 s ago, ok".to_owned()),
        (
            with(12, 0, None, Some("inactive")),
            format!("last pass 12 s ago, ok; tagkeeper.timer is inactive, {enable}"),
        ),
        (
            with(7_300, 0, None, Some("failed")),
            format!("last pass 2 h ago, PASSES HAVE STOPPED; tagkeeper.timer is failed, {enable}"),
        ),
        (
            with(7_300, 0, None, None),
            "last pass 2 h ago, PASSES HAVE STOPPED; is tagkeeper.timer active?".to_owned(),
        ),
        (
            with(301, 0, None, Some("active")),
            "last pass 5 min ago, PASSES HAVE STOPPED, timer active".to_owned(),
        ),
        (
            with(40, 69, Some("failed to list\nthe images"), Some("active")),
            "last pass 40 s ago FAILED, exit code 69, timer active: failed to list the images"
                .to_owned(),
        ),
        (
            with(40, 78, Some("the policy is refused"), Some("inactive")),
            format!(
                "last pass 40 s ago FAILED, exit code 78: the policy is refused; \
                 tagkeeper.timer is inactive, {enable}"
            ),
        ),
        (
            never(Some("active")),
            "no pass on record since the host booted, timer active".to_owned(),
        ),
        (
            never(Some("inactive")),
            format!(
                "no pass on record since the host booted; tagkeeper.timer is inactive, {enable}"
            ),
        ),
        (
            never(None),
            "no pass on record since the host booted".to_owned(),
        ),
    ] {
        let line = first_line(&preface);
        assert_eq!(line.trim_end_matches("1 workload").trim_end(), said);
    }
}

#[test]
fn a_host_whose_passes_have_stopped_or_fail_is_red() {
    let red = |secs: u64, code: u8, timer: &str| {
        let mut preface = preface();
        preface.timer = Some(timer.to_owned());
        if let Some(view) = &mut preface.last_pass {
            view.seconds_ago = secs;
            view.pass.exit_code = code;
        }
        let page = Page::new(true, 160);
        status(&one(quiet("x")), &preface, Shown::default(), page).starts_with("\u{1b}[31m")
    };
    assert!(!red(12, 0, "active"));
    assert!(red(301, 0, "active"));
    assert!(red(12, 1, "active"));
    assert!(red(12, 0, "inactive"));
}

#[test]
fn an_overview_says_why_nothing_serves() {
    let of = |notes: Vec<Note>| {
        let workload = WorkloadPlan {
            serving: None,
            notes,
            ..quiet("x")
        };
        status(
            &one(workload),
            &preface(),
            Shown::default(),
            Page::default(),
        )
    };
    let pair = |name: &str| (name.to_owned(), Version::new("v2"));
    let several = Note::SeveralImages {
        one: pair("a"),
        other: pair("b"),
    };
    let workload = WorkloadPlan {
        serving: None,
        notes: vec![several],
        ..quiet("x")
    };
    let shown = details(workload);
    assert!(shown.contains("running    unclear"), "{shown}");
    for (notes, said) in [
        (vec![Note::NothingRuns], "nothing is running"),
        (
            vec![Note::Loops {
                container: "k8s_x".to_owned(),
                version: Version::new("v2"),
            }],
            "k8s_x is restarting",
        ),
        (
            vec![Note::SeveralImages {
                one: pair("a"),
                other: pair("b"),
            }],
            "several versions are running",
        ),
        (
            vec![Note::OnlyDryRuns {
                container: "a".to_owned(),
                version: Version::new("v2"),
            }],
            "only a dry run is running",
        ),
    ] {
        let shown = of(notes);
        assert!(shown.contains(said), "{said}: {shown}");
    }
}

#[test]
fn screens_of_plans() {
    let planned = |workload, later: &[_]| plan(&one(workload), later, &preface(), Page::default());
    assert_screen("plan-promotion.txt", &planned(promotion(), &later()));
    assert_screen("plan-fresh.txt", &planned(fresh(6), &[]));
    assert_screen("plan-held.txt", &planned(held("telemetry"), &[]));
    let due = WorkloadPlan {
        held: held("x").held,
        actions: Vec::new(),
        held_actions: promotion().actions,
        ..promotion()
    };
    assert_screen("plan-held-promotion.txt", &planned(due, &[]));
    assert_screen("plan-idle.txt", &planned(quiet("telemetry"), &[]));
    let none = plan(&Plan::default(), &[], &preface(), Page::default());
    assert_screen("plan-no-workload.txt", &none);
}

/// A plan that removes what was there before says so in its rounds, and not once more below them.
#[test]
fn what_a_plan_removes_is_not_announced_for_later() {
    let mut workload = fresh(1);
    let name = format!("{REMOTE}:old-3");
    workload.actions = vec![model::Action {
        kind: model::ActionKind::RemoveImage {
            reference: Some(reference(&name)),
            image: id('3'),
            reason: Reason::Retired,
        },
        guards: Vec::new(),
    }];
    let shown = plan(&one(workload.clone()), &[], &preface(), Page::default());
    assert!(!shown.contains("after the first promotion"), "{shown}");
    assert!(
        shown.contains("1 image to remove (up to 120 MB)"),
        "{shown}"
    );

    // Somebody has given it another name: it stays.
    let kept = BTreeSet::new();
    let shown = super::plan(&one(workload), &[], &kept, &preface(), Page::default());
    let said = "0 images to remove, 1 name to remove from images that are kept.";
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains(said), "{shown}");
}

/// The image that `latest` leaves gets a name first: it is the fallback.
#[test]
fn what_a_plan_gives_a_name_is_not_counted_as_removed() {
    let mut workload = quiet("telemetry");
    let latest = "docker-sonic-telemetry:latest";
    workload.images.retain(|name| name.image == id('b'));
    for name in &mut workload.images {
        name.reference = Some(reference(latest));
    }
    workload.images.truncate(1);
    let tag = |image, name: &str, purpose, from: Option<char>| model::Action {
        kind: model::ActionKind::Tag {
            image: id(image),
            reference: reference(name),
            purpose,
        },
        guards: vec![model::Guard::Means {
            reference: reference(name),
            image: from.map(id),
        }],
    };
    let v1 = "docker-sonic-telemetry:v1";
    workload.actions = vec![tag('b', v1, TagPurpose::KeepName, None)];
    let name = WorkloadName::new("telemetry");
    let moves = tag('c', latest, TagPurpose::Promote, Some('b'));
    let shown = plan(
        &one(workload),
        &[vec![(name, moves)]],
        &preface(),
        Page::default(),
    );
    assert!(
        shown.contains("1 tag to move, 1 tag to add, 0 images to remove."),
        "{shown}"
    );
}

fn preview() -> RollbackPreview {
    RollbackPreview {
        rejected: Version::new("v3"),
        image: id('c'),
        undo: Version::new("v3"),
        target: Some((Version::new("v2"), id('b'))),
        stays: None,
        keeps_running: vec!["k8s_telemetry_v3".to_owned()],
        actions: vec![model::Action {
            kind: model::ActionKind::Tag {
                image: id('b'),
                reference: reference("docker-sonic-telemetry:latest"),
                purpose: TagPurpose::Restore,
            },
            guards: Vec::new(),
        }],
    }
}

#[test]
fn screens_of_a_rollback() {
    let name = WorkloadName::new("telemetry");
    let shown = rollback_preview(&name, &preview(), Page::default());
    assert_screen("rollback-preview.txt", &shown);
    let stays = RollbackPreview {
        target: None,
        stays: Some(Version::new("v2")),
        actions: Vec::new(),
        ..preview()
    };
    let shown = rollback_preview(&name, &stays, Page::default());
    assert_screen("rollback-preview-stays.txt", &shown);
    let done = RolledBack {
        rejected: Version::new("v3"),
        undo: Version::new("v3"),
        meant: Some(Version::new("v2")),
        latest: Some(Version::new("v2")),
        is_as_meant: true,
        keeps_running: vec!["k8s_telemetry_v3".to_owned()],
        failed_actions: 0,
        refused_actions: 0,
    };
    let shown = rolled_back(&name, &done, Page::default());
    assert_screen("rollback-done.txt", &shown);
    // What was meant is not what is there: it is not claimed.
    let dropped = RolledBack {
        latest: Some(Version::new("v3")),
        is_as_meant: false,
        failed_actions: 1,
        ..done
    };
    let shown = rolled_back(&name, &dropped, Page::default());
    assert_screen("rollback-not-as-meant.txt", &shown);
}

fn report() -> ImageReport {
    ImageReport {
        workload: WorkloadName::new("telemetry"),
        image: id('a'),
        version: Version::new("v1"),
        size_bytes: Some(120_400_000),
        first_seen: FirstSeen::At("2026-10-01T07:00:00Z".to_owned()),
        promoted_at: Some("2026-10-01T08:00:00Z".to_owned()),
        replaced: Some(Replaced {
            by: Version::new("v2"),
            at: "2026-11-26T10:00:00Z".to_owned(),
        }),
        retired: None,
        rejected: None,
        lifted_by: None,
        rejected_by_policy: false,
        pending: None,
        failure: None,
        removed: None,
        past_names: Vec::new(),
        names: vec![NameReport {
            reference: Some(reference(&format!("{REMOTE}:v1"))),
            reason: Reason::Fallback,
            detail: Detail::Proven(Version::new("v1")),
            until: KeptUntil::Promotions(1),
        }],
    }
}

#[test]
fn screens_of_an_image() {
    let shown = explain(&[&report()], &preface(), Page::default());
    assert_screen("explain-fallback.txt", &shown);
    let gone = ImageReport {
        size_bytes: None,
        retired: Some(RetiredBy {
            by: Some(Version::new("v3")),
            at: "2026-11-28T11:00:00Z".to_owned(),
        }),
        removed: Some(Removed {
            why: RemovedBy::Retired,
            at: "2026-11-28T11:00:10Z".to_owned(),
        }),
        past_names: vec![format!("{REMOTE}:v1"), format!("{REMOTE}:stable")],
        names: Vec::new(),
        ..report()
    };
    let shown = explain(&[&gone], &preface(), Page::default());
    assert_screen("explain-removed.txt", &shown);
}

#[test]
fn nothing_from_outside_steers_a_terminal() {
    let evil = "k8s\u{1b}[2J\nFORGED";
    let mut workload = soaking(evil, 1_000);
    workload.refused = promotion().refused;
    workload.refused[0].reason = evil.to_owned();
    for shown in [
        details(workload.clone()),
        details(failing(evil, true)),
        status(
            &one(workload.clone()),
            &preface(),
            Shown::default(),
            Page::default(),
        ),
        plan(&one(workload), &[], &preface(), Page::default()),
    ] {
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        assert!(!shown.contains("\nFORGED"), "{shown:?}");
    }
}
