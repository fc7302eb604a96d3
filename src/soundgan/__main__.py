"""`python -m soundgan` is `soundgan`."""

from soundgan.cli import main

if __name__ == "__main__":
    main()
