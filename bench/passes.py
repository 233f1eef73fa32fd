"""The measurements: idle and pending passes, promotions with clean-up, scale, and the decision alone."""

import json
import os
import subprocess
import sys
import time

from host import BUILT, COUNTED, FLOOR, FLOOR_FOR_TARGET, ROOT, SOAK_SECS, WORKLOAD, FakeEngine, Host, floor
from measure import Row, bytes_written, instructions, pair, peak_kib, run
from rivals import rivals


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def fill_engine(engine, images, containers, already=0):
    """Images of the workload and containers of them: the first is latest and serves, the other containers were created."""
    for number in range(already, images):
        engine.make_image(WORKLOAD, f"v{number}", runs=number == 0)
    if already == 0:
        engine.tag(f"{WORKLOAD}:v0", WORKLOAD, "latest")
        engine.start(WORKLOAD, f"{WORKLOAD}:v0")
    for number in range(1, containers):
        try:
            engine.create(f"k8s_{WORKLOAD}_{WORKLOAD}-{number}_default_0", f"{WORKLOAD}:v{number}")
        except RuntimeError as error:
            if " 409 " not in str(error):
                raise


def weigh(row, command_at, engine, proxy, counted=None):
    """What one run tells: memory, instructions, calls, bytes. Each in runs of their own, which nobody times."""
    command = command_at(engine.path)
    row.peak_kib = peak_kib(command)
    row.written = bytes_written(command)
    row.calls = proxy.count(command_at(proxy.path)) if proxy else None
    row.instructions = instructions(counted) if counted else None


