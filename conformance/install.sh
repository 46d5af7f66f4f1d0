#!/bin/sh
# Installs what the conformance suites and the tests of docker/ need: Debian's packages by name, slixmpp with OMEMO into a folder of the project's cache, and a server for the MongoDB driver.
set -eu
cd "$(dirname "$0")/.."

slixmpp_version=1.17.0
slixmpp_omemo_version=2.2.0
python=.cache/conformance/python

missing=''
for package in redis-server profanity tmux python3-venv openssl openjdk-17-jdk-headless maven haproxy coturn iproute2; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
  as_root=''
  [ "$(id -u)" -eq 0 ] || as_root=sudo
  $as_root apt-get update
  # shellcheck disable=SC2086
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
fi

versions="from importlib.metadata import version; print(version('slixmpp'), version('slixmpp-omemo'))"
if [ "$("$python/bin/python" -c "$versions" 2>/dev/null)" != "$slixmpp_version $slixmpp_omemo_version" ]; then
  rm -rf "$python"
  /usr/bin/python3 -m venv "$python"
  "$python/bin/pip" install --quiet --disable-pip-version-check "slixmpp==$slixmpp_version" "slixmpp-omemo==$slixmpp_omemo_version"
fi

mvn --batch-mode --quiet --file conformance/interop/pom.xml dependency:copy-dependencies \
  -DoutputDirectory="$PWD/.cache/conformance/smack"

sh conformance/install-mongodb.sh
