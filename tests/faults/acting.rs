//! What goes wrong between the decision and its end: races and refusals. Nothing is tried twice in
//! a pass, nothing that changed since the look is touched, and one failed removal stops no other.

use crate::host::{Host, Outcome};
use crate::scene::{POLICY, RIPE, assert_names, assert_promoted, id, impatient, promoted, soaking};
use crate::shared::deploy_v3;
use in_memory_engine::{Docker, Engine, Fault, Route};

/// No path was asked to be removed twice, and `latest` was moved once at most.
#[track_caller]
fn assert_nothing_tried_twice(outcome: &Outcome) {
    let mut tried = outcome.mutations();
    let count = tried.len();
    tried.sort();
    tried.dedup();
    assert_eq!(
        tried.len(),
        count,
        "something was tried twice: {:#?}",
        outcome.mutations()
    );
}

/// Field case 11: names of a registry by its IPv6 address are asked for, removed and moved like
/// others.
#[test]
fn a_registry_may_be_named_by_its_ipv6_address() {
    const REMOTE: &str = "[fd00::1]:5000/app";
    let host = Host::new(&POLICY.replace("reg.example/app", REMOTE));
    let name = |tag: &str| format!("{REMOTE}:{tag}");
    let mut engine = host.engine();
    let docker = &mut engine.docker;
    docker.image("a", &[&name("old-a")]);
    // R4: what was only downloaded gives its name to what ran.
    docker.image("v1", &["app:latest", "app:v1"]);
    docker.image("dry", &[&name("v1")]);
    docker.image("v2", &[&name("v2")]);
    docker.run("k8s_app_1", &name("v2"));
    drop(engine);
    host.pass_at(0).expect_code(0);
    host.pass_at(RIPE).expect_code(0);
    let wanted = [
        ("app:latest".to_owned(), "v2"),
        (name("v1"), "v1"),
        (name("v2"), "v2"),
    ];
    let wanted: Vec<_> = wanted
        .iter()
        .map(|(n, label)| (n.as_str(), *label))
        .collect();
    assert_names(&host, &wanted);
}

#[test]
fn an_image_that_is_gone_already_is_removed() {
    let host = soaking(POLICY);
    host.engine().before(Route::RemoveImage, 1, |e| {
        e.docker.images.remove(&id("a"));
        e.docker.images.remove(&id("b"));
    });
    let outcome = host.pass_at(RIPE).expect_code(0);
    assert!(outcome.count(Route::RemoveImage) > 0);
    assert_nothing_tried_twice(&outcome);
    assert_promoted(&host);
}

#[test]
fn a_container_that_is_gone_already_is_removed() {
    let host = soaking(POLICY);
    host.engine().before(Route::RemoveContainer, 1, |e| {
        e.docker.drop_container("app");
    });
    let outcome = host.pass_at(RIPE).expect_code(0);
    assert_eq!(outcome.count(Route::RemoveContainer), 1);
    assert!(!outcome.stderr.contains("did not"), "{outcome:#?}");
    assert_promoted(&host);
}

#[test]
fn an_image_that_came_into_use_at_the_last_moment_is_in_use_and_no_error() {
    let host = soaking(POLICY);
    let hook = |e: &mut Engine| {
        e.docker.run("late", "reg.example/app:old-a");
        e.docker.run("later", "reg.example/app:old-b");
    };
    host.engine().before(Route::RemoveImage, 1, hook);
    let outcome = host.pass_at(RIPE).expect_code(0);
    assert!(
        outcome.count(Route::RemoveImage) > 0,
        "the engine was asked, and refused"
    );
    assert_nothing_tried_twice(&outcome);
    assert_eq!(
        (
            host.id_of("reg.example/app:old-a"),
            host.id_of("reg.example/app:old-b")
        ),
        (id("a"), id("b"))
    );
    // Deferred, not cancelled: a refused removal is tried again after a minute.
    for name in ["late", "later"] {
        host.engine().docker.drop_container(name);
    }
    host.pass_at(RIPE + 65).expect_code(0);
    assert_promoted(&host);
}

