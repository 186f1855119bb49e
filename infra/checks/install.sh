#!/usr/bin/env bash
# Follows docs/INSTALL.md to the letter, from the tarball in dist/: Redis under our users, mongod with
# SCRAM, the units' commands, nginx with TLS, keys, and the first event. In namespaces of its own, so that
# default ports and /etc are those of a new machine. As root, on Debian.
#
# Stood in for: systemd by infra/checks/stand-ins/systemctl, mongosh likewise, and apt-get, as the packages
# are installed before.
set -euo pipefail
cd "$(dirname "$0")/../.."
export EVP_CHECK_ROOT=$PWD

packages() (
    local missing=()
    command -v curl > /dev/null || missing+=(curl)
    command -v redis-server > /dev/null || missing+=(redis-server)
    [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
    [ "${#missing[@]}" = 0 ] && return
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod 755 "$policy"
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
)

if [ "${1-}" != inside ]; then
    packages
    EVP_CHECK_MONGOD=$(./target/debug/evp-devstack fetch | awk '$1 == "mongod" { print $NF }')
    export EVP_CHECK_MONGOD EVP_CHECK_MONGODB=$PWD/aggregator/dashboard/node_modules/mongodb
    [ -d "$EVP_CHECK_MONGODB" ] || npm ci --silent --prefix aggregator/dashboard
    # What is started inside ends with it.
    exec unshare --mount --net --pid --fork --kill-child --mount-proc "$0" inside
fi

python3 infra/checks/loopback.py
work=$(mktemp -d)
for folder in /etc/evp /etc/redis /etc/nginx/conf.d /etc/systemd/system /usr/local/bin /run /var/lib/redis /var/log/nginx /var/lib/nginx; do
    mkdir -p "$folder"
    mount -t tmpfs tmpfs "$folder"
done
mount -t tmpfs tmpfs "$work"
chown redis: /var/lib/redis
printf '127.0.0.1 localhost evp.example\n' > "$work/hosts"
mount --bind "$work/hosts" /etc/hosts

mkdir "$work/bin" "$work/mongo" "$work/new"
cp infra/checks/stand-ins/* "$work/bin/"
printf '#!/bin/sh\n' > "$work/bin/apt-get"
chmod +x "$work/bin/apt-get"
export PATH=$work/bin:$PATH:/usr/sbin

# What the page leaves to others: a mongod with its first user, and a certificate.
"$EVP_CHECK_MONGOD" --auth --dbpath "$work/mongo" --bind_ip 127.0.0.1 > "$work/mongod.log" &
export MONGO_PASSWORD=first
for try in $(seq 60); do
    ! MONGO_PASSWORD='' mongosh mongodb://127.0.0.1/admin --command admin \
        '{"createUser":"root","pwd":"first","roles":["root"]}' > "$work/first" 2>&1 || break
    [ "$try" != 60 ] && kill -0 "$!" || { cat "$work/first"; exit 1; }
    sleep 0.3
done
mkdir -p /etc/evp/tls
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=evp.example \
    -addext subjectAltName=DNS:evp.example -keyout /etc/evp/tls/key.pem -out /etc/evp/tls/cert.pem 2> /dev/null
export CURL_CA_BUNDLE=/etc/evp/tls/cert.pem

# The page's own commands, in their order, in one shell.
cp "$EVP_CHECK_ROOT"/dist/*.tar.gz "$EVP_CHECK_ROOT"/dist/SHA256SUMS "$work/new/"
sed -n '/^```sh$/,/^```$/{/^```/d;p}' docs/INSTALL.md > "$work/page.sh"
cd "$work/new"
cat > "$work/run.sh" <<RUN
set -euo pipefail
. "$work/page.sh"
echo
for try in \$(seq 100); do
    counted=\$(curl -s "https://\$name/metrics?window=all" -H "authorization: Bearer \$EVP_ADMIN_KEY")
    listed=\$(curl -s "https://\$name/events?limit=5" -H "authorization: Bearer \$EVP_ADMIN_KEY")
    case "\$counted \$listed" in *'"events":1,'*'"items":[{"id"'*'"userId":"alice"'*)
        echo "the first event is counted and listed: \$listed"
        exit 0
    esac
    sleep 0.2
done
echo "the first event did not arrive: \$counted \$listed"
exit 1
RUN
bash "$work/run.sh" || {
    tail -n 20 /run/*.log | cut -c 1-300
    exit 1
}
