"""The dashboard's data without what it repeats: the list of all ops with every step of every trial."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["Application", "slim"]

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_STUDY = re.compile(r"/api/studies/\d+")
_HIDDEN = frozenset({"owner", "values", "family"})  # attributes that say nothing to people, or again what stands elsewhere


def slim(application: Application) -> Application:
    """A WSGI application that answers as another, the dashboard's, does; but a study is shorter, and compressed on request.

    The choices of a categorical parameter stand once, in the search space of the study, and not with each trial.
    """

    def serve(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("REQUEST_METHOD") != "GET" or not _STUDY.fullmatch(environ.get("PATH_INFO", "")):
            return application(environ, start)
        begun: list[tuple[str, list[tuple[str, str]]]] = []
        body = b"".join(application(environ, lambda status, headers, *_: begun.append((status, headers))))
        status, headers = begun[-1]
        if status.startswith("200"):
            body = _shorter(body)
        kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
        if "gzip" in environ.get("HTTP_ACCEPT_ENCODING", ""):
            body = gzip.compress(body, compresslevel=4)
            kept.append(("Content-Encoding", "gzip"))
        start(status, [*kept, ("Content-Length", str(len(body)))])
        return [body]

    return serve


def _shorter(body: bytes) -> bytes:
    study = json.loads(body)
    for trial in [*study.get("trials", ()), *study.get("best_trials", ())]:
        for param in trial["params"]:
            if "choices" in param["distribution"]:
                param["distribution"]["choices"] = []
        trial["user_attrs"] = [one for one in trial["user_attrs"] if one["key"] not in _HIDDEN]
    return json.dumps(study, separators=(",", ":"), ensure_ascii=False).encode()
