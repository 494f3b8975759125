FROM python:3.12-slim

# One image for the command line and for `osc worker`. psycopg's binary wheel brings libpq with it.
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY osc ./osc
RUN pip install . && rm -rf /src

RUN useradd --system --uid 10001 --create-home osc
# By number, so that Kubernetes can see for itself that it is not root (runAsNonRoot).
USER 10001
WORKDIR /plans

ENTRYPOINT ["osc"]
CMD ["--help"]
