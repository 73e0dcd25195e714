"""The settings of one import: their layers, their files, their checks, and the form."""
