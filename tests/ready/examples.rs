//! SONiC's example policies on a real engine, with the ready commands that they name: names are
//! replaced, nothing else.

use std::fs;
use std::os::unix::fs::symlink;

use anyhow::Result;

use crate::asking::PROGRAM;
use crate::engine::{Host, SOAKED};
use crate::redis::Redis;
use crate::story::roll_out;

const SONIC: &str = include_str!("../../config/examples/sonic.toml");
const KUBE: &str = include_str!("../../config/examples/sonic-kube.toml");

/// Takes over one section of an example, with the names of this host in place of its own.
fn take_over(
    host: &Host,
    example: &str,
    section: &str,
    repository: &str,
    ready: &str,
) -> Result<()> {
    let (_, policy) = example
        .split_once(&format!("[workload.{section}]\n"))
        .expect("the section is there");
    let policy = policy.split("\n[workload.").next().unwrap_or_default();
    let lines = policy
        .lines()
        .map(|line| match line.strip_prefix("ready = ") {
            Some(_) => format!("ready = {ready}"),
            None => line
                .replace(
                    &format!("\"registry.example/{repository}\""),
                    &format!("{:?}", host.name("remote")),
                )
                .replace(
                    &format!("\"{repository}\""),
                    &format!("{:?}", host.name("local")),
                )
                .replace(&format!("\"{section}"), &format!("\"{}", host.container()))
                .replace(
                    &format!("\"k8s_{section}_"),
                    &format!("\"k8s_{}_", host.container()),
                ),
        });
    let lines: Vec<String> = lines.collect();
    let text = format!("[workload.{}]\n{}\n", host.container(), lines.join("\n"));
    Ok(fs::write(host.policy_file(), text)?)
}

/// Shipped with v1, in containers of these names.
fn ships_in(host: &Host, containers: &[String]) -> Result<String> {
    let image = host.import("local:v1", "shipped v1")?;
    host.tag("local:v1", "local:latest")?;
    for container in containers {
        host.run(container, "local:latest")?;
    }
    Ok(image)
}

#[test]
fn three_instances_give_way_to_a_pod_that_state_db_names() -> Result<()> {
    let (redis, host) = (Redis::start(), Host::new("asic")?);
    let sonic = host.path("sonic");
    symlink(PROGRAM, &sonic)?;
    let ready = format!(
        "[{:?}, \"--socket\", {:?}]",
        sonic.display().to_string(),
        redis.socket()
    );
    take_over(&host, SONIC, "lldp", "docker-lldp", &ready)?;
    let lldp = host.container();
    let instances = [lldp.clone(), format!("{lldp}0"), format!("{lldp}1")];
    let key = |name: &str| format!("FEATURE|{name}");
    for instance in &instances {
        redis.cli(&[
            "HSET",
            &key(instance),
            "current_owner",
            "local",
            "container_id",
            instance,
        ]);
    }
    let v1 = ships_in(&host, &instances)?;
    host.pass_at(1000)?;
    host.pass_at(1000 + SOAKED)?;
    for instance in &instances {
        host.stop(instance)?;
    }
    let v2 = roll_out(&host, "v2")?;
    redis.cli(&[
        "HSET",
        &key(&lldp),
        "current_owner",
        "none",
        "remote_state",
        "pending",
    ]);
    host.pass_at(2000)?;
    host.pass_at(2000 + SOAKED)?;
    assert_eq!(host.id("local:latest")?, v1, "the pod waits");
    redis.cli(&[
        "HSET",
        &key(&lldp),
        "current_owner",
        "kube",
        "remote_state",
        "running",
        "container_version",
        "v2",
    ]);
    redis.cli(&["HSET", &key(&lldp), "container_id", ""]);
    host.pass_at(3000)?;
    host.pass_at(3000 + SOAKED)?;
    assert_eq!(host.id("local:latest")?, v2);
    for instance in &instances {
        assert_eq!(host.state(instance)?, None, "{instance}");
    }
    Ok(())
}

#[test]
fn a_pod_in_stub_mode_is_promoted_once_its_own_probe_says_yes() -> Result<()> {
    let host = Host::new("kube")?;
    let exec = host.path("exec");
    symlink(PROGRAM, &exec)?;
    let ready = format!(
        "[{:?}, \"--socket\", {:?}, \"test\", \"-e\", \"/ready\"]",
        exec.display().to_string(),
        host.socket().display().to_string()
    );
    take_over(&host, KUBE, "telemetry", "docker-sonic-telemetry", &ready)?;
    let v1 = ships_in(&host, &[host.container()])?;
    host.docker(&["exec", &host.container(), "touch", "/ready"])?;
    host.pass_at(1000)?;
    host.pass_at(1000 + SOAKED)?;
    // The sidecar replaces the launcher.
    host.stop(&host.container())?;
    host.remove(&host.container())?;
    let v2 = roll_out(&host, "v2")?;
    host.pass_at(2000)?;
    host.pass_at(2000 + SOAKED)?;
    assert_eq!(host.id("local:latest")?, v1, "it idles");
    host.docker(&["exec", &host.pod("v2"), "touch", "/ready"])?;
    host.pass_at(3000)?;
    // The stub of `systemctl restart`.
    host.restart(&host.pod("v2"))?;
    host.pass_at(3000 + SOAKED)?;
    assert_eq!(host.id("local:latest")?, v1, "the soak began again");
    host.pass_at(3000 + 2 * SOAKED)?;
    assert_eq!(host.id("local:latest")?, v2);
    assert_eq!(
        host.id("local:v1")?,
        v1,
        "local_fallback keeps what was shipped"
    );
    Ok(())
}
