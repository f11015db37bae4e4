// SPDX-License-Identifier: GPL-3.0-or-later
// GOV.UK Frontend wants these classes before the page is drawn; an inline script would need a hole in the policy.
document.body.classList.add("js-enabled");
if ("noModule" in HTMLScriptElement.prototype) {
  document.body.classList.add("govuk-frontend-supported");
}
