"""A classifier behind an API and a page. Needs the extra `serve`; no PyTorch."""

from importlib.util import find_spec

from tellapart.errors import MissingExtraError

if not all(map(find_spec, ("fastapi", "httptools", "python_multipart", "uvicorn"))):  # not imported: see `starting`
    raise MissingExtraError("serving", "serve")
