"""Tests of capacity._collect."""
