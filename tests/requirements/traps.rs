//! Traps of design section 3 that only a real engine can set.

use anyhow::Result;

use crate::START;
use crate::engine::{DAY, HOUR, Host, MINUTE, SOAKED, WORKLOAD};
use crate::story::{gives_way, names, roll_out, service_starts, ships, soak, upgrade, withdraw};

#[test]
fn a_pause_starts_the_soak_again() -> Result<()> {
    let host = Host::new("pause")?;
    let v1 = ships(&host, "v1")?;
    gives_way(&host)?;
    let v2 = roll_out(&host, "v2")?;
    host.pass_at(START)?;
    host.docker(&["pause", &host.pod("v2")])?;
    host.pass_at(START + 5 * MINUTE)?;
    host.docker(&["unpause", &host.pod("v2")])?;
    host.pass_at(START + SOAKED)?;
    assert_eq!(
        host.id("local:latest")?,
        v1,
        "the same incarnation, but it did not run all the time"
    );
    host.pass_at(START + 2 * SOAKED)?;
    assert_eq!(host.id("local:latest")?, v2);
    Ok(())
}

#[test]
fn a_fallback_that_the_tag_leaves_nameless_gets_a_name() -> Result<()> {
    let host = Host::new("nameless")?;
    let v1 = roll_out(&host, "v1")?;
    let now = soak(&host, START)?;
    // The orchestrator's garbage collection takes its own name back: latest is the only one left.
    host.untag("remote:v1")?;
    assert_eq!(host.disk()?, names(["local:latest"]));

    let (_, _) = upgrade(&host, "v1", "v2", now + MINUTE)?;
    assert_eq!(
        host.disk()?,
        names(["local:latest", "local:v1", "remote:v2"])
    );
    assert_eq!(host.id("local:v1")?, v1);
    host.prune_images()?;
    assert!(
        host.holds(&v1)?,
        "`docker image prune` takes what has no name"
    );
    Ok(())
}

#[test]
fn an_image_without_any_version_gets_its_digest_as_a_name() -> Result<()> {
    let host = Host::new("digest")?;
    host.set_policy("local_fallback = \"keep\"")?;
    let shipped = host.import("local:latest", "shipped without a version")?;
    service_starts(&host)?;
    gives_way(&host)?;
    roll_out(&host, "v2")?;
    soak(&host, START)?;
    // Podman gives an imported image a digest, and Docker none.
    let format = "{{range .RepoDigests}}{{println .}}{{end}}";
    let digests = host.docker(&["image", "inspect", "--format", format, &shipped])?;
    let of_digests = digests
        .lines()
        .filter_map(|line| line.split_once("@sha256:"));
    let digest = of_digests.map(|(_, digits)| digits).min();
    let digits = digest.unwrap_or(shipped.trim_start_matches("sha256:"));
    assert_eq!(host.id(&format!("local:sha256-{digits:.12}"))?, shipped);
    host.prune_images()?;
    assert!(host.holds(&shipped)?);
    Ok(())
}

#[test]
fn a_taken_name_is_not_overwritten_to_name_a_fallback() -> Result<()> {
    let host = Host::new("taken")?;
    let v1 = roll_out(&host, "v1")?;
    let now = soak(&host, START)?;
    host.untag("remote:v1")?;
    let other = host.import("local:v1", "another v1")?;
    host.run(&format!("user-{}", host.container()), "local:v1")?;
    host.stop(&format!("user-{}", host.container()))?;

    upgrade(&host, "v1", "v2", now + MINUTE)?;
    assert_eq!(host.id("local:v1")?, other);
    assert!(host.holds(&v1)?);
    host.prune_images()?;
    assert!(host.holds(&v1)?, "it has a name of its own");
    Ok(())
}

#[test]
fn removing_a_name_leaves_the_other_names_of_the_image() -> Result<()> {
    let host = Host::new("names")?;
    let v1 = roll_out(&host, "v1")?;
    let now = soak(&host, START)?;
    let elsewhere = format!("{}-elsewhere:mine", host.name("local"));
    host.tag("remote:v1", &elsewhere)?;
    let (_, now) = upgrade(&host, "v1", "v2", now + MINUTE)?;
    upgrade(&host, "v2", "v3", now + MINUTE)?;
    assert_eq!(
        host.disk()?,
        names(["local:latest", "remote:v2", "remote:v3"])
    );
    assert_eq!(
        host.id(&elsewhere)?,
        v1,
        "a name that no workload has is somebody else's"
    );
    Ok(())
}

