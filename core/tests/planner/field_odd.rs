//! Field cases 17 to 26: odd answers of the engine, as far as the list is data.

use std::mem::take;

use tagkeeper_core::model::{ContainerState, Detail, Disk, Health, ImageId, Note, Reason, Version};
use tagkeeper_core::planner::accept;

use crate::host::{DAY_MINUTES, Host, digit, every_state, pattern, telemetry};
use crate::rollback::roll_back;

#[test]
fn case_17_a_container_without_an_image_changes_nothing() {
    for name in ["somewhere", "telemetry", "pod_telemetry"] {
        for state in every_state() {
            let mut host = Host::with_head();
            host.create(name, "local:latest");
            host.set_state(name, state);
            host.hide_reference(name);
            host.container(name).image = None;
            host.upgrade('b', "v2");
            host.upgrade('c', "v3");
            assert_eq!(host.lineage(), ["v3=c", "v2=b"], "{name}");
            assert_eq!(
                host.disk(),
                ["local:latest=c", "remote:v2=b", "remote:v3=c"],
                "{name}"
            );
            assert!(host.has_container(name));
        }
    }
}

#[test]
fn case_18_a_half_removed_container_holds_its_image_and_is_named_by_its_id() {
    for state in [ContainerState::Dead, ContainerState::Removing] {
        let mut host = Host::with_fallback();
        host.run("old", "remote:v1");
        host.set_state("old", state.clone());
        host.container("old").names.clear();
        let container = host.containers().last().unwrap().id.to_string();
        host.upgrade('c', "v3");
        let verdict = host.verdict("remote:v1");
        assert_eq!(verdict.reason, Reason::InUse);
        let Detail::UsedBy {
            container: named, ..
        } = verdict.detail
        else {
            panic!("{:?}", verdict.detail)
        };
        assert_eq!(&*named, container, "{}", state.as_str());
        host.upgrade('d', "v4");
        assert_eq!(host.lineage(), ["v4=d", "v3=c"]);
    }
}

/// What the engine lists for one look: no container has a name.
fn look_without_names(host: &mut Host) {
    let containers = host.docker().containers.iter_mut();
    let names: Vec<Vec<String>> = containers.map(|c| take(&mut c.names)).collect();
    host.pass();
    for (container, names) in host.docker().containers.iter_mut().zip(names) {
        container.names = names;
    }
}

