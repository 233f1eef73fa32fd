//! What people see, whole; each text reads as it is printed.

use std::collections::BTreeMap;

use super::*;
use crate::decide::{Action, PendingView, Reason, TagPurpose};
use crate::image::{Repository, Version};
use crate::policy::{EnginePolicy, Workload};
use crate::report::sample::{self, busy, id, judgement, pending, quiet, reference};

fn preface() -> Preface {
    Preface::new("/etc/tagkeeper/policy.toml")
}

fn status_of(workload: WorkloadPlan) -> String {
    status(&sample::plan(workload), &preface(), Page::default())
}

fn plan_of(workload: WorkloadPlan) -> String {
    plan(&sample::plan(workload), &preface(), Page::default())
}

/// v3 has soaked and becomes latest in place of v2, which would lose its last name; v1 goes once that is done.
fn promotion() -> WorkloadPlan {
    let latest = "docker-sonic-telemetry:latest";
    WorkloadPlan {
        pending: Some(PendingView {
            up_ms: 612_000,
            ..pending("v3")
        }),
        images: vec![
            judgement(
                Some(latest),
                'b',
                Reason::Latest,
                "what the local service runs",
            ),
            judgement(
                Some("registry.example/app:v0"),
                'e',
                Reason::Idle,
                "idle for 1day1h of 1day",
            ),
            judgement(
                Some("registry.example/app:v3"),
                'c',
                Reason::Pending,
                "being soaked",
            ),
        ],
        actions: vec![
            Action::Tag {
                image: id('b'),
                reference: reference("docker-sonic-telemetry:v2"),
                replaces: None,
                purpose: TagPurpose::KeepName,
            },
            Action::Tag {
                image: id('c'),
                reference: reference(latest),
                replaces: Some(id('b')),
                purpose: TagPurpose::Promote,
            },
        ],
        ..quiet("v2")
    }
}

