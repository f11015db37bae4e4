# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawings of an estate as SVG: who opens connections to whom in an account, and who trusts whom between accounts.

Colours are the page's, by classes. A port stands with who listens on it, as every arrow to it has the same. What all
services of a VPC may do is one arrow from the VPC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils import _connection_matrix, _declaration

_HEIGHT, _ACROSS, _DOWN = 46, 76, 16  # of a node, and the room between nodes
_PADDING, _HEADING = 16, 30  # of a box around nodes
_LETTER = 7.6  # the width of one, at the page's size of letters
_NARROWEST, _LONGEST = 128, 30
_OUTSIDE = {
    _connection_matrix.S3: "Amazon S3",
    _connection_matrix.AWS: "AWS services",
    _connection_matrix.INTERNET: "the internet",
}
_VPCS = {"frontend": "Frontend VPC", "dagster": "Dagster VPC"}
Box = tuple[float, float, float, float]  # left, top, width, height
# More authorities than these are drawn by what they share.
_DRAWN_EACH = 12
_SHARES = {"open": "shares", "closed": "does not share", "unknown": "not known"}


@dataclass(frozen=True)
class Node:
    """A rectangle with a name and, below it, a line of smaller letters."""

    name: str
    detail: str
    x: float
    y: float
    width: float

    @property
    def middle(self) -> float:
        return self.y + _HEIGHT / 2

    @property
    def left_middle(self) -> tuple[float, float]:
        return self.x, self.middle

    @property
    def right(self) -> float:
        return self.x + self.width

    def drawn(self, kind: str = "node") -> str:
        x = self.x + self.width / 2
        text_y = self.middle + (5 if not self.detail else -3)
        detail = f'<text class="detail" x="{x:g}" y="{self.middle + 14:g}">{escape(self.detail)}</text>'
        return (
            f'<rect class="{kind}" x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" height="{_HEIGHT}" rx="5"/>'
            f'<text x="{x:g}" y="{text_y:g}">{escape(_shortened(self.name))}</text>{detail if self.detail else ""}'
        )


def _shortened(name: str) -> str:
    words = name.replace("_", " ")
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"


def _width(names: Iterable[str]) -> float:
    return max(_NARROWEST, *(len(_shortened(name)) * _LETTER + 24 for name in names))


def _svg(identifier: str, title: str, description: str, width: float, height: float, parts: Sequence[str]) -> str:
    """The elements in one drawing, which a reader of the screen is told in words."""
    tip = (
        f'<marker id="{identifier}-tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path class="tip" d="M0 0 8 4 0 8z"/></marker>'
    )
    return (
        f'<svg role="img" aria-labelledby="{identifier}-title {identifier}-words" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}"><title id="{identifier}-title">{escape(title)}</title>'
        f'<desc id="{identifier}-words">{escape(description)}</desc><defs>{tip}</defs>{"".join(parts)}</svg>'
    )


def _edge(identifier: str, start: tuple[float, float], end: tuple[float, float], more: str = "") -> str:
    """From left to right, or from above or below where the target is not to the right."""
    (x, y), (to_x, to_y) = start, end
    kind = "closed" if more == "closed" else "edge"
    # Where nothing gets through there is no tip.
    tip = "" if more == "closed" else f' marker-end="url(#{identifier}-tip)"'
    if to_x > x:
        half = (to_x - x) / 2
        path = f"M{x:g} {y:g}C{x + half:g} {y:g} {to_x - half:g} {to_y:g} {to_x:g} {to_y:g}"
    else:
        half = (to_y - y) / 2
        path = f"M{x:g} {y:g}C{x:g} {y + half:g} {to_x:g} {to_y - half:g} {to_x:g} {to_y:g}"
    return f'<path class="{kind} {more}" d="{path}"{tip}/>'


# --- Who opens connections to whom ---------------------------------------------------------------------------------


