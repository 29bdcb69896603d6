"""``python -m tests.service.daemon CONFIG REPOSITORY``: the daemon, converting by the short fake."""

from __future__ import annotations

import sys
from pathlib import Path

from converter.errors import SrcgitError
from service import config
from tests.service.fakes import Tagging


def main() -> None:
    from service.daemon import listen  # each child imports this module, and needs no bus

    path, repository = Path(sys.argv[1]), Path(sys.argv[2])
    try:
        listen(config.load(path), path, Tagging(repository, repository.parent / "flag"))
    except SrcgitError as error:
        print(f"srcgit: {error.what}; {error.next_step}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