def idle_rows(program, engine, proxy, directory, images, runs):
    """Every idle pass, and the pending one, each paired with the floor and with tagkeeper's idle pass."""
    idle = Host(program, directory / "idle", engine.path)
    idle.settle()
    pending = Host(program, directory / "pending", engine.path, soak="24h")
    for _ in range(3):
        run(pending.command())
    bottom, own = floor(engine.path), idle.command()

    rows = []
    say("the floor and tagkeeper")
    row = Row("floor: the two lists, read and forgotten", size=FLOOR.stat().st_size)
    pair(row, bottom, bottom, runs, own)
    weigh(row, floor, engine, proxy, counted=bottom)
    rows.append(row)
    if FLOOR_FOR_TARGET.exists():
        row = Row("the same floor, linked statically, as the program is", size=FLOOR_FOR_TARGET.stat().st_size)
        pair(row, floor(engine.path, program=FLOOR_FOR_TARGET), bottom, runs, own)
        weigh(row, lambda at: floor(at, program=FLOOR_FOR_TARGET), engine, proxy)
        rows.append(row)
    for name, host in (("tagkeeper reconcile, idle", idle), ("tagkeeper reconcile, pending", pending)):
        row = Row(name, size=program.stat().st_size)
        pair(row, host.command(), bottom, runs, own)
        counted = host.command(program=COUNTED)
        weigh(row, lambda at, host=host: host.command(at=at), engine, proxy, counted)
        rows.append(row)
    for rival in rivals(directory, images):
        say(rival.name)
        row = Row(rival.name, size=rival.size, note=rival.note)
        if rival.command:
            pair(row, rival.command(engine.path), bottom, max(5, runs // 5), own)
            counted = rival.command(engine.path) if rival.counts_instructions else None
            weigh(row, rival.command, engine, proxy if rival.has_engine else None, counted)
        rows.append(row)
    return rows


def cleanup_row(program, engine, proxy, directory, removals, runs):
    """Promotion plus clean-up, each pass on a world set up for it, paired with the engine's bare removals of as many, and
    with removals of which each is asked about first."""
    say(f"promotion and clean-up of {removals}")
    row = Row(f"tagkeeper reconcile, promotion and clean-up of {removals}", size=program.stat().st_size)
    for number in range(runs + 1):
        repository = f"clean-{removals}-{number}"
        old = [f"{repository}:old{n}" for n in range(removals)]
        bare = run(floor(engine.path, *_made(engine, old)))
        row.floor_wall.append(bare.wall)
        row.floor_cpu.append(bare.cpu)
        row.asking_wall.append(run(floor(engine.path, "--asking", *_made(engine, old))).wall)
        with Promotion(program, engine, directory / repository, repository, old) as host:
            if number < runs:
                sample = run(host.command())
                row.wall.append(sample.wall)
                row.cpu.append(sample.cpu)
            else:
                row.calls = proxy.count(host.command(at=proxy.path))
    with Promotion(program, engine, directory / f"memory-{removals}", f"memory-{removals}", old) as host:
        row.peak_kib = peak_kib(host.command(), runs=1)
    with Promotion(program, engine, directory / f"bytes-{removals}", f"bytes-{removals}", old) as host:
        row.written = bytes_written(host.command())
    return row


def _made(engine, names):
    for name in names:
        engine.make_image(*name.split(":"))
    return names


class Promotion:
    """A world whose next pass promotes v1 from v0 and removes the old images; it checks that the pass did."""

    def __init__(self, program, engine, directory, repository, old):
        self.engine, self.repository = engine, repository
        self.host = Host(program, directory, engine.path, repository)
        self.old = [f"{repository}:{name.split(':')[1]}" for name in old]

    def __enter__(self):
        engine, repository = self.engine, self.repository
        _made(engine, self.old)
        engine.make_image(repository, "v0", runs=True)
        engine.make_image(repository, "v1", runs=True)
        engine.tag(f"{repository}:v0", repository, "latest")
        engine.start(repository, f"{repository}:v0")
        self.host.settle()
        engine.remove(repository)
        engine.start(f"k8s_{repository}", f"{repository}:v1")
        run(self.host.command())
        time.sleep(SOAK_SECS)
        return self.host

    def __exit__(self, failed, *_):
        left = self.engine.names(self.repository)
        wanted = {f"{self.repository}:{tag}" for tag in ("latest", "v0", "v1")}
        self.engine.remove(f"k8s_{self.repository}")
        for name in left:
            self.engine.remove_image(name)
        if not failed and left != wanted:
            raise RuntimeError(f"the pass left {sorted(left)}")


def scale_rows(program, directory, sizes, runs):
    """The floor, the idle pass and `plan` on the fake engine, by size."""
    points = []
    for size in sizes:
        say(f"{size} images and {size} containers on the fake engine")
        engine = FakeEngine(str(directory / f"fake-{size}.sock"), size)
        try:
            points.append(_scale_point(program, directory / f"fake-{size}", engine, size, runs))
        finally:
            engine.end()
    return points


def real_scale(program, engine, directory, size, runs):
    """The same on the real engine."""
    return _scale_point(program, directory / f"real-{size}", engine, size, runs)


def _scale_point(program, directory, engine, size, runs):
    host = Host(program, directory, engine.path)
    host.settle()
    bottom = floor(engine.path)
    runs = max(5, runs if size <= 1000 else runs // 4)
    point = {"size": size, "answer_bytes": getattr(engine, "answer_bytes", None), "rows": {}}
    for name, command in (("floor", bottom), ("idle", host.command()), ("plan", host.command("plan"))):
        row = pair(Row(name), command, bottom, runs)
        row.peak_kib = peak_kib(command)
        point["rows"][name] = row
    return point


def decide_times():
    """`decide` alone, by criterion: medians in milliseconds by what is decided and size."""
    say("decide, alone")
    home = BUILT / "criterion"
    log = BUILT / "criterion.log"
    with log.open("w") as file:
        subprocess.run(
            ["cargo", "bench", "--locked", "--bench", "decide"],
            cwd=ROOT,
            env=os.environ | {"CRITERION_HOME": str(home)},
            stdout=file,
            stderr=subprocess.STDOUT,
            check=True,
        )
    times = {}
    for estimates in home.glob("decide/*/*/new/estimates.json"):
        kind, size = estimates.parts[-4], int(estimates.parts[-3])
        times.setdefault(kind, {})[size] = json.loads(estimates.read_text())["median"]["point_estimate"] / 1e6
    return times
