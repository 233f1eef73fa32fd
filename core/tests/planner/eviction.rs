//! Disk pressure: what goes before its grace is over, in which order, and what does not.

use tagkeeper_core::model::{ContainerState, Detail, Note, Reason, WorkloadName};
use tagkeeper_core::planner::Query;

use crate::host::{DAY_MINUTES, Host, MINUTE_MS, id};

/// v2 over v1, and three images that nobody ran: `7`, idle for an hour, `8` for two, `9` for three;
/// a hundred bytes each. The disk has a thousand bytes.
fn crowded(pressure_percent: u8) -> Host {
    let mut host = Host::with_fallback();
    host.workload().pressure_percent = Some(pressure_percent);
    for (digit, name) in [('9', "remote:v9"), ('8', "remote:v8"), ('7', "remote:v7")] {
        host.sized_image(digit, 100, &[name]);
        host.pass();
        host.later(60);
    }
    host
}

/// So many bytes of the disk are taken, by images and other things.
fn fill(host: &mut Host, used_bytes: u64) {
    let images: u64 = host.images().iter().map(|image| image.size_bytes).sum();
    host.other_bytes = used_bytes - images;
}

/// The names that go, in the order in which they go.
fn goes(host: &mut Host) -> Vec<String> {
    host.pass();
    host.acted.clone()
}

#[test]
fn the_oldest_go_and_no_more_of_them_than_it_takes() {
    for (used_bytes, expected) in [
        (700, &[][..]),
        // A percentage is not exceeded by being reached.
        (850, &[]),
        (851, &["rmi remote:v9"]),
        (950, &["rmi remote:v9"]),
        (951, &["rmi remote:v9", "rmi remote:v8"]),
        (1000, &["rmi remote:v9", "rmi remote:v8"]),
    ] {
        let mut host = crowded(85);
        fill(&mut host, used_bytes);
        assert_eq!(goes(&mut host), expected, "{used_bytes} of 1000 bytes");
    }
    let mut host = crowded(50);
    fill(&mut host, 900);
    assert_eq!(
        goes(&mut host),
        ["rmi remote:v9", "rmi remote:v8", "rmi remote:v7"],
        "all that there is, though it is not enough"
    );
}

/// A pass of two rounds on a full disk, right after `c` was pulled.
fn passes_twice_over(host: &mut Host) {
    host.untag("local:latest");
    host.sized_image('c', 100, &["remote:v3"]);
    fill(host, 990);
    host.meanwhile(|host| host.uptime_ms += 1000);
    host.pass();
    assert_eq!(
        host.acted,
        [
            "tag b local:latest",
            "rmi remote:v9",
            "rmi remote:v8",
            "rmi remote:v7"
        ],
    );
}

/// What came right before a pass is idle in each of its rounds, and no earlier pass has seen it so.
#[test]
fn what_a_pass_is_the_first_to_see_stays_in_its_later_rounds() {
    let mut host = crowded(50);
    passes_twice_over(&mut host);
    assert!(host.is_on_disk('c'));
    host.later(1);
    host.pass();
    assert!(!host.is_on_disk('c'));
}

/// Time on hold does not count: what was pulled then is seen idle for the first time after it.
#[test]
fn what_was_pulled_on_hold_stays_in_the_first_pass_after_it() {
    let mut host = crowded(50);
    host.workload().hold = true;
    host.sized_image('c', 100, &["remote:v3"]);
    host.minutes(60);
    host.workload().hold = false;
    passes_twice_over(&mut host);
    assert!(host.is_on_disk('c'));
}

#[test]
fn the_figures_are_shown() {
    let mut host = crowded(85);
    fill(&mut host, 907);
    let oldest = host.verdict("remote:v9");
    let detail = Detail::Idle {
        idle_ms: 3 * 60 * MINUTE_MS,
        grace_ms: DAY_MINUTES * MINUTE_MS,
        cut_short: Some((91, 85)),
    };
    assert_eq!((oldest.reason, oldest.detail), (Reason::Idle, detail));
    let note = Note::DiskFull {
        percent: 91,
        threshold: 85,
        evicted: 1,
    };
    assert!(host.notes().contains(&note), "{:?}", host.notes());
}