def network(identifier: str, matrix: _connection_matrix.Matrix, services: Mapping[str, Mapping[str, Any]]) -> str:
    """An account's network; *identifier* sets this drawing apart from others on the page."""
    arrows = matrix["connections"]
    width = _width(matrix["parties"])
    is_public = _connection_matrix.WORLD in matrix["matrix"]
    left = _PADDING + (width + _ACROSS if is_public else 0)
    nodes, boxes = _inside(matrix, services, left, width)
    right = max(x + wide for x, _y, wide, _high in boxes.values())
    outside = _outside(matrix, boxes, right + _ACROSS, width)
    if outside:
        right += _ACROSS + width
    if is_public:
        _x, y, _wide, high = boxes["frontend"]
        outside[_connection_matrix.WORLD] = Node("anybody", "", _PADDING, y + high / 2 - _HEIGHT / 2, width)
    drawn = [
        *(_box(_VPCS[vpc], box) for vpc, box in boxes.items()),
        *_arrows(identifier, matrix, {**nodes, **outside}, boxes, services),
        *(node.drawn("store" if name in _declaration.STORES else "node") for name, node in nodes.items()),
        *(node.drawn("outside") for node in outside.values()),
    ]
    ends = [y + high for _x, y, _wide, high in boxes.values()] + [node.y + _HEIGHT for node in outside.values()]
    words = "; ".join(f"{arrow['source']} to {arrow['target']} on {arrow['port']}" for arrow in arrows)
    title = "Who may open a connection to whom"
    return _svg(identifier, title, words.replace("_", " "), right + _PADDING, max(ends) + _PADDING, drawn)


def _inside(
    matrix: _connection_matrix.Matrix, services: Mapping[str, Mapping[str, Any]], left: float, width: float
) -> tuple[dict[str, Node], dict[str, Box]]:
    """Who is in the account's own VPCs, one below the other, and the boxes of these."""
    details = _details(matrix, services)
    layered = {vpc: _layers(names, matrix["connections"]) for vpc, names in _members(matrix).items()}
    columns = max(map(len, layered.values()))
    across = columns * width + (columns - 1) * _ACROSS + 2 * _PADDING
    nodes: dict[str, Node] = {}
    boxes: dict[str, Box] = {}
    top = float(_PADDING)
    for vpc, layers in layered.items():
        for column, names in enumerate(layers):
            x = left + _PADDING + column * (width + _ACROSS)
            for row, name in enumerate(names):
                nodes[name] = Node(name, details.get(name, ""), x, top + _HEADING + row * (_HEIGHT + _DOWN), width)
        boxes[vpc] = (left, top, across, _HEADING + max(map(len, layers)) * (_HEIGHT + _DOWN))
        top += boxes[vpc][3] + 2 * _DOWN
    return nodes, boxes


def _members(matrix: _connection_matrix.Matrix) -> dict[str, list[str]]:
    """VPC to who is in it, without VPCs that nobody is in."""
    parties = [(name, _vpc(tier)) for name, tier in matrix["parties"].items() if tier != "outside"]
    found = {vpc: [name for name, where in parties if where == vpc] for vpc in _VPCS}
    return {vpc: names for vpc, names in found.items() if names}


def _vpc(tier: str) -> str:
    return "frontend" if tier == _declaration.FRONTEND_TIER else "dagster"


