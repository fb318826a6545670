"""Make a Docker image out of this machine's own Python, where no registry can be reached.

    python scripts/base_image.py [--name agentgym/python:1] [--with pytest]

It holds /usr/bin/python3 with its standard library, git, bash, and busybox for everything else (on
Debian: python3, git, bash, busybox-static), and the libraries that these need. The same machine
makes the same bytes. Prints the variable that names the image to the tests.
"""

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

LEFT_OUT = {
    "__pycache__",
    "test",
    "tests",
    "idlelib",
    "ensurepip",
    "tkinter",
    "turtledemo",
    "lib2to3",
}
ETC = {
    "etc/passwd": "root:x:0:0::/:/bin/sh\nagent:x:1000:1000::/work:/bin/sh\n",
    "etc/group": "root:x:0:\nagent:x:1000:\n",
}
FOLDERS = ("dev", "proc", "sys", "tmp", "work", "root", "run", "var/tmp")


def main() -> None:
    """Make the image and hand it to the engine that DOCKER_HOST names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", default="agentgym/python:1", help="repository:tag of the image")
    parser.add_argument("--with", dest="packages", nargs="*", default=[], help="from PyPI, by pip")
    chosen = parser.parse_args()
    import docker

    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "image.tar")
        with tarfile.open(archive, "w") as tar:
            for path, place in sorted(contents(Path(folder), chosen.packages).items()):
                add(tar, path, place)
        repository, _, tag = chosen.name.partition(":")
        changes = ["ENV PATH=/usr/local/bin:/usr/bin:/bin", 'CMD ["sh"]']
        docker.from_env().api.import_image_from_file(
            str(archive), repository=repository, tag=tag or "latest", changes=changes
        )
    print(f"export AGENTGYM_IMAGE={chosen.name}")


def contents(folder: Path, packages: list[str]) -> dict[str, Path | str | bytes | None]:
    """Return what lies where: a file to copy, the target of a link, bytes, or None for a folder."""
    python = Path(os.path.realpath("/usr/bin/python3"))
    stdlib = Path("/usr/lib") / python.name
    found: dict[str, Path | str | bytes | None] = dict.fromkeys(FOLDERS)
    found |= {name: text.encode() for name, text in ETC.items()}
    found |= {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "sbin": "usr/bin"}
    for name in ("python3", "python"):
        found[f"usr/bin/{name}"] = python.name
    for program in (str(python), which("git"), which("bash"), which("busybox")):
        found[f"usr/bin/{Path(program).name}"] = Path(program)
    applets = subprocess.run(
        [which("busybox"), "--list"], capture_output=True, text=True, check=True
    )
    for applet in applets.stdout.split():
        found.setdefault(f"usr/bin/{applet}", "busybox")
    core = Path(os.path.realpath(which("git"))).parent.parent / "lib/git-core"
    for top in (stdlib, core, Path("/usr/share/git-core/templates")):
        found |= {str(path).lstrip("/"): value for path, value in tree(top)}
    found |= compiled(found, folder / "compiled", str(python))
    if packages:
        site = folder / "site"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site), *packages]
        subprocess.run(pip, check=True)
        place = "usr/lib/python3/dist-packages"
        found |= {f"{place}/{path.relative_to(site)}": value for path, value in tree(site)}
    programs = [value for value in found.values() if isinstance(value, Path)]
    for library in libraries(programs):
        found[f"usr/{str(library).lstrip('/').removeprefix('usr/')}"] = library
    return found


def compiled(
    found: dict[str, Path | str | bytes | None], folder: Path, python: str
) -> dict[str, Path | str | bytes | None]:
    """Return the compiled modules: in a container that cannot be changed nobody could keep them."""
    for path, value in found.items():
        if isinstance(value, Path) and value.suffix == ".py":
            copy = folder / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(value, copy)
    how = ["--invalidation-mode", "unchecked-hash", "-q", "-s", str(folder), "-p", "/"]
    subprocess.run([python, "-m", "compileall", *how, str(folder)], stdout=subprocess.DEVNULL)
    return {str(path.relative_to(folder)): path for path in folder.rglob("*.pyc")}


def tree(top: Path) -> Iterator[tuple[Path, Path | str]]:
    """Yield the files and links below a folder, without tests and caches."""
    for folder, names, files in os.walk(top):
        names[:] = sorted(name for name in names if name not in LEFT_OUT)
        for name in [*files, *[name for name in names if Path(folder, name).is_symlink()]]:
            path = Path(folder, name)
            if path.is_symlink() and not os.readlink(path).startswith("/"):
                yield path, os.readlink(path)
            elif path.is_file():
                yield path, path


def libraries(programs: list[Path]) -> set[Path]:
    """Return the shared libraries that programs are linked with, and the loader."""
    linked = [str(path) for path in programs if is_elf(path)]
    said = subprocess.run(["ldd", *linked], capture_output=True, text=True).stdout
    return {Path(path) for path in re.findall(r"^\s.*?(/\S+) \(0x", said, re.MULTILINE)}


def is_elf(path: Path) -> bool:
    """Whether a file is a program or a library."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def which(program: str) -> str:
    """Return where a program is; ends if it is missing."""
    found = shutil.which(program)
    if not found:
        sys.exit(f"there is no program {program}; scripts/docker_engine.sh install brings it")
    return found


def add(tar: tarfile.TarFile, path: str, what: Path | str | bytes | None) -> None:
    """Add a file, a link or a folder, without times and owners."""
    about = tarfile.TarInfo(path)
    about.mode = 0o755
    if what is None:
        about.type, about.mode = tarfile.DIRTYPE, 0o1777 if path in ("tmp", "var/tmp") else 0o755
        tar.addfile(about)
    elif isinstance(what, str):
        about.type, about.linkname = tarfile.SYMTYPE, what
        tar.addfile(about)
    else:
        data = what if isinstance(what, bytes) else what.read_bytes()
        runs = isinstance(what, Path) and os.access(what, os.X_OK)
        about.size, about.mode = len(data), 0o755 if runs else 0o644
        tar.addfile(about, io.BytesIO(data))


if __name__ == "__main__":
    main()
