#!/usr/bin/env bash
# Real music and effects without speech, from free packages of Debian: unpacked into FOLDER, nothing is installed.
#     benchmarks/real_sounds.sh FOLDER && .venv/bin/python benchmarks/make_no_speech.py OUT --real FOLDER/chosen
# Left out by name: spoken test signals, choirs, voices, and pieces with singing.
set -euo pipefail
folder=$1
mkdir -p "$folder/packages" "$folder/chosen"
cd "$folder/packages"
apt-get download sonic-pi-samples sound-theme-freedesktop frozen-bubble-data pathological lomiri-sounds \
    oxygen-sounds singularity-music
for package in *.deb; do dpkg -x "$package" unpacked; done
# Every third by name: about a hundred.
find unpacked -type f \( -name '*.ogg' -o -name '*.oga' -o -name '*.flac' -o -name '*.mp3' \) |
    grep -viE 'audio-channel|choir|vocal|voice|voz|vox|speech|laugh' | sort | awk 'NR % 3 == 1' |
    while read -r path; do cp "$path" "../chosen/$(basename "$(dirname "$path")")_$(basename "$path")"; done
