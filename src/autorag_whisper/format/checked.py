"""Values out of somebody's JSON, each with its place in it: what has another shape than it should is a typed error."""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.transcript_errors import InvalidTranscript

if TYPE_CHECKING:
    from collections.abc import Iterator

Record = TypeVar("Record")

LARGEST = 1e12
"""No figure of a transcript is larger; what is cannot be computed with."""


@dataclass(frozen=True, slots=True)
class Node:
    """A JSON value and where it stands (`segments[3].words[0].start`) in the file called `name`."""

    value: Any
    where: str = ""
    name: str = "transcript"

    def wrong(self, reason: str) -> InvalidTranscript:
        """The error that says what is wrong here."""
        return InvalidTranscript(self.name, self.where, reason)

    def has(self, key: str) -> bool:
        """Whether this is an object with a value for `key` that is not null."""
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def get(self, key: str) -> Node:
        """The member `key` of an object; null where it has none."""
        if not isinstance(self.value, dict):
            raise self.wrong("is no object")
        return Node(self.value.get(key), f"{self.where}.{key}".lstrip("."), self.name)

    def items(self) -> Iterator[Node]:
        """The items of an array; none of null."""
        if self.value is not None and not isinstance(self.value, list):
            raise self.wrong("is no array")
        for index, item in enumerate(self.value or ()):
            yield Node(item, f"{self.where}[{index}]", self.name)

    def text(self, default: str | None = None) -> str:
        """A string; `default` for null."""
        if self.value is None and default is not None:
            return default
        if not isinstance(self.value, str):
            raise self.wrong("is no string")
        return self.value

    def number(self, default: float | None = None) -> float:
        """A finite number; `default` for null."""
        if self.value is None and default is not None:
            return default
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.wrong("is no number")
        if not abs(self.value) <= LARGEST:
            raise self.wrong("is no number that a transcript can have")
        return float(self.value)

    def integer(self, default: int | None = None) -> int:
        """A whole number; `default` for null."""
        number = self.number(None if default is None else float(default))
        if not number.is_integer():
            raise self.wrong("is no whole number")
        return int(number)

    def record(self, kind: type[Record]) -> Record:
        """An object as the frozen dataclass `kind`: a missing member has the field's default, others are ignored.

        A figure that is null, as JSON has no word for infinity, is NaN.

        Raises:
            InvalidTranscript: a member that is needed is missing, or has another type or value than its field.
        """
        hints = get_type_hints(kind)
        values = {}
        for field in fields(cast("Any", kind)):
            absent = not isinstance(self.value, dict) or field.name not in self.value
            if not absent or (field.default is MISSING and field.default_factory is MISSING):
                values[field.name] = self.get(field.name).typed(hints[field.name])
        return self.made(kind, values)

    def made(self, kind: type[Record], values: dict[str, Any]) -> Record:
        """`kind(**values)`; what its own checks refuse is wrong here."""
        try:
            return kind(**values)
        except InvalidOption as error:
            raise self.wrong(error.problem()) from None

    def typed(self, hint: Any) -> Any:
        """This value as a field of the type `hint`: record, enumeration, tuple, union with None, plain type."""
        arguments = get_args(hint)
        if get_origin(hint) in (Union, UnionType):
            if self.value is None and NoneType in arguments:
                return None
            return self.typed(next(kind for kind in arguments if kind is not NoneType))
        if get_origin(hint) is tuple:
            return tuple(item.typed(arguments[0]) for item in self.items())
        if is_dataclass(hint) and isinstance(hint, type):
            return self.record(hint)
        if isinstance(hint, type) and issubclass(hint, StrEnum):
            return self._member(hint)
        return self._plain(hint)

    def _plain(self, hint: Any) -> Any:
        if hint is float:
            return math.nan if self.value is None else self.number()
        if hint is int:
            return self.integer()
        if hint is bool:
            if not isinstance(self.value, bool):
                raise self.wrong("is neither true nor false")
            return self.value
        return self.text()

    def _member(self, kind: type[StrEnum]) -> StrEnum:
        value = self.text()
        try:
            return kind(value)
        except ValueError:
            other = kind.__members__.get("OTHER")
            if other is None:
                raise self.wrong(f"{value!r} is none of {', '.join(kind)}") from None
            return other
