# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pipeline decides: pure functions that know neither Dagster nor AWS."""
