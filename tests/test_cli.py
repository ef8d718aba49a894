"""The commands as a user runs them: output, messages, exit status, files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import netspec
from netspec.quantities import short
from tests.commands import Run


def process(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "netspec", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# check ---------------------------------------------------------------------------------------------------------------


def test_check_of_a_good_spec_says_what_it_is(run: Run) -> None:
    assert run("check", "good.yaml") == (0, "good.yaml: ok, 112 parameters, 3.89 kMACs, 3×8×8 → 4×6×6\n", "")


def test_check_goes_on_after_a_bad_spec_and_fails(run: Run) -> None:
    status, out, err = run("check", "bad.yaml", "good.yaml")
    assert status == 1
    assert out.startswith("good.yaml: ok")
    assert err.startswith("error[unknown-op]: unknown op or block `cnov`\n --> bad.yaml:4:10\n")


def test_every_shipped_spec_passes(run: Run) -> None:
    status, out, _ = run("check", *netspec_names())
    assert status == 0
    assert out.count(": ok, ") == len(netspec_names())


def netspec_names() -> list[str]:
    from netspec.catalog import shipped_specs

    return list(shipped_specs())


def test_overrides_reach_the_parameters(run: Run) -> None:
    assert "→ 7×6×6" in run("check", "good.yaml", "--set", "n=7")[1]
    assert "→ 4×14×14" in run("check", "good.yaml", "--input", "[3, 16, 16]")[1]
    layers = run("check", "resnet50", "--set", "layers=[1, 1, 1, 1]", "--set", "num_classes=5 * 2")[1]
    assert layers.endswith("→ 10\n")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("check", "nowhere.yaml"), "unknown-spec"),
        (("check", "resnet51"), "unknown-spec"),
        (("summary", "."), "unknown-spec"),
        (("check", "good.yaml", "--set", "m=1"), "unknown-parameter"),
        (("check", "good.yaml", "--set", "n"), "invalid-override"),
        (("check", "good.yaml", "--set", "n="), "invalid-override"),
        (("check", "good.yaml", "--set", "n=many"), "unknown-name"),
        (("check", "good.yaml", "--set", "n=[1, 2"), "invalid-yaml"),
        (("check", "good.yaml", "--input", "[3, -8, 8]"), "wrong-type"),
        (("check", "good.yaml", "--input", "{y: [3, 8, 8]}"), "unknown-input"),
        (("build", "good.yaml", "-o", "weights.bin"), "unknown-format"),
        (("build", "good.yaml", "-o", "nowhere/weights.pth"), "unwritable-file"),
        (("draw", "good.yaml", "-o", "picture.jpeg"), "unknown-format"),
        (("draw", "good.yaml", "-o", "nowhere/picture.svg"), "unwritable-file"),
        (("summary", "bad.yaml"), "unknown-op"),
        (("show", "nowhere"), "unknown-spec"),
    ],
)
def test_a_mistake_is_a_message_and_status_1(run: Run, arguments: tuple[str, ...], code: str) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith(f"error[{code}]: ")
    assert "Traceback" not in err
    assert sorted(path.name for path in Path().iterdir()) == ["bad.yaml", "good.yaml"], "no file is left behind"


def test_a_wrong_command_line_is_status_2(run: Run) -> None:
    assert run("chekc", "good.yaml")[0] == 2
    assert run("summary", "good.yaml", "--depth", "-1")[0] == 2
    assert run()[0] == 2


def test_messages_have_color_on_a_terminal_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" not in run("check", "bad.yaml")[2]
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert "\x1b[1;31merror[unknown-op]\x1b[0m" in run("check", "bad.yaml")[2]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in run("check", "bad.yaml")[2]


# build ---------------------------------------------------------------------------------------------------------------


def test_build_runs_one_batch_and_reports(run: Run) -> None:
    status, out, err = run("build", "good.yaml", "--batch", "3")
    assert (status, err) == (0, "")
    report = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in out.splitlines())
    assert list(report) == ["network", "inputs", "outputs", "parameters", "cost", "memory", "run"]
    assert report["parameters"].startswith("112, ")
    assert report["run"].endswith("giving 3×4×6×6")


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_build_saves_weights_that_load_into_the_module(run: Run, name: str) -> None:
    status, out, _ = run("build", "good.yaml", "--seed", "3", "-o", name)
    assert status == 0
    assert f"saved       {name}" in out
    state = load_file(name) if name.endswith("safetensors") else torch.load(name, weights_only=True)
    expected = netspec.load("good.yaml").build(seed=3).state_dict()
    assert list(state) == list(expected) or sorted(state) == sorted(expected)
    assert all(torch.equal(state[key], expected[key]) for key in expected)


def test_build_takes_integer_inputs(run: Run) -> None:
    text = "netspec: 1\ninputs: {words: {shape: [5], dtype: int64}}\ngraph: [{embedding: [9, 4]}, flatten]\n"
    Path("words.yaml").write_text(text)
    assert run("build", "words.yaml")[0] == 0


# summary, show, list, completion -------------------------------------------------------------------------------------


def test_summary_as_json_adds_up(run: Run) -> None:
    status, out, _ = run("summary", "googlenet", "--format", "json")
    assert status == 0
    document = json.loads(out)
    graph = netspec.load("googlenet")
    assert (document["parameters"], document["macs"]) == (graph.parameters, graph.macs)
    assert document["flops"] == 2 * document["macs"]
    pending = document["rows"]
    while pending:
        row = pending.pop()
        for figure in ("parameters", "macs", "memory"):
            if row["children"]:
                assert row[figure] == sum(child[figure] * child["count"] for child in row["children"])
        pending.extend(row["children"])
    for figure in ("parameters", "macs", "memory"):
        rows = json.loads(out)["rows"]
        assert document[figure] == sum(row[figure] * row["count"] for row in rows)


def test_summary_depth_opens_levels(run: Run) -> None:
    shallow, deep, whole = (run("summary", "resnet50", "--depth", depth)[1].splitlines() for depth in ("1", "3", "all"))
    assert len(shallow) < len(deep) <= len(whole)
    assert any("×2" in line for line in deep)


def test_summary_as_markdown_is_a_table(run: Run) -> None:
    lines = run("summary", "good.yaml", "--format", "markdown")[1].splitlines()
    assert lines[4] == "| 0 | conv | 4×6×6 | 112 | 3.89 k | 576 B |"


def test_show_prints_one_spec_that_means_the_same(run: Run) -> None:
    merged = run("show", "resnext50_32x4d")[1]
    assert "extends" not in merged
    assert str(netspec.loads(merged)) == str(netspec.load("resnext50_32x4d"))


def test_list_names_every_spec_that_ships(run: Run) -> None:
    lines = run("list")[1].splitlines()
    assert [line.split()[0] for line in lines] == netspec_names()
    assert all(len(line) < 150 for line in lines)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_the_commands(run: Run, shell: str) -> None:
    assert "summary" in run("completion", shell)[1]


def test_help_of_every_command_can_be_read(run: Run) -> None:
    for command in ("check", "build", "summary", "draw", "show", "list", "completion"):
        status, out, _ = run(command, "--help")
        assert status == 0
        assert out.startswith(f"usage: netspec {command}")


# Processes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    ["check resnet50", "summary googlenet", "list", "show resnext50_32x4d", "draw lenet5 -o {folder}/a.dot"],
)
def test_commands_that_read_never_import_what_is_heavy(arguments: str, tmp_path: Path) -> None:
    command = arguments.format(folder=tmp_path).split()
    heavy = ["torch", "torchvision", "networkx", "pydantic.main", "rich", "wasmtime", "numpy"]
    code = f"""
import sys
from netspec.cli import main
try:
    main({command!r})
except SystemExit as exit:
    assert exit.code == 0, exit.code
print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""
    result = process(code=code)
    assert result.stderr == "[]\n", result.stderr


def test_a_closed_pipe_is_no_traceback() -> None:
    command = f"{sys.executable} -m netspec summary resnet50 --depth all | head -1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert result.stderr == ""


def test_torch_is_asked_for_by_name_where_it_is_missing(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no torch', name='torch')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "netspec", "build", "lenet5"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 1
    assert "pip install 'netspec[torch]'" in result.stderr
    assert "Traceback" not in result.stderr


# Quantities ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1.00 k"), (9408, "9.41 k"), (999_999, "1.00 M"), (4_089_184_256, "4.09 G")],
)
def test_counts_have_three_digits(number: int, text: str) -> None:
    assert short(number) == text
