# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m sandbox.emulator``: the process behind ``python -m sandbox start``."""

from sandbox.emulator.launcher import main

main()
