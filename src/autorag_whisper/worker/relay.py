"""Telemetry of the worker process: what it would tell goes to the caller's process, which tells it in its own trace."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import context

from autorag_whisper import telemetry as names
from autorag_whisper.telemetry import Stretch, Telemetry
from autorag_whisper.worker.messages import Measured, SpanMade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.context import Context

    from autorag_whisper.telemetry import AttributeValue
    from autorag_whisper.worker.messages import FromChild


_JOB = context.create_key("autorag-whisper-job")


@contextmanager
def in_job(number: int) -> Iterator[None]:
    """For the length of a `with`, what this thread tells is that job's; also what others tell in its context."""
    token = context.attach(context.set_value(_JOB, number))
    try:
        yield
    finally:
        context.detach(token)


def _job(given: Context | None = None) -> int:
    number = context.get_value(_JOB, given)
    return number if isinstance(number, int) else 0


class _Attributes:
    """As much of a span as `load_model` needs."""

    def __init__(self, given: Mapping[str, AttributeValue]) -> None:
        self.all = dict(given)

    def set_attribute(self, name: str, value: AttributeValue) -> None:
        self.all[name] = value


class RelayTelemetry(Telemetry):
    """A `Telemetry` whose spans and values are sent away as plain records, each with the job whose context it is in."""

    def __init__(self, send: Callable[[FromChild], object]) -> None:
        super().__init__()
        self._send = send

    def span(
        self,
        name: str,
        when: Stretch,
        attributes: Mapping[str, AttributeValue],
        *,
        parent: Context | None = None,
        error: str = "",
    ) -> None:
        self._send(SpanMade(_job(parent), name, when, dict(attributes), error))

    @contextmanager
    def load_model(self, attributes: Mapping[str, AttributeValue]) -> Iterator[Any]:
        start_ns, made, error = self.clock_ns(), _Attributes(attributes), ""
        try:
            yield made
        except BaseException as failure:
            error = type(failure).__name__
            raise
        finally:
            when = Stretch(start_ns, self.clock_ns())
            self.span(names.LOAD_MODEL, when, made.all, error=error)
        self.duration(names.MODEL_LOAD_DURATION, when.duration_s, {})

    def duration(self, name: str, value_s: float, attributes: Mapping[str, AttributeValue]) -> None:
        self._send(Measured(_job(), "duration", name, value_s, dict(attributes)))

    def count(self, name: str, value: float, attributes: Mapping[str, AttributeValue]) -> None:
        self._send(Measured(_job(), "count", name, value, dict(attributes)))
