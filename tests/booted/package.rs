//! The Debian package's life on a host: installed, it runs by itself; removed, it comes back as it
//! was; purged, it leaves nothing behind. And beside it `make install`.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use crate::ends::start_a_long_pass;
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

/// One step of the package's life, and how it leaves the host.
struct Step {
    what: &'static str,
    /// What is typed. The package is `$new`, and an earlier one with another reference policy
    /// `$old`.
    line: &'static str,
    /// What [`HOST`] then says: the timer is enabled, it runs, the operator's last line in the
    /// policy, the state is there.
    host: &'static str,
}

const fn step(what: &'static str, line: &'static str, host: &'static str) -> Step {
    Step { what, line, host }
}

const HOST: &str = "echo $(systemctl is-enabled tagkeeper.timer 2>&1) $(systemctl is-active tagkeeper.timer) \
     $(tail -n 1 /etc/tagkeeper/policy.toml) $(test ! -e /var/lib/tagkeeper/state.json || echo state)";
/// Without systemd.
const IMAGE: &str = "echo $(readlink /etc/systemd/system/timers.target.wants/tagkeeper.timer) \
     $(tail -n 1 /etc/tagkeeper/policy.toml)";
/// An earlier version of the package: another number, and another reference policy.
const MAKE_OLD: &str = "dpkg-deb --raw-extract $new /tmp/old && echo '# old' >>/tmp/old/usr/share/tagkeeper/policy.toml \
     && sed -i 's/^Version: .*/Version: 0.0.9-1/' /tmp/old/DEBIAN/control && dpkg-deb --build /tmp/old $old";

/// A line with the names of the packages, and without anybody to answer a question.
fn typed(machine: &Machine, line: &str) -> Result<String> {
    machine.run(&format!("new={PACKAGE} old=/tmp/old.deb; {line}"))
}

fn live(machine: &Machine, question: &str, steps: &[Step]) -> Result<()> {
    typed(machine, MAKE_OLD)?;
    for Step { what, line, host } in steps {
        typed(machine, line).with_context(|| (*what).to_owned())?;
        assert_eq!(machine.run(question)?, *host, "{what}");
    }
    Ok(())
}

#[rustfmt::skip]
const LIFE: &[Step] = &[
    step("installed again over itself", "dpkg -i $new", "enabled active # mine state"),
    step("downgraded with an edited policy", "dpkg -i $old", "enabled active # mine state"),
    step("upgraded with an edited policy", "dpkg -i $new", "enabled active # mine state"),
    step("upgraded without the policy",
        "mv /etc/tagkeeper/policy.toml /tmp && dpkg -i $old $new && test ! -e /etc/tagkeeper/policy.toml && \
         mv /tmp/policy.toml /etc/tagkeeper", "enabled active # mine state"),
    step("stopped by hand and upgraded", "systemctl stop tagkeeper.timer && dpkg -i $old && dpkg -i $new",
        "enabled inactive # mine state"),
    step("removed", "dpkg -r tagkeeper && test ! -e /run/tagkeeper", "masked inactive # mine state"),
    step("installed again", "dpkg -i $new", "enabled active # mine state"),
    step("removed and an older one installed", "dpkg -r tagkeeper && dpkg -i $old", "enabled active # mine state"),
    step("disabled and upgraded", "systemctl disable --now tagkeeper.timer && dpkg -i $new",
        "disabled inactive # mine state"),
    step("disabled, removed and installed again", "dpkg -r tagkeeper && dpkg -i $new", "disabled inactive # mine state"),
    step("enabled", "systemctl enable --now tagkeeper.timer", "enabled active # mine state"),
    step("the drop-ins' directory lost", "rm -r /etc/tagkeeper/policy.d && dpkg -i $new && test -d /etc/tagkeeper/policy.d",
        "enabled active # mine state"),
];

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
            ("stat -c '%U %a' /etc/tagkeeper/policy.d", "root 755"),
            ("cat /run/tagkeeper/tagkeeper.prom", ""),
        ] {
            assert_eq!(machine.run(line)?, answer, "{line}");
        }
        machine.set_policy("10m", "")?;
        wait_for("the first pass", NEXT_FIRING_SECS, || {
            let state = machine.try_run("test -e /var/lib/tagkeeper/state.json")?;
            Ok((state.code == Some(0)).then_some(()))
        })?;
        machine.run("echo '# mine' >>/etc/tagkeeper/policy.toml")?;
        live(machine, HOST, LIFE)?;

        // A state that root restored is the service's again.
        machine.run("systemctl stop tagkeeper.timer")?;
        machine.run("chown root:root /var/lib/tagkeeper/* && chmod 600 /var/lib/tagkeeper/*")?;
        assert!(!machine.pass_succeeds()?, "it could read the state");
        machine.run(&format!("dpkg --install {PACKAGE}"))?;
        ensure!(machine.pass_succeeds()?, "{}", machine.status()?);
        let mode = machine.run("stat -c '%U %a' /var/lib/tagkeeper/state.json")?;
        assert_eq!(mode, "tagkeeper 644");

        // A pass that failed is no reason for a system to stay degraded.
        machine.set_policy("no time at all", "")?;
        assert!(!machine.pass_succeeds()?, "a broken policy passed");
        machine.run("mkdir -p /etc/systemd/system/tagkeeper.service.d")?;
        machine.run(
            "ln -s /usr/lib/tagkeeper/dropins/sonic.conf /etc/systemd/system/tagkeeper.service.d/",
        )?;
        machine.run("systemctl daemon-reload")?;
        machine.run("dpkg --purge tagkeeper")?;
        let left: Vec<String> = files(machine)?.difference(&before).cloned().collect();
        assert_eq!(left, Vec::<String>::new());
        let units =
            "systemctl list-units --all --plain --no-legend tagkeeper.timer tagkeeper.service";
        assert_eq!(machine.run(units)?, "");
        assert_eq!(machine.run("systemctl is-system-running")?, "running");
        // The user stays, so that nobody else gets its number; without a way in, and without the
        // engine.
        let groups = machine.run("id --name --groups tagkeeper")?;
        assert_eq!(groups, "tagkeeper");
        let account = machine.run("getent shadow tagkeeper")?;
        ensure!(account.starts_with("tagkeeper:!"), "not locked: {account}");
        assert!(machine.host.holds(&image)?, "images are not the package's");
        Ok(())
    })
}

