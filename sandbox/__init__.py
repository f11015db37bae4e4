# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole organisation of AWS accounts on one machine."""
