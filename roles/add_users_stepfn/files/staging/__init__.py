# SPDX-License-Identifier: GPL-3.0-or-later
"""The functions of the workflow: start, check and stage.

`lines` is packed from plugins/module_utils/_staged_lines.py.
"""
