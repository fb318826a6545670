"""The model server of transformers, as a process of its own, with a model that was just made."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

NAME = "tiny/policy"
"""What the server calls the model."""

SERVE = ["transformers.cli.transformers", "serve", "--device", "cpu", "--dtype", "float32"]


@contextmanager
def serving(model: Any, tokenizer: Any, stop_ids: tuple[int, ...], cache: Path) -> Iterator[str]:
    """Serve a model from a folder that is made to look like the hub's cache; gives the address."""
    _into_cache(model, tokenizer, stop_ids, cache)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = (cache / "log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", *SERVE, "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + 120
        while not _answers(f"http://127.0.0.1:{port}/health"):
            said = (cache / "log").read_text()
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()
        log.close()


def _into_cache(model: Any, tokenizer: Any, stop_ids: tuple[int, ...], cache: Path) -> None:
    repository = cache / f"models--{NAME.replace('/', '--')}"
    folder = repository / "snapshots" / ("0" * 40)
    model.generation_config = GenerationConfig(do_sample=True, top_k=0, eos_token_id=list(stop_ids))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("0" * 40)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False
