"""The environment as settings: every bad value in one error, and policies by model."""

from __future__ import annotations

import pytest

from autorag_whisper.domain.device import OnYield, YieldPolicy
from autorag_whisper.domain.errors import InvalidSettings
from autorag_whisper.settings import Settings

ON_YIELD = "AUTORAG_WHISPER_ON_YIELD"


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", YieldPolicy()),
        ("Unload", YieldPolicy(OnYield.UNLOAD)),
        ("base=unload", YieldPolicy(OnYield.KEEP, {"base": OnYield.UNLOAD})),
        (
            " offload , owner/name = keep, tiny=UNLOAD,",
            YieldPolicy(OnYield.OFFLOAD, {"owner/name": OnYield.KEEP, "tiny": OnYield.UNLOAD}),
        ),
    ],
)
def test_what_leaves_a_card_is_said_for_all_models_and_for_each(text: str, policy: YieldPolicy) -> None:
    assert Settings.from_env({ON_YIELD: text}).on_yield == policy


def test_a_model_that_is_not_named_does_as_all_do() -> None:
    policy = Settings.from_env({ON_YIELD: "offload,base=keep"}).on_yield
    assert (policy.of("base"), policy.of("small")) == (OnYield.KEEP, OnYield.OFFLOAD)


@pytest.mark.parametrize("text", ["go", "base=", "=keep", "base=go", "base=keep=now,stay"])
def test_a_policy_that_is_none_is_refused_with_those_that_are(text: str) -> None:
    with pytest.raises(InvalidSettings, match="keep, offload, unload"):
        Settings.from_env({ON_YIELD: text})


def test_every_bad_value_is_in_one_error() -> None:
    bad = {ON_YIELD: "go", "AUTORAG_WHISPER_ENGINE": "torch", "AUTORAG_WHISPER_THREADS": "-1"}
    with pytest.raises(InvalidSettings) as raised:
        Settings.from_env(bad)
    assert all(any(name in problem for problem in raised.value.problems) for name in bad)


def test_an_engine_is_chosen_by_name_in_any_case() -> None:
    assert Settings.from_env({"AUTORAG_WHISPER_ENGINE": " WhisperX "}).engine == "whisperx"
    assert Settings.from_env({}).engine == "auto"
