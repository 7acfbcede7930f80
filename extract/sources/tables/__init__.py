"""What lists pictures: a table, `metadata.csv` beside pictures, COCO's JSON; or holds them: Parquet as data sets are
published. Doors: `table.read_table`, `embedded.read_parquet`.
"""
