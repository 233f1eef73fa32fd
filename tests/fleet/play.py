"""Plays the collection in fleet/ansible on booted hosts: containers with systemd, each with its own machine id, policy and state.

They share one real engine, in which each has repositories and containers of its own; what a policy does not name is not
touched. Run by scripts/test-fleet, which starts that engine. A step that goes wrong ends the run with what was said.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
ROOT_IMAGE = "tagkeeper-fleet-root"
CANARIES = 2
# What systemd needs to be the first process of a container.
AS_PID_1 = (SOURCE / "tests/support/as-pid-1").read_text().split()
# A pass each ten seconds, on ten hosts at once: more of them take two processors whole. v3 is up for long enough that two of
# them see it, and for less than a soak.
TIMER = "[Timer]\nOnCalendar=\nOnCalendar=*:*:0/10\nRandomizedDelaySec=0\n"
SOAK_SECS = 50
V3_LASTS_SECS = 30
PATIENCE_SECS = 240


def run(*command, fails=False, **options):
    """Runs a command, which must succeed (or must not): what it printed."""
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    if (ran.returncode != 0) != fails:
        sys.exit(f"{' '.join(map(str, command))}: exit code {ran.returncode}\n{ran.stdout}")
    return ran.stdout


def docker(*args, **options):
    return run("docker", *args, **options).strip()


def wait_for(what, ask):
    """Asks until the answer is yes."""
    began = time.monotonic()
    while not ask():
        if time.monotonic() - began > PATIENCE_SECS:
            sys.exit(f"waited {PATIENCE_SECS} s in vain for {what}")
        time.sleep(0.5)


def two_soaks():
    """For what must not happen: the timers run their passes meanwhile."""
    time.sleep(2 * SOAK_SECS)


def step(text):
    print(f"{time.monotonic() - BEGAN:5.0f} s  {text}", flush=True)


def check(is_so, text):
    if not is_so:
        sys.exit(f"not so: {text}")


class Fleet:
    """The hosts, and Ansible in front of them."""

    def __init__(self, args, work):
        self.work = work
        self.hosts = [f"h{number}" for number in range(1, args.hosts + 1)]
        self.canaries, self.others = self.hosts[:CANARIES], self.hosts[CANARIES:]
        self.version = run("dpkg-deb", "--field", args.package, "Version").strip()
        self.packages = work / "packages"
        self.packages.mkdir()
        shutil.copy(args.package, self.packages / "tagkeeper.deb")
        docker("import", args.root, ROOT_IMAGE)
        self.collections = self.install_collection()
        self.write_inventory()

    def boot(self):
        for host in self.hosts:
            script = f"mkdir -p /etc/systemd/system/tagkeeper.timer.d && printf '{TIMER}' " + (
                ">/etc/systemd/system/tagkeeper.timer.d/test.conf && groupadd --system docker && "
                "mkdir -p /var/lib/prometheus/node-exporter && "
                # Clones have one machine id, and all of them their place in the minute.
                "tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id && exec /sbin/init"
            )
            volumes = [f"--volume={os.environ['TAGKEEPER_TEST_SOCKET']}:/run/docker.sock", f"--volume={self.packages}:/repo:ro"]
            docker("run", "--detach", "--name", host, "--hostname", host, *AS_PID_1, *volumes, ROOT_IMAGE, "sh", "-c", script)
        for host in self.hosts:
            wait_for(f"the boot of {host}", lambda host=host: self.is_booted(host))
            self.on(host, "chgrp docker /run/docker.sock")
        ids = {self.on(host, "cat /etc/machine-id") for host in self.hosts}
        check(len(ids) == len(self.hosts), f"each host has its own machine id: {ids}")

    def is_booted(self, host):
        ran = subprocess.run(
            ["docker", "exec", host, "systemctl", "is-system-running"], capture_output=True, text=True, check=False
        )
        check(ran.stdout.strip() != "degraded", f"{host} boots without a failure")
        return ran.stdout.strip() == "running"

    def on(self, host, line, **options):
        return docker("exec", host, "sh", "-c", line, **options)

    # Ansible

    def install_collection(self):
        """As an operator does, from what `ansible-galaxy collection build` makes."""
        collections = self.work / "collections"
        run("ansible-galaxy", "collection", "build", "--output-path", self.work, SOURCE / "fleet/ansible")
        (built,) = self.work.glob("tagkeeper-fleet-*.tar.gz")
        run("ansible-galaxy", "collection", "install", "--offline", "--collections-path", collections, built)
        return collections

    def write_inventory(self):
        workload = {
            "telemetry": {
                "repository": "docker-sonic-telemetry-{{ inventory_hostname }}",
                "remotes": ["registry.example/{{ inventory_hostname }}/docker-sonic-telemetry"],
                "container": "telemetry-{{ inventory_hostname }}",
                "soak": f"{SOAK_SECS}s",
            }
        }
        variables = {
            "ansible_connection": "booted",
            "ansible_python_interpreter": "/usr/bin/python3",
            # Root already.
            "ansible_become": False,
            "orchestrator": str(HERE / "orchestrator"),
            "tagkeeper_workloads": workload,
            "tagkeeper_workload": "telemetry",
            "tagkeeper_version": self.version,
            "tagkeeper_package_file": str(self.packages / "tagkeeper.deb"),
            # Longer than the gate takes for a failure from before it began to wait.
            "tagkeeper_gate_timeout": 4,
            "tagkeeper_batches": [1, 2, "100%"],
        }
        inventory = {
            "all": {
                "vars": variables,
                "hosts": {host: None for host in self.hosts},
                "children": {"canaries": {"hosts": {host: None for host in self.canaries}}},
            }
        }
        (self.work / "inventory.json").write_text(json.dumps(inventory))

    def play(self, playbook, *options, fails=False, **variables):
        """Runs a playbook: what it printed, and the hosts that it changed."""
        environment = {
            **os.environ,
            "HOME": str(self.work),
            "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
            "ANSIBLE_CONNECTION_PLUGINS": str(HERE / "plugins"),
            "ANSIBLE_INVENTORY": str(self.work / "inventory.json"),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_FORKS": "4",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "ANSIBLE_DEPRECATION_WARNINGS": "1",
        }
        command = ["ansible-playbook", playbook, "--extra-vars", json.dumps(variables), *options]
        said = run(*command, fails=fails, env=environment)
        recap = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+) ", said, re.MULTILINE)
        return said, {host for host, changes in recap if changes != "0"}

    # What is on the hosts

    def installed(self, host):
        return self.on(host, "dpkg-query --show --showformat='${Version}' tagkeeper")

    def status(self, host):
        return json.loads(self.on(host, "tagkeeper status --format json"))["workloads"]["telemetry"]

    def latest(self, hosts):
        return {(self.status(host)["latest"] or {}).get("version") for host in hosts}

    def policy(self, host):
        return self.on(host, "cd /etc/tagkeeper && tail -n +1 policy.toml policy.d/*")

    def has_image(self, host, version):
        return bool(docker("images", "--quiet", f"registry.example/{host}/docker-sonic-telemetry:{version}"))


def make_images(work, hosts):
    """v1, v2, v4 and v5 idle; v3 ends with an error. Each host has images of its own, as by the others' containers it would
    see its own images run.
    """
    for version in ["v1", "v2", "v3", "v4", "v5"]:
        for host in hosts:
            root = work / f"{version}-{host}"
            (root / "bin").mkdir(parents=True)
            shutil.copy(shutil.which("busybox"), root / "bin/busybox")
            for applet in ["sh", "sleep"]:
                (root / "bin" / applet).symlink_to("busybox")
            (root / "version").write_text(f"{version} of {host}")
            tar = work / f"{version}-{host}.tar"
            with tarfile.open(tar, "w") as packed:
                packed.add(root, ".")
            command = ["sh", "-c", f"sleep {V3_LASTS_SECS}; exit 1"] if version == "v3" else ["sleep", "2147483647"]
            docker("import", "--change", f"CMD {json.dumps(command)}", tar, f"{version}:{host}")
            tar.unlink()
            shutil.rmtree(root)


def make_package(fleet, version, spoil=""):
    """The same package by another version; spoiled, its program is this script."""
    root = fleet.work / f"package-{version}"
    run("dpkg-deb", "--raw-extract", fleet.packages / "tagkeeper.deb", root)
    control = root / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text()))
    if spoil:
        (root / "usr/bin/tagkeeper").write_text(spoil)
    made = fleet.packages / f"tagkeeper_{version}.deb"
    run("dpkg-deb", "--root-owner-group", "-Zgzip", "--build", root, made)
    return made


def make_repository(fleet):
    """A repository of all packages, without an index that is signed, in the hosts' sources."""
    entries = []
    for package in sorted(fleet.packages.glob("*.deb")):
        fields = run("dpkg-deb", "--field", package).strip()
        digest = run("sha256sum", package).split()[0]
        entries.append(f"{fields}\nFilename: ./{package.name}\nSize: {package.stat().st_size}\nSHA256: {digest}\n")
    (fleet.packages / "Packages").write_text("\n".join(entries))
    for host in fleet.hosts:
        fleet.on(host, "echo 'deb [trusted=yes] file:/repo ./' >/etc/apt/sources.list; rm -f /etc/apt/sources.list.d/*")


