"""An empty local AWS account, as for the stack that `make build-check` deploys."""

from tests.built.test_deploy import account

__all__ = ["account"]
