"""Headers of uncompressed sound read by ourselves: where two fields disagree, FFmpeg believes one and decodes noise.

`examine` reads a header, asks the samples what is true, and says which bytes of it FFmpeg must see instead.
"""

from autorag_whisper.audio.headers.examine import Findings, examine

__all__ = ["Findings", "examine"]
