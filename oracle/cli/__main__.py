"""`python -m oracle.cli`, as `exactum`."""

from oracle.cli.main import main

if __name__ == "__main__":
    main()
