"""What tests of sandboxes share: which can be had here, and small limits that are soon reached."""

import os

import pytest

from agentgym.tools.sandbox import Limits
from agentgym.tools.sandbox.bwrap import missing

SMALL = Limits(memory_mb=96, disk_mb=32, tmp_mb=16, file_mb=24, pids=64)

NO_BWRAP = missing()
"""Why bubblewrap cannot be used here, or nothing. AGENTGYM_NEED_SANDBOXES=1 makes it a failure."""

needs_bwrap = pytest.mark.skipif(
    bool(NO_BWRAP) and os.environ.get("AGENTGYM_NEED_SANDBOXES") != "1", reason=NO_BWRAP
)

needs_docker = pytest.mark.skipif(
    not os.environ.get("AGENTGYM_IMAGE") and os.environ.get("AGENTGYM_NEED_SANDBOXES") != "1",
    reason="no engine is named: run scripts/docker_engine.sh and scripts/base_image.py",
)
