//! What cannot be seen, whole and in time, is not acted on: exit 69, the reason on standard error,
//! nothing changed.

use std::os::unix::net::UnixListener;

use crate::host::{Host, Outcome};
use crate::scene::{POLICY, RIPE, assert_names, assert_promoted, id, impatient, soaking};
use in_memory_engine::{Engine, Fault, Route};

/// How a time-out may be worded.
const LATE: &str = "in time|timed out|timeout|deadline|within";
const LISTS: [Route; 2] = [Route::ListImages, Route::ListContainers];

/// The pass that would have promoted could not see: it left all as it was, and said why, in one of
/// the ways that `|` separates.
#[track_caller]
fn assert_blind(host: &Host, outcome: &Outcome, state: Option<&Vec<u8>>, reason: &str) {
    assert_eq!(outcome.code, 69, "{outcome:#?}");
    assert_eq!(outcome.mutations(), [""; 0]);
    assert_eq!(
        host.state_bytes().as_ref(),
        state,
        "the state file is the same byte for byte"
    );
    let said = outcome.stderr.to_lowercase();
    let names_reason = reason.split('|').any(|r| said.contains(r));
    assert!(
        said.contains("docker.sock") && names_reason,
        "names the socket and '{reason}': {outcome:#?}"
    );
    assert!(!said.contains("panicked"), "{outcome:#?}");
}

/// With this fault in the pass that would promote, nothing is done; the next pass, without it, does
/// promote.
#[track_caller]
fn nothing_is_done_when(policy: &str, route: Route, fault: Fault, reason: &str) {
    let host = soaking(policy);
    let state = host.state_bytes();
    assert!(state.is_some(), "the pending upgrade was written down");
    host.engine().fail(route, fault);
    let outcome = host.pass_at(RIPE);
    assert!(outcome.count(route) > 0, "{route:?} was asked for");
    assert_blind(&host, &outcome, state.as_ref(), reason);
    host.engine().heal();
    host.pass_at(RIPE + 5).expect_code(0);
    assert_promoted(&host);
}

#[test]
fn without_a_socket_nothing_is_done() {
    let host = soaking(POLICY);
    let state = host.state_bytes();
    for command in ["reconcile", "plan", "status"] {
        let outcome = host.run_on(&host.path("absent-docker.sock"), RIPE, &[command]);
        assert_blind(&host, &outcome, state.as_ref(), "no such file|not found");
    }
}

#[test]
fn a_socket_without_a_listener_is_no_engine() {
    let host = soaking(POLICY);
    let state = host.state_bytes();
    let socket = host.path("deserted-docker.sock");
    drop(UnixListener::bind(&socket).expect("the temporary directory is writable"));
    let outcome = host.run_on(&socket, RIPE, &["reconcile"]);
    assert_blind(&host, &outcome, state.as_ref(), "refused");
}

#[test]
fn an_error_of_the_engine_is_no_list() {
    for route in LISTS {
        nothing_is_done_when(
            POLICY,
            route,
            Fault::Status(500, "input/output error"),
            "input/output error",
        );
        nothing_is_done_when(
            POLICY,
            route,
            Fault::Status(404, "page not found"),
            "page not found",
        );
    }
}

#[test]
fn an_error_on_an_inspect_stops_the_pass() {
    nothing_is_done_when(
        POLICY,
        Route::InspectContainer,
        Fault::Status(500, "layer is gone"),
        "layer is gone",
    );
    // Which one, in a word that people know.
    nothing_is_done_when(
        POLICY,
        Route::InspectContainer,
        Fault::Status(500, "layer is gone"),
        "what container 'k8s_app_1' does",
    );
}

#[test]
fn what_is_no_json_is_no_answer() {
    for route in [
        Route::ListImages,
        Route::ListContainers,
        Route::InspectContainer,
    ] {
        nothing_is_done_when(
            POLICY,
            route,
            Fault::Body("<html>a proxy says hello</html>"),
            "",
        );
        nothing_is_done_when(POLICY, route, Fault::Body(""), "");
    }
}

