"""Spans to words: pure functions from an engine's path to words with times. No model is called in here."""
