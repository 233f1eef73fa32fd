//! Pins: what is pinned and when, and that nothing else in a decision sees them.

use tagkeeper_core::model::{ContainerState, Note, Reason, State};

use crate::host::{DAY_MINUTES, Host, digit};
use crate::rollback::roll_back;
use crate::safety::{is_idle_pin, pin_name};

/// v2 over v1, with `pin` on, before any pass has seen that.
fn to_be_pinned() -> Host {
    let mut host = Host::with_fallback();
    host.workload().pin = true;
    host
}

/// The same with v1 pinned.
fn pinned() -> Host {
    let mut host = to_be_pinned();
    host.pass();
    assert_eq!(host.acted, [format!("pin {}", pin_name("telemetry", 'a'))]);
    host
}

/// The workload leaves the policy, and another one is there.
fn leave(host: &mut Host) {
    host.add_workload("gnmi", "docker-gnmi", "registry.example:5000/docker-gnmi");
    host.policy.workloads.remove("telemetry");
}

/// The images that pins hold.
fn held(host: &Host) -> Vec<char> {
    let pins = host.containers().iter();
    let pins = pins.filter(|c| is_idle_pin(c, &host.state));
    pins.filter_map(|pin| pin.image.as_ref())
        .map(digit)
        .collect()
}

#[test]
fn the_fallback_is_pinned_once() {
    let mut host = pinned();
    assert_eq!(held(&host), ['a']);
    host.minutes(3);
    assert_eq!(held(&host), ['a']);
    assert_eq!(host.acted, [""; 0]);
    let plan = host.plan();
    assert_eq!(plan.pins.len(), 1);
    assert_eq!(plan.notes, []);
}

#[test]
fn a_promotion_pins_the_new_fallback_before_it_lets_go_of_the_old_one() {
    let mut host = pinned();
    host.deploy('c', "v3");
    host.minutes(10);
    host.pass();
    let steps = [
        "tag c local:latest".to_owned(),
        format!("pin {}", pin_name("telemetry", 'b')),
        format!("unpin {}", pin_name("telemetry", 'a')),
        "rmi remote:v1".to_owned(),
    ];
    assert_eq!(host.acted, steps);
    assert_eq!(held(&host), ['b']);
    assert_eq!(
        host.disk(),
        ["local:latest=c", "remote:v2=b", "remote:v3=c"]
    );
}

#[test]
fn a_pass_that_dies_anywhere_is_finished_by_the_next() {
    for changes in 0..=4 {
        let mut host = pinned();
        host.deploy('c', "v3");
        host.minutes(10);
        host.pass_killed_after(changes);
        assert!(
            held(&host).contains(&'a') || held(&host).contains(&'b'),
            "killed after {changes}: some fallback is pinned at all times"
        );
        host.pass();
        host.pass();
        assert_eq!(held(&host), ['b'], "killed after {changes}");
        assert_eq!(
            host.disk(),
            ["local:latest=c", "remote:v2=b", "remote:v3=c"]
        );
    }
}

#[test]
fn each_of_several_fallbacks_is_pinned() {
    let mut host = pinned();
    host.workload().fallbacks = 2;
    host.upgrade('c', "v3");
    assert_eq!(held(&host), ['a', 'b']);
    host.workload().fallbacks = 1;
    host.pass();
    assert_eq!(held(&host), ['b'], "a policy edit takes effect at once");
    host.workload().fallbacks = 0;
    host.pass();
    assert_eq!(held(&host), [' '; 0]);
}

#[test]
fn switched_off_the_pin_goes() {
    let mut host = pinned();
    host.workload().pin = false;
    host.pass();
    assert_eq!(
        host.acted,
        [format!("unpin {}", pin_name("telemetry", 'a'))]
    );
    assert_eq!(host.reason("remote:v1"), Reason::Fallback);
}

/// A drop-in may be missing for a pass; after the grace period nothing calls for the pin any more.
#[test]
fn the_pin_of_a_workload_that_left_the_policy_goes_after_a_day_and_its_images_stay() {
    let mut host = pinned();
    leave(&mut host);
    let disk = host.disk();
    host.pass();
    for _ in 0..DAY_MINUTES / 60 - 1 {
        host.later(60);
        host.pass();
        assert_eq!(host.acted, [""; 0]);
    }
    host.later(60);
    host.pass();
    assert_eq!(
        host.acted,
        [format!("unpin {}", pin_name("telemetry", 'a'))]
    );
    assert_eq!(held(&host), [' '; 0]);
    assert_eq!(host.disk(), disk);
}

#[test]
fn a_drop_in_that_is_missing_for_a_pass_costs_no_pin() {
    let mut host = pinned();
    let there = host.policy.clone();
    leave(&mut host);
    host.minutes(1);
    host.policy = there;
    host.minutes(1);
    assert_eq!(host.acted, [""; 0]);
    assert_eq!(held(&host), ['a']);
}

/// A host that reboots each morning gets to the end of that day too.
#[test]
fn what_is_kept_of_a_workload_that_left_ages_over_reboots() {
    let mut host = pinned();
    leave(&mut host);
    host.minutes(1);
    for _ in 0..3 {
        for _ in 0..12 {
            host.later(60);
            host.pass();
        }
        host.reboot();
    }
    assert_eq!(held(&host), [' '; 0]);
    let saves = host.saves;
    host.later(10 * DAY_MINUTES);
    host.pass();
    assert_eq!(host.saves, saves, "nothing ages any more");
}

