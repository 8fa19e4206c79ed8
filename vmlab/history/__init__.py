"""What became of runs, kept beyond their directories: one SQLite database for each project.

`entry` is one run as it is kept, `schema` the tables, `store` the file; `recorder` keeps what was
just run, and `summary` and `choose`, which are pure, say what follows from it.
"""
