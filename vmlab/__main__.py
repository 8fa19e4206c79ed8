"""`python -m vmlab` is `vmlab`."""

from vmlab.cli import main

main()
