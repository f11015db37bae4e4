// SPDX-License-Identifier: GPL-3.0-or-later
// The session's token, which every request of a script that changes something must carry. Without sign-in there is none.
export function formToken() {
  const token = document.querySelector('meta[name="form-token"]')?.content;
  return token ? { "X-Form-Token": token } : {};
}
