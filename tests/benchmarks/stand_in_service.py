"""A service that takes another version of its model when it is told to; for the tests of swaps.

    python stand_in_service.py FOLDER PORT [torn]

With `torn` it takes over the labels first and the scores a moment later.
"""

import asyncio
import signal
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.scores import ranked
from gatewise.service.serving.http.routes.predict_schemas import PredictRequest

FOLDER, PORT = Path(sys.argv[1]), int(sys.argv[2])
TORN = len(sys.argv) > 3

app = FastAPI()
app.state.classifier = app.state.labels_of = Classifier.load(FOLDER)


async def take() -> None:
    new = await asyncio.to_thread(Classifier.load, FOLDER)
    app.state.labels_of = new
    if TORN:
        await asyncio.sleep(0.3)
    app.state.classifier = new


@app.get("/health/ready")
async def ready():
    # Taken here, because uvicorn has no signal of its own for it.
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(take()))


@app.post("/models/model/reload")
async def reload():
    await take()


@app.post("/predict")
async def predict(request: PredictRequest):
    labels, classifier = app.state.labels_of.classes_, app.state.classifier
    return [
        [{"label": label, "score": score} for label, score in ranked(labels, row)]
        for row in classifier.predict_proba(request.texts)
    ]


if __name__ == "__main__":
    uvicorn.run(app, port=PORT, log_level="warning")
