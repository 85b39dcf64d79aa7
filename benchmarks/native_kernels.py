"""GMAC/s of every kernel of the CPU engine, and how much of the machine's peak the encoder reaches.

    python benchmarks/native_kernels.py                      # base, the best instruction set here
    python benchmarks/native_kernels.py --table avx2 --width 1280 --layers 32

Times are those of the thread, medians. "Peak" is what the same product makes of operands that lie in the first-level
cache; for wider numbers, the same divided by how many fewer of them an instruction takes. The encoder's share of it is
the time that its products would take at the peak of their kind, over the time that all of its kernels take: 1.0 would
be an encoder that does nothing but multiply at full speed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLOATS_PER_INT8 = {"avx512_bf16": 1 / 2, "avx512_vnni": 1 / 4, "avx_vnni": 1 / 4, "avx2": 1 / 2, "neon_dotprod": 1 / 4}
"""Multiplications of a convolution that a table makes in the time of one of int8: what the instructions hold."""
ATTENTION_PER_INT8 = FLOATS_PER_INT8 | {"avx512_vnni": 1 / 2, "avx_vnni": 1 / 2, "avx2": 1.0}
"""The same of the encoder's attention, which is in int16 where that is faster."""


@dataclass(frozen=True)
class Line:
    """One measurement: milliseconds, and multiplications (0 where these are not what it is about)."""

    name: str
    shape: str
    milliseconds: float
    products: float

    @property
    def gmacs(self) -> float:
        return self.products / self.milliseconds / 1e6


def build() -> Path:
    folder = ROOT / "build" / "kernels"
    subprocess.run(
        ["cmake", "-S", ROOT / "native", "-B", folder, "-DBUILD_TESTING=ON"], check=True, stdout=subprocess.DEVNULL
    )
    subprocess.run(
        ["cmake", "--build", folder, "--target", "kernels_bench", "--parallel", "2"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return folder / "kernels_bench"


def measure(program: Path, table: str, width: int) -> tuple[str, list[Line]]:
    done = subprocess.run([program, table, str(width)], check=True, capture_output=True, text=True)
    (_, name, _, _), *lines = (line.split("\t") for line in done.stdout.splitlines())
    return name, [Line(name, shape, float(ms), float(products)) for name, shape, ms, products in lines]


def encoder_share(table: str, lines: list[Line], layers: int) -> tuple[float, float]:
    """Milliseconds of the encoder for 30 s of audio, and its share of the peak."""
    wide = {line.name: line for line in lines if line.shape.startswith("1500") or line.shape.endswith("frames")}
    peak = next(line.gmacs for line in lines if line.name == "peak int8")
    of_int8, of_attention = ("qkv", "output", "ff 1", "ff 2"), ("encoder attention",)
    once = ("convolution 1", "convolution 2")
    # Two layer norms, and four quantisations (of the widths 1, 1, 1 and 4) in a layer.
    spent = layers * (
        sum(wide[name].milliseconds for name in (*of_int8, *of_attention))
        + 2 * wide["layer norm"].milliseconds
        + 7 * wide["quantize"].milliseconds
    )
    spent += sum(wide[name].milliseconds for name in once)
    at_peak = layers * sum(wide[name].products for name in of_int8) / peak / 1e6
    at_peak += sum(wide[name].products for name in once) / (peak * FLOATS_PER_INT8.get(table, 1.0)) / 1e6
    attention = layers * sum(wide[name].products for name in of_attention)
    at_peak += attention / (peak * ATTENTION_PER_INT8.get(table, 1.0)) / 1e6
    return spent, at_peak / spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="", help="avx2, avx_vnni, avx512_vnni, avx512_bf16, neon_dotprod, scalar")
    parser.add_argument("--width", type=int, default=512, help="of the model: 384 tiny, 512 base ... 1280 large")
    parser.add_argument("--layers", type=int, default=6, help="of its encoder")
    given = parser.parse_args()
    name, lines = measure(build(), given.table, given.width)
    print(f"{name}, width {given.width}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| kernel | shape | ms | GMAC/s |\n|---|---|---|---|")
    for line in lines:
        print(
            f"| {line.name} | {line.shape} | {line.milliseconds:.4f} | {f'{line.gmacs:.0f}' if line.products else ''} |"
        )
    spent, share = encoder_share(name, lines, given.layers)
    print(f"\nEncoder of {given.layers} layers, 30 s of audio: {spent:.0f} ms, {100 * share:.0f} % of the peak.")


if __name__ == "__main__":
    main()
