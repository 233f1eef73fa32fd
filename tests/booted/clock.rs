//! The timer and the wall clock.

use anyhow::Result;

use crate::machine::{Machine, wait_for};

/// Longer than the way from one firing of the calendar to the next.
const CALENDAR_SECS: u32 = 75;
/// Longer than the net below the calendar takes.
const NET_SECS: u32 = 150;
/// A pass that takes its time, and whose timer fires at the full minute.
const SLOW_PASS: &str = "[Service]\nExecStart=\nExecStart=/bin/sleep 8\n";
const NO_DELAY: &str = "[Timer]\nRandomizedDelaySec=0\n";

fn wait_for_state(machine: &Machine, state: &str, secs: u32) -> Result<()> {
    wait_for(state, secs, || {
        let ran =
            machine.try_run("systemctl show --value --property ActiveState tagkeeper.service")?;
        Ok((ran.stdout.trim() == state).then_some(()))
    })
}

#[test]
fn a_clock_set_back_by_days_while_a_pass_runs_does_not_stop_the_timer() -> Result<()> {
    Machine::tell_with_a_clock("clock", |machine| {
        machine.write(
            "/etc/systemd/system/tagkeeper.service.d/slow.conf",
            SLOW_PASS,
        )?;
        machine.write("/etc/systemd/system/tagkeeper.timer.d/now.conf", NO_DELAY)?;
        machine.run("systemctl daemon-reload && systemctl start tagkeeper.timer")?;
        wait_for_state(machine, "activating", CALENDAR_SECS)?;
        machine.set_clock("-2d")?;
        wait_for_state(machine, "inactive", CALENDAR_SECS)?;

        // The net catches it, and the calendar goes on, sooner than the net would.
        wait_for_state(machine, "activating", NET_SECS)?;
        wait_for_state(machine, "inactive", CALENDAR_SECS)?;
        wait_for_state(machine, "activating", CALENDAR_SECS)
    })
}
