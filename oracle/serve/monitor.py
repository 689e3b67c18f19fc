"""Shows whoever watches a program how it does: /metrics for Prometheus, and /healthz."""

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from oracle.state.metrics import Metrics
from oracle.state.watch import Watch


def create_monitor(watch: Watch) -> Starlette:
    """Makes what answers. It says what is at stake, so it belongs where strangers do not come."""
    metrics = Metrics(watch)

    async def page(_: Request) -> Response:
        return Response(metrics.page(), media_type=CONTENT_TYPE_LATEST)

    async def health(_: Request) -> Response:
        reasons = watch.reasons()
        if not reasons:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "failing", "reasons": reasons}, 503)

    return Starlette(routes=[Route("/metrics", page), Route("/healthz", health)])
