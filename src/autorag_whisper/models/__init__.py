"""A model's name to a folder of files: a given folder, the hub's cache, a package that ships weights, a download."""
