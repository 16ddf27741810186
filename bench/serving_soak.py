"""Try to wear our server out; prints one JSON object with n, the counts, and whether they are as asked (else it ends with 1).

    python bench/serving_soak.py SOAK RUN PICTURES [--n N]

RUN is a run of `tellapart train`, PICTURES a folder that holds JPEGs only. SOAK is one of:

    overload    ten times what the server can answer, for N seconds (120): memory, seconds until as before; goodput by turns
    dawdlers    N sockets (1,000) that send a byte a second, and a normal client beside them
    mutations   N damaged pictures, forms and JSON bodies (10,000): no 5xx, no death, none over 2 s, memory bounded
    bombs       N small files that ask for much (60): each refused in under 200 ms and with under 100 MB more
    stops       N servers (500) stopped by SIGTERM under load: no accepted request lost
    swaps       N models (30) replaced under load: no failed request
    starts      N starts (10): ready in under 2 s (median), under 350 MB resident
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from run import positive
from soak_attacks import dawdlers, hurled, mutations
from soak_load import overload, starts, stops, swaps

SOAKS = {
    "overload": (overload, 120),
    "dawdlers": (dawdlers, 1000),
    "mutations": (mutations, 10_000),
    "bombs": (hurled, 60),
    "stops": (stops, 500),
    "swaps": (swaps, 30),
    "starts": (starts, 10),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("soak", choices=SOAKS)
    parser.add_argument("run", type=Path, help="a run of `tellapart train`")
    parser.add_argument("pictures", type=Path, help="a folder that holds JPEGs only")
    parser.add_argument("--n", type=positive, help="how many, or for how many seconds")
    args = parser.parse_args()
    soak, usual_n = SOAKS[args.soak]
    start = time.perf_counter()
    found = soak(args.run, args.pictures, args.n or usual_n)
    print(json.dumps({"soak": args.soak, **found, "seconds": round(time.perf_counter() - start, 1)}))
    sys.exit(0 if found["passed"] else 1)


if __name__ == "__main__":
    main()
