"""What every layer uses: units, files, progress, plots. Imports nothing above errors and model."""
