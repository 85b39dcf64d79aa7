"""Which models are in memory: one generic `Residency`, for recognition models and for alignment models.

Models are loaded once, leased, moved off a card and back, and released under a name (`residency.residency`).
"""