#[test]
fn what_a_stopped_container_uses_stays_until_the_container_goes() -> Result<()> {
    let host = Host::new("in-use")?;
    let v1 = roll_out(&host, "v1")?;
    let now = soak(&host, START)?;
    let debug = format!("debug-{}", host.container());
    host.run(&debug, "remote:v1")?;
    host.stop(&debug)?;
    let (_, now) = upgrade(&host, "v1", "v2", now + MINUTE)?;
    let (_, now) = upgrade(&host, "v2", "v3", now + MINUTE)?;
    assert_eq!(host.id("remote:v1")?, v1);
    let plan = host.plan_json(now + 1)?;
    let rows = plan["images"].as_array().into_iter().flatten();
    let reasons: Vec<_> = rows
        .filter(|row| row["image"] == v1)
        .map(|row| row["reason"].clone())
        .collect();
    assert_eq!(reasons, ["in-use"], "{plan:#}");

    host.docker(&["start", &debug])?;
    host.docker(&["kill", &debug])?;
    host.remove(&debug)?;
    host.pass_at(now + MINUTE)?;
    assert!(!host.holds(&v1)?, "it was deferred, not forgotten");
    Ok(())
}

#[test]
fn a_freshly_pulled_image_has_a_day_to_start() -> Result<()> {
    let host = Host::new("fresh")?;
    roll_out(&host, "v1")?;
    let now = soak(&host, START)?;
    host.publish("remote:v2", "v2")?;
    let v2 = host.pull("remote:v2")?;
    host.pass_at(now + MINUTE)?;
    host.pass_at(now + 23 * HOUR)?;
    assert_eq!(host.id("remote:v2")?, v2);
    host.pass_at(now + 25 * HOUR)?;
    assert!(
        !host.holds(&v2)?,
        "nobody started it, and nothing was promoted"
    );
    assert_eq!(host.disk()?, names(["local:latest", "remote:v1"]));
    Ok(())
}

#[test]
fn failed_upgrades_do_not_pile_up() -> Result<()> {
    let host = Host::new("pile")?;
    let v1 = roll_out(&host, "v1")?;
    let mut now = soak(&host, START)?;
    withdraw(&host, "v1")?;
    for tag in ["v2", "v3", "v4"] {
        let name = format!("remote:{tag}");
        host.publish(&name, tag)?;
        host.pull(&name)?;
        host.run_with(&host.pod(tag), &name, &[], &["false"])?;
        now += MINUTE;
        host.pass_at(now)?;
        withdraw(&host, tag)?;
    }
    host.pass_at(now + MINUTE)?;
    assert_eq!(
        host.disk()?,
        names([
            "local:latest",
            "remote:v1",
            "remote:v2",
            "remote:v3",
            "remote:v4"
        ])
    );
    host.pass_at(now + 25 * HOUR)?;
    assert_eq!(
        host.disk()?,
        names(["local:latest", "remote:v1"]),
        "there never was a promotion to clean up after"
    );
    assert_eq!(host.id("local:latest")?, v1);
    Ok(())
}

#[test]
fn two_upgrades_within_one_soak_keep_the_proven_fallback() -> Result<()> {
    let host = Host::new("two")?;
    let v1 = roll_out(&host, "v1")?;
    let now = soak(&host, START)? + MINUTE;
    withdraw(&host, "v1")?;
    let v2 = roll_out(&host, "v2")?;
    host.pass_at(now)?;
    upgrade(&host, "v2", "v3", now + 5 * MINUTE)?;
    assert_eq!(
        host.disk()?,
        names(["local:latest", "remote:v1", "remote:v3"])
    );
    assert!(host.holds(&v1)?, "it proved itself");
    assert!(!host.holds(&v2)?, "it never did");
    Ok(())
}

#[test]
fn while_different_images_run_nobody_serves() -> Result<()> {
    let host = Host::new("shell")?;
    let v1 = roll_out(&host, "v1")?;
    let now = soak(&host, START)? + MINUTE;
    let v2 = roll_out(&host, "v2")?;
    let now = soak(&host, now)?;
    assert_eq!(host.id("local:latest")?, v1, "v1 and v2 run side by side");
    let status = host.status_json(now + 1)?;
    assert!(status["serving"].is_null(), "{status:#}");
    assert!(status["note"].is_string(), "it says so: {status:#}");
    withdraw(&host, "v1")?;
    soak(&host, now + MINUTE)?;
    assert_eq!(host.id("local:latest")?, v2);
    Ok(())
}

