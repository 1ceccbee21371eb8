"""A replica for tests of the fleet: ``glossd serve`` with a toy model that misbehaves as the arguments before it say.

``name=N`` names the model; ``hold=1`` holds every segment until SIGUSR1; ``busy=N`` refuses the first N segments as an
overloaded engine does; a text with POISON kills the process.
"""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import Future
from typing import Any

from glossd.errors import OverloadedError
from glossd.tasks import api
from glossd.types import Generation, GenerationRequest

from tests.toys import ToyGenerator, to_chinese, toy_hub, toy_model

RETRY_AFTER_SECONDS = 0.2


class Replica(ToyGenerator):
    """A generator that is busy at first."""

    busy = 0

    def submit(self, request: GenerationRequest) -> Future[Generation]:
        if self.busy:
            self.busy -= 1
            raise OverloadedError("busy", retry_after_seconds=RETRY_AFTER_SECONDS)
        return super().submit(request)


def convert(text: str) -> str:
    """As the toy does, or the end."""
    if "POISON" in text:
        os._exit(9)
    return to_chinese(text)


def main() -> None:
    """Serves as the command line does."""
    arguments = dict(word.split("=") for word in sys.argv[1:] if "=" in word)
    sys.argv[1:] = [word for word in sys.argv[1:] if "=" not in word]
    generator = Replica(convert, hold=bool(arguments.get("hold")))
    generator.busy = int(arguments.get("busy", 0))
    build = api.build_services

    def build_toys(settings: Any, **options: Any) -> api.Services:
        return build(settings, hub=toy_hub(toy_model(arguments.get("name", "toy"), generator=generator)), **options)

    api.build_services = build_toys
    signal.signal(signal.SIGUSR1, lambda *_: generator.release())
    from glossd.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
