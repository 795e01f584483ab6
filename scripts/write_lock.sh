#!/usr/bin/env bash
# Prints the exact versions in the environment of the given interpreter, without the project's own packages.
set -eu
python=$1
echo "# Exact versions of everything that the project runs and is tested with. Written by \`make lock\`."
"$python" -m pip freeze --all --exclude-editable --disable-pip-version-check 2>/dev/null |
    grep -viE '^(glue_|pip==|wheel==)' | sed -E 's/\+cpu$//; s/ @ .*//' | sort -f
