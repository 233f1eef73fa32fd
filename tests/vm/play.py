"""Plays upgrades on an emulated machine: by the timer, over a reboot in the middle of a soak, and through power cuts.

Run by scripts/test-vm, which makes the disk. A cut is the emulator's end by SIGKILL at a random moment of a pass that
promotes and cleans up. What the machine had not written yet is lost, its own page cache above all. What it has written is
in this machine's page cache and survives: the disk is one that keeps what it took, in that order (a disk that
does not is what tests/power_cut.rs models). A step that goes wrong ends the run with what was said.
"""

import argparse
import base64
import json
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

LOCAL, REMOTE = "app", "registry.example/app"
# A pass each ten seconds instead of each minute.
TIMER = "[Timer]\nOnCalendar=\nOnCalendar=*:*:0/10\nRandomizedDelaySec=0\n"
# Longer than a shutdown takes from the pass that first sees an upgrade on, and the soak that was cut short shows.
LONG_SOAK_SECS, SHORT_SOAK_SECS = 90, 1
# More than a boot takes on a busy machine.
PATIENCE_SECS = 900
STATE = "/var/lib/tagkeeper/state.json"


def step(text):
    print(f"{time.monotonic() - BEGAN:5.0f} s  {text}", flush=True)


def wait_for(what, ask):
    """Asks until the answer is yes."""
    began = time.monotonic()
    while not ask():
        if time.monotonic() - began > PATIENCE_SECS:
            sys.exit(f"waited {PATIENCE_SECS} s in vain for {what}")
        time.sleep(1)


class Machine:
    """The emulator, and the serial line into what runs in it."""

    def __init__(self, work):
        self.work = work
        self.console = work / "console"
        self.emulator = self.line = self.answers = None

    def power_on(self):
        path = self.work / "line"
        path.unlink(missing_ok=True)
        with self.console.open("ab") as said:
            self.emulator = subprocess.Popen(
                ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "1024", "-nodefaults", "-display", "none",
                 "-kernel", self.work / "kernel", "-initrd", self.work / "initrd",
                 "-append", "root=/dev/vda rw console=ttyS0 quiet systemd.default_timeout_start_sec=900",
                 "-drive", f"file={self.work / 'disk'},if=virtio,format=raw,cache=writeback",
                 "-serial", "stdio", "-serial", f"unix:{path},server=on,wait=off"],
                stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            )  # fmt: skip
        wait_for("the emulator", path.exists)
        self.line = socket.socket(socket.AF_UNIX)
        self.line.settimeout(PATIENCE_SECS)
        self.line.connect(str(path))
        self.answers = self.line.makefile("r", errors="replace")
        self.wait_for_boot()

    def wait_for_boot(self):
        while self.answer().strip() != "ready":
            pass

    def cut(self):
        self.emulator.kill()
        self.emulator.wait()
        self.answers.close()
        self.line.close()

    def answer(self):
        try:
            line = self.answers.readline()
        except TimeoutError:
            line = ""
        if not line:
            sys.exit(f"the machine does not answer; its console:\n{self.console.read_text(errors='replace')[-4000:]}")
        return line

    def ask(self, command):
        self.line.sendall(base64.b64encode(command.encode()) + b"\n")

    def try_run(self, command):
        """The exit code and what was printed."""
        self.ask(command)
        code, _, printed = self.answer().strip().partition(" ")
        return int(code), base64.b64decode(printed).decode().strip()

    def run(self, command):
        code, printed = self.try_run(command)
        if code:
            _, journal = self.try_run("journalctl --no-pager --lines 60")
            sys.exit(f"{command}: exit code {code}\n{printed}\n{journal}")
        return printed

    def write(self, path, text):
        self.run(f"mkdir -p {Path(path).parent} && cat >{path} <<'END'\n{text}END")

    def reboot(self):
        # The answer may come or not; then the line is the next boot's.
        self.ask("systemctl reboot")
        self.wait_for_boot()


class Host:
    """What the play knows of the host: names, versions, and what tagkeeper has on record."""

    def __init__(self, machine):
        self.machine = machine
        self.run = machine.run

    def set_policy(self, soak_secs):
        workload = f'[workload.app]\nrepository = "{LOCAL}"\nremotes = ["{REMOTE}"]\nsoak = "{soak_secs}s"\n'
        self.machine.write("/etc/tagkeeper/policy.d/vm.toml", workload)

    def deploy(self, version):
        """What an orchestrator does, and comes back with after a boot: everything is on the disk when it returns."""
        self.run(f"image {REMOTE}:{version}")
        self.run("docker ps --quiet --filter name=k8s_app | xargs --no-run-if-empty docker rm --force")
        self.run(f"docker run --detach --restart always --name k8s_app_{version} {REMOTE}:{version}")
        self.run("sync")

    def names(self):
        """Each name of the workload's on the disk, and the image that it means."""
        listed = self.run("docker images --no-trunc --format '{{.Repository}}:{{.Tag}} {{.ID}}'")
        return dict(line.split() for line in listed.splitlines() if line.startswith((f"{LOCAL}:", f"{REMOTE}:")))

    def latest(self):
        names = self.names()
        if f"{LOCAL}:latest" not in names:
            sys.exit(f"latest is lost: {names}")
        image = names[f"{LOCAL}:latest"]
        return next((name.rpartition(":")[2] for name in names if name.startswith(REMOTE) and names[name] == image), None)

    def memory(self):
        """What is on record; a state that cannot be read, or was set aside, ends the play."""
        aside = self.run("ls /var/lib/tagkeeper | grep corrupt || true")
        if aside:
            sys.exit(f"a state was set aside: {aside}")
        return json.loads(self.run(f"cat {STATE}"))["workloads"]["app"]["memory"]

    def head(self):
        lineage = self.memory().get("lineage") or [{}]
        return lineage[0].get("version")

    def a_pass(self):
        self.run("systemctl start tagkeeper.service || { systemctl status tagkeeper.service; false; }")


