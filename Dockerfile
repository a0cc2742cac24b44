# The compliance monitor. BASE is any image with Python 3.11 or newer and pip.
ARG BASE=python:3.13-slim
FROM ${BASE}

# A wheel made by `python -m build --wheel`, and what it needs from the locked requirements.
COPY requirements/monitor.txt /tmp/requirements.txt
COPY dist/*.whl /tmp/
RUN pip install --no-cache-dir --require-hashes -r /tmp/requirements.txt \
 && pip install --no-cache-dir --no-deps /tmp/*.whl \
 && rm -r /tmp/*.whl /tmp/requirements.txt

# HOME holds the archive of metrics; the socket's group is given by the compose file.
RUN mkdir -p /var/lib/capacity && chown 10499:10499 /var/lib/capacity
ENV HOME=/var/lib/capacity PYTHONUNBUFFERED=1
USER 10499:10499
WORKDIR /app
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health', timeout=4)"]
ENTRYPOINT ["capacity"]
CMD ["monitor", "--host", "0.0.0.0", "--port", "8080"]
