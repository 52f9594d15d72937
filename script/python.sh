# shellcheck shell=sh
# Sourced by script/demo and script/test: finds a Python that can make a virtual environment
# and sets $python, or says what to install and exits.

python=
for candidate in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
    if "$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done

if [ -z "$python" ]; then
    if ! version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null); then
        found="there is no python3"
    elif python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        found="python3 ($version) has no ensurepip, so it cannot make a virtual environment"
    else
        found="python3 ($version) is too old"
    fi
    echo "$0: $found. Install Python 3.11 or newer with venv:" \
        "\`apt-get install python3 python3-venv\` (Debian 12 or newer)," \
        "\`dnf install python3.11\` or newer (RHEL, Fedora)." >&2
    exit 1
fi
