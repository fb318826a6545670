"""Passages of a file, with an index that is kept on disk beside it.

The index of `wiki.jsonl` is a folder `wiki.jsonl.bm25-<digest>` of bm25s's arrays, the byte at
which each passage starts, and a manifest. The digest is one of the file's content, so a changed
file gets a new index. A folder is built under another name and renamed when it is complete: what
exists is whole. Passages stay in their file and are read when they are shown.
"""

import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from agentgym.envs.search.files import passage_of, passages, question_of
from agentgym.envs.search.index import FORMAT, Index
from agentgym.envs.search.library import Passage
from agentgym.errors import ConfigError
from agentgym.jsonl import BOM, Record, records

MANIFEST: Final = "manifest.json"
_OWN: Final = "passages.jsonl"


class Corpus:
    """A library in files. Get one by `open_corpus`."""

    def __init__(self, file: Path, index: Path) -> None:
        """Open the passages of `file` with the index in the folder `index`."""
        self.file, self.index_folder = file, index
        self._index = Index.load(index)
        self._offsets_N1 = np.load(index / "offsets.npy", mmap_mode="r")
        self.key = index.name.rpartition("-")[2]

    def __reduce__(self) -> tuple[object, tuple[Path, Path]]:
        return Corpus, (self.file, self.index_folder)

    def __len__(self) -> int:
        return len(self._offsets_N1) - 1

    def passage(self, number: int) -> Passage:
        """Return one passage, read from the file."""
        start, end = (int(offset) for offset in self._offsets_N1[number : number + 2])
        with self.file.open("rb") as file:
            file.seek(start)
            line = file.read(end - start)
        where = f"passage {number} of {self.file}"
        try:
            return passage_of(Record(json.loads(line.removeprefix(BOM)), where))
        except (ValueError, AttributeError) as error:
            raise OSError(f"{where} is not there; was the file changed? ({error})") from error

    def search(self, query: str, count: int) -> tuple[int, ...]:
        """Return the numbers of at most `count` passages, the best first."""
        return self._index.search(query, count)

    def names(self, passage: int) -> None:
        """Nothing is known of the names in a passage."""


def open_corpus(file: Path, index: Path | None = None) -> Corpus:
    """Open a file of passages; build its index if there is none yet.

    Args:
        file: JSON Lines with `title` and `text`, or `contents`.
        index: the folder to keep indices in; by default the file's own.

    Raises:
        ConfigError: the file is not as it has to be, or the index cannot be written.
    """
    return _open(file.resolve(), (index or file.parent).resolve(), stamp_of(file), own=False)


def open_context(file: Path, index: Path | None = None) -> Corpus:
    """Open the passages that come with the questions of a file, all of them as one library.

    Raises:
        ConfigError: like `open_corpus`; also a question without passages.
    """
    return _open(file.resolve(), (index or file.parent).resolve(), stamp_of(file), own=True)


@functools.lru_cache(maxsize=8)
def _open(file: Path, place: Path, _stamp: tuple[int, int], own: bool) -> Corpus:
    folder = place / f"{file.name}.bm25-{_digest(file, own)}"
    if not _is_whole(folder):
        build = _from_context if own else _from_passages
        _publish(folder, functools.partial(build, file))
    return Corpus(folder / _OWN if own else file, folder)


def stamp_of(file: Path) -> tuple[int, int]:
    """Return what changes with a file, so that one process reads it once."""
    try:
        stat = file.stat()
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror or error}") from error
    if file.is_dir():
        raise ConfigError(f"cannot read {file}: it is a folder, a file was expected")
    return stat.st_size, stat.st_mtime_ns


def _digest(file: Path, own: bool) -> str:
    digest = hashlib.sha256(f"{FORMAT} {own}\n".encode())
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


def _publish(folder: Path, build: Callable[[Path], None]) -> None:
    """Build a folder under another name, then rename it; whoever comes first wins."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise ConfigError(
            f"the index {folder} cannot be written: {error.strerror or error}; "
            "name a folder for it with the option index=FOLDER"
        ) from error
    try:
        build(temporary)
        sizes = {path.name: path.stat().st_size for path in sorted(temporary.iterdir())}
        (temporary / MANIFEST).write_text(json.dumps({"format": FORMAT, "files": sizes}))
        for path in temporary.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        temporary.chmod(0o755)
        if folder.exists() and not _is_whole(folder):
            shutil.rmtree(folder)  # damaged
        try:
            temporary.rename(folder)
        except OSError:
            if not _is_whole(folder):  # else another process was faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_whole(folder: Path) -> bool:
    """Whether every file of the manifest is there with its size."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        sizes: dict[str, int] = manifest["files"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _from_passages(file: Path, folder: Path) -> None:
    offsets: list[int] = []

    def texts() -> Iterator[str]:
        for passage, offset in passages(file):
            offsets.append(offset)
            yield f"{passage.title} {passage.text}"
        if not offsets:
            raise ConfigError(f"{file} holds no passage")

    Index.build(texts(), str(file)).save(folder)
    np.save(folder / "offsets.npy", np.array([*offsets, file.stat().st_size], dtype=np.int64))


def _from_context(file: Path, folder: Path) -> None:
    """Write each passage of the questions' contexts once, and index that."""
    seen: set[bytes] = set()
    with (folder / _OWN).open("x", encoding="utf-8") as out:
        for record in records(file):
            parsed = question_of(record)
            if parsed is None:
                continue
            if not parsed[1]:
                raise record.wrong(
                    "there is neither 'context' nor 'paragraphs' with passages to search; name a "
                    "file of passages with the option passages=FILE"
                )
            for passage in parsed[1]:
                line = json.dumps({"title": passage.title, "text": passage.text})
                digest = hashlib.blake2b(line.encode(), digest_size=16).digest()
                if digest not in seen:
                    seen.add(digest)
                    out.write(f"{line}\n")
    _from_passages(folder / _OWN, folder)
