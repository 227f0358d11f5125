"""Models come from anybody: XML is read without entities, document types, files or the network."""

import time
from pathlib import Path

import pytest

from dadm.adapters.engines.bpmn_xml import LARGEST_DOCUMENT, read_xml
from dadm.adapters.engines.embedded.models.reading import read_models
from dadm.domain.errors import InvalidModel
from tests.adapters.engines.bpmn import end, flows, model, start

PLAIN = model(start(), end(), flows("s > e")).decode()


def laughing(*, inside: str) -> bytes:
    """Write entities that would grow to a thousand million times their size."""
    entities = "<!ENTITY a0 'ha ha ha ha ha ha'>" + "".join(
        f"<!ENTITY a{i} '{f'&a{i - 1};' * 10}'>" for i in range(1, 10)
    )
    return f"<!DOCTYPE x [{entities}]><x{inside}".encode()


@pytest.mark.parametrize("inside", [">&a9;</x>", " name='&a9;'/>"])
def test_entities_that_multiply_are_refused_at_once(inside: str) -> None:
    began = time.perf_counter()

    with pytest.raises(InvalidModel):
        read_xml(laughing(inside=inside), "laugh.bpmn")

    assert time.perf_counter() - began < 1


def test_no_file_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    for declaration in (
        f"<!DOCTYPE x [<!ENTITY s SYSTEM '{secret.as_uri()}'>]>",
        f"<!DOCTYPE x SYSTEM '{secret.as_uri()}'>",
        f"<!DOCTYPE x [<!ENTITY % s SYSTEM '{secret.as_uri()}'> %s;]>",
    ):
        with pytest.raises(InvalidModel) as refused:
            read_xml(f"{declaration}<x>&s;</x>".encode(), "file.bpmn")
        assert "the secret" not in refused.value.message


def test_nothing_is_fetched(refused_connections: list[object]) -> None:
    with pytest.raises(InvalidModel, match="document type"):
        read_xml(b"<!DOCTYPE x SYSTEM 'http://192.0.2.1/x.dtd'><x/>", "net.bpmn")

    assert refused_connections == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_a_document_type_is_refused_in_any_encoding(encoding: str) -> None:
    text = f"<?xml version='1.0' encoding='{encoding}'?><!DOCTYPE x><x/>"

    with pytest.raises(InvalidModel, match="declares a document type"):
        read_xml(text.encode(encoding), "typed.bpmn")


def test_an_inclusion_is_only_an_element(tmp_path: Path) -> None:
    include = (
        "<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='/etc/hostname' parse='text'/>"
    )

    root = read_xml(f"<x>{include}</x>".encode(), "include.bpmn")

    assert "".join(str(text) for text in root.itertext()) == ""


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"no xml",
        b"<x>",
        b"<x>\x00</x>",
        b"<x>&undeclared;</x>",
        b"<a>" * 300 + b"</a>" * 300,
        b"\xff\xfe\x00",
        PLAIN.encode("utf-16")[2:],
    ],
)
def test_what_is_no_well_formed_xml_is_refused_by_name(document: bytes) -> None:
    with pytest.raises(InvalidModel, match=r"broken\.bpmn is no well-formed XML"):
        read_xml(document, "broken.bpmn")


def test_a_document_beyond_the_limit_is_refused_unread() -> None:
    with pytest.raises(InvalidModel, match=f"has {LARGEST_DOCUMENT + 1} bytes"):
        read_xml(b" " * (LARGEST_DOCUMENT + 1), "large.bpmn")


def test_comments_instructions_and_a_byte_order_mark_do_no_harm() -> None:
    text = PLAIN.replace("<bpmn:endEvent", "<!-- a --><?b c?><bpmn:endEvent")

    (read,) = read_models({"p.bpmn": b"\xef\xbb\xbf" + text.encode()})

    assert set(read.model.elements) == {"s", "e"}


def test_html_is_not_taken_for_a_model() -> None:
    with pytest.raises(InvalidModel, match="bpmn:definitions is expected"):
        read_models({"page.bpmn": b"<html/>"})
