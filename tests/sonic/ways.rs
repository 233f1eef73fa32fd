//! The way in, both at work, and the way back: the example policy, with ctrmgrd beside it or in its
//! place.

use crate::redis::Redis;
use crate::switch::{SONIC, Switch};

const LATEST: &str = "docker-sonic-telemetry:latest";
const KEY: &str = "FEATURE|telemetry";
const VERSIONS: [&str; 5] = ["v1", "v2", "v3", "v4", "v5"];
const POD: &str = "k8s_telemetry_ds_sonic_0f5c2d1e_0";
const HOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/hooks/sonic");

fn remote(version: &str) -> String {
    format!("registry.example/docker-sonic-telemetry:{version}")
}

/// Shipped with v1, which the registry has too.
fn shipped(policy: &str) -> Switch {
    let mut switch = Switch::new(policy);
    switch.image("v1", &[&remote("v1"), LATEST]);
    switch.run("telemetry", LATEST);
    switch.minutes(12);
    switch
}

/// Kubernetes takes over with a version, in place of the local container or of the last one.
fn rolls_out(switch: &Switch, version: &str) {
    if switch.containers().contains(&"telemetry".to_owned()) {
        switch.stop(&["telemetry"]);
    }
    switch.remove(POD);
    switch.image(version, &[&remote(version)]);
    switch.run(POD, &remote(version));
}

fn latest(switch: &Switch) -> Option<&'static str> {
    switch.meaning(LATEST, &VERSIONS)
}

/// What SONiC's daemon does ten minutes after it saw this version run (`do_tag_latest`,
/// `_do_clean`).
fn ctrmgrd_fires(switch: &Switch, redis: &Redis, version: &str) {
    let field = |name: &str| redis.answer(&["HGET", KEY, name]).trim().to_owned();
    let stable = field("container_stable_version");
    let last = if stable == version {
        field("container_last_version")
    } else {
        stable
    };
    redis.cli(&[
        "HSET",
        KEY,
        "container_stable_version",
        version,
        "container_last_version",
        &last,
    ]);
    let id = switch.host.id_of(&remote(version));
    let mut engine = switch.host.engine();
    engine.docker.name_image(&id, LATEST);
    engine
        .docker
        .containers
        .retain(|c| c.name() != "telemetry" || c.state == "running");
    let is_kept = |tag: &String| {
        let remote_tag = tag.strip_prefix("registry.example/docker-sonic-telemetry:");
        remote_tag.is_none_or(|tag| tag == version || tag == last)
    };
    // By force.
    engine
        .docker
        .images
        .retain(|_, image| image.tags.iter().any(is_kept));
    for image in engine.docker.images.values_mut() {
        image.tags.retain(is_kept);
    }
}

#[test]
fn the_way_in_changes_nothing_on_hold_and_says_what_it_would_do() {
    let held = SONIC.replace("\nversion_label", "\nhold = true\nversion_label");
    let mut switch = shipped(&held);
    rolls_out(&switch, "v2");
    let before = switch.host.names();
    switch.minutes(30);
    assert_eq!((switch.host.names(), latest(&switch)), (before, Some("v1")));
    let plan = switch.tagkeeper(&["plan", "telemetry"]).stdout;
    assert!(plan.contains("on hold") && plan.contains("v2"), "{plan}");
    switch
        .host
        .set_policy(&switch.policy().replace("hold = true\n", ""));
    switch.minutes(13);
    assert_eq!(latest(&switch), Some("v2"));
    assert_eq!(switch.containers(), [POD]);
}

#[test]
fn both_at_work_come_to_the_same() {
    for is_first in [true, false] {
        let redis = Redis::start();
        redis.cli(&["HSET", KEY, "container_stable_version", "v1"]);
        let mut switch = shipped(SONIC);
        for version in ["v2", "v3", "v4"] {
            rolls_out(&switch, version);
            switch.minutes(if is_first { 10 } else { 12 });
            ctrmgrd_fires(&switch, &redis, version);
            switch.minutes(3);
            assert_eq!(latest(&switch), Some(version), "{is_first}");
        }
        switch.expect_disk(&[(LATEST, "v4"), (&remote("v3"), "v3"), (&remote("v4"), "v4")]);
        assert_eq!(switch.containers(), [POD], "{is_first}");
    }
}

#[test]
fn the_way_back_keeps_the_fallback_with_the_hook_and_loses_it_without() {
    for with_hook in [true, false] {
        let redis = Redis::start();
        // From before tagkeeper's time.
        redis.cli(&[
            "HSET",
            KEY,
            "container_stable_version",
            "v0",
            "container_last_version",
            "",
        ]);
        let hook = format!(
            "\n[hooks]\npromoted = [{HOOK:?}, \"--socket\", {:?}]\n",
            redis.socket()
        );
        let mut switch = shipped(&format!("{SONIC}{}", if with_hook { &hook } else { "" }));
        for version in ["v2", "v3"] {
            rolls_out(&switch, version);
            switch.minutes(13);
        }
        // The timer is off, and ctrmgrd's delay is back at ten minutes.
        ctrmgrd_fires(&switch, &redis, "v3");
        assert_eq!(
            switch.meaning(&remote("v2"), &VERSIONS),
            with_hook.then_some("v2")
        );
        rolls_out(&switch, "v4");
        ctrmgrd_fires(&switch, &redis, "v4");
        switch.expect_disk(&[(LATEST, "v4"), (&remote("v3"), "v3"), (&remote("v4"), "v4")]);
    }
}
