"""Pictures as SVG: axes, points, lines. Small, without a library, and whole in themselves."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

COLOURS = ("#1f6fb4", "#d1650f", "#2b8a3e", "#8b3fa0", "#b3261e", "#6b6b6b")
"""To tell lines apart."""
FONT = "system-ui, sans-serif"
GREY = COLOURS[5]
_GRID, _INK = "#e3e6ea", "#3b4148"
_MOST_TICKS = 6


def short(value: float) -> str:
    """A number for a tick."""
    return f"{value:.4g}"


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`, drawn to the logarithm where `log`; `names`: what stands at some values, not numbers."""

    low: float
    high: float
    title: str = ""
    log: bool = False
    text: Callable[[float], str] = short
    names: Mapping[float, str] = field(default_factory=dict[float, str])

    @staticmethod
    def around(
        values: Sequence[float],
        title: str = "",
        log: bool = False,
        text: Callable[[float], str] = short,
        names: Mapping[float, str] | None = None,
    ) -> "Axis":
        """An axis that holds all values with some room beside them."""
        low, high = min(values), max(values)
        if log:
            room = (high / low) ** 0.05 if high > low else 1.2
            return Axis(low / room, high * room, title, True, text, names or {})
        room = (high - low) * 0.05 or abs(high) * 0.1 or 0.5
        return Axis(low - room, high + room, title, False, text, names or {})

    @staticmethod
    def of_names(names: Sequence[str], title: str = "", most: int = 32) -> "Axis":
        """An axis of names at 0, 1, 2 ...; some are left out where all have more than `most` letters."""
        every = max(1, -(-sum(len(name) + 1 for name in names) // most))
        shown = {float(at): name if at % every == 0 else "" for at, name in enumerate(names)}
        return Axis(-0.5, len(names) - 0.5, title, names=shown)

    def share(self, value: float) -> float:
        """Where a value lies: 0 at `low`, 1 at `high`."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Values to mark, with their texts."""
        if self.names:
            return list(self.names.items())
        values = _log_ticks(self.low, self.high) if self.log else _even_ticks(self.low, self.high)
        return [(value, self.text(value)) for value in values]


def _even_ticks(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / _MOST_TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [step * number for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, with 2 and 5 times them where there is room; of narrow ranges even steps."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        values = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
        inside = [value for value in values if low <= value <= high]
        if len(inside) <= _MOST_TICKS:
            return inside if len(inside) >= 2 else [value for value in _even_ticks(low, high) if value > 0]
    return [
        10.0**power for power in range(first, last + 1, -(-(last - first) // _MOST_TICKS)) if low <= 10.0**power <= high
    ]


@dataclass
class Plot:
    """A picture of `width` x `height` pixels with two axes; what is drawn later is above."""

    x: Axis
    y: Axis
    width: int = 640
    height: int = 360
    title: str = ""
    left: int = 64
    right: int = 20
    top: int = 34
    bottom: int = 46
    shapes: list[str] = field(default_factory=list[str])

    def place(self, x: float, y: float) -> tuple[float, float]:
        """The pixel of a point."""
        across, up = self.x.share(x), self.y.share(y)
        inner_width, inner_height = self.width - self.left - self.right, self.height - self.top - self.bottom
        return self.left + across * inner_width, self.height - self.bottom - up * inner_height

    def line(
        self, points: Sequence[tuple[float, float]], colour: str, dashed: bool = False, thin: bool = False
    ) -> None:
        """A line through points."""
        text = " ".join("{:.1f},{:.1f}".format(*self.place(x, y)) for x, y in points)
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        self.shapes.append(
            f'<polyline points="{text}" fill="none" stroke="{colour}" stroke-width="{1 if thin else 2}"{dash}/>'
        )

    def point(self, x: float, y: float, colour: str, radius: float = 4, told: str = "", hollow: bool = False) -> None:
        """A dot; `told`: what is read where the pointer rests on it."""
        at_x, at_y = self.place(x, y)
        fill = f'fill="none" stroke="{colour}" stroke-width="2"' if hollow else f'fill="{colour}"'
        inside = f"<title>{escape(told)}</title>" if told else ""
        self.shapes.append(f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="{radius:g}" {fill}>{inside}</circle>')

    def text(self, x: float, y: float, text: str, anchor: str = "start", across: float = 0, down: float = 0) -> None:
        """Text at a point, moved by some pixels."""
        at_x, at_y = self.place(x, y)
        self.shapes.append(text_at(at_x + across, at_y + down, text, anchor))

    def svg(self) -> str:
        """The picture."""
        body = "\n".join([*self._frame(), *self.shapes])
        size = f'width="{self.width}" height="{self.height}" viewBox="0 0 {self.width} {self.height}"'
        return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n{body}\n</svg>\n'

    def _frame(self) -> list[str]:
        """Ground, grid, axes and titles."""
        bottom, right = self.height - self.bottom, self.width - self.right
        shapes = [f'<rect width="{self.width}" height="{self.height}" fill="white"/>']
        for value, text in self.x.ticks():
            at = self.left + self.x.share(value) * (right - self.left)
            shapes.append(f'<path d="M{at:.1f} {self.top}V{bottom}" stroke="{_GRID}"/>')
            shapes.append(text_at(at, bottom + 16, text, "middle"))
        for value, text in self.y.ticks():
            at = bottom - self.y.share(value) * (bottom - self.top)
            shapes.append(f'<path d="M{self.left} {at:.1f}H{right}" stroke="{_GRID}"/>')
            shapes.append(text_at(self.left - 6, at + 4, text, "end"))
        shapes.append(f'<path d="M{self.left} {self.top}V{bottom}H{right}" fill="none" stroke="{_INK}"/>')
        middle = (self.left + right) / 2
        titles = (
            (middle, self.height - 8, self.x.title, "middle"),
            (8, self.top - 12, self.title or self.y.title, "start"),
        )
        return [*shapes, *(text_at(x, y, text, anchor) for x, y, text, anchor in titles if text)]


def text_at(x: float, y: float, text: str, anchor: str) -> str:
    """Text at a pixel."""
    font = f'font-family="{FONT}" font-size="12" fill="{_INK}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {font}>{escape(text)}</text>'