def install(fleet):
    step("check mode before the first installation")
    _, changed = fleet.play("tagkeeper.fleet.install", "--check")
    check(changed == set(fleet.hosts), f"check mode says what would change: {changed}")
    for host in fleet.hosts:
        fleet.on(host, "test ! -e /etc/tagkeeper && test ! -e /var/tmp/tagkeeper.deb")
    step("install")
    fleet.play("tagkeeper.fleet.install")
    for host in fleet.hosts:
        check(fleet.installed(host) == fleet.version, f"{host} has {fleet.version}")
        fleet.on(host, "systemctl is-active tagkeeper.timer && tagkeeper check")
        fleet.on(host, "grep -q '^tagkeeper_build_info' /var/lib/prometheus/node-exporter/tagkeeper.prom")
    step("a second run, and check mode, change nothing")
    for options in [[], ["--check"]]:
        _, changed = fleet.play("tagkeeper.fleet.install", *options)
        check(not changed, f"nothing is changed: {changed}")
    step("a refused policy leaves the old one, also where two files are valid that contradict each other")
    before = {host: fleet.policy(host) for host in fleet.hosts}
    unreadable = {"telemetry": {"repository": "x", "soak": "soon"}}
    contradicting = {"telemetry": {"repository": "x"}, "another": {"repository": "x"}}
    for workloads, error in [(unreadable, "soak"), (contradicting, "share the repository")]:
        for options in [["--check"], []]:
            said, changed = fleet.play("tagkeeper.fleet.install", *options, fails=True, tagkeeper_workloads=workloads)
            check(error in said, f"the error of `tagkeeper check` is shown: {said}")
            check(not changed, f"nothing is changed: {changed}")
    check({host: fleet.policy(host) for host in fleet.hosts} == before, "all hosts have the old policy")
    fleet.on(fleet.hosts[0], "tagkeeper check && ! ls -d /tmp/tagkeeper.*")


