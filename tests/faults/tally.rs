//! What is counted: each promotion, failure, restart and rollback once, and of the removals those
//! that the engine confirmed.

use serde_json::{Value, json};

use crate::host::Host;
use crate::scene::{POLICY, RIPE, assert_promoted, id, impatient, promoted, soaking};
use in_memory_engine::{Moment, Route};

/// What `status` says at this uptime, and that a pass says the same afterwards: it was saved.
#[track_caller]
fn assert_tally(host: &Host, secs: u64, wanted: &Value) {
    let status = host
        .run_at(secs, &["status", "--format", "json"])
        .expect_code(0);
    assert_eq!(status.json()["workloads"]["app"]["tally"], *wanted);
}

fn tally(promotions: u64, removals: u64, reclaimed_bytes: u64) -> Value {
    json!({
        "promotions": promotions, "failures": 0, "restarts": 0, "rollbacks": 0,
        "removals": removals, "reclaimed_bytes": reclaimed_bytes,
    })
}

#[test]
fn an_upgrade_and_what_it_reclaimed() {
    assert_tally(&promoted(), RIPE + 60, &tally(1, 2, 2_000_000));
}

#[test]
fn bytes_are_reclaimed_with_the_last_name_only() {
    let host = soaking(POLICY);
    host.engine().docker.image("b", &["app:old-b"]);
    host.pass_at(RIPE).expect_code(0);
    assert_promoted(&host);
    assert_tally(&host, RIPE + 60, &tally(1, 3, 2_000_000));
}

#[test]
fn images_without_a_name_count_with_a_size_each() {
    let host = promoted();
    {
        let docker = &mut host.engine().docker;
        for (label, name, megabytes) in [("v7", "app:v7", 3), ("v8", "app:v8", 5)] {
            docker.image(label, &[name]);
            docker.images.get_mut(&id(label)).unwrap().size_bytes = megabytes * 1_000_000;
        }
    }
    host.pass_at(1_000).expect_code(0);
    host.engine().docker.take_name("app:v7");
    host.engine().docker.take_name("app:v8");
    host.pass_at(1_060).expect_code(0);
    host.pass_at(100_000).expect_code(0);
    assert_promoted(&host);
    assert_tally(&host, 100_060, &tally(1, 4, 10_000_000));
}

#[test]
fn what_others_removed_is_not_counted() {
    let host = soaking(POLICY);
    host.engine().before(Route::RemoveImage, 1, |e| {
        e.docker.images.remove(&id("a"));
    });
    host.pass_at(RIPE).expect_code(0);
    assert_tally(&host, RIPE + 60, &tally(1, 1, 1_000_000));
}

#[test]
fn a_removal_that_nobody_confirmed_is_lost_and_never_counted_twice() {
    let host = soaking(&impatient());
    host.engine().watch(|moment, request, _| {
        moment == Moment::Before || !request.path.contains("old-a") || !request.is_mutation()
    });
    host.pass_at(RIPE).expect_code(1);
    host.engine().heal();
    host.pass_at(RIPE + 60).expect_code(0);
    assert_promoted(&host);
    assert_tally(&host, RIPE + 120, &tally(1, 1, 1_000_000));
}

#[test]
fn a_removal_that_changes_nothing_else_in_the_state_is_saved_too() {
    let host = promoted();
    let name_again = || host.engine().docker.image("v1", &["app:v1"]);
    for (secs, removals) in [(1_000, 3), (2_000, 4)] {
        name_again();
        host.pass_at(secs).expect_code(0);
        assert_eq!(host.id_of("app:v1"), "", "R4: it has its remote name");
        assert_tally(&host, secs + 60, &tally(1, removals, 2_000_000));
    }
}

#[test]
fn restarts_failures_and_rollbacks() {
    let host = promoted();
    {
        let docker = &mut host.engine().docker;
        docker.image("v3", &["reg.example/app:v3"]);
        docker.exit("k8s_app_1", 0);
        docker.run("k8s_app_2", "reg.example/app:v3");
    }
    host.pass_at(1_000).expect_code(0);
    host.engine().docker.start("k8s_app_2");
    host.pass_at(1_060).expect_code(0);
    host.engine().docker.exit("k8s_app_2", 1);
    host.pass_at(1_120).expect_code(0);
    host.run_at(1_130, &["rollback", "app", "--yes"])
        .expect_code(0);
    assert_tally(
        &host,
        1_200,
        &json!({
            "promotions": 1, "failures": 1, "restarts": 1, "rollbacks": 1, "removals": 2, "reclaimed_bytes": 2_000_000,
        }),
    );
}

#[test]
fn a_workload_that_is_missing_from_the_policy_for_a_pass_goes_on() {
    let host = promoted();
    host.set_policy("");
    host.pass_at(1_000).expect_code(0);
    host.set_policy(POLICY);
    host.pass_at(1_060).expect_code(0);
    assert_tally(&host, 1_120, &tally(1, 2, 2_000_000));
}

/// The state is read by people in an emergency, and most of what could be counted never happens.
#[test]
fn what_never_happened_is_not_written_down() {
    let host = promoted();
    let state = String::from_utf8(host.state_bytes().unwrap()).unwrap();
    assert!(state.contains("\"promotions\": 1"), "{state}");
    assert!(!state.contains("\"rollbacks\""), "{state}");
}
