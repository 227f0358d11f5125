"""Draws the models that ship as pictures, docs/pictures/*.svg, from their own diagrams; --check compares."""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

from lxml import etree

ROOT = Path(__file__).parent.parent
MODELS = sorted((ROOT / "src" / "dadm" / "examples").glob("*.bpmn"))
PICTURES = ROOT / "docs" / "pictures"

BPMN = "{http://www.omg.org/spec/BPMN/20100524/MODEL}"
DRAWN = "{http://www.omg.org/spec/BPMN/20100524/DI}"
PLACE = "{http://www.omg.org/spec/DD/20100524/DC}"
LINE = "{http://www.omg.org/spec/DD/20100524/DI}"
MARGIN = 20
LETTERS_PER_LINE = 15
LINE_HEIGHT = 14

BEGIN = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" width="{width}" height="{height}" \
role="img" aria-label="{name}">
<style>
  .shape {{ fill: #fff; stroke: #22242a; stroke-width: 2 }}
  .thick {{ stroke-width: 4 }}
  .dashed {{ stroke-dasharray: 4 3 }}
  .mark {{ fill: none; stroke: #22242a; stroke-width: 2 }}
  .ai {{ fill: #e8f0fe; stroke: #1a56c4 }}
  text {{ font-family: sans-serif; font-size: 12px; fill: #22242a; text-anchor: middle }}
  .tag {{ font-size: 10px; fill: #1a56c4; text-anchor: start }}
</style>
<defs><marker id="tip" viewBox="0 0 10 10" refX="10" refY="5" markerWidth="7" markerHeight="7" \
orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="#22242a"/></marker></defs>
<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="#fff"/>
"""

Box = tuple[float, float, float, float]


def picture(path: Path) -> str:
    """Draw a model as its diagram places it."""
    root = etree.parse(path).getroot()
    elements = {node.get("id", ""): node for node in root.iter() if node.get("id")}
    edges = [part for each in root.iter(f"{DRAWN}BPMNEdge") for part in edge(each, elements)]
    shapes = [part for each in root.iter(f"{DRAWN}BPMNShape") for part in shape(each, elements)]
    left, top, right, bottom = extent(root)
    begin = BEGIN.format(
        box=f"{left:g} {top:g} {right - left:g} {bottom - top:g}",
        left=f"{left:g}",
        top=f"{top:g}",
        width=f"{right - left:g}",
        height=f"{bottom - top:g}",
        name=escape(next(iter(root.iter(f"{BPMN}process"))).get("name", ""), {'"': "&quot;"}),
    )
    return begin + "\n".join((*edges, *shapes)) + "\n</svg>\n"


def extent(root: etree._Element) -> Box:
    """Give the left, top, right and bottom of all that is drawn."""
    boxes = [box_of(each) for each in root.iter(f"{PLACE}Bounds")]
    points = [point_of(each) for each in root.iter(f"{LINE}waypoint")]
    return (
        min(x for x, *_ in (*boxes, *points)) - MARGIN,
        min(y for _, y, *_ in (*boxes, *points)) - MARGIN,
        max((*(x + w for x, _, w, _ in boxes), *(x for x, _ in points))) + MARGIN,
        max((*(y + h for _, y, _, h in boxes), *(y for _, y in points))) + MARGIN,
    )


def edge(drawn: etree._Element, elements: dict[str, etree._Element]) -> Iterator[str]:
    """Draw a flow, and its name where the diagram puts it."""
    points = [point_of(each) for each in drawn.iter(f"{LINE}waypoint")]
    way = " ".join(f"{x:g},{y:g}" for x, y in points)
    yield f'<polyline class="mark" points="{way}" marker-end="url(#tip)"/>'
    name = elements[drawn.get("bpmnElement", "")].get("name", "")
    for label in drawn.iter(f"{PLACE}Bounds"):
        yield from words(name, *middle(box_of(label)))


def shape(drawn: etree._Element, elements: dict[str, etree._Element]) -> Iterator[str]:
    """Draw a flow node."""
    node = elements[drawn.get("bpmnElement", "")]
    bounds, *labels = (box_of(each) for each in drawn.iter(f"{PLACE}Bounds"))
    kind = node.tag.removeprefix(BPMN)
    match kind:
        case "startEvent" | "endEvent" | "boundaryEvent" | "intermediateCatchEvent":
            yield from event(node, kind, bounds)
        case "exclusiveGateway" | "parallelGateway":
            yield from gateway(kind, bounds)
        case _:
            yield from task(node, kind, bounds)
            return
    for label in labels:
        yield from words(node.get("name", ""), *middle(label))


def event(node: etree._Element, kind: str, bounds: Box) -> Iterator[str]:
    """Draw an event: thick where it ends, twofold where it waits, dashed where it interrupts nothing."""
    x, y = middle(bounds)
    radius = bounds[2] / 2
    dashed = " dashed" if node.get("cancelActivity") == "false" else ""
    thick = " thick" if kind == "endEvent" else ""
    yield f'<circle class="shape{thick}{dashed}" cx="{x:g}" cy="{y:g}" r="{radius:g}"/>'
    if kind in {"boundaryEvent", "intermediateCatchEvent"}:
        yield f'<circle class="mark{dashed}" cx="{x:g}" cy="{y:g}" r="{radius - 4:g}"/>'
    if node.find(f"{BPMN}timerEventDefinition") is not None:
        yield f'<circle class="mark" cx="{x:g}" cy="{y:g}" r="{radius - 8:g}"/>'
        yield f'<path class="mark" d="M{x:g} {y - 6:g} V{y:g} L{x + 4:g} {y + 3:g}"/>'
    if node.find(f"{BPMN}errorEventDefinition") is not None:
        zigzag = (
            f"M{x - 7:g} {y + 7:g} L{x - 3:g} {y - 5:g} L{x + 2:g} {y + 3:g} L{x + 7:g} {y - 7:g}"
        )
        yield f'<path class="mark" d="{zigzag}"/>'


def gateway(kind: str, bounds: Box) -> Iterator[str]:
    """Draw a gateway: a cross where one way is taken, a plus where all are."""
    left, top, width, height = bounds
    x, y = middle(bounds)
    corners = f"{x:g},{top:g} {left + width:g},{y:g} {x:g},{top + height:g} {left:g},{y:g}"
    yield f'<polygon class="shape" points="{corners}"/>'
    a = 8 if kind == "exclusiveGateway" else 11
    strokes = (
        f"M{x - a:g} {y - a:g} L{x + a:g} {y + a:g} M{x + a:g} {y - a:g} L{x - a:g} {y + a:g}"
        if kind == "exclusiveGateway"
        else f"M{x - a:g} {y:g} H{x + a:g} M{x:g} {y - a:g} V{y + a:g}"
    )
    yield f'<path class="mark thick" d="{strokes}"/>'


def task(node: etree._Element, kind: str, bounds: Box) -> Iterator[str]:
    """Draw a task: an AI task in a colour of its own, with its assistant's name; a person's with one."""
    left, top, width, height = bounds
    settings = {each.get("name") or each.get("key"): each.get("value", "") for each in node.iter()}
    is_ai = settings.get("service.type") == "assistant"
    place = f'x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}"'
    yield f'<rect class="shape{" ai" if is_ai else ""}" {place} rx="10"/>'
    if is_ai:
        yield f'<text class="tag" x="{left + 8:g}" y="{top + 14:g}">✦ AI task</text>'
    if kind == "userTask":
        yield f'<circle class="mark" cx="{left + 15:g}" cy="{top + 12:g}" r="4"/>'
        yield f'<path class="mark" d="M{left + 8:g} {top + 24:g} a7 7 0 0 1 14 0 z"/>'
    x, y = middle(bounds)
    yield from words(node.get("name", ""), x, y + 4)


def words(text: str, x: float, y: float) -> Iterator[str]:
    """Write text around a point, on as many lines as it takes."""
    lines = textwrap.wrap(text, LETTERS_PER_LINE)
    for place, line in enumerate(lines):
        height = y + (place - (len(lines) - 1) / 2) * LINE_HEIGHT + 4
        yield f'<text x="{x:g}" y="{height:g}">{escape(line)}</text>'


def box_of(bounds: etree._Element) -> Box:
    """Give left, top, width and height."""
    x, y, width, height = (float(bounds.get(name, "0")) for name in ("x", "y", "width", "height"))
    return x, y, width, height


def point_of(waypoint: etree._Element) -> tuple[float, float]:
    """Give a point."""
    return float(waypoint.get("x", "0")), float(waypoint.get("y", "0"))


def middle(bounds: Box) -> tuple[float, float]:
    """Give the middle of a box."""
    left, top, width, height = bounds
    return left + width / 2, top + height / 2


def main() -> None:
    """Draw all models, or compare them with what is there."""
    drawn = {PICTURES / f"{path.stem}.svg": picture(path) for path in MODELS}
    if "--check" not in sys.argv[1:]:
        PICTURES.mkdir(parents=True, exist_ok=True)
        for path, text in drawn.items():
            path.write_text(text, encoding="utf-8")
        return
    stale = [
        path.relative_to(ROOT).as_posix()
        for path, text in drawn.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if stale:
        sys.exit(f"{', '.join(stale)}: out of date; run `make docs`.")


if __name__ == "__main__":
    main()
