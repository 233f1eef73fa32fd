//! `status` of one workload.

use super::*;

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
