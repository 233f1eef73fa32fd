//! Docker Compose: a project whose container takes the local one's place, and a project that is the
//! local service.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::beside::beside_an_engine;
use crate::deployed::Deployed;
use crate::engine::{DAY, HOUR, Host};
use crate::orchestrator::{Named, Orchestrator, Version};
use crate::stories::{played_by, upgrade_leaves_what_is_held};

/// Where scripts/test-orchestrators has put Compose.
const COMPOSE: &str = "TAGKEEPER_COMPOSE";
/// The policy for a project that is the local service.
const IN_PLACE: &str = include_str!("../../config/examples/compose.toml");
const WORKS: &str = "[sleep, '2147483647']";
const CRASHES: &str = "[sh, -c, 'exit 3']";

/// A host with one project of one service.
struct Compose {
    on: Deployed,
}

/// The name of the project of a host.
fn project(host: &Host) -> String {
    format!("edge-{}", host.container())
}

/// Runs Compose for the project of a host.
fn compose(host: &Host, args: &[&str]) -> Result<()> {
    let program = std::env::var_os(COMPOSE)
        .with_context(|| format!("{COMPOSE} is not set: run `make test-orchestrators`"))?;
    let output = Command::new(program)
        .args(["--progress", "plain", "--project-name", &project(host)])
        .arg("--file")
        .arg(host.path("compose.yaml"))
        .args(args)
        .env("DOCKER_HOST", format!("unix://{}", host.socket().display()))
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        output.status.success(),
        "compose {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Writes the project: a service that runs this image, and these lines more of it.
fn write(host: &Host, image: &str, command: &str, more: &str) -> Result<()> {
    let text = format!(
        "services:\n  web:\n    image: '{image}'\n    command: {command}\n    network_mode: host\n    \
         restart: unless-stopped\n    stop_grace_period: 0s\n{more}"
    );
    Ok(fs::write(host.path("compose.yaml"), text)?)
}

impl Orchestrator for Compose {
    const EXAMPLE: &'static str = include_str!("../../config/examples/compose-beside.toml");
    const WORKLOAD: &'static str = "kiosk";
    const NAMED: Named = Named::Tag;

    fn containers(host: &Host) -> String {
        format!("{}-web-", project(host))
    }

    fn on_host(on: Deployed) -> Result<Self> {
        Ok(Self { on })
    }

    fn on(&self) -> &Deployed {
        &self.on
    }

    /// `up`, with the file of this version.
    fn deploy(&self, version: &Version<'_>) -> Result<()> {
        let host = &self.on.host;
        let command = version.does.command(WORKS, CRASHES);
        write(host, &version.image(host), command, "")?;
        compose(host, &["up", "--detach", "--pull", "always"])
    }

    fn remove_service(&self) -> Result<()> {
        compose(&self.on.host, &["down"])
    }
}

played_by!(Compose, "compose");

#[test]
fn upgrade_leaves_what_a_one_off_container_holds() -> Result<()> {
    let name = "compose::upgrade_leaves_what_a_one_off_container_holds";
    beside_an_engine(name, || {
        let by = Compose::new("one-off", &[])?;
        let host = &by.on.host;
        upgrade_leaves_what_is_held(
            &by,
            || compose(host, &["run", "web", "true"]),
            |_| compose(host, &["up", "--detach", "--remove-orphans"]),
        )
    })
}

/// The unit starts the project, and a deployment changes the image of its container for as long as
/// the host is up.
struct InPlace {
    on: Deployed,
}

impl InPlace {
    fn up(&self, image: &str, command: &str) -> Result<()> {
        let host = &self.on.host;
        let named = format!("    container_name: {}\n", host.container());
        write(host, &host.name(image), command, &named)?;
        compose(host, &["up", "--detach"])
    }

    /// The host is shut down and comes up again.
    fn boots(&self) -> Result<()> {
        compose(&self.on.host, &["down"])?;
        self.up("local:latest", WORKS)
    }

    fn runs(&self) -> Result<String> {
        self.on.host.image_of(&self.on.host.container())
    }
}

#[test]
fn upgrade_in_place_is_what_the_next_boot_starts() -> Result<()> {
    let name = "compose::upgrade_in_place_is_what_the_next_boot_starts";
    beside_an_engine(name, || {
        let by = InPlace {
            on: Deployed::new("in-place")?,
        };
        let on = &by.on;
        on.set_example(IN_PLACE, &["ready = [\"/bin/true\"]"])?;
        let v2 = on.publish("v2", "second")?;
        let v3 = on.publish("v3", "crashes")?;
        let v1 = on.host.import("local:v1", "shipped")?;
        on.host.tag("local:v1", "local:latest")?;
        by.up("local:latest", WORKS)?;
        on.soaks()?;
        on.latest_is(&v1)?;

        by.up("remote:v2", WORKS)?;
        on.pass()?;
        on.latest_is(&v1).context("v2 soaks")?;
        on.soaks()?;
        on.latest_is(&v2.id)?;
        ensure!(by.runs()? == v2.id, "what runs is left alone");
        by.boots()?;
        ensure!(by.runs()? == v2.id, "v2 is what worked last");

        by.up("remote:v3", CRASHES)?;
        on.soaks()?;
        on.latest_is(&v2.id)?;
        by.boots()?;
        ensure!(by.runs()? == v2.id, "v3 never worked");
        on.soaks()?;
        on.later(DAY + HOUR);
        on.pass()?;
        on.latest_is(&v2.id)?;
        on.holds(&[&v1, &v2.id], &[&v3.id])?;
        on.survives_a_prune(&v1)
    })
}
