"""Which engine for a CPU? The native one, CTranslate2, ONNX Runtime, OpenVINO and whisper.cpp on the same weights.

    python -m benchmarks.native_decision forced talk.flac       both of ours, instructions forced, whole pipeline
    python -m benchmarks.native_decision stages talk.flac       every engine: one window encoded, 224 tokens decoded
    python -m benchmarks.native_decision whisper-cpp talk.flac  its whole pipeline
    python -m benchmarks.native_decision gains talk.flac        what the native engine's speed comes from

Everything is processor time of one thread a call, which hardly depends on what else the machine does. The peers run in
an environment of their own in the user's cache directory, made when it is missing (`peers.PEERS`; 2 GB). They get the
weights that the model's own folder has, in their own form: `material` writes it.
"""
