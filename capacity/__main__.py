"""`python -m capacity`: the command line of this very interpreter."""

from capacity.cli import main

main()
