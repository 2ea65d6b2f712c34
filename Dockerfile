# probeflow and its servers, so that versions are pinned once (constraints.txt). Two targets:
#   cpu  PyTorch without CUDA, from PyTorch's own index: 0.2 GB instead of 3. Servers, set-up, parents of pipelines.
#   gpu  PyTorch with CUDA, as PyPI has it. Needs the host's NVIDIA driver and container toolkit alone.
FROM python:3.11.14-slim-bookworm AS base
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /build
COPY pyproject.toml constraints.txt ./
# What the project needs without the project, so that a change of its code installs nothing anew.
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
    print(*p['dependencies'], *p['optional-dependencies']['team'], sep='\n')" > requirements.txt \
    && python -m venv /venv

FROM base AS cpu-packages
# A local version such as 2.14.1+cpu meets the pin 2.14.1, and pip takes it before PyPI's.
RUN /venv/bin/pip install --constraint constraints.txt --requirement requirements.txt \
    --extra-index-url https://download.pytorch.org/whl/cpu

FROM base AS gpu-packages
RUN /venv/bin/pip install --constraint constraints.txt --requirement requirements.txt

FROM python:3.11.14-slim-bookworm AS run
# The volumes' mount points belong to the user, and a new named volume takes its owner from them.
RUN groupadd --gid 10001 probeflow && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp probeflow \
    && mkdir /data /artifacts /prefect && chown 10001:10001 /data /artifacts /prefect
# PYTHONPATH: a worker runs flows in folders of their own, and finds them by their module's name.
# GIT_PYTHON_REFRESH: MLflow looks for git, which is not here, and would warn of it in every run.
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 GIT_PYTHON_REFRESH=quiet
WORKDIR /app
USER 10001:10001
CMD ["python", "-m", "flows", "--help"]

FROM run AS cpu
COPY --from=cpu-packages /venv /venv
COPY . .
ARG COMMIT
ENV PROBEFLOW_COMMIT=$COMMIT

FROM run AS gpu
COPY --from=gpu-packages /venv /venv
COPY . .
ARG COMMIT
ENV PROBEFLOW_COMMIT=$COMMIT
