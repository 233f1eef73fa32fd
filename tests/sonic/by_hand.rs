//! `sonic-installer upgrade-docker` and `rollback-docker` beside tagkeeper, step by step as
//! sonic-utilities 691b1bb has them (`sonic_installer/main.py`), with a pass after each step.

use crate::switch::Switch;

const POLICY: &str =
    "[workload.lldp]\nrepository = \"docker-lldp\"\nremotes = [\"registry.example/docker-lldp\"]\n";
const LATEST: &str = "docker-lldp:latest";
const VERSIONS: [&str; 2] = ["v1", "v2"];

fn shipped() -> Switch {
    let mut switch = Switch::new(POLICY);
    switch.image("v1", &["docker-lldp:v1", LATEST]);
    switch.run("lldp", LATEST);
    switch.minutes(12);
    switch
}

/// After the load, and before the service starts the new image.
fn restarts_with_v2(switch: &mut Switch) {
    switch.stop(&["lldp"]);
    switch.remove("lldp");
    switch.minutes(1);
    let v2 = switch.host.id_of(LATEST);
    switch
        .host
        .engine()
        .docker
        .name_image(&v2, "docker-lldp:v2");
    switch.minutes(1);
    switch.run("lldp", LATEST);
}

fn upgraded() -> Switch {
    let mut switch = shipped();
    switch.image("v2", &[LATEST]);
    switch.minutes(1);
    restarts_with_v2(&mut switch);
    switch.minutes(12);
    switch
}

#[test]
fn upgrade_docker_is_an_upgrade_and_leaves_the_two_images_that_rollback_docker_needs() {
    let switch = upgraded();
    switch.expect_disk(&[
        (LATEST, "v2"),
        ("docker-lldp:v1", "v1"),
        ("docker-lldp:v2", "v2"),
    ]);
    assert_eq!(switch.containers(), ["lldp"]);
}

/// An image that is loaded hours ahead is latest, and nothing runs it. tagkeeper puts latest back
/// on what works, unless it is on hold.
#[test]
fn what_is_loaded_ahead_stays_latest_on_hold() {
    for (hold, wanted) in [("", "v1"), ("hold = true\n", "v2")] {
        let mut switch = shipped();
        switch.host.set_policy(&format!("{POLICY}{hold}"));
        switch.image("v2", &[LATEST, "docker-lldp:v2"]);
        switch.minutes(30);
        assert_eq!(switch.meaning(LATEST, &VERSIONS), Some(wanted), "{hold}");
        switch.host.set_policy(POLICY);
    }
}

/// It moves latest and restarts the service, whose container is still there and of v2. So v2 goes
/// on, and is put back.
#[test]
fn rollback_docker_leaves_the_container_and_is_undone() {
    let mut switch = upgraded();
    let v1 = switch.host.id_of("docker-lldp:v1");
    switch.host.engine().docker.name_image(&v1, LATEST);
    switch.minutes(1);
    switch.host.engine().docker.start("lldp");
    switch.minutes(13);
    assert_eq!(switch.meaning(LATEST, &VERSIONS), Some("v2"));
}

/// What the page says to type in its place.
#[test]
fn tagkeepers_rollback_takes_the_container_along() {
    let mut switch = upgraded();
    switch.stop(&["lldp"]);
    switch
        .tagkeeper(&["rollback", "lldp", "--latest", "--yes"])
        .expect_code(0);
    assert_eq!(switch.meaning(LATEST, &VERSIONS), Some("v1"));
    assert_eq!(switch.containers(), [""; 0]);
    switch.run("lldp", LATEST);
    switch.minutes(13);
    assert_eq!(switch.meaning(LATEST, &VERSIONS), Some("v1"));
}