/// A removal that is refused waits, as it does for a workload of the policy.
#[test]
fn a_refused_removal_of_such_a_pin_is_tried_ever_more_seldom() {
    let mut host = pinned();
    leave(&mut host);
    host.pass();
    host.later(DAY_MINUTES);
    let pin = host.container(&pin_name("telemetry", 'a')).id.clone();
    host.refuses.insert(pin, "busy".to_owned());
    let mut tries = Vec::new();
    for pass in 0..150 {
        host.pass();
        if !host.refused.is_empty() {
            tries.push(host.minute());
        }
        host.later(if pass < 100 { 1 } else { 60 });
    }
    let waits: Vec<u64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits[..4], [1, 2, 4, 8], "{tries:?}");
}

#[test]
fn on_hold_pins_are_neither_made_nor_removed() {
    let mut host = to_be_pinned();
    host.workload().hold = true;
    host.minutes(2);
    assert_eq!(held(&host), [' '; 0]);
    let mut host = pinned();
    host.workload().hold = true;
    host.workload().pin = false;
    host.minutes(2);
    assert_eq!(held(&host), ['a']);
}

#[test]
fn a_pin_is_no_use_of_an_image() {
    let mut host = pinned();
    assert_eq!(host.reason("remote:v1"), Reason::Fallback);
    host.upgrade('c', "v3");
    assert!(!host.disk().iter().any(|name| name.ends_with("=a")));
}

/// With the local container stopped and the orchestrator gone, the pin is all that is there of the
/// workload.
#[test]
fn a_pin_serves_nothing_and_is_no_dry_run() {
    let mut host = pinned();
    host.remove_container("k8s_v2");
    host.minutes(2);
    assert_eq!(host.serving(), None);
    assert_eq!(host.pending(), None);
    assert!(host.memory().dry_runs.is_empty());
    host.run("telemetry", "local:latest");
    host.minutes(2);
    assert!(host.memory().dry_runs.is_empty());
    assert_eq!(host.serving().as_deref(), Some("telemetry"));
}

#[test]
fn somebody_elses_container_of_that_name_is_reported_and_not_touched() {
    let mut host = to_be_pinned();
    let name = pin_name("telemetry", 'a');
    host.run(&name, "remote:v2");
    host.set_state(&name, ContainerState::Exited);
    host.minutes(2);
    assert_eq!(host.acted, [""; 0]);
    assert_note!(host, Note::PinNameTaken { .. });
    host.remove_container(&name);
    host.pass();
    assert_eq!(held(&host), ['a']);
}

/// Nothing tells it from another tagkeeper's on this engine, so a person has to.
#[test]
fn a_pin_that_a_lost_state_left_is_reported_and_not_touched() {
    let mut host = pinned();
    let name = pin_name("telemetry", 'a');
    host.state = State {
        instance: "another".to_owned(),
        ..State::default()
    };
    host.upgrade('c', "v3");
    host.upgrade('d', "v4");
    assert!(host.container_names().contains(&name));
    assert_note!(host, Note::PinOfOtherState { .. });
    host.remove_container(&name);
    host.minutes(2);
    let notes = host.notes();
    let tells = |note: &Note| matches!(note, Note::PinOfOtherState { .. });
    assert!(!notes.iter().any(tells), "{notes:?}");
}

#[test]
fn a_label_alone_makes_no_pin() {
    // Such as an image's own label, which each of its containers inherits.
    let mut host = to_be_pinned();
    host.run("debug", "remote:v1");
    host.set_state("debug", ContainerState::Exited);
    host.label_as_pin("debug");
    host.minutes(2);
    assert_eq!(held(&host), ['a'], "it is pinned by a pin");
    host.workload().pin = false;
    host.upgrade('c', "v3");
    assert_eq!(host.container_names(), ["debug", "k8s_v3"]);
    assert_eq!(host.reason("remote:v1"), Reason::InUse);
}

#[test]
fn a_pin_that_somebody_started_stays_and_uses_its_image_and_serves_nothing() {
    let mut host = pinned();
    let name = pin_name("telemetry", 'a');
    host.set_state(&name, ContainerState::Running);
    assert_eq!(host.serving().as_deref(), Some("k8s_v2"));
    assert_note!(host, Note::PinStarted { .. });
    host.upgrade('c', "v3");
    assert_eq!(host.reason("remote:v1"), Reason::InUse);
    host.set_state(&name, ContainerState::Exited);
    host.pass();
    assert_eq!(held(&host), ['b']);
    assert!(!host.disk().iter().any(|name| name.ends_with("=a")));
}

#[test]
fn a_pin_that_was_pruned_is_made_again() {
    let mut host = pinned();
    host.remove_container(&pin_name("telemetry", 'a'));
    host.pass();
    assert_eq!(held(&host), ['a']);
}

#[test]
fn a_fallback_that_was_removed_by_force_leaves_a_pin_that_goes() {
    let mut host = pinned();
    host.lose_image('a');
    host.pass();
    assert_eq!(held(&host), [' '; 0]);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"], "skipped, not forgotten");
    host.image('a', &["remote:v1"]);
    host.pass();
    assert_eq!(held(&host), ['a']);
}

#[test]
fn a_rollback_to_the_fallback_lets_go_of_it() {
    let mut host = pinned();
    roll_back(&mut host, usize::MAX);
    assert_eq!(host.lineage(), ["v1=a"]);
    host.pass();
    assert_eq!(held(&host), [' '; 0]);
    host.later(2 * DAY_MINUTES);
    host.pass();
    assert!(host.disk().contains(&"local:latest=a".to_owned()));
}
