#!/usr/bin/env bash
# k6's smoke test and the browser tests through Debian's nginx with the shipped file, TLS and keys.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
devstack=${EVP_DEVSTACK:-$PWD/target/debug/evp-devstack}
pids=()
ended() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null && wait "$pid" || true; done
    rm -rf "$folder"
}
trap ended EXIT

eval "$(python3 infra/checks/free_ports.py REDIS MONGO INGEST AGGREGATOR INGEST_ADMIN PROCESSOR_ADMIN \
    AGGREGATOR_ADMIN NGINX)"
origin=https://localhost:$EVP_NGINX_PORT
EVP_DATA_DIR=$folder/data AUTH=keys EVP_PUBLIC_URL=$origin "$devstack" run > "$folder/log" 2>&1 &
pids+=($!)
until grep -q 'Try it in another shell' "$folder/log"; do
    kill -0 "${pids[0]}" || { cat "$folder/log"; exit 1; }
    sleep 0.2
done
infra/nginx/try.sh "$folder/nginx" &
pids+=($!)
until [ -e "$folder/nginx/nginx.pid" ]; do
    kill -0 "${pids[1]}"
    sleep 0.1
done
set -a
. "$folder/data/keys"
set +a
SSL_CERT_FILE=$folder/nginx/cert.pem BASE_URL=$origin AGGREGATOR_URL=$origin \
    "$devstack" k6 run --quiet --no-color k6/smoke.js
ended
pids=()
unset EVP_WRITE_KEY EVP_ADMIN_KEY EVP_OPERATOR_KEY

EVP_NGINX=$PWD/infra/nginx/try.sh EVP_DEVSTACK=$devstack NODE_TLS_REJECT_UNAUTHORIZED=0 \
    npm --prefix aggregator/dashboard run --silent browser
