"""Callers without proto files find out what there is, by both versions of reflection and with a real tool."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from tests.e2e.serving import Serving, serving

OURS = {"glossd.v1.ArticleService", "glossd.v1.ModelService", "grpc.health.v1.Health"}
BUF = Path(sys.executable).with_name("buf")


@pytest.fixture
async def toy() -> AsyncIterator[Serving]:
    async with serving() as running:
        yield running


async def ask(endpoint: str, version: str, **question: str) -> reflection_pb2.ServerReflectionResponse:
    async with grpc.aio.insecure_channel(endpoint) as channel:
        info = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        async for answer in info(iter([reflection_pb2.ServerReflectionRequest(**question)])):
            return answer
    raise AssertionError("reflection did not answer")


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_both_versions_list_the_services(version: str, toy: Serving) -> None:
    answer = await ask(toy.endpoint, version, list_services="*")
    assert {service.name for service in answer.list_services_response.service} >= OURS


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_a_message_is_described(version: str, toy: Serving) -> None:
    answer = await ask(toy.endpoint, version, file_containing_symbol="glossd.v1.DigestRequest")
    assert b"DigestRequest" in answer.file_descriptor_response.file_descriptor_proto[0]


async def test_reflection_can_be_turned_off() -> None:
    async with serving(reflection=False) as toy:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(toy.endpoint, "v1", list_services="*")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def curl(endpoint: str, *words: str) -> tuple[int, str, str]:
    command = [str(BUF), "curl", "--protocol", "grpc", "--http2-prior-knowledge", *words[:-1]]
    process = await asyncio.create_subprocess_exec(
        *command,
        f"http://{endpoint}{words[-1]}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.skipif(not BUF.exists(), reason="buf is not installed here")
async def test_buf_curl_lists_calls_and_shows_the_field_of_an_error(toy: Serving) -> None:
    code, out, err = await curl(toy.endpoint, "--list-methods", "")
    assert (code, err) == (0, "")
    assert "glossd.v1.ArticleService/Digest" in out
    request = {"document": {"text": "hello there"}, "translation": {"target_language_code": "zh"}}
    code, out, err = await curl(toy.endpoint, "-d", json.dumps(request), "/glossd.v1.ArticleService/Digest")
    assert (code, err) == (0, "")
    assert json.loads(out)["summary"]["text"] == "hello"
    code, _, err = await curl(toy.endpoint, "-d", "{}", "/glossd.v1.ArticleService/Digest")
    assert code != 0
    assert "translation.target_language_code" in err
