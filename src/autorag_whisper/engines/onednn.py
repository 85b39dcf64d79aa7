"""oneDNN, which convolves on a CPU for CTranslate2 and PyTorch: told not to keep what it makes for a length of sound.

It keeps the last 1,024 primitives, each for one length and with its scratch memory, and hardly any clip has a length
that was seen before: up to 50 MB for each clip with a model of 24 channels, 2.7 GB in all, and of no use (dev/LOG.md).
https://uxlfoundation.github.io/oneDNN/dev_guide_primitive_cache.html
"""

from __future__ import annotations

import os

_VARIABLES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "DNNL_PRIMITIVE_CACHE_CAPACITY")


def keep_no_primitives() -> None:
    """To be called before a model convolves: it is read once in a process. Whoever set a variable is heard."""
    if not any(name in os.environ for name in _VARIABLES):  # noqa: TID251 - the library listens to nothing else
        os.environ[_VARIABLES[0]] = "0"  # noqa: TID251 - as above
