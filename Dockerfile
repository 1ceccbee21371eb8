# glossd with its embedded model, on a CPU unless told otherwise.
#
#   BASE_IMAGE   a Debian-like base with Python 3.11 to 3.13 and its venv module
#   PYTHON       the interpreter's name or path in that base
#   TORCH_INDEX  an extra package index that holds CPU-only builds of torch. Without one pip takes torch from its own
#                index, where the build for x86 Linux carries CUDA: it works on a CPU as well, and is 4 GB larger
#   TORCH_SPEC   another build of torch, say a CUDA one: torch==2.13.0+cu130, with its index in TORCH_INDEX
#   REVISION     the commit, for the label
#
# pip's settings of the building machine can be lent to the build: --secret id=pip,src=/etc/pip.conf
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

# pip and the build backend, neither of which the run stage gets
FROM base AS tools
ARG PYTHON=python3
WORKDIR /src
COPY pyproject.toml constraints.txt ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    ${PYTHON} -m venv /tools && /tools/bin/python -m pip install -q -c constraints.txt hatchling

# the libraries: rebuilt only when the pins change
FROM tools AS libraries
ARG PYTHON=python3
ARG TORCH_INDEX=
ARG TORCH_SPEC=
RUN ${PYTHON} -m venv --without-pip /opt/glossd && \
    /tools/bin/python -c "import tomllib; \
print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > requirements.txt
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /tools/bin/python -m pip --python /opt/glossd/bin/python install -q -c constraints.txt -r requirements.txt \
    ${TORCH_SPEC} ${TORCH_INDEX:+--extra-index-url ${TORCH_INDEX}} && \
    /opt/glossd/bin/python -c "import torch; print('torch', torch.__version__, 'CUDA', torch.version.cuda)"

# the package: a wheel from the sources, with its C compiled, installed among the libraries; /added gets the files
# that this brought
FROM libraries AS package
RUN apt-get update -q && apt-get install -qy --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY README.md LICENSE NOTICE hatch_build.py ./
COPY service service
RUN /tools/bin/python -m hatchling build -t wheel -d /wheels && touch /before && \
    /tools/bin/python -m pip --python /opt/glossd/bin/python install -q --no-index --no-deps /wheels/*.whl && \
    mkdir /added && cd / && find opt/glossd -cnewer /before ! -type d -exec cp -a --parents -t /added {} +

# what runs: a big layer of libraries that releases share, and a small one with the package
FROM base AS run
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin glossd && \
    mkdir -p /models && chown 10001:10001 /models
COPY --from=libraries /opt/glossd /opt/glossd
COPY --from=package /added /

# Nothing is written outside /tmp and /models, so the root file system can be read-only. Models are fetched by
# `glossd models fetch` into /models, never while serving.
ENV PATH=/opt/glossd/bin:$PATH HOME=/tmp HF_HOME=/models HF_HUB_OFFLINE=1
USER 10001:10001
WORKDIR /tmp
VOLUME /models
EXPOSE 50051
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 CMD ["glossd", "health", "--timeout", "2"]
ENTRYPOINT ["glossd"]
CMD ["serve", "--host", "0.0.0.0"]
ARG REVISION=
LABEL org.opencontainers.image.title="glossd" \
      org.opencontainers.image.description="gRPC service that summarizes and translates articles" \
      org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-SA-4.0" \
      org.opencontainers.image.revision="${REVISION}"
