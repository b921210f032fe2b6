"""The compose files: valid, nothing open to the network, nothing secret, the documented commands."""

from __future__ import annotations

import copy
import importlib.resources
import json
from typing import Any

import pytest
import yaml
from compose_files import DOCKER, FILES, ROOT, Missing, filled, raw, strings
from jsonschema import Draft202012Validator, ValidationError

from kas.study.commands._parser import parser

PASSWORD = "a secret: $x/@%"
STORAGE = "postgresql+psycopg://kas@database:5432/kas"


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    """The compose specification's own schema, which the package check-jsonschema ships."""
    place = importlib.resources.files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json")
    return Draft202012Validator(json.loads(place.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = filled(raw(), {"KAS_PASSWORD": PASSWORD})
    return loaded


@pytest.mark.parametrize("name", FILES)
def test_it_follows_the_specification(schema: Draft202012Validator, name: str) -> None:
    schema.validate(raw(name))
    schema.validate(filled(raw(name), {"KAS_PASSWORD": PASSWORD}))


@pytest.mark.parametrize(("key", "value"), [("comand", []), ("healthcheck", {"tests": []}), ("ports", "8080:8080")])
def test_the_schema_notices_mistakes(schema: Draft202012Validator, key: str, value: object) -> None:
    broken = copy.deepcopy(raw())
    broken["services"]["worker"][key] = value
    with pytest.raises(ValidationError):
        schema.validate(broken)


def test_the_services(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"database", "tables", "dashboard", "worker"}
    assert compose["services"]["database"]["image"].startswith("postgres:")
    assert set(raw("compose.cuda.yaml")["services"]) == {"worker"}


def test_only_the_dashboard_is_open_and_only_on_this_machine(compose: dict[str, Any]) -> None:
    ports = {name: service.get("ports", []) for name, service in compose["services"].items()}
    assert ports == {"database": [], "tables": [], "dashboard": ["127.0.0.1:8080:8080"], "worker": []}
    assert not any("network_mode" in service for service in compose["services"].values())


@pytest.mark.parametrize("environment", [{}, {"KAS_PASSWORD": ""}])
def test_without_a_password_it_fails_clearly(environment: dict[str, str]) -> None:
    for service in ("database", "tables", "dashboard", "worker"):
        with pytest.raises(Missing, match=r"^KAS_PASSWORD: set it to a password for the database$"):
            filled(raw()["services"][service], environment)


def test_the_password_is_in_the_environment_and_nowhere_else(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["database"]["environment"]["POSTGRES_PASSWORD"] == PASSWORD
    for name in ("tables", "dashboard", "worker"):
        assert services[name]["environment"] == {"PGPASSWORD": PASSWORD}
    for service in services.values():
        elsewhere = {key: value for key, value in service.items() if key != "environment"}
        assert not any(PASSWORD in text for text in strings(elsewhere))


def test_nothing_secret_is_written_down() -> None:
    for file in DOCKER.iterdir():
        for line in file.read_text(encoding="utf-8").splitlines():
            key, colon, value = line.strip().partition(":")
            if colon and key.isidentifier() and any(word in key.upper() for word in ("PASSWORD", "SECRET", "TOKEN")):
                assert value.strip() == "false" or value.strip().startswith("${KAS_PASSWORD:?"), f"{file.name}: {line}"
    assert not any("://kas:" in text for text in strings(raw())), "no URL holds a password"


def test_services_wait_for_the_database_and_its_tables(compose: dict[str, Any]) -> None:
    services = compose["services"]
    waits = {
        name: {other: wait["condition"] for other, wait in service.get("depends_on", {}).items()}
        for name, service in services.items()
    }
    assert waits == {
        "database": {},
        "tables": {"database": "service_healthy"},
        "dashboard": {"tables": "service_completed_successfully"},
        "worker": {"tables": "service_completed_successfully"},
    }
    assert services["database"]["healthcheck"]["test"][:2] == ["CMD", "pg_isready"]
    assert "/api/studies" in services["dashboard"]["healthcheck"]["test"][-1]


def test_nothing_is_privileged_and_data_is_in_named_volumes(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert not {"privileged", "cap_add", "devices", "pid", "ipc", "userns_mode"} & set(service)
        assert service["security_opt"] == ["no-new-privileges:true"]
        places = {volume.partition(":")[0] for volume in service["volumes"]}
        assert places <= {*compose["volumes"], "../studies"}
    assert all(compose["services"][name]["cap_drop"] == ["ALL"] for name in ("tables", "dashboard", "worker"))


def test_studies_data_and_packages_of_a_user_are_mounted() -> None:
    own = {"KAS_PASSWORD": PASSWORD, "KAS_STUDIES": "/my/studies", "KAS_DATA": "/my/data", "KAS_PACKAGES": "timm einops"}
    services = filled(raw(), own)["services"]
    assert services["worker"]["volumes"] == ["runs:/runs", "/my/studies:/app/studies:ro", "/my/data:/data:ro"]
    assert services["worker"]["build"]["args"]["PACKAGES"] == "timm einops"


def test_workers_scale_and_stop_cleanly(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    assert "container_name" not in worker
    assert worker["stop_signal"] == "SIGINT", "the clean end of a run, as Ctrl-C"
    assert worker["init"] is True


def test_the_worker_runs_the_documented_command(compose: dict[str, Any]) -> None:
    command = compose["services"]["worker"]["command"]
    expected = ["python", "-m", "kas.study", "run", "studies/digits.yaml", "--dir=/runs", f"--storage={STORAGE}"]
    assert command == expected
    run = parser().parse_args(command[3:])["run"]
    assert (str(run["dir"]), run["storage"]) == ("/runs", STORAGE)


def test_the_dashboard_shows_the_workers_storage_and_drawings(compose: dict[str, Any]) -> None:
    dashboard = compose["services"]["dashboard"]["command"]
    assert dashboard[:2] == ["optuna-dashboard", STORAGE]
    assert compose["services"]["tables"]["command"] == ["optuna", "studies", f"--storage={STORAGE}"]
    assert "--artifact-dir=/runs/digits/artifacts" in dashboard


def test_a_chosen_study_is_the_worker_s_and_the_dashboard_s() -> None:
    services = filled(raw(), {"KAS_PASSWORD": PASSWORD, "KAS_STUDY": "conv1d"})["services"]
    assert "studies/conv1d.yaml" in services["worker"]["command"]
    assert "--artifact-dir=/runs/conv1d/artifacts" in services["dashboard"]["command"]


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_study_has_the_name_of_its_file(path: Any) -> None:
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["name"] == path.stem
