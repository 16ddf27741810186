"""A classifier behind an API and a page. Needs the extra `serve`; no PyTorch."""

from tellapart.errors import MissingExtraError

try:
    import fastapi  # noqa: F401
    import httptools  # noqa: F401
    import python_multipart  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as error:
    raise MissingExtraError("serving", "serve") from error
