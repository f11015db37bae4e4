# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of a file through the platform, walked with the means that each party really has.

A person has the frontend's pages, a principal has its role's session. `make demo` prints the way step by step, the
end-to-end tests check it.
"""
