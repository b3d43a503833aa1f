# Two stages: wheels are installed into a virtual environment, which alone goes into the image that runs.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml setup.cfg README.md LICENSE ./
COPY provider provider
RUN python -m venv /opt/provider \
    && /opt/provider/bin/pip install --no-cache-dir --only-binary :all: --no-binary ocean-stream-provider .

FROM python:3.12-slim
RUN useradd --system --uid 8030 --home-dir /data --shell /usr/sbin/nologin provider \
    && install -d -o provider -g provider /data
COPY --from=build /opt/provider /opt/provider
COPY conf/provider.toml /etc/provider/provider.toml
ENV PATH=/opt/provider/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PROVIDER_CONFIG_FILE=/etc/provider/provider.toml \
    STORAGE_PATH=/data/ocean-provider.db \
    PROVIDER_ADMIN_URL=http://0.0.0.0:8031
USER provider
VOLUME /data
EXPOSE 8030 8031
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8031/healthz', timeout=2)"]
ENTRYPOINT ["provider"]
CMD ["serve"]
