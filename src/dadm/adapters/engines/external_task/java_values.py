"""Java's serialised maps, lists and simple values, read without Java.

An engine without its JSON plugin keeps structured variables this way, and hands out the bytes. The
format is Oracle's "Java Object Serialization Specification", chapter 6. Only what JSON can say is
read; nothing is instantiated.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from dadm.domain.json import JsonValue

MAGIC = b"\xac\xed\x00\x05"
FIRST_HANDLE = 0x7E0000
DEEPEST = 100
MOST_VALUES = 1_000_000

_NULL, _REFERENCE, _CLASS, _OBJECT, _STRING = 0x70, 0x71, 0x72, 0x73, 0x74
_BLOCK, _END, _LONG_BLOCK, _LONG_STRING = 0x77, 0x78, 0x7A, 0x7C
_HAS_ANNOTATION, _IS_SERIALIZABLE = 0x01, 0x02

_FORMATS: Mapping[str, str] = MappingProxyType(
    {"B": ">b", "C": ">H", "D": ">d", "F": ">f", "I": ">i", "J": ">q", "S": ">h", "Z": ">?"}
)
_MAPS = frozenset({"java.util.HashMap", "java.util.LinkedHashMap", "java.util.TreeMap"})
_LISTS = frozenset({"java.util.ArrayList", "java.util.LinkedList"})
_BOXES = frozenset(
    {f"java.lang.{name}" for name in ("Integer", "Long", "Short", "Byte", "Double", "Float")}
    | {"java.lang.Boolean"}
)


class NotJsonLike(Exception):
    """The bytes are no Java serialisation, or hold what JSON cannot say."""


@dataclass(frozen=True, slots=True)
class _JavaClass:
    name: str
    flags: int
    fields: tuple[tuple[str, str], ...]
    above: "_JavaClass | None"


@dataclass(slots=True)
class _JavaObject:
    of: _JavaClass
    fields: dict[str, Any] = field(default_factory=dict)
    annotations: list[Any] = field(default_factory=list)


_Content: TypeAlias = "str | _JavaObject | None"


def read_java_value(data: bytes) -> JsonValue:
    """Give the value that serialised maps, lists, strings, numbers and booleans stand for.

    Raises:
        NotJsonLike: There is anything else in it.
    """
    try:
        return _as_json(_Reading(data).value(), 0)
    except (LookupError, UnicodeDecodeError, RecursionError) as error:
        raise NotJsonLike("the bytes end early or are damaged") from error


class _Reading:
    """Reads one stream from its beginning."""

    def __init__(self, data: bytes) -> None:
        if not data.startswith(MAGIC):
            raise NotJsonLike("it does not begin as a serialised value does")
        self._data = data
        self._at = len(MAGIC)
        self._handles: list[Any] = []
        self._readers: Mapping[int, Callable[[], _Content]] = {
            _NULL: lambda: None,
            _REFERENCE: self._reference,
            _OBJECT: self._object,
            _STRING: lambda: self._string(self._number(">H")),
            _LONG_STRING: lambda: self._string(self._number(">Q")),
        }

    def value(self) -> _Content:
        kind = self._number(">B")
        reader = self._readers.get(kind)
        if reader is None:
            raise NotJsonLike(f"it holds content of kind {kind:#x}")
        if len(self._handles) > MOST_VALUES:
            raise NotJsonLike("it holds too many values")
        return reader()

    def _take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise NotJsonLike("the bytes end early")
        self._at += size
        return taken

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _text(self, size: int) -> str:
        return _modified_utf8(self._take(size))

    def _string(self, size: int) -> str:
        text = self._text(size)
        self._handles.append(text)
        return text

    def _reference(self) -> Any:
        place = self._number(">I") - FIRST_HANDLE
        if place < 0:
            raise NotJsonLike("it refers to what is not there")
        return self._handles[place]

    def _object(self) -> _JavaObject:
        of = self._class()
        if of is None:
            raise NotJsonLike("it holds an object without a class")
        found = _JavaObject(of)
        self._handles.append(found)
        chain: list[_JavaClass] = []
        at: _JavaClass | None = of
        while at is not None:
            chain.append(at)
            at = at.above
        for each in reversed(chain):
            if not each.flags & _IS_SERIALIZABLE:
                raise NotJsonLike(f"it holds a {each.name}, which writes itself")
            for name, kind in each.fields:
                found.fields[name] = self._field(kind)
            if each.flags & _HAS_ANNOTATION:
                found.annotations += self._annotations()
        return found

    def _field(self, kind: str) -> Any:
        return self._number(_FORMATS[kind]) if kind in _FORMATS else self.value()

    def _annotations(self) -> list[Any]:
        """Read what a class wrote by itself, without blocks of plain bytes, up to their end."""
        found: list[Any] = []
        while True:
            match self._data[self._at]:
                case kind if kind == _END:
                    self._at += 1
                    return found
                case kind if kind == _BLOCK:
                    self._at += 1
                    self._take(self._number(">B"))
                case kind if kind == _LONG_BLOCK:
                    self._at += 1
                    self._take(self._number(">I"))
                case _:
                    found.append(self.value())

    def _class(self) -> _JavaClass | None:
        kind = self._number(">B")
        if kind == _NULL:
            return None
        if kind == _REFERENCE:
            known = self._reference()
            if isinstance(known, _JavaClass):
                return known
            raise NotJsonLike("it refers to a class that is none")
        if kind != _CLASS:
            raise NotJsonLike(f"it holds a class of kind {kind:#x}")
        name = self._text(self._number(">H"))
        self._take(8)
        place = len(self._handles)
        self._handles.append(None)
        flags = self._number(">B")
        fields = tuple(self._described_field() for _ in range(self._number(">H")))
        self._annotations()
        found = _JavaClass(name, flags, fields, self._class())
        self._handles[place] = found
        return found

    def _described_field(self) -> tuple[str, str]:
        kind = chr(self._number(">B"))
        name = self._text(self._number(">H"))
        if kind not in _FORMATS:
            self.value()
        return name, kind


def _modified_utf8(data: bytes) -> str:
    """Read text as Java writes it: a NUL in two bytes, and surrogates one by one."""
    plain = data.replace(b"\xc0\x80", b"\0").decode("utf-8", "surrogatepass")
    return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _as_json(content: Any, depth: int) -> JsonValue:
    if depth > DEEPEST:
        raise NotJsonLike("it is nested too deeply, or holds itself")
    match content:
        case None | str():
            return content
        case _JavaObject(of=_JavaClass(name=name)) if name in _BOXES:
            value: JsonValue = content.fields["value"]
            return value
        case _JavaObject(of=_JavaClass(name=name)) if name in _LISTS:
            return [_as_json(each, depth + 1) for each in content.annotations]
        case _JavaObject(of=_JavaClass(name=name)) if name in _MAPS:
            return _map(content.annotations, depth)
        case _JavaObject(of=_JavaClass(name=name)):
            raise NotJsonLike(f"it holds a {name}")
        case _:
            raise NotJsonLike("it holds what is no value")


def _map(pairs: list[Any], depth: int) -> JsonValue:
    keys, values = pairs[::2], pairs[1::2]
    if len(keys) != len(values) or not all(isinstance(key, str) for key in keys):
        raise NotJsonLike("it holds a map whose keys are not all texts")
    return {key: _as_json(value, depth + 1) for key, value in zip(keys, values, strict=True)}