#[test]
fn a_local_container_that_started_at_the_last_moment_stays() {
    let host = soaking(POLICY);
    host.engine()
        .before(Route::RemoveContainer, 1, |e| e.docker.start("app"));
    let outcome = host.pass_at(RIPE).expect_code(0);
    assert_eq!(
        outcome.count(Route::RemoveContainer),
        1,
        "asked once, refused with 409"
    );
    assert!(host.has_container("app"));
}

#[test]
fn a_failed_removal_of_an_image_stops_no_other_and_is_tried_in_the_next_pass() {
    for (fault, policy) in [
        (Fault::Status(500, "device busy"), POLICY.to_owned()),
        (Fault::Closed, POLICY.to_owned()),
        (Fault::StalledHeaders, impatient()),
    ] {
        let host = soaking(&policy);
        host.engine().fail_about(Route::RemoveImage, "old-a", fault);
        let outcome = host.pass_at(RIPE).expect_code(1);
        assert_eq!(
            (outcome.removals_of("old-a"), outcome.removals_of("old-b")),
            (1, 1),
            "{fault:?}"
        );
        assert_nothing_tried_twice(&outcome);
        assert_eq!(
            (
                host.id_of("reg.example/app:old-b"),
                host.has_container("app")
            ),
            (String::new(), false)
        );
        host.engine().heal();
        host.pass_at(RIPE + 15).expect_code(0);
        assert_promoted(&host);
    }
}

/// Design 4.7: said once, tried again at growing intervals.
#[test]
fn a_refusal_is_said_once() {
    let host = soaking(POLICY);
    let conflict = "image has dependent child images";
    host.engine()
        .fail_about(Route::RemoveImage, "old-a", Fault::Status(409, conflict));
    let mut said = Vec::new();
    let mut tried = 0;
    for minute in 0..20 {
        let outcome = host.pass_at(RIPE + 60 * minute).expect_code(0);
        tried += outcome.count(Route::RemoveImage);
        let lines = outcome.stderr.lines();
        said.extend(lines.filter(|l| l.contains(conflict)).map(str::to_owned));
    }
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(tried > 4, "and tried again: {tried}");
}

#[test]
fn a_failed_removal_of_a_container_stops_no_other() {
    let host = soaking(POLICY);
    host.engine()
        .fail(Route::RemoveContainer, Fault::Status(500, "device busy"));
    let outcome = host.pass_at(RIPE).expect_code(1);
    let said = outcome.stderr.lines().find(|l| l.contains("device busy"));
    let said = said.expect("the engine's reason");
    assert!(said.starts_with("error: app: failed to remove "), "{said}");
    assert_eq!(said.matches("failed to").count(), 1, "{said}");
    assert_eq!(outcome.count(Route::RemoveContainer), 1);
    assert_eq!(
        (outcome.removals_of("old-a"), outcome.removals_of("old-b")),
        (1, 1)
    );
    assert_nothing_tried_twice(&outcome);
    host.engine().heal();
    host.pass_at(RIPE + 5).expect_code(0);
    assert_promoted(&host);
}

#[test]
fn without_the_tag_nothing_is_retired() {
    let host = soaking(POLICY);
    let names = host.names();
    host.engine()
        .fail(Route::Tag, Fault::Status(500, "read-only file system"));
    let outcome = host.pass_at(RIPE).expect_code(1);
    assert_eq!(outcome.mutations().len(), 1, "the tag, once: {outcome:#?}");
    assert_eq!(host.names(), names);
    assert!(host.has_container("app"));
    host.engine().heal();
    host.pass_at(RIPE + 5).expect_code(0);
    assert_promoted(&host);
}

