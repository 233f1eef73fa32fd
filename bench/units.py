#!/usr/bin/env python3
"""Measures what a minute of the installed unit costs, on a booted systemd; `make bench-unit` runs it beside a private engine.

    bench/units.py PROGRAM [--quick]

CPU is that of everything in the box: PID 1, journald, the program, and the `systemctl start` that starts it. Prints the
tables, and writes them into docs/performance.md; with `--quick` it measures less often and writes nothing.
"""

import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from host import ROOT
from report import markdown, text, write_between_marks

BEGIN, END = "<!-- unit:begin (written by `make bench-unit`) -->", "<!-- unit:end -->"
IMAGE, BOX = "tagkeeper-unit-root", "tagkeeper-unit-box"
AS_PID_1 = (ROOT / "tests/support/as-pid-1").read_text().split()
UNIT = "/etc/systemd/system/cost.service"
# The mounts that a running container adds to its host: its root, its /dev/shm and its network.
MOUNTS_EACH = 3
CONTAINERS = (0, 20, 100)

USER = "User=tagkeeper\nGroup=tagkeeper\n"
NO_PRIVILEGES = USER + "CapabilityBoundingSet=\nAmbientCapabilities=\nNoNewPrivileges=yes\n"
# Each directive that was tried, and what it takes from this user: no capabilities, group docker, no login.
DIRECTIVES = (
    ("StateDirectory= RuntimeDirectory=", "StateDirectory=tagkeeper\nRuntimeDirectory=tagkeeper\nRuntimeDirectoryPreserve=yes", "nothing: makes the two directories"),
    ("NotifyAccess= LogLevelMax=notice", "NotifyAccess=main\nLogLevelMax=notice", "nothing: STATUS=, and no lines about passes that went well"),
    ("Nice= IOSchedulingClass= MemoryMax= TasksMax=", "Nice=19\nIOSchedulingClass=idle\nMemoryMax=256M\nTasksMax=32", "the host from a runaway pass"),
    ("RestrictSUIDSGID=", "RestrictSUIDSGID=yes", "making set-user-id files"),
    ("LockPersonality=", "LockPersonality=yes", "another execution domain"),
    ("RestrictAddressFamilies=AF_UNIX", "RestrictAddressFamilies=AF_UNIX", "every network but unix sockets"),
    ("RestrictNamespaces=", "RestrictNamespaces=yes", "user namespaces, the usual way to more kernel to attack"),
    ("RestrictRealtime=", "RestrictRealtime=yes", "starving the host by priority"),
    ("MemoryDenyWriteExecute=", "MemoryDenyWriteExecute=yes", "code written at run time"),
    ("SystemCallArchitectures=native", "SystemCallArchitectures=native", "the 32-bit system calls, and with them a way round the other filters"),
    ("SystemCallFilter=, with native", "SystemCallArchitectures=native\nSystemCallFilter=@system-service\nSystemCallFilter=~@privileged @resources\nSystemCallErrorNumber=EPERM", "rare system calls: keyrings, io_uring, bpf, perf, userfaultfd"),
    ("PrivateNetwork=", "PrivateNetwork=yes", "abstract unix sockets; all else AF_UNIX takes already"),
    ("IPAddressDeny=any", "IPAddressDeny=any", "what AF_UNIX takes already"),
    ("DevicePolicy=closed", "DevicePolicy=closed", "devices that are open to everyone but null, zero, random and the like"),
    ("RemoveIPC=", "RemoveIPC=yes", "leaving shared memory behind"),
    ("ProtectSystem=strict", "ProtectSystem=strict\nReadWritePaths=/var/lib/tagkeeper /run/tagkeeper", "files that user or group may write: what others left open to all"),
    ("ProtectHome=", "ProtectHome=yes", "reading homes that are open to all"),
    ("PrivateTmp=", "PrivateTmp=yes", "reading and littering /tmp and /var/tmp"),
    ("PrivateDevices=", "PrivateDevices=yes", "as DevicePolicy="),
    ("ProtectKernelTunables=", "ProtectKernelTunables=yes", "nothing: settings are root's to write"),
    ("ProtectKernelModules=", "ProtectKernelModules=yes", "nothing without CAP_SYS_MODULE, but reading the modules"),
    ("ProtectKernelLogs=", "ProtectKernelLogs=yes", "nothing without CAP_SYSLOG"),
    ("ProtectControlGroups=", "ProtectControlGroups=yes", "nothing: control groups are root's to write"),
    ("ProtectClock=", "ProtectClock=yes", "nothing without CAP_SYS_TIME"),
    ("ProtectHostname=", "ProtectHostname=yes", "nothing without CAP_SYS_ADMIN"),
    ("ProtectProc=invisible ProcSubset=pid", "ProtectProc=invisible\nProcSubset=pid", "seeing the processes of others and /proc/sys"),
)  # fmt: skip


