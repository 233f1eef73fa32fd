//! Kubernetes with dockershim, as on a SONiC switch: a cluster of this one node, and a `DaemonSet`
//! in the host's network, whose containers the kubelet makes through Docker.

use std::cell::RefCell;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::beside::beside_an_engine;
use crate::deployed::Deployed;
use crate::engine::{Host, fed};
use crate::orchestrator::{Named, Orchestrator, Version};
use crate::pod::{CRASHES, WORKS};
use crate::stories::{played_by, upgrade_leaves_what_is_held};

/// Where scripts/kubernetes-1.20 has put the programs. Beside the engine (scripts/private-engine)
/// they are in /srv.
const KUBERNETES: &str = "TAGKEEPER_KUBERNETES";
const NODE: &str = "switch";
/// What holds the place of a pod.
const PAUSE: &str = "pause:1";

/// The directory of the cluster, in the root of the engine (scripts/private-engine); HERE in what
/// follows.
const DIRECTORY: &str = "/mnt/kubernetes";
/// The programs of the control plane, and how each is started. Who has the token may do everything.
/// There is no controller that makes accounts, and none that lifts the taint of a new node.
const CONTROL_PLANE: [(&str, &[&str]); 4] = [
    ("etcd", &["--data-dir=HERE/etcd"]),
    (
        "kube-apiserver",
        &[
            "--etcd-servers=http://127.0.0.1:2379",
            "--bind-address=127.0.0.1",
            "--advertise-address=192.0.2.1",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=198.51.100.0/24",
            "--cert-dir=HERE/certificates",
            "--token-auth-file=HERE/tokens",
            "--authorization-mode=AlwaysAllow",
            "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
            "--service-account-issuer=https://127.0.0.1:6443",
            "--service-account-key-file=HERE/certificates/apiserver.key",
            "--service-account-signing-key-file=HERE/certificates/apiserver.key",
        ],
    ),
    (
        "kube-controller-manager",
        &[
            "--kubeconfig=HERE/config",
            "--controllers=daemonset,garbagecollector",
            "--leader-elect=false",
            "--port=0",
            "--secure-port=0",
        ],
    ),
    (
        "kube-scheduler",
        &[
            "--kubeconfig=HERE/config",
            "--leader-elect=false",
            "--port=0",
            "--secure-port=0",
        ],
    ),
];
/// How the kubelet is started; its collector of images is off.
const KUBELET: [&str; 17] = [
    "--kubeconfig=HERE/config",
    "--container-runtime=docker",
    "--docker-endpoint=unix://HERE/../docker.sock",
    "--pod-infra-container-image=pause:1",
    "--hostname-override=switch",
    "--node-ip=192.0.2.1",
    "--address=127.0.0.1",
    "--read-only-port=0",
    "--cgroups-per-qos=false",
    "--enforce-node-allocatable=",
    "--make-iptables-util-chains=false",
    "--protect-kernel-defaults=true",
    "--oom-score-adj=0",
    "--fail-swap-on=false",
    "--eviction-hard=memory.available<1Mi",
    "--image-gc-high-threshold=100",
    "--minimum-container-ttl-duration=0s",
];
/// How a client finds and trusts the API server.
const CONFIG: &str = r#"apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: admin}}]
clusters: [{name: here, cluster: {server: "https://127.0.0.1:6443", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: of-this-test}}]
"#;
const TOKENS: &str = "of-this-test,admin,admin,system:masters\n";

const DAEMON_SET: &str = r"apiVersion: apps/v1
kind: DaemonSet
metadata: {name: NAME}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      hostNetwork: true
      nodeSelector: {NAME: enabled}
      terminationGracePeriodSeconds: 1
      containers:
      - name: NAME
        image: 'IMAGE'
        imagePullPolicy: Always
        command: COMMAND
