"""``glossd serve`` as a process of its own with the faulty toy model; TOY_FAULTS names a file that says what fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from glossd.config import Settings
from glossd.engine.limits import EngineLimits
from glossd.tasks import api

from tests.faulty import Faults, faulty_hub
from tests.toys import ToyDetector


def main() -> None:
    """Serves as the command line does."""
    faults = Faults(Path(os.environ["TOY_FAULTS"]))
    build = api.build_services

    def build_faulty(settings: Settings, **options: Any) -> api.Services:
        limits = EngineLimits(**settings.engine.model_dump())
        hub = faulty_hub(faults, limits=limits, on_death=options.get("on_engine_death"))
        return build(settings, hub=hub, detector=ToyDetector(), **options)

    api.build_services = build_faulty
    from glossd.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
