"""Tracing of requests by OpenTelemetry, which its own `OTEL_*` variables configure.

The libraries are imported only if the setting is on.
"""

from collections.abc import Callable

from starlette.types import ASGIApp

from gatewise.service.serving.settings import variable
from gatewise.vocab.errors import GatewiseError


class TracesError(GatewiseError):
    """Tracing is enabled without the libraries for it."""


def wrap(app: ASGIApp) -> tuple[ASGIApp, Callable[[], None]]:
    """Makes each request of an application a span, a child of the one in its headers.

    The returned function sends the last spans.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise TracesError(
            f"{variable('traces')} needs OpenTelemetry: pip install 'gatewise[serve]'"
        ) from None
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):  # no variable set it
        resource = resource.merge(Resource({SERVICE_NAME: "gatewise"}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    traced = OpenTelemetryMiddleware(
        app,
        tracer_provider=provider,
        excluded_urls="health/live,health/ready,metrics",
        exclude_spans=["receive", "send"],
    )
    return traced, provider.shutdown
