# SPDX-License-Identifier: GPL-3.0-or-later
"""ministack, started as this sandbox needs it: one module for each thing that AWS does and ministack does not.

Each module that changes ministack has

* ``NEEDS``: the dotted ministack names that it uses or replaces;
* ``install(settings)``: puts its change in place, before the first request.

Before it listens, the launcher makes sure that every needed name exists (``internals``) and that the policies which
keep accounts apart hold for real, signed requests (``self_test``). So an emulator whose insides have moved stops the
start with one clear sentence instead of answering wrongly later.
"""
