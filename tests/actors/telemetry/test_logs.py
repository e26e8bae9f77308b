"""TensorBoard, Weights & Biases and MLflow, each read back by its own library."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from actors.telemetry import outside
from actors.telemetry.mlflow_log import MlflowLog
from actors.telemetry.outside import KnownRuns, flat_config, require_packages
from actors.telemetry.tensorboard_log import TensorBoardLog
from actors.telemetry.wandb_log import WandbLog
from museg.cli import main
from museg.errors import ConfigError
from tests.actors.telemetry.rows import REPOSITORY, config, row


def test_tensorboard_has_every_key_of_a_row_once_a_step_also_after_a_resume(tmp_path: Path) -> None:
    killed = TensorBoardLog(tmp_path, first_step=1)
    for step in (1, 2, 3):
        killed.log(row(step))
    resumed = TensorBoardLog(tmp_path, first_step=3)
    for step in (3, 4):
        resumed.log(row(step, **{"eval/miou": 0.5}))
    resumed.close("completed")
    events = EventAccumulator(str(tmp_path), purge_orphaned_data=True)
    events.Reload()
    rewards = events.Scalars("reward/mean")
    assert [(event.step, event.value) for event in rewards] == [(s, row(s)["reward/mean"]) for s in (1, 2, 3, 4)]
    assert rewards[-1].wall_time == row(4)["time/unix_s"]
    assert [event.step for event in events.Scalars("eval/miou")] == [3, 4]
    assert set(events.Tags()["scalars"]) == row(1).keys() - {"step"} | {"eval/miou"}


@pytest.mark.parametrize("service", ["wandb", "mlflow"])
def test_a_service_without_its_package_is_refused_with_how_to_install_it(
    service: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(outside.importlib.util, "find_spec", lambda name: None)
    require_packages(config().telemetry)
    with pytest.raises(ConfigError, match=rf"the package {service} isn't installed: pip install 'museg\[{service}\]'"):
        require_packages(config(f"telemetry.{service}.enabled=true").telemetry)
    arguments = ["train", str(REPOSITORY / "configs" / "quickstart.yaml"), f"telemetry.{service}.enabled=true"]
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_configuration_is_flat_and_whole() -> None:
    flat = flat_config(config("grpo.steps=7"))
    assert flat["grpo.steps"] == 7
    assert flat["telemetry.wandb.project"] == "museg"
    assert not any(isinstance(value, dict) for value in flat.values())


def test_wandb_offline_keeps_one_run_over_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb isn't installed: pip install 'museg[wandb]'")
    for name, word in {"WANDB_MODE": "offline", "WANDB_CACHE_DIR": "cache", "WANDB_CONFIG_DIR": "config"}.items():
        monkeypatch.setenv(name, word if name == "WANDB_MODE" else str(tmp_path / word))
    known = KnownRuns(tmp_path / "logged_to.json")
    for steps in ((1, 2), (3,)):
        log = WandbLog(config("telemetry.wandb.enabled=true"), tmp_path, known)
        for step in steps:
            log.log(row(step))
        log.close("completed")
    identifier = json.loads((tmp_path / "logged_to.json").read_text())["wandb"]
    written = sorted((tmp_path / "wandb").glob(f"offline-run-*/run-{identifier}.wandb"))
    assert len(written) == 2
    assert all(b"reward/mean" in file.read_bytes() for file in written)


def test_mlflow_has_every_step_once_also_after_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="mlflow isn't installed: pip install 'museg[mlflow]'")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store = (tmp_path / "store").as_uri()
    wanted = config("telemetry.mlflow.enabled=true", f"telemetry.mlflow.tracking_uri={store}")
    known = KnownRuns(tmp_path / "logged_to.json")
    for steps, status in (((1, 2, 3), "interrupted"), ((3, 4), "completed")):
        log = MlflowLog(wanted, known, print)
        for step in steps:
            log.log(row(step, **{"eval/recall@0.5": 0.5}))
        log.close(status)
    client, identifier = MlflowClient(store), json.loads((tmp_path / "logged_to.json").read_text())["mlflow"]
    rewards = client.get_metric_history(identifier, "reward/mean")
    assert [(metric.step, metric.value) for metric in rewards] == [(s, row(s)["reward/mean"]) for s in (1, 2, 3, 4)]
    assert client.get_metric_history(identifier, "eval/recall_at_0.5")
    run = client.get_run(identifier)
    assert (run.info.status, run.data.params["run.name"]) == ("FINISHED", "first")
