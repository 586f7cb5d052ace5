"""The service answers as its OpenAPI document says, tested by Schemathesis."""

from collections.abc import Callable, Iterator

import httpx
import pytest
import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from gatewise.service.model.classifier import Classifier
from gatewise.service.serving.app import create_app
from gatewise.service.serving.settings import Settings

_EXAMPLES = 50
"""The most requests of each operation and mode."""

_EFFORT = settings(
    max_examples=_EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def document(
    serve_app: Callable[[FastAPI], httpx.Client], classifier: Classifier
) -> schemathesis.BaseSchema:
    client = serve_app(create_app(Settings(), classifier))
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    schema.config.update(base_url=str(client.base_url))
    return schema


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


# Without Schemathesis's pytest plugin, which does not support the newest pytest.
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_response_is_as_described(
    document: schemathesis.BaseSchema, session: requests.Session, mode: GenerationMode
) -> None:
    operations = [found.ok() for found in document.get_all_operations()]
    assert operations
    called: set[str] = set()

    for operation in operations:
        # Without a body there is nothing invalid to send.
        if mode is GenerationMode.NEGATIVE and not operation.body:
            continue

        @_EFFORT
        @given(case=operation.as_strategy(generation_mode=mode))
        def answered(case: Case) -> None:
            called.add(case.operation.label)
            # A schema cannot say that a text must have a token: a request that is valid by the
            # document may be refused, as the document describes.
            case.call_and_validate(session=session, excluded_checks=[positive_data_acceptance])

        answered()
    assert "POST /predict" in called
