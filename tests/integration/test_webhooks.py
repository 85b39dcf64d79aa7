"""Webhooks: how they are signed, where they may lead, when they are tried again."""

from __future__ import annotations

import json
import threading
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.jobs.job import JobRequest
from autorag_whisper.jobs.memory import MemoryJobStore
from autorag_whisper.jobs.webhooks import (
    DELAYS_S,
    NotSent,
    WebhookHttp,
    WebhookSender,
    check_url,
    is_allowed,
    read_networks,
    read_secrets,
    signature,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from autorag_whisper.jobs.delivery import Delivery

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def until(condition: Callable[[], object]) -> None:
    for _ in range(6000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not happen")


def test_the_signature_is_that_of_the_standards_own_example() -> None:
    message, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}'
    made = signature(read_secrets(SECRET), message, 1614265330, body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    both = signature(read_secrets(f"{SECRET} whsec_{'A' * 32}"), message, 1614265330, body)
    assert both.split()[0] == made
    assert len(both.split()) == 2


@pytest.mark.parametrize("text", ["whsec_", "short", "whsec_AAAA", f"{SECRET} x", "whsec_" + "A" * 200, "whsec_ä"])
def test_a_secret_that_is_none_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        read_secrets(text)
    assert "MfKQ" not in str(refused.value)


def test_without_a_secret_there_is_none() -> None:
    assert read_secrets("") == read_secrets("  ") == ()


@pytest.mark.parametrize(
    "url", ["https://host/a?b=c", "http://host:8080/", "https://[2001:db8::1]/x", "http://10.0.0.1"]
)
def test_an_address_of_a_webhook(url: str) -> None:
    assert check_url(url) == ""


@pytest.mark.parametrize(
    "url",
    ["", "host/hook", "ftp://host/", "gopher://h/", "https://", "https://u@host/", "https://u:p@host/", "http://h:0/",
     "http://h:99999/", "http://h:x/", "http://h/a b", "http://h/\r\nx: y", "http://[::1", "http://h\\@evil/",
     "http://h/" + "a" * 2000, "http://\u2603.example/", "http://256.1.1.1/", "http://[v1.a]/"],
)  # fmt: skip
def test_what_is_no_address_of_a_webhook(url: str) -> None:
    assert "URL" in check_url(url)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::",
     "224.0.0.1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
     "255.255.255.255"],
)  # fmt: skip
def test_no_address_of_a_private_network_is_told_unless_it_is_allowed(address: str) -> None:
    assert not is_allowed(address, ())
    assert is_allowed(address, read_networks(["0.0.0.0/0", "::/0"]))


def test_addresses_of_the_internet_are_told_and_of_private_ones_those_that_were_named() -> None:
    assert is_allowed("93.184.215.14", ())
    assert is_allowed("2606:2800:21f:cb07:6820:80da:af6b:8b2c", ())
    named = read_networks(["192.168.1.0/24", "::1"])
    assert is_allowed("192.168.1.7", named)
    assert is_allowed("::1", named)
    assert not is_allowed("192.168.2.7", named)
    with pytest.raises(InvalidOption):
        read_networks(["home"])


class Sent:
    """A store with one job that is over, and a sender whose receiver answers as a test wants."""

    def __init__(self, *answers: int | str) -> None:
        self.answers, self.now, self.heads, self.bodies = list(answers), 1000.0, [], []
        self.store = MemoryJobStore()
        job = self.store.add(JobRequest("/in", "talk", webhook="https://host/hook"), 1.0)
        self.store.cancel(job.id, 2.0)
        self.job = job.id

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        assert url == "https://host/hook"
        self.heads.append(dict(headers))
        self.bodies.append(body)
        answer = self.answers.pop(0)
        if isinstance(answer, str):
            raise NotSent(answer)
        return answer

    def delivery(self) -> Delivery:
        [found] = self.store.deliveries.of_job(self.job)
        return found

    def round(self) -> Delivery:
        """What became of the attempt that is due."""
        left = len(self.answers)
        with closing(WebhookSender(self.store.deliveries, read_secrets(SECRET), lambda: self.now, self.post, most=1)):
            until(lambda: len(self.answers) < left)
        return self.delivery()


def test_a_message_is_signed_over_what_is_sent_and_is_over_when_it_arrived() -> None:
    sent = Sent(204)
    over = sent.round()
    assert (over.delivered, over.response, over.attempts, over.ended_s) == (True, "HTTP 204", 1, 1000.0)
    [head], [body] = sent.heads, sent.bodies
    assert json.loads(body)["data"]["id"] == sent.job
    assert (head["webhook-id"], head["webhook-timestamp"]) == (over.id, "1000")
    assert head["webhook-signature"] == signature(read_secrets(SECRET), over.id, 1000, body)


def test_what_does_not_arrive_is_tried_again_at_growing_distances_with_the_same_id_and_body() -> None:
    sent = Sent(*[500, "host is not found", 302, 429] * 2, 200)
    for delay_s in DELAYS_S[:8]:
        waiting = sent.round()
        assert (waiting.ended_s, waiting.due_s) == (0.0, sent.now + delay_s)
        sent.now = waiting.due_s
    assert sent.round().delivered
    assert len({head["webhook-id"] for head in sent.heads}) == len(set(sent.bodies)) == 1
    assert len({head["webhook-signature"] for head in sent.heads}) == 9


