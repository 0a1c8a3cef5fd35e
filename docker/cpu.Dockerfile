# Recast on a Ray node without GPUs. From the root of a checkout:
#   docker build -f docker/cpu.Dockerfile --build-arg RAY_VERSION=$(sed -n 's/^ray==//p' constraints.txt) -t recast:cpu .
# The version of Ray is written once, in constraints.txt; the build fails without it.
ARG RAY_VERSION
FROM rayproject/ray:${RAY_VERSION}-py311-cpu

WORKDIR /home/ray/recast

# What changes seldom first: the dependencies are a layer of their own.
COPY --chown=ray:users constraints.txt constraints-models.txt pyproject.toml README.md LICENSE ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
      > requirements.txt \
    && pip install --no-cache-dir -c constraints.txt -r requirements.txt

COPY --chown=ray:users schemas schemas
COPY --chown=ray:users stages stages
COPY --chown=ray:users actors actors
COPY --chown=ray:users cluster cluster
COPY --chown=ray:users pipeline pipeline
RUN pip install --no-cache-dir --no-deps -c constraints.txt . && recast --version

# Kubernetes only believes a number; the base image calls it "ray".
USER 1000
WORKDIR /home/ray
