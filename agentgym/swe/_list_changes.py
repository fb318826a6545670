"""Runs inside a sandbox: tells which files of a folder differ from what is known of them.

It follows no link, opens only plain files, runs nothing of the folder, and stops at limits. It runs
on the Python of the sandbox: only the standard library, and nothing newer than Python 3.8.
"""

import base64
import hashlib
import json
import os
import stat
import sys


def main() -> None:
    """Read what is known, write one JSON object per difference."""
    asked = json.loads(sys.stdin.buffer.read().decode("ascii"))
    known, skipped = asked["known"], frozenset(asked["skip"])
    left, files = asked["max_bytes"], asked["max_files"]
    seen = set()
    waiting = [""]
    root = os.open(asked["root"], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    while waiting:
        folder = waiting.pop()
        path = os.path.join(asked["root"], folder)
        for name in sorted(os.listdir(path)):
            inside = os.path.join(folder, name)
            if name in skipped or name.endswith(tuple(asked["skip_ends"])):
                continue
            about = os.stat(inside, dir_fd=root, follow_symlinks=False)
            if stat.S_ISDIR(about.st_mode):
                waiting.append(inside)
                continue
            files -= 1
            if files < 0:
                sys.exit(f"there are more than {asked['max_files']} files")
            seen.add(inside)
            if stat.S_ISLNK(about.st_mode):
                target = os.readlink(inside, dir_fd=root)
                if known.get(inside) != "link " + target:
                    tell({"path": inside, "link": target})
                continue
            if not stat.S_ISREG(about.st_mode):
                tell({"path": inside, "special": True})
                continue
            data = read(root, inside, left)
            digest = hashlib.sha256(data).hexdigest()
            if known.get(inside) == digest:
                continue
            left -= len(data)
            if left < 0:
                sys.exit(f"more than {asked['max_bytes']} bytes are different")
            mode = bool(about.st_mode & 0o100)
            text = base64.b64encode(data).decode("ascii")
            tell({"path": inside, "data": text, "executable": mode})
    for path in known:
        if path not in seen:
            tell({"path": path, "gone": True})
    tell({"end": True})


def read(root: int, path: str, limit: int) -> bytes:
    """Return a plain file, or one byte more than the limit of it."""
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=root)
    with os.fdopen(number, "rb") as file:
        data = file.read(max(limit, 1 << 24) + 1)
    return data


def tell(what: "dict[str, object]") -> None:
    """Write one object."""
    sys.stdout.write(json.dumps(what) + "\n")


main()
