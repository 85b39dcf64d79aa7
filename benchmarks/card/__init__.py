"""One day with a card: what was written for a GPU, measured on one in minutes, on a machine that can fetch nothing.

`pack` makes parts that travel (wheels, weights, recordings), `scripts/gpu_day.py` takes them in on the bare machine and
runs the steps, each in a process of its own with a time limit. Where it is cut short it keeps what it has, and goes on
behind that the next time. On a CPU, with `--tiny`, everything but what only a card has runs too.
"""
