"""docs/deploying.md matches the template, and its make targets exist."""

import json
import re
from typing import Any

from tools import template
from tools.expanded import expand, resources
from tools.generate import deploying
from tools.template import ROOT

PAGE = deploying.PAGE.read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


MANAGED = {
    "AWSCodeDeployRoleForLambdaLimited": {
        "cloudwatch:DescribeAlarms",
        "lambda:GetAlias",
        "lambda:GetProvisionedConcurrencyConfig",
        "lambda:InvokeFunction",
        "lambda:UpdateAlias",
    }
}
"""Actions of the AWS managed policies that the stack's roles have."""


def test_make_targets_on_the_page_exist():
    for target in re.findall(r"(?:^|`)(?:\w+=\S+ )*make (\w+)", PAGE, re.MULTILINE):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


def test_parameter_and_output_names_on_the_page_exist():
    parts = template.document()
    known = parts["Parameters"].keys() | parts["Outputs"].keys()
    for overrides in re.findall(r"--parameter-overrides (.*)", PAGE):
        assert {*re.findall(r"(\w+)=", overrides)} <= known
    assert {"ApiUrl", "DomainTarget"} <= known


def policy(name: str) -> dict[str, Any]:
    """Return the policy document that the page shows for a file."""
    found: dict[str, Any] = json.loads(re.split(r"```(?:json)?\n", PAGE[PAGE.index(f"`{name}`, ") :])[1])
    return found


def actions(statement: dict[str, Any]) -> list[str]:
    # The statement for traces is conditional.
    given = statement.get("Fn::If", [None, statement])[1]["Action"]
    return [given] if isinstance(given, str) else given


def test_boundary_allows_exactly_the_actions_of_the_roles():
    bounded = {action for statement in policy("boundary.json")["Statement"] for action in actions(statement)}
    assert not any("*" in action for action in bounded)
    kept = resources(expand(template.document()), "AWS::IAM::Role") | template.roles()["Resources"]
    roles = [resource["Properties"] for resource in kept.values()]
    given = {
        action
        for role in roles
        for policy_ in role.get("Policies", [])
        for statement in policy_["PolicyDocument"]["Statement"]
        for action in actions(statement)
    }
    managed = {str(arn).rpartition("/")[2].rstrip("'}") for role in roles for arn in role.get("ManagedPolicyArns", [])}
    unused = {action for name in managed for action in MANAGED[name]}
    assert given <= bounded <= given | unused


def test_boundary_is_required_and_cannot_be_removed():
    bounded, free = policy("roles.json")["Statement"]
    (boundary,) = bounded["Condition"]["StringEquals"].values()
    assert boundary.endswith(":policy/bindery-boundary")
    changing = {
        *("AttachRolePolicy", "CreateRole", "DeleteRolePolicy", "DetachRolePolicy", "PutRolePermissionsBoundary"),
        "PutRolePolicy",
    }
    assert set(actions(bounded)) == {f"iam:{action}" for action in changing}
    assert not set(actions(bounded)) & set(actions(free))
    assert "iam:DeleteRolePermissionsBoundary" not in actions(free)
    assert "--policy-name bindery-boundary --policy-document file://boundary.json" in PAGE


def test_trust_policy_names_one_repository_environment():
    (statement,) = policy("trust.json")["Statement"]
    subject = statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]
    assert subject == "repo:OWNER@OWNER_ID/REPOSITORY@REPOSITORY_ID:environment:prod"
    assert "`repo:OWNER/REPOSITORY:environment:prod`" in PAGE
    assert "StringLike" not in PAGE


def test_workflow_session_duration_matches_the_role():
    (allowed,) = re.findall(r"--max-session-duration (\d+)", PAGE)
    workflow = (ROOT / ".github/workflows/deploy.yml").read_text()
    assert set(re.findall(r"role-duration-seconds: (\d+)", workflow)) == {allowed}
