//! Podman's Quadlet on a booted system: a unit that runs a remote version in the local container's
//! place, and a unit that is the local service.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::beside::{PLACE, again, with_engine};
use crate::deployed::Deployed;
use crate::engine::Host;
use crate::orchestrator::{Does, Named, Orchestrator, Version};
use crate::stories::played_by;

const WORKS: &str = "/bin/sleep 2147483647";
const CRASHES: &str = "/bin/sh -c 'exit 3'";

/// Runs a test beside the Podman of a booted system of its own. `name` is the test's own.
fn on_a_booted_system(name: &str, test: impl FnOnce() -> Result<()>) -> Result<()> {
    if env::var_os(PLACE).is_some() {
        return test();
    }
    let booted = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/with-booted-podman");
    again(
        Command::new(with_engine())
            .arg(booted)
            .env(PLACE, "/var/tmp"),
        name,
    )
}

/// Runs a command line on the booted system: what it printed.
fn on_system(line: &str, args: &[&str]) -> Result<String> {
    let machine = env::var("TAGKEEPER_TEST_MACHINE")?;
    let output = Command::new("docker")
        .args(["exec", &machine, "sh", "-ec", line, "sh"])
        .args(args)
        .output()?;
    ensure!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// Makes the unit that runs this image in a container of the same name, or changes it, and starts
/// it anew.
fn start(unit: &str, image: &str, pull: &str, command: &str) -> Result<()> {
    let text = format!(
        "[Unit]\nStartLimitIntervalSec=0\n[Container]\nImage={image}\nContainerName={unit}\nPull={pull}\nExec={command}\n\
         Network=host\nPodmanArgs=--stop-timeout=0\n[Service]\nRestart=always\nRestartSec=1\n"
    );
    let line = r#"printf '%s' "$2" >"/etc/containers/systemd/$1.container"
        systemctl daemon-reload; systemctl restart --no-block "$1.service""#;
    on_system(line, &[unit, &text]).map(drop)
}

fn stop(unit: &str) -> Result<()> {
    on_system(r#"systemctl stop "$1.service""#, &[unit]).map(drop)
}

/// A host whose fleet manager writes one unit.
struct Quadlet {
    on: Deployed,
}

impl Quadlet {
    fn unit(&self) -> String {
        Self::containers(&self.on.host)
    }
}

impl Orchestrator for Quadlet {
    const EXAMPLE: &'static str = include_str!("../../config/examples/quadlet.toml");
    const WORKLOAD: &'static str = "pump";
    const NAMED: Named = Named::Tag;

    fn containers(host: &Host) -> String {
        format!("edge-{}", host.container())
    }

    fn on_host(on: Deployed) -> Result<Self> {
        Ok(Self { on })
    }

    fn on(&self) -> &Deployed {
        &self.on
    }

    fn deploy(&self, version: &Version<'_>) -> Result<()> {
        let command = version.does.command(WORKS, CRASHES);
        let image = version.image(&self.on.host);
        start(&self.unit(), &image, "always", command)
    }

    /// A container that ends is removed: systemd knows how often it did.
    fn has_crashed(&self) -> Result<()> {
        let restarts = r#"systemctl show --property NRestarts --value "$1.service""#;
        self.on.until("it has crashed", || {
            Ok(on_system(restarts, &[&self.unit()])? != "0")
        })
    }

    fn remove_service(&self) -> Result<()> {
        stop(&self.unit())?;
        let line = r#"rm "/etc/containers/systemd/$1.container"; systemctl daemon-reload"#;
        on_system(line, &[&self.unit()]).map(drop)
    }
}

// Not the rollback in a crash loop: the container is gone whenever a pass looks, so tagkeeper knows
// of no upgrade then.
played_by! { Quadlet, "quadlet", on_a_booted_system,
    dry_run_by_tag_promotes_nothing
    dry_run_by_tag_and_digest_promotes_nothing
    dry_run_by_digest_promotes_nothing
    upgrade_is_promoted_and_cleaned_up
    crash_is_rolled_back
    rollback_of_what_was_promoted
    gone_and_the_local_service_runs_the_promoted_version
    moving_tag_over_three_releases
}

#[test]
fn upgrade_is_what_the_local_unit_starts_next() -> Result<()> {
    let name = "quadlet::upgrade_is_what_the_local_unit_starts_next";
    on_a_booted_system(name, || {
        let by = Quadlet::new("local", &[])?;
        let on = &by.on;
        let local = on.host.container();
        let starts = |image: &str| {
            start(&local, &on.host.name("local:latest"), "never", WORKS)?;
            on.until("the local service runs", || {
                Ok(on.host.image_of(&local).is_ok_and(|id| id == image))
            })
        };
        let v2 = on.publish("v2", "second")?;
        let v3 = on.publish("v3", "crashes")?;
        let v1 = on.host.import("local:v1", "shipped")?;
        on.host.tag("local:v1", "local:latest")?;
        starts(&v1)?;
        on.soaks()?;
        on.latest_is(&v1)?;

        stop(&local)?;
        ensure!(on.host.state(&local)?.is_none(), "none is left to go stale");
        by.update("v2", &v2)?;
        on.pass()?;
        on.latest_is(&v1).context("v2 soaks")?;
        on.soaks()?;
        on.latest_is(&v2.id)?;
        by.deploy(&Quadlet::version("v3", &v3, Does::Crash))?;
        by.has_crashed()?;
        by.remove_service()?;
        starts(&v2.id)?;
        on.soaks()?;
        on.latest_is(&v2.id)?;
        on.holds(&[&v1, &v2.id], &[])?;
        on.survives_a_prune(&v1)
    })
}
