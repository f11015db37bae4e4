# SPDX-License-Identifier: GPL-3.0-or-later
"""What Dagster sees. Each pipeline is a package, its modules in reading order."""