def ship(fleet):
    """Each host runs v1 by its local service."""
    for host in fleet.hosts:
        for tag in ["latest", "v1"]:
            docker("tag", f"v1:{host}", f"docker-sonic-telemetry-{host}:{tag}")
        latest = f"docker-sonic-telemetry-{host}:latest"
        docker("run", "--detach", "--network", "none", "--name", f"telemetry-{host}", latest)
    _, changed = fleet.play("tagkeeper.fleet.rollout_gate", tagkeeper_canaries="all", tagkeeper_rollout="v1")
    check(not changed, "the gate changes nothing")


def roll_out(fleet):
    step("v1 is shipped, and proven on all hosts")
    ship(fleet)
    step("v2 passes the canaries and reaches all hosts")
    fleet.play(HERE / "pipeline.yml", tagkeeper_rollout="v2")
    fleet.play("tagkeeper.fleet.rollout_gate", tagkeeper_canaries="all", tagkeeper_rollout="v2")
    check(fleet.latest(fleet.hosts) == {"v2"}, "v2 is latest everywhere")
    step("v3 fails on the canaries and never leaves them")
    said, _ = fleet.play(HERE / "pipeline.yml", fails=True, tagkeeper_rollout="v3")
    check("v3 was not promoted" in said, f"the gate says why it is closed: {said}")
    check("Deploy to the others" not in said, "the play ended at the gate")
    check(all(fleet.has_image(host, "v3") for host in fleet.canaries), "the canaries got v3")
    check(not any(fleet.has_image(host, "v3") for host in fleet.others), "no other host has v3")
    check(fleet.latest(fleet.hosts) == {"v2"}, "v2 is latest everywhere, on the canaries too")


