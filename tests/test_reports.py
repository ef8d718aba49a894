"""What `netspec check` tells people and programs: many specs at once, and its formats."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from jsonschema import Draft7Validator

import netspec
from netspec.codes import explanation
from netspec.commands.check import _tally
from netspec.commands.common import Result, complain, spec_files
from netspec.commands.reports import REPORTS
from netspec.diagnostics import Diagnostic, SourceFile
from tests.commands import BAD, GOOD, Run
from tests.test_wrong_specs import SPECS, WRONG, diagnosed

ROOT = Path(__file__).parent.parent
SARIF = Draft7Validator(json.loads((ROOT / "tests" / "sarif_schema.json").read_text(encoding="utf-8")))
HOOKS = ROOT / ".pre-commit-hooks.yaml"
BLOCKS = "netspec: 1\nblocks:\n  brick: {graph: [{conv: [8, 3]}, relu]}\n"


def write(**files: str) -> None:
    for name, text in files.items():
        path = Path(name.replace("__", "/") + ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def remark(level: Any, file: SourceFile | None = None) -> Diagnostic:
    return Diagnostic("unused-node", "100% of it, and: more", file.start if file else None, level=level, help=("a\nb",))


# Many specs ----------------------------------------------------------------------------------------------------------


def test_a_folder_stands_for_the_specs_in_it_and_below(run: Run) -> None:
    write(models__a=GOOD, models__deep__b=GOOD, models__deep__flow="{netspec: 1, input: [3, 8, 8], graph: [relu]}")
    status, out, err = run("check", "models", "good.yaml")
    assert (status, err) == (0, "")
    named = [line.partition(":")[0] for line in out.splitlines()]
    assert named == ["models/a.yaml", "models/deep/b.yaml", "models/deep/flow.yaml", "good.yaml"]


def test_a_folder_is_searched_for_networks_alone(run: Run) -> None:
    write(all__net=GOOD, all__blocks=BLOCKS, all__action="inputs: {name: text}\n", all__nested="a:\n  netspec: 1\n")
    write(all__ugly="\ufeff'netspec' : 1\n\"input\": [3, 8, 8]\n")
    Path("all/.hidden").mkdir()
    Path("all/.hidden/net.yaml").write_text(GOOD)
    Path("all/notes.txt").write_text(GOOD)
    assert list(spec_files(["all"], networks=True)) == ["all/net.yaml", "all/ugly.yaml"]
    assert list(spec_files(["all"])) == ["all/blocks.yaml", "all/net.yaml", "all/ugly.yaml"]


def test_a_spec_that_is_named_twice_is_checked_once(run: Run) -> None:
    status, out, _ = run("check", "good.yaml", "./good.yaml", os.path.abspath("good.yaml"), "good.yaml")
    assert (status, out.count("ok")) == (0, 1)


def test_a_folder_with_the_name_of_a_shipped_spec_needs_a_slash(run: Run) -> None:
    write(lenet5__mine=GOOD)
    assert run("check", "lenet5")[1].startswith("lenet5: ok, 61.7 k parameters")
    assert run("check", "lenet5/")[1].startswith("lenet5/mine.yaml: ok")


def test_check_goes_on_behind_what_is_missing_and_counts(run: Run) -> None:
    Path("empty").mkdir()
    Path("gone.yaml").symlink_to("nowhere.yaml")
    status, out, err = run("check", "empty", "gone.yaml", "bad.yaml", "good.yaml")
    assert status == 1
    assert out.startswith("good.yaml: ok")
    assert re.findall(r"^error\[(.*?)\]", err, re.MULTILINE) == ["unknown-spec", "unknown-spec", "unknown-op"]
    assert err.endswith("\n\n3 errors in 3 of 4 specs\n")


def test_a_file_that_vanishes_while_a_folder_is_checked_is_a_message(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write(models__a=GOOD, models__b=GOOD)

    def load(spec: str, options: object) -> netspec.Graph:
        Path("models/b.yaml").unlink(missing_ok=True)
        return netspec.load(spec)

    monkeypatch.setattr("netspec.commands.check.load_spec", load)
    status, out, err = run("check", "models")
    assert (status, out.count("ok")) == (1, 1)
    assert err.startswith("error[unknown-spec]: there is no file `models/b.yaml`")


def test_one_spec_needs_no_count(run: Run) -> None:
    assert "1 error" not in run("check", "bad.yaml")[2]
    assert run("check", "good.yaml", "lenet5")[2] == "", "nor do specs without mistakes"


def test_the_count_names_each_level() -> None:
    warned = Result("a", netspec.load("lenet5"), (remark("warning"),))
    wrong = Result("b", None, (remark("error"), remark("error")))
    assert _tally([warned, wrong, Result("c", warned.graph)]) == "2 errors and 1 warning in 2 of 3 specs"
    assert _tally([warned]) == "1 warning in 1 of 1 spec"


# Formats -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", REPORTS)
def test_a_report_is_all_there_is_on_stdout_and_stderr(run: Run, form: str) -> None:
    status, out, err = run("check", "bad.yaml", "good.yaml", "--format", form)
    assert (status, err) == (1, "")
    assert "unknown-op" in out
    assert run("check", "good.yaml", "--format", form)[0] == 0


def test_json_says_what_the_graph_says(run: Run) -> None:
    good, bad = json.loads(run("check", "good.yaml", "bad.yaml", "--format", "json")[1])
    graph = netspec.load("good.yaml")
    assert good == {
        "spec": "good.yaml",
        "valid": True,
        "parameters": graph.parameters,
        "macs": graph.macs,
        "inputs": {"x": {"shape": [3, 8, 8], "dtype": "float32"}},
        "outputs": {"0": {"shape": [4, 6, 6], "dtype": "float32"}},
        "diagnostics": [],
    }
    (mistake,) = bad["diagnostics"]
    line = BAD.splitlines()[mistake["line"] - 1]
    assert line[mistake["column"] - 1 : mistake["end_column"] - 1] == "cnov"
    assert Path(mistake["path"]) == Path("bad.yaml").resolve()
    assert (bad["valid"], mistake["file"], mistake["code"]) == (False, "bad.yaml", "unknown-op")


def decoded(command: str) -> tuple[str, dict[str, str], str]:
    """A workflow command as GitHub's runner takes it apart, at the first `::` behind the properties."""
    found = re.fullmatch(r"::(\w+) (.*?)::(.*)", command)
    assert found is not None
    properties = dict(part.split("=", 1) for part in found[2].split(","))
    return found[1], {name: unquote(value) for name, value in properties.items()}, unquote(found[3])


