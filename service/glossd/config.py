"""Every setting of glossd, defined once: name with its unit, default, range and one line of explanation.

A file is overridden by the environment and that by a flag. This module is the only reader of ``os.environ``.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from glossd.errors import InvalidInputError

PREFIX = "GLOSSD_"
FILE_VARIABLE = "GLOSSD_CONFIG"


def _split(value: object) -> object:
    """Let a tuple be written as one string with commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]


class _Part(BaseModel):
    """One part of the settings: frozen, and unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ServerSettings(_Part):
    """The gRPC server: address, limits, drain."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(default=50051, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    max_message_bytes: int = Field(default=16 << 20, ge=1024, le=1 << 30, description="Largest request message.")
    max_characters: int = Field(default=1_000_000, ge=1, description="Longest document.")
    max_documents: int = Field(default=64, ge=1, le=10_000, description="Most documents in one Translate call.")
    max_tokens: int = Field(default=400_000, ge=1, description="Most source tokens of one document.")
    max_calls_in_flight: int = Field(default=256, ge=1, description="Articles worked on at once; more are refused.")
    max_tokens_in_flight: int = Field(
        default=2_000_000, ge=1, description="Source tokens, estimated, of the articles worked on; more are refused."
    )
    max_memory_bytes: int = Field(
        default=4 << 30, ge=1 << 20, description="Memory, estimated, of the articles worked on; more are refused."
    )
    drain_seconds: float = Field(default=30.0, ge=0, description="Time that calls in flight get at shutdown.")
    drain_notice_seconds: float = Field(
        default=0.0, ge=0, description="Time between NOT_SERVING and the end of new calls at shutdown."
    )
    reflection: bool = Field(default=True, description="Serve gRPC reflection, for grpcurl and buf curl.")
    channelz: bool = Field(default=False, description="Serve gRPC channelz, for debugging connections.")
    tls_certificate: str = Field(default="", description="PEM file: certificate and chain; empty for plain text.")
    tls_key: str = Field(default="", description="PEM file: the certificate's private key, without a password.")
    tls_client_ca: str = Field(default="", description="PEM file: who signs clients' certificates, then required.")
    token_file: str = Field(default="", description="Bearer tokens, a line each: NAME TOKEN; empty lets all in.")
    open_health: bool = Field(default=True, description="Answer health checks without a token.")
    open_reflection: bool = Field(default=False, description="Answer reflection without a token.")
    health_host: str = Field(default="127.0.0.1", min_length=1, description="Address of the plain health port.")
    health_port: int = Field(
        default=-1, ge=-1, le=65535, description="Port for health checks only, never TLS; 0 takes a free one, -1 none."
    )


class EngineSettings(_Part):
    """The batching core of one loaded model."""

    rows: int = Field(default=64, ge=1, le=4096, description="Decoder rows in flight; a beam takes one.")
    sources: int = Field(default=64, ge=1, le=4096, description="Encoded segments in flight.")
    batch_tokens: int = Field(default=4096, ge=1, description="Source tokens with padding in one encoder call.")
    queue_tokens: int = Field(default=2_000_000, ge=1, description="Source tokens that may wait; more are refused.")
    threads: int = Field(default=0, ge=0, le=1024, description="Compute threads of a worker; 0 shares the cores out.")
    workers: int = Field(default=0, ge=0, le=256, description="Engines over one model; 0 takes one for each CPU core.")
    cache_entries: int = Field(default=2048, ge=0, description="Finished segments kept for identical ones; 0 for none.")
    ageing_seconds: float = Field(
        default=2.0, ge=0, le=3600, description="Wait after which BULK work gets its share beside INTERACTIVE work."
    )
    bulk_share: float = Field(
        default=0.2, ge=0, le=0.9, description="Share of the tokens that BULK work gets when it has waited long enough."
    )
    interactive_share: float = Field(
        default=0.125, ge=0, le=0.9, description="Share of rows and queue that BULK work leaves to INTERACTIVE work."
    )
    hang_seconds: float = Field(
        default=5.0,
        ge=0.1,
        le=3600,
        description="Health turns NOT_SERVING when a step takes longer, and four times longer than usual.",
    )
    exit_seconds: float = Field(
        default=60.0, ge=0, le=86_400, description="The process ends when an engine is unwell for longer; 0 for never."
    )
    restarts: int = Field(default=3, ge=0, le=1000, description="Times that an engine whose thread died is restarted.")


class ModelSettings(_Part):
    """Which checkpoints are served and how they are loaded."""

    translation: Names = Field(
        default=(), description="Hub ids or directories, or NAME=SOURCE; empty for the embedded model."
    )
    summarization: Names = Field(
        default=(), description="Hub ids or directories, or NAME=SOURCE; empty for extractive summaries."
    )
    cache_dir: str = Field(default="", description="Where hub files are kept; empty for the hub library's own place.")
    offline: bool = Field(default=True, description="Never download; `glossd models fetch` does when asked.")
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] = Field(
        default="auto", description="Number format of the weights."
    )
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N.")
    cuda_graphs: bool = Field(
        default=False, description="Record decode steps as CUDA graphs; CUDA devices only, not yet tried on one."
    )
    canary: bool = Field(default=True, description="Refuse a model that answers a test sentence with nothing or noise.")


