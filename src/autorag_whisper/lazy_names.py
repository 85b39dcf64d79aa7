"""Public names of a package that are imported when they are first used, so that importing the package costs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def lazy_names(
    package: str, names_of: Mapping[str, Sequence[str]], *others: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """What `package` is to call `__getattr__`, `__dir__` (PEP 562) and `__all__`.

    `names_of`: module -> its names that the package offers; `others`: names that it has itself.
    """
    home_of = {name: module for module, names in names_of.items() for name in names}
    offered = sorted([*home_of, *others])

    def get(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(home_of[name]), name)

    return get, lambda: list(offered), offered