def hold(fleet):
    step("on hold, v4 soaks and is not promoted")
    wanted = {"reason": "incident 4711"}
    _, changed = fleet.play("tagkeeper.fleet.hold", tagkeeper_hold=wanted)
    check(changed == set(fleet.hosts), "all hosts are held")
    _, changed = fleet.play("tagkeeper.fleet.hold", tagkeeper_hold=wanted)
    check(not changed, "holding twice changes nothing")
    for host in fleet.hosts:
        run(HERE / "orchestrator", host, "v4")
    two_soaks()
    status = fleet.status(fleet.hosts[0])
    check(status["hold"] and status["pending"]["version"] == "v4", f"v4 is pending on hold: {status}")
    check("incident 4711" in status["hold_reason"], "the reason is told")
    check(fleet.latest(fleet.hosts) == {"v2"}, "v2 is latest everywhere")
    step("released, v4 is promoted")
    fleet.play("tagkeeper.fleet.hold", tagkeeper_hold={})
    fleet.play("tagkeeper.fleet.rollout_gate", tagkeeper_canaries="all", tagkeeper_rollout="v4")
    check(fleet.latest(fleet.hosts) == {"v4"}, "v4 is latest everywhere")


def reject(fleet):
    step("v5 is rejected before it arrives, and never promoted")
    fleet.play("tagkeeper.fleet.reject", tagkeeper_reject={"telemetry": ["v5"]})
    host = fleet.others[-1]
    run(HERE / "orchestrator", host, "v5")
    two_soaks()
    check(fleet.latest(fleet.hosts) == {"v4"}, "v4 is latest everywhere")
    step("taken back, v5 is promoted where it runs")
    fleet.play("tagkeeper.fleet.reject", tagkeeper_reject={})
    fleet.play("tagkeeper.fleet.rollout_gate", tagkeeper_canaries=host, tagkeeper_rollout="v5")
    step("v5 is rolled back on the one host that has it")
    _, changed = fleet.play("tagkeeper.fleet.rollback", tagkeeper_rollout="v5")
    check(changed == {host}, f"only {host} is changed: {changed}")
    check(fleet.latest(fleet.hosts) == {"v4"}, "v4 is latest everywhere")
    _, changed = fleet.play("tagkeeper.fleet.rollback", tagkeeper_rollout="v5")
    check(not changed, "a second rollback changes nothing")


def report(fleet):
    step("the report has a line for each host")
    said, _ = fleet.play("tagkeeper.fleet.report", tagkeeper_report_file=str(fleet.work / "report.txt"))
    table = (fleet.work / "report.txt").read_text()
    print(table)
    for host in fleet.hosts:
        check(re.search(rf"^{host} +telemetry +v4 ", table, re.MULTILINE), f"{host} has its line")
    check("v3 failed" in table and "v5 rejected" in table, "failures and rejections are in the table")
    check(table.splitlines()[1] in said, "the table is printed too")


def upgrade(fleet):
    step("an upgrade that is broken ends in the first batch")
    broken = make_package(fleet, "99.1-1", spoil="#!/bin/sh\necho broken >&2\nexit 1\n")
    fleet.play("tagkeeper.fleet.install", fails=True, tagkeeper_version="99.1-1", tagkeeper_package_file=str(broken))
    versions = [fleet.installed(host) for host in fleet.hosts]
    check(versions == ["99.1-1"] + [fleet.version] * (len(fleet.hosts) - 1), f"one host has it: {versions}")
    step("a good one reaches all hosts, from the repository")
    make_package(fleet, "99.2-1")
    make_repository(fleet)
    fleet.play("tagkeeper.fleet.install", tagkeeper_version="99.2-1", tagkeeper_package_file="")
    check({fleet.installed(host) for host in fleet.hosts} == {"99.2-1"}, "all hosts have 99.2-1")
    step("and back again; the state is kept")
    fleet.play("tagkeeper.fleet.install", tagkeeper_package_file="")
    check({fleet.installed(host) for host in fleet.hosts} == {fleet.version}, f"all hosts have {fleet.version}")
    check(fleet.latest(fleet.hosts) == {"v4"}, "v4 is latest everywhere")
    _, changed = fleet.play("tagkeeper.fleet.install", tagkeeper_package_file="")
    check(not changed, "a second run changes nothing")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, default=10)
    parser.add_argument("--package", required=True)
    parser.add_argument("--root", required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        fleet = Fleet(args, work)
        make_images(work, fleet.hosts)
        step(f"{args.hosts} hosts boot")
        fleet.boot()
        for part in [install, roll_out, hold, reject, report, upgrade]:
            part(fleet)
        step("all of it is so")


BEGAN = time.monotonic()

if __name__ == "__main__":
    main()
