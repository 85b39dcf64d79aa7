"""Fakes for tests without weights or a card. They pass the same contract suites as the real engines (`tests/contract`).

```python
samples = speech_samples(3)  # three beeps
FakeVoiceActivity().stream().push(samples)  # hears them
FakeRecognizer()  # recognises "one two three", on whatever device it is told to be
FakeEmitter()  # hears the letters of the same words, for alignment
```
"""

from autorag_whisper.testing.emitter import FakeEmitter
from autorag_whisper.testing.recognizer import FakeRecognizer, FakeTokenizer, Faults
from autorag_whisper.testing.speech import FakeVoiceActivity, speech_samples, write_speech

__all__ = [
    "FakeEmitter",
    "FakeRecognizer",
    "FakeTokenizer",
    "FakeVoiceActivity",
    "Faults",
    "speech_samples",
    "write_speech",
]
