#!/usr/bin/env bash
# Runs nginx with the shipped evp.conf in front of a running EVP, on this machine: what is of the
# installation (names, ports, certificate) is replaced, the rest is as it stands. Until SIGTERM.
#
#   EVP_INGEST_PORT=8080 EVP_AGGREGATOR_PORT=8090 EVP_NGINX_PORT=8443 infra/nginx/try.sh FOLDER
#
# The certificate of localhost is FOLDER/cert.pem.
set -euo pipefail
shipped=$(dirname "$0")/evp.conf
folder=$(realpath -m "$1")
mkdir -p "$folder"
NGINX_BIN=${NGINX_BIN:-$(PATH=$PATH:/usr/sbin command -v nginx || true)}
if [ -z "$NGINX_BIN" ]; then
    (
        apt-get update -qq >&2
        # Debian starts it at once, unless told not to.
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            trap 'rm -f "$policy"' EXIT
            printf '#!/bin/sh\nexit 101\n' > "$policy"
            chmod 755 "$policy"
        fi
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light > /dev/null
    )
    NGINX_BIN=/usr/sbin/nginx
fi
[ -e "$folder/cert.pem" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
    -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
    -keyout "$folder/key.pem" -out "$folder/cert.pem" 2> /dev/null
sed -e "s/127\.0\.0\.1:8080/127.0.0.1:$EVP_INGEST_PORT/" -e "s/127\.0\.0\.1:8090/127.0.0.1:$EVP_AGGREGATOR_PORT/" \
    -e "s/listen 443 /listen 127.0.0.1:$EVP_NGINX_PORT /" -e 's#listen 80;#listen unix:plain.sock;#' \
    -e '/listen \[::\]/d' -e 's/evp\.example/localhost/' -e "s#/etc/evp/tls#$folder#" \
    "$shipped" > "$folder/evp.conf"
# In place of Debian's nginx.conf, which writes to /var/log.
cat > "$folder/nginx.conf" <<CONF
daemon off;
pid $folder/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    include $folder/evp.conf;
}
CONF
rm -f "$folder/plain.sock"
sed -i "s#unix:plain.sock#unix:$folder/plain.sock#" "$folder/evp.conf"
exec "$NGINX_BIN" -p "$folder" -e stderr -c "$folder/nginx.conf"
