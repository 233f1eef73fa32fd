//! What a new user does: `tagkeeper init` on a host that the orchestrator has deployed to, the
//! policy saved as it was printed, and an upgrade under it.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::START;
use crate::engine::{Host, MINUTE};
use crate::story::{gives_way, names, roll_out, service_starts, soak, upgrade};

/// The section of the workload that this host's container belongs to. Other stories run on the same
/// engine, and their workloads are theirs.
fn section_of(host: &Host, policy: &str) -> Result<String> {
    let header = format!("[workload.{}]", host.container());
    let from = policy
        .find(&header)
        .with_context(|| format!("{header} is not in:\n{policy}"))?;
    let rest = policy.get(from..).unwrap_or_default();
    let length = rest
        .match_indices("\n[")
        .chain(rest.match_indices("\n\n"))
        .map(|(end, _)| end)
        .min();
    Ok(rest
        .get(..length.unwrap_or(rest.len()))
        .unwrap_or_default()
        .to_owned())
}

#[test]
fn the_first_policy_finds_the_workload_and_promotes_its_upgrade() -> Result<()> {
    let host = Host::new("init")?;
    roll_out(&host, "v1")?;
    host.tag("remote:v1", "local:latest")?;
    service_starts(&host)?;
    fs::remove_file(host.policy_file())?;

    let ran = host.tagkeeper_at(START, &["init"])?;
    ensure!(ran.code == Some(0), "{ran:#?}");
    ensure!(!host.state_dir().join("lock").exists(), "it only looks");
    fs::write(host.policy_file(), &ran.stdout)?;
    let checked = host.tagkeeper_at(START, &["check", "--format", "json"])?;
    ensure!(checked.code == Some(0), "{checked:#?}");

    let section = section_of(&host, &ran.stdout)?;
    for wanted in [
        format!("repository = \"{}\"", host.name("local")),
        format!("remotes = [\"{}\"]", host.name("remote")),
        format!("container = \"{}\"", host.container()),
        format!("orchestrated = \"k8s_{}_*\"", host.container()),
    ] {
        ensure!(section.contains(&wanted), "{wanted} is not in:\n{section}");
    }
    ensure!(!section.contains("unsure"), "{section}");

    // As it was printed, but for the neighbours.
    fs::write(host.policy_file(), section)?;
    gives_way(&host)?;
    let now = soak(&host, START)?;
    let (v2, _) = upgrade(&host, "v1", "v2", now + MINUTE)?;
    ensure!(host.id("local:latest")? == v2);
    ensure!(host.disk()? == names(["local:latest", "remote:v1", "remote:v2"]));
    Ok(())
}