/// A refused tag is no failure: something else is being done with the image, and the next pass asks
/// again.
#[test]
fn a_tag_that_the_engine_refuses_is_given_in_the_next_pass() {
    let host = soaking(POLICY);
    let names = host.names();
    let busy = Fault::Status(409, "the image is being pulled");
    host.engine().fail(Route::Tag, busy);
    let outcome = host.pass_at(RIPE).expect_code(0);
    assert_eq!(outcome.mutations().len(), 1, "the tag, once: {outcome:#?}");
    assert!(
        outcome.stderr.contains("did not tag"),
        "deferred, and not refused for minutes: {outcome:#?}"
    );
    assert_eq!(host.names(), names);
    host.engine().heal();
    host.pass_at(RIPE + 5).expect_code(0);
    assert_promoted(&host);
}

/// An engine that says yes and does nothing: the next round shows it.
const IN_VAIN: &str = "it says that this is done, but nothing has changed";

#[test]
fn a_tag_in_vain_is_a_failure() {
    let host = soaking(POLICY);
    host.engine().fail(Route::Tag, Fault::Status(201, ""));
    let outcome = host.pass_at(RIPE).expect_code(1);
    assert_eq!(outcome.stderr.matches(IN_VAIN).count(), 1, "{outcome:#?}");
    assert_eq!(outcome.mutations().len(), 1, "the tag, once: {outcome:#?}");
    host.engine().heal();
    host.pass_at(RIPE + 60).expect_code(0);
    assert_promoted(&host);
}

/// It waits like one that the engine refuses: Docker lists images that it answers 404 for.
#[test]
fn a_removal_in_vain_is_tried_again_at_growing_intervals() {
    let host = soaking(POLICY);
    host.engine().fail_about(
        Route::RemoveImage,
        "old-a",
        Fault::Status(404, "no such image"),
    );
    let outcome = host.pass_at(RIPE).expect_code(0);
    assert_eq!(outcome.stderr.matches(IN_VAIN).count(), 1, "{outcome:#?}");
    let tried_at = |secs| {
        let outcome = host.pass_at(secs).expect_code(0);
        assert!(!outcome.stderr.contains(IN_VAIN), "told once: {outcome:#?}");
        outcome.removals_of("old-a")
    };
    let tries = [30, 61, 91, 121, 182].map(|secs| tried_at(RIPE + secs));
    assert_eq!(tries, [0, 1, 0, 0, 1], "after one minute, then after two");
    host.engine().heal();
    tried_at(RIPE + 1_000);
    assert_promoted(&host);
}

#[test]
fn a_tag_that_was_set_though_the_answer_was_lost_is_found_by_the_next_pass() {
    let host = soaking(POLICY);
    host.engine().fail(Route::Tag, Fault::Closed);
    host.pass_at(RIPE).expect_code(1);
    assert_eq!(
        host.id_of("app:latest"),
        id("v2"),
        "the engine had moved it"
    );
    host.engine().heal();
    host.pass_at(RIPE + 5).expect_code(0);
    assert_promoted(&host);
}

/// On a full disk both engines move a tag in their memory, fail to write it down, and have
/// forgotten it when they are started again. It is not done until they say so.
#[test]
fn a_tag_that_the_engine_could_not_write_down_is_given_again() {
    let host = soaking(POLICY);
    let full = Fault::Unsaved(500, "no space left on device");
    host.engine().fail(Route::Tag, full);
    let outcome = host.pass_at(RIPE).expect_code(1);
    assert_eq!(host.id_of("app:latest"), id("v2"), "as the engine lists it");
    assert_eq!(outcome.mutations().len(), 1, "nothing goes: {outcome:#?}");
    assert!(!outcome.stderr.contains("v2 is latest"), "{outcome:#?}");
    let outcome = host.pass_at(RIPE + 5).expect_code(1);
    assert_eq!(outcome.mutations().len(), 1, "tried again: {outcome:#?}");
    host.engine().heal();
    let outcome = host.pass_at(RIPE + 10).expect_code(0);
    assert!(outcome.stderr.contains("v2 is latest"), "{outcome:#?}");
    assert_promoted(&host);
    assert_eq!(host.pass_at(RIPE + 15).expect_code(0).mutations().len(), 0);

    // And so it is with what a rollback moves.
    host.engine().fail(Route::Tag, full);
    host.run_at(RIPE + 20, &["rollback", "app", "--yes"])
        .expect_code(1);
    host.engine().heal();
    for tags in [1, 0] {
        let outcome = host.pass_at(RIPE + 25).expect_code(0);
        assert_eq!(outcome.mutations().len(), tags, "{outcome:#?}");
        assert_eq!(host.id_of("app:latest"), id("v1"));
    }
}

