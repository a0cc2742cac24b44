"""The remediation timeline, kept between runs."""
