"""Does the DeepLab family compute what LiteRT does? A table of generations, sizes and types.

Each network is built as ``minilite build`` does it, and compared as ``model_parity`` compares any model:
outputs on both backends beside LiteRT's reference kernels, and every operator alone.

    python tools/family_parity.py [NETWORK ...] [--sizes HxW ...] [--types T ...] [--width W] [--runs N]
        [--threads N] [--json] [--output FILE]

A network is ``name``, or ``name/backbone/output stride``; without any, all that FAMILY below lists. The
table is Markdown. Exit code 1 if a network differs, 2 if something is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from minilite_models.deeplab import Settings as NetworkSettings
from minilite_models.family import TYPES, build, convert
from model_parity import ModelParity, Settings, survived
from rich.console import Console
from rich.progress import Progress

from minilite.errors import MiniliteError
from minilite.graph import Graph
from minilite.inspection import summarise
from minilite.testing.oracle import Oracle
from minilite.writer import write_graph

FAMILY = (
    "deeplabv1",
    "deeplabv2/resnet50/8",
    "deeplabv2/resnet101/8",
    "deeplabv3/mobilenetv2/16",
    "deeplabv3/mobilenetv2/8",
    "deeplabv3/resnet50/16",
    "deeplabv3/resnet50/8",
    "deeplabv3plus/mobilenetv2/16",
    "deeplabv3plus/resnet50/16",
    "deeplabv3plus/xception/16",
)

SIZES = ("33x49", "64x96", "129x193", "257x257")
"""Odd, even, not square; the first two are smaller than the rates times the output stride."""


@dataclass(frozen=True)
class Row:
    """One network of one size and type.

    Attributes
    ----------
    build_seconds:
        Weights drawn, calibration and quantization included.
    """

    network: str
    size: str
    type: str
    build_seconds: float
    bytes: int
    operators: int
    multiply_adds: int
    parity: ModelParity


def measure(networks: Sequence[str], arguments: argparse.Namespace, progress: Progress) -> Iterator[Row]:
    """Build and compare each of them, at each size and type."""
    settings = Settings(runs=arguments.runs, threads=arguments.threads)
    todo = [(n, s, t) for s in arguments.sizes for n in networks for t in arguments.types]
    with tempfile.TemporaryDirectory() as folder:
        for network, size, kind in progress.track(todo):
            progress.console.print(f"{network} {size} {kind}", style="dim")
            start = perf_counter()
            graph = make(network, size, kind, arguments.width)
            content = write_graph(graph)
            seconds = perf_counter() - start
            path = Path(folder) / "network.tflite"
            path.write_bytes(content)
            totals = summarise(graph).subgraphs[0].totals
            yield Row(
                network,
                size,
                kind,
                seconds,
                len(content),
                sum(totals.operators.values()),
                totals.multiply_adds,
                survived(path, settings),
            )


def make(network: str, size: str, kind: str, width: float) -> Graph:
    """The network of this name, in its type."""
    name, _, rest = network.partition("/")
    backbone, _, stride = rest.partition("/")
    height, _, across = size.partition("x")
    settings = NetworkSettings((int(height), int(across)), width=width)
    graph = build(name, settings, backbone=backbone or None, output_stride=int(stride) if stride else None)
    return convert(graph, kind)


HEAD = (
    "| network | size | type | outputs equal | error / allowed | operators within | MB | build s | ms | "
    "of LiteRT's time |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def line(row: Row) -> str:
    """A row in Markdown."""
    parity = row.parity
    equal = min((output.equal for output in parity.outputs), default=None)
    used = max((output.error / output.allowed for output in parity.outputs if output.allowed), default=None)
    cells = [
        row.network,
        row.size,
        row.type,
        "-" if equal is None or used is not None else f"{equal:.2%}",
        "-" if used is None else f"{used:.3f}",
        f"{parity.within} of {parity.operators}" if parity.status != "differs" else f"**{parity.message}**",
        f"{row.bytes / 1e6:.1f}",
        f"{row.build_seconds:.1f}",
        "-" if parity.milliseconds is None else f"{parity.milliseconds:.1f}",
        "-" if parity.ratio is None else f"{parity.ratio:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Print the table; 1 if a network differs, 2 if something is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("networks", nargs="*", default=FAMILY)
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="heights and widths, as in 257x257")
    parser.add_argument("--types", nargs="+", default=TYPES, choices=TYPES)
    parser.add_argument("--width", type=float, default=1.0, help="of the backbones")
    parser.add_argument("--runs", type=int, default=0, help="pairs of timed runs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--output", type=Path, help="write the table, line by line, to this file, too")
    arguments = parser.parse_args()
    rows: list[Row] = []
    written = [HEAD]
    try:
        Oracle("litert-ref").start()
        with Progress(console=Console(stderr=True), transient=True) as progress:
            for row in measure(arguments.networks, arguments, progress):
                rows.append(row)
                written.append(line(row))
                if arguments.output:
                    arguments.output.write_text("\n".join(written) + "\n", encoding="utf-8")
    except (MiniliteError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps([asdict(row) for row in rows], indent=2) if arguments.json else "\n".join(written))
    return 0 if all(row.parity.status == "agrees" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
