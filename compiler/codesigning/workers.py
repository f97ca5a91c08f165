"""Costly evaluations on several processes: those of this machine, or of a Dask cluster.

An engine runs a function on items and hands out each result as it is there. A process may die at any moment (killed,
out of memory): what it had in hand is done again by another one. An item of which MOST_DEATHS processes died failed.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for_any
from typing import Any, Generic, Protocol, TypeVar

from ...runtime_sim.errors import InputError

MOST_DEATHS = 3
CONNECT_S = 10.0
"""How long to wait for a scheduler to answer."""
PATIENCE_S = 60.0
"""How long a cluster may be without any worker."""
_POLL_S = 0.05

_I = TypeVar("_I")
_R = TypeVar("_R")


@dataclass(frozen=True)
class Failed:
    """Why there is no result: another time there may be one."""

    reason: str


class Engine(Protocol):
    """Runs functions elsewhere. Functions, items and results have to be ones that pickle takes; items are hashable."""

    def results(self, function: Callable[[_I], _R], items: Sequence[_I]) -> Iterator[tuple[_I, _R | Failed]]:
        """Each item with its result, in the order in which they are there. Items are different from each other.

        An `InputError` of the function ends it all, any other error is that of its item.
        """
        ...

    def close(self) -> None:
        """End what the engine has started."""
        ...


class _Suspects(Generic[_I]):
    """Items that met the death of a process: each is done again alone, to see which of them kills."""

    def __init__(self) -> None:
        self.waiting = deque[_I]()
        self.deaths = Counter[_I]()

    def met_a_death(self, items: Iterable[_I], whose: str) -> Iterator[tuple[_I, Failed]]:
        """Note what was in hand; those that met MOST_DEATHS failed, and `whose` says what died of them."""
        for item in items:
            self.deaths[item] += 1
            if self.deaths[item] < MOST_DEATHS:
                self.waiting.append(item)
            else:
                yield item, Failed(f"{MOST_DEATHS} {whose}")


class LocalProcesses:
    """Processes of this machine, as many as it has cores unless `workers` says otherwise. They end with this one."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or (os.cpu_count() or 1)
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "LocalProcesses":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill the processes: what they are doing is of no use to anyone."""
        if self._pool is not None:
            for process in list((self._pool._processes or {}).values()):  # pyright: ignore[reportPrivateUsage]
                process.kill()
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def results(self, function: Callable[[_I], _R], items: Sequence[_I]) -> Iterator[tuple[_I, _R | Failed]]:
        """See `Engine`. Items that were in hand when a process died run alone, to see which of them kills."""
        waiting, suspects = deque(items), _Suspects[_I]()
        running: dict[Future[_R], _I] = {}
        try:
            while waiting or suspects.waiting or running:
                if suspects.waiting and not running:
                    one = suspects.waiting.popleft()
                    running[self._submit(function, one)] = one
                while waiting and not suspects.waiting and not any(map(suspects.deaths.get, running.values())):
                    if len(running) == self.workers:
                        break
                    one = waiting.popleft()
                    running[self._submit(function, one)] = one
                lost: list[_I] = []
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    one = running.pop(future)
                    error = future.exception()
                    if isinstance(error, BrokenProcessPool):
                        lost.append(one)
                    else:
                        yield one, future.result() if error is None else Failed(_told(error))
                if lost:
                    lost += running.values()  # a pool that is broken finishes nothing
                    running.clear()
                    self.close()
                    yield from suspects.met_a_death(lost, "processes died of it")
        finally:
            if running:
                self.close()

    def _submit(self, function: Callable[[_I], _R], item: _I) -> "Future[_R]":
        if self._pool is None:
            self._pool = self._started()
        try:
            return self._pool.submit(function, item)
        except BrokenProcessPool as error:  # a process died that had nothing in hand, or whose item is being waited for
            future: Future[_R] = Future()
            future.set_exception(error)
            return future

    def _started(self) -> ProcessPoolExecutor:
        """A pool that is seen to work."""
        # Spawned, not forked: the search's own process has threads and open files.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(self.workers, context, _begin)
        try:
            pool.submit(os.getpid).result()
        except BrokenProcessPool:
            raise InputError("--workers: expected processes that can be started, got one that died at once") from None
        return pool


class DaskCluster:
    """The workers of a Dask scheduler (`dask scheduler`, `dask worker ADDRESS`), which see the same files as we do."""

    def __init__(self, address: str, patience_s: float = PATIENCE_S) -> None:
        try:
            from distributed import Client
            from distributed.comm.addressing import parse_address, parse_host_port
        except ImportError:
            raise InputError(
                "--scheduler: expected the package distributed (pip install distributed), found none"
            ) from None
        self.address = address
        self.patience_s = patience_s
        try:
            parse_host_port(parse_address(address)[1])  # a client that fails by this waits, and complains when it goes
            self._client = Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            told = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"--scheduler {address}: expected the address of a Dask scheduler, got: {told}") from None

    def __enter__(self) -> "DaskCluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster; it goes on."""
        with suppress(Exception):
            self._client.close(timeout=CONNECT_S)

    def results(self, function: Callable[[_I], _R], items: Sequence[_I]) -> Iterator[tuple[_I, _R | Failed]]:
        """See `Engine`. No worker for `patience_s`, or no scheduler, is an error.

        Items that met the death of a worker run alone afterwards, so that what kills takes no other along.
        """
        from distributed import CancelledError, KilledWorker, as_completed

        owners: dict[Any, _I] = {}
        suspects = _Suspects[_I]()
        collector = as_completed(loop=self._client.loop, with_results=True, raise_errors=False)

        def submit(item: _I) -> None:
            future: Any = self._client.submit(function, item, pure=False)
            owners[future] = item
            collector.add(future)

        heart = _Heart(self._alive, self.patience_s, self.address)
        try:
            for item in items:
                submit(item)
            while owners or suspects.waiting:
                if suspects.waiting and not owners:
                    submit(suspects.waiting.popleft())
                try:
                    batch: Any = collector.next_batch(block=False)
                except CancelledError:
                    raise InputError(
                        f"--scheduler {self.address}: expected a scheduler that stays, it is gone"
                    ) from None
                if not batch:
                    heart.beat()
                    time.sleep(_POLL_S)
                for future, result in batch:
                    item = owners.pop(future)
                    if future.status == "finished":
                        yield item, result
                        future.release()
                        continue
                    error = result[1] if future.status == "error" else None
                    if error is not None and not isinstance(error, KilledWorker):
                        yield item, Failed(_told(error))
                        continue
                    # Of a worker that died, or of a result that died with it before it was fetched.
                    yield from suspects.met_a_death([item], "times all workers that took it died")
        finally:
            if owners:
                with suppress(Exception):
                    self._client.cancel(list(owners), force=True)

    def _alive(self) -> int:
        """How many workers there are; an error where there is no scheduler."""
        try:
            workers: Any = self._client.ncores()
            return len(workers)
        except (OSError, AttributeError):  # the latter of a client that has given its scheduler up
            raise InputError(f"--scheduler {self.address}: expected a scheduler that stays, it is gone") from None


