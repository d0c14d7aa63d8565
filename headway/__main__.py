"""`python -m headway` is the command line."""

from headway.cli.main import main

main()
