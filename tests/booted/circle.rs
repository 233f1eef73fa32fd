//! R9, the whole circle, by the timer alone, with a reboot in the middle of the soak (R8); and a
//! rollback at its end.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::engine::Host;
use crate::machine::{Machine, wait_for};

/// Longer than the way from one firing of the timer to the next, however busy the host is.
const NEXT_FIRING_SECS: u32 = 120;
/// Shorter than the minute between two passes: seen by one, promoted by the next.
const SOAK: &str = "50s";
/// A pass started by the timer, in systemd's catalogue of messages: "a start job for unit has begun
/// execution".
const STARTING: &str = "MESSAGE_ID=7d4958e842da4a758f6c1cdc7b36dcc5";

#[test]
fn r9_the_circle_with_a_reboot_in_the_middle_of_the_soak() -> Result<()> {
    Machine::tell("circle", |machine| {
        let host = &machine.host;
        let (local, pod) = (host.container(), host.pod("v2"));
        machine.set_policy(SOAK, r#"ready = ["/usr/local/lib/telemetry-is-ready"]"#)?;
        machine.write("/usr/local/lib/telemetry-is-ready", READY)?;
        machine.run("chmod 755 /usr/local/lib/telemetry-is-ready")?;
        // The starts of passes are told by PID 1 alone, and not by default.
        machine.write(
            "/etc/systemd/system/tagkeeper.service.d/starts.conf",
            "[Service]\nLogLevelMax=info\n",
        )?;
        machine.run("systemctl daemon-reload && systemctl start tagkeeper.timer")?;

        // Local v1, by systemd. Then the orchestrator upgrades to v2.
        let v1 = ships(host)?;
        machine.write(
            "/etc/systemd/system/telemetry.service",
            &local_service(host),
        )?;
        machine.run("systemctl daemon-reload && systemctl start telemetry.service")?;
        assert_eq!(host.image_of(&local)?, v1);
        machine.run("systemctl stop telemetry.service")?;
        let v2 = roll_out(host)?;
        wait_for_status(machine, "telemetry: v2 soaking 0s of 50s")?;
        let before = state(machine)?;

        // A reboot in the middle of the soak. The orchestrator's container is up again before the
        // first pass.
        sleep(Duration::from_secs(10));
        machine.go_down_for_reboot()?;
        host.restart(&pod)?;
        machine.power_on(0)?;
        assert_eq!(
            state(machine)?,
            before,
            "a reboot loses nothing, and writes nothing"
        );
        wait_for_status(machine, "telemetry: v2 soaking 0s of 50s")?;
        the_soak_began_again(machine, &before)?;
        assert_eq!(host.id("local:latest")?, v1);

        // v2 soaks and becomes latest. What stood in its way goes.
        wait_for_status(machine, "telemetry: v2 is latest, nothing pending")?;
        assert_eq!(host.id("local:latest")?, v2);
        assert_eq!(host.state(&local)?, None, "the stale container (R2)");
        assert_eq!(
            Vec::from_iter(host.disk()?),
            ["local:latest", "remote:v1", "remote:v2"],
            "and v1 is the fallback (R3)"
        );
        the_journal_tells(machine, &v2)?;
        the_timer_fired_each_minute(machine)?;

        // The orchestrator goes away: the local service runs v2.
        host.remove(&pod)?;
        machine.run("systemctl start telemetry.service")?;
        assert_eq!(host.image_of(&local)?, v2);
        assert_eq!(host.state(&local)?.as_deref(), Some("running"));
        let settled = state(machine)?;
        ensure!(machine.pass_succeeds()?, "the pass after the circle failed");
        assert_eq!(state(machine)?, settled, "nothing is left to do");
        the_service_runs_v1_after_a_rollback(machine, &v1)
    })
}

/// A person rolls back, as the refusal tells them to; the service's next start runs what was good
/// before.
fn the_service_runs_v1_after_a_rollback(machine: &Machine, v1: &str) -> Result<()> {
    let host = &machine.host;
    let refused = machine.run("tagkeeper rollback --yes telemetry 2>&1 && echo done || true")?;
    ensure!(
        refused.contains(&format!("systemctl stop {}.service", host.container()))
            && !refused.ends_with("done"),
        "{refused}"
    );
    machine.run("systemctl stop telemetry.service")?;
    machine.run("tagkeeper rollback --yes telemetry")?;
    machine.run("systemctl start telemetry.service")?;
    assert_eq!(host.image_of(&host.container())?, v1);
    assert_eq!(host.state(&host.container())?.as_deref(), Some("running"));
    ensure!(
        machine.pass_succeeds()?,
        "the pass after the rollback: root wrote the state, and it must still be the service's"
    );
    assert_eq!(host.id("local:latest")?, v1);
    Ok(())
}

/// Asks the container itself, through the engine, out of the sandbox that the pass runs in.
const READY: &str = "#!/bin/sh
exec docker exec \"$TAGKEEPER_CONTAINER_NAME\" test -e /marker
";

/// The local service of a SONiC host: starts the container that it has, or makes one from latest.
fn local_service(host: &Host) -> String {
    let (container, latest) = (host.container(), host.name("local:latest"));
    format!(
        "[Service]\n\
         Type=exec\n\
         ExecStartPre=sh -c 'docker start {container} || docker run --detach --network none --name {container} {latest}'\n\
         ExecStart=docker wait {container}\n\
         ExecStop=docker stop -t 0 {container}\n"
    )
}

/// The device is shipped with v1, which the orchestrator has rolled out as well: its image.
fn ships(host: &Host) -> Result<String> {
    host.publish("remote:v1", "rolled out v1")?;
    let image = host.pull("remote:v1")?;
    host.tag("remote:v1", "local:v1")?;
    host.tag("remote:v1", "local:latest")?;
    Ok(image)
}

/// The orchestrator rolls v2 out: its image.
fn roll_out(host: &Host) -> Result<String> {
    host.publish("remote:v2", "rolled out v2")?;
    let image = host.pull("remote:v2")?;
    host.run(&host.pod("v2"), "remote:v2")?;
    Ok(image)
}

/// Waits for the timer to make this the STATUS line of the service.
fn wait_for_status(machine: &Machine, line: &str) -> Result<()> {
    let expected = format!("Status: \"{line}\"");
    let mut status = String::new();
    let seen = wait_for(line, NEXT_FIRING_SECS, || {
        status = machine.status()?;
        Ok(status.contains(&expected).then_some(()))
    });
    seen.with_context(|| status.clone())
}

fn state(machine: &Machine) -> Result<Value> {
    let text = machine.run("cat /var/lib/tagkeeper/state.json")?;
    serde_json::from_str(&text).context(text)
}

/// The upgrade of before the reboot is still known, in a new incarnation; the clock went on by what
/// the machine has been up since.
fn the_soak_began_again(machine: &Machine, before: &Value) -> Result<()> {
    let pending = &machine.workload()?["pending"];
    assert_eq!(pending["version"], "v2");
    assert_eq!(pending["restarts"], 1, "{pending:#}");
    let after = state(machine)?;
    let read = |state: &Value, key: &str| {
        state["clock"][key]
            .as_u64()
            .with_context(|| format!("no {key} in {state:#}"))
    };
    let uptime_ms = read(&after, "monotonic_ms")?;
    assert!(
        uptime_ms < read(before, "monotonic_ms")?,
        "the machine did not really reboot"
    );
    assert_eq!(
        read(&after, "clock_ms")?,
        read(before, "clock_ms")? + uptime_ms
    );
    Ok(())
}

/// The promotion is found by its fields, and it was the service's user who wrote it.
fn the_journal_tells(machine: &Machine, image: &str) -> Result<()> {
    let found = machine.journal("EVENT=promoted WORKLOAD=telemetry VERSION=v2")?;
    assert_eq!(found.len(), 1, "{found:#?}");
    let user = machine.run("id -u tagkeeper")?;
    for (field, value) in [
        ("IMAGE", image),
        ("SYSLOG_IDENTIFIER", "tagkeeper"),
        ("_SYSTEMD_UNIT", "tagkeeper.service"),
        ("_UID", &user),
        ("PRIORITY", "5"),
    ] {
        assert_eq!(found[0][field], value, "{field} in {:#}", found[0]);
    }
    Ok(())
}

/// Only the timer started passes: those since the reboot began a minute apart, at the host's own
/// place in the minute.
fn the_timer_fired_each_minute(machine: &Machine) -> Result<()> {
    let started = machine.journal(&format!("{STARTING} UNIT=tagkeeper.service"))?;
    let micros = started.iter().map(|entry| {
        let time = entry["__REALTIME_TIMESTAMP"]
            .as_str()
            .context("no time stamp")?;
        Ok(time.parse::<u64>()?)
    });
    let micros = micros.collect::<Result<Vec<_>>>()?;
    // One or more before the reboot; the one that saw the new incarnation, and the one that
    // promoted it.
    assert!(micros.len() >= 3, "{micros:?}");
    let [.., seen, promoted] = micros.as_slice() else {
        bail!("{micros:?}");
    };
    let apart_secs = (promoted - seen) / 1_000_000;
    assert!(
        (45..=75).contains(&apart_secs),
        "{apart_secs} s: {micros:?}"
    );
    Ok(())
}