/// Only what the engine was asked to do can be half done.
#[test]
fn a_tag_that_was_not_asked_for_leaves_no_doubt() {
    let host = promoted();
    deploy_v3(&mut host.engine().docker);
    host.pass_at(1_000).expect_code(0);
    // The second time it is for the guard of the tag.
    host.engine()
        .fail_nth(Route::InspectContainer, 2, Fault::Status(500, "busy"));
    let outcome = host.pass_at(1_000 + RIPE).expect_code(1);
    assert_eq!(outcome.mutations(), [""; 0], "{outcome:#?}");
    host.engine().heal();
    host.engine().docker.drop_container("k8s_app_3");
    let outcome = host.pass_at(1_100 + RIPE).expect_code(0);
    assert_eq!(outcome.count(Route::Tag), 0, "{outcome:#?}");
    host.run_at(1_110 + RIPE, &["wait", "app", "v2"])
        .expect_code(0);
}

#[test]
fn nothing_is_removed_in_the_round_that_moves_latest() {
    const DAY: u64 = 86_400;
    let host = promoted();
    host.engine()
        .docker
        .image("lost", &["reg.example/app:lost"]);
    host.pass_at(1_000).expect_code(0);
    host.engine().docker.exit("k8s_app_1", 0);
    host.engine().docker.image("v3", &["reg.example/app:v3"]);
    host.engine().docker.run("k8s_app_3", "reg.example/app:v3");
    host.pass_at(DAY + 900).expect_code(0);
    // In one pass the soak of v3 and the grace of the lost image are over; but the tag cannot be
    // moved.
    host.engine()
        .fail(Route::Tag, Fault::Status(500, "read-only file system"));
    let outcome = host.pass_at(DAY + 900 + RIPE).expect_code(1);
    assert_eq!(
        outcome.mutations().len(),
        1,
        "the tag and nothing else: {:#?}",
        outcome.mutations()
    );
    host.engine().heal();
    host.pass_at(DAY + 900 + RIPE + 5).expect_code(0);
    assert_eq!(
        (host.id_of("app:latest"), host.id_of("reg.example/app:lost")),
        (id("v3"), String::new())
    );
}

/// A host that is promoted but for its removals: the next pass decides on them at its first look.
fn before_the_removals() -> Host {
    let host = soaking(POLICY);
    host.engine()
        .fail(Route::RemoveImage, Fault::Status(500, "device busy"));
    host.engine()
        .fail(Route::RemoveContainer, Fault::Status(500, "device busy"));
    host.pass_at(RIPE).expect_code(1);
    host.engine().heal();
    assert_eq!(host.id_of("app:latest"), id("v2"));
    host
}

#[test]
fn without_a_race_that_host_is_cleaned() {
    let host = before_the_removals();
    host.pass_at(RIPE + 5).expect_code(0);
    assert_promoted(&host);
}

#[test]
fn a_name_that_moved_between_look_and_act_is_not_removed() {
    let host = before_the_removals();
    host.engine().after_lists(|e| {
        e.docker.image("fresh", &["reg.example/app:old-a"]);
    });
    let outcome = host.pass_at(RIPE + 5).expect_code(0);
    assert_eq!(
        outcome.removals_of("old-a"),
        0,
        "the name means another image now: {:#?}",
        outcome.mutations()
    );
    assert_eq!(host.id_of("reg.example/app:old-a"), id("fresh"));
    assert_eq!(
        host.id_of("reg.example/app:old-b"),
        "",
        "the other removal went ahead"
    );
}

