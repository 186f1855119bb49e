#!/usr/bin/env bash
# Builds the three images from dist/ without an engine, and runs each service from its own until its
# healthcheck says 0. buildah with chroot isolation, as root on Debian; the base comes from debootstrap, under
# the name that the Dockerfile has for it. `make dist` first.
set -euo pipefail
cd "$(dirname "$0")/../.."
base=target/tools/debian-bookworm
if [ "${1-}" != inside ]; then
    command -v buildah > /dev/null && command -v debootstrap > /dev/null || {
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends buildah debootstrap > /dev/null
    }
    [ -d "$base" ] || {
        mkdir -p target/tools
        debootstrap --variant=minbase bookworm "$base.new" > target/tools/debootstrap.log
        mv "$base.new" "$base"
    }
    ./target/debug/evp-devstack fetch > /dev/null
    # A network of its own, in which the images' ports are free; what is started inside ends with it.
    exec unshare --mount --net --pid --fork --kill-child --mount-proc "$0" inside
fi
python3 infra/checks/loopback.py
[ -n "${EVP_TEST_REDIS_URL-}" ] || exec ./target/debug/evp-devstack test -- "$0" inside

MB_ABOVE_BASE=60
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

b() {
    buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"
}

empty=$(b from scratch)
b add --quiet "$empty" "$base" / > /dev/null
b commit --quiet --rm "$empty" docker.io/library/debian:bookworm-slim > /dev/null

size() {
    b images --json "$1" | python3 -c '
import json, re, sys
number, unit = re.match(r"([\d.]+) (\w+)", json.load(sys.stdin)[0]["size"]).groups()
print(float(number) * {"KB": 0.001, "MB": 1, "GB": 1000}[unit])'
}

config() {
    b inspect --type image "evp-$1" | python3 -c '
import json, sys
config = json.load(sys.stdin)["Docker"]["config"]
print(" ".join(config[sys.argv[1]]["Test"][1:] if sys.argv[1] == "Healthcheck" else config[sys.argv[1]]))' "$2"
}

run() {
    local service=$1 container number
    shift
    container=$(b from --pull-never "evp-$service")
    local environment=(--env EVP__ADMIN__TOKEN=0123456789abcdef0123456789abcdef
        --env "EVP__REDIS__URL=$EVP_TEST_REDIS_URL" --env "EVP__MONGO__URI=$EVP_TEST_MONGO_URL"
        --env EVP__REDIS__KEY_PREFIX=image --env EVP__MONGO__DATABASE=image
        --env EVP__SERVER__PLAINTEXT=behind_proxy --env EVP__SERVER__TRUSTED_PROXIES=127.0.0.1/32
        --env EVP__AGGREGATOR__PUBLIC_URL=https://evp.example)
    inside() {
        # shellcheck disable=SC2046
        b run --isolation chroot "${environment[@]}" "$container" -- $(config "$service" "$1")
    }
    inside Entrypoint > "$work/$service.log" 2>&1 &
    local running=$! said
    for number in $(seq 150); do
        if said=$(inside Healthcheck 2>&1); then
            echo "evp-$service: $number looks, $said"
            return
        fi
        kill -0 "$running" 2> /dev/null || break
        sleep 0.4
    done
    cat "$work/$service.log"
    echo "evp-$service is not ready: $said"
    return 1
}

base_size=$(size docker.io/library/debian:bookworm-slim)
for service in ingest processor aggregator; do
    b build --quiet --isolation chroot --pull-never --format docker --target "$service" \
        --build-context build=dist --file infra/container/Dockerfile --tag "evp-$service" . > /dev/null
    python3 -c '
import sys
service, size, base, most = sys.argv[1], *map(float, sys.argv[2:])
print(f"evp-{service}: {size - base:.0f} MB above its base")
sys.exit(size - base > most)' "$service" "$(size "evp-$service")" "$base_size" "$MB_ABOVE_BASE"
done
# The aggregator says who may come in, and ingest waits for that.
for service in aggregator ingest processor; do
    run "$service"
done
