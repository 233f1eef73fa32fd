//! Answers that no question fits: about something else, for somebody else, in no form that HTTP or
//! JSON know. And answers of real engines that are merely odd, and no reason to stop.

use crate::host::{Host, Outcome};
use crate::scene::{POLICY, RIPE, assert_promoted, id, soaking};
use in_memory_engine::{Fault, Route, hex_id};

const OBSERVING: [Route; 3] = [
    Route::ListImages,
    Route::ListContainers,
    Route::InspectContainer,
];

/// Bytes in place of an answer, and then the end of the connection.
const fn raw(start: &'static str) -> Fault {
    flood(start, "", 0)
}

const fn flood(start: &'static str, piece: &'static str, bytes: usize) -> Fault {
    Fault::Raw {
        start,
        piece,
        bytes,
    }
}

/// With this answer the pass that would promote sees nothing, says so in a short line, and changes
/// nothing; the next one promotes.
#[track_caller]
fn assert_refused(route: Route, fault: Fault, reason: &str) -> Outcome {
    let host = soaking(POLICY);
    let state = host.state_bytes();
    host.engine().fail(route, fault);
    let outcome = host.pass_at(RIPE);
    assert_eq!(outcome.code, 69, "{route:?}, {fault:?}: {outcome:#?}");
    assert_eq!(outcome.mutations(), [""; 0]);
    assert_eq!(host.state_bytes(), state);
    assert!(outcome.stderr.contains(reason), "{reason}: {outcome:#?}");
    assert_clean(&outcome);
    host.engine().heal();
    host.pass_at(RIPE + 5).expect_code(0);
    assert_promoted(&host);
    outcome
}

/// Few and short lines, with nothing that a terminal acts on.
#[track_caller]
fn assert_clean(outcome: &Outcome) {
    let said = &outcome.stderr;
    let acts = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
    };
    assert!(!said.contains(acts), "{outcome:#?}");
    assert!(said.lines().count() <= 8, "{outcome:#?}");
    let longest = said.lines().map(|line| line.chars().count()).max();
    assert!(longest < Some(900), "{longest:?} characters: {outcome:#?}");
    assert!(!said.contains("panicked"), "{outcome:#?}");
}

/// A proxy that sends an answer twice, or something of its own: 54 of 60 surplus image lists were
/// taken for the list of containers while both came on one connection.
#[test]
fn an_answer_that_nobody_asked_for_is_nobodys() {
    for route in OBSERVING {
        for surplus in ["[]", "{}", r#"[{"Id":"c0","State":"running"}]"#] {
            let host = soaking(POLICY);
            host.engine().fail(route, Fault::Surplus(surplus));
            host.pass_at(RIPE).expect_code(0);
            assert_promoted(&host);
        }
    }
}

#[test]
fn an_inspect_about_another_container_is_a_failed_observation() {
    let image = id("v2");
    let about = |id: &str| {
        let body = format!(
            r#"{{"Id":{id},"Image":"{image}","State":{{"Status":"running","StartedAt":"2026-01-01T00:00:00Z"}}}}"#
        );
        Fault::Body(body.leak())
    };
    let other = format!("\"{}\"", hex_id("another"));
    let reason = "the engine answered about container";
    assert_refused(Route::InspectContainer, about(&other), reason);
    let reason = "does not say which container";
    assert_refused(Route::InspectContainer, about("null"), reason);
    assert_refused(Route::InspectContainer, about("\"\""), reason);
}

#[test]
fn an_inspect_with_another_image_is_a_failed_observation() {
    for image in [id("v1"), String::new()] {
        let host = soaking(POLICY);
        let (state, names) = (host.state_bytes(), host.names());
        let container = host.engine().docker.container("k8s_app_1").id.clone();
        let body = format!(
            r#"{{"Id":"{container}","Image":"{image}","State":{{"Status":"running","StartedAt":"2026-01-01T00:00:03.123456789Z"}}}}"#
        );
        host.engine()
            .fail(Route::InspectContainer, Fault::Body(body.leak()));
        let outcome = host.pass_at(RIPE).expect_code(69);
        assert!(
            outcome.stderr.contains("with another image"),
            "{outcome:#?}"
        );
        assert_eq!((host.state_bytes(), host.names()), (state, names));
    }
}

