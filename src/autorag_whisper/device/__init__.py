"""Which device a model runs on, what happens when a card fails, and the session of one run on its device."""
