# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast the pipeline is, beside the least that can be done to the same files and a plain version in pandas."""
