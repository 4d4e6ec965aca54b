"""The dump of the database that lies beside the archives of a set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
import pytest

from backup.format.manifest import read_manifest
from backup.records import DATABASE
from backup.verify import Verification
from policy.message import M, Message
from tests.unit.backup.rig import SET, full

DUMP = b"zstd, as far as anybody here knows" * 1000
KEY = pyrage.x25519.Identity.generate()


def dump(path: Path, check: Callable[[], None]) -> Message | None:
    check()
    path.write_bytes(DUMP)
    return None


def no_dump(_path: Path, _check: Callable[[], None]) -> Message | None:
    return M("The database does not answer ({url}).", url="here")


def damaged(rig: Any) -> list[str]:
    verification = Verification(rig.volume, SET)
    verification.documents(complete=True)
    verification.database()
    return [Path(name).name for name, _ in verification.report.damaged]


def warned(rig: Any) -> str:
    [(path, reason)] = rig.log.warnings
    assert path == DATABASE
    assert read_manifest(rig.volume, SET).complete
    assert read_manifest(rig.volume, SET).database is None
    assert damaged(rig) == []
    return str(reason)


def test_beside_a_set_that_is_not_encrypted_it_is_encrypted_to_the_keys_in_use(rig: Any) -> None:
    """Names of other sets are in it: whoever has one of the keys reads it, and nobody else."""
    (rig.source / "a").write_text("a")
    other = pyrage.x25519.Identity.generate()
    keys = (str(KEY.to_public()), str(other.to_public()))
    rig.back_up(dump=dump, encrypt_dump_to=keys)
    assert not rig.file(DATABASE).exists()
    data = rig.file(f"{DATABASE}.age").read_bytes()
    assert DUMP[:20] not in data
    assert [pyrage.decrypt(data, [key]) for key in (KEY, other)] == [DUMP, DUMP]
    assert read_manifest(rig.volume, SET).database.name == f"{DATABASE}.age"
    assert not read_manifest(rig.volume, SET).encrypted
    assert damaged(rig) == []
    assert rig.restore().failures == []


def test_it_is_sealed_with_the_set_and_verified(rig: Any) -> None:
    """complete.json tells its name, size and hash; a flipped bit is found; nothing stays in the spool."""
    (rig.source / "a").write_text("a")
    summary = rig.back_up(dump=dump)
    assert rig.file(DATABASE).read_bytes() == DUMP
    told = json.loads(rig.file("complete.json").read_text())["database"]
    assert (told["name"], told["bytes"]) == (DATABASE, len(DUMP))
    on_volume = sum(path.stat().st_size for path in rig.file("").iterdir())
    assert summary.written == on_volume + rig.volume.size("README.txt")
    assert (summary.warnings, damaged(rig), list(rig.spool.iterdir())) == (0, [], [])
    rig.file(DATABASE).write_bytes(DUMP[:-1] + b"?")
    assert damaged(rig) == [DATABASE]
    rig.file(DATABASE).unlink()
    assert damaged(rig) == [DATABASE]


def test_that_of_an_encrypted_set_is_encrypted(rig: Any) -> None:
    """It is full of names; it is verified without the key, and read with it."""
    (rig.source / "a").write_text("a")
    rig.back_up(dump=dump, encrypt_to=(str(KEY.to_public()),))
    assert not rig.file(DATABASE).exists()
    assert damaged(rig) == []
    assert pyrage.decrypt(rig.file(f"{DATABASE}.age").read_bytes(), [KEY]) == DUMP


def test_without_it_the_backup_is_as_good(rig: Any) -> None:
    """A warning says why there is none."""
    (rig.source / "a").write_text("a")
    assert rig.back_up(dump=no_dump).warnings == 1
    assert "does not answer (here)" in warned(rig)


def test_it_takes_no_room_that_the_set_needs(rig: Any) -> None:
    """On a tape that is almost full there is none, and the set is complete all the same."""
    rig.volume.capacity = 30_000
    rig.back_up(dump=dump, reserve_bytes=10_000)
    assert "no room" in warned(rig)


def test_a_tape_that_is_full_too_early_costs_the_copy_alone(rig: Any) -> None:
    """Whatever the volume said to be free."""
    rig.volume.faults[f"write sets/{SET}/{DATABASE}"] = full()
    rig.back_up(dump=dump)
    assert "no room" in warned(rig)


def test_one_that_a_crash_cut_off_does_not_count(rig: Any) -> None:
    """The next one has a name of its own."""

    def crash(path: Path, check: Callable[[], None]) -> Message | None:
        rig.volume.faults["seal"] = KeyError("power")
        return dump(path, check)

    with pytest.raises(KeyError):
        rig.back_up(dump=crash)
    rig.file("complete.json").write_text("{")
    rig.back_up(dump=dump, resume=rig.log.resume_point())
    found = read_manifest(rig.volume, SET).database
    assert found is not None
    assert found.name == "database-2.sql.zst"
    assert damaged(rig) == []
