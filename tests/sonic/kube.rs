//! `KubeSonic`: the feature runs in a pod for good, beside a watchdog and a sidecar, and its
//! systemd unit is a stub (`k8s_migration_design.md`; `k8s_pod_control.sh`).

use std::fs;

use crate::switch::Switch;

const EXAMPLE: &str = include_str!("../../config/examples/sonic-kube.toml");
const LATEST: &str = "docker-sonic-telemetry:latest";
const SHIPPED: &str = "docker-sonic-telemetry:v0";
const VERSIONS: [&str; 7] = ["v0", "v1", "v2", "v3", "v4", "v5", "v6"];

fn remote(version: &str) -> String {
    format!("registry.example/docker-sonic-telemetry:{version}")
}

/// The policy of the example with the sections that it has in comments.
fn whole_example() -> String {
    let lines = EXAMPLE.lines().map(|line| {
        let bare = line.strip_prefix('#').unwrap_or(line);
        if bare.starts_with('[') || bare.contains(" = ") && !bare.starts_with(' ') {
            bare
        } else {
            line
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Shipped v0 has run locally for an hour.
fn shipped(policy: &str) -> Switch {
    let mut switch = Switch::new(policy);
    switch.image("v0", &[SHIPPED, LATEST]);
    switch.run("telemetry", LATEST);
    switch.minutes(12);
    switch.later(48);
    switch
}

/// The sidecar replaces the launcher: it stops and removes the local container.
fn patches(switch: &Switch) {
    switch.stop(&["telemetry"]);
    switch.remove("telemetry");
}

/// A pod of this version in place of the last: the feature, its watchdog and its sidecar.
fn rolls_out(switch: &Switch, version: &str) {
    for container in ["telemetry", "telemetry-watchdog", "telemetry-sidecar"] {
        let image = match container {
            "telemetry" => "docker-sonic-telemetry".to_owned(),
            other => format!("docker-{other}"),
        };
        let reference = format!("registry.example/{image}:{version}");
        let label = match container {
            "telemetry" => version.to_owned(),
            other => format!("{other} {version}"),
        };
        switch.image(&label, &[&reference]);
        let pod = format!("k8s_{container}_telemetry-ds_sonic_0f5c2d1e_0");
        switch.remove(&pod);
        switch.run(&pod, &reference);
    }
}

/// Kubernetes takes the pod away.
fn withdraws(switch: &Switch) {
    for container in ["telemetry", "telemetry-watchdog", "telemetry-sidecar"] {
        switch.remove(&format!("k8s_{container}_telemetry-ds_sonic_0f5c2d1e_0"));
    }
}

fn latest(switch: &Switch) -> Option<&'static str> {
    switch.meaning(LATEST, &VERSIONS)
}

#[test]
fn stub_mode_over_five_versions() {
    let mut switch = shipped(&whole_example());
    patches(&switch);
    for version in &VERSIONS[2..] {
        rolls_out(&switch, version);
        switch.minutes(5);
        // `systemctl restart telemetry`, in stub mode.
        let pod = "k8s_telemetry_telemetry-ds_sonic_0f5c2d1e_0";
        switch.host.engine().docker.start(pod);
        switch.minutes(9);
        assert_ne!(latest(&switch), Some(*version), "the soak began again");
        switch.minutes(4);
        assert_eq!(latest(&switch), Some(*version));
        assert_eq!(
            switch.containers().len(),
            3,
            "none of the pod's was touched"
        );
        assert_eq!(
            switch.host.id_of(SHIPPED).is_empty(),
            *version != "v2",
            "{version}"
        );
    }
    let of =
        |name: &str, version: &str| format!("registry.example/docker-telemetry-{name}:{version}");
    switch.expect_disk(&[
        (LATEST, "v6"),
        (&remote("v5"), "v5"),
        (&remote("v6"), "v6"),
        ("docker-telemetry-sidecar:latest", "telemetry-sidecar v6"),
        (&of("sidecar", "v5"), "telemetry-sidecar v5"),
        (&of("sidecar", "v6"), "telemetry-sidecar v6"),
        ("docker-telemetry-watchdog:latest", "telemetry-watchdog v6"),
        (&of("watchdog", "v5"), "telemetry-watchdog v5"),
        (&of("watchdog", "v6"), "telemetry-watchdog v6"),
    ]);
}

/// `FEATURE|telemetry` is disabled: its pod is up, and supervisord starts nothing.
#[test]
fn a_disabled_feature_whose_pod_idles_is_not_promoted() {
    let mut switch = shipped(EXAMPLE);
    patches(&switch);
    switch.freeze(true);
    rolls_out(&switch, "v2");
    switch.minutes(60);
    assert_eq!(latest(&switch), Some("v0"));
    let said = switch.said();
    assert_eq!(said.matches("is not ready").count(), 1, "{said}");
    // It is enabled, and the stub restarts the container.
    switch.freeze(false);
    let pod = "k8s_telemetry_telemetry-ds_sonic_0f5c2d1e_0";
    switch.host.engine().docker.start(pod);
    switch.minutes(13);
    assert_eq!(latest(&switch), Some("v2"));
}

/// The first version from Kubernetes fails its probes. Pod and sidecar are taken away, and the
/// native unit is back.
#[test]
fn back_to_the_shipped_version_before_anything_was_proven() {
    let mut switch = shipped(EXAMPLE);
    patches(&switch);
    switch.freeze(true);
    rolls_out(&switch, "v2");
    switch.minutes(20);
    withdraws(&switch);
    switch.freeze(false);
    switch.run("telemetry", LATEST);
    switch.minutes(15);
    assert_eq!(latest(&switch), Some("v0"));
    switch.later(24 * 60);
    switch.minutes(3);
    assert_eq!(
        switch.meaning(&remote("v2"), &VERSIONS),
        None,
        "what failed is gone"
    );
    assert_eq!(switch.meaning(SHIPPED, &VERSIONS), Some("v0"));
}

/// The first version was proven, and is taken back later: the shipped one is its fallback.
#[test]
fn back_to_the_shipped_version_after_one_was_proven() {
    let mut switch = shipped(EXAMPLE);
    patches(&switch);
    rolls_out(&switch, "v2");
    switch.minutes(13);
    assert_eq!(latest(&switch), Some("v2"));
    assert_eq!(
        switch.meaning(SHIPPED, &VERSIONS),
        Some("v0"),
        "local_fallback keeps it"
    );
    withdraws(&switch);
    switch
        .tagkeeper(&["rollback", "telemetry", "--latest", "--yes"])
        .expect_code(0);
    assert_eq!(latest(&switch), Some("v0"));
    switch.run("telemetry", LATEST);
    switch.minutes(15);
    assert_eq!(latest(&switch), Some("v0"));
}

/// For longer than one promotion, a name of the operator's keeps it: tagkeeper touches no
/// repository that no policy names.
#[test]
fn back_to_the_shipped_version_after_many_were_proven() {
    let mut switch = shipped(EXAMPLE);
    let kept = "shipped/docker-sonic-telemetry:v0";
    let shipped_id = switch.host.id_of(SHIPPED);
    switch.host.engine().docker.name_image(&shipped_id, kept);
    patches(&switch);
    for version in ["v2", "v3", "v4"] {
        rolls_out(&switch, version);
        switch.minutes(13);
    }
    assert_eq!(latest(&switch), Some("v4"));
    assert_eq!(switch.meaning(kept, &VERSIONS), Some("v0"));
    // Pod and sidecar are taken away, and the shipped version gets its own names back, as the page
    // has it.
    withdraws(&switch);
    for name in [SHIPPED, LATEST] {
        switch.host.engine().docker.name_image(&shipped_id, name);
    }
    switch.minutes(3);
    switch.run("telemetry", LATEST);
    switch.minutes(13);
    assert_eq!(latest(&switch), Some("v0"));
    let status = switch
        .tagkeeper(&["status", "telemetry", "--format", "json"])
        .json();
    let of_latest = &status["workloads"]["telemetry"]["latest"];
    assert_eq!(of_latest["version"], "v0", "{of_latest}");
    assert_eq!(of_latest["proven"], true, "{of_latest}");
}

/// No pod idles because the local container had its version: it serves, and is promoted like any
/// other.
#[test]
fn a_pod_of_the_local_version_takes_over() {
    let mut switch = shipped(EXAMPLE);
    switch.image("v0 again", &[&remote("v0")]);
    switch.run("k8s_telemetry_telemetry-ds_sonic_0f5c2d1e_0", &remote("v0"));
    switch.minutes(5);
    patches(&switch);
    switch.minutes(13);
    assert_eq!(
        switch.meaning(LATEST, &["v0", "v0 again"]),
        Some("v0 again")
    );
}

/// Sidecars and watchdogs have no local repository. `init` proposes them in comments: a person
/// decides.
#[test]
fn init_finds_what_only_kubernetes_runs() {
    let mut switch = shipped(EXAMPLE);
    switch.image("v0", &[&remote("v0")]);
    rolls_out(&switch, "v2");
    switch.minutes(1);
    let proposed = switch
        .tagkeeper_without_policy(&["init"])
        .expect_code(0)
        .stdout;
    for name in ["sidecar", "watchdog"] {
        for line in [
            format!("#[workload.telemetry-{name}]"),
            format!("#repository = \"docker-telemetry-{name}\""),
            format!("#remotes = [\"registry.example/docker-telemetry-{name}\"]"),
            format!("#orchestrated = \"k8s_telemetry-{name}_*\""),
        ] {
            assert!(
                proposed.lines().any(|l| l.starts_with(&line)),
                "{line}\n{proposed}"
            );
        }
    }
    assert!(proposed.contains("[workload.telemetry]\n"), "{proposed}");
    // With the marks removed, it is a policy.
    let policy = switch.host.path("proposed.toml");
    let text: Vec<&str> = proposed
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|l| !l.starts_with(' '))
                .unwrap_or(line)
        })
        .collect();
    fs::write(&policy, text.join("\n")).expect("writable");
    switch.host.set_policy(&text.join("\n"));
    let checked = switch.tagkeeper(&["check"]).expect_code(0);
    assert!(checked.stdout.contains("3 workloads"), "{checked:#?}");
}