def docker(*args):
    return subprocess.run(["docker", *args], check=True, capture_output=True, text=True).stdout.strip()


def inside(line):
    return docker("exec", BOX, "sh", "-c", line)


def boot(program):
    tar = subprocess.run([ROOT / "scripts/boot-root"], check=True, capture_output=True, text=True).stdout.strip()
    docker("import", tar, IMAGE)
    socket = os.environ["TAGKEEPER_TEST_SOCKET"]
    volumes = [f"{program}:/usr/bin/tagkeeper:ro", f"{ROOT}:/source:ro", f"{socket}:/run/docker.sock"]
    docker("create", "--name", BOX, *AS_PID_1, *(f"--volume={v}" for v in volumes), IMAGE, "/sbin/init")
    docker("start", BOX)
    while subprocess.run(["docker", "exec", BOX, "systemctl", "is-system-running"], capture_output=True).returncode:
        time.sleep(0.5)
    inside("cp /source/units/tagkeeper.conf /usr/lib/sysusers.d/ && systemd-sysusers && chgrp docker /run/docker.sock")
    inside("mkdir -p /etc/tagkeeper && cp /source/config/policy.toml /etc/tagkeeper/")
    inside("printf '[workload.a]\\nrepository = \"a\"\\n' >>/etc/tagkeeper/policy.toml")


def cgroup_cpu_us():
    parent, box = Path(os.environ["TAGKEEPER_TEST_SOCKET"]).parent.name, docker("inspect", "--format", "{{.Id}}", BOX)
    v1 = Path(f"/sys/fs/cgroup/cpuacct/{parent}/{box}/cpuacct.usage")
    if v1.exists():
        return lambda: int(v1.read_text()) / 1000
    v2 = Path(f"/sys/fs/cgroup/{parent}/{box}/cpu.stat")
    return lambda: int(re.search(r"usage_usec (\d+)", v2.read_text())[1])


def set_unit(settings, command="/usr/bin/tagkeeper reconcile"):
    unit = f"[Service]\nType=oneshot\nExecStart={command}\n{settings}\n"
    docker("exec", BOX, "sh", "-c", 'printf "%s" "$1" >"$2"', "sh", unit, UNIT)
    inside("systemctl daemon-reload; systemctl start cost.service; sleep 0.3")


def cpu_ms(read, starts, line="systemctl start cost.service"):
    """One start, in the mean of so many; the shell that starts them is there once."""
    empty = read()
    inside("true")
    empty = read() - empty
    before = read()
    inside(f"i={starts}; while [ $i -gt 0 ]; do {line} || exit 1; i=$((i - 1)); done")
    return (read() - before - empty) / starts / 1000


def exposure():
    report = inside("systemd-analyze security --no-pager cost.service | tail -n 1")
    return re.search(r": ([\d.]+) ", report)[1]


def written(starts):
    """Bytes of a file system with a disk below, a start, and lines of the journal."""
    # What its children have written is PID 1's once it has waited for them.
    ask = "cat /proc/1/io /proc/$(pidof systemd-journald)/io | awk '/^write_bytes/ {n += $2} END {print n}'"
    lines = "journalctl --sync; journalctl --quiet --output cat | wc -l"
    before_lines = int(inside(lines))
    before = int(inside(ask))
    inside(f"i={starts}; while [ $i -gt 0 ]; do systemctl start cost.service; i=$((i - 1)); done; sleep 1")
    after = int(inside(ask))
    after_lines = int(inside(lines))
    return (after - before) / starts, (after_lines - before_lines) / starts