#[test]
fn an_image_that_came_into_use_between_look_and_act_is_not_even_asked_for() {
    let host = before_the_removals();
    host.engine().after_lists(|e| {
        e.docker.run("debug", "reg.example/app:old-a");
    });
    let outcome = host.pass_at(RIPE + 5).expect_code(0);
    assert_eq!(
        outcome.removals_of("old-a"),
        0,
        "{:#?}",
        outcome.mutations()
    );
    assert_eq!(host.id_of("reg.example/app:old-a"), id("a"));
    assert_eq!(
        host.id_of("reg.example/app:old-b"),
        "",
        "the other removal went ahead"
    );
}

#[test]
fn a_stopped_container_counts_as_a_user_too() {
    let host = before_the_removals();
    host.engine().after_lists(|e| {
        e.docker.run("debug", "reg.example/app:old-a");
        e.docker.exit("debug", 0);
    });
    let outcome = host.pass_at(RIPE + 5).expect_code(0);
    assert_eq!(
        outcome.removals_of("old-a"),
        0,
        "{:#?}",
        outcome.mutations()
    );
}

#[test]
fn a_local_container_that_started_between_look_and_act_stays() {
    let host = before_the_removals();
    host.engine().after_lists(|e| e.docker.start("app"));
    host.pass_at(RIPE + 5).expect_code(0);
    assert!(host.has_container("app"));
}

/// It is inspected for the decision, and once more before it is removed.
#[test]
fn a_local_container_that_ran_again_between_look_and_act_stays() {
    let host = promoted();
    let mut engine = host.engine();
    engine.docker.image("x", &["reg.example/app:x"]);
    engine.docker.run("app", "reg.example/app:x");
    engine.docker.exit("app", 0);
    drop(engine);
    host.pass_at(RIPE + 60).expect_code(0);
    host.engine().before(Route::InspectContainer, 2, |e| {
        e.docker.start("app");
        e.docker.exit("app", 0);
    });
    let outcome = host.pass_at(RIPE + 200).expect_code(0);
    assert!(host.has_container("app"), "{outcome:#?}");
    assert!(outcome.stderr.contains("has restarted"), "{outcome:#?}");
    host.pass_at(RIPE + 260).expect_code(0);
    host.pass_at(RIPE + 400).expect_code(0);
    assert!(!host.has_container("app"), "it has stayed as it is");
}

#[test]
fn a_latest_that_somebody_moved_between_look_and_act_is_not_overwritten() {
    let host = soaking(POLICY);
    host.engine().after_lists(|e| {
        e.docker.image("v3", &["reg.example/app:v3", "app:latest"]);
    });
    let outcome = host.pass_at(RIPE).expect_code(0);
    assert_eq!(
        host.id_of("app:latest"),
        id("v3"),
        "{:#?}",
        outcome.mutations()
    );
    assert_eq!(
        outcome.count(Route::RemoveImage),
        0,
        "without a promotion nothing is retired"
    );
}

/// The containers of the upgrade are inspected once more right before the tag (design 4.4).
#[test]
fn what_stops_serving_between_look_and_act_is_not_promoted() {
    type Change = fn(&mut Docker);
    const POD: &str = "k8s_app_1";
    let other_image = |docker: &mut Docker| {
        let other = docker.image("v3", &["reg.example/app:v3"]);
        docker.container(POD).image = Some(other);
    };
    let unhealthy =
        |docker: &mut Docker| docker.container(POD).health = Some("unhealthy".to_owned());
    let changes: [(Change, &str); 6] = [
        (|docker| docker.exit(POD, 1), "is exited now"),
        (
            |docker| docker.container(POD).state = "paused".to_owned(),
            "is paused now",
        ),
        (|docker| docker.start(POD), "has restarted"),
        (other_image, "has restarted"),
        (unhealthy, "is not healthy"),
        (|docker| docker.drop_container(POD), "is gone"),
    ];
    for (change, why) in changes {
        let host = soaking(POLICY);
        // The first time it is asked for the decision.
        host.engine()
            .before(Route::InspectContainer, 2, move |e| change(&mut e.docker));
        let outcome = host.pass_at(RIPE).expect_code(0);
        assert_eq!(outcome.mutations(), [""; 0], "{why}");
        let said = format!("container {POD} {why}");
        assert!(outcome.stderr.contains(&said), "{said}: {outcome:#?}");
    }
}