";
/// A pod that does its work once.
const ONCE: &str = r"apiVersion: v1
kind: Pod
metadata: {name: once}
spec:
  hostNetwork: true
  restartPolicy: Never
  containers:
  - name: once
    image: 'IMAGE'
    command: [/bin/true]
";

/// A program that runs until this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A cluster whose programs run in the engine's namespaces and root.
struct Cluster {
    engine_pid: String,
    root: OsString,
    /// [`DIRECTORY`] as this process sees it.
    directory: PathBuf,
}

impl Cluster {
    fn new(host: &Host) -> Result<Self> {
        ensure!(
            env::var_os(KUBERNETES).is_some(),
            "{KUBERNETES} is not set: run `make test-orchestrators`"
        );
        let root = env::var_os("TAGKEEPER_ENGINE_ROOT").filter(|root| !root.is_empty());
        let directory = host.socket().parent().context("a socket")?;
        let cluster = Self {
            engine_pid: env::var("TAGKEEPER_TEST_ENGINE_PID")?,
            root: root.context("Kubernetes runs in the engine's root: TAGKEEPER_ENGINE_ROOT")?,
            directory: directory.join("kubernetes"),
        };
        fs::create_dir(&cluster.directory)?;
        fs::write(cluster.directory.join("config"), CONFIG)?;
        fs::write(cluster.directory.join("tokens"), TOKENS)?;
        Ok(cluster)
    }

    /// A program of Kubernetes beside the engine. It ends with this process, if not before.
    fn program(&self, name: &str, args: &[&str]) -> Command {
        let pid = &self.engine_pid;
        let mut command = Command::new("nsenter");
        command
            .args(["--target", pid, "--mount", "--net"])
            .arg(format!("--pid=/proc/{pid}/ns/pid_for_children"))
            .args(["--", "setpriv", "--pdeathsig", "KILL", "--", "chroot"])
            .arg(&self.root)
            .arg(format!("/srv/{name}"))
            .args(args.iter().map(|arg| arg.replace("HERE", DIRECTORY)));
        command
    }

    /// Starts a program, with its log in the directory of the cluster.
    fn start(&self, name: &str, args: &[&str]) -> Result<Running> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.directory.join(name).with_extension("log"))?;
        let child = self
            .program(name, args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        Ok(Running(child.context("failed to start nsenter")?))
    }

    /// Runs kubectl with this on its standard input: what it printed.
    fn kubectl(&self, args: &[&str], input: &str) -> Result<String> {
        let mut client = self.program("kubectl", &["--kubeconfig=HERE/config"]);
        let what = format!("kubectl {}", args.join(" "));
        fed(&what, client.args(args), input.as_bytes())
    }
}

/// A host that is the only node of a cluster. Fields are dropped in this order.
struct Kubernetes {
    kubelet: RefCell<Option<Running>>,
    control_plane: Vec<Running>,
    cluster: Cluster,
    on: Deployed,
}

impl Kubernetes {
    fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.cluster.kubectl(args, "")
    }

    /// The `DaemonSet`, its container and the label of the nodes that are to have it.
    fn name(&self) -> String {
        self.on.host.container()
    }
}

impl Orchestrator for Kubernetes {
    const EXAMPLE: &'static str = include_str!("../../config/examples/kubernetes.toml");
    const WORKLOAD: &'static str = "agent";
    const NAMED: Named = Named::Tag;

    /// k8s_, the container's name in the template, the pod's name and more.
    fn containers(host: &Host) -> String {
        format!("k8s_{}_", host.container())
    }

    fn on_host(on: Deployed) -> Result<Self> {
        let cluster = Cluster::new(&on.host)?;
        on.host.import(PAUSE, "holds the place of a pod")?;
        let mut kubernetes = Self {
            kubelet: RefCell::new(None),
            control_plane: Vec::new(),
            cluster,
            on,
        };
        for (name, args) in CONTROL_PLANE {
            let running = kubernetes.cluster.start(name, args)?;
            kubernetes.control_plane.push(running);
            if name == "kube-apiserver" {
                // The others wait for it for a while only.
                kubernetes.on.until("the API server is ready", || {
                    Ok(kubernetes.kubectl(&["get", "--raw=/readyz"]).is_ok())
                })?;
            }
        }
        kubernetes.join()?;
        Ok(kubernetes)
    }

