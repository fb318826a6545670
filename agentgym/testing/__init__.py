"""Conformance kits: what the contract of each kind of part promises, tried out.

Each `check_*` returns a `Report`; `raise_on_failure` makes it an assertion for pytest:

    def test_my_game() -> None:
        check_env("my_pkg.my_game:MyGame").raise_on_failure()

The same kits run over everything in the tree, and behind `agentgym check NAME`.
"""

from agentgym.testing.backends import check_backend
from agentgym.testing.credit import check_credit
from agentgym.testing.envs import check_env
from agentgym.testing.losses import check_loss
from agentgym.testing.report import Check, Report
from agentgym.testing.samples import sample_group, sample_groups
from agentgym.testing.sandbox import check_sandbox
from agentgym.testing.tools import check_tool

__all__ = [
    "Check",
    "Report",
    "check_backend",
    "check_credit",
    "check_env",
    "check_loss",
    "check_sandbox",
    "check_tool",
    "sample_group",
    "sample_groups",
]
