"""Ten drawings of kernels, from 3 to 25 steps, as PNG files, with the geometry of each: nothing overlaps.

    python tests/benchmarks/drawings.py [--out studies/results/drawings] [--seed 0]

Known kernels where there is one of that length, sampled ones elsewhere. Prints a row for each; exit code 1 if boxes or texts
overlap in any.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import kas
from kas.generation import GENOME_STEPS, GenerationSettings
from kas.lowering.drawing import figure, png_bytes

KNOWN = {3: "depthwise_separable", 5: "squeeze_excitation", 6: "involution", 7: "nonlocal_attention", 10: "shufflenet_unit"}
STEPS = (3, 5, 6, 7, 10, 12, 15, 18, 21, 25)
Rectangle = tuple[float, float, float, float]  # left, right, bottom, top


def kernel_of(steps: int, seed: int) -> tuple[str, kas.Kernel]:
    """A kernel with so many steps, and what it is."""
    if steps in KNOWN and len(kas.zoo.get(KNOWN[steps]).steps) == steps:
        return KNOWN[steps], kas.zoo.get(KNOWN[steps])
    drawn = min(steps, GENOME_STEPS)
    for more in range(200):
        settings = GenerationSettings(min_steps=max(3, drawn - 4), max_steps=drawn, branch=0.5, max_width=4)
        for kernel in kas.sample(4, seed=seed + more, settings=settings):
            if len(kernel.steps) == drawn == steps:
                return f"sampled, seed {seed + more}", kernel
            if len(kernel.steps) == drawn == steps - 1:
                return f"sampled, seed {seed + more}, + x", with_skip(kernel)
    raise SystemExit(f"no kernel of {steps} steps was sampled")


def with_skip(kernel: kas.Kernel) -> kas.Kernel:
    """The kernel plus its input: one step more than a search draws."""
    program = kernel.to_dict()
    program["steps"].append({"op": "add", "ins": [0, len(kernel.steps)]})
    return kas.Kernel.from_json(program)


def rectangles(kernel: kas.Kernel) -> Iterator[tuple[str, Rectangle]]:
    """Every box and every text outside the boxes, as drawn, in points: its id and where it is."""
    drawn = figure(kernel)
    drawn.canvas.draw()
    (axes,) = drawn.axes
    for artist in (*axes.patches, *axes.texts):
        name = artist.get_gid() or ""
        if name.startswith(("box-", "shape-", "legend")):
            extent = artist.get_window_extent()
            yield name, (extent.x0, extent.x1, extent.y0, extent.y1)


def overlaps(kernel: kas.Kernel) -> list[tuple[str, str]]:
    """The pairs that overlap."""
    pairs = combinations(rectangles(kernel), 2)
    return [(m, n) for (m, a), (n, b) in pairs if a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "studies" / "results" / "drawings")
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    wanted.out.mkdir(parents=True, exist_ok=True)
    wrong = 0
    print(f"{'steps':>5}  {'file':22}{'kernel':26}{'kB':>5}{'pixels':>12}{'overlaps':>10}{'CPU ms':>8}")
    for steps in STEPS:
        what, kernel = kernel_of(steps, wanted.seed)
        start = time.process_time()
        data = png_bytes(kernel)
        elapsed = 1e3 * (time.process_time() - start)
        path = wanted.out / f"{steps:02d}_steps.png"
        path.write_bytes(data)
        found = overlaps(kernel)
        wrong += bool(found)
        pixels = f"{int.from_bytes(data[16:20], 'big')}x{int.from_bytes(data[20:24], 'big')}"
        row = f"{steps:>5}  {path.name:22}{what:26}{len(data) // 1024:>5}{pixels:>12}"
        print(f"{row}{len(found):>10}{elapsed:>8.0f}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
