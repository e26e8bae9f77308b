from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from museg.errors import ModelError
from museg.policy.positions import prompt_positions

VIDEO_TOKEN = 7


def config(tokens_per_second: int = 2) -> Qwen2_5_VLConfig:
    return Qwen2_5_VLConfig(
        video_token_id=VIDEO_TOKEN,
        vision_config={"tokens_per_second": tokens_per_second, "spatial_merge_size": 2},
    )


def token_ids(num_before: int, grid: tuple[int, int, int], num_after: int) -> torch.Tensor:
    num_visual = grid[0] * grid[1] * grid[2] // 4
    return torch.tensor([1] * num_before + [VIDEO_TOKEN] * num_visual + [2] * num_after)


def test_positions_of_a_small_video_by_hand() -> None:
    positions, next_position = prompt_positions(
        token_ids(2, (3, 2, 4), 2), torch.tensor([[3, 2, 4]]), 0.75, config(tokens_per_second=2)
    )
    # 1.5 positions a grid step, truncated: 0, 1, 3. The maximum over the axes is 2 + 3 on the temporal one.
    assert positions.tolist() == [
        [0, 1, 2, 2, 3, 3, 5, 5, 6, 7],
        [0, 1, 2, 2, 2, 2, 2, 2, 6, 7],
        [0, 1, 2, 3, 2, 3, 2, 3, 6, 7],
    ]
    assert next_position == 8


def test_text_starts_past_the_width_of_a_short_wide_video() -> None:
    positions, next_position = prompt_positions(token_ids(1, (1, 2, 20), 1), torch.tensor([[1, 2, 20]]), 1.0, config())
    assert positions[:, -1].tolist() == [11, 11, 11]
    assert next_position == 12


@pytest.mark.slow
@pytest.mark.parametrize("tokens_per_second", [2, 4])
@pytest.mark.parametrize("sample_fps", [0.7331, 1.0, 1.934, 2.0, 2.997, 3.1])
@pytest.mark.parametrize("grid", [(1, 2, 2), (2, 2, 30), (12, 4, 6), (224, 2, 2), (97, 18, 26)])
def test_positions_equal_those_of_the_engine(
    grid: tuple[int, int, int], sample_fps: float, tokens_per_second: int
) -> None:
    from vllm.model_executor.models.qwen2_5_vl import Qwen2_5_VLForConditionalGeneration as EngineModel

    model_config = config(tokens_per_second)
    second_per_grid = torch.tensor(2 / sample_fps)
    ids = token_ids(5, grid, 9)
    feature = SimpleNamespace(
        modality="video",
        mm_position=SimpleNamespace(offset=5),
        data={
            "video_grid_thw": SimpleNamespace(data=torch.tensor(grid)),
            "second_per_grid_ts": SimpleNamespace(data=second_per_grid),
        },
    )
    engine = SimpleNamespace(config=model_config)
    engine.iter_mm_grid_thw = lambda features: EngineModel.iter_mm_grid_thw(engine, features)
    expected, delta = EngineModel.get_mrope_input_positions(engine, ids.tolist(), [feature])

    positions, next_position = prompt_positions(ids, torch.tensor([grid]), second_per_grid.item(), model_config)

    assert torch.equal(positions, expected)
    assert next_position == len(ids) + delta


def test_transformers_puts_the_text_after_a_video_elsewhere(model_folder: Path) -> None:
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(model_folder)
    video_token, grid = model.config.video_token_id, torch.tensor([[12, 4, 6]])
    ids = torch.tensor([1] * 3 + [video_token] * 72 + [2] * 4)
    theirs, _ = model.model.get_rope_index(
        ids[None],
        mm_token_type_ids=torch.where(ids == video_token, 2, 0)[None],
        video_grid_thw=grid,
        second_per_grid_ts=torch.tensor([1.0]),
    )
    ours, _ = prompt_positions(ids, grid, 1.0, model.config)
    assert torch.equal(theirs[:, 0, :75], ours[:, :75])
    assert theirs[:, 0, 75].tolist() == [6, 6, 6]
    assert ours[:, 75].tolist() == [3 + 22 + 1] * 3


@pytest.mark.parametrize("ids", [[1, 7, 7, 2], [7, 7, 1, 7, 7], [1, 2], [7, 7, 7, 7, 7]])
def test_a_broken_run_of_placeholders_is_refused(ids: list[int]) -> None:
    with pytest.raises(ModelError, match="video placeholders where its video has 4 visual tokens"):
        prompt_positions(torch.tensor(ids), torch.tensor([[4, 2, 2]]), 1.0, config())
