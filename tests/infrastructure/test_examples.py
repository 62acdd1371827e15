"""`make package` and the examples of docs/infrastructure-as-code.md that need no AWS account."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
from samtranslator.yaml_helper import yaml_parse

from tests.built.test_deploy import BUCKET, REGION
from tests.infrastructure_examples import example
from tests.stack.test_infrastructure import SET
from tools import template
from tools.template import ROOT

URL = f"https://{BUCKET}.s3.{REGION}.amazonaws.com/bindery/template.yaml"
LIMIT = 1_000_000
"""Maximum size in bytes of a template that CloudFormation reads from S3."""


@pytest.fixture(scope="module")
def packaged(account: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The template that `make package` uploads, and the URL that it prints."""
    boto3.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    # `make infrastructure` has just built, so do not build again.
    done = subprocess.run(
        ["make", "--no-print-directory", "--old-file=build", "package", f"BUCKET={BUCKET}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    url = done.stdout.splitlines()[-1]
    body = boto3.client("s3").get_object(Bucket=BUCKET, Key=url.partition(".amazonaws.com/")[2])["Body"].read()
    assert len(body) <= LIMIT
    return yaml_parse(body.decode()), url


def test_all_artifacts_of_the_packaged_template_are_in_s3(packaged: tuple[dict[str, Any], str]) -> None:
    document, url = packaged
    assert url.startswith(f"https://{BUCKET}.s3.{REGION}.amazonaws.com/bindery/")
    assert document["Parameters"].keys() == template.document()["Parameters"].keys()
    assert document["Outputs"].keys() == template.document()["Outputs"].keys()
    keys = {found["Key"] for found in boto3.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]}
    for name, resource in document["Resources"].items():
        for member in ("CodeUri", "ContentUri"):
            if member in resource.get("Properties", {}):
                given = resource["Properties"][member]
                assert given.startswith(f"s3://{BUCKET}/"), name
                assert given.removeprefix(f"s3://{BUCKET}/") in keys
    nested = document["Resources"]["Roles"]["Properties"]["TemplateURL"]
    assert nested.partition(f"/{BUCKET}/")[2] in keys, nested


def test_make_package_requires_a_bucket() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "--old-file=build", "package"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "make package BUCKET=my-artifacts" in done.stderr


def test_cdk_app_is_synthesized_with_parameters_and_outputs(tmp_path: Path) -> None:
    assert shutil.which("node"), "the CDK needs Node.js"
    (tmp_path / "app.py").write_text(example("app.py"))
    done = subprocess.run(
        [ROOT / ".venv/cdk/bin/python", "app.py"],
        cwd=tmp_path,
        env=os.environ
        | {
            "CDK_OUTDIR": str(tmp_path / "out"),
            "CDK_CONTEXT_JSON": json.dumps({"bindery_template": URL}),
            "HOME": str(tmp_path),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    made = json.loads((tmp_path / "out/Devices.template.json").read_text())
    bindery = made["Resources"]["Bindery"]
    assert made["Transform"] == ["AWS::Serverless-2016-10-31"]
    assert bindery["Type"] == "AWS::Serverless::Application"
    assert bindery["Properties"] == {"Location": URL, "Parameters": SET}
    assert bindery["DeletionPolicy"] == "Retain"
    assert made["Outputs"]["DevicesUrl"]["Value"] == {"Fn::GetAtt": ["Bindery", "Outputs.ApiUrl"]}
    (subscription,) = [each for each in made["Resources"].values() if each["Type"] == "AWS::SNS::Subscription"]
    assert subscription["Properties"]["TopicArn"] == {"Fn::GetAtt": ["Bindery", "Outputs.AlarmTopic"]}


def test_terraform_example_is_formatted(tmp_path: Path) -> None:
    terraform = shutil.which("terraform")
    if terraform is None:
        print("skipped: terraform is not installed")  # noqa: T201
        return
    (tmp_path / "main.tf").write_text(example("main.tf"))
    subprocess.run([terraform, "fmt", "-check", "-diff", str(tmp_path)], check=True)
