#!/bin/sh
# A demonstration on real text: prepare, train, compare, score, predict. Run by `make demo`.
#
#   examples/languages/demo.sh FOLDER [OPTION OF gatewise train ...]
set -eu

folder=$1
shift
here=$(dirname "$0")

say() { printf '\n\033[1m%s\033[0m\n' "\$ $*"; }
run() { say "$@"; "$@"; }

run python "$here/prepare.py" --out "$folder"
run gatewise train "$folder/train.csv" --validation "$folder/validation.csv" \
    --test "$folder/test.csv" --config "$here/languages.toml" --out "$folder/model" "$@"
run python "$here/baseline.py" "$folder" --model "$folder/model"
run gatewise score "$folder/model" "$folder/test.csv" --out "$folder/scored.csv"
run head -n 4 "$folder/scored.csv"
run gatewise predict "$folder/model" "Where is the nearest station?" \
    "Où est la gare la plus proche ?" "Wo ist der nächste Bahnhof?" "最寄りの駅はどこですか" \
    "Где находится ближайший вокзал?"
