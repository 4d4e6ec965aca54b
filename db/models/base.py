"""What every table has: naming of constraints, types of columns, the database's clock."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Enum,
    MetaData,
    Text,
    TypeDecorator,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

from db import clock
from policy.tapes.medium import MediumReport


def now() -> datetime:
    """The present moment by the database's clock, UTC with time zone."""
    return clock.now()


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        MediumReport: JSONB,
        int: BigInteger,
        str: Text,
    }


class Typed(TypeDecorator[Any]):
    """A dataclass stored as JSON, without fields that have their default; unknown ones are ignored."""

    impl = JSONB
    cache_ok = True

    def __init__(self, kind: type[Any]) -> None:
        super().__init__()
        self.kind = kind
        self._adapter = TypeAdapter(kind)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002 - SQLAlchemy's interface
        return self._adapter.dump_python(value, mode="json", exclude_defaults=True)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002 - as above
        return self._adapter.validate_python(value)


def enum(kind: type[Any], name: str) -> Enum:
    """An enum stored by its values as text with a check, so that a migration can add a value without a
    type."""
    return Enum(
        kind,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=32,
        values_callable=lambda members: [member.value for member in members],
    )


def is_elsewhere(home: Any) -> Any:
    """The condition that a row was made in another database; asked once for all rows of a query."""
    return home != select(func.database_home()).scalar_subquery()