    fn on(&self) -> &Deployed {
        &self.on
    }

    /// The node gets the `DaemonSet` with this image, and pods of it that are new where nothing in
    /// it is.
    fn deploy(&self, version: &Version<'_>) -> Result<()> {
        let (name, image) = (self.name(), version.image(&self.on.host));
        let manifest = DAEMON_SET
            .replace("NAME", &name)
            .replace("IMAGE", &image)
            .replace("COMMAND", version.does.command(WORKS, CRASHES));
        let said = self
            .cluster
            .kubectl(&["apply", "--filename=-"], &manifest)?;
        let label = format!("{name}=enabled");
        self.kubectl(&["label", "--overwrite", "node", NODE, &label])?;
        if said.contains("unchanged") {
            self.kubectl(&["rollout", "restart", "daemonset", &name])?;
        }
        Ok(())
    }

    /// The revision before the last.
    fn roll_back(&self, _to: &Version<'_>) -> Result<()> {
        self.kubectl(&["rollout", "undo", "daemonset", &self.name()])?;
        Ok(())
    }

    fn remove_service(&self) -> Result<()> {
        self.kubectl(&["delete", "daemonset", &self.name()])?;
        Ok(())
    }

    /// As SONiC leaves its master (`_do_reset` in `ctrmgr/kube_commands.py` of sonic-buildimage):
    /// the node is drained and deleted, and `kubeadm reset` stops the kubelet and removes what it
    /// ran.
    fn leave(&self) -> Result<()> {
        self.kubectl(&["drain", NODE, "--ignore-daemonsets"])?;
        self.kubectl(&["delete", "node", NODE])?;
        self.kubelet.take();
        let host = &self.on.host;
        let list = ["ps", "--all", "--quiet", "--filter", "name=^k8s_"];
        for container in host.docker(&list)?.lines() {
            host.docker(&["rm", "--force", container])?;
        }
        // What no kubelet reports to be gone.
        self.kubectl(&["delete", "pods", "--all", "--force", "--grace-period=0"])?;
        Ok(())
    }

    /// The node joins. It has no label, so no `DaemonSet` runs on it.
    fn join(&self) -> Result<()> {
        let kubelet = self.cluster.start("kubelet", &KUBELET)?;
        self.kubelet.replace(Some(kubelet));
        self.on.until("the node has joined", || {
            Ok(self.kubectl(&["get", "node", NODE]).is_ok())
        })
    }
}

played_by!(Kubernetes, "kubernetes");

#[test]
fn upgrade_leaves_what_a_completed_pod_holds() -> Result<()> {
    let name = "kubernetes::upgrade_leaves_what_a_completed_pod_holds";
    beside_an_engine(name, || {
        let by = Kubernetes::new("completed", &[])?;
        let host = &by.on.host;
        upgrade_leaves_what_is_held(
            &by,
            || {
                let once = ONCE.replace("IMAGE", &host.name("remote:v1"));
                by.cluster.kubectl(&["apply", "--filename=-"], &once)?;
                by.on.until("the pod has completed", || {
                    let phase = ["get", "pod", "once", "--output=jsonpath={.status.phase}"];
                    Ok(by.kubectl(&phase)? == "Succeeded")
                })
            },
            |_| {
                by.kubectl(&["delete", "pod", "once"])?;
                by.on.until("the kubelet has removed its container", || {
                    let list = ["ps", "--all", "--quiet", "--filter", "name=^k8s_once_"];
                    Ok(host.docker(&list)?.is_empty())
                })
            },
        )
    })
}
