"""The service under load, and other servers beside it: `python -m benchmarks.serve -h`."""
