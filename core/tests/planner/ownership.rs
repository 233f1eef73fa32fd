//! Who belongs (design 4.1): by id first, by parsed name, and what two workloads may share.

use tagkeeper_core::model::{Detail, KeptUntil, Note, Reason, WorkloadName};
use tagkeeper_core::planner::image_reports;

use crate::host::{DAY_MINUTES, Host, id, pattern, repository, telemetry};

fn gnmi() -> WorkloadName {
    WorkloadName::new("gnmi")
}

/// Two workloads: telemetry as ever, and gnmi with `docker-gnmi` and
/// `registry.example:5000/docker-gnmi`.
fn two_workloads(mut host: Host) -> Host {
    host.add_workload("gnmi", "docker-gnmi", "registry.example:5000/docker-gnmi");
    host
}

fn serving_of(host: &Host, workload: &WorkloadName) -> Option<String> {
    let serving = host.plan_of(workload).serving?;
    Some(serving.members[0].container.clone())
}

#[test]
fn a_container_whose_tag_has_moved_is_matched_by_its_image() {
    let mut host = Host::with_head();
    host.remove_container("k8s_v1");
    host.run("k8s_v1", "local:latest");
    host.image('b', &["local:latest"]);
    assert_eq!(
        host.listed().containers[0].reference,
        None,
        "the engine rewrote it"
    );
    assert_eq!(host.serving().as_deref(), Some("k8s_v1"));
}

#[test]
fn a_nameless_image_is_known_by_the_state() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(2);
    host.image('e', &["remote:v2"]);
    host.minutes(9);
    assert!(
        host.disk().contains(&"local:latest=b".to_owned()),
        "{:?}",
        host.disk()
    );
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn a_pod_whose_tag_was_pulled_anew_is_another_image_beside_the_new_one() {
    let mut host = Host::with_head();
    host.image('b', &["remote:v2"]);
    host.run("debug", "remote:v2");
    host.minutes(2);
    host.remove_container("k8s_v1");
    host.image('c', &["remote:v2"]);
    host.run("k8s_v2", "remote:v2");
    host.minutes(20);
    assert_eq!(
        host.disk(),
        ["=b", "local:latest=a", "remote:v1=a", "remote:v2=c"]
    );
    assert_eq!(host.serving(), None);
}

#[test]
fn a_container_that_goes_over_to_another_workload_is_asked_about_once() {
    let mut host = Host::with_head();
    host.tag('a', "docker-gnmi:latest");
    host.image('b', &["remote:v2", "docker-gnmi:v2"]);
    host.remove_container("k8s_v1");
    host.run("gnmi", "remote:v2");
    host.pass();
    assert_eq!(host.pending().as_deref(), Some("v2=b"));
    let mut host = two_workloads(host);
    host.pass();
    assert_eq!(host.asked.len(), 1);
    assert_eq!(serving_of(&host, &gnmi()).as_deref(), Some("gnmi"));
}

#[test]
fn names_are_compared_normalised() {
    let mut host = Host::new();
    host.workload().repository = repository("telemetry");
    host.workload().remotes = vec![repository("index.docker.io/library/telemetry-remote")];
    host.image(
        'a',
        &[
            "docker.io/library/telemetry:latest",
            "docker.io/telemetry-remote:v1",
        ],
    );
    host.run("telemetry", "docker.io/library/telemetry:latest");
    host.minutes(11);
    assert_eq!(host.lineage(), ["v1=a"]);
    assert!(host.memory().lineage[0].rolled_out);
}

#[test]
fn a_foreign_image_under_the_local_name_is_never_promoted() {
    let mut host = Host::with_head();
    host.image('e', &["elsewhere:v9"]);
    host.run("telemetry", "elsewhere:v9");
    host.minutes(20);
    assert_eq!(host.serving(), None, "the place is taken");
    assert_eq!(
        (host.pending(), host.lineage()),
        (None, vec!["v1=a".to_owned()])
    );
    assert_note!(host, Note::ForeignLocal { .. });
}

