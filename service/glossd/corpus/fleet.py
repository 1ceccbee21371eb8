"""The engine of many machines: the records of a run go to whichever replica of glossd has room for them.

The event loop runs inside of :meth:`FleetEngine.run`, in the caller's thread, whenever an outcome is waited for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from glossd.client import Connection
from glossd.corpus.engine import Window, longest_first
from glossd.corpus.fleet_addresses import Address, resolve
from glossd.corpus.fleet_replica import Replica, Reports
from glossd.corpus.fleet_work import Work, WorkQueue
from glossd.corpus.recipe import Recipe
from glossd.corpus.records import Outcome, Record
from glossd.errors import InvalidInputError, RemoteError
from glossd.types import ModelDescription, ModelState

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FleetLimits:
    """``in_flight`` records at each replica, ``characters`` at all of them together. Names are asked for their
    addresses every ``resolve_seconds``; a run in which no replica serves for ``give_up_seconds`` ends.
    """

    in_flight: int = 64
    characters: int = 64_000_000
    resolve_seconds: float = 15.0
    give_up_seconds: float = 120.0
    window: Window = field(default_factory=Window)


class FleetEngine:
    """A :class:`glossd.corpus.engine.CorpusEngine` over servers that run elsewhere."""

    def __init__(
        self,
        endpoints: Sequence[str],
        recipe: Recipe,
        *,
        connection: Connection | None = None,
        limits: FleetLimits | None = None,
    ) -> None:
        """Ask the replicas what they serve. Raises ``InvalidInputError`` where they differ, the last error where none
        answers.
        """
        recipe.check()
        if not recipe.translates:
            raise InvalidInputError("--engine", "grpc makes digests; summaries alone are made by the local engine")
        self._endpoints = tuple(endpoints)
        self._recipe = recipe
        self._connection = connection or Connection()
        self._limits = limits or FleetLimits()
        self._loop = asyncio.new_event_loop()
        self._queue = WorkQueue()
        self._done: asyncio.Queue[Outcome | Exception] = asyncio.Queue()
        self._replicas: dict[Address, Replica] = {}
        self._tasks: dict[Address, list[asyncio.Task[None]]] = {}
        self._finding: asyncio.Task[None] | None = None
        self._giving_up: asyncio.TimerHandle | None = None
        self._identity: Mapping[str, str] = {}
        try:
            self._loop.run_until_complete(self._meet())
        except BaseException:
            self.close()
            raise

    def identity(self) -> Mapping[str, str]:
        """See :class:`glossd.corpus.engine.CorpusEngine`: the models by name, as every replica has them."""
        return self._identity

    def occupancy(self) -> float | None:
        """Not known from here."""
        return None

    def run(self, records: Iterable[Record]) -> Iterator[Outcome]:
        """See :class:`glossd.corpus.engine.CorpusEngine`."""
        feed = longest_first(records, self._limits.window)
        lengths: dict[int, int] = {}
        exhausted = False
        self._loop.run_until_complete(self._begin())
        try:
            while True:
                while not exhausted and self._has_room(lengths):
                    record = next(feed, None)
                    exhausted = record is None
                    if record is not None:
                        lengths[record.position] = record.length
                        self._queue.put(Work(record))
                if not lengths:
                    return
                outcome = self._loop.run_until_complete(self._done.get())
                if isinstance(outcome, Exception):
                    raise outcome
                del lengths[outcome.position]
                yield outcome
        finally:
            self._loop.run_until_complete(self._stop())

    def close(self) -> None:
        """Let go of the connections. Idempotent."""
        if self._loop.is_closed():
            return
        try:
            self._loop.run_until_complete(self._stop())
            for replica in self._replicas.values():
                self._loop.run_until_complete(replica.close())
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    def _has_room(self, lengths: Mapping[int, int]) -> bool:
        most = self._limits.in_flight * max(1, len(self._replicas))
        return not lengths or (len(lengths) < most and sum(lengths.values()) < self._limits.characters)

    async def _meet(self) -> None:
        """Find the replicas and what they serve; at least one has to answer."""
        await self._add(await self._resolve())
        meeting = asyncio.gather(*(each.meet() for each in self._replicas.values()), return_exceptions=True)
        errors = []
        for error in await meeting:
            if isinstance(error, RemoteError):
                _log.warning("a replica does not answer", extra={"code": error.code})
                errors.append(error)
            elif error is not None:
                raise error
        if not self._identity:
            raise RemoteError(errors[0].code, f"none of {len(errors)} replicas answers: {errors[0].message}")

    def _on_models(self, target: str, models: Sequence[ModelDescription]) -> None:
        """What a replica serves has to be what the others serve."""
        identity = identity_of(models)
        if not identity:
            raise RemoteError("UNAVAILABLE", f"{target} has loaded no model")
        self._identity = self._identity or identity
        if identity != self._identity:
            here, there = (", ".join(sorted(each.values())) for each in (identity, self._identity))
            raise InvalidInputError("--endpoint", f"{target} serves {here}; another replica serves {there}")

    async def _begin(self) -> None:
        self._queue, self._done = WorkQueue(), asyncio.Queue()
        for address in list(self._replicas):
            await self._remove(address)
        await self._add(await self._resolve())
        self._count_serving()
        for address in self._replicas:
            self._start(address)
        self._finding = self._loop.create_task(self._find(), name="find replicas")
        self._finding.add_done_callback(self._on_task_end)

    async def _stop(self) -> None:
        tasks = [task for both in self._tasks.values() for task in both]
        tasks += [self._finding] if self._finding else []
        self._tasks, self._finding = {}, None
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _resolve(self) -> tuple[Address, ...]:
        return await self._loop.run_in_executor(None, resolve, self._endpoints)

    async def _find(self) -> None:
        """Takes in replicas that come behind a name, and leaves those that have gone from it."""
        while True:
            await asyncio.sleep(self._limits.resolve_seconds)
            try:
                addresses = await self._resolve()
            except InvalidInputError:  # a name server that is away for a while; giving up has its own clock
                continue
            for address in await self._add(addresses):
                self._start(address)
            gone = [each for each in self._replicas if each not in addresses and not self._replicas[each].serving]
            for address in gone:
                await self._remove(address)

    async def _add(self, addresses: Sequence[Address]) -> list[Address]:
        """Those of the addresses that are new, with a replica for each."""
        new = [address for address in addresses if address not in self._replicas]
        reports = Reports(self._done.put_nowait, self._on_models, self._on_serving, self._done.put_nowait)
        for address in new:
            self._replicas[address] = Replica(
                address,
                self._recipe,
                connection=self._connection,
                window=self._limits.in_flight,
                queue=self._queue,
                to=reports,
            )
        return new

    async def _remove(self, address: Address) -> None:
        tasks = self._tasks.pop(address, [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._replicas.pop(address).close()

    def _start(self, address: Address) -> None:
        replica = self._replicas[address]
        coroutines = {"watch": replica.watch(), "feed": replica.feed()}
        tasks = [self._loop.create_task(each, name=f"{name} {address.target}") for name, each in coroutines.items()]
        for task in tasks:
            task.add_done_callback(self._on_task_end)
        self._tasks[address] = tasks

    def _on_task_end(self, task: asyncio.Task[None]) -> None:
        """A task ends by being cancelled or by a fault of ours, which ends the run."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._done.put_nowait(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    def _on_serving(self, target: str, serving: bool) -> None:
        _log.info("a replica serves" if serving else "a replica does not serve", extra={"replica": target})
        self._count_serving()

    def _count_serving(self) -> None:
        """Start the clock when the last replica is lost, stop it when one is there."""
        if any(replica.serving for replica in self._replicas.values()):
            if self._giving_up is not None:
                self._giving_up.cancel()
                self._giving_up = None
        elif self._giving_up is None:
            self._giving_up = self._loop.call_later(self._limits.give_up_seconds, self._give_up)

    def _give_up(self) -> None:
        errors = [replica.last_error for replica in self._replicas.values() if replica.last_error is not None]
        last = f"; the last error was {errors[-1].code}: {errors[-1].message}" if errors else ""
        message = f"no replica has served for {self._limits.give_up_seconds:g} s{last}"
        self._done.put_nowait(RemoteError("UNAVAILABLE", message))


def identity_of(models: Iterable[ModelDescription]) -> dict[str, str]:
    """What rows depend on: each model that is loaded, with its number format and kind of device."""
    return {
        f"{','.join(model.tasks)} {model.name}": f"{model.name} {model.dtype} {model.device.partition(':')[0]}"
        for model in models
        if model.state is ModelState.READY
    }
