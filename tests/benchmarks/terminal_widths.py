"""What a person sees of a tiny real run, through tmux at 60, 80 and 120 columns; and how soon.

    python tests/benchmarks/terminal_widths.py

Writes studies/results/terminal_WIDTH.txt: the screen during a run, at its end, and `status`, as tmux has them.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).parents[2]
WIDTHS = (60, 80, 120)
HEIGHT = 60
STUDY = """\
name: tiny
trials: 5
data: {name: digits, size: 8, train_samples: 100, val_samples: 50}
model: {args: {width: 8, stages: 2}}
training: {epochs: 1, model: {width: 4}}
cost: {batch_size: 2, size: 12, other_runtimes: false, max_ratio: 50}
search: {seeds: [depthwise_separable, conv1x1, inverted_residual]}
health: {enabled: false}
"""


def tmux(*words: str) -> str:
    return subprocess.run(["tmux", "-L", SERVER, *words], check=True, capture_output=True, text=True).stdout


def screen() -> str:
    return tmux("capture-pane", "-p", "-S", "-", "-t", "kas").rstrip()


def shown(command: str, width: int, folder: Path) -> tuple[str, str, float]:
    """A command in a terminal of this width: its screen in the middle, the last one, seconds to the first character."""
    done = folder / uuid.uuid4().hex
    script = f"cd {shlex.quote(str(folder))}; clear; {command}; touch {done}; sleep 1000"
    begun, first, middle, last = time.monotonic(), 0.0, "", ""
    tmux("new-session", "-d", "-s", "kas", "-x", str(width), "-y", str(HEIGHT), script)
    while not done.exists():
        last = screen()
        if last.strip() and not first:
            first = time.monotonic() - begun
        if ("trials" in last and "more on the front" in last) or "best within" in last or "no kernel beats" in last:
            middle = last
        time.sleep(0.05)
    time.sleep(0.3)
    last = screen()
    tmux("kill-session", "-t", "kas")
    return middle, last, first


def main() -> int:
    kas = f"{shlex.quote(sys.executable)} -m kas.study"
    for width in WIDTHS:
        with tempfile.TemporaryDirectory(prefix="kas-") as name:
            folder = Path(name)
            (folder / "tiny.yaml").write_text(STUDY)
            middle, end, first = shown(f"{kas} run tiny.yaml", width, folder)
            screens = [("while it runs", middle), ("at its end", end)]
            for words in ("status tiny", "list", "export tiny --kernel nothing --to py"):
                screens.append((words, shown(f"{kas} {words}", width, folder)[1]))
        out = ROOT / "studies" / "results" / f"terminal_{width}.txt"
        parts = [f"--- {title}\n{text}\n".replace(str(folder), "FOLDER") for title, text in screens]
        out.write_text("\n".join(parts))
        print(f"{out.name}: the first line of `run` after {first:.1f} s")
    return 0


if __name__ == "__main__":
    SERVER = f"kas-{uuid.uuid4().hex[:8]}"
    sys.exit(main())
