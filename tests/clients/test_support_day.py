"""The day of support tickets in docs/operating.md, with 1,000 devices."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.server.servers import Server
from tools import template

DEVICES = 1000
TEXT = (
    (template.ROOT / "docs/operating.md").read_text().partition("## A day of support tickets")[2].partition("\n## ")[0]
)
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)

BINDERY = f'bindery() {{ "{sys.executable}" -c "from tools.cli.main import app; app()" "$@"; }}'
CAUGHT_UP = f'"{sys.executable}" -m tests.clients.caught_up'


def day(url: str) -> str:
    """Return the commands of all tickets. Lists follow the changes, so each ticket waits until they are recorded."""
    commands = f"\n{CAUGHT_UP}\n".join([*BLOCKS, ""]).replace("http://127.0.0.1:3000", url)
    checker = template.ROOT / "tools/check_history.py"
    return f"set -eu\n{BINDERY}\n" + commands.replace(
        "python3 tools/check_history.py", f'"{sys.executable}" "{checker}"'
    )


def test_tickets_are_done_with_the_documented_commands(tmp_path: Path) -> None:
    server = Server(tmp_path / "state")
    work = tmp_path / "work"
    work.mkdir()
    environment = os.environ | server.environment | {"N": str(DEVICES), "PYTHONPATH": str(template.ROOT)}
    ran = subprocess.run(["bash", "-c", day(server.url)], cwd=work, env=environment, capture_output=True, text=True)
    server.stop()
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    found = answers(ran.stdout)
    assert len((work / "labels.csv").read_text().splitlines()) == DEVICES + 1
    assert (work / "label.pdf").read_bytes().startswith(b"%PDF")
    # Recalled and safe, disabled and enabled again.
    jobs = [(each["act"], each["done"], each["refused"]) for each in found if "act" in each]
    assert jobs == [("ban", 100, 0), ("unban", 50, 0), ("disable", 50, 0), ("enable", 50, 0)]
    assert len((work / "banned.csv").read_text().splitlines()) == 51
    # Both times that a user bound the lamp, the label was the same.
    assert ran.stdout.count('{"code":200') == 2
    states = [each["state"] for each in found if each.get("serial") == "LMP0000004" and "state" in each]
    assert states == ["lost", "owned", "offered", "owned", "owned", "stock"]
    assert "2 devices depend on it" in ran.stderr
    assert {"id": "golw", "deleted": {"devices": 2}, "complete": True} in found
    assert [each["genuine"] for each in found if "genuine" in each] == [True]
    (day_end,) = [each for each in found if "scopes" in each and len(each["scopes"]) > 1]
    (glow,) = [each["devices"] for each in day_end["scopes"] if each["name"] == "glow"]
    assert (glow["all"], glow["bound"], glow["banned"], glow["retired"], glow["disabled"]) == (DEVICES, 1, 50, 1, 0)
    assert glow["never_seen"] == DEVICES - 1
    assert "no problem found" in ran.stdout


def answers(text: str) -> list[dict[str, object]]:
    """Return the JSON objects among the lines of an output."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while (at := text.find("{\n", at)) >= 0:
        value, at = decoder.raw_decode(text, at)
        found.append(value)
    return found
