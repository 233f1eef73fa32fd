//! The requirements of design section 2, each as a story on a real engine, with images pulled from
//! a real registry.
//!
//! Beside them, `traps` tells those of section 3 that only a real engine can set, `survival` kills
//! the program at every call it makes, and `faults` fails each of them. Run by `make test`; without
//! its engine every story fails.

#[path = "requirements/between.rs"]
mod between;
#[path = "support/engine.rs"]
mod engine;
#[path = "requirements/faults.rs"]
mod faults;
#[path = "requirements/first_policy.rs"]
mod first_policy;
#[path = "requirements/story.rs"]
mod story;
#[path = "requirements/survival.rs"]
mod survival;
#[path = "requirements/traps.rs"]
mod traps;

use anyhow::Result;
use serde_json::json;

use engine::{DAY, HOUR, Host, MINUTE, SOAKED};
use story::{gives_way, names, roll_out, service_starts, ships, soak, upgrade, withdraw};

/// Seconds after boot at which most stories begin.
const START: u64 = 1000;

#[test]
fn r1_an_upgrade_that_ran_for_ten_minutes_becomes_latest() -> Result<()> {
    let host = Host::new("r1")?;
    let v1 = ships(&host, "v1")?;
    gives_way(&host)?;
    let v2 = roll_out(&host, "v2")?;

    host.pass_at(START)?;
    host.pass_at(START + 9 * MINUTE + 55)?;
    assert_eq!(host.id("local:latest")?, v1, "five seconds too early");
    let status = host.status_json(START + 9 * MINUTE + 56)?;
    assert_eq!(status["pending"]["version"], "v2");
    assert_eq!(status["pending"]["image"], v2);
    assert_eq!(status["pending"]["soak_secs"], 600);

    host.pass_at(START + SOAKED)?;
    assert_eq!(host.id("local:latest")?, v2);
    let status = host.status_json(START + SOAKED + 1)?;
    assert!(status["pending"].is_null(), "{status:#}");
    assert_eq!(status["latest"]["version"], "v2");
    assert_eq!(status["latest"]["proven"], true);
    Ok(())
}

#[test]
fn r1_an_upgrade_that_stopped_is_not_tagged() -> Result<()> {
    let host = Host::new("r1-stopped")?;
    let v1 = ships(&host, "v1")?;
    gives_way(&host)?;
    roll_out(&host, "v2")?;
    host.pass_at(START)?;
    host.pass_at(START + 5 * MINUTE)?;
    host.stop(&host.pod("v2"))?;

    host.pass_at(START + SOAKED)?;
    host.pass_at(START + HOUR)?;
    assert_eq!(host.id("local:latest")?, v1);
    assert!(host.holds(&v1)?);
    assert!(
        host.state(&host.container())?.is_some(),
        "nothing was promoted, so the local container stays"
    );
    // Stopped, as by a reboot: the upgrade waits, and nothing failed (design 4.3).
    let status = host.status_json(START + HOUR)?;
    assert_eq!(status["pending"]["version"], "v2", "{status:#}");
    assert_eq!(status["failures"], json!([]), "{status:#}");

    host.remove(&host.pod("v2"))?;
    host.pass_at(START + HOUR + MINUTE)?;
    let status = host.status_json(START + HOUR + MINUTE)?;
    assert!(status["pending"].is_null(), "{status:#}");
    assert_eq!(status["failures"][0]["version"], "v2", "{status:#}");
    assert_eq!(status["failures"][0]["outcome"], "withdrawn", "{status:#}");
    assert_eq!(host.id("local:latest")?, v1);
    Ok(())
}

#[test]
fn r1_a_restart_starts_the_soak_again() -> Result<()> {
    let host = Host::new("r1-restart")?;
    let v1 = ships(&host, "v1")?;
    gives_way(&host)?;
    let v2 = roll_out(&host, "v2")?;
    host.pass_at(START)?;
    host.restart(&host.pod("v2"))?;

    host.pass_at(START + SOAKED)?;
    let again = START + SOAKED;
    assert_eq!(host.status_json(again + 1)?["pending"]["restarts"], 1);
    host.pass_at(again + 9 * MINUTE)?;
    assert_eq!(
        host.id("local:latest")?,
        v1,
        "up for nine minutes since the restart"
    );
    host.pass_at(again + SOAKED)?;
    assert_eq!(host.id("local:latest")?, v2);
    Ok(())
}

