"""The collector: samples what containers use, where no metrics server does.

It runs for months beside what it measures, so it stays small: tables and Parquet are the business
of another process, which lives for a second every step (`capacity._collect.store`).
"""
