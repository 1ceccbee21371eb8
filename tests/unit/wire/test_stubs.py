"""The stubs are what the protos give, and the protos keep to Buf's rules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from glossd.v1 import article_service_pb2, common_pb2, model_service_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

ROOT = Path(__file__).resolve().parents[3]
NO_GENERATOR = 2


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_stubs_are_to_the_letter_what_the_pinned_generator_gives() -> None:
    done = run(sys.executable, "protos/generate.py", "--check")
    if done.returncode == NO_GENERATOR:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr


def test_the_stubs_describe_the_protos(tmp_path: Path) -> None:
    stubs = [common_pb2, article_service_pb2, model_service_pb2]
    includes = ["-Iprotos", "-Iprotos/third_party", f"--descriptor_set_out={tmp_path / 'protos'}"]
    done = run(sys.executable, "-m", "grpc_tools.protoc", *includes, *(stub.DESCRIPTOR.name for stub in stubs))
    assert done.returncode == 0, done.stderr
    described = FileDescriptorSet.FromString((tmp_path / "protos").read_bytes()).file
    kept = {stub.DESCRIPTOR.name: stub.DESCRIPTOR.serialized_pb for stub in stubs}
    assert {file.name for file in described} == set(kept)
    for file in described:
        for field in (field for message in file.message_type for field in message.field):
            field.ClearField("json_name")  # the one thing that stubs leave out
        assert FileDescriptorProto.FromString(kept[file.name]) == file


@pytest.mark.parametrize("rule", [["lint"], ["format", "--diff", "--exit-code"]])
def test_the_protos_keep_to_the_rules(rule: list[str]) -> None:
    buf = Path(sys.executable).with_name("buf")
    if not buf.exists():
        pytest.skip("buf is not installed here")
    done = run(buf, *rule, "protos")
    assert done.returncode == 0, done.stdout + done.stderr
