"""New weights into a loaded vLLM model, written over the old ones where these lie."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
from vllm.model_executor.model_loader.reload.layerwise import get_layerwise_info

from actors.weight_sync.buckets import NamedParameter, row_stride
from actors.weight_sync.packers import Packers

ShardId = str | int | None
"""vLLM's name of a part of a fused layer; None where the part is all of it."""
_PARTS = ("q", "k", "v")
"""Of a fused attention layer, in their order. Those of other fused layers are numbered."""


class InPlaceLoader:
    """Replaces the weights of a model as often as wanted, in whatever pieces they come.

        loader = InPlaceLoader(model)
        loader.begin()
        loader.load(named_parameters)    # Hugging Face names and shapes, any number of times
        missing = loader.finish()

    vLLM's own layer-wise reload moves the whole model to the meta device and back, and copies each layer three times.
    Here, most parameters are copied to; a layer whose weights vLLM keeps only in a packed form, as it does on CPU, is
    packed anew as soon as all its parts are there. What doesn't come stays as it was.

    Where a part of such a layer belongs vLLM is asked once: finding it takes about as long as packing it.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._packers = Packers()
        self._packed = [
            _PackedLayer(f"{name}.weight", module, self._packers, self._take)
            for name, module in model.named_modules()
            if hasattr(module, "cpu_linear") and module.weight.numel() == 0
        ]
        # Packed and whole: packed, too, from the weights that may be those of the embeddings.
        self._heads = [
            (_names_of(module.weight, model), module)
            for module in model.modules()
            if isinstance(module, ParallelLMHead) and hasattr(module, "cpu_linear")
        ]
        self._missing: set[str] = set()
        self._routes: defaultdict[str, list[tuple[_PackedLayer, ShardId]]] = defaultdict(list)
        """Hugging Face name → the layers that take that parameter, whole, as a part."""
        self._asked: dict[tuple[int, torch.Size], str] = {}
        """Address and shape of the parameters that vLLM is finding the places of → their Hugging Face names."""

    def begin(self) -> None:
        """Expect all of the model's weights. What an unfinished update left is dropped."""
        self._missing = {name for name, _ in self._model.named_parameters()}
        for layer in self._packed:
            layer.begin()

    @torch.no_grad()
    def load(self, named_parameters: Iterable[NamedParameter]) -> None:
        """Take some parameters. On return none of their memory is needed any longer."""
        try:
            loaded = self._load(list(named_parameters))
            for names, head in self._heads:
                if not names.isdisjoint(loaded):
                    self._packers.submit(_pack, head)
        finally:
            self._packers.wait()
        self._missing -= loaded
        for layer in self._packed:
            layer.own_parts()

    def finish(self) -> set[str]:
        """Parameters, in the engine's names, that haven't come, or not with all their parts."""
        return self._missing | {layer.name for layer in self._packed if layer.is_incomplete}

    def _load(self, named_parameters: Sequence[NamedParameter]) -> set[str]:
        """Have all of them packed or copied; the engine's names of what came."""
        loaded = set()
        # The largest first, so that those who pack end at about the same time.
        for name, value in sorted(named_parameters, key=lambda named: -named[1].numel()):
            for layer, shard_id in self._routes.get(name, ()):
                layer.take(value, shard_id)
                loaded.add(layer.name)
        others = [named for named in named_parameters if named[0] not in self._routes]
        self._asked = {(value.data_ptr(), value.shape): name for name, value in others}
        return loaded | self._model.load_weights(others)

    def _take(self, layer: _PackedLayer, part: torch.Tensor, shard_id: ShardId) -> None:
        """What vLLM calls. A model may hand on pieces of a parameter; such it is asked about each time."""
        name = self._asked.get((part.data_ptr(), part.shape))
        if name is not None:
            self._routes[name].append((layer, shard_id))
        layer.take(part, shard_id)


class _PackedLayer:
    """A linear layer whose weight parameter is empty, because its quantization method holds it in packed form."""

    def __init__(
        self, name: str, module: Any, packers: Packers, on_part: Callable[[_PackedLayer, torch.Tensor, ShardId], None]
    ) -> None:
        """`on_part` is told what vLLM finds to be parts of its weight."""
        self.name = name
        self._module = module
        self._packers = packers
        self._on_part = on_part
        # Noted by vLLM before it packed the weights.
        meta = get_layerwise_info(module).restore_metadata[0]["weight"]
        self._shape, self._dtype = meta.shape, meta.dtype
        self._parts: dict[ShardId, torch.Tensor] = {}
        self._owned: set[ShardId] = set()
        self._accept_parts()

    @property
    def is_incomplete(self) -> bool:
        return bool(self._parts)

    def begin(self) -> None:
        self._forget_parts()

    def take(self, part: torch.Tensor, shard_id: ShardId) -> None:
        """Have the weight packed once this and all other parts of it are there."""
        self._parts[shard_id] = part
        if sum(part.shape[0] for part in self._parts.values()) == self._shape[0]:
            parts = [self._parts[key] for key in sorted(self._parts, key=_place_in_layer)]
            self._forget_parts()
            self._packers.submit(self._pack, parts)

    def own_parts(self) -> None:
        """Copy what has come and waits for the rest: where it lies, other weights may come to lie."""
        for key, part in self._parts.items():
            if key not in self._owned:
                owned = torch.empty(part.shape[0], row_stride(part.shape[1]))[:, : part.shape[1]]
                self._parts[key] = owned.copy_(part)
                self._owned.add(key)

    def _accept_parts(self) -> None:
        """Be what vLLM calls to load the weight, which it looks up at the parameter."""
        self._module.weight.weight_loader = self._loaded

    def _loaded(self, _parameter: torch.Tensor, part: torch.Tensor, shard_id: ShardId = None) -> None:
        # Some models of vLLM's name a part by an argument, others by an attribute.
        self._on_part(self, part, getattr(part, "shard_id", shard_id))

    def _pack(self, parts: Sequence[torch.Tensor]) -> None:
        weight = _joined(parts).to(self._dtype)
        self._module.weight = torch.nn.Parameter(weight, requires_grad=False)
        _pack(self._module)
        self._accept_parts()

    def _forget_parts(self) -> None:
        self._parts.clear()
        self._owned.clear()


def _place_in_layer(key: ShardId) -> int:
    return _PARTS.index(key) if isinstance(key, str) else key or 0


def _joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Matrices below one another, without copying if they lie so already."""
    first = parts[0]
    end = first.data_ptr()
    for part in parts:
        if part.data_ptr() != end or part.stride() != first.stride():
            return _copied(parts)
        end += part.shape[0] * part.stride(0) * part.element_size()
    return first.as_strided((sum(part.shape[0] for part in parts), first.shape[1]), first.stride())


def _copied(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    num_rows, num_columns = sum(part.shape[0] for part in parts), parts[0].shape[1]
    joined = torch.empty(num_rows, row_stride(num_columns))[:, :num_columns]
    for part, place in zip(parts, joined.split([part.shape[0] for part in parts]), strict=True):
        place.copy_(part)
    return joined


def _pack(module: Any) -> None:
    # The old packed weights go first: their memory is then used for the new.
    module.cpu_linear = None
    module.quant_method.process_weights_after_loading(module)


def _names_of(weight: torch.Tensor, model: Any) -> set[str]:
    """All names of a parameter that modules may share."""
    return {name for name, other in model.named_parameters(remove_duplicate=False) if other is weight}
