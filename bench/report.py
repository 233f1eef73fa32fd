"""The tables: as text for the terminal, as Markdown for docs/performance.md."""

import re
import statistics

from measure import ratio

MIB = 1024 * 1024
BEGIN, END = "<!-- bench:begin (written by `make bench`) -->", "<!-- bench:end -->"


def middle(samples, digits=1):
    """`median (least-most)`."""
    if not samples:
        return "-"
    return f"{statistics.median(samples):.{digits}f} ({min(samples):.{digits}f}-{max(samples):.{digits}f})"


def times(ratio):
    if ratio is None:
        return "-"
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def number(value):
    return "-" if value is None else f"{value:,.0f}"


def passes_table(rows):
    head = [
        "pass", "wall, ms", "x floor", "x tagkeeper", "CPU, ms", "x floor", "x tagkeeper", "peak KiB", "instructions",
        "calls", "bytes written", "binary, bytes",
    ]  # fmt: skip
    body = [
        [
            row.name,
            middle(row.wall),
            times(row.over_floor("wall")),
            times(row.over_own("wall")),
            middle(row.cpu, 2),
            times(row.over_floor("cpu")),
            times(row.over_own("cpu")),
            number(row.peak_kib),
            number(row.instructions),
            number(row.calls),
            number(row.written),
            number(row.size),
        ]
        for row in rows
    ]
    return head, body


def scale_table(points):
    head = [
        "images, containers", "engine", "answers, KiB", "floor wall, ms", "idle wall, ms", "x floor", "plan wall, ms",
        "floor CPU, ms", "idle CPU, ms", "x floor", "plan CPU, ms", "floor peak KiB", "idle peak KiB", "plan peak KiB",
    ]  # fmt: skip
    body = []
    for point in points:
        bottom, idle, plan = (point["rows"][name] for name in ("floor", "idle", "plan"))
        answers = point["answer_bytes"]
        body.append(
            [
                number(point["size"]),
                "fake" if answers else "real",
                number(answers and answers / 1024),
                middle(bottom.wall),
                middle(idle.wall),
                times(idle.over_floor("wall")),
                middle(plan.wall),
                middle(bottom.cpu, 2),
                middle(idle.cpu, 2),
                times(idle.over_floor("cpu")),
                middle(plan.cpu, 2),
                *(number(row.peak_kib) for row in (bottom, idle, plan)),
            ]
        )
    return head, body


def decide_table(decided):
    sizes = sorted({size for by_size in decided.values() for size in by_size})
    head = ["images, containers", *(f"{kind}, ms" for kind in decided), "idle, ns for each"]
    body = []
    for size in sizes:
        idle = decided["idle"][size]
        body.append([number(size), *(f"{of[size]:.3f}" for of in decided.values()), number(idle * 1e6 / size)])
    return head, body


def cleanup_table(removals, cleanups):
    """A clean-up beside the removals that are in it, and beside what asking costs whoever asks."""
    head = ["images removed", "bare removals, ms", "each asked about, ms", "x bare", "tagkeeper, ms", "x bare", "x asked about"]
    body = [
        [
            number(count),
            middle(row.floor_wall),
            middle(row.asking_wall),
            times(ratio(row.asking_wall, row.floor_wall)),
            middle(row.wall),
            times(row.over_floor("wall")),
            times(ratio(row.wall, row.asking_wall)),
        ]
        for count, row in zip(removals, cleanups)
    ]
    return head, body


def goals_table(rows, cleanup, points, decided):
    """The goals, each beside what this run measured."""
    by_name = {row.name: row for row in rows}
    idle = by_name["tagkeeper reconcile, idle"]
    large = max((p for p in points if p["answer_bytes"]), key=lambda p: p["size"])
    answers = large["answer_bytes"]
    times_answers = large["rows"]["idle"].peak_kib * 1024 / answers
    sizes = sorted(decided["idle"])
    most, least = sizes[-1], sizes[1]
    growth = (decided["idle"][most] / most) / (decided["idle"][least] / least)
    by_rival = lambda text: next((r.over_own("cpu") for r in rows if r.name.startswith(text)), None)  # noqa: E731
    removal = cleanup.over_floor("wall")
    goals = [
        ("idle pass, wall, over the floor, 100 images on a real engine", "<= 1.3", idle.over_floor("wall"), 1.3),
        ("idle pass, CPU, over the floor", "<= 3", idle.over_floor("cpu"), 3),
        ("idle pass, peak memory at 100 images, MiB", "<= 4.5", idle.peak_kib / 1024, 4.5),
        ("idle pass, CPU: the shell script needs times as much", ">= 20", by_rival("shell"), -20),
        ("idle pass, CPU: the Python script needs times as much", ">= 50", by_rival("Python"), -50),
        (f"memory at {large['size']:,} on the fake engine, over the answers' size", "<= 4", times_answers, 4),
        (f"`decide` at {most:,}, ms", "<= 5", decided["idle"][most], 5),
        (f"`decide`, cost for each image at {most:,} over that at {least:,}", "linear: about 1", growth, 2),
        ("clean-up of 50 images, wall, over the engine's own removals", "<= 1.1", removal, 1.1),
        ("bytes written by an idle pass", "0", idle.written, 0),
        ("binary, stripped, MB", "<= 3.5", idle.size / 1e6, 3.5),
    ]
    body = [[what, goal, times(value), _met(value, limit)] for what, goal, value, limit in goals]
    return ["goal", "wanted", "measured", "met"], body


def _met(value, limit):
    """A negative limit is a least."""
    if value is None:
        return "not measured"
    return "yes" if (value >= -limit if limit < 0 else value <= limit) else "no"


def text(head, body):
    widths = [max(len(row[at]) for row in (head, *body)) for at in range(len(head))]
    lines = []
    for row in (head, ["-" * width for width in widths], *body):
        cells = [cell.ljust(width) if at == 0 else cell.rjust(width) for at, (cell, width) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(head, body):
    rule = ["---"] + ["--:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *body))


def notes(rows):
    return "\n".join(f"- {row.name}: {row.note}" for row in rows if row.note)


def write_between_marks(file, begin, end, content):
    page = file.read_text()
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(page):
        raise RuntimeError(f"{file} has lost its marks {begin} and {end}")
    file.write_text(pattern.sub(lambda _: f"{begin}\n\n{content}\n\n{end}", page))