def comes_to_rest(host, old, new):
    """Passes lead to where an unbroken one would have: the new version is latest, the old one the fallback."""
    for _ in range(5):
        host.a_pass()
        if host.latest() == new and set(host.names()) == {f"{LOCAL}:latest", f"{REMOTE}:{new}", f"{REMOTE}:{old}"}:
            break
        time.sleep(2 * SHORT_SOAK_SECS)
    else:
        sys.exit(f"five passes do not lead from {old} to {new}: {host.names()}")
    settled = host.run(f"cksum {STATE}")
    host.a_pass()
    if host.run(f"cksum {STATE}") != settled:
        sys.exit("the pass after it had something left to do")


def until_promotable(host, version):
    """The next pass promotes this version."""
    host.deploy(version)
    host.a_pass()
    host.run(f"sleep {2 * SHORT_SOAK_SECS}; sync")


def nothing_is_lost(host, old, new, before_old):
    """Right after the boot, before a pass: where the cut struck."""
    names, latest, head = host.names(), host.latest(), host.head()
    if latest not in (old, new):
        sys.exit(f"latest is {latest}, which is neither {old} nor {new}: {names}")
    fallback = before_old if latest == old else old
    # Once the promotion is on record, the last fallback is behind two others: it may go, the new one may not.
    wanted = {latest, old} if head == new else {latest, fallback}
    for version in wanted:
        if f"{REMOTE}:{version}" not in names:
            sys.exit(f"{version} is lost, with {latest} as latest and {head} on record: {names}")
    if head == old:
        return "before the promotion was on the disk"
    return "in the middle of it" if latest == old or f"{REMOTE}:{before_old}" in names else "after the clean-up"


def by_the_timer(machine, host):
    """Installed, promoted, and a reboot in the middle of a soak."""
    machine.run("dpkg --install /tagkeeper.deb")
    machine.write("/etc/systemd/system/tagkeeper.timer.d/vm.conf", TIMER)
    host.set_policy(SHORT_SOAK_SECS)
    host.deploy("v1")
    machine.run(f"docker tag {REMOTE}:v1 {LOCAL}:latest")
    machine.run("systemctl daemon-reload && systemctl restart tagkeeper.timer")
    wait_for("v1 to be proven", lambda: machine.try_run(f"test -e {STATE}")[0] == 0 and host.head() == "v1")
    host.deploy("v2")
    wait_for("v2 to be latest", lambda: host.latest() == "v2")
    step("installed; the timer has promoted v2")
    host.set_policy(LONG_SOAK_SECS)
    host.deploy("v3")
    wait_for("v3 to be soaked", lambda: (host.memory().get("pending") or {}).get("version") == "v3")
    before = machine.run("cat /proc/sys/kernel/random/boot_id")
    machine.reboot()
    if machine.run("cat /proc/sys/kernel/random/boot_id") == before:
        sys.exit("the machine did not reboot")
    if host.latest() != "v2":
        sys.exit("a reboot has shortened a soak")
    wait_for("v3 to be latest", lambda: host.latest() == "v3" and f"{REMOTE}:v1" not in host.names())
    step("v3 soaked again after a reboot, and is latest")


def through_cuts(machine, host, cuts):
    """The pass that promotes, cut at a random moment; then what the next boot makes of it."""
    machine.run("systemctl disable --now tagkeeper.timer")
    host.set_policy(SHORT_SOAK_SECS)
    until_promotable(host, "v4")
    began = time.monotonic()
    host.a_pass()
    pass_secs = time.monotonic() - began
    comes_to_rest(host, "v3", "v4")
    step(f"an unbroken pass takes {pass_secs:.1f} s")
    seed = random.randrange(2**32)
    moments = random.Random(seed)
    struck = {}
    for number in range(5, 5 + cuts):
        before_old, old, new = (f"v{number - back}" for back in (2, 1, 0))
        until_promotable(host, new)
        # A pass after a boot may be slower than the one that was timed: it finds nothing in the page cache.
        moment = moments.uniform(0, 2 * pass_secs)
        machine.ask("systemctl start tagkeeper.service")
        time.sleep(moment)
        machine.cut()
        machine.power_on()
        where = nothing_is_lost(host, old, new, before_old)
        comes_to_rest(host, old, new)
        struck[where] = struck.get(where, 0) + 1
        step(f"cut {number - 4} of {cuts}, after {moment:.2f} s: {where}; {new} is latest, {old} its fallback (seed {seed})")
    return ", ".join(f"{count} {where}" for where, count in sorted(struck.items(), key=lambda item: -item[1]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--cuts", type=int, required=True)
    args = parser.parse_args()
    machine = Machine(args.work)
    try:
        machine.power_on()
        step("booted")
        host = Host(machine)
        by_the_timer(machine, host)
        struck = through_cuts(machine, host, args.cuts)
        print(f"figure: {args.cuts} cuts: {struck}")
    finally:
        if machine.emulator:
            machine.emulator.kill()
            machine.emulator.wait()


BEGAN = time.monotonic()
main()
