"""Any value in any field of any method, any bytes for a request, texts made to hurt: an answer or a named refusal."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from glossd.v1 import article_service_pb2 as articles
from glossd.wire.status import status_to_error
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import HealthCheck, given, settings

from tests.faults.calls import OPTIONS, STATUS_KEY
from tests.faults.process import ServerProcess
from tests.faults.requests import METHODS, ODD_TEXTS, TEXT, Case, cases, exists, servable
from tests.faults.results import EFFORT, Effort, Results

GOOD = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"}
FUZZ = settings(
    max_examples=EFFORT.count(250, 6000),
    deadline=None,
    derandomize=not EFFORT.long,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    running = ServerProcess(environment={"PACED_STEP_SECONDS": "0"})
    yield running
    running.close()


@dataclass
class Caller:
    """Sends requests one after another and counts what they were answered."""

    channel: grpc.Channel
    codes: Counter[str] = field(default_factory=Counter)

    def send(self, method: MethodDescriptor, data: bytes, *, timeout: float = 60.0) -> list[tuple[str, str, list[str]]]:
        """The call's own outcome, or those of its documents: code, message, fields."""
        path = f"/{method.containing_service.full_name}/{method.name}"
        call: Any = self.channel.stream_stream(path)
        try:
            answers = [
                GetMessageClass(method.output_type).FromString(each) for each in call(iter([data]), timeout=timeout)
            ]
        except grpc.RpcError as error:
            found = [_told(error)]
        else:
            errors = [_described(status) for answer in answers for status in _errors(answer)]
            found = errors or [("OK", "", [])]
        self.codes.update(code for code, _, _ in found)
        return found


def _told(error: Any) -> tuple[str, str, list[str]]:
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_KEY:
            return _described(Status.FromString(value))
    return error.code().name, error.details() or "", []


def _described(status: Status) -> tuple[str, str, list[str]]:
    told = status_to_error(status)
    return told.code, told.message, [name for name, _ in told.fields]


def _errors(answer: Any) -> list[Status]:
    """The errors of single documents in an answer."""
    if isinstance(answer, articles.BulkDigestResponse):
        return [answer.error] if answer.HasField("error") else []
    return [result.error for result in getattr(answer, "results", []) if result.HasField("error")]


@pytest.fixture(scope="module")
def caller(server: ServerProcess) -> Iterator[Caller]:
    with grpc.insecure_channel(server.endpoint, OPTIONS) as channel:
        yield Caller(channel)


@pytest.fixture
def counted(caller: Caller) -> Counter[str]:
    """The codes of one test."""
    caller.codes = Counter()
    return caller.codes


def figure_of(codes: Counter[str]) -> str:
    return ", ".join(f"{count:,} {code}" for code, count in codes.most_common())


@pytest.mark.fault(26)
def test_no_value_of_any_field_breaks_a_method(
    caller: Caller, counted: Counter[str], server: ServerProcess, results: Results
) -> None:
    bad: list[Any] = []

    @given(cases())
    @FUZZ
    def send(case: Case) -> None:
        for code, message, fields in caller.send(case.method, case.request.SerializeToString()):
            named = code != "INVALID_ARGUMENT" or (fields and all(exists(f, case.method.input_type) for f in fields))
            if code not in GOOD or not named:
                bad.append((case.method.name, code, message, fields))
            assert code in GOOD, (case.method.name, code, message)
            assert named, (case.method.name, message, fields)

    try:
        send()
    finally:
        total = sum(counted.values())
        figure = f"{total:,} requests over {len(METHODS)} methods: {figure_of(counted)}"
        results.record(26, tried=total, failed=bool(bad), figure=figure)
    assert server.alive()


@pytest.mark.fault(20)
def test_no_bytes_and_no_characters_break_a_method(
    caller: Caller, counted: Counter[str], effort: Effort, server: ServerProcess, results: Results
) -> None:
    source, bad = random.Random(20), []
    text_methods = [method for method in METHODS if servable(method.input_type).ByteSize()]
    for _ in range(effort.count(250, 4000)):
        method = source.choice(text_methods)
        good = servable(method.input_type).SerializeToString()
        data = _damaged(source, good) if source.random() < 0.5 else _with_text(method, _odd_text(source))
        for code, message, _ in caller.send(method, data):
            if code not in GOOD:
                bad.append((method.name, code, message, data[:80]))
    total = sum(counted.values())
    results.record(20, tried=total, failed=len(bad), figure=f"{total:,} texts and byte strings: {figure_of(counted)}")
    assert bad == []
    assert server.alive()


