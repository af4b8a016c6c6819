"""The former name of `python -m hir evaluate`, for scripts that have it."""

import sys

from hir.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
