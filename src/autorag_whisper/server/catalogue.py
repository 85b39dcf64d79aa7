"""The list of a client's jobs, sorted and filtered; names; the search over transcripts; one job forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response  # noqa: TC002 - FastAPI looks for them here

from autorag_whisper.domain.transcript_errors import InvalidTranscript
from autorag_whisper.jobs.job import JobState
from autorag_whisper.jobs.library import Sort, Wanted
from autorag_whisper.jobs.search import has_runs, matches_in, terms_asked
from autorag_whisper.server.answers import Json
from autorag_whisper.server.errors import ApiError
from autorag_whisper.server.job_requests import invalid
from autorag_whisper.server.jobs import ID, client_of, job_of, shown, unknown_job
from autorag_whisper.server.json_body import body_of, json_object, line_of, wrong

if TYPE_CHECKING:
    from autorag_whisper.server.jobs import Jobs
    from autorag_whisper.server.settings import ServerSettings

MOST_LISTED, LONGEST_NAME, LONGEST_QUERY = 1000, 200, 200
MOST_OFFSET = 10_000_000


def add_routes(app: FastAPI, settings: ServerSettings, jobs: Jobs) -> None:
    """All of them; before those of single jobs, whose ids are no words."""

    @app.get("/v1/jobs", openapi_extra={"parameters": _LIST})
    async def listed(request: Request) -> Response:
        """A client's jobs, the newest first, or as `sort` and `order` say; `before` and `offset` go through pages."""
        query = request.query_params
        client, before, wanted = client_of(request), query.get("before", ""), _wanted(request)
        if before and not ID.fullmatch(before):
            raise invalid("before", before, "the id of a job")
        plain = Wanted(wanted.states[:1], limit=wanted.limit)
        if before and wanted != plain:
            raise invalid("before", before, "offset where the list is sorted or filtered by more than one state")

        def page() -> Response:
            if before:
                state = wanted.states[0] if wanted.states else None
                found = jobs.store.newest(client, state, limit=wanted.limit, before=before)
                if not found and jobs.store.get(before, client) is None:  # forgotten: what is behind it is unknown
                    raise unknown_job(before)
                body: dict[str, Any] = {"has_more": len(found) == wanted.limit}
            else:
                found, total = jobs.store.library.find(client, wanted)
                body = {"has_more": wanted.offset + len(found) < total, "total": total}
            return Json({"object": "list", "data": [shown(job, jobs) for job in found]} | body)

        return await jobs.ask(page)

    @app.get("/v1/jobs/search", openapi_extra={"parameters": _SEARCH})
    async def search(request: Request) -> Response:
        """Jobs whose name or newest transcript has all words of `q`, the newest first, with places where they are."""
        query = request.query_params.get("q", "")
        terms = terms_asked(query[: LONGEST_QUERY + 1])
        if not terms or len(query) > LONGEST_QUERY:
            raise invalid("q", query, f"words to look for, {LONGEST_QUERY} characters at most")
        limit, offset = _whole(request, "limit", 20, (1, 100)), _whole(request, "offset", 0, (0, MOST_OFFSET))
        return await jobs.ask(_found, jobs, client_of(request), query, (limit, offset))

    _add_changes(app, settings, jobs)


def _add_changes(app: FastAPI, settings: ServerSettings, jobs: Jobs) -> None:
    @app.patch("/v1/jobs/{job_id}", openapi_extra=body_of({"name": _NAME}, required=("name",)))
    async def rename(request: Request, job_id: str) -> Response:
        """Give a job another name."""
        body = await json_object(request, settings)
        job = await job_of(request, jobs, job_id)
        try:
            name = line_of(body.get("name"), LONGEST_NAME)
        except InvalidTranscript as error:
            raise wrong(error) from error
        if not name:
            raise invalid("name", name, "a name")

        def renamed() -> Response:
            found = jobs.store.library.rename(job.id, name)
            if found is None:
                raise unknown_job(job_id)
            if found.state is JobState.DONE:
                jobs.runner.transcripts.index(job.id)
            return Json(shown(found, jobs))

        return await jobs.ask(renamed)

    @app.post("/v1/jobs/{job_id}/forget")
    async def forget(request: Request, job_id: str) -> Response:
        """Forget a job that is over, with its recording, its result and all versions."""
        job = await job_of(request, jobs, job_id)

        def forgotten() -> Response:
            if not jobs.runner.forget(job.id):
                raise ApiError(409, f"The job is {job.state}: cancel it first.", code="not_over")
            return Json({"object": "transcription.job.forgotten", "id": job.id})

        return await jobs.ask(forgotten)


def _wanted(request: Request) -> Wanted:
    query = request.query_params
    states = [state for state in query.getlist("state") if state]
    for state in states:
        if state not in list(JobState):
            raise invalid("state", state, ", ".join(JobState))
    sort, order = query.get("sort", "") or Sort.CREATED.value, query.get("order", "") or "desc"
    if sort not in list(Sort):
        raise invalid("sort", sort, ", ".join(Sort))
    if order not in ("asc", "desc"):
        raise invalid("order", order, "asc or desc")
    name = query.get("name", "")
    if len(name) > LONGEST_NAME:
        raise invalid("name", name, f"{LONGEST_NAME} characters at most")
    return Wanted(
        tuple(JobState(state) for state in dict.fromkeys(states)),
        name,
        query.get("folder"),
        Sort(sort),
        order == "desc",
        _whole(request, "limit", 100, (1, MOST_LISTED)),
        _whole(request, "offset", 0, (0, MOST_OFFSET)),
    )


def _whole(request: Request, param: str, default: int, bounds: tuple[int, int]) -> int:
    text = request.query_params.get(param, "")
    if not text:
        return default
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
    if not bounds[0] <= number <= bounds[1]:
        raise invalid(param, text, f"{bounds[0]} to {bounds[1]}")
    return number


def _found(jobs: Jobs, client: str, query: str, page: tuple[int, int]) -> Response:
    limit, offset = page
    found = jobs.store.library.search(client, terms_asked(query), limit=limit + 1, offset=offset)
    data = [
        {
            "job": shown(one.job, jobs),
            "matches": [
                {
                    "segment": match.segment,
                    "start": match.start_s,
                    "before": match.before,
                    "match": match.match,
                    "after": match.after,
                }
                for match in matches_in(one.lines, query)
            ],
        }
        for one in found[:limit]
        if has_runs(f"{one.job.request.name}\n{one.lines}", query)
    ]
    return Json({"object": "list", "data": data, "has_more": len(found) > limit})


_TEXT = {"type": "string"}
_NAME = _TEXT | {"minLength": 1, "maxLength": LONGEST_NAME}


def _query(**schemas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": name == "q", "schema": schema} for name, schema in schemas.items()
    ]


_OFFSET = {"type": "integer", "minimum": 0, "maximum": MOST_OFFSET, "default": 0}
_LIST = _query(
    state={"type": "array", "items": _TEXT | {"enum": list(JobState)}},
    sort=_TEXT | {"enum": list(Sort), "default": Sort.CREATED.value},
    order=_TEXT | {"enum": ["asc", "desc"], "default": "desc"},
    name=_TEXT | {"maxLength": LONGEST_NAME},
    folder=_TEXT,
    limit={"type": "integer", "minimum": 1, "maximum": MOST_LISTED, "default": 100},
    offset=_OFFSET,
    before=_TEXT | {"pattern": "^[0-9a-f]{32}$"},
)
_SEARCH = _query(
    q=_TEXT | {"minLength": 1, "maxLength": LONGEST_QUERY},
    limit={"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    offset=_OFFSET,
)
