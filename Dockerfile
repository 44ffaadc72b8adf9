# starling-py, compiled, in two stages: docker build -t starling-py .
# Try it: docker run -p 127.0.0.1:22122:22122 -v starling:/var/spool/starling starling-py \
#     --host 0.0.0.0 --insecure
# For more than that, mount a configuration with users or allow_from (docs/security.md), give its
# name (--config FILE), and let HEALTHCHECK say who it is: STARLING_USER, STARLING_PASSWORD_FILE.

# Any image of Debian or its kin with Python 3.11 or newer, its venv and its headers.
ARG PYTHON=python:3.12-slim

FROM ${PYTHON} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/starling
COPY . /src
ENV HATCH_BUILD_HOOK_ENABLE_CUSTOM=true
RUN /opt/starling/bin/pip install --no-cache-dir "/src[json]"

FROM ${PYTHON}
COPY --from=build /opt/starling /opt/starling
RUN mkdir -p /var/spool/starling /etc/starling \
    && chown 22122:22122 /var/spool/starling
ENV PATH=/opt/starling/bin:$PATH
USER 22122:22122
VOLUME /var/spool/starling
EXPOSE 22122
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["starling-ctl", "--timeout", "3", "ping"]
ENTRYPOINT ["starling-py"]
