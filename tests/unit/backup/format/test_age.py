"""Encryption to public keys: the host that writes cannot read, and age, zstd and tar alone can."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pyrage
import pytest

from backup.compare import compare_trees
from backup.errors import BadRequest, Ended, KeyNeeded, WrongKey
from backup.format.age import DecryptedFile, identities
from backup.format.manifest import entries_on, naming_keys, read_manifest
from backup.verify import Verification
from tape.errors import TapeFull
from tests.unit.backup.rig import SET, Log, full

KEY = pyrage.x25519.Identity.generate()
PUBLIC = str(KEY.to_public())


def fill(folder: Path, count: int = 12, size: int = 3000) -> None:
    for number in range(count):
        (folder / f"secret-name-{number:02}").write_bytes(os.urandom(size))


def back_up(rig: Any, **changes: Any) -> Any:
    return rig.back_up(encrypt_to=(PUBLIC,), **changes)


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_an_encrypted_set_comes_back_with_the_key_alone(rig: Any, compression: str) -> None:
    """Everything is as it was; without the key neither index nor content can be read, and that is told."""
    fill(rig.source)
    os.link(rig.source / "secret-name-03", rig.source / "zz link")
    back_up(rig, compression=compression, archive_bytes=12_000, frame_bytes=4096)
    with pytest.raises(KeyNeeded, match="encrypted"):
        list(entries_on(rig.volume, SET))
    report = rig.restore(entries_on(rig.volume, SET, keys=[KEY]), keys=[KEY])
    assert report.failures == []
    assert rig.differences() == []


def test_no_name_and_no_content_lies_open_on_the_tape(rig: Any) -> None:
    """Neither a path, nor a source, nor what the caller said of the run."""
    fill(rig.source)
    content = (rig.source / "secret-name-00").read_bytes()
    back_up(rig, compression="none", about={"schedule": "the-secret-plan"})
    for path in rig.volume.root.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert b"secret-name" not in data
        assert b"the-secret-plan" not in data
        assert str(rig.source).encode() not in data
        assert content not in data
    assert read_manifest(rig.volume, SET).sources == ()
    opened = read_manifest(rig.volume, SET, [KEY])
    assert opened.sources == (str(rig.source),)
    assert opened.about == {"schedule": "the-secret-plan"}


def test_a_wrong_key_is_no_damage(rig: Any) -> None:
    """The set and the keys that open it are named; whatever is read first."""
    fill(rig.source)
    back_up(rig)
    wrong = [pyrage.x25519.Identity.generate()]
    said = re.escape(f"This key does not open set {SET}, encrypted to {PUBLIC}.")
    with pytest.raises(WrongKey, match=said), naming_keys(rig.volume, SET):
        list(entries_on(rig.volume, SET, keys=wrong))
    with pytest.raises(WrongKey, match=said), naming_keys(rig.volume, SET):
        read_manifest(rig.volume, SET, wrong)
    entries = list(entries_on(rig.volume, SET, keys=[KEY]))
    with pytest.raises(WrongKey):
        rig.restore(entries, keys=wrong)
    assert list(rig.restored().iterdir()) == []


def test_age_zstd_and_tar_alone_restore_it(rig: Any, tmp_path: Path) -> None:
    """What README.txt on the tape promises."""
    missing = [tool for tool in ("age", "zstd", "tar", "bash") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed here: {', '.join(missing)}")
    fill(rig.source)
    back_up(rig)
    key = tmp_path / "key.txt"
    key.write_text(f"# a key\n{KEY}\n")
    target = tmp_path / "by hand"
    target.mkdir()
    for archive in sorted(rig.file("").glob("data-*.tar.zst.age")):
        command = f"age -d -i '{key}' '{archive}' | zstd -d | tar -xp -C '{target}'"
        subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)
    assert compare_trees(rig.source, target / str(rig.source)[1:]) == []


def test_it_is_verified_without_the_key(rig: Any) -> None:
    """A flipped bit anywhere in an archive or an index is found by who cannot read it."""
    fill(rig.source)
    back_up(rig, archive_bytes=20_000)

    def damaged() -> list[str]:
        verification = Verification(rig.volume, SET)
        verification.documents(complete=True)
        for archive in rig.log.archives:
            verification.archive(archive)
        return [Path(name).name for name, _ in verification.report.damaged]

    assert damaged() == []
    for name in ("data-000001.tar.zst.age", "index-000002.jsonl.zst.age"):
        whole = rig.file(name).read_bytes()
        rig.file(name).write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
        assert damaged() == [name]
        rig.file(name).write_bytes(whole)


def test_a_damaged_chunk_costs_the_rest_of_its_archive_alone(rig: Any) -> None:
    """What lies before it, and every other archive, comes back; what is lost is named."""
    fill(rig.source, 8, 100_000)
    back_up(rig, archive_bytes=450_000, compression="none")
    path = rig.file("data-000001.tar.age")
    data = bytearray(path.read_bytes())
    data[250_000] ^= 1
    path.write_bytes(data)
    report = rig.restore(entries_on(rig.volume, SET, keys=[KEY]), keys=[KEY])
    lost = {Path(name).name for name, _ in report.failures}
    assert {"secret-name-02", "secret-name-03"} <= lost
    assert lost <= {"secret-name-01", "secret-name-02", "secret-name-03"}
    assert report.files >= 5


def test_one_file_is_read_from_the_middle(rig: Any) -> None:
    """By decrypting its archive from the start; going back begins again."""
    fill(rig.source, 10, 200_000)
    back_up(rig, compression="none")
    for number in (7, 2):
        wanted = [str(rig.source / f"secret-name-{number:02}")]
        report = rig.restore(entries_on(rig.volume, SET, keys=[KEY]), select=wanted, keys=[KEY])
        assert (report.files, report.failures) == (1, [])
    with DecryptedFile(rig.file("data-000001.tar.age").open("rb"), "data-000001.tar.age", [KEY]) as file:
        file.seek(1_000_000)
        tail = file.read(10)
        file.seek(0)
        head = file.read(1_000_010)
        while len(head) < 1_000_010:
            head += file.read(1_000_010 - len(head))
        assert head.endswith(tail)


@pytest.mark.parametrize("verb", ["write", "close"])
def test_a_full_tape_is_told_as_such(rig: Any, verb: str) -> None:
    """The drive's error comes out of the thread that encrypts, and what was sealed counts."""
    fill(rig.source, 20, 100_000)
    rig.volume.capacity = 700_000
    rig.volume.full_on = verb
    with pytest.raises(TapeFull, match=str(full().message)):
        back_up(rig, compression="none", archive_bytes=300_000)
    assert rig.log.archives


