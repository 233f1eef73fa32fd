"""What the passes run on: images and containers on a real engine or on the fake one, policies, states."""

import http.client
import io
import json
import shutil
import socket
import subprocess
import tarfile
import time
from pathlib import Path

from measure import Command, run

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "target/bench"
FLOOR = BUILT / "floor/release/floor"
# Linked as the program is; there if that is not linked with this machine's libc.
FLOOR_FOR_TARGET = BUILT / "floor-for-target"
FAKE = BUILT / "fake/release/fake"
# The program with its system calls by way of libc: the vDSO, which rustix reads otherwise, is hidden under callgrind.
COUNTED = BUILT / "counted/release/tagkeeper"
# Just over the shortest soak that a policy may name.
SOAK_SECS = 1.2
WORKLOAD = "bench"


class Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path):
        super().__init__("localhost")
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class RealEngine:
    """The private engine, to set worlds up on."""

    def __init__(self, path):
        self.path = path
        self.connection = Connection(path)
        self.made = 0

    def ask(self, method, path, body=None, kind="application/json"):
        headers = {"Content-Type": kind} if body is not None else {}
        self.connection.request(method, path, body=body, headers=headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode(errors='replace')}")
        return text

    def version(self):
        return json.loads(self.ask("GET", "/version"))["Version"]

    def storage(self):
        return json.loads(self.ask("GET", "/info"))["Driver"]

    def make_image(self, repository, tag, runs=False):
        """An image with a layer of its own: a small file, and a busybox if it shall run."""
        self.made += 1
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            marker = f"{self.made}\n".encode()
            entry = tarfile.TarInfo("marker")
            entry.size = len(marker)
            tar.addfile(entry, io.BytesIO(marker))
            if runs:
                tar.add(shutil.which("busybox"), "bin/busybox")
        path = f"/images/create?fromSrc=-&repo={repository}&tag={tag}"
        self.ask("POST", path, layer.getvalue(), "application/x-tar")

    def tag(self, name, repository, tag):
        self.ask("POST", f"/images/{name}/tag?repo={repository}&tag={tag}")

    def create(self, name, image):
        wanted = {"Image": image, "Cmd": ["/bin/busybox", "sleep", "2147483647"], "HostConfig": {"NetworkMode": "none"}}
        self.ask("POST", f"/containers/create?name={name}", json.dumps(wanted))

    def start(self, name, image):
        self.create(name, image)
        self.ask("POST", f"/containers/{name}/start")

    def remove(self, name):
        self.ask("POST", f"/containers/{name}/kill")
        self.ask("POST", f"/containers/{name}/wait")
        self.ask("DELETE", f"/containers/{name}")

    def remove_image(self, name):
        self.ask("DELETE", f"/images/{name}?noprune=true")

    def names(self, repository):
        images = json.loads(self.ask("GET", "/images/json"))
        tags = [tag for image in images for tag in image["RepoTags"] or []]
        return {tag for tag in tags if tag.startswith(repository + ":")}


class FakeEngine:
    """The engine that answers from memory."""

    def __init__(self, path, size):
        self.path = path
        self.process = subprocess.Popen(
            [FAKE, path, str(size), str(size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.answer_bytes = sum(int(word) for word in self.process.stdout.readline().split())

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Host:
    """A policy and a state beside an engine."""

    def __init__(self, program, directory, socket_path, repository=WORKLOAD, soak="1s"):
        self.program, self.dir, self.socket = program, Path(directory), socket_path
        self.dir.mkdir()
        (self.dir / "state").mkdir()
        (self.dir / "policy.toml").write_text(
            f'[workload.{repository}]\nrepository = "{repository}"\nsoak = "{soak}"\n'
        )

    def command(self, what="reconcile", at=None, program=None):
        return Command(
            [
                str(program or self.program),
                f"--policy={self.dir}/policy.toml",
                f"--state-dir={self.dir}/state",
                f"--socket={at or self.socket}",
                what,
            ]
        )

    def settle(self):
        """Brings what serves to proven, so that the next pass is idle."""
        run(self.command())
        time.sleep(SOAK_SECS)
        run(self.command())
        state = self.dir / "state/state.json"
        before = state.stat().st_mtime_ns, state.read_bytes()
        run(self.command())
        if before != (state.stat().st_mtime_ns, state.read_bytes()) or b'"lineage"' not in before[1]:
            raise RuntimeError(f"the pass is not idle: see {state}")


def floor(socket_path, *names, program=FLOOR):
    return Command([str(program), str(socket_path), *names])