type Arranged = (&'static str, fn() -> Host);

/// Of the container, only its name tells whose it is.
fn of_two_workloads() -> Host {
    let mut host = Host::with_head();
    host.add_workload("gnmi", "docker-gnmi", "registry.example:5000/docker-gnmi");
    let gnmi = host.policy.workloads.get_mut("gnmi").unwrap();
    gnmi.orchestrated = Some(pattern("gnmi_*"));
    host.workload().orchestrated = Some(pattern("k8s_*"));
    host.deploy('b', "v2");
    host.tag('b', "registry.example:5000/docker-gnmi:v2");
    host.hide_reference("k8s_v2");
    host.minutes(5);
    host
}

/// Hosts on which something is going on, or nothing.
fn hosts_in_play() -> [Arranged; 9] {
    [
        ("an upgrade soaks", || {
            let mut host = Host::with_head();
            host.deploy('b', "v2");
            host.minutes(5);
            host
        }),
        ("an upgrade has soaked", || {
            let mut host = Host::with_head();
            host.deploy('b', "v2");
            host.minutes(10);
            host
        }),
        (
            "an upgrade has soaked, and latest was moved by hand",
            || {
                let mut host = Host::with_head();
                host.deploy('b', "v2");
                host.minutes(10);
                host.tag('b', "local:latest");
                host
            },
        ),
        ("the local container works, a dry run beside it", || {
            let mut host = Host::local_head();
            host.image('d', &["remote:v1"]);
            host.run("k8s_v1", "remote:v1");
            host.minutes(2);
            host
        }),
        ("a dry run beside a stopped local container", || {
            let mut host = Host::local_head();
            host.exit("telemetry", 0);
            host.image('d', &["remote:v1"]);
            host.run("k8s_v1", "remote:v1");
            host.minutes(2);
            host
        }),
        (
            "two workloads share what soaks, made by its id",
            of_two_workloads,
        ),
        ("nothing is going on", Host::with_fallback),
        ("a failed upgrade lies there", || {
            let mut host = Host::with_head();
            host.deploy_in_vain('b', "v2");
            host.minutes(2);
            host
        }),
        ("a stopped local container has been seen once", || {
            let mut host = Host::with_fallback();
            host.image('9', &["remote:v9"]);
            host.create("telemetry", "remote:v9");
            host.minutes(1);
            host
        }),
    ]
}

#[test]
fn case_19_one_look_without_names_changes_nothing() {
    for (case, arrange) in hosts_in_play() {
        let mut host = arrange();
        let before = host.state.workloads.clone();
        look_without_names(&mut host);
        assert_eq!(host.state.workloads, before, "{case}");
        assert_eq!((host.told(), host.acted.len()), (vec![], 0), "{case}");
    }
}

#[test]
fn case_19_the_soak_is_over_in_time_all_the_same() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(5);
    look_without_names(&mut host);
    host.later(1);
    host.minutes(4);
    assert_eq!(host.lineage(), ["v1=a"]);
    host.minutes(1);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn case_22_states_that_nobody_knows_are_neither_running_nor_stopped() {
    for word in ["stopped", "configured", "initialized", "", "Running"] {
        let state = ContainerState::Unknown(word.into());
        assert!(!state.is_stopped());
        let mut host = Host::local_head();
        host.exit("telemetry", 0);
        host.deploy('b', "v2");
        host.set_state("telemetry", state.clone());
        host.minutes(12);
        assert_eq!(host.lineage()[0], "v2=b", "{word:?}");
        assert!(host.has_container("telemetry"), "{word:?}");
        host.deploy('c', "v3");
        host.set_state("k8s_v3", state.clone());
        host.minutes(12);
        assert_eq!(host.lineage()[0], "v2=b", "{word:?}");
    }
}

#[test]
fn case_22_and_25_nothing_depends_on_dates() {
    // The years 0001, 1970, 2106 and 9999, and what overflows.
    for secs in [
        -62_135_596_800,
        0,
        4_294_967_296,
        253_402_300_799,
        i64::MIN,
        i64::MAX,
    ] {
        let mut host = Host::with_head();
        host.deploy('b', "v2");
        host.container("k8s_v2").created_secs = secs;
        host.minutes(5);
        host.run("k8s_second", "remote:v2");
        host.container("k8s_second").created_secs = 0;
        host.minutes(10);
        assert_eq!(host.lineage(), ["v1=a"], "{secs}");
        host.minutes(1);
        assert_eq!(host.lineage(), ["v2=b", "v1=a"], "{secs}");
    }
}

#[test]
fn case_23_sizes_that_are_none() {
    let mut host = Host::with_fallback();
    host.workload().pressure_percent = Some(85);
    for (digit, size) in [('8', 0), ('9', u64::MAX), ('7', u64::MAX)] {
        host.image(digit, &[&format!("remote:v{digit}")]);
        host.disk_image(digit).size_bytes = size;
    }
    host.measures = false;
    let mut observed = host.observe();
    for disk in [
        Disk::Measured {
            used_bytes: u64::MAX,
            available_bytes: u64::MAX,
        },
        Disk::Measured {
            used_bytes: 0,
            available_bytes: 0,
        },
    ] {
        observed.disk = Some(disk);
        let decision = tagkeeper_core::planner::decide(&host.policy, &host.state, &observed);
        let plan = &decision.plan.workloads[&telemetry()];
        assert_eq!(plan.actions, []);
        let _ = plan.reclaimable_bytes();
    }
}

/// The names stay, every id is another: what was `a` is `1`, and so on.
fn move_to_another_store(host: &mut Host) {
    let (images, containers) = host.take_disk();
    for (old, image) in images {
        let new = match digit(&ImageId::new(old)) {
            'a' => '1',
            'b' => '2',
            'c' => '3',
            other => other,
        };
        *host.disk_image(new) = image;
    }
    for container in containers {
        host.run(&container.names[0], &container.reference);
    }
}

#[test]
fn case_26_another_store_with_the_same_names_loses_nothing() {
    let mut host = Host::with_fallback();
    move_to_another_store(&mut host);
    let names = host.disk();
    host.minutes(3);
    host.later(3 * DAY_MINUTES);
    host.minutes(12);
    assert_eq!(host.disk(), names);
    assert_eq!(host.lineage(), ["v2=2"], "soaked anew");
    for (digit, version) in [('d', "v3"), ('e', "v4")] {
        host.upgrade(digit, version);
    }
    assert_eq!(host.lineage(), ["v4=e", "v3=d"]);
    assert_eq!(
        host.disk(),
        ["local:latest=e", "remote:v3=d", "remote:v4=e"]
    );
}

/// A sibling: the store changes in the middle of a soak.
#[test]
fn case_26_another_store_in_the_middle_of_a_soak() {
    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    host.minutes(8);
    move_to_another_store(&mut host);
    host.minutes(10);
    assert_eq!(host.latest(), Some('2'), "the soak begins again");
    host.minutes(1);
    assert_eq!(host.latest(), Some('3'));
    assert_eq!(
        host.lineage(),
        ["v3=3", "v2=2"],
        "what was latest is behind it"
    );
    assert!(host.known().failures.is_empty());
}

/// A sibling: what a person rejected is known by its digest there, until it is accepted.
#[test]
fn case_26_what_was_rejected_is_so_in_another_store() {
    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    host.tag('c', "remote@c");
    host.minutes(3);
    roll_back(&mut host, usize::MAX);
    move_to_another_store(&mut host);
    host.minutes(30);
    assert_ne!(host.latest(), Some('3'));
    assert_eq!(host.pending(), None);
    let v3 = Version::new("v3");
    host.state = accept(&host.state, &telemetry(), &v3, |_| true).unwrap();
    host.minutes(11);
    assert_eq!(host.latest(), Some('3'));
}

/// The engine lists the same image id with names of several workloads and an unhealthy container.
#[test]
fn health_of_a_dry_run_says_nothing_of_what_serves() {
    let mut host = Host::local_head();
    host.image('d', &["remote:v1"]);
    host.run("k8s_v1", "remote:v1");
    host.set_health("k8s_v1", Health::Unhealthy);
    host.minutes(3);
    let noted = host
        .notes()
        .iter()
        .any(|note| matches!(note, Note::NotSoaking { .. }));
    assert!(!noted);
}
