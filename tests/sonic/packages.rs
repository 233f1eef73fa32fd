//! Features that sonic-package-manager installs, and debug images.

use crate::switch::Switch;

const REMOTE: &str = "registry.example/docker-dhcp-relay";

/// `dhcp_relay` as a package: its start script creates the container from
/// `docker-dhcp-relay:1.0.0`, whatever is latest (`docker_image_reference`, the first tag of the
/// installed image).
#[test]
fn the_container_and_the_name_that_a_package_starts_are_kept_and_that_is_said() {
    let policy = format!(
        "[workload.dhcp_relay]\nrepository = \"docker-dhcp-relay\"\nremotes = [\"{REMOTE}\"]\n"
    );
    let mut switch = Switch::new(&policy);
    let (latest, installed) = ("docker-dhcp-relay:latest", "docker-dhcp-relay:1.0.0");
    switch.image("1.0.0", &[installed, latest]);
    switch.run("dhcp_relay", installed);
    switch.minutes(12);
    switch.stop(&["dhcp_relay"]);
    let said_by = |switch: &Switch, command: &[&str]| {
        let outcome = switch.tagkeeper(command).expect_code(0);
        let said = outcome.stdout + &outcome.stderr;
        let said: Vec<&str> = said.split_whitespace().collect();
        said.join(" ")
    };
    for version in ["2.0.0", "3.0.0", "4.0.0"] {
        let remote = format!("{REMOTE}:{version}");
        switch.remove("k8s_dhcp-relay_1");
        switch.image(version, &[&remote]);
        switch.run("k8s_dhcp-relay_1", &remote);
        switch.minutes(13);
        assert_eq!(switch.meaning(latest, &[version]), Some(version));
        assert_eq!(
            switch.meaning(installed, &["1.0.0"]),
            Some("1.0.0"),
            "{version}"
        );
        assert_eq!(
            switch.containers(),
            ["dhcp_relay", "k8s_dhcp-relay_1"],
            "{version}"
        );
        for command in [&["check"][..], &["plan"], &["status", "dhcp_relay"]] {
            let said = said_by(&switch, command);
            let says = said.contains("created from") && said.contains(installed);
            assert!(says, "{command:?}: {said}");
        }
    }
}

const DEBUG: &str = "docker-lldp-dbg";

/// A switch with a debug build: one image with the names of `docker-lldp-dbg` and those of
/// `docker-lldp` (`sonic_debian_extension.j2`). Kubernetes upgrades it to v2 and to v3.
fn debug_build_upgraded_twice(remotes: &[&str]) -> Switch {
    let policy = format!("[workload.lldp]\nrepository = \"docker-lldp\"\nremotes = {remotes:?}\n");
    let mut switch = Switch::new(&policy);
    let debug = ["latest", "v1"].map(|tag| format!("{DEBUG}:{tag}"));
    switch.image(
        "v1",
        &[&debug[0], &debug[1], "docker-lldp:v1", "docker-lldp:latest"],
    );
    switch.run("lldp", "docker-lldp:latest");
    switch.minutes(12);
    switch.stop(&["lldp"]);
    for version in ["v2", "v3"] {
        let remote = format!("registry.example/docker-lldp:{version}");
        switch.remove("k8s_lldp_1");
        switch.image(version, &[&remote]);
        switch.run("k8s_lldp_1", &remote);
        switch.minutes(13);
    }
    switch
}

const AFTER_V3: [(&str, &str); 3] = [
    ("docker-lldp:latest", "v3"),
    ("registry.example/docker-lldp:v2", "v2"),
    ("registry.example/docker-lldp:v3", "v3"),
];

/// The recipe: the debug repository is one of the remotes.
#[test]
fn a_debug_image_leaves_with_all_its_names_where_the_policy_has_its_repository() {
    let switch = debug_build_upgraded_twice(&["registry.example/docker-lldp", DEBUG]);
    switch.expect_disk(&AFTER_V3);
}

/// Without it, the debug names are of a repository that no policy names, and the image stays with
/// them.
#[test]
fn a_debug_image_stays_under_names_that_no_policy_has() {
    let switch = debug_build_upgraded_twice(&["registry.example/docker-lldp"]);
    let [debug_latest, debug_v1] = ["docker-lldp-dbg:latest", "docker-lldp-dbg:v1"];
    switch.expect_disk(&[
        AFTER_V3[0],
        AFTER_V3[1],
        AFTER_V3[2],
        (debug_latest, "v1"),
        (debug_v1, "v1"),
    ]);
}

/// The first upgrade keeps the shipped version as the fallback, under a name that a prune spares.
#[test]
fn a_debug_image_is_the_fallback_of_the_first_upgrade() {
    let policy = format!(
        "[workload.lldp]\nrepository = \"docker-lldp\"\nremotes = [\"registry.example/docker-lldp\", \"{DEBUG}\"]\n"
    );
    let mut switch = Switch::new(&policy);
    switch.image(
        "v1",
        &[
            "docker-lldp-dbg:latest",
            "docker-lldp-dbg:v1",
            "docker-lldp:v1",
            "docker-lldp:latest",
        ],
    );
    switch.run("lldp", "docker-lldp:latest");
    switch.minutes(12);
    switch.stop(&["lldp"]);
    switch.image("v2", &["registry.example/docker-lldp:v2"]);
    switch.run("k8s_lldp_1", "registry.example/docker-lldp:v2");
    switch.minutes(13);
    assert_eq!(
        switch.meaning("docker-lldp:latest", &["v1", "v2"]),
        Some("v2")
    );
    assert_eq!(switch.meaning("docker-lldp-dbg:v1", &["v1"]), Some("v1"));
    let check = switch.tagkeeper(&["check"]).expect_code(0);
    assert!(!check.stderr.contains("warning"), "{}", check.stderr);
}
