//! The Debian package's life on a host: installed, it runs by itself; removed, it comes back as it was; purged, it leaves
//! nothing behind. And beside it `make install`.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use crate::machine::{Machine, PACKAGE, wait_for};

/// Every file, but for what the kernel makes, what dpkg itself notes down, and the journal.
const FILES: &str = "find / -xdev -not -path '/proc/*' -not -path '/sys/*' -not -path '/run/*' -not -path '/tmp/*' \
     -not -path '/var/tmp/*' -not -path '/var/lib/dpkg/*' -not -path '/var/log/*' -not -path '/var/cache/*' \
     -not -path '/var/lib/systemd/*' -not -name '*-'";
/// Longer than the way to the next firing of the timer.
const NEXT_FIRING_SECS: u32 = 120;

fn files(machine: &Machine) -> Result<BTreeSet<String>> {
    let list = machine.run(FILES)?;
    Ok(list.lines().map(str::to_owned).collect())
}

#[test]
fn installed_it_runs_removed_it_remembers_purged_it_leaves_nothing() -> Result<()> {
    Machine::tell_bare("package", |machine| {
        let before = files(machine)?;
        let image = machine.host.import("local:v1", "shipped v1")?;
        machine.install()?;

        // The preset has enabled the timer, which runs; and nobody had to wait for a pass.
        for (line, answer) in [
            ("systemctl is-enabled tagkeeper.timer", "enabled"),
            ("systemctl is-active tagkeeper.timer", "active"),
            ("systemctl is-enabled tagkeeper.service || true", "static"),
        ] {
            assert_eq!(machine.run(line)?, answer, "{line}");
        }
        machine.set_policy("10m", "")?;
        wait_for("the first pass", NEXT_FIRING_SECS, || {
            let state = machine.try_run("test -e /var/lib/tagkeeper/state.json")?;
            Ok((state.code == Some(0)).then_some(()))
        })?;
        machine.run("mkdir -p /etc/systemd/system/tagkeeper.service.d")?;
        machine.run(
            "ln -s /usr/lib/tagkeeper/dropins/sonic.conf /etc/systemd/system/tagkeeper.service.d/",
        )?;
        machine.run("systemctl daemon-reload")?;

        // An upgrade: the timer goes on, and what the operator wrote stays.
        machine.run("echo '# mine' >>/etc/tagkeeper/policy.toml")?;
        machine.run(&format!("dpkg --install --force-confold {PACKAGE}"))?;
        assert_eq!(
            machine.run("systemctl is-active tagkeeper.timer")?,
            "active"
        );
        assert_eq!(
            machine.run("tail -n 1 /etc/tagkeeper/policy.toml")?,
            "# mine"
        );

        // A pass that failed is no reason for a system to stay degraded.
        machine.set_policy("no time at all", "")?;
        assert!(!machine.pass_succeeds()?, "a broken policy passed");

        // Disabled by the operator, removed and installed again: it stays disabled, and state and policy are there.
        machine.run("systemctl disable --now tagkeeper.timer")?;
        machine.run("dpkg --remove tagkeeper")?;
        assert!(files(machine)?.contains("/var/lib/tagkeeper/state.json"));
        machine.run(&format!("dpkg --install {PACKAGE}"))?;
        let enabled = machine.try_run("systemctl is-enabled tagkeeper.timer")?;
        assert_eq!(enabled.stdout, "disabled\n");
        assert_eq!(
            machine.run("tail -n 1 /etc/tagkeeper/policy.toml")?,
            "# mine"
        );

        machine.run("systemctl enable --now tagkeeper.timer")?;
        machine.run("dpkg --purge tagkeeper")?;
        let left: Vec<String> = files(machine)?.difference(&before).cloned().collect();
        assert_eq!(left, Vec::<String>::new());
        let units =
            "systemctl list-units --all --plain --no-legend tagkeeper.timer tagkeeper.service";
        assert_eq!(machine.run(units)?, "");
        assert_eq!(machine.run("systemctl is-system-running")?, "running");
        // The user stays, so that nobody else gets its number; without a way in, and without the engine.
        let groups = machine.run("id --name --groups tagkeeper")?;
        assert_eq!(groups, "tagkeeper");
        let account = machine.run("getent shadow tagkeeper")?;
        ensure!(account.starts_with("tagkeeper:!"), "not locked: {account}");
        assert!(machine.host.holds(&image)?, "images are not the package's");
        Ok(())
    })
}

#[test]
fn an_operators_preset_keeps_the_timer_off() -> Result<()> {
    Machine::tell_bare("preset", |machine| {
        machine.write(
            "/etc/systemd/system-preset/10-site.preset",
            "disable tagkeeper.timer\n",
        )?;
        machine.install()?;
        for (question, answer) in [("is-enabled", "disabled\n"), ("is-active", "inactive\n")] {
            let said = machine.try_run(&format!("systemctl {question} tagkeeper.timer"))?;
            assert_eq!(said.stdout, answer, "{question}");
        }
        Ok(())
    })
}

#[test]
fn it_installs_where_no_systemd_runs() -> Result<()> {
    Machine::tell_without_systemd("image-build", |machine| {
        let before = files(machine)?;
        machine.run(&format!("dpkg --install {PACKAGE}"))?;
        assert_eq!(
            machine.run("id --name --groups tagkeeper")?,
            "tagkeeper docker"
        );
        let wanted = "/etc/systemd/system/timers.target.wants/tagkeeper.timer";
        let target = machine.run(&format!("readlink {wanted}"))?;
        assert!(
            target.ends_with("/systemd/system/tagkeeper.timer"),
            "{target}"
        );
        machine.run("dpkg --purge tagkeeper")?;
        let left: Vec<String> = files(machine)?.difference(&before).cloned().collect();
        assert_eq!(left, Vec::<String>::new());
        Ok(())
    })
}

#[test]
fn make_install_makes_the_same_of_a_host_when_the_timer_is_enabled() -> Result<()> {
    Machine::tell_bare("source", |machine| {
        let before = files(machine)?;
        machine.install_from_source()?;
        machine.set_policy("10m", "")?;
        assert!(machine.pass_succeeds()?);
        machine.run("systemctl enable --now tagkeeper.timer")?;
        machine.run("systemctl disable --now tagkeeper.timer")?;
        machine.run("make -C /source uninstall")?;
        // But for directories that Debian has no other use for yet.
        let left: Vec<String> = files(machine)?
            .difference(&before)
            .filter(|file| file.contains("tagkeeper"))
            .cloned()
            .collect();
        let stays = |file: &str| {
            file.starts_with("/etc/tagkeeper") || file.starts_with("/var/lib/tagkeeper")
        };
        assert!(left.iter().all(|file| stays(file)), "{left:#?}");
        assert!(left.contains(&"/var/lib/tagkeeper/state.json".to_owned()));
        Ok(())
    })
}