def _damaged(source: random.Random, data: bytes) -> bytes:
    """Bytes changed, cut or added somewhere: bad UTF-8 and messages that are none."""
    at, kind = source.randrange(len(data)), source.randrange(4)
    if kind == 0:
        return data[:at] + bytes([source.randrange(128, 256)]) + data[at + 1 :]
    if kind == 1:
        return data[:at]
    if kind == 2:
        return data[:at] + source.randbytes(source.randint(1, 8)) + data[at:]
    return source.randbytes(source.randint(0, 300))


def _odd_text(source: random.Random) -> str:
    """Pieces of odd and ordinary text, with any code point that is one."""
    points = [source.choice((source.randrange(0x20), source.randrange(0xD800), source.randrange(0xE000, 0x110000)))]
    pieces = [source.choice(ODD_TEXTS), TEXT, "".join(map(chr, points)), source.choice(ODD_TEXTS)]
    source.shuffle(pieces)
    return source.choice(("", " ", "\n")).join(pieces[: source.randint(1, 4)])


def _with_text(method: MethodDescriptor, text: str) -> bytes:
    request: Any = servable(method.input_type)
    place = request.request if method.input_type.name == "BulkDigestRequest" else request
    if hasattr(place, "documents"):
        place.documents[0].text = text
    elif hasattr(place, "document"):
        place.document.text = text
        place.document.mime_type = random.Random(text).choice(("", "text/html", "text/markdown"))
    else:
        place.text = text
    return bytes(request.SerializeToString())


class Pulse(threading.Thread):
    """Health checks one after another while something heavy is done; the longest one."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(name="pulse", daemon=True)
        self._endpoint = endpoint
        self._done = threading.Event()
        self.longest = 0.0

    def run(self) -> None:
        with grpc.insecure_channel(self._endpoint, OPTIONS) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while not self._done.wait(0.02):
                started = time.monotonic()
                stub.Check(health_pb2.HealthCheckRequest(), timeout=120)
                self.longest = max(self.longest, time.monotonic() - started)

    def stop(self) -> None:
        self._done.set()
        self.join()


def attacks(size: int) -> dict[str, str]:
    """Texts of about so many characters, or so many pieces, each hard for some way of reading a text."""
    return {
        "one character": "x",
        "one word again and again": "word " * size,
        "no spaces": "nospaces" * (size // 4),
        "no sentence ends": "words without an end " * (size // 8),
        "sentence ends only": ". " * size,
        "marks only": "?!?!... --- *** " * (size // 8),
        "numbers only": "12345 67890 3.14 " * (size // 8),
        "one-word lines": "one\n" * size,
        "brackets": "([{<" * (size // 2),
        "unclosed tags": "<div><p><b>" * (size // 8),
        "entities": "&amp;&#x41;&bogus" * (size // 8),
        "Markdown marks": "*_`#>- [a](b " * (size // 8),
        "abbreviations": "U.S. Gen. Mr. e.g. " * (size // 8),
        "combining marks": "e" + "\u0301" * size,
        "joiners": "\U0001f468\u200d" * (size // 2),
        "Chinese without marks": "今天天气很好" * (size // 4),
        "white space": "a" + " \t\u3000" * (size // 2) + "b",
    }


@pytest.mark.fault(21)
def test_no_text_takes_more_than_its_share_of_time_and_memory(
    caller: Caller, counted: Counter[str], effort: Effort, server: ServerProcess, results: Results
) -> None:
    by_name = {method.name: method for method in METHODS}
    # The toy's own steps would take most of the time of a large text, so what needs a model gets smaller ones.
    large, small = effort.count(4_000, 100_000), effort.count(1_000, 10_000)
    sizes = {"Translate": small, "Digest": small, "Summarize": large, "DetectLanguage": large}
    worst, slowest, bad = 0.0, "", []
    pulse = Pulse(server.endpoint)
    pulse.start()
    for method_name, size in sizes.items():
        for name, text in attacks(size).items():
            data = _with_text(by_name[method_name], text)
            started = time.monotonic()
            for code, message, _ in caller.send(by_name[method_name], data, timeout=300):
                if code not in GOOD:
                    bad.append((name, method_name, code, message))
            taken = 1000 * (time.monotonic() - started) / max(1.0, len(text.encode()) / 1000)
            if len(text) > 1000 and taken > worst:
                worst, slowest = taken, f"{name}, {method_name}"
    huge = caller.send(by_name["Translate"], _with_text(by_name["Translate"], "a b " * 2_500_000))
    pulse.stop()
    tried = sum(counted.values())
    figure = (
        f"{tried} texts of up to {large:,} words: {figure_of(counted)}; worst {worst:.0f} ms per kB ({slowest}), "
        f"a health check beside them took {1000 * pulse.longest:.0f} ms at most; "
        f"peak memory {server.peak_bytes() / 2**20:.0f} MiB"
    )
    results.record(21, tried=tried, failed=len(bad), figure=figure)
    assert bad == []
    assert [code for code, _, _ in huge] == ["INVALID_ARGUMENT"]
