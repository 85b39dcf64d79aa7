"""The page for those who come from other tools leaves out none of their options and names none that is not here."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING

import click
import pytest

from autorag_whisper.cli.transcribe import transcribe
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.settings import ENVIRONMENT

if TYPE_CHECKING:
    from pathlib import Path

# As `add_argument` of the command of openai-whisper 20250625 has them, and `DecodingOptions` besides.
WHISPER = """
audio --model --model_dir --device --output_dir --output_format --verbose --task --language --temperature --best_of
--beam_size --patience --length_penalty --suppress_tokens --initial_prompt --carry_initial_prompt
--condition_on_previous_text --fp16 --temperature_increment_on_fallback --compression_ratio_threshold
--logprob_threshold --no_speech_threshold --word_timestamps --prepend_punctuations --append_punctuations
--highlight_words --max_line_width --max_line_count --max_words_per_line --threads --clip_timestamps
--hallucination_silence_threshold sample_len prompt prefix suppress_blank without_timestamps max_initial_timestamp
"""
# The parameters of `WhisperModel`, of both `transcribe`, of `detect_language` and the fields of `VadOptions` in
# faster-whisper 1.2.1.
FASTER_WHISPER = """
model_size_or_path device device_index compute_type cpu_threads num_workers download_root local_files_only files
revision use_auth_token
audio language task log_progress beam_size best_of patience length_penalty repetition_penalty no_repeat_ngram_size
temperature compression_ratio_threshold log_prob_threshold no_speech_threshold condition_on_previous_text
prompt_reset_on_temperature initial_prompt prefix suppress_blank suppress_tokens without_timestamps
max_initial_timestamp word_timestamps prepend_punctuations append_punctuations multilingual vad_filter vad_parameters
max_new_tokens chunk_length clip_timestamps hallucination_silence_threshold hotwords language_detection_threshold
language_detection_segments batch_size features
threshold neg_threshold min_speech_duration_ms max_speech_duration_s min_silence_duration_ms speech_pad_ms
"""
# The command of whisperX 3.8.6; those that are whisper's stand in whisper's table.
WHISPERX = """
--model --model_cache_only --model_dir --device --device_index --batch_size --compute_type --output_dir --output_format
--verbose --log-level --task --language --align_model --interpolate_method --no_align --return_char_alignments
--vad_method --vad_onset --vad_offset --chunk_size --diarize --min_speakers --max_speakers --diarize_model
--speaker_embeddings --temperature --best_of --beam_size --patience --length_penalty --suppress_tokens
--suppress_numerals --initial_prompt --hotwords --condition_on_previous_text --fp16
--temperature_increment_on_fallback --compression_ratio_threshold --logprob_threshold --no_speech_threshold
--max_line_width --max_line_count --highlight_words --segment_resolution --threads --hf_token --print_progress
--version --python-version
"""
# `whisper-cli -h` of whisper.cpp, 2026.
WHISPER_CPP = """
--threads --processors --offset-t --offset-n --duration --max-context --max-len --split-on-word --best-of --beam-size
--audio-ctx --word-thold --entropy-thold --logprob-thold --no-speech-thold --temperature --temperature-inc
--debug-mode --translate --diarize --tinydiarize --no-fallback --output-txt --output-vtt --output-srt --output-lrc
--output-words --font-path --output-csv --output-json --output-json-full --output-file --no-prints --print-special
--print-colors --print-progress --no-timestamps --language --detect-language --detect-langs --prompt
--carry-initial-prompt --model --file --ov-e-device --dtw --log-score --no-gpu --flash-attn --suppress-nst
--suppress-regex --grammar --grammar-rule --grammar-penalty --vad --vad-model --vad-threshold
--vad-min-speech-duration-ms --vad-min-silence-duration-ms --vad-max-speech-duration-s --vad-speech-pad-ms
--vad-samples-overlap
"""

Row = tuple[list[str], list[str], str]


@pytest.fixture(scope="module")
def tables(root: Path) -> dict[str, list[Row]]:
    """Heading -> rows: names there, what is in code marks here, the remark."""
    page = (root / "docs" / "coming_from.md").read_text(encoding="utf-8")
    found: dict[str, list[Row]] = {}
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
        assert all(len(row) == 3 for row in cells)
        found[heading] = [(_marked(there), _marked(here), remark) for there, here, remark in cells[2:]]
    return found


def _marked(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize(
    ("options", "headings"),
    [
        (WHISPER, ["whisper"]), (FASTER_WHISPER, ["faster-whisper"]), (WHISPERX, ["whisperX", "whisper"]),
        (WHISPER_CPP, ["whisper.cpp"]),
    ],
    ids=["whisper", "faster-whisper", "whisperx", "whisper.cpp"],
)  # fmt: skip
def test_every_option_of_the_other_tool_has_its_row(
    tables: dict[str, list[Row]], options: str, headings: list[str]
) -> None:
    listed = [name for heading in headings for there, _, _ in tables[heading] for name in there]
    assert [name for name in options.split() if name not in listed] == []


@pytest.mark.parametrize(
    ("options", "heading"), [(WHISPER, "whisper"), (FASTER_WHISPER, "faster-whisper"), (WHISPER_CPP, "whisper.cpp")]
)
def test_no_table_has_a_row_that_the_tool_does_not_have(
    tables: dict[str, list[Row]], options: str, heading: str
) -> None:
    listed = [name for there, _, _ in tables[heading] for name in there]
    assert [name for name in listed if name not in options.split()] == []
    assert len(listed) == len(set(listed))


def test_what_is_named_on_our_side_exists(tables: dict[str, list[Row]], root: Path) -> None:
    options = {name for param in transcribe.params if isinstance(param, click.Option)
               for name in (*param.opts, *param.secondary_opts)}  # fmt: skip
    known = options | {"FILE..."} | set(ENVIRONMENT)
    named = [name for rows in tables.values() for _, here, _ in rows for name in here]
    assert len(named) > 100
    assert [name for name in named if name not in known] == []
    page = (root / "docs" / "coming_from.md").read_text(encoding="utf-8")
    in_calls = re.findall(r"TranscribeOptions\((\w+)=", page)
    assert in_calls
    assert set(in_calls) <= {field.name for field in fields(TranscribeOptions)}
    remarks = " ".join(remark for rows in tables.values() for *_, remark in rows)
    assert {name for name in re.findall(r"`(--[\w-]+)", remarks) if name != "--version"} <= options


def test_whatever_has_no_counterpart_has_a_reason(tables: dict[str, list[Row]]) -> None:
    without = [row for rows in tables.values() for row in rows if not row[1]]
    assert without
    assert [there for there, _, remark in without if len(remark) < 5] == []


def test_every_option_of_recognition_has_its_name_in_python(root: Path) -> None:
    """Who comes from Python finds `--prompt` in the tables, and the field is called otherwise."""
    page = (root / "docs" / "coming_from.md").read_text(encoding="utf-8")
    table = page.partition("| option | in Python |")[2].partition("\n\n")[0]
    renamed = {row[1].strip(" `"): _marked(row[2])[0] for row in (line.split("|") for line in table.splitlines()[2:])}
    known = {field.name for field in fields(TranscribeOptions)} | set(ENVIRONMENT) | {"model=", "get_model"}
    assert set(renamed.values()) <= known
    of_the_command = {"--format", "--output-dir", "--name-with", "--force", "--no-backup", "--show-text", "--quiet",
                      "--verbose", "--help"}  # fmt: skip
    of_subtitles = {
        "--style", "--line-length", "--lines", "--max-words", "--reading-speed", "--min-duration", "--max-duration",
        "--min-gap", "--highlight-words",
    }  # fmt: skip
    named = {param.opts[-1] for param in transcribe.params if isinstance(param, click.Option)}
    for name in named - of_the_command - of_subtitles:
        assert name[2:].replace("-", "_") in known or name in renamed, name
