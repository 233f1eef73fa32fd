//! The units as the package leaves them: clean, locked down, and plain about what is wrong.

use anyhow::{Context, Result, ensure};

use crate::machine::Machine;

const UNITS: &str =
    "/usr/lib/systemd/system/tagkeeper.service /usr/lib/systemd/system/tagkeeper.timer";

#[test]
fn the_units_are_clean_and_locked_down() -> Result<()> {
    Machine::tell("units", |machine| {
        // The root has no `man` to look the pages up with.
        let verified = machine.try_run(&format!("systemd-analyze verify --man=no {UNITS}"))?;
        assert_eq!(verified.code, Some(0), "{verified:#?}");
        assert_eq!(
            (verified.stdout.as_str(), verified.stderr.as_str()),
            ("", "")
        );

        let report = machine.run("systemd-analyze security --no-pager tagkeeper.service")?;
        let shipped = exposure(&report)?;
        assert!(shipped <= 2.5, "exposure {shipped}\n{report}");

        // The whole sandbox is a link away, and a pass runs in it.
        let dropins = "/etc/systemd/system/tagkeeper.service.d";
        machine.run(&format!(
            "mkdir -p {dropins} && ln -s /usr/lib/tagkeeper/dropins/strict.conf {dropins}/ && systemctl daemon-reload"
        ))?;
        let report = machine.run("systemd-analyze security --no-pager tagkeeper.service")?;
        let strict = exposure(&report)?;
        assert!(strict <= 1.0, "exposure {strict}\n{report}");
        machine.set_policy("10m", "")?;
        ensure!(machine.pass_succeeds()?, "{}", machine.status()?);
        Ok(())
    })
}

/// The number in "Overall exposure level for tagkeeper.service: 0.4 SAFE".
fn exposure(report: &str) -> Result<f64> {
    let (_, rest) = report
        .split_once("Overall exposure level for tagkeeper.service: ")
        .context("no overall exposure")?;
    let number = rest.split(' ').next().unwrap_or_default();
    number.parse().with_context(|| rest.to_owned())
}

#[test]
fn a_broken_policy_fails_the_unit_visibly() -> Result<()> {
    Machine::tell("broken", |machine| {
        let image = machine.host.import("local:v1", "shipped v1")?;
        machine.set_policy("10m", "soack = \"60s\"")?;
        assert!(!machine.pass_succeeds()?, "a broken policy passed");
        assert_eq!(
            machine
                .try_run("systemctl is-failed tagkeeper.service")?
                .stdout,
            "failed\n"
        );
        let status = machine.status()?;
        for telling in [
            "Active: failed (Result: exit-code)",
            "code=exited, status=78/CONFIG",
            "Status: \"failed: ",
            "unknown key 'soack' in [workload.telemetry]",
        ] {
            assert!(status.contains(telling), "'{telling}' is not in\n{status}");
        }
        let errors = machine.journal("-t tagkeeper -p err")?;
        let said = errors[0]["MESSAGE"].as_str().context("no message")?;
        let place = "/etc/tagkeeper/policy.d/telemetry.toml:6:1";
        assert!(said.contains(place), "'{place}' is not in\n{said}");
        assert_eq!(errors.len(), 1, "{errors:#?}");
        assert!(
            !machine.run("ls /var/lib/tagkeeper")?.contains("state.json"),
            "nothing was to be done"
        );
        assert!(machine.host.holds(&image)?);

        // Mended, the next pass clears the failure.
        machine.set_policy("10m", "")?;
        assert!(machine.pass_succeeds()?);
        assert_eq!(
            machine
                .try_run("systemctl is-failed tagkeeper.service")?
                .stdout,
            "inactive\n"
        );
        Ok(())
    })
}

#[test]
fn the_service_reaches_the_engine_as_user_tagkeeper_by_group_docker_alone() -> Result<()> {
    Machine::tell("group", |machine| {
        machine.set_policy("10m", "")?;
        assert_eq!(
            machine.run("stat --format '%A %U %G' /run/docker.sock")?,
            "srw-rw---- root docker"
        );
        assert!(machine.pass_succeeds()?);
        assert_eq!(
            machine
                .run("stat --format '%U %G' /var/lib/tagkeeper /var/lib/tagkeeper/state.json")?,
            "tagkeeper tagkeeper\ntagkeeper tagkeeper",
            "the state is written by the user"
        );

        machine.run("gpasswd --delete tagkeeper docker")?;
        assert!(!machine.pass_succeeds()?, "reached without the group");
        let refused = machine.journal("-t tagkeeper -p err")?;
        let entry = refused.first().context("nothing was said")?;
        let said = entry["MESSAGE"].as_str().context("no message")?;
        assert!(
            said.contains("no permission for '/run/docker.sock'"),
            "{said}"
        );
        assert_eq!(
            entry["_UID"].as_str(),
            Some(machine.run("id -u tagkeeper")?.as_str())
        );
        assert!(machine.status()?.contains("status=69/UNAVAILABLE"));

        // The mend is the line for the group in tagkeeper's sysusers file.
        machine.run("systemd-sysusers")?;
        assert!(machine.pass_succeeds()?);
        Ok(())
    })
}
