// Lets a passkey answer a form that holds `data-passkey` (get or create) and its options; sends nothing by itself.
"use strict";

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

const prepared = (options) => {
  const named = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));
  const made = { ...options, challenge: bytes(options.challenge) };
  if (options.user) made.user = { ...options.user, id: bytes(options.user.id) };
  if (options.allowCredentials) made.allowCredentials = named(options.allowCredentials);
  if (options.excludeCredentials) made.excludeCredentials = named(options.excludeCredentials);
  return made;
};

const told = (credential) => {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = text(credential.response[name]);
  }
  if (response.attestationObject) delete response.authenticatorData;
  return { id: credential.id, rawId: text(credential.rawId), type: credential.type, response };
};

for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = form.querySelector("[role=status]");
    try {
      const publicKey = prepared(JSON.parse(form.dataset.options));
      const credential = await navigator.credentials[form.dataset.passkey]({ publicKey });
      form.elements.credential.value = JSON.stringify(told(credential));
      form.submit();
    } catch (error) {
      said.textContent = form.dataset.failed;
    }
  });
}
