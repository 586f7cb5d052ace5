"""An endpoint of the same stack that does nothing: FastAPI as its documentation writes it.

    python echo.py PORT

Parses the body of `POST /predict` by a pydantic model and answers with the same: what a service
of this stack costs before it has done anything.
"""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Parameters(BaseModel):
    """Of a request."""

    top_k: int | None = None
    function_to_apply: str | None = None


class Request(BaseModel):
    """The body."""

    inputs: str | list[str]
    parameters: Parameters | None = None


app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> Request:
    """Echoes the body."""
    return request


@app.get("/health/ready")
async def ready() -> None:
    """Answers."""


if __name__ == "__main__":
    port = int(sys.argv[1])
    uvicorn.run(app, port=port, http="httptools", loop="uvloop", access_log=False)
