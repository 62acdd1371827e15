"""The repository's workflows and the environments that they deploy: what they may do, and whether it is there."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.template import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ENVIRONMENTS = tomllib.loads((ROOT / "samconfig.toml").read_text())

every_workflow = pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)


def parsed(name: str) -> dict[Any, Any]:
    # YAML 1.1 takes the key `on` for true.
    found: dict[Any, Any] = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())
    return found


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def actions(job: dict[str, Any]) -> list[str]:
    return [step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step]


@every_workflow
def test_a_workflow_may_read_the_repository_and_only_what_deploys_may_ask_for_an_identity(file: Path):
    workflow = parsed(file.stem)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        deploys = "aws-actions/configure-aws-credentials" in actions(job)
        assert job.get("permissions", {}).get("id-token") == ("write" if deploys else None)
        assert "environment" in job or not deploys
        assert job["timeout-minutes"] <= 60


@every_workflow
def test_a_workflow_holds_no_key_and_names_no_package_index(file: Path):
    text = file.read_text()
    assert "secrets." not in text
    assert not re.search(r"https?://|index-url|AKIA", text)


def test_a_pull_request_is_checked_as_everything_is():
    workflow = parsed("check")
    assert "pull_request" in workflow[True]
    assert commands(workflow["jobs"]["check"]) == [".ci/run"]


def test_a_tag_is_checked_and_tried_before_it_is_in_production():
    workflow = parsed("deploy")
    assert workflow[True] == {"push": {"tags": ["v*"]}}
    jobs = workflow["jobs"]
    assert commands(jobs["check"]) == [".ci/run"]
    assert [(name, job.get("needs")) for name, job in jobs.items()] == [
        ("check", None),
        ("staging", "check"),
        ("prod", "staging"),
    ]
    for name in ("staging", "prod"):
        stack = ENVIRONMENTS[name]["deploy"]["parameters"]["stack_name"]
        assert jobs[name]["environment"] == name
        assert commands(jobs[name]) == [f"make deploy ENVIRONMENT={name}", f"make smoke STACK={stack}"]


def test_an_environment_is_a_stack_of_its_own_and_nobody_confirms_what_a_workflow_deploys():
    deployed = {name: found["deploy"]["parameters"] for name, found in ENVIRONMENTS.items() if name != "version"}
    assert deployed.keys() == {"default", "dev", "staging", "prod"}
    assert len({parameters["stack_name"] for parameters in deployed.values()}) == len(deployed)
    for name, parameters in deployed.items():
        assert parameters["confirm_changeset"] == (name not in ("staging", "prod"))
        assert parameters["capabilities"] == "CAPABILITY_IAM"
        assert "application=bindery" in parameters["tags"].split()


def test_each_suppression_of_the_scanner_has_its_reason():
    lines = (ROOT / "tools/checkov.yaml").read_text().splitlines()
    start = lines.index("skip-check:") + 1
    assert lines[start].startswith("  # ")
    assert all(re.fullmatch(r"  (# .+|- CKV2?_\w+)", line) for line in lines[start:])
