"""How the service goes onto Ray Serve: decided without a cluster, and without Ray."""

from __future__ import annotations

import pytest

from autorag_whisper.archive.sharded.pool import Node
from autorag_whisper.cli.exits import BadUsage
from autorag_whisper.cli.ray_serve import Scale, deployment_options, options_of, require, scale_for
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.server.settings import ServerSettings

TWO_SLOTS = [Node(2.0)]


def test_on_two_slots_one_stays_free_however_many_replicas_there_may_be() -> None:
    for replicas in ("", "1", "2", "1-2", "3", "1-4"):
        scale = scale_for(TWO_SLOTS, replicas, None, None)
        assert scale.most * scale.cpus <= 1.0, replicas
    assert scale_for(TWO_SLOTS, "", None, None) == Scale(1, 1, 1.0)
    assert scale_for(TWO_SLOTS, "1-4", None, None) == Scale(1, 4, 0.25)
    assert scale_for([Node(16.0, 2.0)] * 3, "", None, 0.5) == Scale(1, 12, 1.0, 0.5)
    assert scale_for(TWO_SLOTS, "2", 0.3, None) == Scale(2, 2, 0.3)


@pytest.mark.parametrize("wrong", ["0", "3-2", "x", "1-", "-2", "1-x", "0-2"])
def test_a_range_of_replicas_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidOption):
        scale_for(TWO_SLOTS, wrong, None, None)


@pytest.mark.parametrize("waiting", [1, 2, 64, 1000])
def test_what_waits_is_bounded_and_the_replica_itself_refuses_first(waiting: int) -> None:
    said = deployment_options(Scale(1, 4, 0.5), ServerSettings(waiting=waiting, drain_s=20))
    assert waiting < said["max_ongoing_requests"] < waiting + 100
    assert said["max_queued_requests"] == waiting
    assert 1 <= said["autoscaling_config"]["target_ongoing_requests"] <= waiting
    assert said["backpressure_config"]["status_code"] == 503
    assert said["backpressure_config"]["retry_after_s"] > 0
    assert said["graceful_shutdown_timeout_s"] > 20
    assert said["ray_actor_options"] == {"num_cpus": 0.5, "num_gpus": 0.0}


def test_arguments_of_rays_command_are_the_options_of_serve() -> None:
    given = options_of({"model": "small", "max_queued": "7", "allow-host": ["a", "b"], "strict": True, "insecure": "0"})
    assert (given["model"], given["max_queued"], given["allow_host"]) == ("small", 7, ("a", "b"))
    assert (given["strict"], given["insecure"], given["most"]) == (True, False, 64)
    unsaid = options_of({"data": None, "allow-origin": [], "strict": "off"})
    assert (unsaid["data"], unsaid["allow_origin"], unsaid["strict"]) == (None, (), False)
    assert options_of({"strict": "on"})["strict"]
    for wrong in ({"modell": "x"}, {"most": "many"}, {"strict": "maybe"}):
        with pytest.raises(BadUsage):
            options_of(wrong)


@pytest.mark.parametrize(
    ("args", "most"),
    [({"watch": "in"}, 1), ({"wyoming": "0"}, 1), ({"data": "jobs"}, 2)],
    ids=["a watched folder", "another protocol", "several replicas on one file of jobs"],
)
def test_what_replicas_cannot_have_is_said(args: dict[str, str], most: int) -> None:
    with pytest.raises(BadUsage):
        require(options_of(args), Scale(1, most, 0.1))


def test_what_replicas_can_have_is_let() -> None:
    require(options_of({"data": "jobs"}), Scale(1, 1, 0.1))
    require(options_of({"data": "jobs", "store": "postgresql://h/d"}), Scale(1, 4, 0.1))
