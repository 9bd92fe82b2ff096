"""Two plots as SVG, with nothing but text."""

from html import escape
from math import log10

COLOURS = ("#226688", "#cc6633", "#229966", "#884488", "#aa8800", "#666666", "#cc3366", "#3366cc", "#669900", "#996633", "#009999", "#333333")


def _svg(path, width, height, parts):
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
                    f'font-family="sans-serif"><rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n')


def _text(x, y, text, size=12, anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}">{escape(text)}</text>'


def bars(path, title, rates):
    """`rates`: name to rows a second."""
    best = max(rates.values())
    parts = [_text(10, 20, title, 14)]
    for index, (name, rate) in enumerate(rates.items()):
        y, width = 45 + 36 * index, 520 * rate / best
        colour = COLOURS[2] if name.startswith(("pg_import", "--")) else "#999999"
        parts += [_text(10, y, name), f'<rect x="10" y="{y + 5}" width="{width:.0f}" height="13" fill="{colour}"/>',
                  _text(width + 16, y + 16, f"{rate / 1000:.0f} k rows/s", 11)]
    _svg(path, 680, 60 + 36 * len(rates), parts)


def lines(path, title, x_name, y_name, series):
    """`series`: name to points (x, y); x is drawn by its logarithm, y from 0."""
    xs = sorted({x for points in series.values() for x, _ in points})
    top = max(y for points in series.values() for _, y in points) * 1.05
    low, high = log10(xs[0]), log10(xs[-1])
    place = lambda x, y: (60 + 400 * (log10(x) - low) / ((high - low) or 1), 330 - 290 * y / top)
    parts = [_text(10, 20, f"{title}, {y_name}", 14), '<path d="M60 40V330H460" fill="none" stroke="#999999"/>']
    parts += [_text(place(x, 0)[0], 348, f"{x:,}", 11, "middle") for x in xs] + [_text(260, 368, x_name, 12, "middle")]
    parts += [_text(54, place(xs[0], top * part / 4)[1] + 4, f"{top * part / 4:.1f}", 11, "end") for part in range(5)]
    for index, (name, points) in enumerate(series.items()):
        colour, places = COLOURS[index % len(COLOURS)], [place(x, y) for x, y in points]
        parts.append(f'<path d="M{" L".join(f"{x:.0f} {y:.0f}" for x, y in places)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="{colour}"/>' for x, y in places]
        parts += [f'<rect x="480" y="{38 + 18 * index}" width="10" height="10" fill="{colour}"/>', _text(496, 47 + 18 * index, name, 11)]
    _svg(path, 980, max(380, 60 + 18 * len(series)), parts)