#[test]
fn shared_layers_are_found_out_by_the_next_pass() {
    let mut host = crowded(85);
    fill(&mut host, 900);
    let images = host.images().len();
    host.pass();
    assert_eq!(host.acted, ["rmi remote:v9"]);
    // Removing it has freed next to nothing: the disk is as full as before.
    host.other_bytes += 100;
    host.lose_image('9');
    assert!(images > host.images().len());
    host.later(1);
    host.pass();
    assert_eq!(host.acted, ["rmi remote:v8"]);
}

/// containerd frees in its own time: were it asked again after the first removal, a pass would take
/// all there is.
#[test]
fn a_pass_looks_once_however_little_a_removal_frees_at_once() {
    let mut host = crowded(85);
    fill(&mut host, 900);
    host.measures = false;
    let world = host.observe();
    assert_eq!(world.disk, None);
    let decision = tagkeeper_core::planner::decide(&host.policy, &host.state, &world);
    assert!(decision.plan.actions().is_empty());
}

#[test]
fn nothing_that_a_row_above_grace_keeps_ever_goes() {
    let mut host = crowded(85);
    host.workload().pressure_percent = Some(1);
    host.sized_image('6', 100, &["remote:v6"]);
    host.run("debug", "remote:v6");
    host.set_state("debug", ContainerState::Exited);
    host.sized_image('5', 100, &["local:v2"]);
    host.deploy('c', "v3");
    fill(&mut host, 1000);
    host.pass();
    assert_eq!(
        host.acted,
        ["rmi remote:v9", "rmi remote:v8", "rmi remote:v7"]
    );
    for (name, reason) in [
        ("local:latest", Reason::Latest),
        ("remote:v2", Reason::Latest),
        ("remote:v1", Reason::Fallback),
        ("remote:v3", Reason::Pending),
        ("remote:v6", Reason::InUse),
        ("local:v2", Reason::Twin),
    ] {
        assert_eq!(host.reason(name), reason, "{name}");
    }
}

#[test]
fn what_was_there_first_does_not_go() {
    let mut host = Host::new();
    host.workload().pressure_percent = Some(1);
    host.sized_image('a', 100, &["local:latest", "local:v1"]);
    host.sized_image('9', 100, &["remote:v9"]);
    fill(&mut host, 1000);
    host.pass();
    host.later(DAY_MINUTES / 2);
    assert_eq!(goes(&mut host), [""; 0]);
    assert_eq!(host.reason("remote:v9"), Reason::Inherited);
}

#[test]
fn on_hold_nothing_goes_and_the_disk_is_not_asked_about() {
    let mut host = crowded(85);
    fill(&mut host, 1000);
    host.workload().hold = true;
    assert_eq!(goes(&mut host), [""; 0]);
    assert!(!host.asked.contains(&Query::MeasureDisk));
}

/// The trap: an image that was just pulled is idle until its container starts, and the pull is what
/// filled the disk.
#[test]
fn an_image_that_was_just_pulled_has_until_the_next_pass_to_be_started() {
    let mut host = Host::with_fallback();
    host.workload().pressure_percent = Some(1);
    fill(&mut host, 1000);
    host.sized_image('9', 100, &["remote:v9"]);
    host.pass();
    assert_eq!(host.acted, [""; 0]);
    assert!(
        !host.asked.contains(&Query::MeasureDisk),
        "nor is the disk asked about"
    );
    host.later(1);
    host.pass();
    assert_eq!(host.acted, ["rmi remote:v9"]);
}

#[test]
fn what_was_just_stopped_has_until_the_next_pass_too() {
    let mut host = crowded(85);
    fill(&mut host, 900);
    host.run("debug", "remote:v9");
    host.pass();
    assert_eq!(host.acted, ["rmi remote:v8"], "v9 is in use");
    host.remove_container("debug");
    host.later(1);
    fill(&mut host, 900);
    host.pass();
    assert_eq!(host.acted, ["rmi remote:v7"], "v9 was in use a minute ago");
    fill(&mut host, 900);
    host.later(1);
    host.pass();
    assert_eq!(host.acted, ["rmi remote:v9"]);
}

