"""The model service: each method checks, calls the hub and converts back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glossd.server.checks import check_name
from glossd.server.errors import Context
from glossd.v1 import model_service_pb2 as models
from glossd.v1.model_service_pb2_grpc import ModelServiceServicer
from glossd.wire.results import model_to_message, pair_to_message

if TYPE_CHECKING:
    from glossd.tasks.hub import Hub


class Models(ModelServiceServicer):
    """Answers calls about models from the hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def ListModels(self, request: models.ListModelsRequest, context: Context) -> models.ListModelsResponse:
        """Every model."""
        return models.ListModelsResponse(models=[model_to_message(model) for model in self._hub.descriptions()])

    async def GetModel(self, request: models.GetModelRequest, context: Context) -> models.GetModelResponse:
        """One model."""
        name = check_name("name", request.name, required=True)
        return models.GetModelResponse(model=model_to_message(self._hub.describe(name)))

    async def LoadModel(self, request: models.LoadModelRequest, context: Context) -> models.LoadModelResponse:
        """Loads a model; answers when it is ready."""
        name = check_name("name", request.name, required=True)
        await self._hub.load(name)
        return models.LoadModelResponse(model=model_to_message(self._hub.describe(name)))

    async def UnloadModel(self, request: models.UnloadModelRequest, context: Context) -> models.UnloadModelResponse:
        """Drains and frees a model."""
        name = check_name("name", request.name, required=True)
        await self._hub.unload(name)
        return models.UnloadModelResponse(model=model_to_message(self._hub.describe(name)))

    async def ListLanguagePairs(
        self, request: models.ListLanguagePairsRequest, context: Context
    ) -> models.ListLanguagePairsResponse:
        """Every direction that is served."""
        pairs = sorted(
            self._hub.language_pairs(), key=lambda pair: (pair.source_language_code, pair.target_language_code)
        )
        return models.ListLanguagePairsResponse(language_pairs=[pair_to_message(pair) for pair in pairs])
