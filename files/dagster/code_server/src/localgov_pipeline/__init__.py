# SPDX-License-Identifier: GPL-3.0-or-later
"""The data pipeline of a local authority, and of the organisation that reads what authorities share."""