def test_it_is_given_up_after_the_last_attempt_or_when_it_is_told_that_nobody_is_there() -> None:
    sent = Sent(*[500] * 10)
    for _ in range(10):
        last = sent.round()
        sent.now = last.due_s
    assert (last.delivered, bool(last.ended_s), last.attempts) == (False, True, 10)
    gone = Sent(410).round()
    assert (gone.delivered, bool(gone.ended_s), gone.response) == (False, True, "HTTP 410")


def test_what_fails_as_nobody_expected_is_an_attempt_too() -> None:
    # An address that the HTTP library refused was tried every two minutes, for ever, and its job was never forgotten.
    sent = Sent(204)
    post, sent.post = sent.post, lambda *_: sent.answers.pop() / 0  # type: ignore[assignment,method-assign,operator]  # it fails
    waiting = sent.round()
    assert (waiting.attempts, waiting.due_s) == (1, sent.now + DELAYS_S[0])
    assert "ZeroDivisionError" in waiting.response
    sent.post, sent.now, sent.answers = post, waiting.due_s, [204]  # type: ignore[method-assign]  # it is back
    assert sent.round().delivered
    with pytest.raises(NotSent, match="no address"):
        WebhookHttp()("http://256.1.1.1/", {}, b"")


def test_a_receiver_that_does_not_answer_holds_up_its_own_messages_alone() -> None:
    store, held, told = MemoryJobStore(), threading.Event(), list[str]()

    def post(url: str, _headers: Mapping[str, str], _body: bytes) -> int:
        told.append(url)
        if "slow" in url:
            assert held.wait(60)
        return 204

    for n in range(20):
        store.cancel(store.add(JobRequest("/in", "talk", webhook=f"https://slow.example/{n}"), 1.0).id, 2.0)
    last = store.add(JobRequest("/in", "talk", webhook="https://quick.example/"), 1.0)
    store.cancel(last.id, 3.0)
    with closing(WebhookSender(store.deliveries, read_secrets(SECRET), lambda: 1000.0, post, most=2)):
        until(lambda: store.deliveries.of_job(last.id)[0].delivered)
        assert [url for url in told if "slow" in url] == ["https://slow.example/0"]
        held.set()
        until(lambda: len(told) == 21)


class Receiver(BaseHTTPRequestHandler):
    """Notes what it is sent; /redirect leads on."""

    seen: list[tuple[str, str, bytes]] = []  # noqa: RUF012 - of the test

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.seen.append((self.path, self.headers["host"], body))
        self.send_response(307 if self.path == "/redirect" else 200)
        if self.path == "/redirect":
            self.send_header("Location", "/other")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    Receiver.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_what_was_looked_up_and_looked_at_is_what_is_connected_to_and_redirects_are_not_followed(port: int) -> None:
    asked: list[tuple[str, int]] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["10.0.0.1", "127.0.0.1"]

    http = WebhookHttp(read_networks(["127.0.0.1"]), resolve)
    assert http(f"http://hooks.example:{port}/here?a=b", {"x": "y"}, b"told") == 200
    assert asked == [("hooks.example", port)]
    assert Receiver.seen == [("/here?a=b", f"hooks.example:{port}", b"told")]
    assert http(f"http://hooks.example:{port}/redirect", {}, b"told") == 307
    assert [path for path, _, _ in Receiver.seen] == ["/here?a=b", "/redirect"]


def test_a_name_that_leads_to_this_machine_is_not_told(port: int) -> None:
    http = WebhookHttp((), lambda _host, _port: ["127.0.0.1"])
    with pytest.raises(NotSent, match="private network"):
        http(f"http://hooks.example:{port}/", {}, b"")
    with pytest.raises(NotSent, match="private network"):
        WebhookHttp()(f"http://127.0.0.1:{port}/", {}, b"")
    assert Receiver.seen == []


def test_a_receiver_whose_answer_drips_is_not_listened_to_for_ever() -> None:
    """A byte every few seconds held a thread for days, and both of them all webhooks."""
    over = threading.Event()

    class Dripping(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
                while not over.is_set():
                    self.wfile.write(b"x")
                    over.wait(0.01)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Dripping) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            http = WebhookHttp(read_networks(["127.0.0.1"]), most_s=0.3)
            with pytest.raises(NotSent, match=r"no answer within 0\.3 s"):
                http(f"http://127.0.0.1:{server.server_port}/", {}, b"told")
        finally:
            over.set()
            server.shutdown()
            thread.join()


def test_a_connection_that_takes_too_long_is_told_as_an_answer_that_does(port: int) -> None:
    # On a busy machine it was "ConnectTimeout: " at times: there were two clocks, and either could be the first.
    http = WebhookHttp(read_networks(["127.0.0.1"]), most_s=1e-9)
    with pytest.raises(NotSent, match="no answer within 1e-09 s"):
        http(f"http://127.0.0.1:{port}/", {}, b"told")


def test_a_receiver_that_is_not_there_is_told_in_words() -> None:
    def nobody(host: str, port: int) -> list[str]:
        raise OSError(f"{host}:{port}")

    with pytest.raises(NotSent, match="is not found"):
        WebhookHttp((), nobody)("https://none.example/", {}, b"")
    with pytest.raises(NotSent, match="Connect"):
        WebhookHttp(read_networks(["127.0.0.1"]))("http://127.0.0.1:9/", {}, b"")
