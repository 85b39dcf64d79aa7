"""Fakes for tests without weights or a card. They pass the same contract suites as the real engines (`tests/contract`).

```python
samples = speech_samples(3)  # three beeps
FakeVoiceActivity().stream().push(samples)  # hears them
FakeWhisper()  # recognises "one two three", on whatever device it is told to be
FakeEmitter()  # hears the letters of the same words, for alignment
FakeWhisperPipeline(), FakeWordAligner()  # the same as engines with rules of their own (whisperX is one)
FakeTextEngine()  # the same by an engine that goes from samples to text in one call
```
"""

from autorag_whisper.testing.emitter import FakeEmitter
from autorag_whisper.testing.engine import Faults
from autorag_whisper.testing.pipeline import FakeWhisperPipeline, FakeWordAligner
from autorag_whisper.testing.speech import FakeVoiceActivity, speech_samples, write_speech
from autorag_whisper.testing.text_engine import FakeTextEngine
from autorag_whisper.testing.whisper import FakeTokenizer, FakeWhisper

__all__ = [
    "FakeEmitter",
    "FakeTextEngine",
    "FakeTokenizer",
    "FakeVoiceActivity",
    "FakeWhisper",
    "FakeWhisperPipeline",
    "FakeWordAligner",
    "Faults",
    "speech_samples",
    "write_speech",
]
