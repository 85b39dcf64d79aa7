#!/usr/bin/env bash
# Make tests/data/telephone again: samples/demo.flac as GSM 06.10, raw and in a WAV, which PyAV cannot write.
# Needs sox with libgsm (Debian: apt-get install sox).
set -euo pipefail
cd "$(dirname "$0")/.."

folder=tests/data/telephone
mkdir -p "$folder"
sox -D samples/demo.flac -r 8000 -c 1 -t gsm "$folder/demo.gsm"
sox -D samples/demo.flac -r 8000 -c 1 -e gsm-full-rate -t wav "$folder/demo.gsm.wav"