def service(path):
    """The settings of a unit file or a drop-in, without the command."""
    lines = (ROOT / path).read_text().splitlines()
    lines = lines[lines.index("[Service]") + 1 :]
    return "\n".join(line for line in lines if line and not line.startswith(("#", "ExecStart=", "Type=")))


def mounts(containers, now):
    missing = (containers - now) * MOUNTS_EACH
    inside(f"i=0; while [ $i -lt {missing} ]; do d=/srv/{containers}-$i; mkdir -p $d; mount -t tmpfs tmpfs $d; i=$((i + 1)); done")
    return containers


def main():
    quick = "--quick" in sys.argv[2:]
    program = Path(sys.argv[1]).resolve()
    starts, rounds = (5, 1) if quick else (15, 3)
    boot(program)
    read = cgroup_cpu_us()
    bare = ("a unit with `/bin/true` and nothing else", "", "/bin/true")
    shipped = service("units/tagkeeper.service")
    full = shipped + "\n" + service("units/dropins/strict.conf")
    sets = [
        bare,
        ("tagkeeper in it as root", "", None),
        ("the same, with its own user, no capabilities, no new privileges", NO_PRIVILEGES, None),
        ("**as shipped**", shipped, None),
        ("as shipped, with strict.conf", full, None),
        ("as it was: strict.conf, and no LogLevelMax=", re.sub("LogLevelMax=.*\n", "", full), None),
    ]
    # The program by itself needs a state directory that the others share.
    inside("install -d -o tagkeeper -g tagkeeper /var/lib/tagkeeper /run/tagkeeper")
    times, outside = {}, {}
    by_hand = []
    now = 0
    for containers in CONTAINERS:
        now = mounts(containers, now)
        for _ in range(rounds):
            by_hand.append(cpu_ms(read, starts, "/usr/bin/tagkeeper reconcile"))
            for name, settings, command in sets:
                set_unit(settings, command or "/usr/bin/tagkeeper reconcile")
                times.setdefault((name, containers), []).append(cpu_ms(read, starts))
                if containers == 0 and name not in outside:
                    outside[name] = (exposure(), *written(starts))
        if containers == 0:
            alone = {}
            for _ in range(rounds):
                for title, settings, _what in (("none", "", ""), *DIRECTIVES):
                    set_unit(NO_PRIVILEGES + settings)
                    alone.setdefault(title, []).append(cpu_ms(read, starts))
    median = statistics.median
    floor = median(times[bare[0], 0])
    head = ["a start of", *(f"CPU, ms, {n} containers" for n in CONTAINERS), "x bare unit", "exposure", "bytes to disk", "journal lines"]
    body = [["the program by hand", f"{median(by_hand):.1f}", "", "", f"{median(by_hand) / floor:.1f}", "", "", ""]]
    for name, *_ in sets:
        middle = [median(times[name, n]) for n in CONTAINERS]
        exposed, disk, lines = outside[name]
        body.append([name, *(f"{ms:.1f}" for ms in middle), f"{middle[0] / floor:.1f}", exposed, f"{disk:,.0f}", f"{lines:.1f}"])
    base = median(alone["none"])
    what_head = ["directive", "alone, ms more", "as shipped", "what it takes from this user"]
    what = []
    for title, settings, gain in DIRECTIVES:
        there = all(line in shipped.splitlines() for line in settings.split("\n"))
        what.append([f"`{title}`", f"{median(alone[title]) - base:+.1f}", "yes" if there else "no", gain])
    print(text(head, body), "\n\n", text(what_head, what))
    if not quick:
        tables = f"{markdown(head, body)}\n\n{markdown(what_head, what)}"
        write_between_marks(ROOT / "docs/performance.md", BEGIN, END, tables)


if __name__ == "__main__":
    try:
        main()
    finally:
        subprocess.run(["docker", "rm", "--force", BOX], capture_output=True)