@dataclass
class _Heart:
    """Watches over a cluster: raises where it had no worker for `patience_s`."""

    alive: Callable[[], int]
    patience_s: float
    address: str
    _asked: float = 0.0
    _seen: float | None = None

    def beat(self) -> None:
        """To be called often; asks once a second."""
        now = time.monotonic()
        if now - self._asked < 1.0:
            return
        self._asked = now
        if self.alive() or self._seen is None:
            self._seen = now
        elif now - self._seen > self.patience_s:
            raise InputError(f"--scheduler {self.address}: expected a worker, got none for {self.patience_s:g} s")


def engine_of(scheduler: str, workers: int | None) -> Engine:
    """The engine of `--scheduler` ("local" or an address) and `--workers` (None: one a core)."""
    if scheduler == "local":
        return LocalProcesses(workers)
    if workers is not None:
        raise InputError("--workers: expected with --scheduler local alone, as a cluster has its own")
    return DaskCluster(scheduler)


def _begin() -> None:
    """In a new process: leave Ctrl-C to the search, use one core, and end when the search ends, however it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = "1"  # before numpy is there: processes are as many as cores already
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow(sentinel: int) -> None:
        wait_for_any([sentinel])
        os._exit(1)

    threading.Thread(target=follow, args=(parent.sentinel,), daemon=True).start()


def _told(error: BaseException) -> str:
    """An error of a function in one line; one that concerns all items is raised."""
    if isinstance(error, InputError):
        raise error
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
