//! A machine to boot: a container of the private engine, made from the root of `scripts/boot-root`,
//! with systemd as its first process.
//!
//! The engine's socket is at `/run/docker.sock` in there, so that the machine and the test see the
//! same containers. Services run in a time namespace in which uptime begins anew with each boot, as
//! it does on a host; wall time is the real one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::engine::{Host, Ran, WORKLOAD};

/// The image of the root, shared by the machines of a test run.
const ROOT_IMAGE: &str = "tagkeeper-booted-root";
/// Where the machine finds tagkeeper's package.
pub(crate) const PACKAGE: &str = "/tagkeeper.deb";
/// More than a boot, a shutdown or any command in the machine takes, however busy the host is.
const PATIENCE_SECS: u32 = 120;
/// What systemd needs to be PID 1 in a container (design section 9), an option a line.
const AS_PID_1: &str = include_str!("../support/as-pid-1");
/// Uptime starts at what the file says, for PID 1 (or, before Linux 6.3, for all that it starts).
const POWER_ON: &str = r#"offset=$(cat /power/offset)
exec unshare --time --monotonic "$offset" --boottime "$offset" /sbin/init"#;

/// The same, with the wall clock of PID 1, and of nothing else, ahead by what a file says:
/// libfaketime is its own there.
const POWER_ON_WITH_A_CLOCK: &str = r#"offset=$(cat /power/offset)
export LD_PRELOAD=/libfaketime.so FAKETIME_TIMESTAMP_FILE=/power/clock FAKETIME_NO_CACHE=1
export FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1 FAKETIME_DISABLE_SHM=1
exec unshare --time --monotonic "$offset" --boottime "$offset" /sbin/init"#;

/// The machine, and the host whose engine it shares.
pub(crate) struct Machine {
    pub(crate) host: Host,
    name: String,
}

impl Machine {
    /// Boots a machine, installs tagkeeper as a person would, and tells the story. The timer is
    /// stopped, and the story's to start.
    pub(crate) fn tell(name: &str, story: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        Self::tell_bare(name, |machine| {
            machine.install()?;
            machine.run("systemctl stop tagkeeper.timer tagkeeper.service")?;
            story(machine)
        })
    }

    /// Boots a machine without tagkeeper, and tells the story. One that fails comes with the end of
    /// the journal.
    pub(crate) fn tell_bare(name: &str, story: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let machine = Self::create(name, &as_pid_1(), POWER_ON)?;
        // It has been up for a while when the story begins.
        machine.power_on(1000)?;
        story(&machine).with_context(|| machine.journal_end())
    }

    /// As [`Self::tell`], on a machine whose PID 1 has a wall clock that [`Self::set_clock`] sets.
    pub(crate) fn tell_with_a_clock(
        name: &str,
        story: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        let library = format!("--volume={}:/libfaketime.so:ro", faketime()?.display());
        let options = [as_pid_1().as_slice(), &[&library]].concat();
        let machine = Self::create(name, &options, POWER_ON_WITH_A_CLOCK)?;
        machine.set_clock("+0")?;
        machine.power_on(1000)?;
        machine.install()?;
        machine.run("systemctl stop tagkeeper.timer tagkeeper.service")?;
        story(&machine).with_context(|| machine.journal_end())
    }

    /// Sets the wall clock of PID 1 to so much from the real one: `-2d`.
    pub(crate) fn set_clock(&self, offset: &str) -> Result<()> {
        let (new, clock) = (self.power_dir().join("new"), self.power_dir().join("clock"));
        fs::write(&new, offset)?;
        Ok(fs::rename(new, clock)?)
    }

    /// The same root, with nothing running in it: an image that is being built.
    pub(crate) fn tell_without_systemd(
        name: &str,
        story: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        let machine = Self::create(name, &["--network=none"], "exec sleep 2147483647")?;
        machine.host.docker(&["start", &machine.name])?;
        story(&machine)
    }

    fn journal_end(&self) -> String {
        let journal = self.run("journalctl --no-pager --lines 60");
        journal.unwrap_or_else(|e| format!("no journal: {e:#}"))
    }

