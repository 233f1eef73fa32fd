//! What happens to a host from outside: the local service, the orchestrator, and the passing of
//! time.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::engine::{Host, MINUTE, SOAKED};

/// The device is shipped with a version, and its local service runs it: the image.
pub(crate) fn ships(host: &Host, tag: &str) -> Result<String> {
    let name = format!("local:{tag}");
    let image = host.import(&name, &format!("shipped {tag}"))?;
    host.tag(&name, "local:latest")?;
    service_starts(host)?;
    Ok(image)
}

/// The start script of the local service, word for word what a SONiC host does.
pub(crate) fn service_starts(host: &Host) -> Result<()> {
    let script = r#"docker start "$1" 2>/dev/null || exec docker run --detach --network none --name "$1" "$2" 2>&1"#;
    let output = Command::new("sh")
        .args([
            "-c",
            script,
            "sh",
            &host.container(),
            &host.name("local:latest"),
        ])
        .env("DOCKER_HOST", format!("unix://{}", host.socket().display()))
        .output()?;
    ensure!(
        output.status.success(),
        "the local service: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(())
}

/// The local service stops its container: the orchestrator's takes over.
pub(crate) fn gives_way(host: &Host) -> Result<()> {
    host.stop(&host.container())
}

/// The orchestrator rolls a version out: it is pulled, and its container starts. The image.
pub(crate) fn roll_out(host: &Host, tag: &str) -> Result<String> {
    let name = format!("remote:{tag}");
    host.publish(&name, &format!("rolled out {tag}"))?;
    let image = host.pull(&name)?;
    host.run(&host.pod(tag), &name)?;
    Ok(image)
}

/// The orchestrator removes the container of a version; images it leaves alone.
pub(crate) fn withdraw(host: &Host, tag: &str) -> Result<()> {
    host.remove(&host.pod(tag))
}

/// The orchestrator replaces one version by another, which then soaks: its image, and when it was
/// promoted.
pub(crate) fn upgrade(
    host: &Host,
    from: &str,
    to: &str,
    uptime_secs: u64,
) -> Result<(String, u64)> {
    withdraw(host, from)?;
    let image = roll_out(host, to)?;
    let promoted = soak(host, uptime_secs)?;
    let latest = host.id("local:latest")?;
    ensure!(latest == image, "{to} has soaked, but latest is {latest}");
    Ok((image, promoted))
}

/// Time passes until what serves has soaked, with a pass now and then: when that was.
pub(crate) fn soak(host: &Host, uptime_secs: u64) -> Result<u64> {
    host.pass_at(uptime_secs)?;
    host.pass_at(uptime_secs + 5 * MINUTE)?;
    host.pass_at(uptime_secs + SOAKED)?;
    Ok(uptime_secs + SOAKED)
}

/// A set of names, as [`Host::disk`] answers.
pub(crate) fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}
