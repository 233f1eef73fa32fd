//! What the sandboxed service tells others: the metrics in its own directory, and a hook that runs
//! inside of the sandbox.

use anyhow::{Result, ensure};

use crate::machine::Machine;

const TEXTFILE: &str = "/run/tagkeeper/tagkeeper.prom";
/// Tells who it runs as and what it was told, in the one place that the service may write to beside
/// its metrics.
const HOOK: &str = "#!/bin/sh\n{ id -un; cat; } >/var/lib/tagkeeper/told\n";

#[test]
fn metrics_and_hooks_work_inside_of_the_sandbox() -> Result<()> {
    Machine::tell("telling", |machine| {
        machine.write("/usr/local/bin/hook", HOOK)?;
        machine.run("chmod 755 /usr/local/bin/hook")?;
        machine.write(
            "/etc/tagkeeper/policy.d/telling.toml",
            &format!("[metrics]\ntextfile = \"{TEXTFILE}\"\n[hooks]\npromoted = [\"/usr/local/bin/hook\"]\nspread = \"1s\"\n"),
        )?;
        let image = machine.host.import("local:v1", "shipped v1")?;
        machine.host.tag("local:v1", "local:latest")?;
        machine
            .host
            .run(&machine.host.container(), "local:latest")?;
        machine.set_policy("1s", "")?;
        for _ in 0..2 {
            ensure!(machine.pass_succeeds()?, "{}", machine.status()?);
            machine.run("sleep 2")?;
        }
        let owner = machine.run(&format!("stat -c '%U %a' {TEXTFILE}"))?;
        ensure!(owner == "tagkeeper 644", "{owner}");
        let text = machine.run(&format!("cat {TEXTFILE}"))?;
        let promoted = "tagkeeper_promotions_total{workload=\"telemetry\"} 1\n";
        ensure!(text.contains(promoted), "{text}");
        let told = machine.run("cat /var/lib/tagkeeper/told")?;
        ensure!(
            told.starts_with("tagkeeper\n{") && told.contains(&image),
            "{told}"
        );
        // A confined pass may still take the lock again, and write the state.
        let state = machine.run("cat /var/lib/tagkeeper/state.json")?;
        ensure!(!state.contains("undelivered"), "{state}");
        Ok(())
    })
}