def _details(matrix: _connection_matrix.Matrix, services: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """On which ports each listens, and whether it is off."""
    ports: dict[str, list[int]] = {}
    for arrow in matrix["connections"]:
        known = ports.setdefault(arrow["target"], [])
        if arrow["port"] not in known:
            known.append(arrow["port"])
    found = {name: " ".join(f":{port}" for port in listed) for name, listed in ports.items()}
    for name, service in services.items():
        if service.get("desired_count") == 0:
            found[name] = f"{found.get(name, '')} off by default".strip()
    return found


def _layers(names: Sequence[str], arrows: Sequence[_declaration.Connection]) -> list[list[str]]:
    """Whoever is connected to stands to the right of who connects, as far as there is no circle."""
    layer = dict.fromkeys(names, 0)
    within = [arrow for arrow in arrows if arrow["source"] in layer and arrow["target"] in layer]
    for _round in names:
        for arrow in within:
            wanted = layer[arrow["source"]] + 1
            if layer[arrow["target"]] < wanted < len(names):
                layer[arrow["target"]] = wanted
    used = sorted(set(layer.values()))
    return [[name for name in names if layer[name] == number] for number in used]


def _outside(matrix: _connection_matrix.Matrix, boxes: Mapping[str, Box], x: float, width: float) -> dict[str, Node]:
    """Beside the VPC from which most arrows lead there."""
    found: dict[str, Node] = {}
    free: dict[str, float] = {vpc: box[1] + _HEADING for vpc, box in boxes.items()}
    for name, title in _OUTSIDE.items():
        arrows = [arrow for arrow in matrix["connections"] if arrow["target"] == name]
        if not arrows:
            continue
        tiers = [_vpc(matrix["parties"][arrow["source"]]) for arrow in arrows]
        vpc = max(free, key=tiers.count)
        found[name] = Node(title, f":{_connection_matrix.HTTPS_PORT}", x, free[vpc], width)
        free[vpc] += _HEIGHT + _DOWN
    return found


def _box(title: str, box: Box) -> str:
    x, y, width, height = box
    return (
        f'<rect class="vpc" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8"/>'
        f'<text class="heading" x="{x + _PADDING:g}" y="{y + 20:g}">{escape(title)}</text>'
    )


def _arrows(
    identifier: str,
    matrix: _connection_matrix.Matrix,
    nodes: Mapping[str, Node],
    boxes: Mapping[str, Box],
    services: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    pairs = dict.fromkeys((arrow["source"], arrow["target"]) for arrow in matrix["connections"])
    drawn: list[str] = []
    for vpc, names in _members(matrix).items():
        tasks = [name for name in names if name in services]
        for target in _OUTSIDE:
            together = [(name, target) for name in tasks]
            if together and pairs.keys() >= set(together):
                drawn.append(_edge(identifier, _edge_of_box(boxes[vpc], nodes[target]), nodes[target].left_middle))
                pairs = {pair: None for pair in pairs if pair not in together}
    for source, target in pairs:
        dotted = "dotted" if services.get(source, {}).get("desired_count") == 0 else ""
        drawn.append(_edge(identifier, *_ends(nodes[source], nodes[target]), dotted))
    return drawn


def _edge_of_box(box: Box, target: Node) -> tuple[float, float]:
    """Where the arrow leaves the box: as high as its target, if the box is."""
    x, y, width, height = box
    return x + width, min(max(target.middle, y + _HEADING), y + height - _PADDING)


def _ends(source: Node, target: Node) -> tuple[tuple[float, float], tuple[float, float]]:
    if target.x > source.right:
        return (source.right, source.middle), target.left_middle
    downwards = target.y > source.y
    start = (source.x + source.width / 2, source.y + (_HEIGHT if downwards else 0))
    return start, (target.x + target.width / 2, target.y + (0 if downwards else _HEIGHT))


# --- Who trusts whom -----------------------------------------------------------------------------------------------


def trust(identifier: str, organisation: str, shares: Mapping[str, str]) -> str:
    """The organisation and its authorities; *shares* says of each whether it is `open`, `closed` or `unknown`."""
    rows = _rows(shares)
    width = _width([organisation, "its own pipeline", *(name for name, _detail, _share in rows)])
    middle, right = _PADDING + width + 2 * _ACROSS, _PADDING + 2 * width + 4 * _ACROSS
    height = _HEADING + max(1, len(rows)) * (_HEIGHT + _DOWN)
    centre = _HEADING + (height - _HEADING - _DOWN) / 2 - _HEIGHT / 2
    images = Node(organisation, "container images", _PADDING, centre, width)
    reader = Node(organisation, "its own pipeline", right, centre, width)
    drawn, boxes = [], [images.drawn(), reader.drawn()]
    for number, (name, detail, share) in enumerate(rows):
        node = Node(name, detail, middle, _HEADING + number * (_HEIGHT + _DOWN), width)
        drawn.append(_edge(identifier, (images.right, images.middle), (node.x, node.middle)))
        kind = {"open": "", "closed": "closed", "unknown": "dotted"}[share]
        drawn.append(_edge(identifier, (node.right, node.middle), (reader.x, reader.middle), kind))
        boxes.append(node.drawn("store"))
    headings = [
        f'<text class="detail" x="{x:g}" y="18">{words}</text>'
        for x, words in (
            (images.right + _ACROSS, "pulled by members of the unit"),
            (middle + width + _ACROSS, "read under two locks"),
        )
    ]
    words = "; ".join(f"{name} {_SHARES[share]}" for name, share in shares.items())
    title = "Who trusts whom between accounts"
    return _svg(identifier, title, words, right + width + _PADDING, height, [*headings, *drawn, *boxes])


def _rows(shares: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Name, what is said below it, and the share: of each authority, or where they are many of those alike."""
    if len(shares) <= _DRAWN_EACH:
        return [(name, _SHARES[share], share) for name, share in shares.items()]
    words = {"open": "share", "closed": "do not share", "unknown": "not known"}
    counted = {share: list(shares.values()).count(share) for share in _SHARES}
    return [
        (
            f"{count} {'authority' if count == 1 else 'authorities'}",
            _SHARES[share] if count == 1 else words[share],
            share,
        )
        for share, count in counted.items()
        if count
    ]
