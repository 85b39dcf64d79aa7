"""How a chunk becomes text: windows, batches, language, quality and the temperature fallback, over any `Recognizer`."""
