"""What a drive reports, and its form in the database."""

from __future__ import annotations

import json
from dataclasses import fields

from policy.tapes.medium import MediumReport, first_mark, identity_of
from tape.drive import Medium, MediumState, WriteLock

FOUND = Medium(
    MediumState.FORMATTED,
    label="TP20261101",
    medium_serial="m1",
    lock=WriteLock.ADVISORY,
    empty=False,
    free=7,
)


def test_a_report_has_every_field_of_the_medium() -> None:
    """With values that JSON has: it is stored, and sent from one host to another."""
    report = FOUND.to_json()
    assert set(report) == set(MediumReport.__annotations__) == {field.name for field in fields(Medium)}
    assert json.loads(json.dumps(report)) == report
    assert (report["state"], report["lock"], report["empty"]) == ("formatted", "advisory", False)


def test_the_identity_in_the_database_is_that_of_the_drive() -> None:
    """A permit compares the two."""
    assert identity_of(FOUND.to_json()) == FOUND.identity == {
        "state": "formatted", "label": "TP20261101", "volume_uuid": None, "serial": None,
        "medium_serial": "m1", "barcode": None,
    }  # fmt: skip


def test_the_most_reliable_mark_counts() -> None:
    """The first of those that a tape has."""
    assert first_mark(FOUND.to_json(), ("volume_uuid", "medium_serial", "label")) == "m1"
    assert first_mark(FOUND.to_json(), ("volume_uuid", "barcode")) is None
