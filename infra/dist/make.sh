#!/usr/bin/env bash
# Puts together what is installed, in dist/: the folder evp, a tarball of it, and SHA256SUMS. PROFILE says
# which build; the services have to be built with EVP_COMMIT, as `make dist` does.
set -euo pipefail
cd "$(dirname "$0")/../.."
profile=${PROFILE:-release}
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
name=evp-$version-$(uname -m)-linux
# Of the commit, so that the same commit makes the same tarball.
epoch=$(git log -1 --format=%ct 2> /dev/null || date +%s)
tools=$PWD/target/tools  # what is installed for this, once

rm -rf dist
mkdir -p dist/evp/bin
for service in ingest processor aggregator; do
    # Line tables are four fifths of them; the names in a backtrace stay.
    strip --strip-debug -o "dist/evp/bin/evp-$service" "target/$profile/evp-$service"
done
cp infra/dist/evp.toml README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT SECURITY.md dist/evp/
shipped=(systemd nginx redis mongo prometheus grafana)
cp -r "${shipped[@]/#/infra/}" dist/evp/
mkdir dist/evp/docs
cp -r docs/*.md docs/*.json docs/{adr,runbooks,screenshots} dist/evp/docs/
python3 infra/dist/links.py dist/evp "${shipped[@]}"

# It writes beside every manifest of the workspace; three of those are of what is shipped.
sbom() {
    local service found
    command -v cargo-cyclonedx > /dev/null || export PATH="$tools/bin:$PATH"
    command -v cargo-cyclonedx > /dev/null ||
        cargo install --quiet --locked --root "$tools" cargo-cyclonedx@0.5.9
    cargo cyclonedx --quiet --format json --spec-version 1.5 --override-filename evp-sbom
    mkdir dist/evp/sbom
    for service in ingest processor aggregator; do
        # Without the folder that this happens to lie in.
        sed "s#file://$PWD#file:///evp#g" "$service/evp-sbom.json" > "dist/evp/sbom/evp-$service.cdx.json"
    done
    for found in $(git ls-files '*Cargo.toml'); do
        rm -f "$(dirname "$found")/evp-sbom.json"
    done
}

sbom
(
    cd dist
    tar --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --transform "s#^evp#evp-$version#" \
        -cf - evp | gzip -n > "$name.tar.gz"
    sha256sum "$name.tar.gz" > SHA256SUMS
)
echo "dist/$name.tar.gz: $(du -h "dist/$name.tar.gz" | cut -f 1), $(dist/evp/bin/evp-ingest --version)"
