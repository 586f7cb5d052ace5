"""Texts of a Spark frame with their labels.

spark-submit examples/frames/in_spark.py MODEL IN OUT

Gatewise has to be installed on every worker, and the model folder to lie there under the same
path, on a shared disk say. A worker loads it once.
"""

import sys
from collections.abc import Iterator

import pandas as pd
from pyspark.sql import DataFrame, SparkSession

import gatewise


def with_labels(frame: DataFrame, model: str) -> DataFrame:
    """A frame with a column `text`, and `label` and `score` beside it."""

    def scored(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            yield batch.assign(**gatewise.score_texts(batch["text"], model, workers=1))

    schema = f"{frame.schema.toDDL()}, label STRING, score FLOAT"
    return frame.mapInPandas(scored, schema)


def main(model: str, source: str, output: str) -> None:
    """Reads a table of Parquet, writes it with the labels."""
    spark = SparkSession.builder.appName("gatewise").getOrCreate()
    try:
        with_labels(spark.read.parquet(source), model).write.parquet(output)
    finally:
        spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
