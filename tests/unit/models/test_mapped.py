"""Mapped weights: as they are stored, and in memory only while they live."""

from __future__ import annotations

import gc
import json
import mmap
from pathlib import Path

import pytest
import torch
from glossd.models.mapped import MappedFile, let_go
from glossd.models.quantized import pieces
from safetensors.torch import load_file, save_file

SMAPS = Path("/proc/self/smaps")
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(1)
    tensors = {str(dtype): torch.randint(2, (77, 13), generator=generator).to(dtype) for dtype in DTYPES}
    large = torch.randn(3000, 2000, generator=generator)
    save_file(tensors | {"large": large, "empty": torch.zeros(0, 4), "one": torch.tensor(5.0)}, tmp_path / "weights")
    return tmp_path / "weights"


def resident(file: Path) -> int:
    """Bytes of a mapped file that count for this process."""
    found = 0
    inside = False
    for line in SMAPS.read_text(encoding="utf-8").splitlines():
        if line.split()[0].count("-") == 1 and not line.split()[0].endswith(":"):
            inside = line.endswith(str(file))
        elif inside and line.startswith("Rss:"):
            found += int(line.split()[1]) * 1024
    return found


def test_tensors_are_those_that_the_library_reads(file: Path) -> None:
    mapped, expected = MappedFile.open(file), load_file(file)
    assert {stored.name for stored in mapped.tensors} == set(expected)
    for stored in mapped.tensors:
        tensor = mapped.tensor(stored)
        assert tensor.dtype == expected[stored.name].dtype
        assert torch.equal(tensor, expected[stored.name])
        pieces = list(mapped.pieces(stored))
        assert torch.equal(torch.cat(pieces) if pieces else tensor.flatten(), tensor.flatten())


@pytest.mark.skipif(
    not SMAPS.exists() or not hasattr(mmap, "MADV_DONTNEED"), reason="only Linux tells what is resident"
)
def test_the_pages_of_a_tensor_go_with_it_and_come_again(file: Path) -> None:
    mapped = MappedFile.open(file)
    stored = next(each for each in mapped.tensors if each.name == "large")
    size = stored.end - stored.begin
    tensor = mapped.tensor(stored)
    view = tensor[:10]
    assert resident(file) < size / 2
    total = tensor.sum()
    assert resident(file) >= size
    del tensor
    assert resident(file) >= size
    del view
    assert resident(file) < size / 2
    assert mapped.tensor(stored).sum() == total


@pytest.mark.skipif(
    not SMAPS.exists() or not hasattr(mmap, "MADV_DONTNEED"), reason="only Linux tells what is resident"
)
def test_a_matrix_that_is_read_in_pieces_is_never_in_memory_whole(file: Path) -> None:
    mapped = MappedFile.open(file)
    stored = next(each for each in mapped.tensors if each.name == "large")
    tensor, most, total = mapped.tensor(stored), 0, 0.0
    for rows in pieces(tensor):
        total += float(rows.double().sum())
        most = max(most, resident(file))
    assert most < (stored.end - stored.begin) / 4
    assert total == pytest.approx(float(load_file(file)["large"].double().sum()))
    assert torch.equal(tensor, load_file(file)["large"])


def test_letting_go_of_memory_that_is_no_file_s_changes_nothing() -> None:
    tensor = torch.arange(100_000)
    let_go(tensor)
    let_go(torch.zeros(0))
    assert torch.equal(tensor, torch.arange(100_000))


def test_a_tensor_outlives_the_file_that_it_came_from(file: Path) -> None:
    mapped, expected = MappedFile.open(file), load_file(file)["large"]
    tensor = mapped.tensor(next(each for each in mapped.tensors if each.name == "large"))
    del mapped
    gc.collect()
    file.unlink()
    assert torch.equal(tensor, expected)


def test_a_tensor_that_stands_at_an_odd_byte_is_read_too(tmp_path: Path) -> None:
    numbers = torch.arange(9.0)
    layout = {
        "odd": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]},
        "numbers": {"dtype": "F32", "shape": [3, 3], "data_offsets": [3, 39]},
    }
    header = json.dumps(layout).encode()
    data = b"abc" + numbers.numpy().tobytes()
    (tmp_path / "weights").write_bytes(len(header).to_bytes(8, "little") + header + data)
    mapped = MappedFile.open(tmp_path / "weights")
    assert torch.equal(mapped.tensor(mapped.tensors[1]), numbers.view(3, 3))
