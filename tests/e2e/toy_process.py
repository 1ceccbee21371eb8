"""``glossd serve`` as a process of its own, with a toy model that holds every segment until SIGUSR1."""

from __future__ import annotations

import signal
from typing import Any

from glossd.tasks import api

from tests.toys import ToyGenerator, toy_hub, toy_model


def main() -> None:
    """Serves as the command line does."""
    generator = ToyGenerator(hold=True)
    build = api.build_services

    def build_toys(settings: Any, **options: Any) -> api.Services:
        return build(settings, hub=toy_hub(toy_model(generator=generator)), **options)

    api.build_services = build_toys
    signal.signal(signal.SIGUSR1, lambda *_: generator.release())
    from glossd.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
