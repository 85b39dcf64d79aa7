"""How a chunk becomes text: windows, batches, language, quality, temperature fallback, over any `WhisperModel`."""
