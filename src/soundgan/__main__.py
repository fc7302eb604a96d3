"""`python -m soundgan` is `soundgan`."""

from soundgan.cli.app import main

if __name__ == "__main__":
    main()
