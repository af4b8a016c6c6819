"""The former name of `python -m hir export`, for scripts that have it."""

import sys

from hir.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
