#!/bin/sh
# Gets a server that speaks MongoDB's protocol, for the tests of the driver: a real one where it can be had, else SecantusDB; and FerretDB as a second opinion.
# They are kept outside the tree, so that a fresh clone finds them. storage/contract/mongodb-server.ts picks one.
set -eu
cd "$(dirname "$0")/.."

secantusdb_version=0.7.0b3
ferretdb_version=v1.24.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/waxwing/mongodb
mkdir -p "$cache"

if [ -n "${WAXWING_TEST_MONGODB_URL:-}" ]; then
  echo 'MongoDB: the server of WAXWING_TEST_MONGODB_URL'
elif command -v mongod >/dev/null; then
  echo "MongoDB: $(command -v mongod)"
elif ls "$cache"/mongod-* >/dev/null 2>&1; then
  echo "MongoDB: $(ls "$cache"/mongod-*)"
elif [ -x "$cache/secantusdb/bin/secantusd-py" ] &&
  "$cache/secantusdb/bin/pip" show --quiet --disable-pip-version-check secantusdb 2>/dev/null &&
  [ "$(cat "$cache/secantusdb/version" 2>/dev/null)" = "$secantusdb_version" ]; then
  echo "MongoDB: SecantusDB $secantusdb_version stands in"
elif node --input-type=module -e "
  import { MongoBinary } from 'mongodb-memory-server-core'
  await MongoBinary.getPath({ downloadDir: process.argv[1] })" "$cache" >/dev/null 2>&1; then
  echo "MongoDB: $(ls "$cache"/mongod-*)"
else
  echo "MongoDB: none can be downloaded; SecantusDB $secantusdb_version stands in"
  rm -rf "$cache/secantusdb"
  /usr/bin/python3 -m venv "$cache/secantusdb"
  "$cache/secantusdb/bin/pip" install --quiet --disable-pip-version-check "secantusdb==$secantusdb_version"
  echo "$secantusdb_version" >"$cache/secantusdb/version"
fi

if [ -x "$cache/ferretdb" ]; then
  echo "second opinion: FerretDB $ferretdb_version"
elif command -v go >/dev/null; then
  echo "second opinion: FerretDB $ferretdb_version is built, which takes a minute or two"
  sources=$(mktemp -d)
  # `go install` asks for a list of versions that not every mirror has, and a build of another module's program lacks the file that names its version.
  build() {
    folder=$(cd "$sources" && go mod download -json "github.com/FerretDB/FerretDB@$ferretdb_version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p') &&
      cp -r "$folder" "$sources/ferretdb" &&
      chmod -R u+w "$sources/ferretdb" &&
      echo "$ferretdb_version" >"$sources/ferretdb/build/version/version.txt" &&
      (cd "$sources/ferretdb" && CGO_ENABLED=0 go build -o "$cache/ferretdb" ./cmd/ferretdb 2>"$sources/said")
  }
  build || { echo 'second opinion: none, since FerretDB does not build here'; cat "$sources/said" 2>/dev/null || :; }
  rm -rf "$sources"
else
  echo 'second opinion: none, since there is no Go to build FerretDB with'
fi
