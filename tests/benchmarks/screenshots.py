"""Pictures of a study's report (400 and 1280 pixels wide) and of its page in optuna-dashboard, by an installed Chromium.

    python tests/benchmarks/screenshots.py runs/digits studies/results

writes report_400.png, report_1280.png and dashboard.png.
"""

from __future__ import annotations

import argparse
import shutil
import threading
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import matplotlib.image
import optuna
from optuna_dashboard import wsgi
from playwright.sync_api import Browser, sync_playwright

from kas.study.__main__ import main as kas
from kas.study.storage.opening import close_storage, open_storage

COLOURS = 31  # of a picture: a few are enough, and the files stay small
HEIGHT = 1700


class Quiet(WSGIRequestHandler):
    """Does not log each request."""

    def log_message(self, *_: object) -> None:
        pass


def shoot(browser: Browser, address: str, out: Path, width: int, height: int = HEIGHT) -> None:
    """Write a picture of a page, from its top."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(address)
    page.wait_for_timeout(4000)
    page.screenshot(path=out)
    page.close()
    pixels = matplotlib.image.imread(out)[..., :3]
    matplotlib.image.imsave(out, (pixels * COLOURS).round() / COLOURS, pil_kwargs={"optimize": True})
    print(f"{out}: {out.stat().st_size // 1024} KiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="the folder of a study")
    parser.add_argument("out", type=Path, help="the folder of the pictures")
    args = parser.parse_args()
    kas(["report", args.study.name, f"--dir={args.study.parent}"])
    storage = open_storage(None, args.study, create=False)
    study = optuna.load_study(study_name=args.study.name, storage=storage)
    server = make_server("127.0.0.1", 0, wsgi(storage), handler_class=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for width in (400, 1280):
            shoot(browser, (args.study / "report.html").resolve().as_uri(), args.out / f"report_{width}.png", width)
        page = f"http://127.0.0.1:{server.server_port}/dashboard/studies/{study._study_id}/note"
        shoot(browser, page, args.out / "dashboard.png", 1280, 800)
        browser.close()
    server.shutdown()
    close_storage(storage)


if __name__ == "__main__":
    main()
