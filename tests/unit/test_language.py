"""Which language a text is decoded in, and that the result names that one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.recognition.language import choose

CODES = ("en", "de", "ja", "cy")
votes = st.lists(st.dictionaries(st.sampled_from(CODES), st.floats(0, 1), min_size=len(CODES)), min_size=1, max_size=4)


@given(votes, st.sets(st.sampled_from(CODES), min_size=1))
def test_the_choice_is_allowed_and_the_likeliest_of_those(found: list[dict[str, float]], allowed: set[str]) -> None:
    choice = choose(found, sorted(allowed))
    totals = {code: sum(vote[code] for vote in found) for code in allowed}
    assert choice.code in allowed
    assert totals[choice.code] == max(totals.values())
    assert 0 <= choice.probability <= 1
    assert choice.probability >= 1 / len(allowed) - 1e-9


def test_a_language_that_is_not_allowed_does_not_take_the_others_share() -> None:
    vote = {"cy": 0.6, "en": 0.3, "de": 0.1}
    assert choose([vote]).code == "cy"
    choice = choose([vote], ("en", "de"))
    assert (choice.code, choice.probability) == ("en", pytest.approx(0.75))


def test_where_nothing_allowed_was_heard_the_choice_is_unsure() -> None:
    choice = choose([{"cy": 1.0}], ("en", "de"))
    assert choice.code in ("en", "de")
    assert choice.probability == 0.5


def test_allowed_languages_have_every_spelling_and_one_alone_is_given() -> None:
    assert TranscribeOptions(allowed_languages=("German", "en-US", "de")).allowed_languages == ("de", "en")
    assert TranscribeOptions(allowed_languages=("German",)).language == "de"
    assert TranscribeOptions(language="en", allowed_languages=("en", "de")).language == "en"


@pytest.mark.parametrize(
    "options",
    [
        {"language": "fr", "allowed_languages": ("en", "de")},
        {"allowed_languages": ("klingon",)},
        {"allowed_languages": ("",)},
        {"language": "en", "code_switching": True},
    ],
)
def test_languages_that_contradict_each_other_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InvalidOption):
        TranscribeOptions(**options)  # type: ignore[arg-type]  # what a caller may get wrong


@pytest.mark.parametrize(
    ("tag", "code", "script"),
    [
        ("zh", "zh", ""),
        ("Chinese", "zh", ""),
        ("zh-Hans", "zh", "Hans"),
        ("ZH_hans", "zh", "Hans"),
        ("zh-CN", "zh", "Hans"),
        ("zh-Hans-CN", "zh", "Hans"),
        ("cmn-Hans", "zh", "Hans"),
        ("zh-cmn-Hans-SG", "zh", "Hans"),
        ("zh-Hant", "zh", "Hant"),
        ("zh-TW", "zh", "Hant-TW"),
        ("zh-Hant-HK", "zh", "Hant-HK"),
        ("zh-Hans-HK", "zh", "Hans"),
        ("zh-Hant-CN", "zh", "Hant"),
        ("yue", "yue", ""),
        ("yue-Hant", "yue", "Hant"),
        ("zh-yue-HK", "yue", "Hant-HK"),
        ("en-US", "en", ""),
        ("pt_BR", "pt", ""),
        ("de-CH-1996", "de", ""),
        ("en-Latn-US", "en", ""),
        ("ja-Jpan", "ja", ""),
        ("en-x-hans", "en", ""),
        ("zh_CN.UTF-8", "zh", "Hans"),
    ],
)
def test_a_tag_names_a_language_and_for_chinese_its_characters(tag: str, code: str, script: str) -> None:
    options = TranscribeOptions(language=tag)
    assert (options.language, options.script) == (code, script)
    assert TranscribeOptions(allowed_languages=(tag, "fr")).script == script


@pytest.mark.parametrize("tag", ["sr-Latn", "sr-Cyrl-RS", "uz_Cyrl", "pa-Arab", "en-Cyrl", "zh-Latn", "ja-Hans"])
def test_a_script_that_nobody_can_choose_is_refused_with_what_is_known(tag: str) -> None:
    with pytest.raises(InvalidOption, match="script is the model's choice; Hans and Hant can be chosen") as refused:
        TranscribeOptions(language=tag)
    assert repr(tag) in str(refused.value)


@pytest.mark.parametrize(
    "options",
    [{"script": "Latn"}, {"language": "zh-Hans", "script": "Hant"}, {"allowed_languages": ("zh-CN", "zh-TW", "en")}],
)
def test_scripts_that_contradict_each_other_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InvalidOption, match="script"):
        TranscribeOptions(**options)  # type: ignore[arg-type]  # whatever a test gives


def test_options_that_are_made_from_others_keep_the_script() -> None:
    assert replace(TranscribeOptions(language="zh-TW"), batch_size=2).script == "Hant-TW"
