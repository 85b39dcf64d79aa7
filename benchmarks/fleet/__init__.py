"""How many workers an archive needs, and how long: a simulation that is fed with measured costs."""
