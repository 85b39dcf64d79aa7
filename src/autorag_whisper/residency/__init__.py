"""Which models are in memory: loaded once, leased, moved off a card and back, released under a name."""
