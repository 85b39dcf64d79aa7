"""What `benchmarks/word_times.py` measures: groups of recordings with true word times, and the figures of each."""