#[test]
fn what_was_rolled_back_is_not_promoted_again() -> Result<()> {
    let host = Host::new("rollback")?;
    let v1 = roll_out(&host, "v1")?;
    let now = soak(&host, START)?;
    let (v2, now) = upgrade(&host, "v1", "v2", now + MINUTE)?;
    let ran = host.tagkeeper_at(now + MINUTE, &["rollback", WORKLOAD, "--yes"])?;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(host.id("local:latest")?, v1);

    // The orchestrator knows nothing of it, and runs v2 on.
    let now = soak(&host, now + HOUR)?;
    assert_eq!(host.id("local:latest")?, v1);

    let ran = host.tagkeeper_at(now + MINUTE, &["accept", WORKLOAD, "v2"])?;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    soak(&host, now + HOUR)?;
    assert_eq!(host.id("local:latest")?, v2);
    Ok(())
}

/// The orchestrator is gone and the local service runs the bad version: stop, roll back, start, as
/// the refusal says.
#[test]
fn after_a_rollback_the_local_service_starts_the_fallback() -> Result<()> {
    let host = Host::new("rollback-service")?;
    let v1 = ships(&host, "v1")?;
    let now = soak(&host, START)?;
    gives_way(&host)?;
    roll_out(&host, "v1")?;
    host.pass_at(now + MINUTE)?;
    let (v2, now) = upgrade(&host, "v1", "v2", now + HOUR)?;
    withdraw(&host, "v2")?;
    service_starts(&host)?;
    assert_eq!(host.image_of(&host.container())?, v2);

    let refused = host.tagkeeper_at(now + MINUTE, &["rollback", WORKLOAD, "--yes"])?;
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(refused.stderr.contains("systemctl stop"), "{refused:#?}");
    gives_way(&host)?;
    let ran = host.tagkeeper_at(now + 2 * MINUTE, &["rollback", WORKLOAD, "--yes"])?;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(
        host.state(&host.container())?,
        None,
        "the service would have started it again (R2)"
    );
    service_starts(&host)?;
    assert_eq!(host.image_of(&host.container())?, v1);
    let told = host
        .tagkeeper_at(now + 3 * MINUTE, &["explain", "v2"])?
        .stdout;
    for part in ["promoted", "replaced", " by v1\n", "rejected"] {
        assert!(told.contains(part), "{part}: {told}");
    }

    // Nothing brings v2 back, and v1 stays what the service runs.
    let now = soak(&host, now + HOUR)?;
    gives_way(&host)?;
    host.pass_at(now + MINUTE)?;
    service_starts(&host)?;
    assert_eq!(host.image_of(&host.container())?, v1);
    assert_eq!(host.id("local:latest")?, v1);
    Ok(())
}

/// The list says what a container was created from only while that name means its image.
#[test]
fn a_service_that_starts_a_version_keeps_its_container_when_that_tag_moves() -> Result<()> {
    let host = Host::new("moved-version")?;
    host.set_policy("local_fallback = \"keep\"")?;
    host.import("local:1.0.0", "shipped")?;
    host.tag("local:1.0.0", "local:latest")?;
    host.run(&host.container(), "local:1.0.0")?;
    let now = soak(&host, START)?;
    gives_way(&host)?;
    roll_out(&host, "v2")?;
    let now = soak(&host, now + MINUTE)?;
    let rebuilt = host.import("local:1.0.0", "shipped once more")?;
    for minutes in [1, 2, 3] {
        host.pass_at(now + minutes * MINUTE)?;
    }
    host.pass_at(now + 3 * DAY)?;
    host.pass_at(now + 3 * DAY + MINUTE)?;
    assert!(host.state(&host.container())?.is_some());
    assert_eq!(host.id("local:1.0.0")?, rebuilt, "what it starts next");
    Ok(())
}

/// Somebody looks into the good version by a shell, while the new one does not start.
#[test]
fn a_shell_of_the_good_version_does_not_get_it_rejected() -> Result<()> {
    let host = Host::new("shell-rollback")?;
    roll_out(&host, "v1")?;
    let now = soak(&host, START)?;
    let (v2, now) = upgrade(&host, "v1", "v2", now + MINUTE)?;
    withdraw(&host, "v2")?;
    let shell = format!("{}-shell", host.container());
    host.run_with(&shell, "remote:v2", &["--interactive"], &["cat"])?;
    host.publish("remote:v3", "does not start")?;
    host.pull("remote:v3")?;
    let image = host.name("remote:v3");
    host.docker(&[
        "create",
        "--network",
        "none",
        "--name",
        &host.pod("v3"),
        &image,
    ])?;
    host.pass_at(now + MINUTE)?;
    let shown = host.tagkeeper_at(now + 2 * MINUTE, &["status", WORKLOAD])?;
    let shown = shown
        .stdout
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    assert!(shown.contains("running nothing"), "{shown}");
    let ran = host.tagkeeper_at(now + 2 * MINUTE, &["rollback", WORKLOAD, "--yes"])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("v3 is rejected"), "{ran:?}");
    assert_eq!(host.id("local:latest")?, v2);
    Ok(())
}