def test_it_is_resumed_without_the_key(rig: Any) -> None:
    """The host goes on where it was cut off: it needs nothing that it cannot read."""
    fill(rig.source)
    first = Log(ends_after=5)
    with pytest.raises(Ended):
        back_up(rig, log=first, archive_bytes=6_000)
    back_up(rig, archive_bytes=6_000, resume=first.resume_point())
    report = rig.restore(entries_on(rig.volume, SET, keys=[KEY]), keys=[KEY])
    assert report.failures == []
    assert rig.differences() == []


@pytest.mark.parametrize("key", ["age1nonsense", "ssh-ed25519 AAAA", "", "AGE-SECRET-KEY-1"])
def test_what_is_no_public_key_is_named_and_nothing_is_written(rig: Any, key: str) -> None:
    """Also a secret key given by mistake, which is not repeated."""
    with pytest.raises(BadRequest, match="encrypt_to"):
        rig.back_up(encrypt_to=(key,))
    assert rig.volume.names() == []


def test_a_file_without_a_secret_key_is_named(tmp_path: Path) -> None:
    """Missing, empty, or something else."""
    for content in (None, "", "# only a comment\n", PUBLIC):
        path = tmp_path / "key.txt"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(content)
        with pytest.raises(KeyNeeded, match=r"key\.txt"):
            identities(path)


def test_another_key_does_not_open_it(rig: Any) -> None:
    """The index cannot be read with it, and that is an error, not an empty set."""
    fill(rig.source, 2)
    back_up(rig)
    with pytest.raises(Exception, match="index-000001"):
        list(entries_on(rig.volume, SET, keys=[pyrage.x25519.Identity.generate()]))
