"""One toy corpus, prepared once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.toys import prepare_settings, write_corpus
from training.prepare import prepare


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with vocabulary, alignment tables, development sets and epochs."""
    corpus = tmp_path_factory.mktemp("corpus")
    write_corpus(corpus)
    work = tmp_path_factory.mktemp("work")
    prepare(prepare_settings(corpus, work))
    return work
