"""What people run instead, as far as Debian's packages and the registries of Rust and Python have it."""

import io
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from host import BUILT, ROOT, WORKLOAD
from measure import PATH, Command

SOAK_SECS = "600"
PYTHON = BUILT / "venv/bin/python"
DOCUUM = BUILT / "docuum/bin/docuum"


@dataclass
class Rival:
    """A program to compare with, or why there is none."""

    name: str
    command: object = None  # from a socket's path to a Command
    size: int | None = None
    note: str = ""
    counts_instructions: bool = False
    has_engine: bool = True


def rivals(directory, images):
    """All of them. `images` is how many the ones with a store of their own shall hold."""
    docker = shutil.which("docker", path=PATH)
    client = os.stat(docker).st_size
    return [
        Rival(
            "shell: docker images, ps, inspect",
            lambda at: Command(
                ["/bin/sh", f"{ROOT}/bench/same_checks.sh", WORKLOAD, WORKLOAD, SOAK_SECS], _docker_host(at, directory)
            ),
            client,
            "size: the docker client's",
        ),
        Rival(
            "docker image prune -f --filter until=24h",
            lambda at: Command([docker, "image", "prune", "-f", "--filter", "until=24h"], _docker_host(at, directory)),
            client,
            "finds nothing to prune",
        ),
        _python(directory),
        _docuum(directory),
        _podman(Path(directory) / "podman", images),
    ]


def _docker_host(socket_path, directory):
    return {"DOCKER_HOST": f"unix://{socket_path}", "DOCKER_CONFIG": f"{directory}/docker-config", "HOME": str(directory)}


def _python(directory):
    name = "Python: docker package"
    if subprocess.run([PYTHON, "-c", "import docker"], capture_output=True, check=False).returncode:
        return Rival(name, note="PyPI's docker could not be installed here (bench/install says why)")
    packages = next((BUILT / "venv/lib").glob("python3*/site-packages"))
    needed = ("docker", "requests", "urllib3", "idna", "charset_normalizer", "certifi")
    size = sum(_tree_bytes(packages / package) for package in needed) + PYTHON.resolve().stat().st_size
    return Rival(
        name,
        lambda at: Command(
            [str(PYTHON), f"{ROOT}/bench/same_checks.py", WORKLOAD, WORKLOAD, SOAK_SECS], _docker_host(at, directory)
        ),
        size,
        "size: interpreter and packages, without Python's standard library",
        counts_instructions=True,
    )


def _tree_bytes(top):
    return sum(path.stat().st_size for path in top.rglob("*") if path.is_file())


def _docuum(directory):
    name = "docuum, first pass"
    if not DOCUUM.exists():
        return Rival(name, note="docuum could not be built here (bench/install says why)")
    return Rival(
        name,
        lambda at: Command(
            [str(DOCUUM), "--threshold", "1 TB"], _docker_host(at, directory), until="Listening for Docker events".encode()
        ),
        DOCUUM.stat().st_size + os.stat(shutil.which("docker", path=PATH)).st_size,
        "stopped when it listens for events; size: with the docker client it calls",
    )


def _podman(directory, images):
    name = "podman auto-update --dry-run"
    if not shutil.which("podman", path=PATH):
        return Rival(name, note="podman is not installed (bench/install says why)")
    (directory / "tmp").mkdir(parents=True)
    podman = ["podman", "--root", f"{directory}/root", "--runroot", f"{directory}/run", "--tmpdir", f"{directory}/tmp"]
    podman += ["--cgroup-manager", "cgroupfs", "--events-backend", "none"]
    command = Command([*podman, "auto-update", "--dry-run"])
    try:
        for number in range(images):
            importing = [*podman, "import", "--quiet", "-", f"{WORKLOAD}:v{number}"]
            subprocess.run(importing, input=_layer(number), capture_output=True, check=True)
        subprocess.run(command.argv, env=command.environment(), capture_output=True, check=True)
    except subprocess.CalledProcessError as failed:
        why = failed.stderr.decode(errors="replace").strip().splitlines()
        return Rival(name, note=f"does not run here: {why[-1] if why else failed}")
    return Rival(
        name,
        lambda _: command,
        os.stat(shutil.which("podman", path=PATH)).st_size,
        "has no engine to call: a store of its own with as many images, and, for want of systemd here, no container",
        has_engine=False,
    )


def _layer(number):
    text = f"{number}\n".encode()
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        entry = tarfile.TarInfo("marker")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    return layer.getvalue()
