"""Hypern, the web application: what handlers are given and may return, and that none keeps others waiting."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import threading

import pytest

import tasks
from hypern import BlockingExecutor
from hypern.blocking import blocking, blocking_run, get_default_executor, set_default_executor
from sync import aside, eventually

try:
    from hypern import Hypern
    from hypern.web import Request, Response
except ImportError as error:
    pytest.skip(str(error), allow_module_level=True)

from server import serve


@pytest.fixture
def app():
    return Hypern()


# Routes and handlers


METHODS = ("get", "post", "put", "patch", "delete", "options")


def test_each_method_has_its_decorator(app):
    for method in METHODS:

        @getattr(app, method)("/thing")
        async def handler(request, response):
            return response.text(request.method)

    @app.head("/only")
    async def only(request, response):
        return response.header("x-seen", request.method)

    with serve(app) as client:
        for method in METHODS:
            assert client.ask(method.upper(), "/thing").text == method.upper()
        head = client.ask("HEAD", "/thing")
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "4")
        assert client.ask("HEAD", "/only").headers["x-seen"] == "HEAD"
        assert client.get("/only").status == 405
        assert client.get("/nothing").status == 404


def test_a_route_may_have_several_methods_and_parameters(app):
    @app.route("/sum/{left:int}/{right:int}", ["GET", "POST"], name="sum")
    async def add(request, response):
        return response.json(request.path_params["left"] + request.path_params["right"])

    assert app.url_path_for("sum", left=1, right=2) == "/sum/1/2"
    with serve(app) as client:
        assert client.get("/sum/1/2").json() == 3
        assert client.post("/sum/3/4").json() == 7
        assert client.get("/sum/a/b").status == 404
        assert client.ask("PUT", "/sum/1/2").status == 405


def test_handlers_of_every_form(app):
    class Asynchronous:
        async def __call__(self, request, response):
            return response.text("asynchronous object")

        async def method(self, request):
            return "asynchronous method"

    class Synchronous:
        def __call__(self, request):
            return "object"

        def method(self, request, response):
            response.text("method")

    @app.get("/async")
    async def short(request):
        return "async"

    @app.get("/thread")
    def in_a_thread(request, response):
        assert threading.current_thread() is not threading.main_thread()
        return response.text("thread")

    app.get("/1")(Asynchronous())
    app.get("/2")(Asynchronous().method)
    app.get("/3")(Synchronous())
    app.get("/4")(Synchronous().method)
    with serve(app) as client:
        assert client.get("/async").text == "async"
        assert client.get("/thread").text == "thread"
        answers = [client.get(f"/{number}").text for number in (1, 2, 3, 4)]
        assert answers == ["asynchronous object", "asynchronous method", "object", "method"]


def test_handlers_that_look_like_something_else(app):
    import functools

    class Asynchronous:
        async def __call__(self, request, response, more=None):
            return response.text(f"object {more}")

    async def page(request, limit=10):
        return f"limit {limit}"

    async def named(request, response=None):
        return response.text("response")

    async def everything(*arguments):
        return f"{len(arguments)} arguments"

    def decorated(handler):
        return lambda request, response: handler(request)

    app.get("/1")(page)
    app.get("/2")(named)
    app.get("/3")(everything)
    app.get("/4")(functools.partial(Asynchronous(), more="more"))
    app.get("/5")(decorated(page))
    app.get("/6")(functools.partial(page, limit=3))
    with serve(app) as client:
        answers = [client.get(f"/{number}").text for number in range(1, 7)]
    assert answers == ["limit 10", "response", "2 arguments", "object more", "limit 10", "limit 3"]


async def _generates(request):
    yield "part"


class _Class:
    def __init__(self, request):
        pass

    async def __call__(self):
        pass


def test_methods_are_a_list(app):
    with pytest.raises(TypeError, match=r"\['POST'\]"):
        app.route("/", "POST")


@pytest.mark.parametrize("handler", [lambda: None, lambda a, b, c: None, 3, None, _generates, _Class])
def test_what_cannot_be_a_handler_is_refused(app, handler):
    with pytest.raises(TypeError, match="handler"):
        app.get("/")(handler)


def test_what_a_handler_returns(app):
    from starlette.responses import HTMLResponse

    answers = {
        "/dict": {"a": 1},
        "/list": [1, 2],
        "/str": "text",
        "/bytes": b"bytes",
        "/none": None,
        "/starlette": HTMLResponse("<b>", 202),
    }
    for path, answer in answers.items():

        @app.get(path)
        async def handler(request, response, answer=answer):
            response.header("x-kind", "filled in")
            return answer

    @app.get("/chained")
    async def chained(request, response):
        response.set_cookie("name", "value")
        return response.status(201).header("x-one", "1").header("x-one", "2").html("<i>")

    @app.get("/wrong")
    async def wrong(request):
        return 3.5

    @app.get("/no-content")
    async def no_content(request, response):
        return response.json({}).status(204)

    with serve(app) as client:
        kinds = {path: client.get(path) for path in answers}
        assert (kinds["/dict"].json(), kinds["/dict"].headers["content-type"]) == ({"a": 1}, "application/json")
        assert kinds["/list"].json() == [1, 2]
        assert (kinds["/str"].text, kinds["/str"].headers["content-type"]) == ("text", "text/plain; charset=utf-8")
        assert (kinds["/bytes"].body, kinds["/bytes"].headers["content-type"]) == (b"bytes", "application/octet-stream")
        assert (kinds["/none"].status, kinds["/none"].body) == (200, b"")
        assert (kinds["/starlette"].status, kinds["/starlette"].text) == (202, "<b>")
        assert [kinds[path].headers.get("x-kind") for path in answers] == [*["filled in"] * 5, None]
        answer = client.get("/chained")
        assert (answer.status, answer.headers["x-one"], answer.text) == (201, "2", "<i>")
        assert answer.headers["set-cookie"].startswith("name=value")
        assert client.get("/wrong").status == 500
        empty = client.get("/no-content")
        assert (empty.status, empty.body, "content-type" in empty.headers) == (204, b"", False)


def test_what_a_request_tells(app):
    seen = {}

    @app.post("/seen/{name}")
    async def look(request, response):
        assert isinstance(request, Request)
        assert isinstance(response, Response)
        seen.update(
            method=request.method,
            path=request.url.path,
            params=request.path_params,
            query=dict(request.query_params),
            header=request.headers["x-sent"],
            cookies=request.cookies,
            body=request.body(),
            text=request.text(),
            json=request.json(),
            again=request.json() is request.json(),
            host=request.client.host,
        )

    with serve(app) as client:
        sent = {"x-sent": "yes", "cookie": "a=b"}
        assert client.ask("POST", "/seen/ada?x=1", {"deep": [1]}, sent).status == 200
    assert seen == {
        "method": "POST",
        "path": "/seen/ada",
        "params": {"name": "ada"},
        "query": {"x": "1"},
        "header": "yes",
        "cookies": {"a": "b"},
        "body": b'{"deep": [1]}',
        "text": '{"deep": [1]}',
        "json": {"deep": [1]},
        "again": True,
        "host": "127.0.0.1",
    }


def test_forms_and_files(app):
    @app.post("/form")
    async def form(request, response):
        fields = dict(request.form())
        if "file" in fields:
            fields["file"] = (await fields["file"].read()).decode()
        return fields

    @app.post("/raw")
    async def raw(request):
        return request.body()

    part = "--x\r\ncontent-disposition: form-data; name="
    body = f'{part}"kind"\r\n\r\nreport\r\n{part}"file"; filename="a.txt"\r\n\r\nlines\r\n--x--\r\n'
    with serve(app) as client:
        url = client.ask("POST", "/form", "a=1&b=two", {"content-type": "application/x-www-form-urlencoded"})
        assert url.json() == {"a": "1", "b": "two"}
        multipart = client.ask("POST", "/form", body, {"content-type": "multipart/form-data; boundary=x"})
        assert multipart.json() == {"kind": "report", "file": "lines"}
        assert client.post("/form", "a=1").json() == {}
        assert client.ask("POST", "/form", body, {"content-type": "multipart/form-data"}).status == 400
        # Who does not ask for the form has its body.
        answer = client.ask("POST", "/raw", body, {"content-type": "multipart/form-data"})
        assert answer.text == body


# Nobody keeps others waiting


def test_a_plain_call_suspends_its_handler_alone(app, make, gate):
    executor = make(1)

    @blocking(executor=executor)
    def compute(data):
        return [tasks.square(number) for number in data]

    @app.get("/report")
    async def report(request, response):
        executor.run_sync(gate.door.wait)
        return response.json(compute(request.json()))

    @app.get("/light")
    async def light(request):
        return "light"

    with serve(app) as client:
        waiting = aside(client.get, "/report", [1, 2, 3])
        gate.arrived()
        assert [client.get("/light").text for _ in range(20)] == ["light"] * 20
        assert not waiting.done()
        gate.open()
        assert waiting.result(timeout=30).json() == [1, 4, 9]


def test_every_kind_of_call_in_handlers_of_both_kinds(app, make):
    executor = make(2)

    def compute(request, response):
        double = blocking(executor=executor)(tasks.square)
        return response.json(
            [
                executor.run_sync(tasks.square, 2),
                executor.map(tasks.square, [1, 2]),
                executor.run_parallel([(tasks.add, (1, 2))]),
                double(3),
            ]
        )

    @app.get("/async")
    async def in_the_loop(request, response):
        return compute(request, response)

    app.get("/thread")(compute)
    with serve(app) as client:
        for path in ("/async", "/thread"):
            assert client.get(path).json() == [4, [1, 4], [3], 9]
        many = [aside(client.get, path) for path in ("/async", "/thread") * 20]
        assert {answer.result(timeout=30).status for answer in many} == {200}


def test_a_client_that_goes_cancels_its_handler(app, make, gate, ledger):
    executor = make(1)
    cancelled = threading.Event()

    @app.get("/report")
    async def report(request):
        try:
            executor.run_sync(ledger.note, "never")
        except asyncio.CancelledError:
            cancelled.set()
            raise

    @app.get("/light")
    async def light(request):
        return "light"

    executor.submit(gate.door.wait)
    gate.arrived()
    with serve(app) as client:
        with client.asking("/report"):
            assert eventually(lambda: executor.pending_tasks() == 1)
        assert cancelled.wait(20)
        assert executor.pending_tasks() == 0
        assert client.get("/light").text == "light"
        gate.open()
    assert executor.run_sync(tasks.square, 2) == 4
    assert ledger.lines() == []


def test_a_handler_may_finish_for_a_client_that_has_gone(app, caplog):
    arrived, finished = threading.Event(), threading.Event()

    @app.get("/stubborn")
    async def stubborn(request):
        arrived.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        finished.set()
        return "for nobody"

    with serve(app) as client:
        with client.asking("/stubborn"):
            assert arrived.wait(20)
        assert finished.wait(20)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


# What goes wrong


def test_a_full_queue_is_said_with_503(make, gate):
    executor = make(1, queue_size=1, on_full="raise")
    app = Hypern(retry_after=7)

    @app.get("/report")
    async def report(request):
        return str(executor.run_sync(tasks.square, 3))

    @app.get("/thread")
    def thread(request):
        return str(executor.run_sync(tasks.square, 3))

    executor.submit(gate.door.wait)
    gate.arrived()
    executor.submit(gate.door.wait)  # Not one that might run elsewhere.
    with serve(app) as client:
        for path in ("/report", "/thread"):
            answer = client.get(path)
            assert (answer.status, answer.headers["retry-after"]) == (503, "7")
        gate.open()
        assert eventually(lambda: client.get("/report").status == 200)
        assert client.get("/report").text == "9"


def test_a_bad_body_is_the_fault_of_the_client(app):
    @app.post("/json")
    async def read(request):
        return {"got": request.json()}

    @app.post("/text")
    def text(request):
        return request.text()

    with serve(app) as client:
        for body, reason in ((b"{", "no JSON"), (b"", "no body"), (b"\xff", "no JSON"), (b"[" * 100_000, "no JSON")):
            answer = client.post("/json", body)
            assert answer.status == 400, body[:10]
            assert reason in answer.text
        assert client.post("/text", b"\xff").status == 400
        assert client.post("/json", [1]).json() == {"got": [1]}


def test_a_body_over_the_limit_is_413():
    app = Hypern(max_body_size=1000)

    @app.post("/")
    async def size(request):
        return str(len(request.body()))

    with serve(app) as client:
        assert client.post("/", b"x" * 1000).text == "1000"
        assert client.post("/", b"x" * 1001).status == 413
        chunked = {"transfer-encoding": "chunked"}
        pieces = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
        assert client.ask("POST", "/", pieces + b"0\r\n\r\n", chunked).text == "1000"
        assert client.ask("POST", "/", pieces * 2 + b"0\r\n\r\n", chunked).status == 413


def test_what_a_handler_raises_is_logged_and_not_told(app, pool, caplog):
    @app.get("/fails")
    async def fails(request):
        raise LookupError("a secret")

    @app.get("/task")
    async def task(request):
        pool.run_sync(tasks.fails_at, 3, 3)

    @app.get("/thread")
    def thread(request):
        pool.run_sync(tasks.fails_at, 3, 3)

    @app.get("/unserializable")
    async def unserializable(request, response):
        return {"thing": object()}

    with serve(app) as client:
        for path, reason in (
            ("/fails", "a secret"),
            ("/task", "no 3s!"),
            ("/thread", "no 3s!"),
            ("/unserializable", "object"),
        ):
            caplog.clear()
            answer = client.get(path)
            assert (answer.status, answer.text) == (500, "Internal Server Error")
            assert eventually(lambda: reason in caplog.text), caplog.text
            assert "Traceback" in caplog.text
            assert f"in {path[1:]}" in caplog.text or path == "/unserializable"


def test_starlette_exceptions_and_handlers_of_the_users_own():
    from starlette.exceptions import HTTPException
    from starlette.responses import PlainTextResponse

    async def explain(request, error):
        return PlainTextResponse(f"no {error}", 418)

    app = Hypern(exception_handlers={KeyError: explain})

    @app.get("/http")
    async def http(request):
        raise HTTPException(403, "not you")

    @app.get("/own")
    async def own(request):
        blocking_run(tasks.raises, KeyError("tea"))

    with serve(app) as client:
        assert (client.get("/http").status, client.get("/http").text) == (403, "not you")
        assert (client.get("/own").status, client.get("/own").text) == (418, "no 'tea'")


# Life


def test_the_default_executor_ends_with_the_last_server(app, monkeypatch):
    monkeypatch.setattr("hypern.blocking._default", None)

    @app.get("/")
    async def root(request):
        return str(blocking_run(tasks.square, 3))

    executor = get_default_executor()
    with serve(app) as client:
        with serve(Hypern()):
            assert client.get("/").text == "9"
        assert executor.is_running()
    assert not executor.is_running()
    # Another server has another one.
    with serve(app) as client:
        assert client.get("/").text == "9"


def test_a_default_executor_that_somebody_has_set_is_theirs(app, make):
    executor = make(1)
    set_default_executor(executor)
    with serve(app):
        pass
    assert executor.is_running()
    assert get_default_executor() is executor


def test_a_lifespan_of_the_users_own():
    order = []

    @contextlib.asynccontextmanager
    async def lifespan(app):
        order.append(("begin", type(app)))
        yield {"greeting": "hello"}
        order.append("end")
        assert blocking_run(tasks.square, 2) == 4

    app = Hypern(lifespan=lifespan)

    @app.get("/")
    async def root(request):
        return request.state.greeting

    with serve(app) as client:
        assert client.get("/").text == "hello"
    assert order == [("begin", Hypern), "end"]


def test_a_lifespan_of_any_form_that_starlette_takes():
    order = []

    async def lifespan(app):
        order.append("begin")
        yield
        order.append("end")

    with pytest.warns(Warning, match="deprecated"):
        app = Hypern(lifespan=lifespan)
    with serve(app):
        assert order == ["begin"]
    assert order == ["begin", "end"]


def test_a_client_that_goes_is_no_error_to_middleware(app, make, gate, caplog):
    from starlette.middleware.base import BaseHTTPMiddleware

    async def passes(request, call_next):
        return await call_next(request)

    app.add_middleware(BaseHTTPMiddleware, dispatch=passes)
    executor = make(1)
    cancelled = threading.Event()

    @app.get("/report")
    async def report(request):
        try:
            executor.run_sync(gate.door.wait)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    @app.get("/light")
    async def light(request):
        return "light"

    with serve(app) as client:
        with client.asking("/report"):
            gate.arrived()
        assert cancelled.wait(20)
        # Another one goes in the middle of its body.
        with client.connected() as connection:
            connection.sendall(b"POST /report HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n12345")
        with client.connected() as connection:
            connection.sendall(b"GET /light HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n12345")
        assert client.get("/light").text == "light"
        gate.open()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_middleware_may_play_the_body_back(app, pool):
    class PlaysBack:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            if scope["type"] != "http":
                return await self.app(scope, receive, send)
            body = (await receive())["body"]

            async def again():
                return {"type": "http.request", "body": body, "more_body": False}

            return await self.app(scope, again, send)

    app.add_middleware(PlaysBack)

    @app.post("/square")
    async def square(request):
        return str(pool.run_sync(tasks.square, request.json()))

    with serve(app) as client:
        assert client.post("/square", 3).text == "9"


def test_a_background_task_keeps_nobody_waiting(app, make, gate):
    from starlette.background import BackgroundTask
    from starlette.responses import PlainTextResponse

    executor = make(1)

    async def later():
        executor.run_sync(gate.door.wait)

    @app.get("/later")
    async def answer(request):
        return PlainTextResponse("soon", background=BackgroundTask(later))

    @app.get("/light")
    async def light(request):
        return "light"

    with serve(app) as client:
        waiting = aside(client.get, "/later")
        gate.arrived()
        assert [client.get("/light").text for _ in range(5)] == ["light"] * 5
        gate.open()
        assert waiting.result(timeout=30).text == "soon"


def test_middleware_sees_requests_and_responses(app, pool):
    from starlette.middleware.base import BaseHTTPMiddleware

    async def stamp(request, call_next):
        response = await call_next(request)
        response.headers["x-stamp"] = request.url.path
        return response

    app.add_middleware(BaseHTTPMiddleware, dispatch=stamp)

    @app.get("/square")
    async def square(request):
        return str(pool.run_sync(tasks.square, 3))

    with serve(app) as client:
        answer = client.get("/square")
        assert (answer.text, answer.headers["x-stamp"]) == ("9", "/square")


def test_it_mounts_in_fastapi(app, make, gate):
    fastapi = pytest.importorskip("fastapi")
    from hypern.aio import BridgeMiddleware, bridge

    executor = make(2)

    @app.get("/report")
    async def report(request, response):
        return response.json(executor.run_sync(tasks.square, request.json()))

    outer = fastapi.FastAPI()
    outer.mount("/reports", app)

    @outer.get("/bridged/{number}")
    @bridge
    async def bridged(number: int):
        executor.run_sync(gate.door.wait)
        return {"square": executor.run_sync(tasks.square, number)}

    @outer.get("/light")
    async def light():
        return "light"

    with serve(outer) as client:
        assert client.get("/reports/report", 4).json() == 16
        assert client.get("/reports/report", b"{").status == 400
        waiting = aside(client.get, "/bridged/5")
        gate.arrived()
        assert [client.get("/light").json() for _ in range(5)] == ["light"] * 5
        assert not waiting.done()
        gate.open()
        assert waiting.result(timeout=30).json() == {"square": 25}
        assert client.get("/bridged/x").status == 422

    # The same for all handlers at once.
    middle = fastapi.FastAPI()
    middle.add_middleware(BridgeMiddleware)

    @middle.get("/square/{number}")
    async def square(number: int):
        return executor.run_sync(tasks.square, number)

    with serve(middle) as client:
        assert client.get("/square/6").json() == 36


def test_nothing_is_made_before_it_is_needed():
    import hypern.blocking

    before = hypern.blocking._default
    app = Hypern()
    app.get("/")(lambda request: None)
    assert hypern.blocking._default is before


@pytest.mark.parametrize("options", [{"workers": 2}, {"reload": True}])
def test_run_serves_in_one_process(app, options):
    with pytest.raises(ValueError, match="uvicorn module:app"):
        app.run(**options)


def test_a_response_is_filled_in_by_chained_calls():
    response = Response().status(404).text("no").header("X-A", "b")
    assert (response.status_code, response.body, response.headers["x-a"]) == (404, b"no", "b")
    assert response.json({"é": None}).body == '{"é":null}'.encode()
    assert response.headers["content-length"] == str(len(response.body))
    assert response.content(b"png", "image/png").headers["content-type"] == "image/png"
    with pytest.raises(TypeError):
        response.json(object())
    with pytest.raises(ValueError):
        response.json(float("nan"))
