//! `plan` of one workload, and what a rollback would do.

use super::*;

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
