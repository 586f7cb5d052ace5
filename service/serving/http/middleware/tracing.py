"""Requests traced by OpenTelemetry: where to, and as what, its own `OTEL_*` variables say.

The libraries are imported only where the setting is on.
"""

from collections.abc import Callable

from gatewise.vocab.errors import GatewiseError
from starlette.types import ASGIApp


class TracesError(GatewiseError):
    """Traces that are asked for without the libraries for them."""


def wrap(app: ASGIApp) -> tuple[ASGIApp, Callable[[], None]]:
    """An application whose requests are spans, children of those that their headers name.

    Returns:
        The application, and what sends the last spans and ends.

    Raises:
        TracesError: If the libraries are missing.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise TracesError(
            'GATEWISE_TRACES needs OpenTelemetry: pip install "gatewise[serve]"'
        ) from None
    named = Resource.create()
    if str(named.attributes[SERVICE_NAME]).startswith("unknown_service"):  # no variable says more
        named = named.merge(Resource({SERVICE_NAME: "gatewise"}))
    provider = TracerProvider(resource=named)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    traced = OpenTelemetryMiddleware(
        app,
        tracer_provider=provider,
        excluded_urls="health/live,health/ready,metrics",
        exclude_spans=["receive", "send"],
    )
    return traced, provider.shutdown
