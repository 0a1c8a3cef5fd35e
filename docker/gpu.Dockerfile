# Recast with the models of its profiles, on a Ray node with NVIDIA GPUs. From the root of a checkout:
#   docker build -f docker/gpu.Dockerfile --build-arg RAY_VERSION=$(sed -n 's/^ray==//p' constraints.txt) -t recast:gpu .
# The version of Ray is written once, in constraints.txt; the build fails without it. Weights are not in the image:
# `recast models pull` fills a cache that nodes can share (HF_HOME).
ARG RAY_VERSION
FROM rayproject/ray:${RAY_VERSION}-py311-cpu

WORKDIR /home/ray/recast

# torch's wheels bring CUDA with them, so the base image need not; the driver comes from the node.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

# What changes seldom first: the dependencies are a layer of their own.
COPY --chown=ray:users constraints.txt constraints-models.txt pyproject.toml README.md LICENSE ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*p['dependencies'], *p['optional-dependencies']['models'], *p['optional-dependencies']['vllm'], sep='\n')" \
      > requirements.txt \
    && pip install --no-cache-dir -c constraints.txt -c constraints-models.txt -r requirements.txt

COPY --chown=ray:users schemas schemas
COPY --chown=ray:users stages stages
COPY --chown=ray:users actors actors
COPY --chown=ray:users cluster cluster
COPY --chown=ray:users pipeline pipeline
RUN pip install --no-cache-dir --no-deps -c constraints.txt . && recast --version

# Kubernetes only believes a number; the base image calls it "ray".
USER 1000
WORKDIR /home/ray