#[test]
fn r2_the_stopped_local_container_goes_once_the_tag_has_moved() -> Result<()> {
    let host = Host::new("r2")?;
    ships(&host, "v1")?;
    gives_way(&host)?;
    let v2 = roll_out(&host, "v2")?;
    host.pass_at(START)?;
    host.pass_at(START + 5 * MINUTE)?;
    assert_eq!(
        host.state(&host.container())?.as_deref(),
        Some("exited"),
        "the tag has not moved yet"
    );
    host.pass_at(START + SOAKED)?;
    assert_eq!(host.state(&host.container())?, None);

    // One that was made from the new latest is not stale, running or stopped.
    withdraw(&host, "v2")?;
    service_starts(&host)?;
    gives_way(&host)?;
    host.pass_at(START + HOUR)?;
    assert_eq!(host.image_of(&host.container())?, v2);
    Ok(())
}

#[test]
fn r2_a_running_local_container_is_never_removed() -> Result<()> {
    let host = Host::new("r2-running")?;
    let v1 = roll_out(&host, "v1")?;
    let now = soak(&host, START)?;
    let (v2, now) = upgrade(&host, "v1", "v2", now + MINUTE)?;
    // Somebody starts the service's container from the old image, under its name.
    host.run(&host.container(), &v1)?;
    for minute in 1..5 {
        host.pass_at(now + minute * MINUTE)?;
        assert_eq!(host.state(&host.container())?.as_deref(), Some("running"));
    }
    assert_eq!(host.id("local:latest")?, v2);
    host.stop(&host.container())?;
    host.pass_at(now + 6 * MINUTE)?;
    assert_eq!(
        host.state(&host.container())?,
        None,
        "stopped, and not of latest: stale"
    );
    Ok(())
}

#[test]
fn r3_a_promotion_leaves_latest_and_the_previous_latest() -> Result<()> {
    let host = Host::new("r3")?;
    let v1 = roll_out(&host, "v1")?;
    let mut now = soak(&host, START)?;
    let mut previous = v1.clone();
    for (from, to) in [("v1", "v2"), ("v2", "v3"), ("v3", "v4")] {
        let (image, promoted) = upgrade(&host, from, to, now + MINUTE)?;
        now = promoted;
        let remotes = [from, to].map(|version| format!("remote:{version}"));
        assert_eq!(
            host.disk()?,
            names(["local:latest", &remotes[0], &remotes[1]])
        );
        assert_eq!(host.id("local:latest")?, image);
        assert!(host.holds(&previous)?, "the fallback");
        previous = image;
    }
    assert!(!host.holds(&v1)?);
    let status = host.status_json(now + 1)?;
    assert_eq!(status["fallbacks"][0]["version"], "v3");
    assert!(status["fallbacks"][1].is_null(), "one fallback: {status:#}");
    Ok(())
}

#[test]
fn r4_case_1_the_fallback_that_ran_takes_the_remote_name() -> Result<()> {
    let host = Host::new("r4")?;
    let local_v1 = ships(&host, "v1")?;
    let now = soak(&host, START)?;
    let remote_v1 = roll_out(&host, "v1")?;
    assert_ne!(local_v1, remote_v1);
    host.pass_at(now + MINUTE)?;
    assert_eq!(
        host.id("remote:v1")?,
        remote_v1,
        "a dry run, kept while its version is wanted"
    );

    gives_way(&host)?;
    let (v2, now) = upgrade(&host, "v1", "v2", now + HOUR)?;
    assert_eq!(
        host.disk()?,
        names(["local:latest", "remote:v1", "remote:v2"])
    );
    assert_eq!(host.id("remote:v1")?, local_v1, "the image that ran here");
    assert_eq!(host.id("remote:v2")?, v2);
    assert_eq!(host.id("local:latest")?, v2);
    assert!(!host.holds(&remote_v1)?, "the image that never ran");
    let status = host.status_json(now + 1)?;
    assert_eq!(status["fallbacks"][0]["version"], "v1");
    assert_eq!(status["fallbacks"][0]["image"], local_v1);
    assert_eq!(status["latest"]["image"], v2);
    Ok(())
}

