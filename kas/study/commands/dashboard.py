"""`dashboard NAME`: optuna-dashboard on the study, until Ctrl-C."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from kas.language.errors import KasError
from kas.study.commands._base import Command, Place, add_place, whole
from kas.study.commands._studies import open_study

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from kas.study.display.slim import Application

__all__ = ["application", "command"]

HOST = "127.0.0.1"


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", type=str, help="the study")
    parser.add_argument("--port", type=whole, default=8080, help="the port on 127.0.0.1 (default: 8080)")
    add_place(parser)


def _execute(args: Any) -> int:
    place = Place.of(args)
    study = open_study(place, args.name)
    _check_port(args.port)
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIServer, make_server

    class Server(ThreadingMixIn, WSGIServer):
        """A thread for each request: a browser's idle connection holds up no other, and Ctrl-C is not lost in one."""

        daemon_threads = True

    server = make_server(HOST, args.port, application(study._storage, place.folder(args.name)), server_class=Server)
    print(f"study {args.name}: http://{HOST}:{args.port}/dashboard/studies/{study._study_id}  (Ctrl-C ends)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    finally:
        server.server_close()
    return 0


def application(storage: BaseStorage, folder: Path) -> Application:
    """The dashboard of a study in `folder` as a WSGI application."""
    from optuna_dashboard import wsgi

    from kas.reporting.notes import artifact_store
    from kas.study.display.slim import slim
    from kas.study.storage.files import StudyFolder

    return slim(wsgi(storage, artifact_store=artifact_store(StudyFolder(folder).artifacts)))


def _check_port(port: int) -> None:
    if not 0 < port < 65536:
        raise KasError(f"--port must be from 1 to 65535, not {port}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise KasError(f"port {port} on {HOST} cannot be used ({error.strerror}); choose another with --port") from None


command = Command(
    summary="watch a study in the browser",
    description="Start optuna-dashboard on 127.0.0.1 with the study's trials, notes and drawings; it follows a running study.",
    add_arguments=_add_arguments,
    execute=_execute,
)
