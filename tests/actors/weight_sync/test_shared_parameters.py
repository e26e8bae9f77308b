"""A learner's parameters where generators read them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from actors.weight_sync.segments import SegmentMap, SharedBucket
from actors.weight_sync.shared_parameters import SharedParameters


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 5), nn.Tanh(), nn.Linear(5, 32, bias=False))


def values(segments: SegmentMap, shared: SharedBucket) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in segments.bucket(shared).parameters()}


def test_readers_see_what_a_step_made_of_the_parameters() -> None:
    policy, segments = model(), SegmentMap()
    before = {name: value.clone() for name, value in policy.named_parameters()}
    named = list(policy.named_parameters())
    shared = SharedParameters(named)
    bucket = shared.bucket(named)
    torch.testing.assert_close(values(segments, bucket), before, rtol=0.0, atol=0.0)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=0.1, fused=True)
    policy(torch.ones(3, 20)).square().sum().backward()
    optimizer.step()
    after = {name: value.detach() for name, value in policy.named_parameters()}
    assert not torch.equal(after["0.weight"], before["0.weight"])
    torch.testing.assert_close(values(segments, bucket), after, rtol=0.0, atol=0.0)


def test_a_bucket_holds_the_parameters_of_its_run_alone() -> None:
    named = list(model().named_parameters())
    shared = SharedParameters(named)
    assert [*values(SegmentMap(), shared.bucket(named[1:]))] == ["0.bias", "2.weight"]
    assert shared.bucket(named[1:]).num_bytes == 4 * (5 + 160)


def test_each_parameter_keeps_a_storage_of_its_own(tmp_path: Path) -> None:
    policy = model()
    SharedParameters(list(policy.named_parameters()))
    sizes = {name: value.untyped_storage().nbytes() for name, value in policy.named_parameters()}
    assert sizes == {"0.weight": 400, "0.bias": 20, "2.weight": 640}
    save_file(dict(policy.state_dict()), tmp_path / "model.safetensors")
    torch.save(policy.state_dict(), tmp_path / "model.pt")
    for saved in (load_file(tmp_path / "model.safetensors"), torch.load(tmp_path / "model.pt")):
        torch.testing.assert_close(saved, dict(policy.state_dict()), rtol=0.0, atol=0.0)


def test_loading_a_state_keeps_them_shared() -> None:
    policy, other = model(), model()
    with torch.no_grad():
        other[0].bias.fill_(7.0)
    named = list(policy.named_parameters())
    shared = SharedParameters(named)
    policy.load_state_dict(other.state_dict())
    assert shared.hold(named)
    assert values(SegmentMap(), shared.bucket(named))["0.bias"].tolist() == [7.0] * 5


def test_it_tells_when_parameters_went_elsewhere() -> None:
    policy = model()
    named = list(policy.named_parameters())
    shared = SharedParameters(named)
    assert shared.hold(list(policy.named_parameters()))
    assert not shared.hold(named[:-1])
    policy[0].bias.data = torch.zeros(5)
    assert not shared.hold(named)


def test_matrices_that_follow_one_another_touch() -> None:
    named = [(f"layer.{part}.{kind}", torch.ones(shape)) for part in "qkv" for kind, shape in SHAPES.items()]
    placements = {placement.name: placement for placement in SharedParameters(named).bucket(named).placements}
    ends = [placements[f"layer.{part}.weight"].start + 64 * 32 for part in "qk"]
    assert ends == [placements[f"layer.{part}.weight"].start for part in "kv"]


SHAPES = {"weight": (64, 32), "bias": (64,)}