#[test]
fn r4_case_1_when_the_upgrade_is_the_first_thing_that_is_seen() -> Result<()> {
    let host = Host::new("r4-first")?;
    let local_v1 = ships(&host, "v1")?;
    let remote_v1 = roll_out(&host, "v1")?;
    gives_way(&host)?;
    let (v2, _) = upgrade(&host, "v1", "v2", START)?;
    assert_eq!(
        host.disk()?,
        names(["local:latest", "remote:v1", "remote:v2"])
    );
    assert_eq!(host.id("remote:v1")?, local_v1);
    assert_eq!(host.id("local:latest")?, v2);
    assert!(!host.holds(&remote_v1)?);
    Ok(())
}

#[test]
fn r5_case_2_a_local_version_that_was_never_rolled_out_is_no_fallback() -> Result<()> {
    for (policy, stays) in [("", false), ("local_fallback = \"keep\"", true)] {
        for proven_before in [false, true] {
            let host = Host::new("r5")?;
            host.set_policy(policy)?;
            let local_v3 = ships(&host, "v3")?;
            let now = if proven_before {
                soak(&host, START)?
            } else {
                START
            };
            gives_way(&host)?;
            let v2 = roll_out(&host, "v2")?;
            soak(&host, now + MINUTE)?;

            let wanted = if stays {
                names(["local:latest", "local:v3", "remote:v2"])
            } else {
                names(["local:latest", "remote:v2"])
            };
            assert_eq!(
                host.disk()?,
                wanted,
                "'{policy}', proven before: {proven_before}"
            );
            assert_eq!(host.id("local:latest")?, v2);
            assert_eq!(host.holds(&local_v3)?, stays);
        }
    }
    Ok(())
}

#[test]
fn r6_case_3_the_version_before_the_fallback_goes() -> Result<()> {
    let host = Host::new("r6")?;
    let v1 = roll_out(&host, "v1")?;
    let now = soak(&host, START)?;
    let (v2, now) = upgrade(&host, "v1", "v2", now + MINUTE)?;
    let (v3, _) = upgrade(&host, "v2", "v3", now + MINUTE)?;
    assert_eq!(
        host.disk()?,
        names(["local:latest", "remote:v2", "remote:v3"])
    );
    assert_eq!(
        (host.id("remote:v2")?, host.id("remote:v3")?),
        (v2, v3.clone())
    );
    assert_eq!(host.id("local:latest")?, v3);
    assert!(!host.holds(&v1)?);
    Ok(())
}

#[test]
fn r7_a_dry_run_promotes_nothing_and_its_image_stays() -> Result<()> {
    let host = Host::new("r7")?;
    let local_v1 = ships(&host, "v1")?;
    let now = soak(&host, START)?;
    let remote_v1 = roll_out(&host, "v1")?;
    let now = soak(&host, now + MINUTE)?;
    assert_eq!(host.id("local:latest")?, local_v1);
    assert!(host.status_json(now + 1)?["pending"].is_null());

    // It idles, and goes on idling when the local container stops: nothing says that it has woken
    // up.
    gives_way(&host)?;
    let now = soak(&host, now + MINUTE)?;
    assert_eq!(host.id("local:latest")?, local_v1);

    // Its container goes, and the grace period with it: the version is wanted all the same.
    service_starts(&host)?;
    withdraw(&host, "v1")?;
    host.pass_at(now + MINUTE)?;
    host.pass_at(now + 3 * DAY)?;
    assert_eq!(host.id("remote:v1")?, remote_v1);
    assert_eq!(
        host.disk()?,
        names(["local:latest", "local:v1", "remote:v1"])
    );
    Ok(())
}

#[test]
fn r7_a_new_version_beside_the_local_container_waits_for_its_turn() -> Result<()> {
    let host = Host::new("r7-waits")?;
    let v1 = ships(&host, "v1")?;
    let now = soak(&host, START)?;
    let v2 = roll_out(&host, "v2")?;
    let now = soak(&host, now + MINUTE)?;
    assert_eq!(host.id("local:latest")?, v1, "the local container serves");

    gives_way(&host)?;
    host.pass_at(now + MINUTE)?;
    assert_eq!(
        host.id("local:latest")?,
        v1,
        "what it ran beside the local container does not count"
    );
    host.pass_at(now + MINUTE + SOAKED)?;
    assert_eq!(host.id("local:latest")?, v2);
    Ok(())
}

