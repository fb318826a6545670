"""What tests of sandboxes share: which can be had here, and small limits that are soon reached."""

import os
from collections.abc import Callable
from contextlib import closing

import pytest

from agentgym.errors import ConfigError
from agentgym.tools.sandbox import Limits, Sandbox
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


def check_that_what_is_hidden_cannot_be_read(make: Callable[..., Sandbox]) -> None:
    """Make a sandbox in which a file and a folder of the standard library are hidden."""
    with closing(make()) as sandbox:
        said = sandbox.exec(["python3", "-c", "import json, xml; print(json.__path__[0])"])
        library = said.stdout.decode().strip().rpartition("/")[0]
    hidden = [f"{library}/json/tool.py", f"{library}/xml/"]
    with closing(make(hidden=hidden)) as sandbox:
        for command in (f"cat {hidden[0]}", f"ls -A {hidden[1]}"):
            assert sandbox.exec(["sh", "-c", f"{command} 2>&-"]).stdout == b""
        for command in (f"echo x > {hidden[0]}y", f"echo x > {hidden[1]}x", f"umount {hidden[1]}"):
            assert not sandbox.exec(["sh", "-c", command]).ok
        assert sandbox.exec(["python3", "-c", "import json; json.loads('1')"]).ok
        assert b"No module" in sandbox.exec(["python3", "-c", "import xml.sax"]).stderr
    for path in ("usr/x", "/", "/a/../b", "/a//b", "/a\0"):
        with pytest.raises(ConfigError, match="a plain path from the top"):
            make(hidden=[path])
