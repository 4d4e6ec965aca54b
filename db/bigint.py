"""Whole numbers from outside, which may be larger than PostgreSQL's ``bigint``."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import Dialect, Numeric, TypeDecorator

MIN_BIGINT, MAX_BIGINT = -(1 << 63), (1 << 63) - 1


class Whole(TypeDecorator[int]):
    """A whole number of any size, for a column of few rows: sums of sizes that files claim."""

    impl = Numeric
    cache_ok = True

    def process_result_value(self, value: Decimal | None, _dialect: Dialect) -> int | None:
        return None if value is None else int(value)


def nearest(numbers: dict[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """The nearest numbers that columns can store; and the original of those that differ, to be stored beside
    them."""
    fitting = {name: min(max(number, MIN_BIGINT), MAX_BIGINT) for name, number in numbers.items()}
    return fitting, {name: number for name, number in numbers.items() if fitting[name] != number}


def exact(row: Any, name: str) -> int:
    """The number of a row of ``backup_files`` as the file has it."""
    number: int = (row.beyond or {}).get(name, getattr(row, name))
    return number
