"""Add predicted labels to a Spark DataFrame.

spark-submit examples/frames/in_spark.py MODEL IN OUT

Every worker needs Gatewise, and the model folder at the same path, such as on a shared disk. A
worker loads the model once.
"""

import sys
from collections.abc import Iterator

import pandas as pd
from pyspark.sql import DataFrame, SparkSession

import gatewise


def with_labels(frame: DataFrame, model: str) -> DataFrame:
    """Adds `predicted_label` and `predicted_score` to a frame with the column `text`."""

    def scored(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            yield batch.assign(**gatewise.score_texts(batch["text"], model, workers=1))

    schema = f"{frame.schema.toDDL()}, predicted_label STRING, predicted_score FLOAT"
    return frame.mapInPandas(scored, schema)


def main(model: str, source: str, output: str) -> None:
    """Reads Parquet files, and writes them with labels."""
    spark = SparkSession.builder.appName("gatewise").getOrCreate()
    try:
        with_labels(spark.read.parquet(source), model).write.parquet(output)
    finally:
        spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
