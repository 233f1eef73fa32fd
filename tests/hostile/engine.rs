//! The engine is restarted in the middle of a pass, or is slower than anybody can wait for (design
//! 3, 4.6, 8).

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;

use crate::host::{Host, Outcome};
use crate::scene::{POLICY, RIPE, assert_promoted, impatient, soaking};
use crate::wrapped;
use in_memory_engine::{Fault, Route};

/// The requests of the pass that promotes and cleans up, in order, each with how many of its route
/// came before, it included.
fn requests_of_a_promotion() -> Vec<(Route, usize)> {
    let host = soaking(POLICY);
    let requests = host.pass_at(RIPE).expect_code(0).requests;
    let routes: Vec<Route> = requests.iter().map(|request| request.route).collect();
    let nth = |end: usize| routes[..=end].iter().filter(|r| **r == routes[end]).count();
    (0..routes.len()).map(|i| (routes[i], nth(i))).collect()
}

/// Before the first action the pass says that it saw nothing; afterwards that it failed, or that
/// all went well where the loss of one answer made no difference.
#[track_caller]
fn assert_told(outcome: &Outcome, at: (Route, usize)) {
    // An action begins with a look at what the name means now.
    let acted = outcome.count(Route::InspectImage) > 0;
    let fits = if acted {
        matches!(outcome.code, 0 | 1)
    } else {
        outcome.code == 69
    };
    assert!(fits, "{at:?}: {outcome:#?}");
}

/// At each request in turn, the engine dies: before it did what was asked, or after. The next pass
/// finishes the work.
#[test]
fn an_engine_that_dies_at_any_request_costs_nothing_but_the_pass() {
    let requests = requests_of_a_promotion();
    assert!(requests.len() > 10, "{requests:?}");
    for at in requests {
        for fault in [Fault::Crashed, Fault::Closed] {
            let host = soaking(POLICY);
            host.engine().fail_nth(at.0, at.1, fault);
            let outcome = host.pass_at(RIPE);
            assert_told(&outcome, at);
            if matches!(fault, Fault::Crashed) {
                assert_ne!(outcome.code, 0, "{at:?}: {outcome:#?}");
            }
            host.engine().heal();
            host.pass_at(RIPE + 5).expect_code(0);
            assert_promoted(&host);
        }
    }
}

/// Without live restore, an engine that restarts takes its containers along: they come back as new
/// incarnations.
fn restart_with_containers(host: &Host, route: Route) {
    host.engine().before(route, 1, |engine| {
        engine.docker.start("k8s_app_1");
        engine.fail(Route::InspectContainer, Fault::Closed);
        engine.fail(Route::ListImages, Fault::Closed);
    });
}

#[test]
fn containers_that_an_engine_restart_took_along_soak_again() {
    let host = soaking(POLICY);
    restart_with_containers(&host, Route::ListContainers);
    let outcome = host.pass_at(RIPE).expect_code(69);
    assert_eq!(outcome.mutations(), [""; 0]);
    host.engine().heal();
    for secs in [RIPE + 60, 2 * RIPE] {
        assert_eq!(host.pass_at(secs).expect_code(0).mutations(), [""; 0]);
    }
    host.pass_at(2 * RIPE + 60).expect_code(0);
    assert_promoted(&host);
}

/// The tag is the commit point: what soaked before it stays promoted.
#[test]
fn a_promotion_that_was_committed_before_the_restart_is_recorded_after_it() {
    let host = soaking(POLICY);
    restart_with_containers(&host, Route::Tag);
    let outcome = host.pass_at(RIPE).expect_code(1);
    assert_eq!(outcome.mutations().len(), 1, "{outcome:#?}");
    host.engine().heal();
    host.pass_at(RIPE + 60).expect_code(0);
    assert_promoted(&host);
}

#[test]
fn while_the_engine_is_away_its_socket_is_no_engine() {
    let host = soaking(POLICY);
    let (socket, aside) = (host.path("docker.sock"), host.path("aside.sock"));
    let (from, to) = (socket.clone(), aside.clone());
    host.engine().before(Route::ListImages, 1, move |engine| {
        fs::rename(from, to).expect("it is there");
        engine.fail(Route::ListContainers, Fault::Closed);
    });
    let outcome = host.pass_at(RIPE).expect_code(69);
    assert_eq!(outcome.mutations(), [""; 0]);
    let away = host.pass_at(RIPE + 1).expect_code(69);
    assert!(away.stderr.contains("there is no socket"), "{away:#?}");
    fs::rename(aside, socket).expect("it comes back");
    host.engine().heal();
    host.pass_at(RIPE + 5).expect_code(0);
    assert_promoted(&host);
}

#[test]
fn a_socket_that_cannot_be_used_is_told_with_its_mend() {
    let host = soaking(POLICY);
    let deserted = host.path("deserted.sock");
    drop(UnixListener::bind(&deserted).expect("writable"));
    let outcome = host.run_on(&deserted, RIPE, &["reconcile"]).expect_code(69);
    assert!(outcome.stderr.contains("nothing listens"), "{outcome:#?}");

    let socket = host.path("docker.sock");
    chown(&socket, Some(1234), Some(1234)).expect("root may");
    fs::set_permissions(&socket, Permissions::from_mode(0o600)).expect("root may");
    let plain = ["setpriv", "--bounding-set=-dac_override"];
    let outcome = wrapped::run(&host, &plain, RIPE, &["reconcile"]).expect_code(69);
    assert!(outcome.stderr.contains("no permission for"), "{outcome:#?}");
}

/// Each byte comes in time, the answer never does. One call's time is all that it costs.
#[test]
fn one_byte_a_second_does_not_hold_the_pass() {
    for route in [
        Route::ListImages,
        Route::ListContainers,
        Route::InspectContainer,
    ] {
        let host = soaking(&impatient());
        let state = host.state_bytes();
        host.engine().fail(route, Fault::Trickle);
        let outcome = host.pass_at(RIPE).expect_code(69);
        assert_eq!(outcome.mutations(), [""; 0]);
        assert!(outcome.stderr.contains("within 1s"), "{outcome:#?}");
        assert_eq!(host.state_bytes(), state);
        host.engine().heal();
        host.pass_at(RIPE + 5).expect_code(0);
        assert_promoted(&host);
    }
}

/// The engine does what it is asked, and takes for ever to say so.
#[test]
fn one_byte_a_second_about_a_change_is_a_failed_action_and_the_next_pass_goes_on() {
    for route in [Route::Tag, Route::RemoveContainer, Route::RemoveImage] {
        let host = soaking(&impatient());
        host.engine().fail(route, Fault::Trickle);
        let outcome = host.pass_at(RIPE).expect_code(1);
        assert!(outcome.stderr.contains("within 1s"), "{outcome:#?}");
        host.engine().heal();
        host.pass_at(RIPE + 5).expect_code(0);
        assert_promoted(&host);
    }
}
