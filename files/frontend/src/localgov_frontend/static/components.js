// SPDX-License-Identifier: GPL-3.0-or-later
import { initAll } from "/govuk/govuk-frontend.min.js";

initAll();
