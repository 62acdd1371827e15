"""GitHub workflows and the environments that they deploy."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.template import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
ENVIRONMENTS = tomllib.loads((ROOT / "samconfig.toml").read_text())

every_workflow = pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)


def parsed(name: str) -> dict[Any, Any]:
    # YAML 1.1 parses the key `on` as true.
    found: dict[Any, Any] = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())
    return found


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def actions(job: dict[str, Any]) -> list[str]:
    return [step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step]


@every_workflow
def test_only_deploying_jobs_may_request_an_identity_token(file: Path):
    workflow = parsed(file.stem)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        deploys = "aws-actions/configure-aws-credentials" in actions(job)
        assert job.get("permissions", {}).get("id-token") == ("write" if deploys else None)
        assert "environment" in job or not deploys
        assert job["timeout-minutes"] <= 60


@every_workflow
def test_workflow_contains_no_secret_and_no_package_index(file: Path):
    text = file.read_text()
    assert "secrets." not in text
    assert not re.search(r"https?://|index-url|AKIA", text)


def test_pull_request_runs_all_checks():
    workflow = parsed("check")
    assert "pull_request" in workflow[True]
    assert commands(workflow["jobs"]["check"]) == [".ci/run"]


@every_workflow
def test_actions_are_pinned_to_a_commit(file: Path):
    used = re.findall(r"^\s*- uses: (.*)$", file.read_text(), re.MULTILINE)
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize(("tag", "deployed"), [(f"v{VERSION}", True), (VERSION, False), ("v0.0.1", False)])
def test_only_the_tag_of_the_current_version_is_deployed(tag: str, deployed: bool):
    step = commands(parsed("deploy")["jobs"]["check"])[0]
    python = str(Path(sys.executable).parent)
    path = os.pathsep.join([python, os.environ["PATH"]])
    done = subprocess.run(["bash", "-c", step], cwd=ROOT, env={"PATH": path, "GITHUB_REF_NAME": tag}, check=False)
    assert (done.returncode == 0) is deployed


def test_one_build_is_checked_then_staged_then_deployed():
    workflow = parsed("deploy")
    assert workflow[True] == {"push": {"tags": ["v*"]}}
    jobs = workflow["jobs"]
    assert [(name, job.get("needs")) for name, job in jobs.items()] == [
        ("check", None),
        ("staging", "check"),
        ("prod", "staging"),
    ]
    assert commands(jobs["check"])[1:] == [".ci/run", "tar --create --gzip --file build.tar.gz .aws-sam/build"]
    (upload,) = [step for step in jobs["check"]["steps"] if "upload-artifact" in step.get("uses", "")]
    assert upload["with"] == {"name": "build", "path": "build.tar.gz", "if-no-files-found": "error"}
    for name in ("staging", "prod"):
        stack = ENVIRONMENTS[name]["deploy"]["parameters"]["stack_name"]
        assert jobs[name]["environment"] == name
        assert commands(jobs[name]) == [
            "tar --extract --gzip --file build.tar.gz",
            f"make deploy-built ENVIRONMENT={name}",
            f"make smoke STACK={stack}",
        ]
        (download,) = [step for step in jobs[name]["steps"] if "download-artifact" in step.get("uses", "")]
        assert download["with"] == {"name": "build"}
        (credentials,) = [step for step in jobs[name]["steps"] if "configure-aws-credentials" in step.get("uses", "")]
        assert credentials["with"].get("role-duration-seconds") == 7200
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^deploy-built: \.venv/sam/\.made$", makefile, re.MULTILINE), "deploy-built must not build"


def test_each_environment_is_a_separate_stack():
    deployed = {name: found["deploy"]["parameters"] for name, found in ENVIRONMENTS.items() if name != "version"}
    assert deployed.keys() == {"default", "dev", "staging", "prod"}
    assert len({parameters["stack_name"] for parameters in deployed.values()}) == len(deployed)
    for name, parameters in deployed.items():
        assert parameters["confirm_changeset"] == (name not in ("staging", "prod"))
        assert parameters["capabilities"] == "CAPABILITY_IAM CAPABILITY_AUTO_EXPAND"
        assert "application=bindery" in parameters["tags"].split()


def test_each_checkov_suppression_has_a_reason():
    lines = (ROOT / "tools/checkov.yaml").read_text().splitlines()
    start = lines.index("skip-check:") + 1
    assert lines[start].startswith("  # ")
    assert all(re.fullmatch(r"  (# .+|- CKV2?_\w+)", line) for line in lines[start:])
