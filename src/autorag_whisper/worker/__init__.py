"""Transcription in a process of its own that is supervised: it may crash, hang or grow, and the job goes on.

`WorkerTranscriber` (`client`) is what callers use; `child` is the process; `messages` is what they say to each other;
`supervision` is the policy. The caller's process loads no engine.
"""
