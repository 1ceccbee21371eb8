"""The table of faults: what each row tries and what is promised. What was seen is in ``docs/data/reliability.json``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One row: what is done to the server, and what it promises then."""

    fault: str
    promise: str


TABLE: dict[int, Fault] = {
    1: Fault(
        "load of 1, 2, 5 and 10 times capacity, sent whether or not answers come",
        "at 5 times at least 95 % of the best goodput; the rest is refused at once with a time to come back",
    ),
    2: Fault("overload by clients that wait as long as they are told", "every call is answered in the end"),
    3: Fault("health checks under 10 times load", "never refused, under 200 ms"),
    4: Fault("calls cancelled at random moments", "no row stays taken; the other calls' texts are the same"),
    5: Fault("client processes killed with -9", "no row, call or connection stays"),
    6: Fault("readers of streams that do not read", "memory is bounded; nothing stays when they leave"),
    7: Fault("connections that send nothing or half a frame", "others are served as before"),
    8: Fault("deadlines of 1 ms and more, and spent ones", "DEADLINE_EXCEEDED; late work never reaches the model"),
    9: Fault("SIGTERM under load", "no accepted call is lost; exit code 0"),
    10: Fault("a second SIGTERM; calls longer than the grace", "the rest get UNAVAILABLE; the process ends in time"),
    11: Fault("kill -9 of the server under load", "clients with our retry settings go on when it is back"),
    12: Fault("kill -9 of a corpus run", "run again, each record is there once, as if nothing had happened"),
    13: Fault("kill -9 of a corpus run on Ray", "the same"),
    14: Fault("full disk, directory without write permission, file that vanishes", "a clear error; no half line"),
    15: Fault("damaged input of a corpus run", "refused, or an error row with its line; the run goes on"),
    16: Fault("the model runs out of memory", "the batch is halved and tried again; the next call is served"),
    17: Fault("an exception, a hang, no numbers inside a step", "the calls fail, health says so, or the process ends"),
    18: Fault("damaged model directories", "refused at start with the file named; never served"),
    19: Fault("model directories with code or pickles", "refused, or the code is not run; no question is asked"),
    20: Fault("texts of bad UTF-8, controls, bidi, combining marks", "INVALID_ARGUMENT or an answer; never UNKNOWN"),
    21: Fault("texts that are empty, huge, without spaces, without sentences", "bounded time and memory"),
    22: Fault("broken frames, bombs, large metadata, unknown fields", "refused by a limit; memory stays flat"),
    23: Fault("wrong language, source and target alike, unknown pair", "INVALID_ARGUMENT or a warning; never silent"),
    24: Fault("loops, copies, empty output", "found and reported in the answer"),
    25: Fault("the same text alone, in batches and beside long ones", "the same translation"),
    26: Fault("numbers and names out of range in every field of every call", "INVALID_ARGUMENT with the field's path"),
    27: Fault("slow, cut, reset and half-closed connections", "a standard code at the client; nothing stays"),
    28: Fault("wrong certificates and tokens", "no handshake, or UNAUTHENTICATED; nothing in the log"),
    29: Fault("mixed load for a long time, with clients that crash", "memory, files and threads stay flat"),
    30: Fault("a stopped process, few files, no /tmp, read-only folder, no network, C locale", "works or says why"),
}