#[test]
fn json_of_another_shape_is_no_answer() {
    for route in LISTS {
        nothing_is_done_when(
            POLICY,
            route,
            Fault::Body(r#"{"message":"not a list"}"#),
            "",
        );
        nothing_is_done_when(POLICY, route, Fault::Body(r#"[{"Id":5}]"#), "");
    }
    nothing_is_done_when(POLICY, Route::InspectContainer, Fault::Body("[]"), "");
}

#[test]
fn an_answer_without_identities_is_a_partial_observation() {
    // The client library reads these: every field of a container is optional to it.
    nothing_is_done_when(POLICY, Route::ListContainers, Fault::Body("[{}]"), "");
    nothing_is_done_when(POLICY, Route::InspectContainer, Fault::Body("{}"), "");
}

#[test]
fn a_truncated_body_is_no_answer() {
    for route in LISTS {
        nothing_is_done_when(POLICY, route, Fault::Truncated, "");
    }
}

#[test]
fn a_connection_that_closes_at_once_is_no_answer() {
    for route in LISTS {
        nothing_is_done_when(POLICY, route, Fault::Closed, "");
    }
}

#[test]
fn an_engine_that_stalls_before_the_headers_does_not_hold_the_pass() {
    for route in LISTS {
        nothing_is_done_when(&impatient(), route, Fault::StalledHeaders, LATE);
    }
}

#[test]
fn an_engine_that_stalls_in_the_body_does_not_hold_the_pass() {
    for route in [Route::ListImages, Route::InspectContainer] {
        nothing_is_done_when(&impatient(), route, Fault::StalledBody, LATE);
    }
}

#[test]
fn an_engine_that_drips_does_not_hold_the_pass() {
    nothing_is_done_when(&impatient(), Route::ListContainers, Fault::Dripping, LATE);
}

/// States that the client library has no word for: Podman's, and one that is yet to come.
const UNKNOWN_STATES: [&str; 2] = ["stopped", "hibernated"];

#[test]
fn one_container_in_an_unknown_state_does_not_hold_up_the_host() {
    for state in UNKNOWN_STATES {
        let host = soaking(POLICY);
        {
            let docker = &mut host.engine().docker;
            docker.image("other", &["elsewhere/thing:1"]);
            docker.run("neighbour", "elsewhere/thing:1");
            docker.container("neighbour").state = state.into();
        }
        let outcome = host.pass_at(RIPE).expect_code(0);
        assert_eq!(host.id_of("app:latest"), id("v2"), "{state}: {outcome:#?}");
        // It costs no call more, in idle passes either: the answer is there, and is read a second
        // time.
        let idle = host.pass_at(RIPE + 60).expect_code(0);
        assert_eq!(idle.requests.len(), 2, "{idle:#?}");
    }
}

#[test]
fn a_container_in_an_unknown_state_uses_its_image() {
    for state in UNKNOWN_STATES {
        let host = soaking(POLICY);
        {
            let docker = &mut host.engine().docker;
            docker.run("debug", "reg.example/app:old-a");
            docker.container("debug").state = state.into();
        }
        let outcome = host.pass_at(RIPE).expect_code(0);
        assert_eq!(host.id_of("app:latest"), id("v2"), "{state}");
        assert_eq!(
            outcome.removals_of("old-a"),
            0,
            "{state}: not even asked for, {outcome:#?}"
        );
        assert_eq!(host.id_of("reg.example/app:old-b"), "", "retired");
        let plan = host.plan_at(RIPE + 60);
        let rows = plan["workloads"]["app"]["images"].as_array().expect("rows");
        let row = rows.iter().find(|row| row["image"] == id("a").as_str());
        assert_eq!(row.expect("a row")["reason"], "in-use", "{plan:#}");

        host.engine().docker.drop_container("debug");
        host.pass_at(RIPE + 120).expect_code(0);
        assert_eq!(host.id_of("reg.example/app:old-a"), "", "deferred only");
    }
}

#[test]
fn a_container_in_an_unknown_state_does_not_serve() {
    for state in UNKNOWN_STATES {
        let host = soaking(POLICY);
        host.engine().docker.container("k8s_app_1").state = state.into();
        host.pass_at(RIPE).expect_code(0);
        assert_eq!(
            host.id_of("app:latest"),
            id("v1"),
            "{state} is not running: the upgrade has failed"
        );
    }
}

#[test]
fn a_stale_local_container_goes_in_the_state_that_podman_calls_stopped() {
    let host = soaking(POLICY);
    host.engine().docker.container("app").state = "stopped".into();
    host.pass_at(RIPE).expect_code(0);
    assert_promoted(&host);
}

#[test]
fn a_local_container_in_an_unknown_state_is_left_alone() {
    let host = soaking(POLICY);
    host.engine().docker.container("app").state = "hibernated".into();
    host.pass_at(RIPE).expect_code(0);
    assert_eq!(host.id_of("app:latest"), id("v2"));
    assert!(host.has_container("app"), "it may be anything but stopped");
}

#[test]
fn a_health_that_nobody_knows_is_not_healthy() {
    let host = soaking(POLICY);
    host.engine().docker.container("k8s_app_1").health = Some("convalescent".into());
    host.pass_at(RIPE).expect_code(0);
    assert_eq!(host.id_of("app:latest"), id("v1"));
    host.engine().docker.container("k8s_app_1").health = Some("healthy".into());
    host.pass_at(RIPE + 60).expect_code(0);
    host.pass_at(2 * RIPE + 60).expect_code(0);
    assert_promoted(&host);
}

#[test]
fn what_cannot_be_read_a_second_time_either_is_a_failed_observation() {
    let odd_id = r#"[{"Id":7,"ImageID":"sha256:aa","State":"stopped"}]"#;
    let no_id = r#"[{"ImageID":"sha256:aa","State":"stopped"}]"#;
    let odd_state = r#"[{"Id":"c0","ImageID":"sha256:aa","State":{"Status":"stopped"}}]"#;
    for body in [odd_id, no_id, odd_state] {
        nothing_is_done_when(POLICY, Route::ListContainers, Fault::Body(body), "");
    }
    let no_start = r#"{"Id":"c0","Image":"sha256:aa","State":{"Status":"stopped"}}"#;
    nothing_is_done_when(POLICY, Route::InspectContainer, Fault::Body(no_start), "");
}

#[test]
fn plan_and_status_print_nothing_that_they_could_not_see() {
    let host = soaking(POLICY);
    host.engine()
        .fail(Route::ListImages, Fault::Status(500, "input/output error"));
    for command in ["plan", "status"] {
        let outcome = host
            .run_at(RIPE, &[command, "--format", "json"])
            .expect_code(69);
        assert_eq!(outcome.stdout, "", "{command}: no half of a document");
        assert!(
            outcome.stderr.contains("input/output error"),
            "{outcome:#?}"
        );
    }
}

#[test]
fn a_rollback_that_cannot_see_changes_nothing() {
    let host = soaking(POLICY);
    let state = host.state_bytes();
    host.engine()
        .fail(Route::ListImages, Fault::Status(500, "input/output error"));
    let outcome = host.run_at(RIPE, &["rollback", "app"]);
    assert_blind(&host, &outcome, state.as_ref(), "input/output error");
}

#[test]
fn once_something_was_changed_a_blind_round_is_a_failed_pass() {
    let host = soaking(POLICY);
    host.engine().before(Route::Tag, 1, |e: &mut Engine| {
        e.fail(Route::ListImages, Fault::Status(500, "gone bad"));
    });
    let outcome = host.pass_at(RIPE).expect_code(1);
    assert!(outcome.stderr.contains("gone bad"), "{outcome:#?}");
    assert_eq!(
        outcome.mutations().len(),
        1,
        "the tag and nothing else: {outcome:#?}"
    );
    assert_eq!(
        host.id_of("app:latest"),
        id("v2"),
        "the commit point was passed"
    );
    host.engine().heal();
    host.pass_at(RIPE + 5).expect_code(0);
    assert_promoted(&host);
}

/// What the engine said before that is saved all the same: nothing shows it later.
#[test]
fn what_was_answered_before_a_blind_round_is_not_forgotten() {
    let blind_after = |host: &Host, route, fault| {
        host.engine().before(route, 1, |e: &mut Engine| {
            e.fail(Route::ListImages, Fault::Status(500, "gone bad"));
        });
        if let Some(fault) = fault {
            host.engine().fail(route, fault);
        }
        host.pass_at(RIPE).expect_code(1);
        host.engine().heal();
    };
    // A tag that the engine shows, failed to write down, and has forgotten when it starts again.
    let doubtful = soaking(POLICY);
    let full = Fault::Unsaved(500, "no space left on device");
    blind_after(&doubtful, Route::Tag, Some(full));
    let outcome = doubtful.pass_at(RIPE + 5).expect_code(0);
    assert_eq!(outcome.count(Route::Tag), 1, "given again: {outcome:#?}");
    assert_promoted(&doubtful);

    let removed = soaking(POLICY);
    blind_after(&removed, Route::RemoveImage, None);
    let status = removed.run_at(RIPE + 5, &["status", "--format", "json"]);
    let tally = &status.expect_code(0).json()["workloads"]["app"]["tally"];
    assert_eq!(tally["removals"], 2, "the container, and the first image");
}

/// A second workload that waits for its promotion like the first.
fn with_web(host: &Host) {
    let docker = &mut host.engine().docker;
    docker.image("w1", &["web:latest", "web:v1"]);
    docker.image("w2", &["web:v2"]);
    docker.run("k8s_web_1", "web:v2");
}

fn two_workloads() -> Host {
    let host = Host::new(&format!("{POLICY}\n[workload.web]\nrepository = \"web\"\n"));
    crate::scene::upgrade(&mut host.engine().docker);
    with_web(&host);
    host.pass_at(0).expect_code(0);
    host
}

#[test]
fn a_container_that_vanished_before_its_inspect_stops_no_other_workload() {
    let host = two_workloads();
    // By the time of the first inspect, whichever container it is for.
    host.engine().before(Route::InspectContainer, 1, |e| {
        e.docker.drop_container("k8s_web_1");
    });
    host.pass_at(RIPE).expect_code(0);
    assert_eq!(host.id_of("app:latest"), id("v2"), "app is promoted");
    assert_eq!(
        host.id_of("web:latest"),
        id("w1"),
        "web is not: its container is gone"
    );
}

#[test]
fn an_inspect_that_finds_nothing_stops_no_other_workload() {
    let host = two_workloads();
    let web = host.engine().docker.container("k8s_web_1").id.clone();
    // Listed, and not to be found, round after round.
    for subject in [web.leak() as &str, "k8s_web_1"] {
        host.engine().fail_about(
            Route::InspectContainer,
            subject,
            Fault::Status(404, "No such container"),
        );
    }
    host.pass_at(RIPE).expect_code(0);
    assert_eq!(host.id_of("app:latest"), id("v2"), "app is promoted");
    assert_eq!(
        host.id_of("web:latest"),
        id("w1"),
        "web is not: nobody knows since when it runs"
    );
}

#[test]
fn an_error_on_the_inspect_of_one_workload_is_a_failed_observation_of_all() {
    let host = two_workloads();
    let (state, names) = (host.state_bytes(), host.names());
    host.engine().fail_nth(
        Route::InspectContainer,
        1,
        Fault::Status(500, "layer is gone"),
    );
    let outcome = host.pass_at(RIPE);
    assert_blind(&host, &outcome, state.as_ref(), "layer is gone");
    assert_eq!(host.names(), names);
    host.pass_at(RIPE + 5).expect_code(0);
    let both = [
        ("app:latest", "v2"),
        ("web:latest", "w2"),
        ("web:v1", "w1"),
        ("web:v2", "w2"),
    ];
    let rest = [("reg.example/app:v1", "v1"), ("reg.example/app:v2", "v2")];
    assert_names(&host, &[both.as_slice(), rest.as_slice()].concat());
}
