"""`make sam-local`: run the tests in this folder if a Docker daemon is running or can be started."""

import os
import subprocess
import sys

from tests import runtime
from tests.sam_local import docker


def main() -> int:
    """Return the exit code of the tests, or 0 if Docker is not available."""
    runtime.ready()
    try:
        with docker.daemon() as host:
            docker.prepare(host)
            command = [sys.executable, "-W", "error", "-m", "pytest", *sys.argv[1:], "tests/sam_local"]
            return subprocess.run(command, env={**os.environ, "DOCKER_HOST": host}).returncode
    except docker.NoDockerError as error:
        sys.stdout.write(f"bindery: make sam-local was left out, no function was run in a container: {error}\n")
        return 0


if __name__ == "__main__":
    sys.exit(main())
