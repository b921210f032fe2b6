"""`proxy`: one process in front of a database, to which any number of workers connect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from kas.language.errors import KasError
from kas.study.commands._base import Command

__all__ = ["command"]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--storage", type=str, required=True, metavar="URL", help="the database; not a journal file")
    parser.add_argument("--host", type=str, default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=13000, help="the port (default: 13000)")


def _execute(args: Any) -> int:
    from kas.study.storage.opening import close_storage, open_mutex, open_storage
    from kas.study.storage.proxy import make_proxy

    if not 0 < args.port < 65536:
        raise KasError(f"--port must be from 1 to 65535, not {args.port}")
    if not args.storage.startswith(("sqlite", "postgresql", "mysql")):
        raise KasError("--storage of a proxy is a database: postgresql+psycopg://USER@HOST/DATABASE, mysql or sqlite")
    here = Path()
    storage = open_storage(args.storage, here)
    server = make_proxy(storage, lambda study: open_mutex(args.storage, here, study), args.host, args.port)
    server.start()
    print(f"workers use --storage grpc://{args.host}:{args.port}  (Ctrl-C ends)", flush=True)
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop(grace=5).wait()
        close_storage(storage)
    return 0


command = Command(
    summary="share a database among hundreds of workers",
    description="""\
Stand between a database and its workers (Optuna's gRPC proxy): the database sees one process, and what has not changed is
answered from memory. Nothing is encrypted and nobody is asked for a password: listen on another address than 127.0.0.1
in a private network alone. Needs grpcio: pip install 'kas[grpc]'.""",
    add_arguments=_add_arguments,
    execute=_execute,
    epilog="""\
examples:
  python -m kas.study proxy --storage postgresql+psycopg://kas@db/kas --host 10.0.0.5
  python -m kas.study run studies/digits.yaml --storage grpc://10.0.0.5:13000      (on each machine that helps)""",
)
