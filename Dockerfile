# Web API, without PyTorch.
#
#     docker build -t soundgan .
#     docker run --rm -p 5050:5050 -e SOUNDGAN_TOKEN=… -v sounds:/sounds soundgan
#
# See docs/deploy.md.
FROM python:3.13-slim-trixie AS build
WORKDIR /source
RUN python -m venv /opt/soundgan
ENV PATH=/opt/soundgan/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir -c constraints.txt '.[serve]'

FROM python:3.13-slim-trixie
RUN useradd --system --create-home --uid 10001 soundgan && install --directory --owner=soundgan /sounds
COPY --from=build /opt/soundgan /opt/soundgan
ENV PATH=/opt/soundgan/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /sounds
VOLUME /sounds
EXPOSE 5050
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:5050/readyz', timeout=12)"]
CMD ["soundgan", "serve", "--host", "0.0.0.0", "--output-folder", "/sounds"]