#[test]
fn r8_a_pending_upgrade_survives_a_reboot() -> Result<()> {
    let host = Host::new("r8")?;
    let v1 = ships(&host, "v1")?;
    gives_way(&host)?;
    let v2 = roll_out(&host, "v2")?;
    host.pass_at(100_000)?;
    host.pass_at(100_300)?;
    // The host has booted: five minutes were up, and uptime starts over.
    host.pass_at(60)?;
    host.pass_at(290)?;
    assert_eq!(
        host.id("local:latest")?,
        v1,
        "five minutes, and less than another five"
    );
    host.pass_at(303)?;
    assert_eq!(host.id("local:latest")?, v2);
    Ok(())
}

#[test]
fn r8_a_container_that_came_back_with_the_host_soaks_again() -> Result<()> {
    let host = Host::new("r8-again")?;
    let v1 = ships(&host, "v1")?;
    gives_way(&host)?;
    let v2 = roll_out(&host, "v2")?;
    host.pass_at(100_000)?;
    host.pass_at(100_500)?;
    host.restart(&host.pod("v2"))?;
    host.pass_at(60)?;
    host.pass_at(200)?;
    assert_eq!(host.id("local:latest")?, v1);
    let status = host.status_json(201)?;
    assert_eq!(
        status["pending"]["restarts"], 1,
        "the upgrade itself is not forgotten: {status:#}"
    );
    host.pass_at(60 + SOAKED)?;
    assert_eq!(host.id("local:latest")?, v2);
    Ok(())
}

#[test]
fn r9_the_circle() -> Result<()> {
    let host = Host::new("r9")?;
    let v1 = ships(&host, "v1")?;
    assert_eq!(host.image_of(&host.container())?, v1);
    let now = soak(&host, START)?;

    gives_way(&host)?;
    let v2 = roll_out(&host, "v2")?;
    let now = soak(&host, now + HOUR)?;
    assert_eq!(host.id("local:latest")?, v2);
    assert_eq!(host.state(&host.container())?, None);

    withdraw(&host, "v2")?;
    service_starts(&host)?;
    assert_eq!(
        host.image_of(&host.container())?,
        v2,
        "the fallback is the version that ran well last"
    );
    let now = soak(&host, now + HOUR)?;
    assert_eq!(host.id("local:latest")?, v2);
    let status = host.status_json(now + 1)?;
    assert_eq!(status["serving"]["local"], true);
    assert_eq!(status["serving"]["image"], v2);
    assert!(status["pending"].is_null());
    Ok(())
}

#[test]
fn r10_other_repositories_are_never_touched() -> Result<()> {
    let host = Host::new("r10")?;
    let neighbours = [
        format!("{}-gnmi:v1", host.name("local")),
        format!("{}-gnmi:latest", host.name("local")),
        format!("x{}:v1", host.name("local")),
        format!("{}-gnmi:v1", host.name("remote")),
        format!("{}/elsewhere/{}:v1", host.registry(), host.name("local")),
    ];
    let mut theirs = Vec::new();
    for name in &neighbours {
        theirs.push((host.import(name, name)?, true));
    }
    theirs.push((host.import("", "never had a name")?, false));
    // Its neighbour's latest was moved, and left this one without a name.
    let moved = format!("{}-gnmi:moved", host.name("local"));
    theirs.push((host.import(&moved, "old")?, false));
    theirs.push((host.import(&moved, "new")?, true));

    roll_out(&host, "v1")?;
    let now = soak(&host, START)?;
    let (_, now) = upgrade(&host, "v1", "v2", now + MINUTE)?;
    let (_, now) = upgrade(&host, "v2", "v3", now + MINUTE)?;
    host.pass_at(now + 30 * DAY)?;
    host.pass_at(now + 60 * DAY)?;
    assert_eq!(
        host.disk()?,
        names(["local:latest", "remote:v2", "remote:v3"])
    );
    for (image, named) in theirs {
        assert!(host.holds(&image)?, "{image} is no image of the workload");
        assert_eq!(!host.tags_of(&image)?.is_empty(), named, "{image}");
    }
    for name in &neighbours {
        assert!(host.find(name)?.is_some(), "{name}");
    }
    Ok(())
}
