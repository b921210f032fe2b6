"""`report NAME`: one HTML file about a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from kas.study.commands._base import Command, Place, add_place
from kas.study.commands._studies import open_study

if TYPE_CHECKING:
    from kas.study.storage.files import StudyFolder
    from kas.study.storage.records import TrialRecord

__all__ = ["command", "write"]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", type=str, help="the study")
    parser.add_argument("--out", type=str, metavar="FILE", help="where to write it (default: DIR/NAME/report.html)")
    add_place(parser)


def _execute(args: Any) -> int:
    place = Place.of(args)
    print(f"report   {write(place, args.name, Path(args.out) if args.out else None)}")
    return 0


def write(place: Place, name: str, out: Path | None = None) -> Path:
    """Write the report of a study, to DIR/NAME/report.html by default; returns its path. Raises `KasError`."""
    from kas.reporting.report import write_report
    from kas.study.display.promotion import all_standings
    from kas.study.storage import measurements, records
    from kas.study.storage.files import StudyFolder

    study = open_study(place, name)
    folder = StudyFolder(place.folder(name))
    front = records.front(records.read(study), records.metric(study).direction)
    drawings = {str(record.hash): _drawing(record, folder) for record in front if record.hash and record.program}
    promoted = [row.to_dict() for row in all_standings(study)]
    return write_report(study, out or folder.report, drawings, measurements.read(folder), promoted, place.shown())


def _drawing(record: TrialRecord, folder: StudyFolder) -> str:
    """The kernel's drawing as SVG text; drawn now if the folder has none that is whole."""
    from kas.study.storage.files import is_whole_svg

    path = folder.kernel(str(record.hash), ".svg")
    if is_whole_svg(path):
        return path.read_text(encoding="utf-8")
    from kas.language.kernel import Kernel
    from kas.lowering.drawing import svg_text

    return svg_text(Kernel.from_json(str(record.program)))


command = Command(
    summary="write the report of a study, one HTML file",
    description="Write one self-contained HTML file about a study: the front, its kernels beside the original, every trial.",
    add_arguments=_add_arguments,
    execute=_execute,
)
