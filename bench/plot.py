"""The plot of CPU and memory over size, as plain SVG: no background, and colours that do on a light page and a dark one."""

import math
import statistics

WIDTH, HEIGHT, GAP = 440, 300, 20
LEFT, RIGHT, TOP, BOTTOM = 62, 100, 34, 44
GREY = "#808a94"
LINES = {"floor": "#808a94", "idle": "#2f81f7", "plan": "#d9822b", "answers": "#3fa35c"}


def draw(points):
    """Two panels side by side; both axes are logarithmic, so a line of slope one is linear growth."""
    sizes = [point["size"] for point in points]
    cpu = {name: [statistics.median(p["rows"][name].cpu) for p in points] for name in ("floor", "idle", "plan")}
    memory = {name: [p["rows"][name].peak_kib / 1024 for p in points] for name in ("floor", "idle", "plan")}
    memory["answers"] = [p["answer_bytes"] / 1024 / 1024 for p in points]
    total = 2 * WIDTH + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {HEIGHT}" width="{total}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{GREY}" role="img">',
        "<title>CPU time and peak memory of a pass over the number of images and containers</title>",
        *_panel(0, "CPU time of a pass, ms", sizes, cpu),
        *_panel(WIDTH + GAP, "peak memory, MiB", sizes, memory),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _panel(left, title, sizes, lines):
    values = [value for line in lines.values() for value in line]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    first, last = math.log10(sizes[0]), math.log10(sizes[-1])

    def across(size):
        return left + LEFT + (math.log10(size) - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def up(value):
        return HEIGHT - BOTTOM - (math.log10(value) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    yield f'<text x="{left + LEFT}" y="18" font-size="14">{title}</text>'
    for power in range(low, high + 1):
        y = up(10**power)
        yield f'<line x1="{left + LEFT}" y1="{y:.1f}" x2="{left + WIDTH - RIGHT}" y2="{y:.1f}" stroke="{GREY}" stroke-opacity="0.35"/>'
        yield f'<text x="{left + LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10**power:g}</text>'
    for size in sizes:
        yield f'<text x="{across(size):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{size:,}</text>'
    middle = left + (LEFT + WIDTH - RIGHT) / 2
    yield f'<text x="{middle:.1f}" y="{HEIGHT - 8}" text-anchor="middle">images, and as many containers</text>'
    taken = []
    for name, line in sorted(lines.items(), key=lambda item: -item[1][-1]):
        spots = [(across(size), up(value)) for size, value in zip(sizes, line)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        yield f'<polyline points="{path}" fill="none" stroke="{LINES[name]}" stroke-width="2"/>'
        yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{LINES[name]}"/>' for x, y in spots)
        # Names stand beside the lines' ends, from the top down, and keep out of each other's way.
        label = max(spots[-1][1] + 4, taken[-1] + 14) if taken else spots[-1][1] + 4
        taken.append(label)
        yield f'<text x="{spots[-1][0] + 8:.1f}" y="{label:.1f}" fill="{LINES[name]}">{NAMES[name]}</text>'


NAMES = {"floor": "floor", "idle": "reconcile, idle", "plan": "plan", "answers": "answers’ size"}
