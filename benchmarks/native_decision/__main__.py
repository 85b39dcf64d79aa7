"""`python -m benchmarks.native_decision forced | stages | whisper-cpp | gains`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.native_decision import forced, gains, peers
from benchmarks.native_decision.material import made

SCRATCH = Path(__file__).resolve().parents[1] / "results" / "tmp" / "native_decision"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.native_decision",
        description=sys.modules["benchmarks.native_decision"].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    for name, do in (("forced", _forced), ("stages", _stages), ("whisper-cpp", _whisper_cpp), ("gains", _gains)):
        command = commands.add_parser(name)
        command.set_defaults(do=do)
        command.add_argument("recording", type=Path)
        command.add_argument("--model", default="base")
        if name in ("forced", "gains"):
            command.add_argument("--rounds", type=int, default=3)
        if name == "stages":
            command.add_argument("--engines", default=",".join(peers.STAGES))
            command.add_argument("--tokens-per-s", type=float, default=3.0, help="of the recordings it is computed for")
            command.add_argument("--rest", type=float, default=0.0055, help="processor s per s of what no engine does")
        if name == "whisper-cpp":
            command.add_argument("--seconds", type=float, default=120.0, help="of the recording")
    given = parser.parse_args()
    given.do(given)


def _forced(given: argparse.Namespace) -> None:
    forced.compare(given.recording, given.model, given.rounds)


def _stages(given: argparse.Namespace) -> None:
    material = made(given.recording, given.model, SCRATCH, 30.0)
    print(peers.stages_table(material, given.engines.split(","), given.tokens_per_s, given.rest))


def _whisper_cpp(given: argparse.Namespace) -> None:
    print(peers.whisper_cpp_table(made(given.recording, given.model, SCRATCH, given.seconds)))


def _gains(given: argparse.Namespace) -> None:
    gains.tell(given.recording, given.model, given.rounds)


if __name__ == "__main__":
    main()
