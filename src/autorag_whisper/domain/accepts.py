"""The type of a field that is given in one of several forms and read back in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

Held = TypeVar("Held")
Given = TypeVar("Given")

if TYPE_CHECKING:

    class Accepts(Generic[Held, Given]):
        """A dataclass field that is stored as a `Held`; the constructor accepts a `Held` or a `Given` for it.

        Type checkers read the type of the constructor's argument from `__set__` and that of the attribute from
        `__get__`. The class is never instantiated: the field's default is a `Held`, and the dataclass converts the
        argument in `__post_init__`.
        """

        def __get__(self, instance: object, owner: object) -> Held: ...
        def __set__(self, instance: object, value: Held | Given) -> None: ...

else:

    class Accepts:
        """At run time `Accepts[Held, Given]` is the union `Held | Given`, which `typing.get_type_hints` returns."""

        def __class_getitem__(cls, forms: tuple[Any, Any]) -> Any:
            held, given = forms
            return held | given
