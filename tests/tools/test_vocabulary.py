"""The command line repeats values of the layer, because importing the layer would slow its start."""

import subprocess
import sys
from enum import Enum
from typing import get_args

import pytest

from bindery.asseco import issued_devices
from bindery.directory import accounts, users
from bindery.directory import api_keys as layer_keys
from bindery.feed import catalogue, delivery
from bindery.quectel import user_domains
from bindery.registry.bindings import Mode
from functions.admin.users import NewToken
from tools import template
from tools.cli import domains as cli_domains
from tools.cli import events, issued, keys
from tools.cli import products as cli_products
from tools.cli import users as cli_users


@pytest.mark.parametrize(
    ("choices", "values"),
    [
        (keys.Kind, list(accounts.KeyKind)),
        (keys.Grant, list(layer_keys.Grant)),
        (issued.Status, list(issued_devices.Status)),
        (issued.CardStatus, list(issued_devices.CardStatus)),
        (cli_domains.Binders, get_args(user_domains.Binders)),
        (cli_users.RoleName, get_args(users.Role)),
        (cli_users.Dialect, get_args(NewToken.model_fields["dialect"].annotation)),
    ],
)
def test_choices_match_the_values_of_the_layer(choices: type[Enum], values: list[str]) -> None:
    assert sorted(choice.value for choice in choices) == sorted(values)


def test_binding_modes_match_the_numbers_of_the_layer() -> None:
    assert {number: mode.name for number, mode in cli_products.MODES.items()} == {
        mode.value: mode.name for mode in Mode
    }


def test_types_of_events_match_those_of_the_layer() -> None:
    assert {*events.TYPES, delivery.TEST} == catalogue.TYPES.keys()


def test_command_line_does_not_import_the_layer() -> None:
    code = "import sys, tools.cli.main; print('bindery' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=template.ROOT, capture_output=True, text=True)
    assert ran.stdout == "False\n", ran.stderr
