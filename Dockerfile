# syntax=docker/dockerfile:1
# Two stages: wheels are installed into a virtual environment, which alone goes into the image that runs. Build with
# `--build-arg PYTHON=3.13-slim-bookworm` for another Python, with `--build-arg EXTRAS=name` for an extra of setup.cfg.
# What runs is not root, writes to /data and /tmp only, and is process 1: it handles SIGTERM and SIGHUP itself.
ARG PYTHON=3.12-slim-bookworm

FROM python:${PYTHON} AS build
ARG EXTRAS=""
WORKDIR /src
COPY pyproject.toml setup.cfg README.md LICENSE ./
COPY provider provider
RUN python -m venv /opt/provider \
    && /opt/provider/bin/pip install --no-cache-dir --only-binary :all: --no-binary ocean-stream-provider \
        ".${EXTRAS:+[${EXTRAS}]}" \
    && /opt/provider/bin/pip uninstall --yes pip \
    # Source maps, C sources, type stubs and the tests of libraries: 21 MB that nothing reads here.
    && find /opt/provider -type d \( -name test -o -name tests -o -name SelfTest \) -prune -exec rm -r {} + \
    && find /opt/provider -type f \( -name '*.map' -o -name '*.c' -o -name '*.h' -o -name '*.p[xy][xdi]' \) -delete

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="Provider" \
      org.opencontainers.image.description="Checks orders of Ocean Protocol datasets on chain and streams their files" \
      org.opencontainers.image.licenses="Apache-2.0"
# The base image comes without compiled modules; compiling them at each start, and each health check, takes longer
# than the start itself.
RUN groupadd --system --gid 8030 provider \
    && useradd --system --uid 8030 --gid 8030 --home-dir /data --shell /usr/sbin/nologin provider \
    && install -d -o provider -g provider -m 0750 /data \
    && python -m compileall -q -x '/(test|tests|idlelib|lib2to3)/' \
        "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=build /opt/provider /opt/provider
COPY conf/provider.toml /etc/provider/provider.toml
ENV PATH=/opt/provider/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PROVIDER_CONFIG_FILE=/etc/provider/provider.toml \
    STORAGE_PATH=/data/ocean-provider.db \
    PROVIDER_ADMIN_URL=http://0.0.0.0:8031
USER 8030:8030
WORKDIR /data
VOLUME /data
EXPOSE 8030 8031
STOPSIGNAL SIGTERM
# Asks /healthz on the admin listener. With PROVIDER_ADMIN_URL=off, run with `--no-healthcheck`.
HEALTHCHECK --interval=15s --timeout=3s --start-period=10s \
    CMD ["provider", "health"]
ENTRYPOINT ["provider"]
CMD ["serve"]
