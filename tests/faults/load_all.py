"""Tries to load the model directories it is given, one after another; a JSON object of the refusals, "" for none."""

from __future__ import annotations

import json
import sys

from glossd.errors import ModelFilesError
from glossd.models.loading import LoadSettings, load_checkpoint


def refusal(directory: str) -> str:
    """Why it is not served."""
    try:
        load_checkpoint(directory, settings=LoadSettings(dtype="float32", device="cpu"))
    except ModelFilesError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    print(json.dumps({directory: refusal(directory) for directory in sys.argv[1:]}))
