"""A batch over folders: find recordings, name their outputs, leave out what is finished, write and note the rest."""
