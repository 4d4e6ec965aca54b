"""A table of the file of schedules as a pydantic model, and its errors in our words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, time
from difflib import get_close_matches
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, ErrorDetails, InitErrorDetails

from policy.errors import UsageError, UsageErrors
from policy.message import M, Message
from policy.schedule.values import ValueKind, WrongValue
from policy.times.period import ScheduleType


class Unknown(ValueError):
    """A table has a field that does not exist."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(name)
        self.name, self.known = name, known


class MissingField(ValueError):
    """A table lacks a field that is required."""

    def __init__(self, name: str, remedy: Message) -> None:
        super().__init__(name)
        self.name, self.remedy = name, remedy


class Table(BaseModel):
    """A table of the file. A field has the name of its column, and as ``alias`` its name in the file.

    An editor shows its docstring: one line, English.
    """

    # By name, too, for what comes from a row: a file that has a column's name is refused below.
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, validate_by_name=True)

    @model_validator(mode="wrap")
    @classmethod
    def _check_names(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """A wrong name is no reason to be silent about the values of the others."""
        if not isinstance(given, Mapping):
            return handler(given)
        known = {field.alias or name: field for name, field in cls.model_fields.items()}
        wrong = [_named(Unknown(str(name), sorted(known)), given) for name in given if name not in known]
        wrong += [
            _named(MissingField(name, _example(field)), given)
            for name, field in known.items()
            if field.is_required() and name not in given
        ]
        try:
            made = handler({name: value for name, value in given.items() if name in known})
        except ValidationError as error:
            wrong += [_again(each) for each in error.errors() if each["type"] != "missing"]
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong)
        return made


def _named(error: ValueError, table: Any) -> InitErrorDetails:
    return InitErrorDetails(type="value_error", input=table, ctx={"error": error})


def _again(error: ErrorDetails) -> InitErrorDetails:
    return InitErrorDetails(
        type=error["type"], loc=error["loc"], input=error["input"], ctx=error.get("ctx", {})
    )


def _example(field: FieldInfo) -> Message:
    """What to write for a field: its kind's remedy for a missing value."""
    for kind in field.metadata:
        if isinstance(kind, ValueKind):
            try:
                kind.read(None)
            except WrongValue as wrong:
                return wrong.remedy
    return M("docs/schedules.example.toml shows one.")


class _NeverNull:
    """YAML's null is no value: pydantic's ``| None`` without the None."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema: Any = handler(source)
        return schema["schema"]  # type: ignore[no-any-return]


_T = TypeVar("_T")
LeftOut = Annotated[_T | None, _NeverNull()]
"""A value that may be left out; the program then has None."""

_Table = TypeVar("_Table", bound=Table)


class FieldError(UsageError):
    """A field of a table is wrong."""

    def __init__(self, message: Message, remedy: Message | None, place: Sequence[str]) -> None:
        super().__init__(message, remedy)
        self.place = tuple(place)
        """The path to it through the tables."""


def read(model: type[_Table], given: Any, where: str = "") -> _Table:
    """A table as its model. ``where``: its place; none for the whole file.

    Raises UsageErrors with a FieldError for each wrong field.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        outer = [where] if where else []
        raise UsageErrors(
            [_in_our_words(each, [*outer, *_place(each["loc"])]) for each in error.errors()]
        ) from error


def _place(location: Sequence[int | str]) -> list[str]:
    """The path through the file; pydantic also names the type of ``when``, and that a name is a key."""
    place = [str(part) for part in location if part != "[key]"]
    if place[2:3] == ["when"]:
        del place[3:4]
    return place[:1] if "[key]" in location else place


def _in_our_words(error: ErrorDetails, place: list[str]) -> FieldError:
    match error["type"], error.get("ctx", {}):
        case _, {"error": Unknown() as unknown}:
            return _unknown([*place, unknown.name], unknown)
        case _, {"error": MissingField() as missing}:
            return _missing(place, missing.name, missing.remedy)
        case _, {"error": WrongValue() as wrong}:
            return _wrong(place, error["input"], wrong.remedy)
        case "union_tag_not_found", {"discriminator": name}:
            return _missing(place, name.strip("'"), _ONE_OF_THE_TYPES)
        case "union_tag_invalid", {"discriminator": name}:
            name = name.strip("'")
            return _wrong([*place, name], error["input"][name], _ONE_OF_THE_TYPES)
    return FieldError(
        M("{where}: this must be a table of fields.", where=".".join(place) or "file"), None, place
    )


_ONE_OF_THE_TYPES = M("Write one of: {values}.", values=", ".join(ScheduleType))


def _unknown(place: list[str], unknown: Unknown) -> FieldError:
    close = get_close_matches(unknown.name, unknown.known)
    remedy = (
        M("Did you mean '{field}'?", field=close[0])
        if close
        else M("There are: {names}", names=", ".join(unknown.known))
    )
    return FieldError(M("{where}: there is no such field.", where=".".join(place)), remedy, place)


def _missing(place: list[str], name: str, remedy: Message) -> FieldError:
    return FieldError(
        M("{where}: '{field}' is missing.", where=".".join(place), field=name), remedy, [*place, name]
    )


def _wrong(place: list[str], value: Any, remedy: Message) -> FieldError:
    return FieldError(
        M("{where}: {value} is not right here.", where=".".join(place), value=_as_written(value)),
        remedy,
        place,
    )


def _as_written(value: Any) -> str:
    """A value as it may be in the file, not as Python shows it."""
    match value:
        case bool():
            return str(value).lower()
        case date() | time():
            return value.isoformat()
    return repr(value)
