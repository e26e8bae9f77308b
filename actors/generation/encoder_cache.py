"""The vision tower's outputs inside vLLM, kept no longer than they are needed. Loaded by vLLM, by name."""

from __future__ import annotations

from typing import Final

from vllm.v1.core.encoder_cache_manager import EncoderCacheManager
from vllm.v1.request import Request


class FrugalEncoderCache(EncoderCacheManager):
    """vLLM's own keeps outputs that nobody needs until their space is wanted; this one drops them at the next step.

    The outputs used last stay: vLLM starts requests in their order, so the rest of a group, or the next group about the
    same video, is what comes next.
    """

    _used_last: str | None = None

    def check_and_update_cache(self, request: Request, input_id: int) -> bool:
        """As vLLM's: whether the outputs are there, which the request then holds."""
        there: bool = super().check_and_update_cache(request, input_id)
        if there:
            self._used_last = request.mm_features[input_id].identifier
        return there

    def allocate(self, request: Request, input_id: int) -> None:
        """As vLLM's: account for the outputs that this step will compute."""
        super().allocate(request, input_id)
        self._used_last = request.mm_features[input_id].identifier

    def get_freed_mm_hashes(self) -> list[str]:
        """What the workers may drop; called once a step."""
        for mm_hash in [unused for unused in self.freeable if unused != self._used_last]:
            self.num_free_slots += self.freeable.pop(mm_hash)
            del self.cached[mm_hash]
            del self.num_embeds_by_hash[mm_hash]
            self.freed.append(mm_hash)
        freed: list[str] = super().get_freed_mm_hashes()
        return freed


FRUGAL_ENCODER_CACHE: Final = f"{FrugalEncoderCache.__module__}.{FrugalEncoderCache.__qualname__}"
