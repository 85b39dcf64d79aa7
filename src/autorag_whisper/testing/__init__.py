"""Fakes for tests without weights or a card. They pass the same contract suites as the real engines (`tests/contract`).

```python
samples = speech_samples(3)  # three beeps
FakeVoiceActivity().stream().push(samples)  # hears them
FakeRecognizer()  # recognises "one two three", on whatever device it is told to be
FakeEmitter()  # hears the letters of the same words, for alignment
FakePipelineRecognizer(), FakeWordAligner()  # the same as engines with rules of their own (whisperX is one)
```
"""

from autorag_whisper.testing.emitter import FakeEmitter
from autorag_whisper.testing.pipeline import FakePipelineRecognizer, FakeWordAligner
from autorag_whisper.testing.recognizer import FakeRecognizer, FakeTokenizer, Faults
from autorag_whisper.testing.speech import FakeVoiceActivity, speech_samples, write_speech

__all__ = [
    "FakeEmitter",
    "FakePipelineRecognizer",
    "FakeRecognizer",
    "FakeTokenizer",
    "FakeVoiceActivity",
    "FakeWordAligner",
    "Faults",
    "speech_samples",
    "write_speech",
]
