//! An idle pass costs two engine calls and no write, however many images there are (design sections
//! 5.1 and 8).

use std::fmt::Write;

use crate::host::{Host, Outcome};
use crate::scene::{POLICY, RIPE, assert_promoted, id, promoted, soaking};
use in_memory_engine::{Fault, Route};

/// Two lists, and at most the question for the version.
#[track_caller]
fn assert_two_calls(outcome: &Outcome) {
    let mut routes: Vec<Route> = outcome.requests.iter().map(|r| r.route).collect();
    if let Some(version) = routes.iter().position(|r| *r == Route::Version) {
        routes.remove(version);
    }
    let both = [
        [Route::ListContainers, Route::ListImages],
        [Route::ListImages, Route::ListContainers],
    ];
    assert!(
        both.iter().any(|b| routes == b),
        "two lists and nothing else: {:#?}",
        outcome.requests
    );
}

/// Pass after pass, in an hour and in a year: nothing is written, not even a time stamp.
#[track_caller]
fn assert_idle(host: &Host) {
    let stamps = host.state_stamps();
    assert!(!stamps.is_empty());
    for secs in [2_000, 20_000, 30_000_000] {
        let outcome = host.pass_at(secs).expect_code(0);
        assert_two_calls(&outcome);
        assert_eq!(host.state_stamps(), stamps, "at {secs} s");
    }
}

/// A host whose only version, run by the local container, has been promoted beside so many other
/// images.
fn settled(others: usize) -> Host {
    let host = Host::new(POLICY);
    {
        let docker = &mut host.engine().docker;
        docker.image("v1", &["app:latest", "app:v1"]);
        docker.run("app", "app:latest");
        for n in 0..others {
            let mut name = String::new();
            let repository = if n % 2 == 0 {
                "reg.example/app"
            } else {
                "elsewhere.example:5000/team/thing"
            };
            write!(name, "{repository}:build-{n}").expect("memory");
            docker.image(&name, &[&name]);
        }
    }
    host.pass_at(0).expect_code(0);
    assert_eq!(
        host.pass_at(RIPE).expect_code(0).mutations(),
        [""; 0],
        "a first promotion retires nothing"
    );
    let plan = host.plan_at(RIPE + 5);
    assert_eq!(
        plan["workloads"]["app"]["latest"]["proven"], true,
        "{plan:#}"
    );
    host
}

#[test]
fn an_idle_pass_is_two_calls_and_no_write_at_one_image() {
    let host = settled(0);
    assert_idle(&host);
    assert_eq!(host.id_of("app:latest"), id("v1"));
}

#[test]
fn an_idle_pass_is_two_calls_and_no_write_at_a_thousand_images() {
    let host = settled(999);
    assert_idle(&host);
    assert_eq!(host.names().len(), 1_001, "all are there still");
}

#[test]
fn an_idle_pass_after_a_promotion_is_two_calls_and_no_write() {
    assert_idle(&promoted());
}

#[test]
fn an_idle_pass_beside_a_crashed_container_is_two_calls_and_no_write() {
    let host = settled(2);
    {
        let docker = &mut host.engine().docker;
        docker.run("k8s_app", "reg.example/app:build-0");
        docker.exit("k8s_app", 1);
    }
    for secs in [RIPE + 60, RIPE + 120] {
        host.pass_at(secs).expect_code(0);
    }
    assert_idle(&host);
}

/// The kubelet keeps an ended container of each pod, and people keep theirs.
#[test]
fn an_idle_pass_beside_a_container_that_was_stopped_is_two_calls_and_no_write() {
    for code in [0, 137, 143, 255] {
        let host = settled(2);
        {
            let docker = &mut host.engine().docker;
            docker.run("k8s_app", "reg.example/app:build-0");
            docker.exit("k8s_app", code);
        }
        host.pass_at(RIPE + 60).expect_code(0);
        assert_idle(&host);
    }
}

#[test]
fn a_host_without_images_is_idle() {
    let host = Host::new(POLICY);
    host.pass_at(0).expect_code(0);
    assert_idle(&host);
}

#[test]
fn while_an_image_is_in_grace_the_clock_is_saved_hourly_and_no_oftener() {
    let host = promoted();
    host.engine().docker.image("v3", &["reg.example/app:v3"]);
    host.pass_at(1_000).expect_code(0);
    let stamps = host.state_stamps();
    for secs in [1_060, 2_000, 4_000] {
        host.pass_at(secs).expect_code(0);
        assert_eq!(host.state_stamps(), stamps, "at {secs} s");
    }
    host.pass_at(4_700).expect_code(0);
    assert_ne!(
        host.state_stamps(),
        stamps,
        "its age survives a reboot, but for an hour"
    );
    host.pass_at(1_000 + 86_000).expect_code(0);
    assert_eq!(
        host.id_of("reg.example/app:v3"),
        id("v3"),
        "less than a day idle"
    );
    host.pass_at(1_000 + 86_500).expect_code(0);
    assert_eq!(
        host.id_of("reg.example/app:v3"),
        "",
        "a day idle, and proven by nothing"
    );
}

#[test]
fn a_tag_that_fails_in_each_pass_is_written_down_once() {
    let host = soaking(POLICY);
    host.engine()
        .fail(Route::Tag, Fault::Status(500, "no space left on device"));
    host.pass_at(RIPE).expect_code(1);
    let stamps = host.state_stamps();
    for secs in [RIPE + 60, RIPE + 120] {
        host.pass_at(secs).expect_code(1);
        assert!(host.state_stamps() == stamps, "it was, at {secs} s");
    }
    host.engine().heal();
    host.pass_at(RIPE + 180).expect_code(0);
    assert_promoted(&host);
}
