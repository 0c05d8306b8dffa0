#!/bin/sh
# Print the path of a Python 3.11 or newer that can make virtual environments, or say what to install and fail.
for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14 python; do
    found=$(command -v "$name" 2>/dev/null) || continue
    if "$found" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "$found"
        exit 0
    fi
done
echo "No Python 3.11 or newer with the venv module was found." >&2
echo "Debian or Ubuntu: apt-get install python3 python3-venv    Fedora: dnf install python3    macOS: brew install python" >&2
echo "Or name one: make PYTHON=/path/to/python3 ..." >&2
exit 1
