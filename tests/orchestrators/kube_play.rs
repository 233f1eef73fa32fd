//! `podman kube play`: a pod of one container, from the file that Kubernetes would take.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::beside::beside_an_engine;
use crate::deployed::Deployed;
use crate::engine::{Host, fed};
use crate::orchestrator::{Named, Orchestrator, Version};
use crate::pod::{CRASHES, WORKS};
use crate::stories::{played_by, upgrade_leaves_what_is_held};

/// Runs the podman that the engine is of, as a client of it: the engine's root is its root, and has
/// the engine's directory at /mnt.
const PODMAN: &str = r#"mount --bind "$1" "$2/mnt"; mount --rbind /proc "$2/proc"; root=$2; shift 2
exec chroot "$root" podman --remote --url unix:///mnt/docker.sock "$@""#;

/// A host with one pod.
struct KubePlay {
    on: Deployed,
}

/// The name of the pod of a host.
fn pod(host: &Host) -> String {
    format!("edge-{}", host.container())
}

/// The pod, with this image.
fn manifest(host: &Host, image: &str, command: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {}\nspec:\n  hostNetwork: true\n  restartPolicy: Always\n  \
         terminationGracePeriodSeconds: 1\n  containers:\n  - name: web\n    image: '{image}'\n    \
         imagePullPolicy: Always\n    command: {command}\n",
        pod(host)
    )
}

/// Runs podman, with this on its standard input.
fn podman(host: &Host, args: &[&str], input: &str) -> Result<()> {
    let root: PathBuf = env::var_os("TAGKEEPER_ENGINE_ROOT")
        .context("TAGKEEPER_ENGINE_ROOT is not set: run `make test-orchestrators`")?
        .into();
    let mut client = Command::new("unshare");
    client
        .args(["--mount", "--propagation", "private", "--"])
        .args(["sh", "-ec", PODMAN, "sh"])
        .args([host.socket().parent().context("a socket")?, &root])
        .args(args)
        .env_remove("DOCKER_CONFIG")
        .env_remove("DOCKER_HOST");
    let what = format!("podman {}", args.join(" "));
    fed(&what, &mut client, input.as_bytes()).map(drop)
}

impl Orchestrator for KubePlay {
    const EXAMPLE: &'static str = include_str!("../../config/examples/kube-play.toml");
    const WORKLOAD: &'static str = "meter";
    const NAMED: Named = Named::Tag;

    /// The container is called POD-CONTAINER.
    fn containers(host: &Host) -> String {
        format!("{}-web", pod(host))
    }

    fn on_host(on: Deployed) -> Result<Self> {
        Ok(Self { on })
    }

    fn on(&self) -> &Deployed {
        &self.on
    }

    /// The pod is replaced by one of this version.
    fn deploy(&self, version: &Version<'_>) -> Result<()> {
        let host = &self.on.host;
        let command = version.does.command(WORKS, CRASHES);
        let manifest = manifest(host, &version.image(host), command);
        podman(host, &["kube", "play", "--replace", "-"], &manifest)
    }

    fn remove_service(&self) -> Result<()> {
        let host = &self.on.host;
        podman(host, &["kube", "down", "-"], &manifest(host, "any", WORKS))
    }
}

played_by!(KubePlay, "kube_play");

#[test]
fn upgrade_leaves_what_a_stopped_pod_holds() -> Result<()> {
    let name = "kube_play::upgrade_leaves_what_a_stopped_pod_holds";
    beside_an_engine(name, || {
        let by = KubePlay::new("stopped", &[])?;
        let host = &by.on.host;
        let other =
            manifest(host, &host.name("remote:v1"), WORKS).replace("name: edge-", "name: old-");
        let other_pod = pod(host).replace("edge-", "old-");
        upgrade_leaves_what_is_held(
            &by,
            || {
                podman(host, &["kube", "play", "-"], &other)?;
                podman(host, &["pod", "stop", &other_pod], "")
            },
            |_| podman(host, &["kube", "down", "-"], &other),
        )
    })
}
