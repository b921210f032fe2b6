"""The dashboard's answer about a study: the same trials, without the list of all ops with every step."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import optuna

import kas
from kas.study.commands.dashboard import application


def answer(study: optuna.Study, folder: Path, **environ: str) -> tuple[str, dict[str, str], bytes]:
    begun: list[Any] = []
    path = f"/api/studies/{study._study_id}"
    request = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "after=0", "CONTENT_TYPE": "application/json"}
    body = application(study._storage, folder)(
        {"SERVER_NAME": "x", "SERVER_PORT": "1", "wsgi.url_scheme": "http", **request, **environ},
        lambda status, headers, *_: begun.append((status, dict(headers))),
    )
    return (*begun[-1], b"".join(body))


def test_a_study_is_sent_with_its_choices_once(tmp_path: Path) -> None:
    study = optuna.create_study(sampler=kas.KernelSampler())
    study.optimize(lambda trial: float(len(kas.suggest_kernel(trial).steps)), n_trials=6)
    status, headers, body = answer(study, tmp_path)
    assert status == "200 OK"
    assert int(headers["Content-Length"]) == len(body)
    found = json.loads(body)
    assert len(found["trials"]) == 6
    params = found["trials"][0]["params"]
    assert {one["name"]: one["param_external_value"] for one in params} == study.trials[0].params
    assert all(one["distribution"] == {"type": "CategoricalDistribution", "choices": []} for one in params)
    assert len(found["union_search_space"][0]["distribution"]["choices"]) > 40
    assert {one["key"] for one in found["trials"][0]["user_attrs"]} == {"program", "hash", "parents"}
    _, headers, packed = answer(study, tmp_path, HTTP_ACCEPT_ENCODING="gzip, br")
    assert headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(packed))["trials"] == found["trials"]


def test_other_answers_are_the_dashboards_own(tmp_path: Path) -> None:
    study = optuna.create_study()
    for path, expected in (("/api/studies", "200 OK"), ("/api/studies/99", "404 Not Found")):
        status, _, body = answer(study, tmp_path, PATH_INFO=path)
        assert status == expected
        assert json.loads(body)
