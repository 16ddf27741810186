"""img2dataset on a text file of links, as alike to `tellapart collect` as its options allow; prints one JSON object.

    python bench/peers/collect_img2dataset.py LINKS.txt FOLDER THREADS

Bytes are kept as they came (no resizing, nothing encoded anew), decoded once, hashed with SHA-256; same time-out and retries.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from img2dataset import download


def main(links: str, folder: str, threads: str) -> None:
    download(
        url_list=links,
        output_folder=folder,
        processes_count=1,  # what it does on one core is what is compared
        thread_count=int(threads),
        resize_mode="no",
        skip_reencode=True,
        output_format="files",
        compute_hash="sha256",
        timeout=30,
        retries=2,
        enable_wandb=False,
    )
    print(json.dumps({"n_kept": sum(1 for _ in Path(folder).rglob("*.jpg"))}))


if __name__ == "__main__":  # it starts processes that import this file
    main(*sys.argv[1:])
