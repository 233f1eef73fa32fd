//! A switch with several ASICs: a feature has a container for each, beside the one without a
//! number.

use crate::switch::{SONIC, Switch};

const LATEST: &str = "docker-lldp:latest";
const VERSIONS: [&str; 3] = ["v1", "v2", "v3"];
const INSTANCES: [&str; 3] = ["lldp", "lldp0", "lldp1"];

fn remote(version: &str) -> String {
    format!("registry.example/docker-lldp:{version}")
}

/// Shipped with v1. Nothing runs yet.
fn shipped() -> Switch {
    let switch = Switch::new(SONIC);
    switch.image("v1", &["docker-lldp:v1", LATEST]);
    switch
}

/// Shipped v1 has run in all three for an hour.
fn at_work() -> Switch {
    let mut switch = shipped();
    for instance in INSTANCES {
        switch.run(instance, LATEST);
    }
    switch.minutes(12);
    switch.later(48);
    switch
}

/// Kubernetes starts this version in place of another.
fn rolls_out(switch: &Switch, version: &str, in_place_of: Option<&str>) {
    switch.image(version, &[&remote(version)]);
    if let Some(old) = in_place_of {
        switch.remove(&pod(old));
    }
    switch.run(&pod(version), &remote(version));
}

fn pod(version: &str) -> String {
    format!("k8s_lldp_lldp-ds-{version}_sonic_0f5c2d1e_0")
}

fn latest(switch: &Switch) -> Option<&'static str> {
    switch.meaning(LATEST, &VERSIONS)
}

/// The services have created their containers and wait for the pod, which comes first.
#[test]
fn a_fresh_install_in_kube_mode() {
    let mut switch = shipped();
    for instance in INSTANCES {
        switch.create(instance, LATEST);
    }
    switch.minutes(3);
    rolls_out(&switch, "v2", None);
    switch.minutes(12);
    assert_eq!(latest(&switch), Some("v2"));
    assert_eq!(
        switch.containers(),
        [pod("v2")],
        "none is left that would start v1"
    );
    // A shipped image that ran nowhere is no fallback.
    switch.minutes(3);
    assert_eq!(latest(&switch), Some("v2"));
}

#[test]
fn all_instances_give_way_and_are_removed() {
    let mut switch = at_work();
    switch.stop(&INSTANCES);
    rolls_out(&switch, "v2", None);
    switch.minutes(12);
    assert_eq!(latest(&switch), Some("v2"));
    assert_eq!(switch.containers(), [pod("v2")]);
}

/// The service of an ASIC creates its container anew, from what is latest now; then comes the next
/// version.
#[test]
fn a_re_created_instance_and_a_second_upgrade() {
    let mut switch = at_work();
    switch.stop(&INSTANCES);
    rolls_out(&switch, "v2", None);
    switch.minutes(12);
    switch.run("lldp0", LATEST);
    switch.minutes(30);
    assert_eq!(latest(&switch), Some("v2"));
    assert!(switch.containers().contains(&"lldp0".to_owned()));

    switch.stop(&["lldp0"]);
    rolls_out(&switch, "v3", Some("v2"));
    switch.minutes(12);
    assert_eq!(switch.containers(), [pod("v3")]);
    switch.expect_disk(&[(LATEST, "v3"), (&remote("v3"), "v3"), (&remote("v2"), "v2")]);
}

/// Two instances hang in a restart while v2 soaks. Each is removed once it has stopped, and not
/// before.
#[test]
fn instances_that_are_stale_after_a_promotion_are_removed_once_stopped() {
    let mut switch = at_work();
    switch.stop(&["lldp"]);
    switch.set_state("lldp0", "paused");
    switch.set_state("lldp1", "paused");
    rolls_out(&switch, "v2", None);
    switch.minutes(12);
    assert_eq!(latest(&switch), Some("v2"));
    assert_eq!(
        switch.containers(),
        [pod("v2"), "lldp0".to_owned(), "lldp1".to_owned()]
    );
    let said = switch.said();
    for instance in ["lldp0", "lldp1"] {
        assert!(said.contains(&format!("{instance} is paused")), "{said}");
    }

    switch.stop(&["lldp0"]);
    switch.minutes(2);
    assert_eq!(switch.containers(), [pod("v2"), "lldp1".to_owned()]);
    switch.stop(&["lldp1"]);
    switch.minutes(2);
    assert_eq!(switch.containers(), [pod("v2")]);
}

/// SONiC has no owner but `local` for an instance, so they may go on beside a pod. As long as one
/// of them runs, its version is the one that serves.
#[test]
fn instances_that_go_on_keep_the_version_of_a_pod_from_being_promoted() {
    let mut switch = at_work();
    switch.stop(&["lldp"]);
    rolls_out(&switch, "v2", None);
    switch.minutes(30);
    assert_eq!(latest(&switch), Some("v1"));
    let status = switch.tagkeeper(&["status", "lldp"]).stdout;
    assert!(
        status.contains("v1 in lldp0 and 1 more") || status.contains("lldp1"),
        "{status}"
    );
    switch.stop(&["lldp0", "lldp1"]);
    switch.minutes(12);
    assert_eq!(latest(&switch), Some("v2"));
    assert_eq!(switch.containers(), [pod("v2")]);
}

/// An upgrade by hand: v2 is loaded as latest, and the services are restarted one after the other.
#[test]
fn instances_of_bgp_are_updated_one_by_one() {
    let policy = "[workload.bgp]\nrepository = \"docker-fpm-frr\"\nremotes = [\"registry.example/docker-fpm-frr\"]\n\
                  container = [\"bgp\", \"bgp[0-9]*\"]\n";
    let mut switch = Switch::new(policy);
    let (latest, instances) = ("docker-fpm-frr:latest", ["bgp0", "bgp1", "bgp2", "bgp3"]);
    switch.image("v1", &["docker-fpm-frr:v1", latest]);
    for instance in instances {
        switch.run(instance, latest);
    }
    switch.minutes(12);
    switch.image("v2", &["docker-fpm-frr:v2", latest]);
    for instance in instances {
        switch.remove(instance);
        switch.run(instance, latest);
        switch.minutes(5);
        assert!(!is_proven(&switch), "{instance}");
        assert_eq!(switch.meaning("docker-fpm-frr:v1", &VERSIONS), Some("v1"));
    }
    switch.minutes(12);
    assert!(is_proven(&switch));
    assert_eq!(switch.meaning(latest, &VERSIONS), Some("v2"));
    assert_eq!(switch.containers(), instances);
}

/// Whether what is latest for bgp has been promoted.
fn is_proven(switch: &Switch) -> bool {
    let status = switch.tagkeeper(&["status", "bgp", "--format", "json"]);
    status.json()["workloads"]["bgp"]["latest"]["proven"] == true
}