    /// A machine that is off. Turned on, it runs this script as its first process.
    fn create(name: &str, options: &[&str], script: &str) -> Result<Self> {
        let host = Host::new(name)?;
        root_image(&host)?;
        let machine = Self {
            name: format!("booted-{}", host.container()),
            host,
        };
        fs::create_dir(machine.power_dir())?;
        let source = env!("CARGO_MANIFEST_DIR");
        let client = machine_client()?;
        let mounts = [
            format!("{source}:/source:ro"),
            format!("{}:/build/tagkeeper:ro", env!("CARGO_BIN_EXE_tagkeeper")),
            format!(
                "{}:/build/tagkeeper-ready:ro",
                env!("CARGO_BIN_EXE_tagkeeper-ready")
            ),
            format!("{}:{PACKAGE}:ro", package()?.display()),
            format!("{}:/usr/bin/docker:ro", client.display()),
            format!("{}:/run/docker.sock", machine.host.socket().display()),
            format!("{}:/power:ro", machine.power_dir().display()),
        ];
        let mut args = vec!["create", "--name", &machine.name];
        args.extend(options);
        args.extend(mounts.iter().flat_map(|mount| ["--volume", mount]));
        args.extend([ROOT_IMAGE, "/bin/sh", "-c", script]);
        machine.host.docker(&args)?;
        Ok(machine)
    }

    fn power_dir(&self) -> PathBuf {
        self.host.path("power")
    }

    /// Boots; returns once the boot is over. Uptime begins with so many seconds.
    pub(crate) fn power_on(&self, uptime_secs: i64) -> Result<()> {
        let offset = uptime_secs - monotonic_secs();
        fs::write(self.power_dir().join("offset"), offset.to_string())?;
        self.host.docker(&["start", &self.name])?;
        wait_for("the end of the boot", PATIENCE_SECS, || {
            let ran = self.try_run("systemctl is-system-running")?;
            match ran.stdout.trim() {
                "running" => Ok(Some(())),
                "degraded" => bail!("the boot failed: {}", self.run("systemctl --failed")?),
                _ => Ok(None),
            }
        })
    }

    /// Goes down for a reboot, as the machine does by itself; returns once it is off.
    pub(crate) fn go_down_for_reboot(&self) -> Result<()> {
        self.try_run("systemctl reboot")?;
        wait_for("the machine to go down", PATIENCE_SECS, || {
            Ok((self.host.state(&self.name)?.as_deref() == Some("exited")).then_some(()))
        })
    }

    /// What an operator types to install tagkeeper.
    pub(crate) fn install(&self) -> Result<()> {
        self.run(&format!("dpkg --install {PACKAGE}"))?;
        self.give_socket_to_docker()
    }

    /// As [`Self::install`], but from source, and without starting the timer.
    pub(crate) fn install_from_source(&self) -> Result<()> {
        self.run("make -C /source install binary=/build/tagkeeper")?;
        self.run("systemd-sysusers && systemctl daemon-reload")?;
        self.give_socket_to_docker()
    }

    fn give_socket_to_docker(&self) -> Result<()> {
        // What the engine's own unit does on a host that has one. The file is the private engine's,
        // seen from here.
        self.run("chgrp docker /run/docker.sock")?;
        Ok(())
    }

    /// Writes the drop-in of the workload: this soak, and these keys more.
    pub(crate) fn set_policy(&self, soak: &str, more_keys: &str) -> Result<()> {
        let text = format!(
            "[workload.{WORKLOAD}]\nrepository = \"{}\"\nremotes = [\"{}\"]\ncontainer = \"{}\"\n\
             soak = \"{soak}\"\n{more_keys}\n",
            self.host.name("local"),
            self.host.name("remote"),
            self.host.container(),
        );
        self.write("/etc/tagkeeper/policy.d/telemetry.toml", &text)
    }

    /// Writes a file, as root.
    pub(crate) fn write(&self, path: &str, text: &str) -> Result<()> {
        let script = r#"mkdir -p "$(dirname "$1")" && printf '%s' "$2" >"$1""#;
        let args = ["exec", &self.name, "sh", "-c", script, "sh", path, text];
        self.host.docker(&args).map(drop)
    }

    /// Runs a command line as root, which must succeed: what it printed.
    pub(crate) fn run(&self, line: &str) -> Result<String> {
        let ran = self.try_run(line)?;
        ensure!(ran.code == Some(0), "{line}: {ran:#?}");
        Ok(ran.stdout.trim_end().to_owned())
    }

