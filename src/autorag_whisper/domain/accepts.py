"""The type of a field that is given in one of several forms and read back in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

Held = TypeVar("Held")
Given = TypeVar("Given")

if TYPE_CHECKING:

    class Accepts(Generic[Held, Given]):
        """A field of a dataclass that holds a `Held` and may be given as that or as a `Given`.

        Type checkers take the type of the constructor's argument from `__set__` and that of the attribute from
        `__get__`. It has no instances: the default is a `Held`, and `__post_init__` makes one of what was given.
        """

        def __get__(self, instance: object, owner: object) -> Held: ...
        def __set__(self, instance: object, value: Held | Given) -> None: ...

else:

    class Accepts:
        """When annotations are evaluated (`typing.get_type_hints`): the union of both."""

        def __class_getitem__(cls, forms: tuple[Any, Any]) -> Any:
            held, given = forms
            return held | given
