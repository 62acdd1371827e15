"""Wait until a local server has recorded all changes so far: `python -m tests.clients.caught_up`.

The server's address and key pair are in the environment, as demo.env exports them.
"""

import os
import time
import uuid

from botocore.credentials import Credentials

from tools.cli.client import REGION, Client
from tools.cli.history import log

TIME_LIMIT = 120
"""Seconds."""


def main() -> None:
    """Change something, and wait for its event: a local server records changes in their order."""
    key_pair = Credentials(os.environ["BINDERY_ACCESS_KEY_ID"], os.environ["BINDERY_SECRET_ACCESS_KEY"])
    api = Client(os.environ["BINDERY_ENDPOINT"], key_pair, REGION)
    marker = f"marker-{uuid.uuid4().hex}"
    since = int(time.time() * 1000) - 1000
    api.post("accounts", account=marker, name="Marker")
    end = time.monotonic() + TIME_LIMIT
    while not any(event["data"].get("subject") == {"kind": "account", "id": marker} for event in log(api, since)):
        if time.monotonic() > end:
            raise TimeoutError("the changes were not recorded")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
