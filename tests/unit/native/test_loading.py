"""Which compiled operators are taken: only those whose interface is the one that the Python side knows."""

from __future__ import annotations

import re
from pathlib import Path

import glossd.native
import pytest
from glossd.native import INTERFACE, load_kernels

SOURCES = Path(glossd.native.__file__).parent


def test_both_sides_name_the_same_interface() -> None:
    header = (SOURCES / "common.h").read_text(encoding="utf-8")
    assert re.findall(r"#define GLOSSD_INTERFACE (\d+)", header) == [str(INTERFACE)]


@pytest.mark.skipif(not (SOURCES / "_kernels.so").exists(), reason="this installation has no compiled operators")
def test_operators_of_another_interface_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(glossd.native, "INTERFACE", INTERFACE + 1)
    assert load_kernels.__wrapped__() is None
    assert f"interface {INTERFACE}, not {INTERFACE + 1}" in caplog.text