    /// Runs a command line as root, whatever comes of it.
    pub(crate) fn try_run(&self, line: &str) -> Result<Ran> {
        let output = Command::new("timeout")
            .args([&PATIENCE_SECS.to_string(), "docker", "-H"])
            .arg(format!("unix://{}", self.host.socket().display()))
            .args(["exec", &self.name, "sh", "-c", line])
            .output()?;
        Ran::new(output)
    }

    /// Whether a pass that a person starts is a success.
    pub(crate) fn pass_succeeds(&self) -> Result<bool> {
        Ok(self.try_run("systemctl start tagkeeper.service")?.code == Some(0))
    }

    /// What `systemctl status` says of the service.
    pub(crate) fn status(&self) -> Result<String> {
        // Exit code 3: not running, as becomes a oneshot.
        let ran = self.try_run("systemctl status --no-pager --full tagkeeper.service")?;
        Ok(ran.stdout)
    }

    /// What `tagkeeper status` says of the workload, run as a service for the sake of the machine's
    /// uptime.
    pub(crate) fn workload(&self) -> Result<Value> {
        let report = self.run(
            "systemd-run --quiet --wait --pipe --property User=tagkeeper tagkeeper --format json status",
        )?;
        let mut report: Value = serde_json::from_str(&report).with_context(|| report.clone())?;
        let workload = report.pointer_mut(&format!("/workloads/{WORKLOAD}"));
        workload
            .map(Value::take)
            .with_context(|| "the workload is not in the report")
    }

    /// The entries of the journal that match, oldest first.
    pub(crate) fn journal(&self, matches: &str) -> Result<Vec<Value>> {
        let entries = self.run(&format!("journalctl --quiet --output json {matches}"))?;
        let entries = entries.lines().map(serde_json::from_str);
        Ok(entries.collect::<Result<_, _>>()?)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.journal_end());
        }
        // With the test over, nobody is left to tell that it failed; the engine's end takes it
        // along too.
        let _ = self.host.remove(&self.name);
    }
}

/// Asks again and again until there is an answer.
pub(crate) fn wait_for<T>(
    what: &str,
    patience_secs: u32,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    for _ in 0..patience_secs * 2 {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        sleep(Duration::from_millis(500));
    }
    bail!("waited {patience_secs} s in vain for {what}")
}

/// Brings the root into the engine, once.
fn as_pid_1() -> Vec<&'static str> {
    AS_PID_1.lines().collect()
}

fn root_image(host: &Host) -> Result<()> {
    static IMPORTED: OnceLock<Result<(), String>> = OnceLock::new();
    let imported = IMPORTED.get_or_init(|| import_root(host).map_err(|e| format!("{e:#}")));
    imported.clone().map_err(anyhow::Error::msg)
}

fn import_root(host: &Host) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/boot-root");
    let built = Command::new(script).output()?;
    ensure!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let tar = String::from_utf8(built.stdout)?;
    host.docker(&["import", tar.trim_end(), ROOT_IMAGE])
        .map(drop)
}

/// The Debian package, made once.
fn package() -> Result<&'static Path> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = MADE.get_or_init(|| make_package().map_err(|e| format!("{e:#}")));
    made.as_deref().map_err(|e| anyhow::Error::msg(e.clone()))
}

fn make_package() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/test-package");
    let made = Command::new(script).arg("deb").output()?;
    ensure!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let path = String::from_utf8(made.stdout)?;
    Ok(Path::new(path.trim_end()).canonicalize()?)
}

/// The client that this machine has, for the local service in the other.
fn machine_client() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").context("PATH is not set")?;
    let found = std::env::split_paths(&path).find_map(|dir| dir.join("docker").canonicalize().ok());
    found.context("'docker' is missing: run `make test`")
}

/// The library that makes a process see another clock.
fn faketime() -> Result<PathBuf> {
    let listed = Command::new("dpkg")
        .args(["--listfiles", "libfaketime"])
        .output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let library = listed
        .lines()
        .find(|path| path.ends_with("/libfaketimeMT.so.1"));
    let library = library.context("'libfaketime' is missing: run `make test`")?;
    Ok(Path::new(library).canonicalize()?)
}

/// The real machine's monotonic time, which the offset of a time namespace starts from.
#[expect(
    clippy::disallowed_methods,
    reason = "the rig sets the machine's clock and must know the real one"
)]
fn monotonic_secs() -> i64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec
}
