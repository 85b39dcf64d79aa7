"""From a file to samples: opening, decoding, chunking, features. Imports nothing by itself."""
