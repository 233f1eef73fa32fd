//! A host to tell stories on: a policy, a state directory, an uptime of one's own choice, and the
//! private engine and registry that `scripts/with-engine` started.
//!
//! Every [`Host`] has repositories and containers of its own, so that tests run side by side on one
//! engine. Images are named `local:TAG` and `remote:TAG` here, for the workload's repository and
//! its one remote; any other name is itself. No time is spent waiting: a pass runs in a time
//! namespace in which the host has been up for as long as the story says.

mod images;
mod program;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

pub(crate) use program::Ran;

pub(crate) const MINUTE: u64 = 60;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const DAY: u64 = 24 * HOUR;
/// The default soak and a little: offsets of a time namespace are whole seconds, so uptimes are
/// right to a second.
pub(crate) const SOAKED: u64 = 10 * MINUTE + 2;

/// The workload of every story.
pub(crate) const WORKLOAD: &str = "telemetry";

/// How often the list of containers is looked at until it says what is so, fifty times a second.
const LOOKS: u32 = 500;

static HOSTS: AtomicU32 = AtomicU32::new(0);

/// One host of a story.
pub(crate) struct Host {
    /// In the names of all that belongs to this host.
    unique: String,
    socket: PathBuf,
    registry: String,
    /// What the names of images made on this host begin with.
    home: &'static str,
    dir: TempDir,
}

impl Host {
    /// A new host with the default policy, and nothing on its disk.
    pub(crate) fn new(story: &str) -> Result<Self> {
        let from_rig = |name| {
            std::env::var(name).with_context(|| format!("{name} is not set: run `make test`"))
        };
        let host = Self {
            unique: format!(
                "{story}-{}-{}",
                std::process::id(),
                HOSTS.fetch_add(1, Ordering::Relaxed)
            ),
            socket: from_rig("TAGKEEPER_TEST_SOCKET")?.into(),
            registry: from_rig("TAGKEEPER_TEST_REGISTRY")?,
            home: match std::env::var("TAGKEEPER_ENGINE").as_deref() {
                Ok("podman") => "localhost/",
                _ => "",
            },
            dir: tempfile::tempdir()?,
        };
        fs::create_dir(host.state_dir())?;
        host.set_policy("")?;
        Ok(host)
    }

    /// Writes the policy: the workload, and these keys more for it.
    pub(crate) fn set_policy(&self, more_keys: &str) -> Result<()> {
        let (local, remote, container) =
            (self.name("local"), self.name("remote"), self.container());
        let text = format!(
            "[workload.{WORKLOAD}]\nrepository = \"{local}\"\nremotes = [\"{remote}\"]\n\
             container = \"{container}\"\n{more_keys}\n"
        );
        Ok(fs::write(self.policy_file(), text)?)
    }

    pub(crate) fn policy_file(&self) -> PathBuf {
        self.dir.path().join("policy.toml")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// A path of this host for whatever a story needs.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The registry as the engine reaches it.
    pub(crate) fn registry(&self) -> &str {
        &self.registry
    }

    /// The name of the local container.
    pub(crate) fn container(&self) -> String {
        format!("telemetry-{}", self.unique)
    }

    /// The name of the orchestrator's container of this version.
    pub(crate) fn pod(&self, tag: &str) -> String {
        format!("k8s_telemetry-{}_{tag}", self.unique)
    }

    /// The engine's name of an image that stories call `local:TAG` or `remote:TAG`.
    pub(crate) fn name(&self, name: &str) -> String {
        let (repository, rest) = name
            .find([':', '@'])
            .map_or((name, ""), |end| name.split_at(end));
        match repository {
            "local" => format!("{}docker-sonic-telemetry-{}{rest}", self.home, self.unique),
            "remote" => format!(
                "{}/{}/docker-sonic-telemetry{rest}",
                self.registry, self.unique
            ),
            _ => name.to_owned(),
        }
    }

    /// Starts a container from an image, idling.
    pub(crate) fn run(&self, container: &str, image: &str) -> Result<()> {
        self.run_with(container, image, &[], &[])
    }

    /// Starts a container with more options for the engine and a command of its own.
    pub(crate) fn run_with(
        &self,
        container: &str,
        image: &str,
        options: &[&str],
        command: &[&str],
    ) -> Result<()> {
        let image = self.name(image);
        let mut args = vec!["run", "--detach", "--network", "none", "--name", container];
        args.extend(options);
        args.push(&image);
        args.extend(command);
        self.docker(&args).map(drop)
    }

    /// Stops a container. Docker's list is written after whoever waits for the stop has been told:
    /// until it says so, nothing has stopped for whoever reads it.
    pub(crate) fn stop(&self, container: &str) -> Result<()> {
        self.docker(&["stop", "-t", "0", container])?;
        for _ in 0..LOOKS {
            if self.state(container)?.as_deref() != Some("running") {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("{container} is still listed as running")
    }

    pub(crate) fn restart(&self, container: &str) -> Result<()> {
        self.docker(&["restart", "-t", "0", container]).map(drop)
    }

    /// Removes a container as the orchestrator does, running or not.
    pub(crate) fn remove(&self, container: &str) -> Result<()> {
        self.docker(&["rm", "--force", container]).map(drop)
    }

    /// The state of a container in the engine's word; none if there is no such container.
    pub(crate) fn state(&self, container: &str) -> Result<Option<String>> {
        let list = self.docker(&["ps", "--all", "--format", "{{.Names}} {{.State}}"])?;
        Ok(list.lines().find_map(|line| {
            let (name, state) = line.split_once(' ')?;
            (name == container).then(|| state.to_owned())
        }))
    }

    /// The id of the image that a container was made from.
    pub(crate) fn image_of(&self, container: &str) -> Result<String> {
        self.docker(&[
            "inspect",
            "--type",
            "container",
            "--format",
            "{{.Image}}",
            container,
        ])
    }

    /// Runs the engine's client: what it printed.
    pub(crate) fn docker(&self, args: &[&str]) -> Result<String> {
        let output = Command::new("docker")
            .arg("-H")
            .arg(self.docker_host())
            .args(args)
            .stdin(Stdio::null())
            .output()?;
        said(&format!("docker {}", args.join(" ")), &output)
    }

    fn docker_host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

/// What a program printed, when it succeeded.
fn said(what: &str, output: &Output) -> Result<String> {
    ensure!(
        output.status.success(),
        "{what}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout.clone())?
        .trim_end()
        .to_owned())
}

/// Runs a command with this on its standard input: what it printed.
pub(crate) fn fed(what: &str, command: &mut Command, input: &[u8]) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stdin = child.stdin.take();
    stdin.context("no stdin")?.write_all(input)?;
    said(what, &child.wait_with_output()?)
}
