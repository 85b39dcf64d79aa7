"""What is computed once for an object, without a lock that a forked child could inherit."""

from __future__ import annotations

from dataclasses import dataclass, field

from autorag_whisper.per_process import Kept


@dataclass(frozen=True)
class Text:
    words: tuple[str, ...]
    asked: list[str] = field(default_factory=list, compare=False)

    @Kept
    def line(self) -> str:
        """Its words in one line."""
        self.asked.append("line")
        return " ".join(self.words)


def test_a_kept_property_is_computed_once_for_each_object() -> None:
    one, other = Text(("a", "b")), Text(("c",))
    assert [one.line, one.line, other.line, one.line] == ["a b", "a b", "c", "a b"]
    assert (one.asked, other.asked) == (["line"], ["line"])
    assert one == Text(("a", "b"))  # what is kept is no field


def test_of_the_class_it_is_the_property_itself_with_what_it_says() -> None:
    assert isinstance(Text.line, Kept)
    assert Text.line.__doc__ == "Its words in one line."