#[test]
fn a_disk_that_cannot_be_measured_presses_nothing_and_is_told() {
    let mut host = crowded(85);
    fill(&mut host, 1000);
    host.disk_bytes = None;
    assert_eq!(goes(&mut host), [""; 0]);
    assert!(host.events.is_empty(), "not each minute in the journal");
    assert_note!(host, Note::DiskUnknown { .. });
}

#[test]
fn the_disk_is_asked_about_only_where_something_could_go() {
    let mut host = crowded(85);
    host.pass();
    assert_eq!(host.asked, [Query::MeasureDisk]);
    host.workload().pressure_percent = None;
    host.pass();
    assert_eq!(host.asked, [], "pressure is off");
    host.workload().pressure_percent = Some(85);
    for digit in ['7', '8', '9'] {
        host.lose_image(digit);
    }
    host.pass();
    assert_eq!(host.asked, [], "nothing is idle");
    host.sized_image('d', 100, &["remote:v2"]);
    host.pass();
    host.later(60);
    host.pass();
    assert_eq!(host.reason("remote:v2"), Reason::Twin);
    assert_eq!(host.asked, [], "what is kept is not idle");
}

#[test]
fn removing_one_of_several_names_would_free_nothing() {
    let mut host = crowded(85);
    fill(&mut host, 900);
    host.tag('9', "elsewhere:v9");
    host.pass();
    assert_eq!(host.acted, ["rmi remote:v8"]);
    assert_eq!(host.reason("remote:v9"), Reason::Grace);
}

#[test]
fn both_names_of_an_image_go_and_it_counts_once() {
    let mut host = crowded(85);
    fill(&mut host, 951);
    host.tag('9', "local:v9");
    host.tag('9', "remote@9");
    host.pass();
    assert_eq!(
        host.acted,
        ["rmi local:v9", "rmi remote:v9", "rmi remote:v8"]
    );
}

#[test]
fn what_goes_anyway_counts_first() {
    let mut host = crowded(85);
    fill(&mut host, 951);
    host.retire('7');
    host.pass();
    assert_eq!(host.acted, ["rmi remote:v7", "rmi remote:v9"]);
}

#[test]
fn workloads_share_the_disk_and_the_oldest_goes_whosever_it_is() {
    let mut host = crowded(85);
    host.add_workload("gnmi", "docker-gnmi", "registry.example:5000/docker-gnmi");
    host.image('5', &["docker-gnmi:latest", "docker-gnmi:v5"]);
    host.run("gnmi", "docker-gnmi:latest");
    host.minutes(11);
    host.sized_image('6', 100, &["docker-gnmi:v6"]);
    host.pass();
    host.later(60);
    let gnmi = |host: &mut Host, percent| {
        let workload = host.policy.workloads.get_mut("gnmi").unwrap();
        workload.pressure_percent = percent;
    };
    for (percent, used_bytes, expected) in [
        (Some(85), 851, &["rmi remote:v9"][..]),
        // Its own limit is reached first, and only its own image is young enough to be all that
        // goes.
        (Some(50), 850, &["rmi docker-gnmi:v6"]),
        (None, 1000, &["rmi remote:v9", "rmi remote:v8"]),
    ] {
        let mut host = host.clone();
        gnmi(&mut host, percent);
        fill(&mut host, used_bytes);
        assert_eq!(goes(&mut host), expected, "{percent:?} {used_bytes}");
    }
}

#[test]
fn the_round_that_moves_latest_removes_nothing() {
    let mut host = crowded(85);
    host.deploy('c', "v3");
    host.minutes(10);
    fill(&mut host, 1000);
    host.pass();
    assert_eq!(host.acted[0], "tag c local:latest");
    assert_eq!(host.lineage(), ["v3=c", "v2=b"]);
    assert!(host.uptime_ms > 100 * MINUTE_MS);
}