#[test]
fn an_upgrade_does_not_end_the_pass_that_runs() -> Result<()> {
    Machine::tell("upgrade", |machine| {
        start_a_long_pass(machine)?;
        let pass = "systemctl show --value --property MainPID,ActiveState tagkeeper.service";
        let running = machine.run(pass)?;
        ensure!(running.contains("activating"), "{running}");
        machine.run(&format!("dpkg --install {PACKAGE}"))?;
        assert_eq!(machine.run(pass)?, running);
        Ok(())
    })
}

/// A mount cannot be removed, and is no reason to leave a package half removed.
#[test]
fn a_state_on_a_mount_of_its_own_is_found_by_all_and_emptied_by_a_purge() -> Result<()> {
    Machine::tell("mount", |machine| {
        let before = machine.run("ls -a /srv")?;
        machine.run("mkdir -p /var/lib/tagkeeper && mount --bind /srv /var/lib/tagkeeper")?;
        machine.set_policy("10m", "")?;
        ensure!(machine.pass_succeeds()?, "{}", machine.status()?);
        let owner = machine.run("stat -c %U /srv/state.json")?;
        assert_eq!(owner, "tagkeeper");
        let waits_for =
            machine.run("systemctl show --property RequiresMountsFor tagkeeper.service")?;
        ensure!(waits_for.contains("/var/lib/tagkeeper"), "{waits_for}");
        machine.workload()?;
        machine.run("dpkg --purge tagkeeper")?;
        assert_eq!(machine.run("ls -a /srv")?, before);
        let status = machine
            .run("dpkg-query --show --showformat '${db:Status-Abbrev}' tagkeeper || true")?;
        assert!(
            !status.starts_with("pc") && !status.starts_with("pi"),
            "{status}"
        );
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

#[rustfmt::skip]
const IMAGE_LIFE: &[Step] = &[
    step("installed again over itself", "dpkg -i $new", "/lib/systemd/system/tagkeeper.timer # mine"),
    step("downgraded", "dpkg -i $old", "/lib/systemd/system/tagkeeper.timer # mine"),
    step("upgraded", "dpkg -i $new", "/lib/systemd/system/tagkeeper.timer # mine"),
    step("removed", "dpkg -r tagkeeper && test -L /etc/systemd/system/tagkeeper.timer",
        "/lib/systemd/system/tagkeeper.timer # mine"),
    step("installed again", "dpkg -i $new && test ! -L /etc/systemd/system/tagkeeper.timer",
        "/lib/systemd/system/tagkeeper.timer # mine"),
];

#[test]
fn it_installs_where_no_systemd_runs() -> Result<()> {
    Machine::tell_without_systemd("image-build", |machine| {
        let before = files(machine)?;
        machine.run(&format!("dpkg --install {PACKAGE}"))?;
        assert_eq!(
            machine.run("id --name --groups tagkeeper")?,
            "tagkeeper docker"
        );
        machine
            .run("test -d /etc/tagkeeper/policy.d && echo '# mine' >>/etc/tagkeeper/policy.toml")?;
        live(machine, IMAGE, IMAGE_LIFE)?;
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
        machine.run("test -d /etc/tagkeeper/policy.d && make -C /source uninstall")?;
        let units =
            "systemctl list-units --all --plain --no-legend tagkeeper.timer tagkeeper.service";
        assert_eq!(machine.run(units)?, "", "stopped");
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
