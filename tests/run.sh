#!/bin/sh
# Run every test: the host unit tests (cmocka), then proofs, real programs and real boots (pytest). Called by `make test`
# with the test programs as arguments. With QL_KASAN, which changes the kernel only: the boots alone.
# Ends with the line "N passed, N failed"; exit status 0 only if none failed and some ran.
set -u
results=$BUILD/test-results
rm -rf "$results"
mkdir -p "$results"
passed=0 failed=0 names= # of what failed

# Sanitizers of clang 14 need room that a kernel with much address randomisation may have taken.
fixed=$(setarch -R true 2>/dev/null && echo "setarch -R")

# One host test program: its cases are counted from cmocka's own "[       OK ]" and "[  FAILED  ]" lines;
# a program that dies without saying so is one failure more.
host_program() {
    name=$(basename "$1")
    timeout 300 $fixed "$1" > "$results/$name.log" 2>&1
    status=$?
    ok=$(grep -c '^\[       OK \]' "$results/$name.log")
    bad=$(grep -E '^\[  FAILED  \]' "$results/$name.log" | grep -v 'test(s)' | sort -u | wc -l)
    if [ "$status" != 0 ] && [ "$bad" = 0 ] || [ "$ok" = 0 ]; then
        bad=$((bad + 1))
    fi
    echo "host $name: $ok passed, $bad failed"
    [ "$bad" = 0 ] || tail -n 60 "$results/$name.log"
    [ "$bad" = 0 ] || names="$names $name"
    passed=$((passed + ok)) failed=$((failed + bad))
}

for program in "$@"; do
    host_program "$program"
done

# Which build of the heap tells which planted bug; the checking kernel tries them when it boots.
planted_bugs() {
    "$PYTHON" -B tests/bugs/bugs.py | tee "$results/bugs.log"
    passed=$((passed + $(grep -c '^\[       OK \]' "$results/bugs.log")))
    bad=$(grep -c '^\[  FAILED  \]' "$results/bugs.log")
    grep -q '^\[' "$results/bugs.log" || bad=1
    [ "$bad" = 0 ] || names="$names bugs"
    failed=$((failed + bad))
}
[ -n "${QL_KASAN:-}" ] || planted_bugs

"$PYTHON" -m pytest -p no:cacheprovider -q -n "$(nproc)" --dist=loadgroup --durations=10 \
    --junitxml="$results/boot.xml" $([ -n "${QL_KASAN:-}" ] || echo tests/proof tests/programs) tests/boot
status=$?
counts=$("$PYTHON" - "$results/boot.xml" <<'PY'
import sys, xml.etree.ElementTree as tree
try:
    suite = tree.parse(sys.argv[1]).getroot().find("testsuite")
    tests, bad = int(suite.get("tests")), int(suite.get("failures")) + int(suite.get("errors"))
    skipped = int(suite.get("skipped"))
    wrong = {case.get("name"): None for kind in ("failure", "error") for case in suite.findall(f".//{kind}/..")}
    print(tests - bad - skipped, bad, skipped, *wrong)
except (OSError, tree.ParseError, AttributeError):
    print(0, 1, 0, "no results of pytest")
PY
)
set -f # names may have brackets
set -- $counts
passed=$((passed + $1)) failed=$((failed + $2)) skipped=$3
[ "$status" = 0 ] || [ "$2" != 0 ] || failed=$((failed + 1))
shift 3
names="$names $*"
[ "$skipped" = 0 ] || echo "$skipped boots were left out: this QEMU has not what they need"
[ "$failed" = 0 ] || echo "what failed:$names"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
