#!/usr/bin/env bash
# Builds the services of the last release, whose commit infra/dist/previous names, into
# target/previous/COMMIT/bin, as `make dist` lays them, with the profile DIST_PROFILE (dev). Does nothing when
# they are there.
set -euo pipefail
cd "$(dirname "$0")/../.."
commit=$(cat infra/dist/previous)
profile=${DIST_PROFILE:-dev}
kept=$PWD/target/previous/$commit
[ ! -d "$kept/bin" ] || exit 0

git cat-file -e "$commit^{commit}" 2> /dev/null || {
    echo "commit $commit, the last release, is not in this clone: \`git fetch --unshallow\`, or name a folder" \
        "that \`make dist\` made of it: EVP_PREVIOUS=..." >&2
    exit 1
}
work=$(mktemp -d "$PWD/target/previous.XXXXXX")
trap 'git worktree remove --force "$work/source"; rm -rf "$work"' EXIT
git worktree add --quiet --detach "$work/source" "$commit"
# Not the target of this tree: members of both have the same names in it.
export CARGO_TARGET_DIR=$work/built EVP_COMMIT=${commit:0:12}
services=(evp-ingest evp-processor evp-aggregator)
(cd "$work/source" && cargo build --locked --profile "$profile" --workspace "${services[@]/#/--bin=}")
[ "$profile" != dev ] || profile=debug
# Moved at the end, so that what is there is whole.
mkdir -p "$work/kept/bin" "$(dirname "$kept")"
cp "${services[@]/#/$work/built/$profile/}" "$work/kept/bin/"
mv "$work/kept" "$kept"
