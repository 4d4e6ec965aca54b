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
from tests.unit.backup.bench import SET, full

DUMP = b"zstd, as far as anybody here knows" * 1000
KEY = pyrage.x25519.Identity.generate()


def dump(path: Path, check: Callable[[], None]) -> Message | None:
    check()
    path.write_bytes(DUMP)
    return None


def no_dump(_path: Path, _check: Callable[[], None]) -> Message | None:
    return M("The database does not answer ({url}).", url="here")


def damaged(bench: Any) -> list[str]:
    verification = Verification(bench.volume, SET)
    verification.documents(complete=True)
    verification.database()
    return [Path(name).name for name, _ in verification.report.damaged]


def warned(bench: Any) -> str:
    [(path, reason)] = bench.log.warnings
    assert path == DATABASE
    assert read_manifest(bench.volume, SET).complete
    assert read_manifest(bench.volume, SET).database is None
    assert damaged(bench) == []
    return str(reason)


def test_beside_a_set_that_is_not_encrypted_it_is_encrypted_to_the_keys_in_use(bench: Any) -> None:
    """Names of other sets are in it: whoever has one of the keys reads it, and nobody else."""
    (bench.source / "a").write_text("a")
    other = pyrage.x25519.Identity.generate()
    keys = (str(KEY.to_public()), str(other.to_public()))
    bench.back_up(dump=dump, encrypt_dump_to=keys)
    assert not bench.file(DATABASE).exists()
    data = bench.file(f"{DATABASE}.age").read_bytes()
    assert DUMP[:20] not in data
    assert [pyrage.decrypt(data, [key]) for key in (KEY, other)] == [DUMP, DUMP]
    assert read_manifest(bench.volume, SET).database.name == f"{DATABASE}.age"
    assert not read_manifest(bench.volume, SET).encrypted
    assert damaged(bench) == []
    assert bench.restore().failures == []


def test_it_is_sealed_with_the_set_and_verified(bench: Any) -> None:
    """complete.json tells its name, size and hash; a flipped bit is found; nothing stays in the spool."""
    (bench.source / "a").write_text("a")
    summary = bench.back_up(dump=dump)
    assert bench.file(DATABASE).read_bytes() == DUMP
    told = json.loads(bench.file("complete.json").read_text())["database"]
    assert (told["name"], told["bytes"]) == (DATABASE, len(DUMP))
    on_volume = sum(path.stat().st_size for path in bench.file("").iterdir())
    assert summary.written == on_volume + bench.volume.size("README.txt")
    assert (summary.warnings, damaged(bench), list(bench.spool.iterdir())) == (0, [], [])
    bench.file(DATABASE).write_bytes(DUMP[:-1] + b"?")
    assert damaged(bench) == [DATABASE]
    bench.file(DATABASE).unlink()
    assert damaged(bench) == [DATABASE]


def test_that_of_an_encrypted_set_is_encrypted(bench: Any) -> None:
    """It is full of names; it is verified without the key, and read with it."""
    (bench.source / "a").write_text("a")
    bench.back_up(dump=dump, encrypt_to=(str(KEY.to_public()),))
    assert not bench.file(DATABASE).exists()
    assert damaged(bench) == []
    assert pyrage.decrypt(bench.file(f"{DATABASE}.age").read_bytes(), [KEY]) == DUMP


def test_without_it_the_backup_is_as_good(bench: Any) -> None:
    """A warning says why there is none."""
    (bench.source / "a").write_text("a")
    assert bench.back_up(dump=no_dump).warnings == 1
    assert "does not answer (here)" in warned(bench)


def test_it_takes_no_room_that_the_set_needs(bench: Any) -> None:
    """On a tape that is almost full there is none, and the set is complete all the same."""
    bench.volume.capacity = 30_000
    bench.back_up(dump=dump, reserve_bytes=10_000)
    assert "no room" in warned(bench)


def test_a_tape_that_is_full_too_early_costs_the_copy_alone(bench: Any) -> None:
    """Whatever the volume said to be free."""
    bench.volume.faults[f"write sets/{SET}/{DATABASE}"] = full()
    bench.back_up(dump=dump)
    assert "no room" in warned(bench)


def test_one_that_a_crash_cut_off_does_not_count(bench: Any) -> None:
    """The next one has a name of its own."""

    def crash(path: Path, check: Callable[[], None]) -> Message | None:
        bench.volume.faults["seal"] = KeyError("power")
        return dump(path, check)

    with pytest.raises(KeyError):
        bench.back_up(dump=crash)
    bench.file("complete.json").write_text("{")
    bench.back_up(dump=dump, resume=bench.log.resume_point())
    found = read_manifest(bench.volume, SET).database
    assert found is not None
    assert found.name == "database-2.sql.zst"
    assert damaged(bench) == []
