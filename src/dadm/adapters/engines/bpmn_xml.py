"""XML read without entities, document types, external references or the network."""

import re
from typing import Any

from lxml import etree

from dadm.domain.errors import InvalidModel

LARGEST_DOCUMENT = 4 * 1024 * 1024
"""Bytes; the largest models people draw stay well below one mebibyte."""


_PLACE = re.compile(r", line \d+, column \d+$")


class UnusableXml(Exception):
    """Why a document is not read, to be said behind its name, and the line it is seen at."""

    def __init__(self, reason: str, line: int = 1) -> None:
        """Say the reason."""
        super().__init__(reason)
        self.reason = reason
        self.line = line


def parse_xml(document: bytes) -> etree._Element:
    """Parse a document that nobody has vouched for.

    Raises:
        UnusableXml: It is too large, is no well-formed XML, or declares a document type.
    """
    if len(document) > LARGEST_DOCUMENT:
        text = f"has {len(document)} bytes; a model may have {LARGEST_DOCUMENT} at most."
        raise UnusableXml(text)
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        no_network=True,
        huge_tree=False,
        recover=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(document, parser)
    except etree.XMLSyntaxError as error:
        said = _PLACE.sub("", error.msg or "it cannot be parsed").rstrip(".")
        line = error.lineno or 1
        raise UnusableXml(f"is no well-formed XML: {said} (line {line}).", line) from error
    about: Any = root.getroottree().docinfo
    if about.doctype or about.internalDTD is not None or about.externalDTD is not None:
        raise UnusableXml("declares a document type (<!DOCTYPE …>), which a model must not.")
    return root


def read_xml(document: bytes, resource: str) -> etree._Element:
    """Parse a document as `parse_xml` does; `resource` names it in messages.

    Raises:
        InvalidModel: It cannot be used.
    """
    try:
        return parse_xml(document)
    except UnusableXml as unusable:
        text = f"{resource} {unusable.reason}"
        raise InvalidModel(text) from unusable
