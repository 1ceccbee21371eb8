# glossd with its embedded model, on a CPU unless told otherwise.
#
#   BASE_IMAGE   a Debian-like base with Python 3.11 to 3.13 and its venv module; name it by digest for a build that
#                can be repeated
#   PYTHON       the interpreter's name or path in that base
#   TORCH        which build of torch: cpu, cuda, or the X of another deploy/image/torch-X.txt
#   TORCH_INDEX  an extra package index that holds that build; pip's own index has no CPU-only one for x86 Linux
#   EXTRAS       "ray" adds the libraries of deploy/image/extra-ray.txt, for a corpus over a Ray cluster
#   VERSION, REVISION, CREATED  for the labels
#
# Every file that pip installs has its SHA-256 in deploy/image/*.txt (`make locks`), and none is built from source.
# pip's settings of the building machine can be lent to the build: --secret id=pip,src=/etc/pip.conf
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

# pip, the build backend and what writes the bill of materials, none of which the run stage gets
FROM base AS tools
ARG PYTHON=python3
WORKDIR /src
COPY deploy/image/tools.txt ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    ${PYTHON} -m venv /tools && /tools/bin/python -m pip install -q --only-binary=:all: --require-hashes -r tools.txt

# the libraries: rebuilt only when the locks change
FROM tools AS libraries
ARG PYTHON=python3
ARG TORCH=cpu
ARG TORCH_INDEX=
ARG EXTRAS=
COPY deploy/image ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    ${PYTHON} -m venv --without-pip /opt/glossd && \
    { /tools/bin/python -m pip --python /opt/glossd/bin/python install -q --only-binary=:all: --require-hashes \
        -r libraries.txt -r "torch-${TORCH}.txt" ${EXTRAS:+-r extra-${EXTRAS}.txt} ${TORCH_INDEX:+--extra-index-url ${TORCH_INDEX}} || \
      { echo "If torch was not found: name an index of ${TORCH} builds in TORCH_INDEX, or take TORCH=cuda" && exit 1; }; \
    } && /opt/glossd/bin/python -c "import torch; print('torch', torch.__version__, 'CUDA', torch.version.cuda)"

# the package: a wheel from the sources, with its C compiled, installed among the libraries; /added gets the files
# that this brought, and the bill of materials of it all
FROM libraries AS package
RUN apt-get update -q && apt-get install -qy --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml README.md LICENSE NOTICE hatch_build.py ./
COPY service service
RUN /tools/bin/python -m hatchling build -t wheel -d /wheels && touch /before && \
    /tools/bin/python -m pip --python /opt/glossd/bin/python install -q --no-index --no-deps /wheels/*.whl && \
    /tools/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-format JSON \
        --output-file /opt/glossd/sbom.cdx.json /opt/glossd/bin/python && \
    mkdir /added && cd / && find opt/glossd -cnewer /before ! -type d -exec cp -a --parents -t /added {} +

# what runs: a big layer of libraries that releases share, and a small one with the package
FROM base AS run
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin glossd && \
    mkdir -p /models && chown 10001:10001 /models
COPY --from=libraries /opt/glossd /opt/glossd
COPY --from=package /added /

# Nothing is written outside /tmp and /models, so the root file system can be read-only. Models are fetched by
# `glossd models fetch` into /models, never while serving.
ENV PATH=/opt/glossd/bin:$PATH HOME=/tmp HF_HOME=/models HF_HUB_OFFLINE=1 RAY_USAGE_STATS_ENABLED=0
USER 10001:10001
WORKDIR /tmp
VOLUME /models
EXPOSE 50051 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 CMD ["glossd", "health", "--timeout", "2"]
ENTRYPOINT ["glossd"]
CMD ["serve", "--host", "0.0.0.0"]
ARG BASE_IMAGE
ARG TORCH=cpu
ARG VERSION=
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.title="glossd" \
      org.opencontainers.image.description="gRPC service that summarizes and translates articles" \
      org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-SA-4.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      glossd.torch="${TORCH}" \
      glossd.sbom="/opt/glossd/sbom.cdx.json"
