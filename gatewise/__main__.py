"""`python -m gatewise`, the same as the `gatewise` command."""

from gatewise.cli import main

if __name__ == "__main__":
    main()
