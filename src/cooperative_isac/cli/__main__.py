"""`python -m cooperative_isac.cli`, the same as `isac`."""

from cooperative_isac.cli import main

if __name__ == "__main__":
    main()
