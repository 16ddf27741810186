"""Giving a classifier away: as a bundle, in a format of others, as a folder that builds an image, or as a page."""

from tellapart.exports.copying import export
from tellapart.exports.docker import export_docker
from tellapart.exports.formats import FORMATS, export_format
from tellapart.exports.web import export_web

__all__ = ["FORMATS", "export", "export_docker", "export_format", "export_web"]
