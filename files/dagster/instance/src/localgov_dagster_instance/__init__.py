# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Dagster instance of an account needs beside Dagster: its run launcher and its start."""
