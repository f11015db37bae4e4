# SPDX-License-Identifier: GPL-3.0-or-later
"""Upload service of a local authority's data pipeline."""
