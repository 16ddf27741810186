"""Copies by cleanvision: python copies_cleanvision.py FOLDER -> JSON {"pairs": [[name, name, 0]], "seconds"} on stdout."""

import contextlib
import json
import os
import sys
import time
from itertools import combinations

from cleanvision import Imagelab


def main() -> None:
    folder = os.path.abspath(sys.argv[1])
    start = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        lab = Imagelab(data_path=folder)
        lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, verbose=False)
    sets = [names for kind in ("exact_duplicates", "near_duplicates") for names in lab.info[kind]["sets"]]
    pairs = {tuple(sorted(pair)) for names in sets for pair in combinations((os.path.relpath(name, folder) for name in names), 2)}
    print(json.dumps({"pairs": [[*pair, 0] for pair in pairs], "seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
