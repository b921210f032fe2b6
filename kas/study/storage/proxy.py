"""One database for hundreds of workers: Optuna's gRPC proxy in front of it, and the study's lock beside it on one port.

The proxy is the only process that the database sees, and it answers from its memory what has not changed. A lock is
held as long as a stream to the proxy is open, so that it is free when its holder is killed; the proxy takes the
database's own lock for it, so that workers with and without the proxy keep out of each other's way. Nothing here is
encrypted and nobody is asked for a password: a proxy belongs into a private network.
"""

from __future__ import annotations

import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.storages import BaseStorage

from kas.language.errors import KasError
from kas.study.storage.mutex import PATIENCE_S, StudyMutex
from kas.study.storage.outages import Outages, first_line, is_outage

__all__ = ["ProxyMutex", "connect", "make_proxy", "open_proxy_mutex"]

THREADS = 1024  # each call takes one while it is answered, and so does whoever waits for a lock
_ANSWER_S = 15.0  # within which a proxy answers
_SERVICE, _HOLD, _HELD = "kas.Mutex", "Hold", b"held"
# A client or a proxy whose machine is gone is noticed within these, in milliseconds; the proxy allows the client's pings.
_KEEPALIVE = [
    ("grpc.keepalive_time_ms", 20_000), ("grpc.keepalive_timeout_ms", 10_000), ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000), ("grpc.max_receive_message_length", -1),
]  # fmt: skip


def make_proxy(storage: BaseStorage, mutex: Callable[[str], StudyMutex], host: str, port: int) -> Any:
    """A gRPC server (not started) of Optuna's protocol for `storage`, with the locks that `mutex` makes by study name.

    Raises KasError if the port cannot be had.
    """
    grpc = _grpc()
    from optuna.storages._grpc.auto_generated import api_pb2_grpc as protocol
    from optuna.storages._grpc.servicer import OptunaStorageProxyService

    options = [*_KEEPALIVE, ("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(THREADS), interceptors=[_Interceptor()], options=options)
    protocol.add_StorageServiceServicer_to_server(OptunaStorageProxyService(storage), server)  # type: ignore[no-untyped-call]
    hold = grpc.stream_stream_rpc_method_handler(_Locks(mutex).hold)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {_HOLD: hold}),))
    try:
        server.add_insecure_port(f"{host}:{port}")
    except RuntimeError:
        raise KasError(f"port {port} on {host} cannot be used; choose another with --port") from None
    return server


class _Interceptor:
    """Tells a client that the database does not answer, which it then waits out as it would without a proxy."""

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """The handler of a call, with that answer."""
        grpc, handler = _grpc(), continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler

        def answer(request: Any, context: Any) -> Any:
            try:
                return handler.unary_unary(request, context)
            except Exception as error:
                if is_outage(error):
                    context.abort(grpc.StatusCode.UNAVAILABLE, f"the proxy's database: {first_line(error)}")
                raise

        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )


class _Locks:
    """The locks of all studies, in the proxy. Threads of the proxy wait here, so that the database sees one at a time."""

    def __init__(self, mutex: Callable[[str], StudyMutex]) -> None:
        self._make = mutex
        self._waiting: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._mutexes: dict[str, StudyMutex] = {}

    def hold(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        """One client: its first message is the name of a study, the lock is its own until its stream ends."""
        name = next(requests).decode()
        lock = self._waiting[name]
        while not lock.acquire(timeout=1.0):
            if not context.is_active():
                return
        try:
            if name not in self._mutexes:
                self._mutexes[name] = self._make(name)
            with self._mutexes[name].hold():
                if context.is_active():
                    yield _HELD
                    for _ in requests:  # none comes: this ends with the client's stream
                        pass
        except Exception as error:
            if is_outage(error):
                context.abort(_grpc().StatusCode.UNAVAILABLE, f"the proxy's database: {first_line(error)}")
            raise
        finally:
            lock.release()


class ProxyMutex(StudyMutex):
    """A study's lock at a proxy. `channel`: to it; `study`: the name."""

    def __init__(self, channel: Any, study: str, outages: Outages | None = None) -> None:
        super().__init__(outages)
        self._channel, self._study = channel, study

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Wait for the lock and hold it."""
        grpc, done = _grpc(), threading.Event()

        def requests() -> Iterator[bytes]:
            yield self._study.encode()
            done.wait()

        call = self._channel.stream_stream(f"/{_SERVICE}/{_HOLD}")(requests())
        patience = threading.Timer(PATIENCE_S, call.cancel)
        patience.start()
        try:
            next(call)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.CANCELLED:
                raise KasError(
                    f"the lock of the study at the proxy was not to be had in {PATIENCE_S:.0f} s; is a worker suspended?"
                ) from None
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                raise KasError(f"the proxy has no locks: {_HOW}") from None
            raise
        finally:
            patience.cancel()
        try:
            yield
        finally:
            done.set()
            for _ in call:  # none comes: the proxy has let go when this ends
                pass

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


_HOW = "start it with `python -m kas.study proxy --storage URL`"


def connect(url: str) -> BaseStorage:
    """The storage behind the proxy at `grpc://HOST:PORT`. Raises KasError if none answers there."""
    grpc = _grpc()
    host, port = _address(url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage: Any = _client()(host=host, port=port)
    try:
        grpc.channel_ready_future(storage._channel).result(timeout=_ANSWER_S)
    except grpc.FutureTimeoutError:
        storage.close()
        raise KasError(f"no proxy answers at {host}:{port} within {_ANSWER_S:.0f} s; {_HOW}") from None
    return storage  # type: ignore[no-any-return]


def _client() -> Any:
    """Optuna's client, which notices a proxy that is gone."""
    grpc = _grpc()
    from optuna.storages._grpc.auto_generated import api_pb2_grpc as protocol
    from optuna.storages._grpc.client import GrpcClientCache

    class Client(optuna.storages.GrpcStorageProxy):
        def _setup(self) -> None:
            self._channel = grpc.insecure_channel(f"{self._host}:{self._port}", options=_KEEPALIVE)
            self._stub = protocol.StorageServiceStub(self._channel)  # type: ignore[no-untyped-call]
            self._cache = GrpcClientCache(self._stub)

    return Client


def open_proxy_mutex(url: str, study: str, outages: Outages | None = None) -> ProxyMutex:
    """The lock of a study at the proxy of `grpc://HOST:PORT`."""
    host, port = _address(url)
    return ProxyMutex(_grpc().insecure_channel(f"{host}:{port}", options=_KEEPALIVE), study, outages)


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("grpc://").rpartition(":")
    if not host or not port.isdigit():
        raise KasError(f"storage {url}: a proxy is named by its host and port, as in grpc://HOST:13000")
    return host, int(port)


def _grpc() -> Any:
    try:
        import grpc
    except ImportError:
        raise KasError("a grpc:// storage needs grpcio: pip install 'kas[grpc]'") from None
    return grpc