/// The engine lists its container by the bare id, because no name leads there any more.
#[test]
fn a_local_container_of_a_known_image_that_has_left_the_disk_is_stale_and_not_foreign() {
    let mut host = Host::with_fallback();
    host.remove_container("k8s_v2");
    host.run("telemetry", "local:latest");
    host.exit("telemetry", 0);
    host.lose_image('b');
    assert_eq!(host.listed().containers[0].reference, None);
    host.minutes(2);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert!(!host.has_container("telemetry"), "it would start v2 again");
}

#[test]
fn an_image_of_another_workload_under_the_local_name_is_foreign() {
    let mut host = two_workloads(Host::with_head());
    host.image('e', &["docker-gnmi:v9"]);
    host.run("telemetry", "docker-gnmi:v9");
    host.minutes(20);
    assert_eq!(host.serving(), None);
    assert_eq!(
        serving_of(&host, &gnmi()),
        None,
        "another workload's local container"
    );
    assert_eq!(host.lineage(), ["v1=a"]);
    assert_eq!(host.state.workloads[&gnmi()].memory.pending, None);
}

#[test]
fn a_shared_image_counts_for_the_workload_that_the_reference_names() {
    let mut host = two_workloads(Host::new());
    host.image('a', &["remote:v1", "registry.example:5000/docker-gnmi:v1"]);
    host.run("k8s_shared", "registry.example:5000/docker-gnmi:v1");
    assert_eq!(
        (serving_of(&host, &telemetry()), serving_of(&host, &gnmi())),
        (None, Some("k8s_shared".into()))
    );
    host.hide_reference("k8s_shared");
    assert_eq!(
        (serving_of(&host, &telemetry()), serving_of(&host, &gnmi())),
        (None, None),
        "only the id is left"
    );
}

#[test]
fn a_shared_image_by_the_state_of_one_and_the_name_of_the_other() {
    let mut host = two_workloads(Host::with_head());
    host.tag('a', "docker-gnmi:latest");
    host.untag("local:latest");
    host.untag("remote:v1");
    host.docker().keeps_references = true;
    assert_eq!(
        serving_of(&host, &telemetry()).as_deref(),
        Some("k8s_v1"),
        "its reference names it"
    );
    host.docker().keeps_references = false;
    assert_eq!(
        (serving_of(&host, &telemetry()), serving_of(&host, &gnmi())),
        (None, None)
    );
}

#[test]
fn no_workload_removes_what_another_one_needs() {
    let mut host = two_workloads(Host::with_fallback());
    host.image('9', &["docker-gnmi:v0"]);
    host.pass();
    host.memory_mut().lineage[1].image = id('9');
    let gnmi_memory = &mut host.state.workloads.get_mut(&gnmi()).unwrap().memory;
    gnmi_memory.retired.insert(id('9'));
    assert_eq!(host.reason("docker-gnmi:v0"), Reason::Fallback);
    assert_eq!(host.actions(), ["tag 9 local:v1"], "a name of its own");
    host.minutes(2);
    assert!(host.is_on_disk('9'));
    host.untag("docker-gnmi:v0");
    host.untag("local:v1");
    host.pass();
    assert_eq!(host.acted, ["tag 9 local:v1"], "nor when it is nameless");
}

/// A nameless image that both have seen, idle for longer than telemetry's grace.
fn with_a_nameless_image_of_both() -> Host {
    let mut host = two_workloads(Host::with_head());
    host.image('7', &["docker-gnmi:latest", "docker-gnmi:v7"]);
    host.run("gnmi", "docker-gnmi:latest");
    host.minutes(12);
    host.image('9', &["remote:v9", "docker-gnmi:v9"]);
    host.pass();
    host.image('8', &["remote:v9", "docker-gnmi:v9"]);
    host.later(DAY_MINUTES);
    host
}

