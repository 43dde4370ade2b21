"""python -m bench bench|soak|page …: what the Makefile calls."""

from __future__ import annotations

import sys

from bench import install


def main() -> int:
    """Go into .venv-bench and do as told."""
    verbs = ("bench", "soak", "page")
    if len(sys.argv) < 2 or sys.argv[1] not in verbs:
        print(f"usage: python -m bench {'|'.join(verbs)} …", file=sys.stderr)
        return 2
    if sys.argv[1] == "page":
        from bench import page

        return page.main(sys.argv[2:])
    install.inside()
    if sys.argv[1] == "soak":
        from bench import soak

        return soak.main(sys.argv[2:])
    from bench import run

    return run.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
