"""Measuring programs from outside: wall and CPU time, memory, instructions, engine calls, bytes written."""

import os
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

KIB = 1024
# Debian's programs before others of their names.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin:" + os.environ.get("PATH", "")


@dataclass
class Command:
    """A program to run. One that does not end by itself is ended once it has printed `until`."""

    argv: list
    env: dict = field(default_factory=dict)
    until: bytes | None = None

    def environment(self):
        bare = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
        # A runtime directory that cannot be made: the machine has one of its own.
        return bare | {"PATH": PATH, "RUNTIME_DIRECTORY": "/nonexistent/run"} | self.env


@dataclass
class Sample:
    """One run: milliseconds."""

    wall: float
    cpu: float


def run(command):
    """One timed run. CPU is user and system time, with that of the children that were waited for."""
    before = time.perf_counter()
    if command.until:
        pid = _until(command, command.argv)
    else:
        null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
        # spawned by vfork: a copy of this process' tables would be charged to the program.
        pid = os.posix_spawnp(command.argv[0], command.argv, command.environment(), file_actions=null)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - before
    if status and not command.until:
        raise RuntimeError(f"{command.argv} failed:\n{output(command)}")
    return Sample(wall * 1000, (usage.ru_utime + usage.ru_stime) * 1000)


def output(command):
    """What a program prints, whatever comes of it; for messages."""
    done = subprocess.run(
        command.argv, env=command.environment(), stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return (done.stdout + done.stderr).decode(errors="replace")


def _until(command, argv):
    """Runs a program until it has printed what is waited for, then tells it to end. The pid, to be waited for."""
    started = subprocess.Popen(
        argv, env=command.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    for line in started.stderr:
        if command.until in line:
            break
    else:
        raise RuntimeError(f"{argv} ended before it printed {command.until}")
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
    wrapped = argv is not command.argv
    os.kill(int(children[0]) if wrapped else started.pid, signal.SIGTERM)
    started.stderr.close()
    started.returncode = 0  # waited for by the caller
    return started.pid


def peak_kib(command, runs=3):
    """The resident memory of the largest process, at its peak: the median of some runs.

    By time(1), which is small: a process inherits the peak of the one that started it, and this one is large.
    """
    with tempfile.NamedTemporaryFile("r") as file:
        peaks = []
        for _ in range(runs):
            argv = ["/usr/bin/time", "--quiet", "-f", "%M", "-o", file.name, *command.argv]
            if command.until:
                os.waitpid(_until(command, argv), 0)
            else:
                run(Command(argv, command.env))
            peaks.append(int(Path(file.name).read_text().split()[-1]))
        return statistics.median(peaks)


def instructions(command):
    """Instructions of one run, counted by callgrind. It counts those of a program that it crashes, too."""
    argv = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command.argv]
    told = output(Command(argv, command.env))
    found = re.search(r"Collected : (\d+)", told)
    if not found or "Process terminating" in told:
        raise RuntimeError(f"{command.argv} does not run under callgrind:\n{told}")
    return int(found[1])


def bytes_written(command):
    """Bytes that one run wrote to files: sockets, pipes and /dev/null are none."""
    calls = "write,writev,pwrite64,pwritev,pwritev2,copy_file_range,sendfile,fallocate,ftruncate"
    with tempfile.TemporaryDirectory() as traces:
        # -ff: a file for each process, so that no line is torn by another's.
        argv = ["strace", "-ff", "-y", "-qq", "-s", "0", "-e", f"trace={calls}", "-o", f"{traces}/trace", *command.argv]
        if command.until:
            os.waitpid(_until(command, argv), 0)
        else:
            run(Command(argv, command.env))
        written = 0
        for trace in Path(traces).iterdir():
            for line in trace.read_text(errors="replace").splitlines():
                call = re.match(r"(\w+)\(\d+<(/[^>]*)>.* = (\d+)", line)
                if call and not call[2].startswith("/dev/"):
                    written += int(call[3])
        return written


class Proxy:
    """A socket in front of the engine's that counts requests. Never in the way of a timed run."""

    REQUEST = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE) [^ \r\n]+ HTTP/1\.1\r\n")

    def __init__(self, path, engine):
        self.path, self.engine, self.calls = str(path), str(engine), 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def count(self, command):
        """The engine calls of one run of a command that speaks to this proxy."""
        self.calls = 0
        run(command)
        return self.calls

    def _accept(self):
        while True:
            client, _ = self.listener.accept()
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(self.engine)
            threading.Thread(target=self._pump, args=(client, engine, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(engine, client, False), daemon=True).start()

    def _pump(self, source, sink, is_client):
        try:
            while data := source.recv(64 * KIB):
                if is_client:
                    self.calls += len(self.REQUEST.findall(data))
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@dataclass
class Row:
    """What is known of one kind of pass. Times are in milliseconds; a ratio is the median over pairs of runs."""

    name: str
    wall: list = field(default_factory=list)
    cpu: list = field(default_factory=list)
    floor_wall: list = field(default_factory=list)
    floor_cpu: list = field(default_factory=list)
    # Of a clean-up: the bare removals, each after the questions of design 4.6.
    asking_wall: list = field(default_factory=list)
    own_wall: list = field(default_factory=list)
    own_cpu: list = field(default_factory=list)
    peak_kib: float | None = None
    instructions: int | None = None
    calls: int | None = None
    written: int | None = None
    size: int | None = None
    note: str = ""

    def over_floor(self, what):
        """How many times the floor: the median of the ratios, each to the run of the floor right before."""
        return ratio(getattr(self, what), getattr(self, f"floor_{what}"))

    def over_own(self, what):
        """How many times tagkeeper's idle pass."""
        return ratio(getattr(self, what), getattr(self, f"own_{what}"))


def ratio(ours, theirs):
    pairs = [a / b for a, b in zip(ours, theirs) if b]
    return statistics.median(pairs) if pairs else None


def pair(row, command, floor, runs, own=None):
    """Runs floor, tagkeeper's idle pass (if given) and a command in turn."""
    for warming in (True, *[False] * runs):
        of_floor = run(floor)
        of_own = run(own) if own else None
        sample = run(command)
        if warming:
            continue
        row.floor_wall.append(of_floor.wall)
        row.floor_cpu.append(of_floor.cpu)
        if of_own:
            row.own_wall.append(of_own.wall)
            row.own_cpu.append(of_own.cpu)
        row.wall.append(sample.wall)
        row.cpu.append(sample.cpu)
    return row