#[test]
fn a_nameless_image_of_two_workloads_goes_when_both_let_it_go() {
    type Change = fn(&mut Host);
    let host = with_a_nameless_image_of_both();
    assert!(host.actions().contains(&"rmi 9".to_owned()));
    let kept: [(&str, Change); 4] = [
        ("on hold", |host| {
            host.policy.workloads.get_mut(&gnmi()).unwrap().hold = true;
        }),
        ("in grace", |host| {
            host.policy.workloads.get_mut(&gnmi()).unwrap().grace_ms *= 2;
        }),
        ("inherited", |host| {
            let known = host.state.workloads.get_mut(&gnmi()).unwrap();
            known.memory.images.get_mut(&id('9')).unwrap().inherited = true;
        }),
        ("in a round that moves latest", |host| {
            host.untag("docker-gnmi:latest");
        }),
    ];
    for (why, change) in kept {
        let mut host = with_a_nameless_image_of_both();
        change(&mut host);
        assert!(!host.actions().contains(&"rmi 9".to_owned()), "{why}");
    }
}

#[test]
fn both_say_why_it_stays() {
    let mut host = with_a_nameless_image_of_both();
    host.policy.workloads.get_mut(&gnmi()).unwrap().hold = true;
    let plan = host.look().plan;
    let said = |workload: &WorkloadName| {
        let images = &plan.workloads[workload].images;
        let judged = images.iter().find(|judged| judged.image == id('9'));
        judged
            .map(|judged| (judged.reason, judged.detail.clone()))
            .unwrap()
    };
    let (_, detail) = said(&telemetry());
    let Detail::KeptByOther { workload, .. } = detail else {
        panic!("{detail:?}")
    };
    assert_eq!(workload, gnmi());
}

#[test]
fn what_another_workload_falls_back_to_stays_for_as_long_as_that_wants_it() {
    let mut host = with_a_nameless_image_of_both();
    host.memory_mut().lineage[0].image = id('9');
    let told = image_reports(&host.policy, &host.look(), &host.now());
    let of_gnmi = told
        .iter()
        .find(|story| story.workload == gnmi() && story.image == id('9'));
    assert_eq!(of_gnmi.unwrap().names[0].until, KeptUntil::OtherWorkload);
}

#[test]
fn one_workloads_trouble_leaves_the_other_alone() {
    let mut host = two_workloads(Host::with_fallback());
    host.image('7', &["docker-gnmi:latest", "docker-gnmi:v7"]);
    host.run("gnmi", "docker-gnmi:latest");
    host.policy.workloads.get_mut(&gnmi()).unwrap().hold = true;
    host.upgrade('c', "v3");
    assert_eq!(host.state.workloads[&gnmi()].memory.lineage, []);
    host.policy.workloads.get_mut(&gnmi()).unwrap().hold = false;
    host.later(DAY_MINUTES);
    host.minutes(2);
    assert_eq!(host.state.workloads[&gnmi()].memory.lineage.len(), 1);
    assert_eq!(host.lineage(), ["v3=c", "v2=b"]);
}

#[test]
fn a_container_by_any_of_its_names_is_the_local_one() {
    let mut host = Host::with_head();
    host.run("some-alias", "local:latest");
    host.container("some-alias")
        .names
        .push("telemetry".to_owned());
    assert!(host.plan().serving.unwrap().local);
    host.workload().containers = vec![pattern("telemetry-2")];
    assert!(!host.plan().serving.unwrap().local);
}

/// The third workload's container counts as the first one's does.
#[test]
fn an_image_that_three_workloads_name_is_each_ones() {
    let mut host = Host::new();
    host.add_workload("bgp", "docker-bgp", "registry.example:5000/docker-bgp");
    host.add_workload("lldp", "docker-lldp", "registry.example:5000/docker-lldp");
    host.image('a', &["docker-bgp:v1", "docker-lldp:v1", "local:v1"]);
    for (reference, name) in [
        ("docker-bgp:v1", "bgp"),
        ("docker-lldp:v1", "lldp"),
        ("local:v1", "telemetry"),
    ] {
        let container = format!("k8s_{name}");
        host.run(&container, reference);
        assert_eq!(serving_of(&host, &WorkloadName::new(name)), Some(container));
    }
}