/// Right before a change: nothing is known of what would be changed, so nothing is.
#[test]
fn an_image_that_was_not_asked_for_stops_the_action_and_no_other() {
    let (v1, v2) = (id("v1"), id("v2"));
    for body in [
        r#"{"RepoTags":["app:latest"],"RepoDigests":[]}"#.to_owned(),
        r#"{"Id":"","RepoTags":["app:latest"],"RepoDigests":[]}"#.to_owned(),
        format!(r#"{{"Id":"{v1}","RepoTags":["other:latest"],"RepoDigests":[]}}"#),
        format!(r#"{{"Id":"{v2}","RepoTags":null,"RepoDigests":null}}"#),
    ] {
        let host = soaking(POLICY);
        host.engine().fail_about(
            Route::InspectImage,
            "library/app:latest",
            Fault::Body(body.leak()),
        );
        let outcome = host.pass_at(RIPE).expect_code(1);
        assert_eq!(host.id_of("app:latest"), v1, "{outcome:#?}");
        assert_clean(&outcome);
        host.engine().heal();
        host.pass_at(RIPE + 5).expect_code(0);
        assert_promoted(&host);
    }
}

#[test]
fn a_status_that_is_no_success_is_no_answer() {
    for route in OBSERVING {
        for (answer, reason) in [
            (
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n",
                "",
            ),
            ("HTTP/1.1 204 No Content\r\n\r\n", "cannot be read"),
            (
                "HTTP/1.1 301 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
                "answered 301",
            ),
            ("HTTP/1.1 304 Not Modified\r\n\r\n", "answered 304"),
            (
                "HTTP/1.1 999 What\r\nContent-Length: 2\r\n\r\n[]",
                "answered 999",
            ),
            ("HTTP/1.1 100 Continue\r\n\r\n", ""),
        ] {
            assert_refused(route, raw(answer), reason);
        }
    }
}

/// For bollard 101 and 304 are a success of what has no answer to read.
#[test]
fn a_change_that_was_answered_oddly_has_failed() {
    for status in ["101 Odd", "301 Odd", "304 Not Modified", "999 Odd"] {
        for route in [Route::Tag, Route::RemoveContainer] {
            let host = soaking(POLICY);
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            host.engine().fail(route, raw(answer.leak()));
            let outcome = host.pass_at(RIPE).expect_code(1);
            assert_clean(&outcome);
            host.engine().heal();
            host.pass_at(RIPE + 5).expect_code(0);
            assert_promoted(&host);
        }
    }
}

#[test]
fn what_is_no_http_is_no_answer() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\n";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let many = 8 << 20;
    for fault in [
        raw(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n[]\r\n0\r\n\r\n",
        ),
        raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff0\r\n[]"),
        raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n[]\r\n0\r\n\r\n"),
        raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[]"),
        raw("HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n[]"),
        raw("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n[]"),
        raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n[]"),
        raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\u{0}[\u{0}]"),
        raw("SSH-2.0-OpenSSH_9.2\r\n"),
        flood(HEAD, "A: b\r\n", many),
        flood("HTTP/1.1 200 OK\r\nA: ", "b", many),
        flood(CHUNKED, "\r\n", many),
        flood(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n",
            "A: b\r\n",
            many,
        ),
        flood(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;",
            "x",
            many,
        ),
        flood("", "\r\n", many),
        flood("", "HTTP/1.1 100 Continue\r\n\r\n", 80 << 20),
    ] {
        for route in [Route::ListContainers, Route::InspectContainer] {
            assert_refused(route, fault, "");
        }
    }
}

#[test]
fn what_is_no_list_is_no_answer() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    let many = 60 << 20;
    for fault in [
        flood(HEAD, "[", 200_000),
        flood(HEAD, "{\"Id\":", 200_000),
        flood("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\"", "x", many),
        flood(
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[\"",
            "\u{1b}",
            many,
        ),
        flood(
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[{}",
            ",{}",
            500_000 * 3,
        ),
        raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[NaN]"),
        raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    ] {
        for route in [Route::ListImages, Route::ListContainers] {
            assert_refused(route, fault, "cannot be read");
        }
    }
}

/// What an engine says is printed in a line, however long it is and whatever is in it.
#[test]
fn what_the_engine_says_is_one_clean_line() {
    let odd = "{\"message\":\"no \\u001b[2J\\u202eroom\\n\\u200bleft\"}";
    let outcome = assert_refused(
        Route::ListImages,
        Fault::Raw {
            start: format!(
                "HTTP/1.1 500 X\r\nContent-Length: {}\r\n\r\n{odd}",
                odd.len()
            )
            .leak(),
            piece: "",
            bytes: 0,
        },
        "the engine answered 500: no \u{fffd}[2J\u{fffd}room \u{fffd}left",
    );
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
    let long = "HTTP/1.1 500 X\r\nContent-Length: 8388608\r\n\r\n{\"message\":\"";
    let outcome = assert_refused(
        Route::ListImages,
        flood(long, "x ", 8 << 20),
        "answered 500",
    );
    assert!(outcome.stderr.len() < 1_000, "{outcome:#?}");
}

#[test]
fn the_reason_of_a_refusal_is_one_clean_line() {
    let host = soaking(POLICY);
    let odd = format!("in \u{1b}[1muse\nby {}", "x".repeat(10_000));
    host.engine()
        .fail(Route::RemoveImage, Fault::Status(409, odd.leak()));
    let outcome = host.pass_at(RIPE).expect_code(0);
    assert!(
        outcome.stderr.contains("in \u{fffd}[1muse by xxx"),
        "{outcome:#?}"
    );
    assert_clean(&outcome);
}

/// Podman takes a short name for whatever repository ends in it (containers/podman#14294).
#[test]
fn names_are_asked_for_in_full() {
    let host = Host::new(POLICY);
    {
        let docker = &mut host.engine().docker;
        docker.resolves_short_names = true;
        docker.image("v1", &["reg.example/app:latest", "reg.example/app:v1"]);
        docker.run("k8s_app_1", "reg.example/app:v1");
    }
    host.pass_at(0).expect_code(0);
    let outcome = host.pass_at(RIPE).expect_code(0);
    assert_eq!(host.id_of("app:latest"), id("v1"), "{outcome:#?}");
    let tagged = "tag?repo=docker.io/library/app&tag=latest";
    let moves = outcome.mutations();
    assert!(moves.iter().any(|r| r.ends_with(tagged)), "{moves:#?}");
    let short = |r: &&in_memory_engine::Request| r.path.starts_with("/images/app");
    assert_eq!(
        outcome.requests.iter().find(short).map(ToString::to_string),
        None
    );
}

/// moby/moby#14342, #46302: anywhere on the host, in any state.
#[test]
fn a_container_without_an_image_changes_nothing_else() {
    for state in ["created", "exited", "running", "dead"] {
        let host = soaking(POLICY);
        {
            let docker = &mut host.engine().docker;
            docker.image("other", &["elsewhere/thing:1"]);
            docker.run("neighbour", "elsewhere/thing:1");
            let neighbour = docker.container("neighbour");
            neighbour.state = state.to_owned();
            neighbour.image = None;
        }
        host.pass_at(RIPE).expect_code(0);
        assert_eq!(host.id_of("app:latest"), id("v2"), "{state}");
        assert!(host.has_container("neighbour") && !host.has_container("app"));
    }
}

/// What Docker refuses: two mounts in one place.
#[test]
fn an_image_that_declares_a_volume_twice_is_pinned() {
    let host = Host::new(&format!("{POLICY}pin = true\n"));
    crate::scene::upgrade(&mut host.engine().docker);
    let volumes = ["/data", "/data/", "//var/./lib/", "/"];
    let v1 = id("v1");
    let docker = |host: &Host| host.engine().docker.images[&v1].clone();
    assert_eq!(docker(&host).tags.len(), 2);
    host.engine()
        .docker
        .images
        .get_mut(&v1)
        .expect("v1")
        .volumes = volumes.map(str::to_owned).to_vec();
    host.pass_at(0).expect_code(0);
    let outcome = host.pass_at(RIPE).expect_code(0);
    let made = outcome
        .requests
        .iter()
        .find(|r| r.route == Route::CreateContainer);
    let body: serde_json::Value = serde_json::from_str(&made.expect("a pin").body).expect("JSON");
    let mounts = body["HostConfig"]["Mounts"].as_array().expect("mounts");
    let targets: Vec<_> = mounts
        .iter()
        .map(|mount| mount["Target"].as_str())
        .collect();
    assert_eq!(targets, [Some("/data"), Some("/var/lib")], "{body:#}");
}