#[test]
fn rollback_without_anything_to_go_back_to_changes_nothing() -> Result<()> {
    let host = Host::new("no-way-back")?;
    let v1 = roll_out(&host, "v1")?;
    let now = soak(&host, START)?;
    let ran = host.tagkeeper_at(now + MINUTE, &["rollback", WORKLOAD, "--yes"])?;
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert_eq!(host.id("local:latest")?, v1);
    Ok(())
}

#[test]
fn on_hold_nothing_is_touched() -> Result<()> {
    let host = Host::new("hold")?;
    let v1 = ships(&host, "v1")?;
    gives_way(&host)?;
    let v2 = roll_out(&host, "v2")?;
    host.set_policy("hold = true")?;
    let now = soak(&host, START)?;
    assert_eq!(host.id("local:latest")?, v1);
    assert_eq!(
        host.status_json(now + 1)?["pending"]["version"],
        "v2",
        "observed and shown all the same"
    );
    host.untag("local:latest")?;
    host.pass_at(now + 3 * DAY)?;
    assert_eq!(host.disk()?, names(["local:v1", "remote:v2"]));
    assert!(host.state(&host.container())?.is_some());

    host.set_policy("")?;
    host.pass_at(now + 3 * DAY + MINUTE)?;
    assert_eq!(host.id("local:latest")?, v2);
    Ok(())
}

#[test]
fn latest_comes_back_when_somebody_removed_it() -> Result<()> {
    let host = Host::new("lost")?;
    let v1 = roll_out(&host, "v1")?;
    let now = soak(&host, START)?;
    host.untag("local:latest")?;
    host.pass_at(now + MINUTE)?;
    assert_eq!(host.id("local:latest")?, v1);
    Ok(())
}

#[test]
fn latest_that_was_moved_by_hand_is_put_back_after_a_soak() -> Result<()> {
    let host = Host::new("by-hand")?;
    let v1 = roll_out(&host, "v1")?;
    let now = soak(&host, START)?;
    let (v2, now) = upgrade(&host, "v1", "v2", now + MINUTE)?;
    host.tag("remote:v1", "local:latest")?;
    host.pass_at(now + MINUTE)?;
    assert_eq!(
        host.id("local:latest")?,
        v1,
        "not before what serves has soaked again"
    );
    soak(&host, now + MINUTE)?;
    assert_eq!(host.id("local:latest")?, v2);
    assert_eq!(host.id("remote:v1")?, v1);
    Ok(())
}

#[test]
fn what_is_up_but_not_ready_does_not_soak() -> Result<()> {
    let host = Host::new("ready")?;
    let v1 = ships(&host, "v1")?;
    gives_way(&host)?;
    let v2 = roll_out(&host, "v2")?;
    let flag = host.path("ready");
    host.set_policy(&format!(
        "ready = [\"/usr/bin/test\", \"-e\", \"{}\"]",
        flag.display()
    ))?;
    let now = soak(&host, START)?;
    assert_eq!(
        host.id("local:latest")?,
        v1,
        "up for ten minutes, and of no use to anybody"
    );

    std::fs::write(&flag, "")?;
    host.pass_at(now + MINUTE)?;
    assert_eq!(
        host.id("local:latest")?,
        v1,
        "the soak counts from when it became ready"
    );
    soak(&host, now + MINUTE)?;
    assert_eq!(host.id("local:latest")?, v2);
    Ok(())
}

#[test]
fn a_broken_policy_deletes_nothing() -> Result<()> {
    let host = Host::new("broken")?;
    roll_out(&host, "v1")?;
    let now = soak(&host, START)?;
    host.publish("remote:v2", "v2")?;
    host.pull("remote:v2")?;
    host.pass_at(now + MINUTE)?;
    host.set_policy("soka = \"10m\"")?;
    let ran = host.tagkeeper_at(now + 3 * DAY, &["reconcile"])?;
    assert_eq!(ran.code, Some(78), "{ran:#?}");
    assert!(ran.stderr.contains("soka"), "{}", ran.stderr);
    assert_eq!(
        host.disk()?,
        names(["local:latest", "remote:v1", "remote:v2"])
    );
    Ok(())
}
