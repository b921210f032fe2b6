"""`list`: the studies in a place."""

from __future__ import annotations

from typing import Any

from kas.language.errors import KasError
from kas.study.commands._base import Command, Place, add_place
from kas.study.commands._studies import open_study, study_names
from kas.study.shipped import shipped_studies
from kas.study.storage.masking import masked

__all__ = ["command"]


def _execute(args: Any) -> int:
    from kas.study.display.lines import make_console, say

    place = Place.of(args)
    names = study_names(place)
    if not names:
        say(f"no studies in {place.where}")
        say(f"studies to run, which come with kas: {', '.join(shipped_studies())}")
        return 0
    from kas.study.display.tables import single_lines, stacked, table_width

    wrong: list[str] = []
    titles = ("finished", "running", "on the front", "best near original", "folder")
    rows = []
    for name in names:
        cells = (*_row(place, name, wrong), str(place.folder(name)))
        rows.append({"study": name, **dict(zip(titles, cells, strict=True))})
    console = make_console()
    if table_width(rows, list(rows[0])) > console.width:
        console.print(stacked(rows, [""] * len(rows), console.width))
    else:
        table = single_lines(rows, list(rows[0]))
        for row in rows:
            table.add_row(*row.values())
        console.print(table)
    for line in wrong:
        say(line)
    say(f"\nstudies to run, which come with kas: {', '.join(shipped_studies())}")
    return 0


def _row(place: Place, name: str, wrong: list[str]) -> list[str]:
    """The cells of a study; what of it cannot be read is added to `wrong`."""
    from kas.reporting import wording
    from kas.study.display.overview import beats
    from kas.study.storage import promotions, records

    try:
        study = open_study(place, name)
        rows = records.read(study)
    except KasError as error:  # one broken study does not hide the others
        wrong.append(f"{name}: {masked(str(error), place.storage)}")
        return ["unreadable", "", "", ""]
    wrong += [f"{name}: {line}" for line in promotions.broken(study)]
    metric, original = records.metric(study), records.reference(study)
    front = records.front(rows, metric.direction)
    best = max((record.speedup or 0 for record in front if beats(record, original, metric)), default=None)
    wanted = records.wanted(study)
    finished = sum(record.is_finished for record in rows)
    return [
        f"{finished}" if wanted is None else f"{finished} of {wanted}",
        str(records.running(study)),
        str(len(front)),
        wording.speedup(best or None),
    ]


command = Command(
    summary="the studies that exist",
    description="List the studies in --dir, or in --storage: how far each is, and its best speed-up.",
    add_arguments=add_place,
    execute=_execute,
)
