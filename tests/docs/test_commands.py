"""The documentation is true where a machine can tell: commands parse, configurations load, links lead somewhere."""

from __future__ import annotations

import runpy
import shlex
import sys
from argparse import Namespace
from functools import cache
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from museg.cli.main import build_parser, main
from museg.config.loading import load_config
from museg.config.schema import Config
from museg.config.supervised import load_supervised_config
from museg.data.samples import read_samples
from tests.docs.messages import PLACEHOLDER, occurs, texts_of_the_code
from tests.docs.pages import ROOT, Page, museg_arguments, pages

PAGES = pages()
IN_A_POD = {"job/run.yaml": "deploy/kuberay/base/run.yaml"}
"""Where a manifest mounts a file → the file."""
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@cache
def page(name: str) -> Page:
    return Page(ROOT / "docs" / name)


@every_page
def test_every_command_is_one_with_a_configuration_that_loads(
    page: Page, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in page.lines_of_commands():
        arguments = museg_arguments(words)
        if arguments is None:
            continue
        try:
            args = build_parser().parse_args(arguments)
        except SystemExit as end:
            if end.code:
                pytest.fail(f"{shlex.join(words)}: {capsys.readouterr().err}")
            continue  # --help
        assert args.command
        load_what_it_names(args, page, tmp_path)


def load_what_it_names(args: Namespace, page: Page, folder: Path) -> None:
    """A configuration lies in the repository, or is a block of the page that begins with its name."""
    given = [*map(str, [args.config] if getattr(args, "config", None) else []), *getattr(args, "words", [])]
    files = [word for word in given if "=" not in word]
    overrides = [*getattr(args, "overrides", []), *(word for word in given if "=" in word)]
    for file in files:
        path = ROOT / IN_A_POD.get(file, file)
        if not path.is_file():
            path = folder / file
            path.write_text(page.block(file), encoding="utf-8")
        (load_supervised_config if args.command == "sft" else load_config)(path, overrides)


@every_page
def test_every_command_that_a_sentence_names_is_one(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    for words in page.named_commands():
        try:
            assert build_parser().parse_args(museg_arguments(words)).command
        except SystemExit as end:
            # A sentence may leave out what a command needs, but name none of its options or values wrongly.
            complaint = capsys.readouterr().err
            if end.code and "required" not in complaint and "expected" not in complaint:
                pytest.fail(f"{shlex.join(words)}: {complaint}")


def test_commands_are_found_wherever_they_stand(tmp_path: Path) -> None:
    commands = (
        "museg data synth --output a   # makes it\nray job submit -- \\\n    python -m museg plan b.yaml … | head\n"
    )
    text = f"```\n{commands}```\n\n    museg status\n\n```yaml\nmuseg: no command\n```\n"
    (tmp_path / "page.md").write_text(text)
    lines = Page(tmp_path / "page.md").lines_of_commands()
    assert [museg_arguments(words) for words in lines] == [
        ["data", "synth", "--output", "a"],
        ["plan", "b.yaml"],
        ["status"],
    ]
    assert sum(museg_arguments(words) is not None for page in PAGES for words in page.lines_of_commands()) > 50


@every_page
def test_every_call_of_make_has_a_target_and_arguments_that_load(page: Page) -> None:
    targets = {line.partition(":")[0] for line in (ROOT / "Makefile").read_text().splitlines()}
    for words in page.lines_of_commands():
        if words[:1] != ["make"]:
            continue
        called = [word for word in words[1:] if "=" not in word]
        assert set(called) <= targets, shlex.join(words)
        if called == ["quickstart"]:
            passed_on = [word.removeprefix("ARGS=") for word in words if word.startswith("ARGS=")]
            load_config(ROOT / "configs" / "quickstart.yaml", " ".join(passed_on).split())


@every_page
def test_what_is_shown_of_a_configuration_has_the_schemas_keys_and_a_whole_one_loads(
    page: Page, tmp_path: Path
) -> None:
    schema = OmegaConf.structured(Config)
    for block in page.blocks:
        if block.language == "yaml" and block.title:
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
            load_config(tmp_path / block.title)
        elif block.language == "yaml":
            shown = yaml.safe_load(block.text)
            if shown.keys() & set(schema) == shown.keys():
                assert OmegaConf.merge(schema, shown)


@every_page
def test_every_link_leads_to_a_file_and_every_anchor_to_a_heading(page: Page) -> None:
    for link in page.links():
        name, _, anchor = link.partition("#")
        target = (page.path.parent / name).resolve() if name else page.path
        assert target.exists(), f"{page.name}: {link}"
        assert target.is_relative_to(ROOT), f"{page.name}: {link}"
        if anchor:
            assert anchor in Page(target).anchors(), f"{page.name}: {link}: {sorted(Page(target).anchors())}"


def test_the_index_has_every_page_once() -> None:
    listed = [link for link in page("README.md").links() if "/" not in link]
    assert sorted([*listed, "README.md"]) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def test_every_quoted_message_is_one_of_the_codes() -> None:
    texts = texts_of_the_code()
    messages = list(page("troubleshooting.md").messages())
    assert len(messages) >= 40
    for message in messages:
        assert len(message.replace(PLACEHOLDER, "").strip()) >= 10, f"{message!r} says too little to be found"
        assert occurs(message, texts), f"{message!r} isn't said by the code"
    assert not occurs("the dog … ate the homework", texts)


def test_the_script_for_a_spreadsheet_makes_files_that_pass_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{video}.mp4,a man opens a door,{10 * part + video},{10 * part + video + 4.5}" for video in range(40)
            for part in range(1 + video % 2)]  # fmt: skip
    (tmp_path / "annotations.csv").write_text("\n".join(["video,query,start,end", *rows]))
    (tmp_path / "to_samples.py").write_text(page("your_videos.md").block("to_samples.py"))
    monkeypatch.chdir(tmp_path)
    runpy.run_path("to_samples.py")
    train, held_out = (read_samples(Path(f"{name}.jsonl")) for name in ("train", "eval"))
    assert len(train) + len(held_out) == 40
    assert held_out
    assert {(sample.task, len(sample.solution)) for sample in train} == {("tvg", 1), ("tal", 2)}
    assert main(["data", "check", "train.jsonl", "--against", "eval.jsonl"]) == 0
    assert "best constant answer" in capsys.readouterr().out


def test_the_shown_sample_is_one(tmp_path: Path) -> None:
    (shown,) = [block.text for block in page("your_videos.md").blocks if block.language == "json"]
    (tmp_path / "one.jsonl").write_text(shown)
    (sample,) = read_samples(tmp_path / "one.jsonl")
    assert (sample.task, sample.duration_s) == ("tvg", 63.2)


def test_the_shown_rewards_do_what_their_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [block for block in page("your_reward.md").blocks if block.language == "python"]
    (tmp_path / "my_rewards.py").write_text(blocks[0].text)
    (tmp_path / "try_it.py").write_text(blocks[1].text)
    answers = tmp_path / "answers.jsonl"
    answers.write_text('{"completion": "<answer>1-2 3-4</answer>", "solution": [[1, 2]], "duration": 10}\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_rewards", raising=False)
    runpy.run_path("try_it.py")
    functions = ["--function", "my_rewards:right_number", "--function", "my_rewards:not_everything"]
    assert main(["score", "--input", "answers.jsonl", "--output", "scored.jsonl", *functions]) == 0
    rewards = yaml.safe_load((tmp_path / "scored.jsonl").read_text())["rewards"]
    assert (rewards["right_number"], rewards["not_everything"]) == (0.0, pytest.approx(-0.2))
    sys.modules.pop("my_rewards")
