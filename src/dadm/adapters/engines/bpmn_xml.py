"""XML read without entities, document types, external references or the network."""

from typing import Any

from lxml import etree

from dadm.domain.errors import InvalidModel

LARGEST_DOCUMENT = 4 * 1024 * 1024
"""Bytes; the largest models people draw stay well below one mebibyte."""


def read_xml(document: bytes, resource: str) -> etree._Element:
    """Parse a document that nobody has vouched for; `resource` names it in messages.

    Raises:
        InvalidModel: It is too large, is no well-formed XML, or declares a document type.
    """
    if len(document) > LARGEST_DOCUMENT:
        text = f"{resource} has {len(document)} bytes; a model may have {LARGEST_DOCUMENT} at most."
        raise InvalidModel(text)
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
        text = f"{resource} is no well-formed XML: {error.msg}"
        raise InvalidModel(text) from error
    about: Any = root.getroottree().docinfo
    if about.doctype or about.internalDTD is not None or about.externalDTD is not None:
        text = f"{resource} declares a document type (<!DOCTYPE …>), which a model must not."
        raise InvalidModel(text)
    return root