#[test]
fn the_promoted_image_that_vanished_at_the_last_moment_promotes_nothing() {
    let host = soaking(POLICY);
    host.engine().before(Route::Tag, 1, |e| {
        e.docker.drop_container("k8s_app_1");
        e.docker.images.remove(&id("v2"));
    });
    let outcome = host.pass_at(RIPE);
    assert!(
        [0, 1].contains(&outcome.code),
        "not taken for an engine that is down: {outcome:#?}"
    );
    assert_eq!(
        outcome.mutations().len(),
        1,
        "the tag, refused with 404: {outcome:#?}"
    );
    let old = [
        ("app:latest", "v1"),
        ("reg.example/app:old-a", "a"),
        ("reg.example/app:old-b", "b"),
    ];
    assert_names(
        &host,
        &[old.as_slice(), &[("reg.example/app:v1", "v1")]].concat(),
    );
}

/// R4 takes the fallback's local name, because the remote's name of that version is there. A
/// remote's `latest` is no substitute: that moves on with the next pull.
#[test]
fn a_fallback_keeps_its_local_name_if_the_remote_one_moved_between_look_and_act() {
    let host = promoted();
    {
        let docker = &mut host.engine().docker;
        docker.name_image(&id("v1"), "app:v1");
        docker.name_image(&id("v1"), "reg.example/app:latest");
    }
    host.engine().after_lists(|e| {
        e.docker.take_name("reg.example/app:v1");
        e.docker.image("rebuilt", &["reg.example/app:v1"]);
    });
    let outcome = host.pass_at(1_000).expect_code(0);
    assert_eq!(outcome.mutations(), [""; 0], "{outcome:#?}");
    let said = "did not remove image app:v1: reg.example/app:v1 now means another image";
    assert!(outcome.stderr.contains(said), "{outcome:#?}");
    assert_eq!(host.id_of("app:v1"), id("v1"));
}

#[test]
fn what_somebody_did_between_look_and_act_is_success_and_not_done_again() {
    let host = soaking(POLICY);
    host.engine().after_lists(|e| {
        e.docker.take_name("app:latest");
        e.docker.name_image(&id("v2"), "app:latest");
    });
    let outcome = host.pass_at(RIPE).expect_code(0);
    assert_eq!(outcome.count(Route::Tag), 0, "{outcome:#?}");
    assert!(!outcome.stderr.contains("did not"), "{outcome:#?}");
    assert_promoted(&host);

    let host = before_the_removals();
    host.engine().after_lists(|e| {
        e.docker.images.remove(&id("a"));
        e.docker.images.remove(&id("b"));
        e.docker.drop_container("app");
    });
    let outcome = host.pass_at(RIPE + 5).expect_code(0);
    assert_eq!(
        (outcome.mutations(), outcome.stderr),
        (vec![], String::new())
    );
    assert_promoted(&host);
}

/// R4 takes a name only from an image that is removed.
#[test]
fn adopt_takes_no_name_from_an_image_that_another_workload_keeps() {
    let host = Host::new(&format!("{POLICY}\n[workload.web]\nrepository = \"web\"\n"));
    {
        let docker = &mut host.engine().docker;
        docker.image("v1 that ran", &["app:latest", "app:v1"]);
        docker.image("shared", &["reg.example/app:v1", "web:latest"]);
        docker.image("v2", &["reg.example/app:v2"]);
        docker.run("web", "web:latest");
        docker.run("k8s_app_2", "reg.example/app:v2");
    }
    host.pass_at(0).expect_code(0);
    host.pass_at(RIPE).expect_code(0);
    host.pass_at(RIPE + 60).expect_code(0);
    assert_eq!(host.id_of("app:latest"), id("v2"));
    assert_eq!(
        (host.id_of("reg.example/app:v1"), host.id_of("web:latest")),
        (id("shared"), id("shared"))
    );
    assert_eq!(host.id_of("app:v1"), id("v1 that ran"), "the fallback");
}