class ClientSettings(_Part):
    """How the command line reaches a server at an endpoint."""

    tls: bool = Field(default=False, description="Use TLS; implied by the files below.")
    tls_ca: str = Field(default="", description="PEM file: who signs servers' certificates; empty for the system's.")
    tls_certificate: str = Field(default="", description="PEM file: the certificate to show to a server.")
    tls_key: str = Field(default="", description="PEM file: that certificate's private key.")
    tls_name: str = Field(default="", description="Name in the server's certificate, where the endpoint is another.")
    token_file: str = Field(default="", description="File with the bearer token to send: its first one.")


class LoggingSettings(_Part):
    """Logs on standard error; never a user's text."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level written.")
    format: Literal["json", "text"] = Field(default="json", description="One JSON object a line, or plain text.")


class MetricsSettings(_Part):
    """The Prometheus endpoint, on a port of its own."""

    enabled: bool = Field(default=False, description="Serve Prometheus metrics over HTTP.")
    host: str = Field(default="127.0.0.1", min_length=1, description="Address of the metrics endpoint.")
    port: int = Field(default=9464, ge=0, le=65535, description="Port of the metrics endpoint; 0 takes a free one.")


class TracingSettings(_Part):
    """OpenTelemetry traces (extra ``otel``), sent by OTLP over gRPC."""

    endpoint: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="Collector to send traces to, as http://127.0.0.1:4317; empty for no traces.",
    )
    sample_share: float = Field(
        default=1.0, ge=0, le=1, description="Share of calls that are traced; a traced caller's calls always are."
    )
    service_name: str = Field(default="glossd", min_length=1, description="Name of this service in traces.")


class Settings(_Part):
    """All settings. Each part of the program is handed its own part."""

    server: ServerSettings = ServerSettings()
    engine: EngineSettings = EngineSettings()
    models: ModelSettings = ModelSettings()
    client: ClientSettings = ClientSettings()
    logging: LoggingSettings = LoggingSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as ``glossd config show`` prints it. ``origin`` says where the value came from."""

    name: str
    value: object
    default: object
    origin: str
    variable: str
    explanation: str


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings, and for every name that is not a default where it came from."""

    settings: Settings
    origins: Mapping[str, str]

    def rows(self) -> Iterator[Setting]:
        """Every setting in order of definition."""
        for part_name in Settings.model_fields:
            part = getattr(self.settings, part_name)
            for name, field in type(part).model_fields.items():
                full = f"{part_name}.{name}"
                yield Setting(
                    name=full,
                    value=getattr(part, name),
                    default=field.default,
                    origin=self.origins.get(full, "default"),
                    variable=variable_name(full),
                    explanation=field.description or "",
                )


def variable_name(name: str) -> str:
    """The environment variable of a setting: ``engine.rows`` is ``GLOSSD_ENGINE__ROWS``."""
    return PREFIX + name.replace(".", "__").upper()


def load_settings(
    *,
    file: Path | None = None,
    assignments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> LoadedSettings:
    """Read file, environment and ``name=value`` assignments, each overriding the one before.

    ``file`` None reads the file that ``GLOSSD_CONFIG`` names, if it does. Raises ``InvalidInputError`` that
    names the setting, its value and where it stood.
    """
    variables = os.environ if environment is None else environment
    chosen = file or (Path(variables[FILE_VARIABLE]) if variables.get(FILE_VARIABLE) else None)
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    layers = [
        _from_file(chosen) if chosen else [],
        _from_environment(variables),
        _from_assignments(assignments),
    ]
    for layer in layers:
        for name, value, origin in layer:
            values[name] = value
            origins[name] = origin
    return LoadedSettings(_validate(values, origins), origins)


_Entry = tuple[str, object, str]


def _from_file(path: Path) -> list[_Entry]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInputError("config", f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError("config", f"{path} is not TOML: {error}") from error
    entries: list[_Entry] = []
    for part, table in content.items():
        if not isinstance(table, dict):
            raise InvalidInputError(part, f"not a part of the settings ({path}); parts are {_part_names()}")
        entries += [(_known(f"{part}.{name}", str(path)), value, f"file {path}") for name, value in table.items()]
    return entries


def _from_environment(variables: Mapping[str, str]) -> list[_Entry]:
    entries: list[_Entry] = []
    for variable, value in variables.items():
        if variable.startswith(PREFIX) and "__" in variable:
            name = variable.removeprefix(PREFIX).lower().replace("__", ".", 1)
            entries.append((_known(name, variable), value, f"environment {variable}"))
    return entries


def _from_assignments(assignments: Sequence[str]) -> list[_Entry]:
    entries: list[_Entry] = []
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise InvalidInputError("set", f"{assignment!r} is not NAME=VALUE, as in engine.rows=64")
        entries.append((_known(name.strip(), "flag"), value.strip(), "flag"))
    return entries


def _known(name: str, where: str) -> str:
    part, _, field = name.partition(".")
    model = Settings.model_fields.get(part)
    if model is None:
        raise InvalidInputError(name, f"no such setting ({where}); parts are {_part_names()}")
    names = type(model.default).model_fields
    if field not in names:
        raise InvalidInputError(name, f"no such setting ({where}); {part} has {', '.join(names)}")
    return name


def _part_names() -> str:
    return ", ".join(Settings.model_fields)


def _validate(values: Mapping[str, object], origins: Mapping[str, str]) -> Settings:
    nested: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        part, _, field = name.partition(".")
        nested.setdefault(part, {})[field] = value
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(step) for step in first["loc"][:2])
        problem = f"{first['msg']}, not {first['input']!r} ({origins.get(name, 'default')})"
        raise InvalidInputError(name, problem) from error
