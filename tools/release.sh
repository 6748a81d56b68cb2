# Run the quick tests under each Python named, in an environment of its own for each version; say which are not here.
set -u
absent= failed= ran=
for python in "$@"; do
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || { absent="$absent $python"; continue; }
    echo "Python $version, in .venv-$version:"
    ran="$ran $version"
    "${MAKE:-make}" --no-print-directory test-quick PYTHON="$python" VENV=".venv-$version" || failed="$failed $version"
done
[ -z "$absent" ] || echo "not here, so not tested:$absent"
[ -n "$ran" ] || { echo "error: none of these is here; name one: make test-release PYTHON=/path/to/python3.12" >&2; exit 1; }
[ -z "$failed" ] || { echo "error: the tests failed under:$failed" >&2; exit 1; }
echo "the tests pass under:$ran"