def test_github_gets_a_command_a_line_that_its_runner_can_decode(run: Run) -> None:
    name = "odd, 50%: name.yaml"
    Path(name).write_text(BAD)
    status, out, _ = run("check", name, "--format", "github")
    assert status == 1
    kind, properties, message = decoded(out.removesuffix("\n"))
    place = {"file": name, "line": "4", "col": "10", "endLine": "4"}
    assert (kind, properties) == ("error", {**place, "title": "netspec unknown-op"})
    assert message.splitlines()[0] == "unknown op or block `cnov` (not known here)"


def test_sarif_of_every_wrong_spec_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(WRONG)
    results = []
    for path in SPECS:
        found = diagnosed(partial(netspec.load, path.relative_to(WRONG)))
        results.append(Result(str(path.relative_to(WRONG)), None, found))
    log = json.loads(REPORTS["sarif"](results))
    SARIF.validate(log)
    (one,) = log["runs"]
    rules = one["tool"]["driver"]["rules"]
    assert len(one["results"]) == sum(len(result.diagnostics) for result in results)
    for result in one["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        ((_, location),) = [item for item in result["locations"][0].items() if item[0] == "physicalLocation"]
        region = location["region"]
        assert (region["startLine"], region["startColumn"]) <= (region["endLine"], region["endColumn"])
        assert Path(unquote(location["artifactLocation"]["uri"])).is_file()
    assert all(rule["help"]["markdown"] == explanation(rule["id"]) for rule in rules)


def test_a_report_points_into_the_file_that_is_imported(run: Run) -> None:
    write(models__net=GOOD.replace("graph:", "imports: [sub/blocks.yaml]\ngraph:"))
    write(models__sub__blocks=BLOCKS.replace("conv", "cnov"))
    Path("models/net.yaml").write_text(Path("models/net.yaml").read_text().replace("[{conv: [n, 3]}]", "[brick]"))
    out = run("check", "models", "--format", "github")[1]
    assert decoded(out.removesuffix("\n"))[1]["file"] == "models/sub/blocks.yaml"
    log = json.loads(run("check", "models", "--format", "sarif")[1])
    place = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert place == "models/sub/blocks.yaml"


def test_a_file_outside_the_working_directory_keeps_its_whole_path(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    os.chdir("inside")
    log = json.loads(run("check", "../bad.yaml", "--format", "sarif")[1])
    uri = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == (tmp_path / "bad.yaml").resolve().as_uri()


def test_what_has_no_file_has_no_place(run: Run) -> None:
    out = run("check", "good.yaml", "--set", "n=many", "--format", "github")[1]
    assert out.startswith("::error title=netspec unknown-name::")
    log = json.loads(run("check", "nowhere", "--format", "sarif")[1])
    assert log["runs"][0]["results"][0]["locations"] == []


def test_every_format_tells_warnings_from_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = SourceFile("net.yaml", "", tmp_path / "net.yaml")
    results = [Result("net", netspec.load("lenet5"), (remark("warning", file),)), Result("b", None, (remark("error"),))]
    complain(results[0].diagnostics)
    assert capsys.readouterr().err.startswith("warning[unused-node]: ")
    listed = json.loads(REPORTS["json"](results))
    assert [(item["valid"], item["diagnostics"][0]["level"]) for item in listed] == [
        (True, "warning"),
        (False, "error"),
    ]
    commands = [decoded(line) for line in REPORTS["github"](results).splitlines()]
    assert [kind for kind, _, _ in commands] == ["warning", "error"]
    assert commands[0][2] == "100% of it, and: more\nhelp: a\nb"
    log = json.loads(REPORTS["sarif"](results))
    SARIF.validate(log)
    assert [result["level"] for result in log["runs"][0]["results"]] == ["warning", "error"]
    assert len(log["runs"][0]["tool"]["driver"]["rules"]) == 1


def test_checking_for_people_reads_no_explanations() -> None:
    code = "import sys, netspec.cli\ntry: netspec.cli.main(['check', 'lenet5'])\nexcept SystemExit: print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"netspec.codes", "netspec.commands.reports", "json"} & set(result.stdout.split())


# pre-commit ----------------------------------------------------------------------------------------------------------


def test_the_hooks_are_valid_for_pre_commit() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-manifest", str(HOOKS)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("hook", yaml.safe_load(HOOKS.read_text(encoding="utf-8")), ids=lambda hook: hook["id"])
def test_a_hook_passes_and_fails_as_it_should(run: Run, hook: dict[str, Any]) -> None:
    Path("bad.yaml").rename("bad.text")
    Path("other.yaml").write_text("- not a spec\n")
    Path("good.yaml").write_text("netspec: 1\nname: good\ninput: [3, 8, 8]\n\ngraph:\n  - conv: [4, 3]\n")
    command = shlex.split(hook["entry"])[1:] + hook["args"]
    assert not hook["pass_filenames"]
    run(*command)
    before = {path: path.read_text() for path in Path().iterdir()}
    assert run(*command)[0] == 0
    assert before == {path: path.read_text() for path in Path().iterdir()}
    Path("bad.yaml").write_text("netspec: 1\nname: [bad\ninput: [1]")
    assert run(*command)[0] == 1
