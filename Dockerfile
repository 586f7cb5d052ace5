# Two images from one checkout: `service` (the default; no TensorFlow in it) and `train`.
#
#   docker build -t gatewise .
#   docker build -t gatewise-train --target train .

FROM python:3.11-slim AS source
WORKDIR /source
RUN python -m venv /opt/gatewise
COPY pyproject.toml README.md constraints.txt ./
COPY vocab vocab
COPY service service
COPY training training
COPY gatewise gatewise

FROM source AS install-service
RUN /opt/gatewise/bin/pip install --no-cache-dir --constraint constraints.txt ".[serve]"

FROM source AS install-train
RUN /opt/gatewise/bin/pip install --no-cache-dir --constraint constraints.txt ".[train]"

FROM python:3.11-slim AS runtime
ENV PATH=/opt/gatewise/bin:$PATH \
    PYTHONUNBUFFERED=1
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001

FROM runtime AS train
COPY --from=install-train /opt/gatewise /opt/gatewise
WORKDIR /work
ENTRYPOINT ["gatewise"]
CMD ["--help"]

FROM runtime AS service
COPY --from=install-service /opt/gatewise /opt/gatewise
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"]
CMD ["gatewise", "serve", "/model", "--host", "0.0.0.0"]
