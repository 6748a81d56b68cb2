"""Suites of times: each measures wsjax beside the alternatives and reports rows."""