#[test]
fn status_of_a_busy_workload() {
    assert_eq!(
        status_of(busy()),
        "\
telemetry
  latest     v2 (bbbbbbbbbbbb), proven since 2026-11-22T23:10:00Z
  fallback   v1 (aaaaaaaaaaaa), proven since 2026-11-22T23:02:00Z
  serving    v3 (cccccccccccc) in k8s_telemetry_x, orchestrated
  pending    [########------------] 42% v3 soaking 4m12s of 10m, 5m48s left
             in k8s_telemetry_x, image cccccccccccc, since 2026-11-22T23:14:00Z,
             1 restart
  note       a note that is long enough to need a second line, to show how it
             goes on there
  note       second note
  failed     v9 (999999999999) exited (1) after 31s; 4 attempts, the last until
             2026-11-22T23:05:00Z
  rejected   v8 (888888888888) at 2026-11-22T23:06:00Z; `tagkeeper accept
             telemetry v8` lifts that
  records    since 2026-11-22T23:00:00Z
  disk       5 images, 4 names, at most 602 MB (shared layers count each time)
  won back   at most 1.2 GB by 20 removals
  leaving    2 images, which wins back at most 241 MB
    remove retired    <none>
                      ffffffffffff  120 MB  made obsolete by a promotion
    keep   latest     docker-sonic-telemetry:latest
                      bbbbbbbbbbbb  120 MB  what the local service runs
    remove renamed    docker-sonic-telemetry:v1
                      aaaaaaaaaaaa  120 MB  the fallback has its remote name
    retag  adopt      registry.example/docker-sonic-telemetry:v1
                      eeeeeeeeeeee  120 MB  moves to aaaaaaaaaaaa, which really
                      ran as v1
    keep   pending    registry.example/docker-sonic-telemetry:v3
                      cccccccccccc  120 MB  being soaked
"
    );
}

#[test]
fn status_of_a_quiet_workload_on_hold() {
    assert_eq!(
        status_of(WorkloadPlan {
            hold: true,
            ..quiet("v2")
        }),
        "\
telemetry (on hold)
  latest     v2 (bbbbbbbbbbbb), proven since 2026-11-22T23:10:00Z
  fallback   none
  serving    nothing
  pending    nothing
  records    since 2026-11-22T23:00:00Z
  disk       no image of this workload
"
    );
}

#[test]
fn status_of_a_fresh_workload() {
    let twice = |name| judgement(Some(name), 'b', Reason::Inherited, "was here first");
    let fresh = WorkloadPlan {
        latest: None,
        since: None,
        images: vec![twice("app:v1"), twice("registry.example/app:v1")],
        ..quiet("v2")
    };
    let shown = status_of(fresh);
    assert!(shown.contains("  latest     none\n"), "{shown}");
    assert!(shown.contains("  records    none yet\n"), "{shown}");
    assert!(
        shown.contains("  disk       1 image, 2 names, at most 120 MB"),
        "{shown}"
    );
}

#[test]
fn what_is_latest_is_proven_or_not() {
    for (proven, promoted_at, told) in [
        (true, Some("then"), "proven since then"),
        (true, None, "proven"),
        (false, None, "not proven"),
    ] {
        let mut workload = quiet("v2");
        if let Some(latest) = &mut workload.latest {
            latest.proven = proven;
            latest.promoted_at = promoted_at.map(str::to_owned);
        }
        let shown = status_of(workload);
        assert!(
            shown.contains(&format!("  latest     v2 (bbbbbbbbbbbb), {told}\n")),
            "{shown}"
        );
    }
}

#[test]
fn a_stand_in_was_never_promoted() {
    let mut workload = busy();
    workload.fallbacks[0].promoted_at = None;
    let shown = status_of(workload);
    assert!(
        shown.contains("  fallback   v1 (aaaaaaaaaaaa), latest before the records begin\n"),
        "{shown}"
    );
}

#[test]
fn progress_of_the_soak() {
    let (empty, full) = ("-".repeat(20), "#".repeat(20));
    for (up_ms, soak_ms, told) in [
        (
            0,
            600_000,
            format!("[{empty}] 0% v3 soaking 0s of 10m, 10m left\n"),
        ),
        (
            599_999,
            600_000,
            format!("[{}-] 99% v3 soaking 9m59s of 10m, 1s left\n", &full[1..]),
        ),
        (
            600_000,
            600_000,
            format!("[{full}] 100% v3 has soaked 10m of 10m\n"),
        ),
        (5, 0, format!("[{full}] 100% v3 has soaked 0s of 0s\n")),
    ] {
        let upgrade = PendingView {
            up_ms,
            soak_ms,
            ..pending("v3")
        };
        let shown = status_of(WorkloadPlan {
            pending: Some(upgrade),
            ..quiet("v2")
        });
        assert!(shown.contains(&told), "{told}: {shown}");
    }
}

#[test]
fn an_upgrade_that_has_soaked_for_ever_fits_too() {
    let upgrade = PendingView {
        up_ms: u64::MAX / 1000,
        ..pending("v3")
    };
    let shown = status_of(WorkloadPlan {
        pending: Some(upgrade),
        ..quiet("v2")
    });
    assert!(shown.contains("] 100% v3 has soaked "), "{shown}");
}

#[test]
fn plan_of_a_busy_workload() {
    assert_eq!(
        plan_of(busy()),
        "\
telemetry: v3 soaking 4m12s of 10m
  note  a note that is long enough to need a second line, to show how it goes on
        there
  note  second note
  ~ retag  adopt      registry.example/docker-sonic-telemetry:v1
                      eeeeeeeeeeee -> aaaaaaaaaaaa  moves to aaaaaaaaaaaa, which
                      really ran as v1
  - remove stale      container telemetry
                      666666666666  the stopped local container, made from
                      aaaaaaaaaaaa, which is not latest
  - remove retired    <none>
                      ffffffffffff  120 MB  made obsolete by a promotion
  - remove renamed    docker-sonic-telemetry:v1
                      aaaaaaaaaaaa  120 MB  the fallback has its remote name
    keep   latest     docker-sonic-telemetry:latest
                      bbbbbbbbbbbb  120 MB  what the local service runs
    keep   pending    registry.example/docker-sonic-telemetry:v3
                      cccccccccccc  120 MB  being soaked

next round: 0 to tag, 1 to retag, 3 to remove, which wins back at most 120 MB;
nothing has been changed. `tagkeeper reconcile` does it, and then whatever is
left to do.
"
    );
}

#[test]
fn plan_of_a_promotion() {
    assert_eq!(
        plan_of(promotion()),
        "\
telemetry: v3 has soaked 10m12s of 10m
  + tag    keep-name  docker-sonic-telemetry:v2
                      bbbbbbbbbbbb  latest leaves this image: it keeps a name
  ~ retag  promote    docker-sonic-telemetry:latest
                      bbbbbbbbbbbb -> cccccccccccc  v3 has soaked: it becomes
                      latest
  not in the next round, which judges them anew:
    remove idle       registry.example/app:v0
                      eeeeeeeeeeee  120 MB  idle for 1day1h of 1day
    keep   pending    registry.example/app:v3
                      cccccccccccc  120 MB  being soaked

next round: 1 to tag, 1 to retag, 0 to remove; nothing has been changed.
`tagkeeper reconcile` does it, and then whatever is left to do.
"
    );
}

#[test]
fn plan_of_a_lost_latest() {
    let restore = Action::Tag {
        image: id('b'),
        reference: reference("app:latest"),
        replaces: None,
        purpose: TagPurpose::Restore,
    };
    let shown = plan_of(WorkloadPlan {
        latest: None,
        actions: vec![restore],
        ..quiet("v2")
    });
    assert!(
        shown.starts_with(
            "\
telemetry: nothing is latest, nothing pending
  + tag    restore    app:latest
                      bbbbbbbbbbbb  the proven head becomes latest again

next round: 1 to tag, 0 to retag, 0 to remove; "
        ),
        "{shown}"
    );
}

#[test]
fn plan_with_nothing_to_do_still_says_what_is_kept() {
    let kept = judgement(
        Some("app:latest"),
        'b',
        Reason::Latest,
        "what the local service runs",
    );
    assert_eq!(
        plan_of(WorkloadPlan {
            images: vec![kept],
            ..quiet("v2")
        }),
        "\
telemetry: v2 is latest, nothing pending
  nothing to do
    keep   latest     app:latest
                      bbbbbbbbbbbb  120 MB  what the local service runs
"
    );
}

#[test]
fn every_removal_is_shown_though_no_verdict_goes_with_it() {
    let bare = Action::RemoveImage {
        reference: Some(reference("app:v1")),
        image: id('d'),
        reason: Reason::Idle,
    };
    // The same name on another image is another thing: the verdict on it is no verdict on this.
    let other = judgement(Some("app:v1"), 'e', Reason::Fallback, "v1 is proven");
    let shown = plan_of(WorkloadPlan {
        actions: vec![bare],
        images: vec![other],
        ..quiet("v2")
    });
    assert!(
        shown.contains("  - remove idle       app:v1\n                      dddddddddddd\n"),
        "{shown}"
    );
    assert!(shown.contains("    keep   fallback   app:v1\n"), "{shown}");
}

#[test]
fn a_rollback_is_shown_before_it_is_done() {
    let name = WorkloadName::new("telemetry");
    let restore = Action::Tag {
        image: id('a'),
        reference: reference("docker-sonic-telemetry:latest"),
        replaces: Some(id('b')),
        purpose: TagPurpose::Restore,
    };
    let stale = Action::RemoveContainer {
        container: "telemetry".to_owned(),
        id: sample::container_id('6'),
        image: id('b'),
    };
    let mut foreseen = Foreseen {
        rejected: Version::new("v2"),
        image: id('b'),
        target: Some((Version::new("v1"), id('a'))),
        actions: vec![restore, stale],
    };
    assert_eq!(
        rollback_foreseen(&name, &foreseen, Page::default()),
        "\
telemetry: v2 (bbbbbbbbbbbb) is rejected, and never latest again until
`tagkeeper accept telemetry v2`
  ~ retag  restore    docker-sonic-telemetry:latest
                      bbbbbbbbbbbb -> aaaaaaaaaaaa  the proven head becomes
                      latest again
  - remove stale      container telemetry
                      666666666666  the stopped local container, made from
                      bbbbbbbbbbbb, which is not latest
latest becomes v1 (aaaaaaaaaaaa), and the local service's next start runs it.
"
    );
    foreseen.target = None;
    foreseen.actions.clear();
    let shown = rollback_foreseen(&name, &foreseen, Page::default());
    assert!(
        shown.ends_with("v2`\nlatest stays what it is.\n"),
        "{shown}"
    );
}

#[test]
fn workloads_stand_apart() {
    let mut two = sample::plan(quiet("v2"));
    two.workloads.insert(WorkloadName::new("snmp"), quiet("v3"));
    assert_eq!(
        plan(&two, &preface(), Page::default()),
        "\
snmp: v3 is latest, nothing pending
  nothing to do

telemetry: v2 is latest, nothing pending
  nothing to do
"
    );
}

#[test]
fn without_a_workload_it_says_where_to_write_one() {
    let told = "\
no workload in the policy: nothing is watched, nothing to do
name one in /etc/tagkeeper/policy.toml:
  [workload.telemetry]
  repository = \"docker-sonic-telemetry\"
`tagkeeper init` prints a first policy from what the engine has
";
    assert_eq!(status(&Plan::default(), &preface(), Page::default()), told);
    assert_eq!(plan(&Plan::default(), &preface(), Page::default()), told);
    assert_eq!(
        check(&policy_of(&[]), &preface()),
        format!("the policy is sound; {told}")
    );
}

#[test]
fn what_concerns_all_comes_first() {
    let notes = vec!["the state is corrupt: this is a fresh start".to_owned()];
    let shown = status(
        &sample::plan(quiet("v2")),
        &Preface { notes, ..preface() },
        Page::default(),
    );
    assert!(
        shown.starts_with("note: the state is corrupt: this is a fresh start\n\ntelemetry\n"),
        "{shown}"
    );
}

#[test]
fn what_comes_from_outside_steers_no_terminal() {
    let mut workload = busy();
    workload.notes = vec!["is not ready (\u{1b}[2J\nno)".to_owned()];
    if let Some(serving) = &mut workload.serving {
        serving.container = "k8s\u{1b}[31m".to_owned();
    }
    workload.failures[0].reason = "\u{7}bell".to_owned();
    for shown in [status_of(workload.clone()), plan_of(workload)] {
        let acts = |c: char| c.is_control() && c != '\n';
        assert!(!shown.contains(acts), "{shown}");
        assert!(shown.contains("is not ready (\u{fffd}[2J no)\n"), "{shown}");
    }
}

/// Everything that comes from outside, as long as it may be, and in characters that take two columns.
fn wide() -> WorkloadPlan {
    let mut workload = busy();
    let pod = format!("k8s_{}_default_{}", "テレメトリ".repeat(9), "0".repeat(60));
    workload
        .serving
        .as_mut()
        .unwrap()
        .container
        .clone_from(&pod);
    workload.pending.as_mut().unwrap().container = pod;
    workload.fallbacks[0].version = Version::new("v".repeat(128));
    workload.failures[0].reason = "語".repeat(100);
    let repository = format!("{}/{}", "registry.example".repeat(5), "x".repeat(100));
    workload.images[1].reference = Some(reference(&format!("{repository}:{}", "v".repeat(128))));
    workload
}

#[test]
fn lines_of_80_columns() {
    for shown in [
        status_of(busy()),
        plan_of(busy()),
        status_of(promotion()),
        plan_of(promotion()),
        status_of(wide()),
        plan_of(wide()),
    ] {
        let too_wide = |line: &&str| layout::columns(line) > WIDTH;
        assert_eq!(shown.lines().find(too_wide), None);
        assert_eq!(shown.lines().find(|line| line.ends_with(' ')), None);
        assert!(shown.ends_with('\n') && !shown.ends_with("\n\n"), "{shown}");
    }
}

#[test]
fn a_name_that_can_stand_in_one_piece_does() {
    for length in [58, 59, 76, 77] {
        let name = format!("app:{}", "v".repeat(length - 4));
        let image = judgement(Some(&name), 'b', Reason::Latest, "why");
        let shown = status_of(WorkloadPlan {
            images: vec![image],
            ..quiet("v2")
        });
        let told = match length {
            ..=58 => format!("    keep   latest     {name}\n"),
            59..=76 => format!("    keep   latest\n    {name}\n"),
            _ => format!("    keep   latest     {}\n", &name[..58]),
        };
        assert!(shown.contains(&told), "{told}{shown}");
    }
}

#[test]
fn colours_say_what_the_words_say() {
    let page = Page { colors: true };
    let status = status(&sample::plan(busy()), &preface(), page);
    let plan = plan(&sample::plan(busy()), &preface(), page);
    for (shown, colored) in [
        (&status, "\u{1b}[1mtelemetry\u{1b}[0m\n"),
        (&status, ", \u{1b}[32mproven\u{1b}[0m since"),
        (&status, "\u{1b}[31m  failed\u{1b}[0m     v9"),
        (
            &status,
            "\u{1b}[31m    remove retired    \u{1b}[0m\u{1b}[1m<none>",
        ),
        (&plan, "\u{1b}[33m  ~ retag  adopt      \u{1b}[0m"),
        (&plan, "\u{1b}[31m  - remove stale      \u{1b}[0m"),
        (&plan, "\n    keep   latest     \u{1b}[1m"),
    ] {
        assert!(shown.contains(colored), "{colored:?}: {shown:?}");
    }
    // Without them it is the very same text.
    for (colored, plain) in [(status, status_of(busy())), (plan, plan_of(busy()))] {
        let mut words = colored.split('\u{1b}');
        let first = words.next().unwrap_or_default().to_owned();
        let rest: String = words
            .filter_map(|part| Some(part.split_once('m')?.1))
            .collect();
        assert_eq!(first + &rest, plain);
    }
}

fn policy_of(names: &[&str]) -> Policy {
    let workload = |name: &&str| {
        let repository = Repository::parse(name).unwrap();
        (WorkloadName::new(*name), Workload::new(name, repository))
    };
    let workloads: BTreeMap<_, _> = names.iter().map(workload).collect();
    Policy {
        engine: EnginePolicy::default(),
        workloads,
        ..Policy::default()
    }
}

#[test]
fn check_names_the_workloads() {
    for (names, told) in [
        (&["snmp"][..], "the policy is sound; 1 workload: snmp\n"),
        (
            &["telemetry", "snmp"],
            "the policy is sound; 2 workloads: snmp, telemetry\n",
        ),
    ] {
        assert_eq!(check(&policy_of(names), &preface()), told);
    }
}
