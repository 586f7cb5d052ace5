# Two images from one checkout: `service` (the default; no TensorFlow in it) and `train`.
#
#   docker build -t gatewise .
#   docker build -t gatewise-train --target train .
#
# PYTHON may name the same image by its digest, or a mirror of it.
ARG PYTHON=python:3.11-slim-bookworm

# What is installed with, and not in the images: pip, and the project's own wheel.
FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
RUN python -m venv --without-pip /opt/gatewise

# The packages before the code, so that a change of the code installs none of them again. Wheels
# alone: nothing is compiled, so there is no compiler.
FROM build AS requirements
COPY pyproject.toml constraints.txt ./
COPY deploy/requirements.py deploy/requirements.py

FROM requirements AS service-packages
RUN python deploy/requirements.py pyproject.toml serve > requirements.txt && \
    pip --python /opt/gatewise/bin/python install --only-binary :all: \
    --constraint constraints.txt --requirement requirements.txt

FROM requirements AS train-packages
RUN python deploy/requirements.py pyproject.toml train > requirements.txt && \
    pip --python /opt/gatewise/bin/python install --only-binary :all: \
    --constraint constraints.txt --requirement requirements.txt

FROM build AS wheel
COPY pyproject.toml setup.py README.md ./
COPY vocab vocab
COPY service service
COPY training training
COPY gatewise gatewise
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM service-packages AS install-service
COPY --from=wheel /wheels /wheels
RUN pip --python /opt/gatewise/bin/python install --no-index --no-deps /wheels/*.whl

FROM train-packages AS install-train
COPY --from=wheel /wheels /wheels
RUN pip --python /opt/gatewise/bin/python install --no-index --no-deps /wheels/*.whl

FROM ${PYTHON} AS runtime
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Gatewise" \
      org.opencontainers.image.description="A small text classifier over HTTP" \
      org.opencontainers.image.version="${VERSION}"
ENV PATH=/opt/gatewise/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001

FROM runtime AS train
COPY --from=install-train /opt/gatewise /opt/gatewise
WORKDIR /work
ENTRYPOINT ["gatewise"]
CMD ["--help"]

FROM runtime AS service
COPY --from=install-service /opt/gatewise /opt/gatewise
# Several are named with `:` between them, as in spam=/model/spam:topics=/model/topics.
ENV GATEWISE_MODEL=/model
EXPOSE 8000
# Requests under way are answered first, for GATEWISE_SHUTDOWN_SECONDS.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"]
CMD ["gatewise", "serve", "--host", "0.0.0.0"]
