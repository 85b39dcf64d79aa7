"""Measured, not tested: how fast, how large, how right."""