/// A name that is no name to tagkeeper stays, and the image with it: to take the other names would
/// free nothing.
#[test]
fn an_image_with_a_name_that_nobody_can_read_stays() {
    let mut host = crowded(85);
    fill(&mut host, 900);
    host.disk_image('9').tags.push("No Reference".to_owned());
    assert_eq!(goes(&mut host), ["rmi remote:v8"]);
}

#[test]
fn a_full_disk_is_noted_where_it_ends_a_grace_or_could() {
    let gnmi = WorkloadName::new("gnmi");
    let evicted = |host: &Host| {
        host.notes().into_iter().find_map(|note| match note {
            Note::DiskFull { evicted, .. } => Some(evicted),
            _ => None,
        })
    };
    let mut host = crowded(85);
    fill(&mut host, 900);
    assert_eq!(evicted(&host), Some(1));
    fill(&mut host, 700);
    assert_eq!(evicted(&host), None, "it is not too full");

    // In grace is an image that would free nothing.
    let mut host = Host::with_fallback();
    host.workload().pressure_percent = Some(85);
    host.image('9', &["remote:v9", "elsewhere:v9"]);
    host.pass();
    host.later(60);
    fill(&mut host, 900);
    assert_eq!(evicted(&host), Some(0));

    // Another workload has images in grace, and this one has none.
    let mut host = crowded(85);
    host.add_workload("gnmi", "docker-gnmi", "registry.example:5000/docker-gnmi");
    host.policy
        .workloads
        .get_mut(&gnmi)
        .unwrap()
        .pressure_percent = Some(85);
    fill(&mut host, 900);
    let notes = host.plan_of(&gnmi).notes;
    assert!(
        !notes.iter().any(|n| matches!(n, Note::DiskFull { .. })),
        "{notes:?}"
    );
}

/// `plan` shows what a pass does: it measures the disk once, too.
#[test]
fn the_preview_evicts_no_more_than_the_pass() {
    let mut host = crowded(85);
    fill(&mut host, 900);
    assert_eq!(host.preview(), [["rmi remote:v9"]]);
    host.pass();
    assert_eq!(host.acted, ["rmi remote:v9"]);
}

/// Whoever is killed on the way has removed what was to go in any case.
#[test]
fn what_goes_for_the_disk_alone_goes_after_what_goes_anyway_whosever_it_is() {
    // Before `telemetry` by its name, and after it.
    for workload in ["gnmi", "zebra"] {
        let (local, remote) = (
            format!("docker-{workload}"),
            format!("r.example/{workload}"),
        );
        let mut host = crowded(85);
        host.add_workload(workload, &local, &remote);
        let obsolete = format!("{local}:v1");
        host.sized_image('e', 100, &[&obsolete]);
        host.pass();
        let known = host.state.workloads.get_mut(&WorkloadName::new(workload));
        known.unwrap().memory.retired.insert(id('e'));
        host.witness.doubt();
        fill(&mut host, 1000);
        let gone = goes(&mut host);
        assert_eq!(
            gone[..2],
            [format!("rmi {obsolete}"), "rmi remote:v9".to_owned()]
        );
    }
}

/// What the engine refuses to remove frees nothing: the next oldest is removed in its place.
#[test]
fn an_image_whose_removal_is_refused_stands_in_for_no_other() {
    let mut host = crowded(85);
    fill(&mut host, 900);
    let target = crate::host::name("remote:v9").to_string();
    host.refuses
        .insert(target, "image has dependent child images".to_owned());
    host.pass();
    assert_eq!(host.refused, ["rmi remote:v9"]);
    let shown = |host: &Host| host.plan().refused.into_iter().map(|r| r.reason).next();
    let reason = Some("image has dependent child images".to_owned());
    assert_eq!(shown(&host), reason, "and status says why");
    host.pass();
    assert_eq!(host.acted, ["rmi remote:v8"]);
    assert_eq!(shown(&host), reason);
}
