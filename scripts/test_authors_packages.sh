#!/usr/bin/env bash
# Runs the tests of the adapters of the authors' own packages (segment-anything, open_clip_torch, groundingdino-py).
# They need versions that the project does not, so each set lies in a layer over the project's environment.
set -euo pipefail
bin=$1
root=$(cd "$(dirname "$0")/.." && pwd)
project_packages=$("$bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

for layer in authors_packages groundingdino; do
    requirements=$root/tests/environments/$layer.txt
    venv=$root/build/.$layer
    if [ ! -f "$venv/.ready" ] || [ "$requirements" -nt "$venv/.ready" ]; then
        "$bin/python" -m venv --clear "$venv"
        # What this layer lacks comes from the project's environment; site.addsitedir takes its editable packages along.
        echo "import site; site.addsitedir('$project_packages')" \
            > "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_project.pth"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
            -r "$requirements" 2> >(grep -v '^WARNING: Location' >&2)
        touch "$venv/.ready"
    fi
    echo "adapters with $layer:"
    case $layer in groundingdino) tests=groundingdino ;; *) tests="not groundingdino" ;; esac
    # Here all that they need is installed: a skipped test is a failure.
    (cd "$root" && "$venv/bin/python" -m pytest -q -rs -k "$tests" src/glue_perception/test/test_package_adapters.py) |
        tee "$venv/tests.txt"
    if grep -q ' skipped' "$venv/tests.txt"; then
        echo "error: tests of $layer were skipped although all that they need was installed"
        exit 1
    fi
done
