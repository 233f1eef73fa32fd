//! Ends of a pass that are no failures, and passes that are nothing to write about.

use anyhow::{Result, ensure};

use crate::machine::{Machine, wait_for};

/// An engine that takes connections and never answers.
const MUTE_SOCKET: &str =
    "[Socket]\nListenStream=/run/mute.sock\nSocketGroup=docker\nSocketMode=0660\n";
const MUTE_SERVICE: &str = "[Service]\nExecStart=/bin/sleep infinity\n";
const PATIENCE_SECS: u32 = 30;

/// Starts a pass that waits for an answer.
pub(crate) fn start_a_long_pass(machine: &Machine) -> Result<()> {
    machine.write("/etc/systemd/system/mute.socket", MUTE_SOCKET)?;
    machine.write("/etc/systemd/system/mute.service", MUTE_SERVICE)?;
    machine.run("systemctl daemon-reload && systemctl start mute.socket")?;
    machine.write(
        "/etc/tagkeeper/policy.d/engine.toml",
        "[engine]\nsocket = \"/run/mute.sock\"\n",
    )?;
    machine.set_policy("10m", "")?;
    machine.run("systemctl start --no-block tagkeeper.service")?;
    wait_for("the pass to wait for the engine", PATIENCE_SECS, || {
        let ran = machine.try_run("systemctl is-active mute.service")?;
        Ok((ran.stdout.trim() == "active").then_some(()))
    })
}

fn expect_nothing_failed(machine: &Machine) -> Result<()> {
    let failed = machine.try_run("systemctl is-failed tagkeeper.service")?;
    assert_eq!(failed.stdout, "inactive\n");
    assert_eq!(machine.run("systemctl is-system-running")?, "running");
    let said = machine.run("journalctl --quiet UNIT=tagkeeper.service")?;
    ensure!(!said.contains("Failed with result"), "{said}");
    Ok(())
}

#[test]
fn a_held_lock_is_no_failed_unit() -> Result<()> {
    Machine::tell("locked", |machine| {
        machine.set_policy("10m", "")?;
        ensure!(machine.pass_succeeds()?, "{}", machine.status()?);
        machine.run("systemd-run --quiet --unit holder flock /var/lib/tagkeeper/lock sleep 100")?;
        wait_for("the lock", PATIENCE_SECS, || {
            let free = machine.try_run("flock --nonblock /var/lib/tagkeeper/lock true")?;
            Ok((free.code == Some(1)).then_some(()))
        })?;
        ensure!(machine.pass_succeeds()?, "{}", machine.status()?);
        let status = machine.status()?;
        ensure!(status.contains("status=75"), "{status}");
        expect_nothing_failed(machine)
    })
}

#[test]
fn neither_a_stop_nor_a_reboot_in_a_pass_leaves_a_failed_unit() -> Result<()> {
    Machine::tell("stopped", |machine| {
        start_a_long_pass(machine)?;
        machine.run("systemctl stop tagkeeper.service")?;
        let status = machine.status()?;
        ensure!(status.contains("signal=TERM"), "{status}");
        expect_nothing_failed(machine)?;

        machine.run("systemctl stop mute.service")?;
        start_a_long_pass(machine)?;
        machine.go_down_for_reboot()?;
        machine.power_on(0)?;
        expect_nothing_failed(machine)
    })
}

#[test]
fn idle_passes_write_no_journal_lines_and_others_do() -> Result<()> {
    Machine::tell("journal", |machine| {
        machine.set_policy("10m", "")?;
        let lines = "journalctl --quiet --output cat SYSLOG_IDENTIFIER=tagkeeper + UNIT=tagkeeper.service + _SYSTEMD_UNIT=tagkeeper.service || true";
        let before = machine.run(lines)?;
        for _ in 0..3 {
            ensure!(machine.pass_succeeds()?, "{}", machine.status()?);
        }
        assert_eq!(machine.run(lines)?, before, "an idle pass");

        // A thing that changed is a line, and so is a failure, of the pass's own and of PID 1.
        machine.host.import("local:v1", "shipped v1")?;
        machine.host.tag("local:v1", "local:latest")?;
        machine
            .host
            .run(&machine.host.container(), "local:latest")?;
        ensure!(machine.pass_succeeds()?, "{}", machine.status()?);
        let soaking = machine.run("journalctl --quiet --output cat -t tagkeeper")?;
        ensure!(soaking.contains("telemetry: v1"), "{soaking}");
        machine.set_policy("no time at all", "")?;
        ensure!(!machine.pass_succeeds()?, "a broken policy passed");
        let failed = machine.run(lines)?;
        for telling in ["no time at all", "Failed with result 'exit-code'"] {
            ensure!(failed.contains(telling), "'{telling}' is not in\n{failed}");
        }
        Ok(())
    })
}
