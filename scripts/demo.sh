#!/bin/sh
# Transcribe the sample: as subtitles, then as words with times. No network: the weights came as a package.
set -eu
cd "$(dirname "$0")/.."

for format in srt words; do
  printf '\n$ autorag-whisper transcribe samples/demo.flac --format %s --output-dir -\n\n' "$format"
  AUTORAG_WHISPER_OFFLINE=1 .venv/bin/autorag-whisper transcribe samples/demo.flac --format "$format" --output-dir -
done
